"""``cxr evaluate labels``: labels against a reference table.

In: the output of ``extract-reports`` (or any table of labels) and a reference CSV. Out:
``metrics.csv``, ``summary.json``, ``disagreements.csv`` and ``report.html``. Report text is written
only with ``--include-text``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cxrtool import __version__, console
from cxrtool.config import Argument, Input, Option
from cxrtool.errors import InputError, UsageError

if TYPE_CHECKING:
    import pandas as pd

    from cxrtool.evaluation.labels import Joined, LabelScore
    from cxrtool.runs import Run

NAME = "evaluate-labels"
FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Config:
    """Score labels against a reference: precision, recall and F1 of the positive class.

    Example: cxr evaluate labels extracted --reference expert.csv --key study_id -o scores
    """

    pred: Annotated[Path, Argument("Output of extract-reports, or a CSV of labels."), Input("pred")]
    reference: Annotated[
        Path, Option("CSV of reference labels, or a dataset directory."), Input("reference")
    ]
    key: Annotated[str, Option("Column of the reference that names the report.")] = "study_id"
    pred_key: Annotated[str, Option("The same column of PRED.")] = "study_id"
    uncertain_as: Annotated[
        str, Option("What -1 counts as, on either side.", choices=("0", "1"))
    ] = "0"
    blank: Annotated[
        str,
        Option(
            "Blank cells of the reference: leave the report out of that label, or take 0.",
            choices=("skip", "zero"),
        ),
    ] = "skip"
    labels: Annotated[
        str | None, Option("Score these labels only, separated by commas.", metavar="A,B")
    ] = None
    include_text: Annotated[bool, Option("Write report text into disagreements.csv.")] = False


def run(config: Config, run: Run) -> dict[str, Any]:
    """Join, score, list what disagrees."""
    from cxrtool.data.tables import read_table, write_table
    from cxrtool.evaluation import labels as measure

    pred_file = table_of(run.input("pred").path)
    reference_file = table_of(run.input("reference").path)
    predicted, reference = read_table(pred_file), read_table(reference_file)
    names, missing = common_labels(config, predicted, reference, reference_file)
    joined = measure.join(
        predicted,
        reference,
        names,
        predicted_key=config.pred_key,
        key=config.key,
        predicted_file=pred_file,
        reference_file=reference_file,
    )
    options = {"uncertain_as": config.uncertain_as, "blank": config.blank}
    scores = measure.score(joined, **options)
    summary = {
        **measure.overall(scores),
        "matched": len(joined.keys),
        "only_in_reference": len(joined.only_reference),
        "only_in_prediction": joined.only_predicted,
        "labels": list(names),
        "not_predicted": missing,
    }
    evidence = evidence_of(pred_file.parent, config.include_text)
    wrong = measure.disagreements(joined, **options, evidence=evidence)
    if config.include_text:
        wrong = with_text(wrong, predicted, config.pred_key)
    import pandas as pd

    table = pd.DataFrame([s.to_json() for s in scores])
    run.write_text("metrics.csv", table.to_csv(index=False, lineterminator="\n"))
    run.write_text("disagreements.csv", write_table(wrong))
    run.write_json("summary.json", {**summary, "scores": [s.to_json() for s in scores]})
    run.write_text("report.html", page(config, run, scores, summary, joined))
    say(scores, summary)
    return summary


def table_of(path: Path) -> Path:
    """The table behind PRED: itself, or the manifest of an output folder."""
    if not path.is_dir():
        return path
    if not (path / "manifest.csv").is_file():
        raise InputError(
            "no manifest.csv: neither an output of extract-reports nor a dataset directory",
            file=path,
            hint="make one with: cxr extract-reports REPORTS -o OUT",
        )
    return path / "manifest.csv"


def common_labels(
    config: Config, predicted: pd.DataFrame, reference: pd.DataFrame, file: Path
) -> tuple[list[str], list[str]]:
    """The labels that both tables have, and known ones that only the reference has.

    Raises:
        UsageError: ``--labels`` names one that is not in both.
        InputError: They have none in common.
    """
    from cxrtool.data.labels import CHEXPERT
    from cxrtool.data.schema import RESERVED

    columns = [str(c) for c in reference.columns]
    shared = [
        name
        for name in columns
        if name in predicted.columns
        and name not in RESERVED
        and name not in (config.key, config.pred_key, "rules")
    ]
    if config.labels is not None:
        wanted = [name.strip() for name in config.labels.split(",") if name.strip()]
        for name in wanted:
            if name not in shared:
                raise UsageError(
                    f"--labels: {name!r} is not in both tables", hint="known: " + ", ".join(shared)
                )
        shared = wanted
    if not shared:
        raise InputError(
            "no label of the reference is a column of the prediction",
            file=file,
            row=1,
            hint=f"columns: {', '.join(columns[:20])}",
        )
    missing = [name for name in columns if name in CHEXPERT and name not in predicted.columns]
    return shared, missing


def evidence_of(folder: Path, include_text: bool) -> dict[tuple[str, str], str]:
    """What speaks for each label, by (study, observation), where ``evidence.jsonl`` is there."""
    found: dict[tuple[str, str], list[str]] = {}
    try:
        with open(folder / "evidence.jsonl", encoding="utf-8") as stream:
            for line in stream:
                item = json.loads(line)
                said = f"{item['value']} {item['section']}[{item['start']}:{item['end']}] "
                said += item["rule"] + (f" <- {item['cue_rule']}" if item["cue_rule"] else "")
                if include_text:
                    said += f" {item['text']!r}" + (f" ({item['cue']!r})" if item["cue"] else "")
                found.setdefault((item["study_id"], item["observation"]), []).append(said)
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"damaged: {error!r}", file=folder / "evidence.jsonl") from None
    return {key: "; ".join(items) for key, items in found.items()}


def with_text(wrong: pd.DataFrame, predicted: pd.DataFrame, key: str) -> pd.DataFrame:
    """The list with a column ``report``."""
    if "report" not in predicted.columns:
        return wrong
    texts = dict(zip(predicted[key], predicted["report"]))
    return wrong.assign(report=[texts.get(k, "") for k in wrong["key"]])


def page(
    config: Config, run: Run, scores: list[LabelScore], summary: dict[str, Any], joined: Joined
) -> str:
    """The report page; it holds no ids and no text."""
    from cxrtool.evaluation.page import Numbers, Page, Section, Table, Text, render

    def number(value: float) -> str:
        return "–" if value != value else f"{value:.3f}"

    rows = [
        [s.observation, str(s.n), str(s.support), str(s.predicted), str(s.uncertain)]
        + [number(v) for v in (s.precision, s.recall, s.f1)]
        for s in scores
    ]
    columns = ("observation", "n", "positives", "predicted", "uncertain", "precision", "recall")
    how = (
        f"Uncertain (-1) counts as {config.uncertain_as}; blank cells of the reference are "
        + ("left out." if config.blank == "skip" else "counted as 0.")
        + f" {len(joined.only_reference):,} reports of the reference have no prediction."
    )
    sections = [
        Section(
            "Scores",
            [
                Numbers(
                    [
                        (number(summary["macro_f1"]), "macro F1"),
                        (number(summary["micro_f1"]), "micro F1"),
                        (f"{summary['matched']:,}", "reports"),
                    ]
                ),
                Table((*columns, "F1"), rows),
                Text(how, tone="note"),
            ],
        )
    ]
    answer = (
        f"Macro F1 {number(summary['macro_f1'])} over {summary['n_observations']} observations "
        f"and {summary['matched']:,} reports."
    )
    footer = f"cxr {__version__} · evaluate labels · run {run.fingerprint[:12]}"
    return render(Page("Labels against a reference", answer, sections, footer))


def say(scores: list[LabelScore], summary: dict[str, Any]) -> None:
    """The scores on stderr, and what could not be scored."""
    rows = [
        [s.observation, s.n, s.support, s.precision, s.recall, s.f1, s.fp, s.fn, s.uncertain]
        for s in scores
    ]
    console.table(
        f"Macro F1 {summary['macro_f1']:.3f}, micro F1 {summary['micro_f1']:.3f}, "
        f"{summary['matched']:,} reports",
        ["", "n", "positives", "precision", "recall", "F1", "FP", "FN", "uncertain"],
        rows,
    )
    if summary["only_in_reference"]:
        console.warn(f"{summary['only_in_reference']:,} reports of the reference are not in PRED")
    if summary["not_predicted"]:
        console.warn("not in PRED: " + ", ".join(summary["not_predicted"]))
    if summary["undefined"]:
        console.say("no positive in the reference: " + ", ".join(summary["undefined"]))
