"""`cxr evaluate classifiers`: several classifiers on the same real test rows.

In: `train-cls` runs and a dataset directory. Out: `metrics.csv` and `comparison.csv` (scores and
paired differences with patient-bootstrap intervals), `metrics.json`, `predictions.csv`, and
`report.html`, one page that stands by itself. Every run predicts the rows itself, with its stored
network, label policy and preprocessing; rows that any of them has seen are refused (exit 5).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cxrtool import __version__, console
from cxrtool.config import Argument, Input, Option
from cxrtool.data.select import SelectionOptions
from cxrtool.errors import GateError, UsageError

if TYPE_CHECKING:
    import numpy as np

    from cxrtool.classifiers.architectures import ClassifierNet
    from cxrtool.data.manifest import Dataset
    from cxrtool.evaluation.classifier_report import Evaluation
    from cxrtool.runs import Run

NAME = "evaluate-classifiers"
FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Config(SelectionOptions):
    """Score classifiers on real test rows, and say what their differences are worth.

    Example: cxr evaluate classifiers cls-none cls-duplicate cls-gan --data data -o report
    """

    runs: Annotated[tuple[Path, ...], Argument("Outputs of train-cls."), Input("runs")]
    data: Annotated[Path, Option("Dataset directory with the rows to score."), Input("data")]
    split: Annotated[
        str, Option("Part of the data set to score.", choices=("train", "val", "test", "all"))
    ] = "test"
    view: Annotated[
        str,
        Option(
            "Views to score; stored: those that the runs were trained on.",
            choices=("stored", "frontal", "lateral", "all"),
        ),
    ] = "stored"
    bootstrap: Annotated[int, Option("Patient resamples behind the intervals.", min=100)] = 1000
    seed: Annotated[int, Option("Seed of the resamples.", min=0)] = 0
    min_auroc: Annotated[
        float | None,
        Option("Fail (exit 5) where the mean AUROC of a run is lower.", min=0, max=1),
    ] = None
    include_text: Annotated[bool, Option("Name images and patients in predictions.csv.")] = False
    device: Annotated[str, Option("auto, cpu or cuda[:i].", result=False)] = "auto"
    threads: Annotated[int | None, Option("CPU threads.", min=1, result=False)] = None

    def validate(self) -> None:
        if not self.runs:
            raise UsageError(
                "no run is given", hint="cxr evaluate classifiers RUN... --data DATA -o OUT"
            )
        if len({path.absolute() for path in self.runs}) < len(self.runs):
            raise UsageError("a run is given twice")


def run(config: Config, run: Run) -> dict[str, Any]:
    """Predict, score, compare, report."""
    import numpy as np

    from cxrtool.data.labels import label_arrays
    from cxrtool.data.manifest import load_dataset
    from cxrtool.data.select import patient_groups
    from cxrtool.evaluation import classifier_report, comparison, joining
    from cxrtool.training.device import setup

    device = setup(config.device, config.threads)
    data = load_dataset(run.input("data").path)
    networks = load_networks(run)
    names = [str(ref.path) for ref in run.inputs("runs")]
    described = [network.description for network in networks]
    rows = rows_to_score(config, data, names, described)
    refuse_seen_rows(run, data, rows, config.split)  # a leak at another size is a leak first
    for name, description in zip(names, described):
        joining.refuse_other_pixels(name, description, data)

    # What the page says of a run names its number and arm: folder names stay out of it.
    shown = [f"run {k} ({d['recipe']['arm']})" for k, d in enumerate(described, start=1)]
    labels, left_out = joining.common_labels(shown, [n.labels for n in networks], data)
    policy = joining.common_policy(names, described)
    columns = joining.positions(data.labels, labels)
    values, mask = label_arrays(data, rows, policy)
    truth, mask = values[:, columns], mask[:, columns]
    scores = np.stack([predict(run, n, data, rows, labels, device) for n in networks])
    codes = patient_groups(data, rows)

    scored = comparison.score_runs(
        labels, truth, mask, scores, codes, resamples=config.bootstrap, seed=config.seed
    )
    groups = comparison.group_runs([d["recipe"] for d in described])
    result = classifier_report.Evaluation(
        source=data.info.source,
        scored=scored,
        groups=groups,
        differences=comparison.compare(scored, groups),
        truth=truth,
        mask=mask,
        scores=scores,
        codes=codes,
        patients_known=data.info.patients,
        resamples=config.bootstrap,
        runs=[facts(d) for d in described],
        cautions=cautions(left_out, labels, truth, mask, scores, described),
        footer=f"cxr {__version__} · evaluate classifiers · run {run.fingerprint[:12]}",
    )
    for caution in result.cautions:
        console.warn(caution)
    check_gates(config, run, result)
    return write_outputs(config, run, data, rows, result)


# --- inputs ---------------------------------------------------------------------------------------


def load_networks(run: Run) -> list[ClassifierNet]:
    """The stored networks."""
    from cxrtool import classifiers
    from cxrtool.runs import require_complete

    networks = []
    for ref in run.inputs("runs"):
        require_complete(ref.path, stages=("train-cls",))
        networks.append(classifiers.load(ref.path))
    return networks


def rows_to_score(
    config: Config, data: Dataset, names: list[str], described: list[dict[str, Any]]
) -> np.ndarray:
    """The rows, the same for every run."""
    from cxrtool.data.select import select_rows
    from cxrtool.evaluation.joining import common_view

    view = common_view(names, described) if config.view == "stored" else config.view
    options = SelectionOptions(
        view=view, split=config.split, fraction=config.fraction, leave_out=config.leave_out
    )
    return select_rows(data, options)


def refuse_seen_rows(run: Run, data: Dataset, rows: np.ndarray, split: str) -> None:
    """The leak guard: no row that a run, or what it was made from, has seen; no made image."""
    from cxrtool.data.keys import Seen, refuse_overlap

    made = int((data.column("source", rows) != "real").sum())
    if made:
        raise GateError(
            f"{made:,} of {len(rows):,} {split} images are synthetic or edited",
            hint="classifiers are judged on real images only",
        )
    for ref in run.inputs("runs"):
        refuse_overlap(Seen.load(ref.path), data, rows, who=f"the run {ref.path}", what=split)


def predict(
    run: Run, network: Any, data: Dataset, rows: np.ndarray, labels: tuple[str, ...], device: Any
) -> np.ndarray:
    """Probabilities [N, L] of one run, its labels joined by name."""
    from cxrtool.classifiers.prediction import in_blocks, sigmoid
    from cxrtool.data.cache import pixels, resized
    from cxrtool.evaluation.joining import positions

    images = resized(pixels(data, rows), network.size)
    network = network.to(device)
    with run.progress("predicting", total=len(rows)) as bar:

        def advance(n: int) -> None:
            bar.advance(n)
            run.check_stop()

        logits = in_blocks(network.logits, images, device, advance=advance)
    return sigmoid(logits)[:, positions(network.labels, labels)]


def facts(description: dict[str, Any]) -> dict[str, Any]:
    """What the report's table of runs shows of one."""
    recipe = description["recipe"]
    policy = description["policy"]
    images = ", ".join(f"{n:,} {kind}" for kind, n in description["images"].items())
    return {
        "architecture": f"{recipe['arch']}, {recipe['size']} px",
        "images": images,
        "steps × batch": f"{recipe['steps']:,} × {recipe['batch']}",
        "chosen step": f"{description['best_step']:,}",
        "validation AUROC": f"{description['val_auroc']:.3f}",
        "optimizer": f"{recipe['optimizer']}, {recipe['lr']:g}",
        "augmentation": recipe["augment"],
        "uncertain, blank": f"{policy['uncertain']}, {policy['blank']}",
        "fraction": f"{recipe['fraction']:g}",
    }


