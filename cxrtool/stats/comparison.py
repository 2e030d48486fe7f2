"""Scores of several runs on the same rows, and what may be said about their differences.

In: predictions of R runs on the same N images, and the recipe (arm, seed, ...) of each run. Out:
scores with patient-bootstrap intervals, and differences between groups of runs that differ by seed
alone.

A verdict comes from seed-paired differences (`verdicts` has the arithmetic). One run
says nothing about other seeds, so below `MIN_SEEDS` pairs there is an interval but no verdict. One
primary comparison (gan minus duplicate), the rest secondary, Holm's correction (Scand. J. Stat.
6:65-70, 1979) of p and interval within each family. A verdict speaks of what varied (`scope`): not
of the synthetic set or the start that all seeds of an arm share.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from cxrtool.stats import intervals, verdicts
from cxrtool.stats.delong import components, paired_difference
from cxrtool.stats.groups import Group, claim, pairs_of_groups
from cxrtool.stats.intervals import CLASS_METRICS, METRICS, percentile_interval
from cxrtool.stats.verdicts import ALPHA, MIN_SEEDS, POWER, Estimate, estimate
from cxrtool.stats.wording import number, p_value, with_interval

MEAN = "mean over labels"
NO_EVIDENCE = "no evidence"
#: Metrics whose differences are judged, and their names in sentences.
COMPARED = {
    "auroc": "AUROC",
    "average_precision": "average precision",
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
}


@dataclass(frozen=True)
class Scored:
    """Point scores and resampled scores of all runs.

    Attributes:
        labels: L names.
        points: [R, L + 1, M] float64, the last label is the mean over the `averaged` ones.
        samples: [R, L + 1, M, B] float64 under shared patient resamples.
        defined: [L] bool, labels with both classes.
        patients: [L + 1] float64, those that each label's score rests on
            (`verdicts.patients_by_label`), and all.
        metrics: M names: `METRICS`, and for single-label sets `CLASS_METRICS`, which stand in the
            last row alone.
        rare: Places of labels with both classes that the mean leaves out (`rare_labels`).
    """

    labels: tuple[str, ...]
    points: np.ndarray
    samples: np.ndarray
    defined: np.ndarray
    patients: np.ndarray
    metrics: tuple[str, ...] = METRICS
    rare: tuple[int, ...] = ()

    @property
    def averaged(self) -> np.ndarray:
        """[L] bool, labels that the mean is taken over."""
        out = self.defined.copy()
        out[list(self.rare)] = False
        return out

    @property
    def rows(self) -> tuple[str, ...]:
        """Names along the second axis: the labels, then their mean."""
        return (*self.labels, MEAN)


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
    least: int = 0,
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
        least: Patients with a label, and without it, below which the mean leaves it out.
    """
    how = {"resamples": resamples, "seed": seed}
    metrics: tuple[str, ...] = METRICS
    points, samples = intervals.bootstrap(
        intervals.label_metrics(truth, mask, scores), codes, **how
    )
    # Average precision needs positives alone, but without negatives it is 1 whatever is predicted.
    points[np.isnan(points[..., 0])] = np.nan
    defined = ~np.isnan(points[0, :, 0])
    rare = rare_labels(verdicts.rarer_side(truth, mask, codes), defined, least)
    averaged = defined.copy()
    averaged[list(rare)] = False
    inside = np.where(averaged[:, None], points, np.nan)
    means = np.full_like(points[:, 0], np.nan)
    if averaged.any():
        means = points[:, averaged].mean(axis=1)
    mean_samples = [
        intervals.mean_over_labels(inside[..., m], samples[:, :, m]) for m in range(len(METRICS))
    ]
    points = np.concatenate([points, means[:, None]], axis=1)
    samples = np.concatenate([samples, np.stack(mean_samples, axis=1)[:, None]], axis=1)
    if classes is not None:  # their metrics stand in the last row alone
        metrics += CLASS_METRICS
        own = intervals.bootstrap(intervals.class_metrics(classes, scores), codes, **how)
        more = [(0, 0), (0, 0), (0, len(CLASS_METRICS))]
        points = np.pad(points, more, constant_values=np.nan)
        samples = np.pad(samples, [*more, (0, 0)], constant_values=np.nan)
        points[:, -1, len(METRICS) :], samples[:, -1, len(METRICS) :] = own
    patients = np.append(
        verdicts.patients_by_label(truth, mask, codes), verdicts.effective_patients(codes)
    )
    return Scored(tuple(labels), points, samples, defined, patients, metrics, rare)


