"""AUROC, average precision and curve points against scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import trapezoid
from sklearn import metrics

from cxrtool.core.errors import InputError
from cxrtool.stats import curves
from cxrtool.stats.intervals import label_scores


def average_precision(truth: np.ndarray, scores: np.ndarray) -> float:
    ranking = curves.rank(truth, scores)
    return float(curves.weighted_scores(ranking, np.ones((1, len(scores))))[1][0])


def sample(seed: int, n: int = 300, ties: bool = False) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < 0.2
    scores = rng.normal(size=n) + truth
    return truth, np.round(scores * 2) if ties else scores


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_scikit_learn(seed: int, ties: bool) -> None:
    truth, scores = sample(seed, ties=ties)
    assert curves.auroc(truth, scores) == pytest.approx(metrics.roc_auc_score(truth, scores))
    assert average_precision(truth, scores) == pytest.approx(
        metrics.average_precision_score(truth, scores)
    )


def test_weights_count_images_as_often_as_they_are_repeated() -> None:
    truth, scores = sample(7, ties=True)
    weights = np.random.default_rng(0).integers(0, 4, size=(6, len(truth)))
    roc, ap = curves.weighted_scores(curves.rank(truth, scores), weights.astype(float))
    for b, counts in enumerate(weights):
        repeated = np.repeat(np.arange(len(truth)), counts)
        y, s = truth[repeated], scores[repeated]
        assert roc[b] == pytest.approx(metrics.roc_auc_score(y, s))
        assert ap[b] == pytest.approx(metrics.average_precision_score(y, s))


def test_a_missing_class_is_undefined() -> None:
    scores = np.array([0.1, 0.4, 0.2])
    assert math.isnan(curves.auroc(np.zeros(3), scores))
    assert math.isnan(curves.auroc(np.ones(3), scores))
    assert math.isnan(average_precision(np.zeros(3), scores))
    assert average_precision(np.ones(3), scores) == 1.0


def test_a_constant_prediction_ranks_nothing() -> None:
    truth = np.array([1, 0, 0, 1, 0])
    assert curves.auroc(truth, np.full(5, 0.3)) == 0.5
    assert average_precision(truth, np.full(5, 0.3)) == pytest.approx(0.4)


def test_a_nan_prediction_is_refused() -> None:
    with pytest.raises(InputError, match="1 of 3 predictions"):
        curves.auroc(np.array([0, 1, 1]), np.array([0.2, np.nan, 0.5]))


def test_curve_points_enclose_the_areas() -> None:
    truth, scores = sample(3, ties=True)
    fpr, tpr = curves.roc_points(truth, scores)
    assert (fpr[0], tpr[0], fpr[-1], tpr[-1]) == (0, 0, 1, 1)
    assert trapezoid(tpr, fpr) == pytest.approx(curves.auroc(truth, scores))
    recall, precision = curves.pr_points(truth, scores)
    area = (np.diff(recall, prepend=0) * precision).sum()
    assert area == pytest.approx(average_precision(truth, scores))


def test_masked_cells_do_not_count() -> None:
    truth, scores = sample(1)
    mask = np.random.default_rng(1).random((len(truth), 2)) < 0.6
    both = np.stack([truth, truth], axis=1).astype(float)
    both[~mask] = np.nan
    predicted = np.stack([scores, -scores], axis=1)
    roc, _ = label_scores(both, mask, predicted)
    assert roc[0] == pytest.approx(metrics.roc_auc_score(truth[mask[:, 0]], scores[mask[:, 0]]))
    assert roc[1] < 0.5
    empty, _ = label_scores(both, np.zeros_like(mask), predicted)
    assert np.isnan(empty).all()
