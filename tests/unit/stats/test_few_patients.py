"""Small numbers: what the mean leaves out, and which resamples say nothing."""

from __future__ import annotations

import numpy as np
import pytest

from cxrtool.stats import comparison
from cxrtool.stats.classifier_results import with_counts
from cxrtool.stats.comparison import Scored
from cxrtool.stats.groups import Group
from cxrtool.stats.verdicts import FEW_PATIENTS
from cxrtool.stats.wording import with_interval

N = 60


def scored(
    positives: list[int], *, per_patient: int = 1, least: int = FEW_PATIENTS
) -> tuple[Scored, np.ndarray, np.ndarray, np.ndarray]:
    """One run on N patients; of each label so many patients have it, in all their images."""
    rng = np.random.default_rng(0)
    codes = np.repeat(np.arange(N), per_patient)
    truth = np.stack([codes < n for n in positives], axis=1).astype(float)
    scores = truth + rng.normal(size=truth.shape)
    names = tuple("ABCDE"[: len(positives)])
    mask = np.ones_like(truth, bool)
    out = comparison.score_runs(
        names, truth, mask, scores[None], codes, resamples=100, seed=0, least=least
    )
    return out, truth, mask, codes


@pytest.mark.parametrize(
    ("positives", "averaged"),
    [
        ([30, 10, 9], [True, True, False]),
        ([30, 50, 51], [True, True, False]),  # too few without it count as well
        ([9, 8, 7], [True, True, True]),  # there is no better mean than that of all
        ([30, 0, 9], [True, False, False]),
        ([9, 0, N], [True, False, False]),
        ([30], [True]),
    ],
)
def test_the_mean_is_over_labels_of_ten_patients(
    positives: list[int], averaged: list[bool]
) -> None:
    out, *_ = scored(positives, per_patient=3)
    assert out.averaged.tolist() == averaged
    want = out.points[:, :-1][:, averaged].mean(axis=1)
    np.testing.assert_allclose(out.points[:, -1], want)
    assert set(out.rare) == set(np.flatnonzero(out.defined & ~out.averaged).tolist())


def test_without_a_limit_the_mean_is_over_all() -> None:
    out, *_ = scored([30, 3], least=0)
    assert out.averaged.all()


def test_a_rare_label_moves_nothing_of_the_mean() -> None:
    one, two = (scored([30, n])[0] for n in (9, 4))
    np.testing.assert_array_equal(one.points[:, 2], two.points[:, 2])
    np.testing.assert_array_equal(one.samples[:, 2], two.samples[:, 2])
    alone = Group("none", "none", {0: 0})
    assert comparison.patient_freedom(one, 2, 0) == comparison.patient_freedom(two, 2, 0)
    assert comparison.group_score(one, alone, 2, 0) == comparison.group_score(two, alone, 2, 0)


def test_labels_are_said_with_their_patients() -> None:
    out, *cells = scored([30, 4, 57], per_patient=2)
    assert with_counts(out.labels, out.rare, *cells) == "B (4), C (3 without it)"


@pytest.mark.parametrize(
    ("positives", "shift", "interval"),
    [
        (20, 1, True),
        (2, 1, True),
        (1, 1, False),  # one patient has it: nothing is known of another in their place
        (N - 1, 1, False),
        (20, 100, False),  # every resample gives 1.000
    ],
)
def test_degenerate_resamples_give_no_interval(positives: int, shift: int, interval: bool) -> None:
    codes = np.repeat(np.arange(N), 3)
    truth = (codes < positives).astype(float)[:, None]
    scores = shift * truth + np.random.default_rng(0).normal(size=(5, *truth.shape))
    mask = np.ones_like(truth, bool)
    out = comparison.score_runs(("A",), truth, mask, scores, codes, resamples=200, seed=0)
    for runs in ({0: 0}, dict(enumerate(range(5)))):
        for row in (0, 1):
            value, low, high = comparison.group_score(out, Group("a", "a", runs), row, 0)
            assert np.isnan([low, high]).all() != interval
            assert ("no interval" in with_interval(value, low, high)) != interval
