"""Sensitivity at fixed specificity, Brier, ECE, accuracy and macro F1 against other definitions."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, brier_score_loss, f1_score, roc_curve

from cxrtool.stats import intervals
from cxrtool.stats.calibration import expected_calibration_error, reliability
from cxrtool.stats.curves import decision_scores, rank


@pytest.mark.parametrize("ties", [False, True])
def test_sensitivity_and_brier_are_scikit_learns(ties: bool) -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        truth = (rng.random(80) < 0.4).astype(int)
        p = 1 / (1 + np.exp(-rng.normal(size=80) - truth))
        p = np.round(p, 1) if ties else p
        sensitivity, brier = decision_scores(rank(truth, p), np.ones((1, 80)))
        fpr, tpr, _ = roc_curve(truth, p, drop_intermediate=False)
        assert sensitivity[0] == pytest.approx(tpr[fpr <= 0.1 + 1e-9].max())
        assert brier[0] == pytest.approx(brier_score_loss(truth, p))


def test_weights_are_repeats() -> None:
    rng = np.random.default_rng(2)
    truth, p = (rng.random(40) < 0.5).astype(int), rng.random(40)
    weights = rng.integers(0, 4, 40)
    rows = np.repeat(np.arange(40), weights)
    one = decision_scores(rank(truth, p), weights[None].astype(float))
    other = decision_scores(rank(truth[rows], p[rows]), np.ones((1, len(rows))))
    np.testing.assert_allclose(one, other)
    nothing = decision_scores(rank(np.ones(3), p[:3]), np.ones((1, 3)))
    assert np.isnan(nothing).all()


def test_accuracy_and_macro_f1_are_scikit_learns() -> None:
    rng = np.random.default_rng(3)
    truth, scores = rng.integers(0, 4, 100), rng.random((2, 100, 4))
    points, samples = intervals.bootstrap(
        intervals.class_metrics(truth, scores), np.arange(100), resamples=50, seed=0
    )
    for r in range(2):
        named = scores[r].argmax(1)
        assert points[r, 0] == pytest.approx(accuracy_score(truth, named))
        assert points[r, 1] == pytest.approx(f1_score(truth, named, average="macro"))
    weights = next(intervals.resample_weights(np.arange(100), 50, np.random.default_rng(0)))
    rows = np.repeat(np.arange(100), weights[7].astype(int))
    assert samples[1, 0, 7] == pytest.approx((truth[rows] == scores[1, rows].argmax(1)).mean())


def test_calibration_error_sees_a_shift_and_not_its_absence() -> None:
    rng = np.random.default_rng(4)
    p = rng.beta(1, 8, 20_000)
    truth = (rng.random(20_000) < p).astype(float)
    assert expected_calibration_error(truth, p) < 0.01
    assert expected_calibration_error(truth, p + 0.2) == pytest.approx(0.2, abs=0.01)
    predicted, _, count = reliability(truth, p)
    assert count.sum() == 20_000
    assert (np.diff(predicted) > 0).all()
    assert np.isnan(expected_calibration_error(np.zeros(0), np.zeros(0)))
    assert len(reliability(truth[:30], p[:30])[0]) == 1  # too few for more bins


def test_one_patient_has_no_interval() -> None:
    rng = np.random.default_rng(5)
    truth, scores = (rng.random((20, 1)) < 0.5).astype(float), rng.random((1, 20, 1))
    metrics = intervals.label_metrics(truth, np.ones_like(truth, bool), scores)
    _, samples = intervals.bootstrap(metrics, np.zeros(20, int), resamples=10, seed=0)
    assert np.isnan(samples).all()
