"""Scores of several runs on the same rows, and what may be said about their differences.

In: predictions of R runs on the same N images, and the recipe (arm, seed, ...) of each run. Out:
scores with patient-bootstrap intervals, and differences between groups of runs that differ by seed
alone.

A verdict comes from seed-paired differences (METHODS 8): the variance of their mean is the
between-seed variance over S plus the patient-bootstrap variance, judged by a t distribution with
S - 1 degrees of freedom. One run says nothing about other seeds, so below `MIN_SEEDS` pairs there
is an interval but no verdict. One primary comparison (gan minus duplicate), the rest secondary,
Holm's correction (Scand. J. Stat. 6:65-70, 1979) within each family.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scipy import stats

from cxrtool.evaluation.curves import label_scores
from cxrtool.evaluation.intervals import (
    METRICS,
    bootstrap_scores,
    mean_over_labels,
    percentile_interval,
)
from cxrtool.evaluation.wording import with_interval

MIN_SEEDS = 5
ALPHA = 0.05
MEAN = "mean over labels"
PRIMARY = ("gan", "duplicate")


@dataclass(frozen=True)
class Scored:
    """Point scores and resampled scores of all runs.

    Attributes:
        labels: L names.
        points: [R, L + 1, 2] float64, the last label is the mean over the defined ones.
        samples: [R, L + 1, 2, B] float64 under shared patient resamples.
        defined: [L] bool, labels with both classes, which the mean is taken over.
    """

    labels: tuple[str, ...]
    points: np.ndarray
    samples: np.ndarray
    defined: np.ndarray

    @property
    def rows(self) -> tuple[str, ...]:
        """Names along the second axis: the labels, then their mean."""
        return (*self.labels, MEAN)

    def interval(self, run: int, row: int, metric: int) -> tuple[float, float]:
        """Percentile interval of one run's score."""
        if math.isnan(self.points[run, row, metric]):
            return math.nan, math.nan
        return percentile_interval(self.samples[run, row, metric])


def score_runs(
    labels: Sequence[str],
    truth: np.ndarray,
    mask: np.ndarray,
    scores: np.ndarray,
    codes: np.ndarray,
    *,
    resamples: int,
    seed: int,
) -> Scored:
    """Score all runs on the same rows.

    Args:
        labels: L names.
        truth: [N, L] in {0, 1}.
        mask: [N, L] bool, False leaves the cell out.
        scores: [R, N, L] float.
        codes: [N] patient of each image (`cxrtool.data.select.patient_groups`).
        resamples: Patient resamples B.
        seed: Fixes the resamples.
    """
    points = np.stack([np.stack(label_scores(truth, mask, run), axis=-1) for run in scores])
    # Average precision needs positives alone, but without negatives it is 1 whatever is predicted.
    points[np.isnan(points[..., 0])] = np.nan
    defined = ~np.isnan(points[0, :, 0])
    samples = bootstrap_scores(truth, mask, scores, codes, resamples=resamples, seed=seed)
    means = points[:, defined].mean(axis=1) if defined.any() else np.full_like(points[:, 0], np.nan)
    mean_samples = np.stack(
        [mean_over_labels(points[..., m], samples[:, :, m]) for m in range(len(METRICS))], axis=1
    )
    return Scored(
        labels=tuple(labels),
        points=np.concatenate([points, means[:, None]], axis=1),
        samples=np.concatenate([samples, mean_samples[:, None]], axis=1),
        defined=defined,
    )


# --- groups: runs that differ by seed alone -------------------------------------------------------


@dataclass(frozen=True)
class Group:
    """Runs of one recipe.

    Attributes:
        name: Shown in tables: the arm, and what else tells it from other groups of that arm.
        arm: Arm of the recipe.
        runs: Seed -> index of the run.
    """

    name: str
    arm: str
    runs: dict[int, int] = field(default_factory=dict)


def group_runs(recipes: Sequence[dict[str, Any]]) -> list[Group]:
    """Group runs whose recipes differ by `seed` alone, in the order of their first run.

    Args:
        recipes: One a run, with `arm`, `seed` and whatever else fixed the training. Runs that
            share recipe and seed form groups of their own ("gan #2"): they are not seeds.
    """
    found: dict[tuple[str, int], tuple[dict[str, Any], dict[int, int]]] = {}
    for index, recipe in enumerate(recipes):
        rest = {k: v for k, v in recipe.items() if k != "seed"}
        key = json.dumps(rest, sort_keys=True)
        copy = 1
        while (key, copy) in found and recipe["seed"] in found[key, copy][1]:
            copy += 1
        found.setdefault((key, copy), (rest, {}))[1][recipe["seed"]] = index
    groups = []
    for (_, copy), (rest, runs) in found.items():
        rivals = [other for other, _ in found.values() if other["arm"] == rest["arm"]]
        differing = [k for k in rest if any(o.get(k) != rest[k] for o in rivals)]
        name = str(rest["arm"])
        if differing:
            name += " (" + ", ".join(_setting(k, rest[k]) for k in differing) + ")"
        if copy > 1:
            name += f" #{copy}"
        groups.append(Group(name, str(rest["arm"]), runs))
    return groups


def _setting(key: str, value: Any) -> str:
    return str(value) if isinstance(value, str) else f"{key} {value}"


