"""The linear program behind the planner: how many draws from each class's pool.

In: positives c_k among m_k rows that know label k, shares among draws from pool p: R[k, p] =
P(label k is 1), S[k, p] = P(label k is known), and the wanted shares t_k. Out: the expected number
of draws from each pool, of least sum, so that every label reaches its share of what is known of it
in the enlarged set::

    for every k:  c_k + sum_p R[k, p] n_p  >=  t_k (m_k + sum_p S[k, p] n_p),   n >= 0,   min sum n

Where all is known m_k is the number of rows and S is 1. The program is an expectation: ``planner``
makes it exact. All of it is about counts of rows and knows nothing of images.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import linprog

from cxrtool.synthesis.arrays import ByteArray, IntArray

FloatArray = npt.NDArray[np.float64]
Shares = tuple[Fraction, ...]
_HALVINGS, _SLACK = 50, 1e-12


def cooccurrence(
    values: ByteArray, columns: npt.ArrayLike, of: ByteArray | None = None
) -> IntArray:
    """Counts of rows that carry both of two labels.

    Args:
        values: Label table [N, L] of zeros and ones.
        columns: The K label positions that matter.
        of: Another table [N, L] in which the first label is looked up, such as what is known.

    Returns:
        C [K, K], first label by second; of one table it is symmetric and its diagonal holds the
        positives c.
    """
    # counting bytes beats a matrix product here, and waits for no other BLAS thread
    places = np.asarray(columns).tolist()
    second = [np.ascontiguousarray(values[:, column]) for column in places]
    first = second if of is None else [np.ascontiguousarray(of[:, column]) for column in places]
    counts = [[np.count_nonzero(a & b) for b in second] for a in first]
    return np.array(counts, dtype=np.int64).reshape(len(places), len(places))


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
        known: m, the rows that know each class [K]; one number where all rows know all.
        positives: c [K].
        ratios: R [K, P], of P pools; P is K where every class has its own.
        told: S [K, P]; None where all is known.
    """

    known: npt.ArrayLike
    positives: npt.ArrayLike
    ratios: FloatArray
    told: FloatArray | None = None

    def met(self, shares: Shares) -> bool:
        """Whether every class has its share already, compared in integers."""
        counts = zip(np.asarray(self.positives), self._known(), shares, strict=True)
        return all(int(c) * t.denominator >= t.numerator * int(m) for c, m, t in counts)

    def solve(self, shares: Shares) -> FloatArray | None:
        """The least expected draws n [P]; None where no number of draws reaches the shares."""
        pools = self.ratios.shape[1]
        if self.met(shares):
            return np.zeros(pools)
        gains, lacks = self._terms(_floats(shares))
        result = linprog(np.ones(pools), A_ub=-gains, b_ub=-lacks, bounds=(0, None), method="highs")
        return None if result.status != 0 else np.asarray(result.x, dtype=np.float64)

    def ceiling(self, shares: Shares) -> tuple[float, tuple[int, ...]]:
        """The most that draws from the pools can give.

        Parts of the enlarged set are drawn from the pools, one is the real rows: the highest
        multiple f of the shares for which some parts leave no class short. Where draws bring other
        labels along and all is known, the real rows could be left out: for weights u >= 0 and
        s = sum_k u_k y_k, the mean of E[s | y_p = 1] weighted by u_p P(y_p = 1) is
        E[s^2] / E[s] >= E[s], so some pool is at least as good as the whole table in every
        direction. Where each class counts its own draws only (R the identity) they count.

        Returns:
            The highest multiple of the shares that the enlarged set has, or comes near to with ever
            more draws: the shares can be reached where it is above 1. And the positions of the
            classes that hold it down, the tightest first.
        """
        largest = float(self._known().max())

        def spare(factor: float) -> Any:
            gains, lacks = self._terms(_floats(shares) * factor)
            return _spare(np.c_[gains, -lacks / largest], np.zeros(len(lacks)), 1.0)

        factor = _highest(spare, 1 / float(min(shares)))
        weights = -np.asarray(spare(factor).ineqlin.marginals)
        order = np.argsort(-weights, kind="stable")
        return factor, tuple(int(i) for i in order if weights[i] > 1e-9)

    def highest_factor_within(self, shares: Shares, n_images: int) -> float:
        """The highest multiple of the shares that so many draws are expected to reach."""
        return _highest(
            lambda factor: _spare(*self._terms(_floats(shares) * factor), float(n_images)),
            1 / float(min(shares)),
        )

    def _terms(self, shares: FloatArray) -> tuple[FloatArray, FloatArray]:
        """What a draw of each pool brings each class [K, P], and what each class lacks [K]."""
        told = np.ones_like(self.ratios) if self.told is None else self.told
        lacks = shares * self._known() - np.asarray(self.positives)
        return self.ratios - shares[:, np.newaxis] * told, lacks

    def _known(self) -> IntArray:
        return np.broadcast_to(np.asarray(self.known, dtype=np.int64), np.shape(self.positives))


def _spare(gains: FloatArray, lacks: FloatArray, total: float) -> Any:
    """The program: what the class with least to spare has, for draws that add up to a total."""
    pools = gains.shape[1]
    return linprog(
        np.r_[np.zeros(pools), -1.0],
        A_ub=np.c_[-gains, np.ones(len(gains))],
        b_ub=-lacks,
        A_eq=np.r_[np.ones(pools), 0.0][np.newaxis, :],
        b_eq=[total],
        bounds=[(0, None)] * pools + [(None, None)],
        method="highs",
    )


def _highest(spare: Callable[[float], Any], high: float) -> float:
    """The highest factor at which no class is short, by halving; 0 where there is none."""
    low = 0.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if -spare(middle).fun >= -_SLACK:
            low = middle
        else:
            high = middle
    return low


def _floats(shares: Shares) -> FloatArray:
    return np.array([float(share) for share in shares])