def rare_labels(counts: np.ndarray, defined: np.ndarray, least: int) -> tuple[int, ...]:
    """Places of defined labels that rest on fewer than `least` patients.

    None where all of them do: then there is no better mean than that of all.

    Args:
        counts: [L] patients, from `verdicts.rarer_side`.
        defined: [L] bool.
        least: Patients.
    """
    few = defined & (counts < least)
    return () if (few == defined).all() else tuple(np.flatnonzero(few).tolist())


def resampled_interval(scored: Scored, samples: np.ndarray, row: int) -> tuple[float, float]:
    """Percentile interval over test patients; (NaN, NaN) where the resamples are degenerate.

    They are where too few hold both classes, where nothing varies in them (all positives above all
    negatives), and where one patient alone has, or lacks, a label: then nothing is known of another
    in their place.
    """
    low, high = percentile_interval(samples)
    rests = (
        scored.patients[:-1][scored.averaged]
        if row == len(scored.labels)
        else (scored.patients[row : row + 1])
    )
    if low == high or (len(rests) and rests.min() < 2):
        return math.nan, math.nan
    return low, high


def group_score(scored: Scored, group: Group, row: int, metric: int) -> tuple[float, float, float]:
    """Mean score over the seeds of a group and the ends of its 95 % interval; NaN where undefined.

    Of one seed it is the percentile interval over test patients. With several the variance between
    seeds is added, as for a verdict (`verdicts.estimate`): another training is in it too. All
    metrics lie between 0 and 1, and so does the interval.
    """
    runs = list(group.runs.values())
    values = scored.points[runs, row, metric]
    value = float(values.mean())
    if math.isnan(value):
        return math.nan, math.nan, math.nan
    samples = scored.samples[runs, row, metric].mean(axis=0)
    low, high = resampled_interval(scored, samples, row)
    if len(runs) == 1 or math.isnan(low):
        return value, low, high
    low, high = estimate(values, samples, patient_freedom(scored, row, metric)).interval()
    return value, max(0.0, low), min(1.0, high)


