"""The tables of external data sets, for programs.

In: what `evaluate classifiers --external` measured. Out: records (JSON) and the same as CSV cells;
undefined values are blank.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, fields
from itertools import product
from typing import Any

from cxrtool.stats.calibration_line import mean_line
from cxrtool.stats.classifier_results import Evaluation
from cxrtool.stats.comparison import Difference, group_score
from cxrtool.stats.external import EXTERNAL, INTERNAL, External, LabelUse, Site
from cxrtool.stats.groups import Group
from cxrtool.stats.predictions import Records, prediction_rows

#: What `LINE` is called in columns.
LINE_COLUMNS = ("observed_minus_predicted", "calibration_in_the_large", "calibration_slope")
TABLES = ("external.csv", "external_differences.csv", "external_labels.csv")
PREDICTIONS, NEAR = "external_predictions.csv", "external_near_copies.csv"


def tables(e: Evaluation, *, names: bool) -> dict[str, Records]:
    """File -> table; none where there is no external set."""
    if not e.external:
        return {}
    out = dict(zip(TABLES, (scores(e), differences(e), labels(e))))
    near = [
        {"external": x.name, **record}
        for x in e.external
        for own in x.near
        for record in own.records(names=names)
    ]
    return out | ({NEAR: Records(near)} if near else {})


def summary(e: Evaluation) -> dict[str, Any]:
    """For `result.json`: by name how much was scored, mean AUROC of each arm, and what to know."""
    if not e.external:
        return {}
    return {
        "external": {
            x.name: {
                "images": x.images,
                "patients": x.patients,
                "labels": [use.label for use in x.compared],
                "mean_auroc": {
                    group.name: group_score(x.external.scored, group, len(x.compared), 0)[0]
                    for group in e.groups
                    if x.external is not None
                },
                "cautions": list(x.notes),
            }
            for x in e.external
        }
    }


def scores(e: Evaluation) -> Records:
    """One record an external set, side, arm and label, the mean over labels last."""
    out = []
    for x in e.external:
        if x.internal is None or x.external is None:
            continue
        gaps = {(gap.name, gap.row): gap for gap in x.gaps}
        sides = {INTERNAL: x.internal, EXTERNAL: x.external}
        for (side, site), group in product(sides.items(), e.groups):
            for row, label in enumerate(site.scored.rows):
                use = x.compared[row] if row < len(x.compared) else None
                record = {
                    "external": x.name, "data": side, "group": group.name, "arm": group.arm,
                    "runs": len(group.runs), "label": label, **_counts(site, side, use),
                    **site_numbers(site, group, row),
                }  # fmt: skip
                gap = gaps[group.name, label]
                ends = (gap.value, gap.low, gap.high) if side == EXTERNAL else (math.nan,) * 3
                record |= zip(_with_ends("auroc_internal_minus_external"), ends)
                out.append(record)
    return Records(out, ["external", "data", "group", "arm", "runs", "label"])


def _with_ends(name: str) -> tuple[str, str, str]:
    return name, f"{name}_low", f"{name}_high"


def _counts(site: Site, side: str, use: LabelUse | None) -> dict[str, Any]:
    names = ("use", "images", "positives", "positive_patients", "prevalence")
    if use is None:
        return dict(zip(names, ("", site.images, "", "", math.nan)))
    own = use.internal if side == INTERNAL else use.external
    values = (use.use, own.known, own.positive, own.positive_patients, own.prevalence)
    return dict(zip(names, values))


def site_numbers(site: Site, group: Group, row: int) -> dict[str, float]:
    """Scores, calibration and decisions of an arm on one side, with their intervals.

    Args:
        site: The side.
        group: The arm, whose runs are averaged.
        row: Of the labels; the last one is their mean, which has no calibration line.
    """
    out: dict[str, float] = {}
    for m, metric in enumerate(site.scored.metrics):
        out |= zip(_with_ends(metric), group_score(site.scored, group, row, m))
    runs = list(group.runs.values())
    out |= {
        "ece": float(site.ece[runs, row].mean()),
        "ece_perfect": float(site.ece_perfect[runs, row].mean()),
        "ece_shifted": float(site.ece_shifted[runs, row].mean()),
    }
    mean = row == len(site.scored.labels)
    lines = [] if mean else [site.lines[run][row] for run in runs]
    out["mean_predicted"] = sum(line.predicted for line in lines) / len(runs) if lines else math.nan
    estimates = mean_line(lines, float(site.scored.patients[row] - 1)) if lines else ()
    for k, name in enumerate(LINE_COLUMNS):
        ends = (math.nan,) * 3
        if estimates:
            ends = (estimates[k].value, *estimates[k].interval())
        out |= zip(_with_ends(name), ends)
    return out


def differences(e: Evaluation) -> Records:
    """One record an external set, comparison, metric and label, on external rows."""
    out = [
        {"external": x.name, **asdict(d), "sentence": d.sentence()}
        for x in e.external
        for d in x.differences
    ]
    columns = ["external", *(field.name for field in fields(Difference)), "sentence"]
    return Records(out, columns)


def labels(e: Evaluation) -> Records:
    """One record an external set and label: whether it is compared, and what both sides hold."""
    out = []
    for x in e.external:
        for use in x.uses:
            record: dict[str, Any] = {
                "external": x.name, "label": use.label, "use": use.use, "why": use.why,
            }  # fmt: skip
            for side, cells in ((INTERNAL, use.internal), (EXTERNAL, use.external)):
                record |= {f"{side}_{key}": value for key, value in asdict(cells).items()}
            out.append(record)
    return Records(out)


def predictions(sets: Sequence[External]) -> tuple[list[str], list[list[str]]]:
    """Probabilities of every run and external row; a label that a set lacks is blank."""
    every = list(dict.fromkeys(label for x in sets for label in x.labels))
    cells: list[list[str]] = []
    for x in sets:
        places = [x.labels.index(label) if label in x.labels else -1 for label in every]
        for run, probabilities in enumerate(x.scores):
            before = {"external": x.name, "run": str(run + 1)}
            for row in prediction_rows(x.rows, probabilities, before):
                head, own = row[:3], [*row[3:], ""]
                cells.append([*head, *(own[place] for place in places)])
    return ["external", "run", "row", *every], cells
