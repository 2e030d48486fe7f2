"""The linear program behind the planner: how many draws from each class's pool.

In: positives c_k among m_k rows that know label k, shares among draws from pool p: R[k, p] =
P(label k is 1), S[k, p] = P(label k is known), and the wanted shares t_k. Out: the expected number
of draws from each pool, of least sum, so that every label reaches its share of what is known of it
in the enlarged set::

    for every k:  c_k + sum_p R[k, p] n_p  >=  t_k (m_k + sum_p S[k, p] n_p),   n >= 0,   min sum n

Where all is known m_k is the number of rows and S is 1. The program is an expectation: ``planner``
makes it exact. All of it is about counts of rows and knows nothing of images.
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt
from scipy.optimize import linprog

from cxrtool.synthesis.arrays import ByteArray, IntArray

FloatArray = npt.NDArray[np.float64]
Shares = tuple[Fraction, ...]
_SLACK = 1e-12  # of a factor that rises no more


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
        rows = float(self._known().max())
        gains = np.c_[self.ratios, np.asarray(self.positives) / rows]
        asks = np.c_[self._told(), self._known() / rows]
        factor, weights = _highest(gains, asks * _floats(shares)[:, np.newaxis], 1.0)
        order = np.argsort(-weights, kind="stable")
        return factor, tuple(int(i) for i in order if weights[i] > 1e-9)

    def highest_factor_within(self, shares: Shares, n_images: int) -> float:
        """The highest multiple of the shares that so many draws are expected to reach."""
        t = _floats(shares)
        asks = self._told() * t[:, np.newaxis]
        have, asked = np.asarray(self.positives, dtype=np.float64), t * self._known()
        return _highest(self.ratios, asks, float(n_images), have, asked)[0]

    def _terms(self, shares: FloatArray) -> tuple[FloatArray, FloatArray]:
        """What a draw of each pool brings each class [K, P], and what each class lacks [K]."""
        lacks = shares * self._known() - np.asarray(self.positives)
        return self.ratios - shares[:, np.newaxis] * self._told(), lacks

    def _told(self) -> FloatArray:
        return np.ones_like(self.ratios) if self.told is None else self.told

    def _known(self) -> IntArray:
        return np.broadcast_to(np.asarray(self.known, dtype=np.int64), np.shape(self.positives))


def _highest(
    gains: FloatArray,
    asks: FloatArray,
    total: float,
    have: FloatArray | float = 0.0,
    asked: FloatArray | float = 0.0,
) -> tuple[float, FloatArray]:
    """The highest f so that have + gains n >= f (asked + asks n) for n >= 0 that add up to a total.

    A generalized fractional program, solved as Crouzeix, Ferland and Schaible (1985) do: the linear
    program at the last f says for which n all classes have more than f asks of them, and f rises to
    the least quotient there. Where ``asks`` are equal for all pools it is one linear program.

    Returns:
        f, and the weight of each class in holding it down [K].
    """
    pools = gains.shape[1]
    n, factor = np.full(pools, total / pools), 0.0
    while True:
        scale = asked + asks @ n
        result = linprog(
            np.r_[np.zeros(pools), -1.0],
            A_ub=np.c_[factor * asks - gains, scale],
            b_ub=np.broadcast_to(have - factor * asked, len(gains)),
            A_eq=np.r_[np.ones(pools), 0.0][np.newaxis, :],
            b_eq=[total],
            bounds=[(0, None)] * pools + [(None, None)],
            method="highs",
        )
        n = result.x[:pools]
        higher = float(np.min((have + gains @ n) / (asked + asks @ n)))
        if higher <= factor + _SLACK:
            return factor, -np.asarray(result.ineqlin.marginals)
        factor = higher


def _floats(shares: Shares) -> FloatArray:
    return np.array([float(share) for share in shares])