# --- differences ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Difference:
    """Group a minus group b in one score.

    Attributes:
        row: Label, or `MEAN`.
        metric: One of `COMPARED`.
        pairs: Seeds that both groups have.
        value: Mean paired difference.
        low: Lower end of the 95 % interval; beside a corrected p it is corrected too.
        high: Upper end.
        p: Two-sided p-value, Holm-corrected within its family; NaN without a verdict.
        comparisons: How many p and interval are corrected for; 1 is none but this.
        se: Standard error of the value, NaN for one pair.
        freedom: Its degrees of freedom.
        detectable: The smallest true difference that would have been found, corrected as the
            interval is, with the power `verdicts.POWER`; NaN without a verdict.
        delong_low: Lower end of the clustered DeLong interval of these very networks.
        delong_high: Its upper end.
        delong_p: Its p-value; neither is corrected.
        about: What the verdict is about (`scope`): "the method", or what all seeds share, "this
            synthetic set"; "" where it is about the arms.
        over: How many of it there are: "5 generators"; "" of one.
        verdict: "evidence for", "evidence against", "no evidence", or why there is none.
    """

    a: str
    b: str
    primary: bool
    row: str
    metric: str
    pairs: int
    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    p: float = math.nan
    verdict: str = ""
    comparisons: int = 1
    se: float = math.nan
    freedom: float = math.nan
    detectable: float = math.nan
    about: str = ""
    over: str = ""
    delong_low: float = math.nan
    delong_high: float = math.nan
    delong_p: float = math.nan

    def sentence(self) -> str:
        """The difference in words, for a person who reads nothing else."""
        name, mean = COMPARED[self.metric], "" if self.metric in CLASS_METRICS else "mean "
        where = f", {mean}{name}" if self.row == MEAN else f" on {self.row} ({name})"
        what = f"{self.a} minus {self.b}{where}"
        if math.isnan(self.value):
            return f"{what}: {self.verdict}."
        numbers = with_interval(self.value, self.low, self.high, signed=True)
        about = f" (about {self.about_text()})" if self.about_text() else ""
        blind = f"; {self.blind_text()}" if self.blind_text() else ""
        return f"{what}: {numbers}{self.p_text()}: {self.verdict}{about}{blind}."

    def about_text(self) -> str:
        """What the verdict is about: "the method, 5 generators"; "" where there is none."""
        if math.isnan(self.p):
            return ""
        return ", ".join(filter(None, (self.about, self.over)))

    def blind_text(self) -> str:
        """What "no evidence" could have seen: "0.021 or more would be found with 80 % power"."""
        if self.verdict != NO_EVIDENCE or math.isnan(self.detectable):
            return ""
        return f"{number(self.detectable)} or more would be found with {100 * POWER:g} % power"

    @property
    def estimate(self) -> Estimate:
        """What the interval and p come from."""
        return Estimate(self.value, self.se, self.freedom)

    def p_text(self, *, corrected: bool = True) -> str:
        """ ", p = 0.012 (interval and p corrected for 3 comparisons)"; "" without a verdict."""
        if math.isnan(self.p):
            return ""
        text = f", p {p_value(self.p)}" if self.p < 0.001 else f", p = {p_value(self.p)}"
        return text + (f" ({self.correction()})" if corrected and self.comparisons > 1 else "")

    def correction(self) -> str:
        """What stands beside interval and p where several comparisons were made, else ""."""
        if self.comparisons == 1:
            return ""
        return f"interval and p corrected for {self.comparisons} comparisons"


def difference(
    scored: Scored, a: Group, b: Group, row: int, metric: int, *, primary: bool
) -> Difference:
    """One difference with its interval, before any correction for several comparisons."""
    seeds = sorted(a.runs.keys() & b.runs.keys())
    names = a.name, b.name, primary, scored.rows[row], scored.metrics[metric]
    base = Difference(*names, len(seeds))
    if not seeds:
        return replace(base, verdict="no seed in common, nothing to pair")
    left, right = ([group.runs[s] for s in seeds] for group in (a, b))
    values = scored.points[left, row, metric] - scored.points[right, row, metric]
    if np.isnan(values).any():
        return replace(base, verdict="undefined, a class is missing in the test rows")
    resampled = scored.samples[left, row, metric] - scored.samples[right, row, metric]
    resampled = resampled.mean(axis=0)
    value = float(values.mean())
    too_few = f"too few runs for a verdict ({len(seeds)} of {MIN_SEEDS})"
    if len(seeds) == 1:
        low, high = resampled_interval(scored, resampled, row)
        return replace(base, value=value, low=low, high=high, verdict=too_few)
    mean = estimate(values, resampled, patient_freedom(scored, row, metric))
    low, high = mean.interval()
    out = replace(base, value=value, low=low, high=high, se=mean.se, freedom=mean.freedom)
    if len(seeds) < MIN_SEEDS:
        return replace(out, verdict=too_few)
    if math.isnan(mean.p()):
        return replace(out, verdict=_too_few_patients(scored, row))
    return replace(out, p=mean.p())


