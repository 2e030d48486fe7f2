"""`cxr evaluate classifiers`: several classifiers on the same real test rows.

In: `train-cls` runs and a dataset directory, or one for each fold of a cross-validation. Out:
`metrics.csv` and `comparison.csv` (scores and paired differences with patient-bootstrap intervals),
`metrics.json`, `predictions.csv`, `report.md`, and `report.html`, one page that stands by itself.
Every run predicts the rows itself, with its stored network, label policy, preprocessing and
calibration; rows that any of them has seen are refused (exit 5).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cxrtool import __version__, console
from cxrtool.config import Argument, Input, Option
from cxrtool.data.select import SelectionOptions
from cxrtool.errors import GateError, InputError, UsageError

if TYPE_CHECKING:
    import numpy as np

    from cxrtool.classifiers.architectures import ClassifierNet
    from cxrtool.data.manifest import Dataset
    from cxrtool.evaluation.classifier_report import Evaluation
    from cxrtool.evaluation.joining import Fold
    from cxrtool.runs import Run

NAME = "evaluate-classifiers"
FORMAT = 2
CAM_IMAGES = 4


@dataclass(frozen=True, kw_only=True)
class Config(SelectionOptions):
    """Score classifiers on real test rows, and say what their differences are worth.

    Example: cxr evaluate classifiers cls-none cls-duplicate cls-gan --data data -o report
    """

    runs: Annotated[tuple[Path, ...], Argument("Outputs of train-cls."), Input("runs")]
    data: Annotated[
        tuple[Path, ...],
        Option(
            "Dataset directory with the rows to score. Given several times: the folds of a"
            " cross-validation, each for the runs trained on it, their predictions pooled."
        ),
        Input("data"),
    ]
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
    map_labels: Annotated[
        str | None,
        Option(
            "TOML file (or a built-in map) from the data's label names to those of the runs.",
            metavar="FILE",
            file=True,
        ),
    ] = None
    by: Annotated[
        str | None, Option("Score subgroups too: any of sex,age,view, separated by commas.")
    ] = None
    synth: Annotated[
        Path | None,
        Option("Synthetic set whose images are shown in the class activation maps."),
        Input("synth"),
    ] = None
    images: Annotated[
        tuple[Path, ...],
        Option("Outputs of evaluate images, to show fidelity and privacy on the page."),
        Input("images"),
    ] = ()
    bootstrap: Annotated[int, Option("Patient resamples behind the intervals.", min=100)] = 1000
    seed: Annotated[int, Option("Seed of the resamples and of the images shown.", min=0)] = 0
    strict_regimen: Annotated[
        bool,
        Option("Refuse (exit 5) a run whose generator saw patients that its classifier did not."),
    ] = False
    min_auroc: Annotated[
        float | None,
        Option("Fail (exit 5) where the mean AUROC of a run is lower.", min=0, max=1),
    ] = None
    max_ece: Annotated[
        float | None,
        Option("Fail (exit 5) where the mean calibration error of a run is higher.", min=0, max=1),
    ] = None
    require_evidence: Annotated[
        bool, Option("Fail (exit 5) unless the primary comparison is evidence for.")
    ] = False
    include_text: Annotated[bool, Option("Name images and patients in predictions.csv.")] = False
    device: Annotated[str, Option("auto, cpu or cuda[:i].", result=False)] = "auto"
    threads: Annotated[int | None, Option("CPU threads.", min=1, result=False)] = None

    def validate(self) -> None:
        if not self.runs:
            raise UsageError(
                "no run is given", hint="cxr evaluate classifiers RUN... --data DATA -o OUT"
            )
        if not self.data:
            raise UsageError("missing --data", hint="Dataset directory with the rows to score.")
        for what, paths in (("run", self.runs), ("data set", self.data)):
            if len({path.absolute() for path in paths}) < len(paths):
                raise UsageError(f"a {what} is given twice")
        from cxrtool.evaluation.subgroups import parse_by

        parse_by(self.by)


def run(config: Config, run: Run) -> dict[str, Any]:
    """Predict, score, compare, report."""
    import numpy as np

    from cxrtool.evaluation import classifier_report, comparison, joining
    from cxrtool.training.device import setup

    device = setup(config.device, config.threads)
    networks = load_networks(run)
    names = [str(ref.path) for ref in run.inputs("runs")]
    described = [network.description for network in networks]
    refuse_unequal_regimens(config, names, described)
    datasets = load_data(config, run)
    rows = [rows_to_score(config, data, names, described) for data in datasets]
    folds = joining.assign_folds(datasets, rows, names, described)
    for fold in folds:
        refuse_seen_rows(run, fold, config.split)  # a leak at another size is a leak first
        for k in fold.runs:
            joining.refuse_other_pixels(names[k], described[k], fold.data)

    pooled = joining.pooled_recipes(folds, described)
    first = [described[members[0]] for _, members in pooled]
    # What the page says of a run names its number and arm: folder names stay out of it.
    shown = [f"run {k} ({d['recipe']['arm']})" for k, d in enumerate(first, start=1)]
    labels, left_out = joining.common_labels(
        shown, [networks[members[0]].labels for _, members in pooled], datasets[0]
    )
    policy = joining.common_policy(names, described)
    truth, mask, codes, single = truth_of(folds, labels, policy)
    predicted = [
        {k: predict(run, networks[k], names[k], fold, labels, device) for k in fold.runs}
        for fold in folds
    ]
    scores = np.stack(
        [np.concatenate([part[k] for part, k in zip(predicted, members)]) for _, members in pooled]
    )

    classes = truth.argmax(axis=1) if single else None
    scored = comparison.score_runs(
        labels, truth, mask, scores, codes,
        resamples=config.bootstrap, seed=config.seed, classes=classes,
    )  # fmt: skip
    groups = comparison.group_runs([recipe for recipe, _ in pooled])
    differences = comparison.add_delong(
        comparison.compare(scored, groups), scored, groups, truth, mask, scores, codes
    )
    result = classifier_report.Evaluation(
        source=datasets[0].info.source,
        scored=scored,
        groups=groups,
        differences=differences,
        truth=truth,
        mask=mask,
        scores=scores,
        codes=codes,
        patients_known=all(data.info.patients for data in datasets),
        resamples=config.bootstrap,
        runs=[facts(d, members, run) for d, (_, members) in zip(first, pooled)],
        histories=[d.get("history", []) for d in first],
        operating=operating_points(labels, truth, mask, scores, first) if len(folds) == 1 else [],
        subgroups=score_subgroups(config, folds, labels, truth, mask, scores, codes, groups),
        maps=activation_panels(
            config,
            run,
            folds[0],
            [networks[m[0]] for _, m in pooled],
            groups,
            labels,
            truth,
            device,
        ),
        image_reports=[read_image_report(ref.path) for ref in run.inputs("images")],
        unfair=unfair(first),
        cautions=cautions(left_out, labels, truth, mask, scores, codes, first, folds),
        footer=f"cxr {__version__} · evaluate classifiers · run {run.fingerprint[:12]}",
    )
    for caution in result.cautions:
        console.warn(caution)
    check_gates(config, run, result)
    return write_outputs(config, run, folds, result)


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


def load_data(config: Config, run: Run) -> list[Dataset]:
    """The data sets, their labels renamed where that is asked for."""
    from cxrtool.data.manifest import load_dataset
    from cxrtool.data.maps import load_map
    from cxrtool.evaluation.joining import renamed

    datasets = [load_dataset(ref.path) for ref in run.inputs("data")]
    if config.map_labels is None:
        return datasets
    mapping = load_map(config.map_labels)
    return [renamed(data, mapping) for data in datasets]


def refuse_unequal_regimens(
    config: Config, names: list[str], described: list[dict[str, Any]]
) -> None:
    """`--strict-regimen`: no generator knows more patients than its classifier.

    Raises:
        GateError: One does; names the run and how many.
    """
    if not config.strict_regimen:
        return
    for name, description in zip(names, described):
        if description.get("generator_saw_more"):
            raise GateError(
                f"the generator behind {name} was trained on"
                f" {description['generator_saw_more']:,} patients or images that its classifier was"
                " not",
                hint="train the generator with the --fraction of the classifier",
            )


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


def refuse_seen_rows(run: Run, fold: Fold, split: str) -> None:
    """The leak guard: no row that a run, or what it was made from, has seen; no made image."""
    from cxrtool.data.keys import Seen, refuse_overlap

    made = int((fold.data.column("source", fold.rows) != "real").sum())
    if made:
        raise GateError(
            f"{made:,} of {len(fold.rows):,} {split} images are synthetic or edited",
            hint="classifiers are judged on real images only",
        )
    refs = run.inputs("runs")
    for folder in (refs[k].path for k in fold.runs):
        refuse_overlap(
            Seen.load(folder), fold.data, fold.rows, who=f"the run {folder}", what=split,
            folder=folder,
        )  # fmt: skip


def truth_of(
    folds: list[Fold], labels: tuple[str, ...], policy: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray, bool]:
    """Truth and mask [N, L], patient [N] over all folds, and whether one class excludes others."""
    import numpy as np

    from cxrtool.data.labels import label_arrays
    from cxrtool.data.select import patient_groups
    from cxrtool.evaluation.joining import positions

    truth, mask, codes = [], [], []
    start = 0
    for fold in folds:
        values, known = label_arrays(fold.data, fold.rows, policy)
        columns = positions(fold.data.labels, labels)
        truth.append(values[:, columns])
        mask.append(known[:, columns])
        codes.append(patient_groups(fold.data, fold.rows) + start)
        start = int(codes[-1].max()) + 1
    every = np.concatenate(truth)
    single = all(fold.data.info.kind == "single" for fold in folds)
    single = single and bool((every.sum(axis=1) == 1).all())
    return every, np.concatenate(mask), np.concatenate(codes), single


def predict(
    run: Run, network: Any, name: str, fold: Fold, labels: tuple[str, ...], device: Any
) -> np.ndarray:
    """Calibrated probabilities [N, L] of one run, its labels joined by name.

    Raises:
        InputError: The network gives NaN or infinity.
    """
    import numpy as np

    from cxrtool.classifiers.calibration import Calibration
    from cxrtool.classifiers.prediction import in_blocks, input_pixels
    from cxrtool.data.cache import pixels
    from cxrtool.evaluation.joining import positions

    images = input_pixels(pixels(fold.data, fold.rows), network.size)
    network = network.to(device)
    with run.progress("predicting", total=len(fold.rows)) as bar:

        def advance(n: int) -> None:
            bar.advance(n)
            run.check_stop()

        logits = in_blocks(network.logits, images, device, advance=advance)
    bad = int((~np.isfinite(logits)).any(axis=1).sum())
    if bad:
        raise InputError(
            f"predicts NaN or infinity for {bad:,} of {len(logits):,} images",
            file=Path(name),
            hint="train it again with a smaller --lr",
        )
    probabilities = Calibration.of(network.description, network.labels).probabilities(logits)
    return probabilities[:, positions(network.labels, labels)]


def facts(description: dict[str, Any], members: list[int], run: Run) -> dict[str, Any]:
    """What the report's table of runs shows of one: how it was made, and from what."""
    from cxrtool.runs import load_result

    recipe = description["recipe"]
    policy = description["policy"]
    images = ", ".join(f"{n:,} {kind}" for kind, n in description["images"].items())
    results = [load_result(run.inputs("runs")[k].path) for k in members]
    sources = description.get("sources") or []
    made_by = ", ".join(g[:12] for source in sources for g in source["generators"]) or "–"
    steps = description.get("steps", recipe["steps"])
    return {
        "architecture": f"{recipe['arch']}, {recipe['size']} px",
        "starts from": description.get("starts_from") or "random weights",
        "images": images + (f" (first of {len(members)} folds)" if len(members) > 1 else ""),
        "steps × batch": f"{steps:,} × {recipe['batch']}",
        "phases": ", ".join(f"{p['name']} {p['steps']:,}" for p in description.get("phases", [])),
        "chosen step": f"{description['best_step']:,}",
        "validation AUROC": f"{description['val_auroc']:.3f}",
        "optimizer": f"{recipe['optimizer']}, {recipe['lr']:g}",
        "augmentation": recipe["augment"],
        "uncertain, blank": f"{policy['uncertain']}, {policy['blank']}",
        "fraction": f"{recipe['fraction']:g}",
        "data": recipe["data"],
        "generator": made_by,
        "run": ", ".join(str(result.get("fingerprint", ""))[:12] for result in results),
    }


