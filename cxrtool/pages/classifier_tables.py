"""The tables of `evaluate classifiers`, for programs.

In: an `Evaluation`. Out: records (JSON) and the same as CSV cells; undefined values are blank.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

import numpy as np

from cxrtool.stats.classifier_results import Evaluation
from cxrtool.stats.comparison import COMPARED, MEAN, Difference, group_score
from cxrtool.stats.predictions import Records, prediction_rows
from cxrtool.stats.wording import with_interval


def metrics(e: Evaluation) -> Records:
    """One record a run and label (and their mean): counts, AUROC and AP with intervals."""
    groups = {run: group for group in e.groups for run in group.runs.values()}
    seeds = {run: seed for group in e.groups for seed, run in group.runs.items()}
    out = []
    for run in range(len(e.scores)):
        for row, label in enumerate(e.scored.rows):
            record: dict[str, Any] = {
                "run": run + 1,
                "group": groups[run].name,
                "arm": groups[run].arm,
                "seed": seeds[run],
                "label": label,
                **_counts(e, row),
            }
            for m, metric in enumerate(e.scored.metrics):
                low, high = e.scored.interval(run, row, m)
                record[metric] = float(e.scored.points[run, row, m])
                record[f"{metric}_low"], record[f"{metric}_high"] = low, high
            record["ece"] = float(e.ece[run, row])
            out.append(record)
    return Records(out)


def subgroups(e: Evaluation) -> Records:
    """One record a subgroup, arm and label: counts, all metrics with intervals, ECE."""
    out: list[dict[str, Any]] = []
    for sub in e.subgroups:
        if sub.scored is None:
            continue
        for group in e.groups:
            for row, label in enumerate(sub.scored.rows):
                record: dict[str, Any] = {
                    "subgroup": sub.name, "images": sub.images, "patients": sub.patients,
                    "group": group.name, "label": label, "known": "", "positives": "",
                    "prevalence": "",
                }  # fmt: skip
                if row < len(sub.scored.labels):
                    known, positive = int(sub.known[row]), int(sub.positive[row])
                    record |= {"known": known, "positives": positive}
                    record["prevalence"] = positive / known if known else math.nan
                for m, metric in enumerate(sub.scored.metrics):
                    numbers = group_score(sub.scored, group, row, m)
                    record |= dict(zip((metric, f"{metric}_low", f"{metric}_high"), numbers))
                record["ece"] = float(sub.ece[list(group.runs.values()), row].mean())
                out.append(record)
    return Records(out)


def subgroup_differences(e: Evaluation) -> Records:
    """One record a subgroup, comparison, metric and label; not corrected across subgroups."""
    columns = ["subgroup", *(field.name for field in fields(Difference)), "sentence"]
    return Records(
        [
            {"subgroup": sub.name, **asdict(d), "sentence": d.sentence()}
            for sub in e.subgroups
            for d in sub.differences
        ],
        columns,
    )


def _counts(e: Evaluation, row: int) -> dict[str, Any]:
    if row == len(e.scored.labels):
        return {"images": len(e.truth), "positives": "", "positive_patients": "", "prevalence": ""}
    counted = e.mask[:, row]
    positive = counted & (e.truth[:, row] > 0)
    return {
        "images": int(counted.sum()),
        "positives": int(positive.sum()),
        "positive_patients": len(np.unique(e.codes[positive])),
        "prevalence": float(positive.sum() / counted.sum()) if counted.any() else math.nan,
    }


def differences(e: Evaluation) -> Records:
    """One record a comparison, metric and label."""
    columns = [*(field.name for field in fields(Difference)), "sentence"]
    return Records([{**asdict(d), "sentence": d.sentence()} for d in e.differences], columns)


def predictions(
    e: Evaluation, rows: np.ndarray, extra: Mapping[str, Sequence[str]]
) -> tuple[list[str], list[list[str]]]:
    """Probabilities of every run and row; rows by number, `extra` columns where asked for."""
    cells: list[list[str]] = []
    for run, probabilities in enumerate(e.scores):
        cells += prediction_rows(rows, probabilities, {"run": str(run + 1), **extra})
    return ["run", *extra, "row", *e.scored.labels], cells


def shown(e: Evaluation) -> tuple[list[str], list[list[str]]]:
    """A small table for the terminal: the means of every group."""
    mean = e.scored.rows.index(MEAN)
    compared = [m for m, name in enumerate(e.scored.metrics) if name in COMPARED]
    rows = [
        [group.name, str(len(group.runs))]
        + [with_interval(*group_score(e.scored, group, mean, m)) for m in compared]
        for group in e.groups
    ]
    return ["arm", "runs", *(COMPARED[e.scored.metrics[m]] for m in compared)], rows
