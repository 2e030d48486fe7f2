"""What the linear program must agree with where a formula is known."""

from __future__ import annotations

from fractions import Fraction

import numpy as np


def all_binding(
    n_rows: int, positives: tuple[int, ...], ratios: np.ndarray, shares: tuple[Fraction, ...]
) -> np.ndarray:
    """n = (R - tJ)^-1 (t N - c), which holds where every target binds."""
    c = np.asarray(positives, dtype=np.float64)
    t = np.array([float(share) for share in shares])
    return np.asarray(np.linalg.solve(ratios - t[:, np.newaxis], t * n_rows - c))


def one_class(n_rows: int, positives: int, share: Fraction) -> int:
    """ceil((tN - c) / (1 - t)): the images that one class needs, exact."""
    need = (share * n_rows - positives) / (1 - share)
    return max(0, -(-need.numerator // need.denominator))


def disjoint(n_rows: int, positives: tuple[int, ...], share: Fraction) -> Fraction:
    """(KtN - sum c) / (1 - Kt): the draws that are needed if no row carries two of the classes."""
    k = len(positives)
    assert k * share < 1, "disjoint classes cannot have shares that add up to 1 or more"
    return (k * share * n_rows - sum(positives)) / (1 - k * share)
