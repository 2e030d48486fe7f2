"""What images of a generator of other people are worth, beside these people's real images.

In: scores of runs, their groups, and which runs learned from a generator that knows people whom the
data set does not have. Out: for each such set what its images add to the own images shown again,
what real images of others add in their place (the arm `pooled`, the ceiling), and the share of it.

It is another question than whether a generator adds to its own training images: here a network
gains what patients show whom it may not see.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from cxrtool.stats.comparison import MEAN, Difference, Scored, difference
from cxrtool.stats.groups import Group, of_one_set
from cxrtool.stats.intervals import percentile_interval
from cxrtool.stats.verdicts import MIN_SEEDS
from cxrtool.training.rng import numpy_rng

CEILING, ALONE = "pooled", "synthetic-only"


@dataclass(frozen=True)
class Gain:
    """One synthetic set, or those of one method, against one baseline; all of mean AUROC.

    Attributes:
        added: Synthetic images beside the own ones, minus the baseline, as it is judged.
        ceiling: The arm `pooled` minus the same baseline, not corrected; None without that arm.
        alone: Synthetic images alone minus the same baseline, not corrected; None without them.
        share: What share of the ceiling's gain the synthetic images reach, with its 95 % interval
            over seeds and patients; None where there are too few seeds, or the ceiling's gain is
            not told from nothing.
    """

    added: Difference
    ceiling: Difference | None = None
    alone: Difference | None = None
    share: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class OtherPatients:
    """The comparisons that are about other people's images.

    Attributes:
        gains: One for each that the page leads with.
        baseline: Arm of the baseline.
        people: How many the generators know that the data set does not have; 0 where they came
            without keys.
        pooled: Real images of others in the arm `pooled`; 0 without it.
    """

    gains: Sequence[Gain]
    baseline: str
    people: int = 0
    pooled: int = 0


def gains_of(
    scored: Scored, groups: Sequence[Group], shown: Sequence[Difference], lent: Collection[int]
) -> list[Gain]:
    """The gains of the comparisons that a page leads with.

    Empty unless all of them are of runs that learned from a generator of other people.

    Args:
        scored: Scores of all runs.
        groups: Of these runs.
        shown: Differences of mean AUROC that lead.
        lent: Runs that learned from such a generator.
    """
    by_name = {group.name: group for group in groups}
    gains = []
    for d in shown:
        a, b = by_name[d.a], by_name[d.b]
        if a.arm not in ("gan", ALONE, "pretrain-finetune") or not set(a.runs.values()) <= set(
            lent
        ):
            return []
        near = [g for g in groups if g.regimen == a.regimen and g.treatment == a.treatment]
        ceiling = next((g for g in near if g.arm == CEILING), None)
        alone = next((g for g in near if g.arm == ALONE and g is not a and of_one_set(g, a)), None)
        gains.append(
            Gain(
                d,
                None if ceiling is None else _of_means(scored, ceiling, b),
                None if alone is None else _of_means(scored, alone, b),
                None if ceiling is None else share_of(scored, a, ceiling, b),
            )
        )
    return gains


def _of_means(scored: Scored, a: Group, b: Group) -> Difference:
    return difference(scored, a, b, scored.rows.index(MEAN), 0, primary=False)


def share_of(
    scored: Scored, a: Group, ceiling: Group, b: Group
) -> tuple[float, float, float] | None:
    """(a - b) / (ceiling - b) in mean AUROC, with a percentile interval over seeds and patients.

    Seeds are drawn anew for each resample of patients, the same for all three. None with fewer than
    `MIN_SEEDS` seeds, or where the interval of the ceiling's gain holds zero.
    """
    seeds = sorted(a.runs.keys() & ceiling.runs.keys() & b.runs.keys())
    if len(seeds) < MIN_SEEDS or not _of_means(scored, ceiling, b).low > 0:
        return None
    runs = [[group.runs[seed] for seed in seeds] for group in (a, ceiling, b)]
    points = [scored.points[own, -1, 0].mean() for own in runs]
    samples = [scored.samples[own, -1, 0] for own in runs]  # [S, B] each
    resamples = samples[0].shape[1]
    drawn = numpy_rng("share of the ceiling", resamples).integers(
        len(seeds), size=(len(seeds), resamples)
    )
    means = [np.take_along_axis(own, drawn, axis=0).mean(axis=0) for own in samples]
    # A ceiling that adds next to nothing in a resample makes any share: percentiles bear that.
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = (means[0] - means[2]) / (means[1] - means[2])
    low, high = percentile_interval(shares[np.isfinite(shares)])
    value = float((points[0] - points[2]) / (points[1] - points[2]))
    return None if math.isnan(low) else (value, low, high)
