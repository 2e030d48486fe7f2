"""Labels by class and by reading of uncertainty, with bootstrap intervals.

In: two joined tables and the patient of every report. Out: one row for every observation, class
(positive, negative, uncertain) and reading of -1 (as 0, as 1), and for the macro and micro means,
with percentile intervals over resampled patients (see `intervals`). All rows share the resamples.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from cxrtool.data.columns import PATIENT
from cxrtool.stats.intervals import mean_over_labels, percentile_interval, resample_weights
from cxrtool.stats.labels import METRICS, Joined, LabelScore, outcomes, overall, score

MACRO, MICRO = "macro", "micro"


class View(NamedTuple):
    """A class under a reading of uncertainty; the class ``uncertain`` has no reading ("")."""

    of: str
    uncertain_as: str


VIEWS = (
    View("positive", "0"),
    View("positive", "1"),
    View("negative", "0"),
    View("negative", "1"),
    View("uncertain", ""),
)
#: How people call the readings.
READINGS = {"0": "-1 as 0", "1": "-1 as 1", "": ""}
COUNTS = ("support", "predicted", "tp", "fp", "fn", "tn")
#: (observation, metric) -> lower and upper end.
Intervals = Mapping[tuple[str, str], tuple[float, float]]


def groups(
    joined: Joined,
    predicted: pd.DataFrame,
    reference: pd.DataFrame,
    *,
    predicted_key: str,
    key: str,
) -> tuple[np.ndarray, str]:
    """Which reports belong to one patient.

    Args:
        joined: The rows that are scored.
        predicted: The whole table of the prediction; its ``patient_id`` is used, else that of
            ``reference``. A report without one stands for itself.
        reference: The whole table of the reference.
        predicted_key: Key column of ``predicted``.
        key: Key column of ``reference``.

    Returns:
        int64 [N] numbers of the groups, and what they are: "patients" or "reports".
    """
    for table, name in ((predicted, predicted_key), (reference, key)):
        if PATIENT in table.columns:
            patients = pd.Series(table[PATIENT].to_numpy(), index=table[name].to_numpy())
            ids = patients[~patients.index.duplicated()].reindex(joined.keys).fillna("")
            if (ids != "").any():
                units = [f"p:{i}" if i else f"k:{k}" for i, k in zip(ids, joined.keys)]
                return np.asarray(pd.factorize(np.array(units, object))[0], np.int64), "patients"
    return np.arange(len(joined.keys), dtype=np.int64), "reports"


def intervals(
    joined: Joined, *, blank: str, codes: np.ndarray, resamples: int, seed: int
) -> dict[View, Intervals]:
    """Intervals of precision, recall and F1 of every observation, and of their means.

    Args:
        joined: Both tables.
        blank: As in `labels.score`.
        codes: Group of every report (`groups`).
        resamples: How many; 0 gives no intervals.
        seed: Fixes the resamples.
    """
    if not resamples:
        return {view: {} for view in VIEWS}
    counts = {view: _group_counts(joined, view, blank, codes) for view in VIEWS}
    n_groups = int(codes.max()) + 1
    sums: dict[View, list[np.ndarray]] = {view: [] for view in VIEWS}
    rng = np.random.default_rng(seed)
    for weights in resample_weights(np.arange(n_groups), resamples, rng):
        for view, table in counts.items():
            sums[view].append(weights @ table)
    by_view = {}
    for view, parts in sums.items():
        points = score(joined, uncertain_as=view.uncertain_as, blank=blank, of=view.of)
        counted = np.concatenate(parts).reshape(resamples, 3, len(joined.labels))
        by_view[view] = _of_view(points, counted.transpose(1, 2, 0))
    return by_view


def _group_counts(joined: Joined, view: View, blank: str, codes: np.ndarray) -> np.ndarray:
    """TP, FP and FN of every group and observation: float64 [G, 3 * L]."""
    columns: list[list[np.ndarray]] = [[], [], []]
    for name in joined.labels:
        _, p, y = outcomes(joined, name, view.of, uncertain_as=view.uncertain_as, blank=blank)
        for kind, cells in zip(columns, (p & y, p & ~y, ~p & y), strict=True):
            kind.append(np.bincount(codes, weights=cells))
    return np.stack([counts for kind in columns for counts in kind], axis=1)


def _metrics(tp: np.ndarray, fp: np.ndarray, fn: np.ndarray) -> dict[str, np.ndarray]:
    with np.errstate(invalid="ignore"):
        return {
            "precision": tp / (tp + fp),
            "recall": tp / (tp + fn),
            "f1": 2 * tp / (2 * tp + fp + fn),
        }


def _of_view(points: list[LabelScore], counts: np.ndarray) -> Intervals:
    """Intervals of one view from its resampled counts [3, L, B]."""
    tp, fp, fn = counts
    each = _metrics(tp, fp, fn)
    micro = _metrics(tp.sum(axis=0), fp.sum(axis=0), fn.sum(axis=0))
    intervals = {}
    for metric in METRICS:
        for k, point in enumerate(points):
            if not math.isnan(getattr(point, metric)):
                intervals[point.observation, metric] = percentile_interval(each[metric][k])
        values = np.array([getattr(s, metric) if s.support else math.nan for s in points])
        intervals[MACRO, metric] = percentile_interval(mean_over_labels(values, each[metric]))
        intervals[MICRO, metric] = percentile_interval(micro[metric])
    return intervals


def table(joined: Joined, *, blank: str, intervals: Mapping[View, Intervals]) -> pd.DataFrame:
    """Everything as one table: a row for every view and observation, and for both means.

    Columns: ``class``, ``uncertain_as``, ``observation``, counts, and every metric with ``_low``
    and ``_high``. Counts of the rows ``macro`` and ``micro`` are sums.
    """
    rows: list[dict[str, Any]] = []
    for view in VIEWS:
        scores = score(joined, uncertain_as=view.uncertain_as, blank=blank, of=view.of)
        means = overall(scores)
        base = {"class": view.of, "uncertain_as": view.uncertain_as}
        lines = [s.to_json() for s in scores]
        for mean in (MACRO, MICRO):
            sums = {key: sum(line[key] for line in lines) for key in ("n", *COUNTS)}
            values = {metric: means[f"{mean}_{metric}"] for metric in METRICS}
            lines.append({"observation": mean, **sums, **values})
        for line in lines:
            line.pop("uncertain", None)
            rows.append({**base, **line, **ends(line["observation"], intervals[view])})
    return pd.DataFrame(rows)


def ends(observation: str, intervals: Intervals) -> dict[str, float]:
    """The ends of the intervals of one row, as columns."""
    out: dict[str, float] = {}
    for metric in METRICS:
        low, high = intervals.get((observation, metric), (math.nan, math.nan))
        out |= {f"{metric}_low": low, f"{metric}_high": high}
    return out
