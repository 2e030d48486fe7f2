"""Ranking metrics of one label: AUROC, average precision and the points of their curves.

In: truth (bool) and scores (float) of N images, optionally with many weight vectors at once, one a
bootstrap resample. Out: one value a weight vector, NaN where it is undefined.

AUROC is the Mann-Whitney statistic, a tie counts one half (Hanley & McNeil, Radiology 143:29-36,
1982). Average precision is the step sum over recall, AP = sum_k (R_k - R_{k-1}) P_k, without the
optimistic interpolation (Davis & Goadrich, ICML 2006). Both agree with scikit-learn.
"""

from dataclasses import dataclass

import numpy as np

from cxrtool.core.errors import InputError

#: Specificity at which sensitivities are given.
SPECIFICITY = 0.9


@dataclass(frozen=True)
class Ranking:
    """Images of one label sorted by score, so that resamples need no sort of their own.

    Attributes:
        order: [N] int64, image positions by ascending score.
        starts: [G] int64, where each group of equal scores begins in ``order``.
        positive: [N] bool, truth in the order of ``order``.
        scores: [N] float64, in the order of ``order``.
    """

    order: np.ndarray
    starts: np.ndarray
    positive: np.ndarray
    scores: np.ndarray


def rank(truth: np.ndarray, scores: np.ndarray) -> Ranking:
    """Sort once by score and find the ties.

    Args:
        truth: [N] bool or {0, 1}.
        scores: [N] float, larger means more likely positive.

    Raises:
        InputError: A score is NaN or infinite; such a row has no place in a ranking.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if bad := int((~np.isfinite(scores)).sum()):
        raise InputError(f"{bad} of {len(scores)} predictions are NaN or infinite")
    order = np.argsort(scores, kind="stable")
    ordered = scores[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=-np.inf))
    return Ranking(order, starts, np.asarray(truth).astype(bool)[order], ordered)


def _group_sums(ranking: Ranking, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weight of positives and of negatives in each group of ties: two [B, G] arrays."""
    ordered = weights[:, ranking.order]
    positive = np.where(ranking.positive, ordered, 0.0)
    negative = ordered - positive
    if len(ranking.starts) == ordered.shape[1]:  # no ties: nothing to sum
        return positive, negative
    positive, negative = (
        np.add.reduceat(part, ranking.starts, axis=1) for part in (positive, negative)
    )
    return positive, negative


def weighted_scores(ranking: Ranking, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """AUROC and average precision under B weight vectors.

    Args:
        ranking: From ``rank``, N images.
        weights: [B, N] float64 >= 0, how often each image counts in each resample.

    Returns:
        ``(auroc, average_precision)``, each [B] float64; AUROC is NaN where a resample lacks one
        of the classes, average precision is NaN where it lacks positives.
    """
    positive, negative = _group_sums(ranking, weights)
    n_positive, n_negative = positive.sum(axis=1), negative.sum(axis=1)

    below = np.cumsum(negative, axis=1)
    wins = np.einsum("bg,bg->b", positive, below - 0.5 * negative)

    hits = np.cumsum(positive[:, ::-1], axis=1)
    called = hits + np.cumsum(negative[:, ::-1], axis=1)
    precision = np.divide(hits, called, out=np.zeros_like(hits), where=called > 0)
    steps = np.einsum("bg,bg->b", positive[:, ::-1], precision)

    both = (n_positive > 0) & (n_negative > 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        auroc = np.where(both, wins / (n_positive * n_negative), np.nan)
        return auroc, np.where(n_positive > 0, steps / n_positive, np.nan)


def decision_scores(
    ranking: Ranking, weights: np.ndarray, specificity: float = SPECIFICITY
) -> tuple[np.ndarray, np.ndarray]:
    """Sensitivity at a fixed specificity, and the Brier score, under B weight vectors.

    The sensitivity is that of the ROC curve: the largest over all thresholds whose specificity is
    at least the one asked for. The Brier score (Monthly Weather Review 78:1-3, 1950) is the mean
    squared difference between probability and truth.

    Args:
        ranking: From ``rank``, N images, whose scores are probabilities.
        weights: [B, N] float64 >= 0.
        specificity: Least share of negatives below the threshold.

    Returns:
        ``(sensitivity, brier)``, each [B] float64; NaN where a class is missing.
    """
    positive, negative = _group_sums(ranking, weights)
    n_positive, n_negative = positive.sum(axis=1), negative.sum(axis=1)
    called_positive = np.cumsum(positive[:, ::-1], axis=1)
    called_negative = np.cumsum(negative[:, ::-1], axis=1)
    allowed = called_negative <= (1 - specificity) * n_negative[:, None] + 1e-9
    best = np.where(allowed, called_positive, 0.0).max(axis=1, initial=0.0)
    squared = (ranking.scores - ranking.positive) ** 2
    error = np.einsum("bn,n->b", weights[:, ranking.order], squared)
    both = (n_positive > 0) & (n_negative > 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        brier = np.where(both, error / (n_positive + n_negative), np.nan)
        return np.where(both, best / n_positive, np.nan), brier


def auroc(truth: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve of N images; NaN where a class is missing."""
    return float(weighted_scores(rank(truth, scores), np.ones((1, len(scores))))[0][0])


def roc_points(truth: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False-positive and true-positive rate at every distinct threshold, from (0, 0) to (1, 1)."""
    hits, alarms = _called(truth, scores)
    return alarms / max(alarms[-1], 1.0), hits / max(hits[-1], 1.0)


def pr_points(truth: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Recall and precision at every distinct threshold, by rising recall."""
    hits, alarms = (counts[1:] for counts in _called(truth, scores))
    return hits / max(hits[-1], 1.0), hits / (hits + alarms)


def _called(truth: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positives and negatives at or above every distinct threshold, from none to all."""
    sums = _group_sums(rank(truth, scores), np.ones((1, len(scores))))
    hits, alarms = (np.concatenate([[0.0], np.cumsum(part[0, ::-1])]) for part in sums)
    return hits, alarms
