"""Whether probabilities mean what they say, beside what chance alone would show.

In: truth, mask and the probabilities of R runs. Out: the expected calibration error, the mean gap
between predicted and observed share over bins of equal count (Nguyen & O'Connor, EMNLP 2015), and
the points of its curve. Bins of equal width would be empty for a rare label.

The error is never 0, not even of perfect probabilities: the observed share of few images differs
from the true one by chance. `perfect_errors` draws truth from the probabilities themselves
(consistency resampling, Bröcker & Smith, Weather and Forecasting 22:651-661, 2007) and says how
large it would be.

Isotonic calibration is the monotone function of the probability that fits validation rows best
(Zadrozny & Elkan, KDD 2002), to be seen beside temperature and intercept: where it is much better,
these are the wrong form.
"""

import math
from dataclasses import dataclass

import numpy as np

BINS = 10
LEAST_IN_BIN = 20
DRAWS = 100
#: Images with a label, and without it, below which an isotonic function is not fitted.
LEAST_TO_FIT = 10
_CHUNK_CELLS = 4_000_000


@dataclass(frozen=True)
class Errors:
    """What a calibration leaves, the mean over labels last; NaN where it is not fitted.

    Attributes:
        ece: [R, L + 1] expected calibration error.
        brier: [R, L + 1] Brier score.
    """

    ece: np.ndarray
    brier: np.ndarray


def label_errors(
    truth: np.ndarray, mask: np.ndarray, scores: np.ndarray, averaged: np.ndarray
) -> np.ndarray:
    """Expected calibration error of each run and label, then the mean of some: [R, L + 1]."""

    def error(run: np.ndarray, k: int) -> float:
        return expected_calibration_error(truth[mask[:, k], k], run[mask[:, k], k])

    own = np.array([[error(run, k) for k in range(truth.shape[1])] for run in scores])
    return with_mean(own, averaged)


def with_mean(own: np.ndarray, averaged: np.ndarray) -> np.ndarray:
    """Errors [R, L] of labels, and their mean over some: [R, L + 1]."""
    means = own[:, averaged].mean(axis=1) if averaged.any() else np.full(len(own), math.nan)
    return np.concatenate([own, means[:, None]], axis=1)


def reliability(
    truth: np.ndarray, probabilities: np.ndarray, bins: int = BINS
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean prediction, observed share and count of each bin.

    Args:
        truth: [N] in {0, 1}.
        probabilities: [N] in [0, 1].
        bins: At most this many, of at least `LEAST_IN_BIN` images where there are so many.

    Returns:
        ``(predicted, observed, count)``, each [b].
    """
    n = len(truth)
    if n == 0:
        return np.zeros(0), np.zeros(0), np.zeros(0)
    parts = np.array_split(np.argsort(probabilities, kind="stable"), _bins(n, bins))
    predicted = np.array([probabilities[part].mean() for part in parts])
    observed = np.array([truth[part].mean() for part in parts])
    return predicted, observed, np.array([len(part) for part in parts], dtype=np.float64)


def _bins(n: int, most: int = BINS) -> int:
    return max(1, min(most, n // LEAST_IN_BIN))


def expected_calibration_error(truth: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean absolute gap over the bins, weighted by count; NaN without images."""
    predicted, observed, count = reliability(truth, probabilities)
    if not len(count):
        return math.nan
    return float((np.abs(predicted - observed) * count).sum() / count.sum())


def perfect_errors(
    mask: np.ndarray, scores: np.ndarray, averaged: np.ndarray, *, seed: int
) -> np.ndarray:
    """The calibration error that `label_errors` would find if the probabilities were true.

    Args:
        mask: [N, L] bool.
        scores: [R, N, L] probabilities.
        averaged: [L] bool, what the mean is over.
        seed: Of the draws.

    Returns:
        [R, L + 1] mean over `DRAWS` draws of the truth.
    """
    rng = np.random.default_rng(seed)
    own = [[_perfect_error(run[m, k], rng) for k, m in enumerate(mask.T)] for run in scores]
    return with_mean(np.array(own), averaged)


def _perfect_error(probabilities: np.ndarray, rng: np.random.Generator) -> float:
    n = len(probabilities)
    if n == 0:
        return math.nan
    p = np.sort(probabilities)
    starts = np.cumsum([0, *map(len, np.array_split(p, _bins(n))[:-1])])
    expected = np.add.reduceat(p, starts)
    gaps, left = 0.0, DRAWS
    while left:
        draws = min(left, max(1, _CHUNK_CELLS // n))
        truth = rng.random((draws, n)) < p
        gaps += float(np.abs(np.add.reduceat(truth, starts, axis=1, dtype=float) - expected).sum())
        left -= draws
    return gaps / (DRAWS * n)


def isotonic(
    truth: np.ndarray,
    mask: np.ndarray,
    probabilities: np.ndarray,
    asked: np.ndarray,
    *,
    single: bool,
) -> np.ndarray:
    """Isotonic functions of validation probabilities, applied to others.

    Args:
        truth: [M, L] in {0, 1} of validation rows.
        mask: [M, L] bool.
        probabilities: [M, L] of these rows.
        asked: [N, L] probabilities to calibrate.
        single: Whether the labels are classes that exclude each other: each row then sums to 1.

    Returns:
        [N, L] float64; NaN where fewer than `LEAST_TO_FIT` rows have a label, or lack it.
    """
    from sklearn.isotonic import IsotonicRegression

    out = np.full(asked.shape, np.nan)
    for k, rows in enumerate(mask.T):
        positive = int((truth[rows, k] > 0).sum())
        if min(positive, int(rows.sum()) - positive) < LEAST_TO_FIT:
            continue
        function = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
        out[:, k] = function.fit(probabilities[rows, k], truth[rows, k]).predict(asked[:, k])
    if single:  # a row that no class takes says nothing: as it was
        sums = out.sum(axis=1, keepdims=True)
        return np.asarray(np.where(sums > 0, out / np.where(sums > 0, sums, 1), asked + 0 * sums))
    return out


def errors_of(
    truth: np.ndarray, mask: np.ndarray, scores: np.ndarray, averaged: np.ndarray
) -> Errors | None:
    """Errors of calibrated probabilities [R, N, L], NaN where there are none; None if nowhere.

    The mean is NaN unless all labels that it is over have one.
    """
    known = ~np.isnan(scores).any(axis=1)
    if not known.any():
        return None
    ece, brier = np.full((2, *known.shape), np.nan)
    for r, k in zip(*np.nonzero(known)):
        own = mask[:, k]
        ece[r, k] = expected_calibration_error(truth[own, k], scores[r, own, k])
        brier[r, k] = ((scores[r, own, k] - truth[own, k]) ** 2).mean() if own.any() else np.nan
    return Errors(with_mean(ece, averaged), with_mean(brier, averaged))