# --- what a reader must know ----------------------------------------------------------------------


def cautions(
    left_out: list[str],
    labels: tuple[str, ...],
    truth: np.ndarray,
    mask: np.ndarray,
    scores: np.ndarray,
    described: list[dict[str, Any]],
) -> list[str]:
    """Sentences on what is unfair, missing or odd."""
    import numpy as np

    from cxrtool.evaluation.classifier_report import why_undefined

    found = [
        f"The generator behind run {n} (arm {d['recipe']['arm']}) was trained on"
        f" {d['generator_saw_more']:,} patients or images that its classifier was not: its arm had"
        " more data than the others."
        for n, d in enumerate(described, start=1)
        if d.get("generator_saw_more")
    ]
    found += left_out
    for k, label in enumerate(labels):
        reason = why_undefined(truth[:, k], mask[:, k])
        if reason:
            found.append(f"{label} has {reason} in these rows: undefined, left out of the mean.")
        flat = [n + 1 for n, own in enumerate(scores) if np.ptp(own[:, k]) == 0 and len(own) > 1]
        if flat:
            which = ", ".join(map(str, flat))
            found.append(f"The same prediction for every image in {label} by run {which}.")
    return found


def check_gates(config: Config, run: Run, result: Evaluation) -> None:
    """`--min-auroc`: every run's mean AUROC must reach it."""
    import math

    from cxrtool.evaluation.classifier_report import run_name

    if config.min_auroc is None:
        return
    for number, value in enumerate(result.scored.points[:, -1, 0]):
        if math.isnan(value) or value < config.min_auroc:
            run.gate(
                f"mean AUROC of {run_name(result.groups, number)} is {value:.4f}, below --min-auroc"
                f" {config.min_auroc:g}"
            )


# --- outputs --------------------------------------------------------------------------------------


def write_outputs(
    config: Config, run: Run, data: Dataset, rows: np.ndarray, result: Evaluation
) -> dict[str, Any]:
    """Tables, report, and the summary."""
    from cxrtool.evaluation import classifier_report, classifier_tables, page
    from cxrtool.evaluation.predictions import csv_text

    metrics = classifier_tables.metrics(result)
    run.write_text("metrics.csv", csv_text(*metrics.cells()))
    differences = classifier_tables.differences(result)
    run.write_text("comparison.csv", csv_text(*differences.cells()))
    shown = ("image", "patient_id") if config.include_text else ()
    extra = {name: [str(cell) for cell in data.column(name, rows)] for name in shown}
    predictions = classifier_tables.predictions(result, rows, extra)
    run.write_text("predictions.csv", csv_text(*predictions))
    answer = classifier_report.answer(result)
    run.write_json(
        "metrics.json",
        {"answer": answer, "metrics": metrics.records, "differences": differences.records},
    )
    run.write_text("report.html", page.render(classifier_report.build(result)))
    console.table("Mean over labels", *classifier_tables.shown(result))
    console.say(answer)
    return {
        "answer": answer,
        "images": len(rows),
        "labels": list(result.scored.labels),
        "undefined": [n for n, d in zip(result.scored.labels, result.scored.defined) if not d],
        "mean_auroc": {
            classifier_report.run_name(result.groups, k): float(value)
            for k, value in enumerate(result.scored.points[:, -1, 0])
        },
        "cautions": list(result.cautions),
    }