def patient_freedom(scored: Scored, row: int, metric: int) -> float:
    """Degrees of freedom of the variance over test patients of a score.

    Accuracy rests on all patients; macro F1, a mean over classes, as means over labels do.
    """
    if row < len(scored.labels):
        return float(scored.patients[row] - 1)
    if scored.metrics[metric] == "accuracy":
        return float(scored.patients[-1] - 1)
    own = scored.defined if scored.metrics[metric] in CLASS_METRICS else scored.averaged
    return verdicts.mean_freedom(scored.patients[:-1][own])


def _too_few_patients(scored: Scored, row: int) -> str:
    names = [
        name
        for k, name in enumerate(scored.labels)
        if scored.patients[k] == 1
        and (row == k or (row == len(scored.labels) and scored.averaged[k]))
    ]
    words = f" (one alone has, or lacks, {', '.join(names)})" if names else ""
    return f"too few patients for a verdict{words}"


def compare(scored: Scored, groups: Sequence[Group]) -> list[Difference]:
    """All differences, corrected within their families, with a verdict each.

    Families: the primary comparisons of means (one for each regimen and synthetic set); the other
    comparisons of means; the labels within one pair of groups. Each for each metric.

    Args:
        scored: Scores of all runs.
        groups: Of these runs.
    """
    metric_places = [m for m, name in enumerate(scored.metrics) if name in COMPARED]
    rows = [len(scored.labels), *range(len(scored.labels))]  # their mean first
    out: list[Difference] = []
    families: dict[tuple[Any, ...], list[int]] = {}
    for a, b, primary in pairs_of_groups(groups):
        what = claim(a, b)
        for metric, row in product(metric_places, rows):
            mean = scored.rows[row] == MEAN
            if not mean and scored.metrics[metric] in CLASS_METRICS:
                continue  # of all classes together
            family = (metric, primary) if mean else (metric, a.name, b.name)
            families.setdefault(family, []).append(len(out))
            one = difference(scored, a, b, row, metric, primary=primary)
            out.append(replace(one, about=what.about, over=what.over))
    for places in families.values():
        for place, one in zip(places, corrected([out[k] for k in places])):
            out[place] = one
    return out


def corrected(family: Sequence[Difference]) -> list[Difference]:
    """Holm's correction of the p-values and intervals of one family, and the verdicts.

    Where there is no p there is no verdict, and the interval stands as it is.
    """
    factors = verdicts.holm_factors(np.array([d.p for d in family]))
    count = int((~np.isnan(factors)).sum())
    out = []
    for d, factor in zip(family, factors.tolist()):
        if math.isnan(factor):
            out.append(d)
            continue
        p = min(1.0, factor * d.p)
        level = ALPHA / factor
        low, high = d.estimate.interval(level)
        sign = "for" if d.value > 0 else "against"
        verdict = f"evidence {sign}" if p < ALPHA else NO_EVIDENCE
        could = d.estimate.detectable(level)
        judged = replace(d, p=p, low=low, high=high, detectable=could)
        out.append(replace(judged, comparisons=count, verdict=verdict))
    return out


def add_delong(
    differences: Sequence[Difference],
    scored: Scored,
    groups: Sequence[Group],
    truth: np.ndarray,
    mask: np.ndarray,
    scores: np.ndarray,
    codes: np.ndarray,
) -> list[Difference]:
    """Put the clustered DeLong interval of these networks beside each difference in AUROC.

    Args:
        differences: From `compare`.
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
    for d in differences:
        part = parts.get(d.row)
        if d.metric != "auroc" or part is None or not d.pairs:
            out.append(d)
            continue
        a, b = by_name[d.a], by_name[d.b]
        seeds = sorted(a.runs.keys() & b.runs.keys())
        test = paired_difference(part, [a.runs[s] for s in seeds], [b.runs[s] for s in seeds])
        out.append(replace(d, delong_low=test.low, delong_high=test.high, delong_p=test.p))
    return out
