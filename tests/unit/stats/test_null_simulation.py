"""How often is there a verdict where there is nothing? And is something found where there is?

Runs differ by seed, images of one patient are correlated, and both arms are drawn from one
distribution. Vectorized: the score is the AUROC of one label, the patient bootstrap as in the tool.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from cxrtool.stats import comparison
from cxrtool.stats.comparison import Scored
from cxrtool.stats.curves import rank, weighted_scores
from cxrtool.stats.groups import Group
from cxrtool.stats.intervals import METRICS, resample_weights
from cxrtool.stats.verdicts import MIN_SEEDS, patients_by_label


def simulated(
    rng: np.random.Generator, seeds: int, *, images: int, patients: int, effect: float = 0.0,
    run_sd: float = 0.35, resamples: int = 120,
) -> comparison.Difference:  # fmt: skip
    """One experiment: two arms of `seeds` runs on one test set; the difference in AUROC."""
    codes = np.repeat(np.arange(patients), images)
    n = len(codes)
    truth = (rng.random(patients) < 0.3)[codes].astype(int)
    flips = rng.random(n) < 0.1  # images of a patient mostly share the finding
    truth[flips] = 1 - truth[flips]
    person = rng.normal(size=patients)[codes]
    weights = np.concatenate(list(resample_weights(codes, resamples, rng)))
    both = np.concatenate([np.ones((1, n)), weights])
    found = np.empty((2 * seeds, resamples + 1))
    for run in range(2 * seeds):
        strength = 1 + run_sd * rng.normal() + effect * (run < seeds)
        # What a run sees in a person and in an image is its own in part.
        mine = rng.normal(size=patients)[codes]
        score = strength * truth + 0.7 * person + 0.5 * mine + 0.5 * rng.normal(size=n)
        found[run] = weighted_scores(rank(truth, score), both)[0]
    points = np.full((2 * seeds, 1, len(METRICS)), np.nan)
    samples = np.full((2 * seeds, 1, len(METRICS), resamples), np.nan)
    points[:, 0, 0], samples[:, 0, 0] = found[:, 0], found[:, 1:]
    counted = patients_by_label(truth[:, None], np.ones((n, 1), bool), codes)
    scored = Scored(
        ("A",), points, samples, np.array([True]),
        patients=np.array([*counted, patients]),
    )  # fmt: skip
    arms = (
        Group("gan", "gan", {s: s for s in range(seeds)}),
        Group("duplicate", "duplicate", {s: seeds + s for s in range(seeds)}),
    )
    return comparison.difference(scored, *arms, 0, 0, primary=True)


def verdicts(
    n: int, seeds: int, images: int, patients: int = 60, **more: Any
) -> tuple[float, float]:
    """Share of experiments whose interval leaves zero out, and the share with p < 0.05."""
    rng = np.random.default_rng([n, seeds, images])
    found = [simulated(rng, seeds, images=images, patients=patients, **more) for _ in range(n)]
    outside = np.mean([not d.low <= 0 <= d.high for d in found])
    judged = np.mean([float(d.p < 0.05) for d in found if not math.isnan(d.p)] or [0.0])
    return float(outside), float(judged)


def most(n: int) -> float:
    """5 % and three standard errors of a simulation of n."""
    return 0.05 + 3 * math.sqrt(0.05 * 0.95 / n)


@pytest.mark.parametrize(("seeds", "images"), [(3, 1), (5, 3), (10, 6)])
def test_nulls_are_rarely_called(seeds: int, images: int) -> None:
    outside, judged = verdicts(80, seeds, images, patients=40)
    assert outside <= most(80)
    assert judged <= most(80)
    if seeds < MIN_SEEDS:
        assert judged == 0  # no verdict at all


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("images", [1, 2, 4, 6])
def test_nulls_are_rarely_called_in_many_experiments(seeds: int, images: int) -> None:
    outside, judged = verdicts(400, seeds, images)
    assert outside <= most(400)
    assert judged <= most(400)


def test_a_single_run_with_a_patient_interval_would_be_wrong_half_of_the_time() -> None:
    """Why the rule exists: differing seeds alone leave zero outside of the patient interval."""
    rng = np.random.default_rng(0)
    found = [simulated(rng, 1, images=2, patients=60) for _ in range(80)]
    assert np.mean([not d.low <= 0 <= d.high for d in found]) > 0.15


def test_planted_effects_are_found() -> None:
    _, found = verdicts(30, 5, 2, patients=150, effect=1.2)
    assert found > 0.9
    rng = np.random.default_rng(9)
    worse = simulated(rng, 6, images=2, patients=150, effect=-0.8, run_sd=0.1)
    assert worse.p < 0.05
    assert worse.value < 0
