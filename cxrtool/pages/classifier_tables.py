"""The tables of `evaluate classifiers`, for programs.

In: an `Evaluation`. Out: records (JSON) and the same as CSV cells; undefined values are blank.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from itertools import product
from typing import Any

import numpy as np

from cxrtool.stats.classifier_results import Evaluation
from cxrtool.stats.comparison import COMPARED, MEAN, Difference, Scored, group_score
from cxrtool.stats.groups import Group
from cxrtool.stats.predictions import Records, prediction_rows
from cxrtool.stats.wording import with_interval


def metrics(e: Evaluation) -> Records:
    """One record a run and label (and their mean): counts, AUROC and AP with intervals."""
    places = {run: (group, seed) for group in e.groups for seed, run in group.runs.items()}
    out = []
    for run in range(len(e.scores)):
        group, seed = places[run]
        names = {"run": run + 1, "group": group.name, "arm": group.arm, "seed": seed}
        own = replace(group, runs={seed: run})
        for row, label in enumerate(e.scored.rows):
            numbers = {**_counts(e, row), **_scores(e.scored, own, row)}
            errors = {"ece": float(e.ece[run, row]), **_other_errors(e, run, row)}
            out.append({**names, "label": label, **numbers, **errors})
    return Records(out)


def _other_errors(e: Evaluation, run: int, row: int) -> dict[str, float]:
    """Beside the calibration error what chance alone would show, and isotonic calibration."""
    out = dict.fromkeys(("ece_perfect", "ece_isotonic", "brier_isotonic"), math.nan)
    if e.ece_perfect.size:
        out["ece_perfect"] = float(e.ece_perfect[run, row])
    if e.isotonic is not None:
        out["ece_isotonic"] = float(e.isotonic.ece[run, row])
        out["brier_isotonic"] = float(e.isotonic.brier[run, row])
    return out


def studies(e: Evaluation) -> Records:
    """One record an arm, label and way to join the views of a study."""
    out: list[dict[str, Any]] = []
    if e.studies is None:
        return Records(out)
    ways = {"image": e.scored, "study, largest": e.studies.largest, "study, mean": e.studies.mean}
    for group, (way, scored) in product(e.groups, ways.items()):
        for row, label in enumerate(scored.rows):
            scores = _scores(scored, group, row)
            out.append({"group": group.name, "scored": way, "label": label, **scores})
    return Records(out)


def _scores(scored: Scored, group: Group, row: int) -> dict[str, float]:
    """All metrics of a label, each with the ends of its interval."""
    out: dict[str, float] = {}
    for m, metric in enumerate(scored.metrics):
        names = (metric, f"{metric}_low", f"{metric}_high")
        out |= zip(names, group_score(scored, group, row, m))
    return out


def subgroups(e: Evaluation) -> Records:
    """One record a subgroup, arm and label: counts, all metrics with intervals, ECE."""
    out: list[dict[str, Any]] = []
    for sub, group in product(e.subgroups, e.groups):
        if sub.scored is None:
            continue
        for row, label in enumerate(sub.scored.rows):
            record: dict[str, Any] = {
                "subgroup": sub.name, "images": sub.images, "patients": sub.patients,
                "group": group.name, "label": label, "known": "", "positives": "",
                "prevalence": "",
            }  # fmt: skip
            if label != MEAN:
                known, positive = int(sub.known[row]), int(sub.positive[row])
                record |= {"known": known, "positives": positive}
                record["prevalence"] = positive / known if known else math.nan
            record |= _scores(sub.scored, group, row)
            record["ece"] = float(sub.ece[list(group.runs.values()), row].mean())
            out.append(record)
    return Records(out)


def differences(e: Evaluation) -> Records:
    """One record a comparison, metric and label."""
    return Records([_in_words(d) for d in e.differences], _DIFFERENCE)


def subgroup_differences(e: Evaluation) -> Records:
    """One record a subgroup, comparison, metric and label; not corrected across subgroups."""
    records = [{"subgroup": s.name, **_in_words(d)} for s in e.subgroups for d in s.differences]
    return Records(records, ["subgroup", *_DIFFERENCE])


_DIFFERENCE = [*(field.name for field in fields(Difference)), "sentence"]


def _in_words(d: Difference) -> dict[str, Any]:
    return {**asdict(d), "sentence": d.sentence()}


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


def predictions(
    e: Evaluation, rows: np.ndarray, extra: Mapping[str, Sequence[str]]
) -> tuple[list[str], list[list[str]]]:
    """Probabilities of every run and row; rows by number, `extra` columns where asked for."""
    cells: list[list[str]] = []
    for run, probabilities in enumerate(e.scores):
        cells += prediction_rows(rows, probabilities, {"run": str(run + 1), **extra})
    return ["run", *extra, "row", *e.scored.labels], cells


def near_copies(e: Evaluation, *, names: bool) -> Records:
    """One record a judged row that is a near copy of an image that a run has seen."""
    return Records([record for near in e.near for record in near.records(names=names)])


def shown(e: Evaluation) -> tuple[list[str], list[list[str]]]:
    """A small table for the terminal: the means of every group, and what their intervals cover."""
    mean = e.scored.rows.index(MEAN)
    compared = [m for m, name in enumerate(e.scored.metrics) if name in COMPARED]
    rows = [
        [group.name, str(len(group.runs))]
        + [with_interval(*group_score(e.scored, group, mean, m)) for m in compared]
        for group in e.groups
    ]
    columns = ["arm", "runs", *(COMPARED[e.scored.metrics[m]] for m in compared)]
    if any(len(group.runs) == 1 for group in e.groups):
        columns.append("interval covers")
        for row, group in zip(rows, e.groups):
            row.append("these patients only" if len(group.runs) == 1 else "patients and seeds")
    return columns, rows
