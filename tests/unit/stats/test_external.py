"""Two sides: what must not change between them does not, and what must does."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import expit

from cxrtool.stats import external
from cxrtool.stats.comparison import group_score, score_runs
from cxrtool.stats.external import Cells, Site, averaged_labels, gap, part_of, site
from cxrtool.stats.groups import Group

LABELS = ("A", "B")
THRESHOLDS = np.array([[0.4, 0.5]])


def side(truth: np.ndarray, scores: np.ndarray, *, seed: int = 0, prevalence: float = 0.3) -> Site:
    """A side of one or more runs [R, N, 2], two images a patient."""
    mask, codes = np.ones(truth.shape, bool), np.arange(len(truth)) // 2
    scored = score_runs(LABELS, truth, mask, scores, codes, resamples=300, seed=seed)
    return site(
        part_of(scored, (0, 1)),
        np.ones(2, bool),
        *(truth, mask, scores, codes),
        np.repeat(THRESHOLDS, len(scores), axis=0),
        np.full(2, prevalence),
        seed=seed,
    )


def patients(n: int, seed: int, prevalence: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    """Truth [n, 2] and log odds that are right for this prevalence."""
    rng = np.random.default_rng(seed)
    truth = (rng.random((n, 2)) < prevalence).astype(float)
    # Normal of distance 1.5: the log odds of a patient are 1.5 x - 1.5^2 / 2 and the prior's.
    x = rng.normal(size=(n, 2)) + 1.5 * truth
    return truth, 1.5 * x - 1.125 + math.log(prevalence / (1 - prevalence))


def test_equal_rows_give_equal_figures_and_a_gap_of_zero() -> None:
    truth, z = patients(300, 0)
    here, there = (side(truth, expit(z)[None], seed=seed) for seed in (0, 1))
    for name in ("ece", "ece_shifted"):
        np.testing.assert_array_equal(getattr(here, name), getattr(there, name))
    np.testing.assert_array_equal(here.scored.points, there.scored.points)
    for row in range(3):
        one = gap(here, there, row, "none", [0])
        assert one.value == 0
        assert one.low < 0 < one.high  # patients of both sides vary
    for ours, theirs in zip(here.lines[0], there.lines[0], strict=True):
        np.testing.assert_array_equal(ours.values, theirs.values)


def test_shuffled_external_labels_are_chance_within_the_interval() -> None:
    truth, z = patients(400, 1)
    here = side(truth, expit(z)[None])
    other, w = patients(400, 2)
    there = side(np.random.default_rng(3).permutation(other), expit(w)[None], seed=5)
    group = Group("none", "none", {0: 0})
    for row in range(3):
        _, low, high = group_score(there.scored, group, row, 0)
        assert low < 0.5 < high
        assert gap(here, there, row, "none", [0]).low > 0  # lower by more than chance shows
    assert max(line.values[2] for line in there.lines[0]) < 0.5  # and far too extreme


@pytest.mark.parametrize("other", [0.03, 0.1, 0.6])
def test_a_shift_of_prevalence_moves_calibration_and_not_auroc(other: float) -> None:
    truth, z = patients(4_000, 4)
    here = side(truth, expit(z)[None])
    elsewhere, w = patients(8_000, 5, other)
    w += math.log(0.3 / 0.7) - math.log(other / (1 - other))  # as a model of here would read them
    there = side(elsewhere, expit(w)[None], seed=7)
    for row in range(3):
        one = gap(here, there, row, "none", [0])
        assert one.low < 0 < one.high
    for k, line in enumerate(there.lines[0]):
        error = math.sqrt(float((line.influences[1] ** 2).sum()))
        expected = math.log(other / (1 - other)) - math.log(0.3 / 0.7)
        assert line.values[1] == pytest.approx(expected, abs=4 * error)
        assert there.ece_shifted[0, k] < there.ece[0, k]
        assert there.ece_shifted[0, k] < 2 * there.ece_perfect[0, k] + 0.01
        assert here.ece_shifted[0, k] == pytest.approx(here.ece[0, k], abs=0.01)


def test_decisions_are_those_of_the_stored_thresholds_and_the_mean_is_of_labels() -> None:
    truth, z = patients(200, 6)
    one = side(truth, expit(z)[None])
    place = one.scored.metrics.index("stored_sensitivity")
    called = expit(z) >= THRESHOLDS
    for k in range(2):
        positive = truth[:, k] > 0
        assert one.scored.points[0, k, place] == pytest.approx(called[positive, k].mean())
        assert one.scored.points[0, k, place + 1] == pytest.approx((~called[~positive, k]).mean())
    means = one.scored.points[0, :2].mean(axis=0)
    np.testing.assert_allclose(one.scored.points[0, 2], means)
    unknown = site(
        part_of(one.scored, (0, 1)), np.ones(2, bool), truth, np.ones(truth.shape, bool),
        expit(z)[None], np.arange(200) // 2, np.full((1, 2), np.nan), np.full(2, 0.3), seed=0,
    )  # fmt: skip
    assert np.isnan(unknown.scored.points[..., place:]).all()


def test_the_gap_of_several_seeds_covers_seeds_and_both_sides() -> None:
    truth, z = patients(400, 8)
    other, w = patients(300, 9)

    def noisy(logits: np.ndarray, seed: int, *spreads: float) -> np.ndarray:
        own = np.random.default_rng(seed).normal(size=logits.shape)
        return np.asarray(expit(np.stack([logits + spread * own for spread in spreads])))

    calm = side(truth, noisy(z, 1, 0, 0, 0, 0, 0)), side(other, noisy(w, 2, 0, 0, 0, 0, 0), seed=3)
    rough = calm[0], side(other, noisy(w, 2, 0, 0, 0, 4, 8), seed=3)
    runs = list(range(5))
    widths = [g.high - g.low for g in (gap(*pair, 2, "none", runs) for pair in (calm, rough))]
    assert widths[0] < widths[1]
    ends = group_score(calm[0].scored, Group("none", "none", {k: k for k in runs}), 2, 0)
    assert widths[0] > ends[2] - ends[1]  # the other side's patients are in it
    assert gap(*calm, 2, "a minus b", [0, 1], [2, 3]).value == pytest.approx(0)


@pytest.mark.parametrize(
    ("counts", "mean"),
    [
        ([(50, 50), (50, 9)], [True, False]),
        ([(50, 50), (9, 50)], [True, False]),
        ([(9, 50), (5, 50)], [True, True]),  # all of them are few: no better mean than of all
        ([(50, 50), (10, 10)], [True, True]),
    ],
)
def test_the_mean_is_over_labels_of_enough_patients_on_both_sides(
    counts: list[tuple[int, int]], mean: list[bool]
) -> None:
    own, other = ([Cells(200, n, n, 200 - n) for n in (pair[k] for pair in counts)] for k in (0, 1))
    assert averaged_labels(own, other, 10).tolist() == mean


def test_cells_are_counted_by_image_and_by_patient() -> None:
    truth, mask = np.array([1.0, 1, 0, 0, 1]), np.array([True, True, True, True, False])
    codes, marks = np.array([0, 0, 0, 1, 2]), np.array([1, -1, 0, -2, 1])
    cells = external.cells_of(truth, mask, codes, marks)
    assert (cells.known, cells.positive, cells.prevalence) == (4, 2, 0.5)
    assert (cells.positive_patients, cells.negative_patients, cells.rarer) == (1, 2, 1)
    assert (cells.blank, cells.uncertain) == (0.2, 0.2)
    assert math.isnan(Cells().prevalence)
