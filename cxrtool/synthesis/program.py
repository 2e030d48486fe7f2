"""The linear program behind the planner: how many draws from each class's pool.

In: N rows, positives c_k, conditional shares R[k, p] = P(label k | a draw from the pool of p) and
the wanted shares t_k. Out: the expected number of draws from each pool, of least sum, so that every
label reaches its share of the enlarged set::

    for every k:  c_k + sum_p R[k, p] n_p  >=  t_k (N + sum_p n_p),   n >= 0,   minimize sum n

The program is an expectation: ``planner`` makes it exact. All of it is about counts of rows and
knows nothing of images.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import linprog

from cxrtool.synthesis.arrays import ByteArray, IntArray

FloatArray = npt.NDArray[np.float64]
Shares = tuple[Fraction, ...]


def cooccurrence(values: ByteArray, columns: npt.ArrayLike) -> IntArray:
    """Counts of rows that carry both of two labels.

    Args:
        values: Label table [N, L] of zeros and ones.
        columns: The K label positions that matter.

    Returns:
        C [K, K]; its diagonal holds the positives c.
    """
    # counting bytes beats a matrix product here, and waits for no other BLAS thread
    labels = [np.ascontiguousarray(values[:, column]) for column in np.asarray(columns).tolist()]
    counts = np.zeros((len(labels), len(labels)), dtype=np.int64)
    for i, first in enumerate(labels):
        for j, second in enumerate(labels[: i + 1]):
            counts[i, j] = counts[j, i] = np.count_nonzero(first & second)
    return counts


def label_totals(values: ByteArray) -> IntArray:
    """How many rows carry each label: [N, L] -> [L]."""
    return np.array([np.count_nonzero(column) for column in values.T], dtype=np.int64)


def conditional_shares(counts: IntArray) -> FloatArray:
    """R[k, p] = C[k, p] / c_p, the share of label k among draws from the pool of p.

    Args:
        counts: Co-occurrence [K, K]; every class needs at least one positive.
    """
    positives = np.diagonal(counts)
    if (positives < 1).any():
        raise ValueError("a class without a positive row has no pool")
    return np.asarray(counts / positives[np.newaxis, :], dtype=np.float64)


@dataclass(frozen=True)
class Program:
    """The program of one table, for any shares t [K].

    Attributes:
        n_rows: N, the rows there are.
        positives: c [K].
        ratios: R [K, K].
    """

    n_rows: int
    positives: npt.ArrayLike
    ratios: FloatArray

    def met(self, shares: Shares) -> bool:
        """Whether every class has its share already, compared in integers."""
        return all(
            int(c) * t.denominator >= t.numerator * self.n_rows
            for c, t in zip(np.asarray(self.positives), shares, strict=True)
        )

    def solve(self, shares: Shares) -> FloatArray | None:
        """The least expected draws n [K]; None where no number of draws reaches the shares."""
        c, t = np.asarray(self.positives, dtype=np.float64), _floats(shares)
        if self.met(shares):
            return np.zeros(len(c))
        result = linprog(
            np.ones(len(c)),
            A_ub=t[:, np.newaxis] - self.ratios,
            b_ub=c - t * self.n_rows,
            bounds=(0, None),
            method="highs",
        )
        return None if result.status != 0 else np.asarray(result.x, dtype=np.float64)

    def ceiling(self, shares: Shares) -> tuple[float, tuple[int, ...]]:
        """The most that draws from the pools can give.

        With m the parts of the enlarged set that are drawn and s its real part, maximizes the least
        (s c / N + R m)_k / t_k. Where draws bring other labels along, the real rows could be left
        out: for weights u >= 0 and s = sum_k u_k y_k, the mean of E[s | y_p = 1] weighted by u_p
        P(y_p = 1) is E[s^2] / E[s] >= E[s], so some pool is at least as good as the whole table in
        every direction. Where each class counts its own draws only (R the identity) they count.

        Returns:
            The highest multiple of the shares that the enlarged set has, or comes near to with ever
            more draws: the shares can be reached where it is above 1. And the positions of the
            classes that hold it down, the tightest first.
        """
        prevalence = np.asarray(self.positives, dtype=np.float64) / self.n_rows
        parts = np.c_[self.ratios, prevalence]
        result = _highest(parts, np.zeros(len(shares)), _floats(shares), 1.0)
        weights = -np.asarray(result.ineqlin.marginals)
        order = np.argsort(-weights, kind="stable")
        return float(-result.fun), tuple(int(i) for i in order if weights[i] > 1e-9)

    def highest_factor_within(self, shares: Shares, n_images: int) -> float:
        """The highest multiple of the shares that so many draws are expected to reach."""
        c = np.asarray(self.positives, dtype=np.float64)
        t = _floats(shares) * (self.n_rows + n_images)
        result = _highest(self.ratios, c, t, float(n_images))
        return float(-result.fun) if result.status == 0 else 0.0


def _highest(parts: FloatArray, c: FloatArray, t: FloatArray, total: float) -> Any:
    """The program: the highest f so that c + R n >= f t for n >= 0 that add up to a total."""
    k = parts.shape[1]
    return linprog(
        np.r_[np.zeros(k), -1.0],
        A_ub=np.c_[-parts, t],
        b_ub=c,
        A_eq=np.r_[np.ones(k), 0.0][np.newaxis, :],
        b_eq=[total],
        bounds=(0, None),
        method="highs",
    )


def _floats(shares: Shares) -> FloatArray:
    return np.array([float(share) for share in shares])
