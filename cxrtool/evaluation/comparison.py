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
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scipy import stats

from cxrtool.evaluation.curves import decision_scores, label_scores, rank
from cxrtool.evaluation.delong import components, paired_difference
from cxrtool.evaluation.intervals import (
    CLASS_METRICS,
    METRICS,
    bootstrap_classes,
    bootstrap_scores,
    mean_over_labels,
    percentile_interval,
)
from cxrtool.evaluation.wording import with_interval

MIN_SEEDS = 5
ALPHA = 0.05
MEAN = "mean over labels"
PRIMARY = ("gan", "duplicate")
#: Metrics whose differences are judged, and their names in sentences.
COMPARED = {
    "auroc": "AUROC",
    "average_precision": "average precision",
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
}
#: What belongs to an arm and not to the regimen that arms are compared in.
MADE_FROM = ("synth", "start")  # see joining.made_from
ARM_OPTIONS = ("arm", "augment", "pretrain_frac", "finetune_lr", "synth")


@dataclass(frozen=True)
class Scored:
    """Point scores and resampled scores of all runs.

    Attributes:
        labels: L names.
        points: [R, L + 1, M] float64, the last label is the mean over the defined ones.
        samples: [R, L + 1, M, B] float64 under shared patient resamples.
        defined: [L] bool, labels with both classes, which the mean is taken over.
        metrics: M names: `METRICS`, and for single-label sets `CLASS_METRICS`, which stand in the
            last row alone.
    """

    labels: tuple[str, ...]
    points: np.ndarray
    samples: np.ndarray
    defined: np.ndarray
    metrics: tuple[str, ...] = METRICS

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
    classes: np.ndarray | None = None,
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
        classes: [N] int64 class of each image of a single-label set, or None.
    """
    points = np.stack([_points(truth, mask, run) for run in scores])
    # Average precision needs positives alone, but without negatives it is 1 whatever is predicted.
    points[np.isnan(points[..., 0])] = np.nan
    defined = ~np.isnan(points[0, :, 0])
    samples = bootstrap_scores(truth, mask, scores, codes, resamples=resamples, seed=seed)
    means = points[:, defined].mean(axis=1) if defined.any() else np.full_like(points[:, 0], np.nan)
    mean_samples = np.stack(
        [mean_over_labels(points[..., m], samples[:, :, m]) for m in range(len(METRICS))], axis=1
    )
    points = np.concatenate([points, means[:, None]], axis=1)
    samples = np.concatenate([samples, mean_samples[:, None]], axis=1)
    if classes is None:
        return Scored(tuple(labels), points, samples, defined)
    more, more_samples = bootstrap_classes(classes, scores, codes, resamples=resamples, seed=seed)
    wider = np.full((*points.shape[:2], len(CLASS_METRICS)), np.nan)
    wider[:, -1] = more
    wider_samples = np.full((*samples.shape[:2], len(CLASS_METRICS), resamples), np.nan)
    wider_samples[:, -1] = more_samples
    return Scored(
        tuple(labels),
        np.concatenate([points, wider], axis=2),
        np.concatenate([samples, wider_samples], axis=2),
        defined,
        (*METRICS, *CLASS_METRICS),
    )


def _points(truth: np.ndarray, mask: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """All `METRICS` of one run: [L, M] float64."""
    more = np.full((truth.shape[1], 2), np.nan)
    for k in range(truth.shape[1]):
        rows = mask[:, k]
        ranking = rank(truth[rows, k], scores[rows, k])
        found = decision_scores(ranking, np.ones((1, int(rows.sum()))))
        more[k] = [float(value[0]) for value in found]
    return np.concatenate([np.stack(label_scores(truth, mask, scores), axis=-1), more], axis=1)


# --- groups: runs that differ by seed alone -------------------------------------------------------


@dataclass(frozen=True)
class Group:
    """Runs of one recipe.

    Attributes:
        name: Shown in tables: the arm, and what else tells it from other groups of that arm.
        arm: Arm of the recipe.
        runs: Seed -> index of the run.
        synth: Which synthetic sets its images come from, "" for none.
        regimen: All that fixed the training beside arm and seed; groups of one regimen are
            compared with each other.
        regimen_name: What tells this regimen from others, "" if there is one.
    """

    name: str
    arm: str
    runs: dict[int, int] = field(default_factory=dict)
    regimen: str = ""
    regimen_name: str = ""
    synth: str = ""


def group_runs(
    recipes: Sequence[dict[str, Any]], arm_options: Collection[str] = ARM_OPTIONS
) -> list[Group]:
    """Group runs whose recipes differ by `seed` alone, in the order of their first run.

    Args:
        recipes: One a run, with `arm`, `seed` and whatever else fixed the training, such as `synth`
            and `start` (`joining.pooled_recipes`). Runs that
            share recipe and seed form groups of their own ("gan #2"): they are not seeds.
        arm_options: What belongs to an arm and not to its regimen.
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
        differing = _telling(rest, rivals)
        name = str(rest["arm"])
        if differing:
            name += " (" + ", ".join(_setting(k, rest[k]) for k in differing) + ")"
        if copy > 1:
            name += f" #{copy}"
        synth = str(rest.get("synth") or "")
        regimen = _regimen(rest, found.values(), arm_options)
        groups.append(Group(name, str(rest["arm"]), runs, *regimen, synth))
    return groups


