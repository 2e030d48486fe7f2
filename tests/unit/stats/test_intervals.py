"""Patient bootstrap: what is resampled, what the intervals cover, what cannot be said."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm

from cxrtool.stats import curves, intervals


def bootstrap_scores(
    truth: np.ndarray, mask: np.ndarray, scores: np.ndarray, codes: np.ndarray, **how: int
) -> tuple[np.ndarray, np.ndarray]:
    return intervals.bootstrap(intervals.label_metrics(truth, mask, scores), codes, **how)


def test_patients_bring_all_their_images() -> None:
    codes = np.array([0, 1, 0, 2, 3, 1])
    weights = np.concatenate(list(intervals.resample_weights(codes, 500, np.random.default_rng(0))))
    assert weights.shape == (500, 6)
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, 1] == weights[:, 5]).all()
    patients = weights[:, [0, 1, 3, 4]]
    assert (patients.sum(axis=1) == 4).all()  # as many patients as there are, every time
    assert patients.mean(axis=0) == pytest.approx(np.ones(4), abs=0.15)


def test_chunks_do_not_change_the_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    truth = (rng.random((40, 2)) < 0.4).astype(float)
    scores = rng.normal(size=(2, 40, 2))
    arguments = (truth, np.ones_like(truth, bool), scores, np.arange(40) // 2)
    _, whole = bootstrap_scores(*arguments, resamples=64, seed=3)
    monkeypatch.setattr(intervals, "_CHUNK_CELLS", 400)
    _, pieces = bootstrap_scores(*arguments, resamples=64, seed=3)
    np.testing.assert_array_equal(whole, pieces)
    _, other = bootstrap_scores(*arguments, resamples=64, seed=4)
    assert (whole != other).any()


def test_resampled_scores_are_scores_of_resampled_images() -> None:
    rng = np.random.default_rng(2)
    codes = np.unique(rng.integers(0, 15, size=30), return_inverse=True)[1]
    truth = (rng.random((30, 1)) < 0.5).astype(float)
    scores = np.round(rng.normal(size=(1, 30, 1)), 1)
    _, samples = bootstrap_scores(
        truth, np.ones_like(truth, bool), scores, codes, resamples=20, seed=9
    )
    weights = np.concatenate(
        list(intervals.resample_weights(codes, 20, np.random.default_rng(9)))
    ).astype(int)
    for b, counts in enumerate(weights):
        rows = np.repeat(np.arange(30), counts)
        expected = curves.auroc(truth[rows, 0], scores[0, rows, 0])
        assert samples[0, 0, 0, b] == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(("images_each", "floor"), [(1, 0.91), (4, 0.89)])
def test_intervals_cover_the_truth(images_each: int, floor: float) -> None:
    """The share of 95 % intervals that hold the true AUROC, with images of a patient correlated."""
    rng = np.random.default_rng(11)
    patients, runs, shift = 120, 150, 1.2
    true = float(norm.cdf(shift / math.sqrt(2)))
    hits = 0
    for _ in range(runs):
        y = np.repeat(rng.random(patients) < 0.35, images_each)
        own = np.repeat(rng.normal(size=patients), images_each)
        s = shift * y + math.sqrt(0.8) * own + math.sqrt(0.2) * rng.normal(size=len(y))
        codes = np.repeat(np.arange(patients), images_each)
        _, samples = bootstrap_scores(
            y[:, None].astype(float),
            np.ones((len(y), 1), bool),
            s[None, :, None],
            codes,
            resamples=200,
            seed=int(rng.integers(1 << 30)),
        )
        low, high = intervals.percentile_interval(samples[0, 0, 0])
        hits += low <= true <= high
    assert floor <= hits / runs <= 0.99


def test_treating_images_as_patients_would_be_too_sure() -> None:
    rng = np.random.default_rng(4)
    y = np.repeat(rng.random(100) < 0.4, 6)
    s = y + np.repeat(rng.normal(size=100), 6)
    arguments = (y[:, None].astype(float), np.ones((600, 1), bool), s[None, :, None])
    _, by_patient = bootstrap_scores(
        *arguments, np.repeat(np.arange(100), 6), resamples=300, seed=0
    )
    _, by_image = bootstrap_scores(*arguments, np.arange(600), resamples=300, seed=0)
    assert by_patient[0, 0, 0].std() > 1.8 * by_image[0, 0, 0].std()


def test_resamples_without_both_classes_are_left_out_or_forbid_an_interval() -> None:
    truth = np.zeros((40, 1))
    truth[0] = 1  # one positive patient: 37 % of the resamples lose it
    scores = np.random.default_rng(0).normal(size=(1, 40, 1))
    _, samples = bootstrap_scores(
        truth, np.ones_like(truth, bool), scores, np.arange(40), resamples=400, seed=0
    )
    lost = np.isnan(samples[0, 0, 0]).mean()
    assert 0.25 < lost < 0.5
    assert not math.isnan(intervals.percentile_interval(samples[0, 0, 0])[0])
    mostly = np.where(np.arange(100) < 60, np.nan, 0.7)
    assert np.isnan(intervals.percentile_interval(mostly)).all()


def test_a_mean_over_labels_is_a_score() -> None:
    """A resample without the easy label must not lift the mean above 1 by what the other gained."""
    points = np.array([0.9, 0.6])
    samples = np.array([[0.9, np.nan], [0.6, 1.0]])
    assert intervals.mean_over_labels(points, samples) == pytest.approx([0.75, 1.0])


def test_a_mean_over_labels_stays_the_mean_of_all_of_them() -> None:
    points = np.array([0.8, 0.6, np.nan])
    samples = np.array([[0.9, np.nan, 0.6], [0.6, 0.5, 0.8], [np.nan, np.nan, np.nan]])
    mean = intervals.mean_over_labels(points, samples)
    # Both labels; the second one alone, 0.1 below its point; both.
    np.testing.assert_allclose(mean, [0.75, 0.6, 0.7])
    nothing = np.full(3, np.nan)
    assert np.isnan(intervals.mean_over_labels(nothing, samples)).all()


def test_rare_labels_do_not_cost_the_interval_of_the_mean() -> None:
    """Twelve labels of three positives each: hardly a resample keeps all of them."""
    rng = np.random.default_rng(0)
    truth = np.zeros((60, 12))
    for k in range(12):
        truth[rng.choice(60, 3, replace=False), k] = 1
    scores = truth[None] + rng.normal(size=(1, 60, 12))
    _, samples = bootstrap_scores(
        truth, np.ones_like(truth, bool), scores, np.arange(60), resamples=300, seed=0
    )
    samples = samples[0, :, 0]
    assert (~np.isnan(samples)).all(axis=0).mean() < 0.8
    points = intervals.label_scores(truth, np.ones_like(truth, bool), scores[0])[0]
    low, high = intervals.percentile_interval(intervals.mean_over_labels(points, samples))
    assert low < points.mean() < high
    assert high - low < 0.2
