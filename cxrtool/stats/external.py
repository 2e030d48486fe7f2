"""The same networks in two hospitals: scores, calibration and decisions on both sides.

In: truth, mask and predictions of R runs on internal rows and on external ones, and the patients of
both. Out: a `Site` for each side over the labels that can be compared, and what lies between them.

The two sides are independent groups of patients, so each is resampled by itself, by whole patients
(DeLong's variance knows no clusters), and the variance of a difference is the sum of both. AUROC
does not hang on prevalence; average precision and calibration do, so that no difference of these is
given. What a shift of the prevalence alone would explain is shown beside (`prevalence_shifted`).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from cxrtool.data.near_rows import NearRows
from cxrtool.stats import intervals, verdicts
from cxrtool.stats.calibration import label_errors, perfect_errors
from cxrtool.stats.calibration_line import CalibrationLine, calibration_line, prevalence_shifted
from cxrtool.stats.comparison import (
    Difference,
    Scored,
    patient_freedom,
    rare_labels,
    resampled_interval,
)
from cxrtool.stats.groups import Group
from cxrtool.stats.intervals import METRICS

INTERNAL, EXTERNAL = "internal", "external"
#: Sensitivity and specificity of the thresholds that are stored with the runs.
STORED = ("stored_sensitivity", "stored_specificity")
IN_MEAN, BESIDE, NOT = "in the mean", "few patients", "not compared"


@dataclass(frozen=True)
class Cells:
    """What the rows of one side hold of a label.

    Attributes:
        known: Images whose cell counts, under the label policy of the runs.
        positive: Positives among them.
        positive_patients: Patients with a positive.
        negative_patients: Patients with a negative.
        blank: Share of cells that are blank; NaN where the set does not have the label.
        uncertain: Share of cells that are -1; NaN alike.
    """

    known: int = 0
    positive: int = 0
    positive_patients: int = 0
    negative_patients: int = 0
    blank: float = math.nan
    uncertain: float = math.nan

    @property
    def prevalence(self) -> float:
        return self.positive / self.known if self.known else math.nan

    @property
    def rarer(self) -> int:
        """Patients with the label or without it, the fewer ones."""
        return min(self.positive_patients, self.negative_patients)


@dataclass(frozen=True)
class LabelUse:
    """Whether a label is compared, and why.

    Attributes:
        label: Its name, as the internal data set spells it.
        use: `IN_MEAN`, `BESIDE` (too few patients for the mean) or `NOT`.
        why: The reason, in a few words.
        internal: What internal rows hold of it.
        external: What external rows hold of it.
    """

    label: str
    use: str
    why: str
    internal: Cells
    external: Cells


@dataclass(frozen=True)
class Site:
    """The rows of one side under R runs, over the L labels that are compared.

    Attributes:
        images: Rows.
        patients: Patients among them.
        truth: [N, L] in {0, 1}.
        mask: [N, L] bool.
        scores: [R, N, L] probabilities.
        scored: Scores, with `STORED` after `METRICS`; the last row is the mean over labels.
        ece: [R, L + 1] expected calibration error.
        ece_perfect: [R, L + 1] what true probabilities would show.
        ece_shifted: [R, L + 1] after a shift from the prevalence of internal rows to that of these.
        lines: Mean and weak calibration, by run and label.
    """

    images: int
    patients: int
    truth: np.ndarray
    mask: np.ndarray
    scores: np.ndarray
    scored: Scored
    ece: np.ndarray
    ece_perfect: np.ndarray
    ece_shifted: np.ndarray
    lines: Sequence[Sequence[CalibrationLine]]


@dataclass(frozen=True)
class Gap:
    """Internal minus external, of one arm or of the difference of two arms.

    Attributes:
        name: The arm, or "a minus b".
        row: Label, or `comparison.MEAN`.
        value: Mean over seeds of the difference in AUROC.
        low: Lower end of the 95 % interval over patients of both sides, and seeds where several.
        high: Upper end.
    """

    name: str
    row: str
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class External:
    """What one external data set says of the runs.

    Attributes:
        name: As the user calls it.
        source: Title of the data set.
        images: Rows that were scored.
        patients: Patients among them.
        patients_known: Whether the source names patients.
        uses: Every label of either side and of the runs.
        internal: Internal rows over the labels that are compared; None where there are none.
        external: External rows alike.
        gaps: Internal minus external of every arm and label, the mean last.
        differences: Between arms, on external rows.
        here: The same differences of means, on internal rows over the same labels.
        arm_gaps: Differences between arms, internal minus external.
        labels: Labels that are predicted for external rows.
        rows: [N] rows of the manifest.
        scores: [R, N, L'] probabilities of `labels`.
        notes: Sentences that a reader must see.
        near: External rows that are near copies of images that a run has seen.
    """

    name: str
    source: str
    images: int
    patients: int
    patients_known: bool
    uses: Sequence[LabelUse]
    internal: Site | None
    external: Site | None
    gaps: Sequence[Gap] = ()
    differences: Sequence[Difference] = ()
    here: Sequence[Difference] = ()
    arm_gaps: Sequence[Gap] = ()
    labels: tuple[str, ...] = ()
    rows: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    scores: np.ndarray = field(default_factory=lambda: np.zeros((0, 0, 0)))
    notes: Sequence[str] = ()
    near: Sequence[NearRows] = ()

    @property
    def compared(self) -> list[LabelUse]:
        """The labels that have numbers."""
        return [use for use in self.uses if use.use != NOT]


def cells_of(
    truth: np.ndarray, mask: np.ndarray, codes: np.ndarray, marks: np.ndarray | None = None
) -> Cells:
    """Count one label.

    Args:
        truth: [N] in {0, 1}.
        mask: [N] bool.
        codes: [N] int64 patient of each image.
        marks: [N] the cells as they stand (`labels.label_codes`); None where not known.
    """
    positive = mask & (truth > 0)
    return Cells(
        int(mask.sum()),
        int(positive.sum()),
        len(np.unique(codes[positive])),
        len(np.unique(codes[mask & ~positive])),
        math.nan if marks is None or not len(marks) else float((marks == -2).mean()),
        math.nan if marks is None or not len(marks) else float((marks == -1).mean()),
    )


def averaged_labels(internal: Sequence[Cells], external: Sequence[Cells], least: int) -> np.ndarray:
    """Which of the labels that have both classes on both sides the mean is over: bool [L].

    Those with `least` patients on the rarer side in both places, or all where none has as many.
    """
    counts = np.array([min(a.rarer, b.rarer) for a, b in zip(internal, external)], np.int64)
    out = np.ones(len(counts), bool)
    out[list(rare_labels(counts, out, least))] = False
    return out


def part_of(scored: Scored, places: Sequence[int]) -> Scored:
    """Scores of some labels [L], without what stands in the last row alone; no mean yet."""
    rows = [*places, -1]
    metrics = len(METRICS)
    return Scored(
        tuple(scored.labels[k] for k in places),
        scored.points[:, rows, :metrics],
        scored.samples[:, rows, :metrics],
        np.ones(len(places), bool),
        scored.patients[rows],
    )


def site(
    scored: Scored,
    averaged: np.ndarray,
    truth: np.ndarray,
    mask: np.ndarray,
    scores: np.ndarray,
    codes: np.ndarray,
    thresholds: np.ndarray,
    prevalence: np.ndarray,
    *,
    seed: int,
    draws: int = 0,
) -> Site:
    """Everything about one side.

    Args:
        scored: Scores of its L labels (`part_of`).
        averaged: [L] bool, labels that the mean is over.
        truth: [N, L] in {0, 1}.
        mask: [N, L] bool.
        scores: [R, N, L] probabilities.
        codes: [N] int64 patient of each image, 0..P-1.
        thresholds: [R, L] stored with the runs, NaN where there is none.
        prevalence: [L] of internal rows.
        seed: Of the resamples, another one on each side.
        draws: Seed of the draws behind `ece_perfect`, the same on both.
    """
    called = scores >= thresholds[:, None, :]
    undefined = np.isnan(thresholds)
    points, samples = intervals.bootstrap(
        stored_decisions(truth, mask, called), codes, resamples=scored.samples.shape[-1], seed=seed
    )
    points[undefined], samples[undefined] = np.nan, np.nan
    both = replace(
        scored,
        points=np.concatenate([scored.points, _with_row(points)], axis=2),
        samples=np.concatenate([scored.samples, _with_row(samples)], axis=2),
        metrics=(*METRICS, *STORED),
    )
    own = [float(truth[m, k].mean()) if m.any() else math.nan for k, m in enumerate(mask.T)]
    shifted = np.stack(
        [
            prevalence_shifted(scores[..., k], float(prevalence[k]), own[k])
            for k in range(len(scored.labels))
        ],
        axis=-1,
    )
    lines = [
        [calibration_line(truth[m, k], run[m, k], codes[m]) for k, m in enumerate(mask.T)]
        for run in scores
    ]
    return Site(
        len(truth),
        len(np.unique(codes)),
        truth,
        mask,
        scores,
        with_mean_over(both, averaged),
        label_errors(truth, mask, scores, averaged),
        perfect_errors(mask, scores, averaged, seed=draws),
        label_errors(truth, mask, shifted, averaged),
        lines,
    )


def _with_row(values: np.ndarray) -> np.ndarray:
    """One more label behind the others, NaN."""
    return np.concatenate([values, np.full_like(values[:, :1], np.nan)], axis=1)


def with_mean_over(scored: Scored, averaged: np.ndarray) -> Scored:
    """The same scores with the mean over these labels [L] bool in the last row."""
    points, samples = scored.points.copy(), scored.samples.copy()
    inside = np.where(averaged[:, None], points[:, :-1], np.nan)
    points[:, -1] = points[:, :-1][:, averaged].mean(axis=1) if averaged.any() else np.nan
    for m in range(points.shape[2]):
        samples[:, -1, m] = intervals.mean_over_labels(inside[..., m], samples[:, :-1, m])
    rare = tuple(np.flatnonzero(~averaged).tolist())
    return replace(scored, points=points, samples=samples, rare=rare)


def stored_decisions(
    truth: np.ndarray, mask: np.ndarray, called: np.ndarray
) -> Callable[[np.ndarray], np.ndarray]:
    """Sensitivity and specificity of decisions, as a function of the images' weights.

    Args:
        truth: [N, L] in {0, 1}.
        mask: [N, L] bool.
        called: [R, N, L] bool, what each run calls positive.

    Returns:
        Weights [b, N] -> [R, L, 2, b] float64; NaN where a class is missing.
    """
    sides = np.stack([mask & (truth > 0), mask & ~(truth > 0)], axis=-1).astype(np.float64)

    def metrics(weights: np.ndarray) -> np.ndarray:
        out = np.full((len(called), truth.shape[1], 2, len(weights)), np.nan)
        for k in range(truth.shape[1]):
            total = (weights @ sides[:, k]).T  # [2, b]
            for r, own in enumerate(called[..., k]):
                right = np.stack([sides[:, k, 0] * own, sides[:, k, 1] * ~own], axis=1)
                np.divide((weights @ right).T, total, out=out[r, k], where=total > 0)
        return out

    return metrics


def gap(
    internal: Site,
    external: Site,
    row: int,
    name: str,
    plus: Sequence[int],
    minus: Sequence[int] = (),
) -> Gap:
    """Internal minus external in AUROC, of runs, or of the difference of runs paired by seed.

    Args:
        internal: One side.
        external: The other one.
        row: Of the labels, the last one their mean.
        name: What it is of.
        plus: The runs, one a seed.
        minus: Runs of the same seeds that are taken from them.
    """

    def side(scored: Scored) -> tuple[np.ndarray, np.ndarray, float]:
        points, samples = scored.points[plus, row, 0], scored.samples[plus, row, 0]
        if len(minus):
            points = points - scored.points[minus, row, 0]
            samples = samples - scored.samples[minus, row, 0]
        return points, samples.mean(axis=0), patient_freedom(scored, row, 0)

    (here, ours, freedom), (there, theirs, other) = map(side, (internal.scored, external.scored))
    values, samples = here - there, ours - theirs
    label = internal.scored.rows[row]
    ends = [resampled_interval(s.scored, samples, row) for s in (internal, external)]
    if any(math.isnan(low) for low, _ in ends) or math.isnan(float(values.mean())):
        return Gap(name, label, float(values.mean()), math.nan, math.nan)
    if len(values) == 1:
        return Gap(name, label, float(values[0]), *ends[0])
    parts = [float(np.nanvar(own, ddof=1)) for own in (ours, theirs)]
    patients = _joint_freedom(parts, [freedom, other])
    return Gap(
        name,
        label,
        float(values.mean()),
        *verdicts.estimate(values, samples, patients).interval(),
    )


def _joint_freedom(variances: Sequence[float], freedom: Sequence[float]) -> float:
    """Degrees of freedom of a sum of two variances (Welch & Satterthwaite); NaN without one."""
    if min(freedom) <= 0:
        return math.nan
    total = sum(variances)
    if total == 0:
        return min(freedom)
    return float(total**2 / sum(v**2 / f for v, f in zip(variances, freedom)))


def gaps_of(internal: Site, external: Site, groups: Sequence[Group]) -> list[Gap]:
    """Internal minus external of every arm and label, the mean of labels last."""
    return [
        gap(internal, external, row, group.name, list(group.runs.values()))
        for group in groups
        for row in range(len(internal.scored.rows))
    ]


def arm_gaps_of(
    internal: Site, external: Site, groups: Sequence[Group], differences: Sequence[Difference]
) -> list[Gap]:
    """What two arms differ by, internal minus external, of means over labels."""
    by_name = {group.name: group for group in groups}
    out = []
    for d in differences:
        seeds = sorted(by_name[d.a].runs.keys() & by_name[d.b].runs.keys())
        runs = [[by_name[name].runs[s] for s in seeds] for name in (d.a, d.b)]
        if seeds:
            last = len(internal.scored.labels)
            out.append(gap(internal, external, last, f"{d.a} minus {d.b}", *runs))
    return out
