"""The fewest images: which existing label vectors reach the shares with the least number of rows.

In: the label table of the selected real rows and shares. Out: how many images take each pattern of
target classes, and the rows that lend them their labels.

Drawing rows as they occur keeps the other labels as they are; choosing rows that carry several
targets needs fewer images, takes its labels from few rows and shifts what comes along. That is why
``--fewest`` is asked for by name. An integer program over the patterns of target classes that
occur finds the least number; among all plans of that number a second one lets no row lend its
labels much oftener than it must.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

from cxrtool.synthesis.arrays import ByteArray, IntArray
from cxrtool.synthesis.program import FloatArray, Shares
from cxrtool.training.rng import plan_seed

_NODES = 300  # of the search tree: a bound that every machine reaches at the same place
_LOOSE = 0.02  # of the second program: how far from the most even spread


@dataclass(frozen=True)
class Patterns:
    """The combinations of target classes that rows have.

    Attributes:
        carried: Which of the K targets each of the J patterns carries, zeros and ones [K, J].
        told: Which it knows [K, J].
        rows: The rows of each pattern, ascending [J].
    """

    carried: IntArray
    told: IntArray
    rows: tuple[IntArray, ...]

    @classmethod
    def of(cls, carried: ByteArray, told: ByteArray) -> "Patterns":
        """All patterns with at least one target, in the order of their bits.

        Args:
            carried: Which targets the rows carry [N, K].
            told: Which they know [N, K].
        """
        some = np.flatnonzero(carried.any(axis=1))
        both = np.concatenate([carried[some], told[some]], axis=1)
        kinds, which = np.unique(both, axis=0, return_inverse=True)
        which = which.reshape(-1)
        rows = tuple(some[which == j] for j in range(len(kinds)))
        halves = kinds.T.astype(np.int64)
        return cls(halves[: carried.shape[1]], halves[carried.shape[1] :], rows)

    def class_of(self, positives: IntArray) -> IntArray:
        """The rarest target that each pattern carries [J]: the class its images are made for."""
        order = np.argsort(positives, kind="stable")
        return np.asarray(order[np.argmax(self.carried[order], axis=0)], dtype=np.int64)

    def lend(self, pattern: int, n: int, seed: int) -> IntArray:
        """Rows for n images of a pattern [n], none oftener than once more than another."""
        rows = self.rows[pattern]
        name = "".join(map(str, (self.carried + self.told)[:, pattern].tolist()))
        raw = np.random.PCG64(plan_seed("fewest", seed, name)).random_raw(len(rows))
        return np.asarray(np.resize(rows[np.argsort(raw, kind="stable")], n), dtype=np.int64)


def fewest_images(
    patterns: Patterns, positives: IntArray, known: IntArray, shares: Shares, drawn: FloatArray
) -> IntArray:
    """How many images take each pattern [J]: the least sum with which every share holds.

    Args:
        patterns: What there is to choose from.
        positives: Positives of the K targets among the real rows.
        known: Real rows that know each of them [K].
        shares: Wanted shares [K].
        drawn: What the linear program says [J]; rounded up it is a plan, if not the least one.
    """
    task = _Integers(patterns, positives, known, shares)
    start = task.repaired(np.ceil(drawn - 1e-9).astype(np.int64))
    least = task.least()
    best = start if least is None or least.sum() > start.sum() else least
    sizes = np.array([len(rows) for rows in patterns.rows], dtype=np.int64)
    even = task.evenly(int(best.sum()), sizes)
    return best if even is None else even


class _Integers:
    """The shares as integers: for every k, sum_j gain[k, j] n_j >= lack[k]."""

    def __init__(
        self, patterns: Patterns, positives: IntArray, known: IntArray, shares: Shares
    ) -> None:
        num = np.array([share.numerator for share in shares], dtype=np.int64)
        den = np.array([share.denominator for share in shares], dtype=np.int64)
        self.gain = den[:, np.newaxis] * patterns.carried - num[:, np.newaxis] * patterns.told
        self.lack = num * known - den * positives

    def holds(self, n: IntArray) -> bool:
        """Whether every share is reached, compared in integers."""
        return bool((self.gain @ n >= self.lack).all())

    def repaired(self, n: IntArray) -> IntArray:
        """A rounded solution with images added until it holds."""
        n = n.copy()
        while not self.holds(n):
            short = np.maximum(self.lack - self.gain @ n, 0)
            better = np.minimum(self.gain, short[:, np.newaxis]).sum(axis=0)
            n[int(np.argmax(better))] += 1
        return n

    def least(self) -> IntArray | None:
        """The integer program; None where its search ended without a solution that holds.

        A pattern that carries all that another one carries is never worse: the others are left out.
        """
        top = _largest(self.gain)
        result = milp(
            np.ones(len(top)),
            constraints=LinearConstraint(self.gain[:, top], lb=self.lack),
            integrality=np.ones(len(top)),
            bounds=Bounds(0, np.inf),
            options={"node_limit": _NODES, "mip_rel_gap": 0.0},
        )
        if result.x is None:
            return None
        n = np.zeros(self.gain.shape[1], dtype=np.int64)
        n[top] = np.round(result.x).astype(np.int64)
        return n if self.holds(n) else None

    def evenly(self, total: int, sizes: IntArray) -> IntArray | None:
        """So many images, lent by rows as equally as can be; None where none was found."""
        j = len(sizes)
        if not total:
            return np.zeros(j, dtype=np.int64)
        # the last variable is how often a row lends at most
        often = np.c_[np.eye(j), -sizes[:, np.newaxis]]
        result = milp(
            np.r_[np.zeros(j), 1.0],
            constraints=[
                LinearConstraint(np.c_[self.gain, np.zeros(len(self.gain))], lb=self.lack),
                LinearConstraint(np.r_[np.ones(j), 0.0][np.newaxis, :], lb=total, ub=total),
                LinearConstraint(often, ub=0),
            ],
            integrality=np.r_[np.ones(j), 0],
            bounds=Bounds(0, np.inf),
            options={"node_limit": _NODES, "mip_rel_gap": _LOOSE},
        )
        if result.x is None:
            return None
        n = np.round(result.x[:j]).astype(np.int64)
        return n if self.holds(n) and n.sum() == total else None


def _largest(gain: IntArray) -> IntArray:
    """Patterns that no other one contains."""
    alone = [(gain[:, [j]] <= gain).all(axis=0).sum() == 1 for j in range(gain.shape[1])]
    return np.flatnonzero(alone)