def pairs_of_groups(groups: Sequence[Group]) -> list[tuple[Group, Group, bool]]:
    """Which differences to show: (a, b, primary) for a minus b.

    The primary one is gan minus duplicate, where there is exactly one of each; then every group
    minus the baseline, which is the arm `none` if present, else the first group.
    """
    by_arm: dict[str, list[Group]] = {}
    for group in groups:
        by_arm.setdefault(group.arm, []).append(group)
    out: list[tuple[Group, Group, bool]] = []
    if all(len(by_arm.get(arm, ())) == 1 for arm in PRIMARY):
        out.append((by_arm[PRIMARY[0]][0], by_arm[PRIMARY[1]][0], True))
    baseline = by_arm["none"][0] if "none" in by_arm else groups[0]
    for group in groups:
        known = any(a is group and b is baseline for a, b, _ in out)
        if group is not baseline and not known:
            out.append((group, baseline, False))
    return out


# --- differences ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Difference:
    """Group a minus group b in one score.

    Attributes:
        row: Label, or `MEAN`.
        metric: "auroc" or "average_precision".
        pairs: Seeds that both groups have.
        value: Mean paired difference.
        low: Lower end of the 95 % interval.
        high: Upper end.
        p: Two-sided p-value, Holm-corrected within its family; NaN without a verdict.
        verdict: "evidence for", "evidence against", "no evidence", or why there is none.
    """

    a: str
    b: str
    primary: bool
    row: str
    metric: str
    pairs: int
    value: float
    low: float
    high: float
    p: float
    verdict: str

    def sentence(self) -> str:
        """The difference in words, for a person who reads nothing else."""
        name = {"auroc": "AUROC", "average_precision": "average precision"}[self.metric]
        where = f"mean {name}" if self.row == MEAN else f"{name} of {self.row}"
        what = f"{self.a} minus {self.b}, {where}"
        if math.isnan(self.value):
            return f"{what}: {self.verdict}."
        numbers = with_interval(self.value, self.low, self.high, signed=True)
        if not math.isnan(self.p):
            p = "p < 0.001" if self.p < 0.001 else f"p = {self.p:.3f}"
            numbers += f", {p}" + ("" if self.primary and self.row == MEAN else " corrected")
        return f"{what}: {numbers}: {self.verdict}."


def difference(
    scored: Scored, a: Group, b: Group, row: int, metric: int, *, primary: bool
) -> Difference:
    """One difference with its interval, before any correction for several comparisons."""
    seeds = sorted(a.runs.keys() & b.runs.keys())
    base = Difference(
        a.name, b.name, primary, scored.rows[row], METRICS[metric], len(seeds),
        math.nan, math.nan, math.nan, math.nan, "",
    )  # fmt: skip
    if not seeds:
        return replace(base, verdict="no seed in common, nothing to pair")
    left = [a.runs[s] for s in seeds]
    right = [b.runs[s] for s in seeds]
    values = scored.points[left, row, metric] - scored.points[right, row, metric]
    if np.isnan(values).any():
        return replace(base, verdict="undefined, a class is missing in the test rows")
    resampled = scored.samples[left, row, metric] - scored.samples[right, row, metric]
    resampled = resampled.mean(axis=0)
    value = float(values.mean())
    too_few = f"too few runs for a verdict ({len(seeds)} of {MIN_SEEDS})"
    if len(seeds) == 1:
        low, high = percentile_interval(resampled)
        return replace(base, value=value, low=low, high=high, verdict=too_few)
    kept = resampled[~np.isnan(resampled)]
    enough = len(kept) > len(resampled) / 2
    spread = math.sqrt(values.var(ddof=1) / len(seeds) + (kept.var(ddof=1) if enough else math.nan))
    freedom = len(seeds) - 1
    reach = float(stats.t.ppf(1 - ALPHA / 2, freedom)) * spread
    out = replace(base, value=value, low=value - reach, high=value + reach, verdict=too_few)
    if len(seeds) < MIN_SEEDS or math.isnan(spread):
        return out
    t = math.inf if spread == 0 and value else (value / spread if spread else 0.0)
    return replace(out, p=float(2 * stats.t.sf(abs(t), freedom)), verdict="")


def holm(p_values: np.ndarray) -> np.ndarray:
    """Holm's step-down correction of m p-values; NaN stays NaN and does not count."""
    out = np.full(len(p_values), np.nan)
    known = np.flatnonzero(~np.isnan(p_values))
    running = 0.0
    for position, index in enumerate(known[np.argsort(p_values[known], kind="stable")]):
        running = max(running, (len(known) - position) * p_values[index])
        out[index] = min(1.0, running)
    return out


def compare(scored: Scored, groups: Sequence[Group]) -> list[Difference]:
    """All differences, corrected within their families, with a verdict each.

    Families: the primary comparison of means (alone, uncorrected); the other comparisons of means;
    the labels within one pair of groups. Each for each metric.
    """
    families: dict[tuple[Any, ...], list[Difference]] = {}
    for a, b, primary in pairs_of_groups(groups):
        for metric in range(len(METRICS)):
            for row, name in enumerate(scored.rows):
                found = difference(scored, a, b, row, metric, primary=primary)
                key: tuple[Any, ...] = (metric, "labels", a.name, b.name)
                if name == MEAN:
                    key = (metric, "means", primary)
                families.setdefault(key, []).append(found)
    out: list[Difference] = []
    for family in families.values():
        corrected = holm(np.array([d.p for d in family]))
        out += [_judged(d, float(p)) for d, p in zip(family, corrected)]
    order = {
        pair: i for i, pair in enumerate((a.name, b.name) for a, b, _ in pairs_of_groups(groups))
    }
    rows = {name: i for i, name in enumerate(scored.rows)}
    out.sort(key=lambda d: (order[d.a, d.b], METRICS.index(d.metric), d.row != MEAN, rows[d.row]))
    return out


def _judged(found: Difference, p: float) -> Difference:
    if math.isnan(p):
        return found
    if p >= ALPHA:
        return replace(found, p=p, verdict="no evidence")
    return replace(found, p=p, verdict="evidence for" if found.value > 0 else "evidence against")