def _telling(rest: dict[str, Any], rivals: Sequence[dict[str, Any]]) -> list[str]:
    """The keys that tell a recipe from its rivals; sets and starts where nothing else does.

    (Every regimen has a synthetic set of its own: its digest would only repeat the regimen.)
    """
    chosen = [k for k in rest if k not in MADE_FROM and any(o.get(k) != rest[k] for o in rivals)]
    alike = [o for o in rivals if all(o.get(k) == rest[k] for k in rest if k not in MADE_FROM)]
    made = [k for k in MADE_FROM if any(o.get(k) != rest.get(k) for o in alike)]
    return chosen + made


def _regimen(
    rest: dict[str, Any],
    every: Iterable[tuple[dict[str, Any], dict[int, int]]],
    arm_options: Collection[str],
) -> tuple[str, str]:
    """The regimen of a recipe as a key, and what tells it from the others."""
    own = {k: v for k, v in rest.items() if k not in arm_options}
    others = [other for other, _ in every]
    differing = [k for k in own if any(o.get(k) != own[k] for o in others)]
    name = ", ".join(_setting(k, own[k]) for k in differing)
    return json.dumps(own, sort_keys=True), name


def _setting(key: str, value: Any) -> str:
    if key == "fraction":
        return f"{100 * value:g} % of patients"
    if key == "synth":
        unnamed = re.fullmatch(r"([0-9a-f]{8}|\d+)(\+[0-9a-f]{8})*", value)
        return f"synthetic set {value}" if unnamed else value or "no synthetic set"
    if key == "start":
        return f"start {value}" if value else "no earlier start"
    return str(value) if isinstance(value, str) else f"{key} {value}"


def pairs_of_groups(groups: Sequence[Group]) -> list[tuple[Group, Group, bool]]:
    """Which differences to show: (a, b, primary) for a minus b.

    Within a regimen (the same data, network and budget) the primary ones are gan minus duplicate of
    the same synthetic set, where there is exactly one of each for that set; then every group minus
    the baseline, which is the arm `none` if present, else the first group. A regimen of one group
    is compared with the first group of all.
    """
    regimens: dict[str, list[Group]] = {}
    for group in groups:
        regimens.setdefault(group.regimen, []).append(group)
    out: list[tuple[Group, Group, bool]] = []
    for members in regimens.values():
        by_arm: dict[str, list[Group]] = {}
        for group in members:
            by_arm.setdefault(group.arm, []).append(group)
        first, second = (by_arm.get(arm, []) for arm in PRIMARY)
        for synth in dict.fromkeys(group.synth for group in first):
            a = [group for group in first if group.synth == synth]
            b = [group for group in second if group.synth == synth]
            if len(a) == len(b) == 1:
                out.append((a[0], b[0], True))
        baseline = by_arm["none"][0] if "none" in by_arm else members[0]
        if len(members) == 1:
            baseline = groups[0]
        for group in members:
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
        metric: One of `COMPARED`.
        pairs: Seeds that both groups have.
        value: Mean paired difference.
        low: Lower end of the 95 % interval.
        high: Upper end.
        p: Two-sided p-value, Holm-corrected within its family; NaN without a verdict.
        corrected: Its family has more than one comparison.
        delong_low: Lower end of the clustered DeLong interval of these very networks.
        delong_high: Its upper end.
        delong_p: Its p-value; not corrected.
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
    corrected: bool = False
    delong_low: float = math.nan
    delong_high: float = math.nan
    delong_p: float = math.nan

    def sentence(self) -> str:
        """The difference in words, for a person who reads nothing else."""
        name = COMPARED[self.metric]
        if self.row == MEAN:
            what = (
                f"{self.a} minus {self.b}, {'' if self.metric in CLASS_METRICS else 'mean '}{name}"
            )
        else:
            what = f"{self.a} minus {self.b} on {self.row} ({name})"
        if math.isnan(self.value):
            return f"{what}: {self.verdict}."
        numbers = with_interval(self.value, self.low, self.high, signed=True)
        if not math.isnan(self.p):
            p = "p < 0.001" if self.p < 0.001 else f"p = {self.p:.3f}"
            numbers += f", {p}" + (" corrected" if self.corrected else "")
        return f"{what}: {numbers}: {self.verdict}."


