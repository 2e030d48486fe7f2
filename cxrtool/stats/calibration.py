"""Whether probabilities mean what they say: expected calibration error and reliability curves.

In: truth and probabilities of one label. Out: the mean gap between predicted and observed share
over bins of equal count (Nguyen & O'Connor, EMNLP 2015), and the points of the curve. Bins of equal
width would be empty for a rare label.
"""

import numpy as np

BINS = 10
LEAST_IN_BIN = 20


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
    b = max(1, min(bins, n // LEAST_IN_BIN))
    parts = np.array_split(np.argsort(probabilities, kind="stable"), b)
    predicted = np.array([probabilities[part].mean() for part in parts])
    observed = np.array([truth[part].mean() for part in parts])
    return predicted, observed, np.array([len(part) for part in parts], dtype=np.float64)


def expected_calibration_error(truth: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean absolute gap over the bins, weighted by count; NaN without images."""
    predicted, observed, count = reliability(truth, probabilities)
    if not len(count):
        return float("nan")
    return float((np.abs(predicted - observed) * count).sum() / count.sum())