# --- what a reader must know ----------------------------------------------------------------------


def unfair(described: list[dict[str, Any]]) -> str:
    """What the headline says of generators that knew more than their classifiers, "" if none."""
    found = [
        (f"run {n} ({d['recipe']['arm']})", int(d["generator_saw_more"]))
        for n, d in enumerate(described, start=1)
        if d.get("generator_saw_more")
    ]
    if not found:
        return ""
    arms = sorted({d["recipe"]["arm"] for d in described if d.get("generator_saw_more")})
    most = max(n for _, n in found)
    return (
        f"Not a fair comparison: the generator behind arm {', '.join(arms)} saw up to {most:,}"
        " patients or images that the classifier did not."
    )


def cautions(
    left_out: list[str],
    labels: tuple[str, ...],
    truth: np.ndarray,
    mask: np.ndarray,
    scores: np.ndarray,
    codes: np.ndarray,
    described: list[dict[str, Any]],
    folds: list[Fold],
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
    if len(np.unique(codes)) < 2:
        found.append("All images are of one patient: there is no interval and no verdict.")
    budgets = sorted({int(d.get("steps", 0)) for d in described})
    if len(budgets) > 1:
        counts = ", ".join(f"{n:,}" for n in budgets)
        found.append(f"The runs had unequal budgets of optimizer steps ({counts}).")
    if len(folds) > 1:
        found.append(
            f"Predictions of {len(folds)} folds are pooled: each image was judged by the network"
            " of its fold that has not seen the patient."
        )
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
    """`--min-auroc`, `--max-ece` and `--require-evidence`."""
    import math

    from cxrtool.evaluation.classifier_report import primary, run_name
    from cxrtool.evaluation.classifier_tables import mean_ece

    for number, value in enumerate(result.scored.points[:, -1, 0]):
        name = run_name(result.groups, number)
        if config.min_auroc is not None and (math.isnan(value) or value < config.min_auroc):
            run.gate(f"mean AUROC of {name} is {value:.4f}, below --min-auroc {config.min_auroc:g}")
        ece = mean_ece(result, number)
        if config.max_ece is not None and not ece <= config.max_ece:
            run.gate(f"mean ECE of {name} is {ece:.4f}, above --max-ece {config.max_ece:g}")
    if config.require_evidence:
        main = primary(result)
        if not main:
            run.gate("--require-evidence: there is no comparison of gan with duplicate")
        for found in main:
            if found.verdict != "evidence for":
                run.gate(f"--require-evidence: {found.sentence()}")


# --- more to score and to show --------------------------------------------------------------------


def operating_points(
    labels: tuple[str, ...],
    truth: np.ndarray,
    mask: np.ndarray,
    scores: np.ndarray,
    described: list[dict[str, Any]],
) -> list[dict[str, Any]]:
    """Sensitivity and specificity of each run and label at its stored threshold."""
    from cxrtool.data.maps import canonical

    out = []
    for n, (own, d) in enumerate(zip(scores, described), start=1):
        stored = (d.get("calibration") or {}).get("thresholds", {})
        stored = {canonical(name): value for name, value in stored.items()}
        for k, label in enumerate(labels):
            if canonical(label) not in stored:
                continue
            rows = mask[:, k]
            positive = truth[rows, k] > 0
            called = own[rows, k] >= stored[canonical(label)]
            if positive.any() and not positive.all():
                out.append(
                    {
                        "run": n,
                        "label": label,
                        "threshold": float(stored[canonical(label)]),
                        "sensitivity": float(called[positive].mean()),
                        "specificity": float((~called[~positive]).mean()),
                    }
                )
    return out


def score_subgroups(
    config: Config,
    folds: list[Fold],
    labels: tuple[str, ...],
    truth: np.ndarray,
    mask: np.ndarray,
    scores: np.ndarray,
    codes: np.ndarray,
    groups: Any,
) -> list[Any]:
    """The same scores within each subgroup of `--by`."""
    import numpy as np

    from cxrtool.evaluation import comparison, subgroups
    from cxrtool.evaluation.classifier_report import Subgroup

    out = []
    for column in subgroups.parse_by(config.by):
        cells = np.concatenate([fold.data.column(column, fold.rows) for fold in folds])
        if not (cells != "").any():
            console.warn(f"--by {column}: the data set does not say")
            continue
        for name, rows in subgroups.groups_of(column, cells).items():
            people = len(np.unique(codes[rows]))
            if people < subgroups.LEAST:
                out.append(Subgroup(name, int(rows.sum()), people, None, []))
                continue
            scored = comparison.score_runs(
                labels, truth[rows], mask[rows], scores[:, rows],
                np.unique(codes[rows], return_inverse=True)[1],
                resamples=config.bootstrap, seed=config.seed,
            )  # fmt: skip
            found = comparison.compare(scored, groups)
            out.append(Subgroup(name, int(rows.sum()), people, scored, found))
    return out


def activation_panels(
    config: Config,
    run: Run,
    fold: Fold,
    networks: list[ClassifierNet],
    groups: Any,
    labels: tuple[str, ...],
    truth: np.ndarray,
    device: Any,
) -> list[Any]:
    """Class activation maps of real and synthetic images of each label, by the first run shown.

    The network is the first of the arm gan, else the first of all.
    """
    import numpy as np

    from cxrtool.classifiers.cam import activation_maps, overlay
    from cxrtool.data.cache import pixels
    from cxrtool.data.manifest import load_dataset
    from cxrtool.evaluation.classifier_report import MapPanel
    from cxrtool.evaluation.joining import positions
    from cxrtool.training.rng import numpy_rng

    group = next((g for g in groups if g.arm == "gan"), groups[0])
    network = networks[min(group.runs.values())]
    rng = numpy_rng("class activation maps", config.seed)
    shown: list[tuple[str, Any, np.ndarray, np.ndarray]] = [
        ("real", fold.data, fold.rows, truth[: len(fold.rows)] > 0)
    ]
    for ref in run.inputs("synth"):
        synth = load_dataset(ref.path)
        own = [k for k, label in enumerate(labels) if label in synth.labels]
        table = np.zeros((len(synth), len(labels)), dtype=bool)
        for k in own:
            table[:, k] = synth.column(labels[k]) == "1"
        shown.append(("synthetic", synth, np.arange(len(synth)), table))
    out = []
    for k, label in enumerate(labels):
        place = positions(network.labels, [label])[0]
        sides = []
        for kind, dataset, rows, table in shown:
            having = np.flatnonzero(table[:, k])
            if not len(having):
                continue
            chosen = np.sort(rng.choice(having, min(CAM_IMAGES, len(having)), replace=False))
            images = pixels(dataset, rows[chosen])
            maps = activation_maps(network, images, place, device)
            sides.append((kind, images, overlay(images, maps)))
        if sides:
            out.append(MapPanel(label, group.name, sides))
    return out


def read_image_report(folder: Path) -> dict[str, Any]:
    """`metrics.json` of an evaluate-images run."""
    import json

    from cxrtool.runs import require_complete

    require_complete(folder, stages=("evaluate-images",))
    record: dict[str, Any] = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    return record


# --- outputs --------------------------------------------------------------------------------------


def write_outputs(
    config: Config, run: Run, folds: list[Fold], result: Evaluation
) -> dict[str, Any]:
    """Tables, report, and the summary."""
    import numpy as np

    from cxrtool.evaluation import classifier_report, classifier_tables, page
    from cxrtool.evaluation.markdown import markdown
    from cxrtool.evaluation.predictions import csv_text

    metrics = classifier_tables.metrics(result)
    run.write_text("metrics.csv", csv_text(*metrics.cells()))
    differences = classifier_tables.differences(result)
    run.write_text("comparison.csv", csv_text(*differences.cells()))
    extra: dict[str, list[str]] = {}
    if len(folds) > 1:
        extra["fold"] = [str(k) for k, f in enumerate(folds, start=1) for _ in f.rows]
    for name in ("image", "patient_id") if config.include_text else ():
        extra[name] = [str(c) for fold in folds for c in fold.data.column(name, fold.rows)]
    rows = np.concatenate([fold.rows for fold in folds])
    run.write_text("predictions.csv", csv_text(*classifier_tables.predictions(result, rows, extra)))
    answer = classifier_report.answer(result)
    groups = classifier_tables.subgroups(result)
    run.write_json(
        "metrics.json",
        {
            "answer": answer,
            "metrics": metrics.records,
            "differences": differences.records,
            "operating_points": list(result.operating),
            "subgroups": groups.records,
        },
    )
    if result.subgroups:
        run.write_text("subgroups.csv", csv_text(*groups.cells()))
    built = classifier_report.build(result)
    run.write_text("report.html", page.render(built))
    run.write_text("report.md", markdown(built))
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