def difference(
    scored: Scored, a: Group, b: Group, row: int, metric: int, *, primary: bool
) -> Difference:
    """One difference with its interval, before any correction for several comparisons."""
    seeds = sorted(a.runs.keys() & b.runs.keys())
    base = Difference(
        a.name, b.name, primary, scored.rows[row], scored.metrics[metric], len(seeds),
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

    Families: the primary comparisons of means (one for each regimen and synthetic set); the other
    comparisons of means; the labels within one pair of groups. Each for each metric.
    """
    compared = [m for m, name in enumerate(scored.metrics) if name in COMPARED]
    families: dict[tuple[Any, ...], list[Difference]] = {}
    for a, b, primary in pairs_of_groups(groups):
        for metric in compared:
            for row, name in enumerate(scored.rows):
                if name != MEAN and scored.metrics[metric] in CLASS_METRICS:
                    continue  # of all classes together
                found = difference(scored, a, b, row, metric, primary=primary)
                key: tuple[Any, ...] = (metric, "labels", a.name, b.name)
                if name == MEAN:
                    key = (metric, "means", primary)
                families.setdefault(key, []).append(found)
    out: list[Difference] = []
    for family in families.values():
        corrected = holm(np.array([d.p for d in family]))
        several = int((~np.isnan(corrected)).sum()) > 1
        out += [replace(_judged(d, float(p)), corrected=several) for d, p in zip(family, corrected)]
    order = {
        pair: i for i, pair in enumerate((a.name, b.name) for a, b, _ in pairs_of_groups(groups))
    }
    rows = {name: i for i, name in enumerate(scored.rows)}
    metrics = scored.metrics
    out.sort(key=lambda d: (order[d.a, d.b], metrics.index(d.metric), d.row != MEAN, rows[d.row]))
    return out


def _judged(found: Difference, p: float) -> Difference:
    if math.isnan(p):
        return found
    if p >= ALPHA:
        return replace(found, p=p, verdict="no evidence")
    return replace(found, p=p, verdict="evidence for" if found.value > 0 else "evidence against")


def add_delong(
    found: Sequence[Difference],
    scored: Scored,
    groups: Sequence[Group],
    truth: np.ndarray,
    mask: np.ndarray,
    scores: np.ndarray,
    codes: np.ndarray,
) -> list[Difference]:
    """Put the clustered DeLong interval of these networks beside each difference in AUROC.

    Args:
        found: From `compare`.
        scored: What they come from.
        groups: Of the runs.
        truth: [N, L] in {0, 1}.
        mask: [N, L] bool.
        scores: [R, N, L] float.
        codes: [N] int64 patient of each image.
    """
    by_name = {group.name: group for group in groups}
    parts = {
        label: components(truth[mask[:, k], k], scores[:, mask[:, k], k], codes[mask[:, k]])
        for k, label in enumerate(scored.labels)
    }
    out = []
    for d in found:
        part = parts.get(d.row)
        if d.metric != "auroc" or part is None or not d.pairs:
            out.append(d)
            continue
        a, b = by_name[d.a], by_name[d.b]
        seeds = sorted(a.runs.keys() & b.runs.keys())
        test = paired_difference(part, [a.runs[s] for s in seeds], [b.runs[s] for s in seeds])
        out.append(replace(d, delong_low=test.low, delong_high=test.high, delong_p=test.p))
    return out
