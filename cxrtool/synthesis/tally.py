"""Realized counts: top up until every target holds, then trim. In integers.

In: streams of rows and the expected draws from each. Out: how many images each stream gives. The
linear program is an expectation; here the labels that were really drawn are counted. The class with
the largest deficit is topped up from its own stream; then last images are given back while every
target is still met, until no stream can lose its last one.
"""

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from cxrtool.core.errors import InputError
from cxrtool.synthesis import program
from cxrtool.synthesis.arrays import ByteArray, IntArray
from cxrtool.synthesis.streams import RowStream

LARGEST_PLAN = 50_000_000  # images; a share just below the highest feasible one has no other bound
PATIENCE = 64  # top-up draws per class without progress before the program is asked again


class Tally:
    """How many images each stream has given and how many positives of each target they carry."""

    def __init__(
        self,
        values: ByteArray,
        columns: IntArray,
        streams: list[RowStream],
        shares: tuple[Fraction, ...],
        own_only: bool,
    ) -> None:
        self.n_rows = len(values)
        self._carried = np.ascontiguousarray(values[:, columns])
        self._streams = streams
        self._own_only = own_only
        self._unit = np.eye(len(columns), dtype=np.uint8)
        self.positives = [int(c) for c in program.label_totals(self._carried)]
        self.drawn = [0] * len(streams)
        # one common denominator, so that deficits of different shares compare as integers
        self.denominator = math.lcm(*(t.denominator for t in shares))
        self.numerators = [int(t * self.denominator) for t in shares]

    @property
    def total(self) -> int:
        return self.n_rows + sum(self.drawn)

    def take(self, more: Sequence[int]) -> None:
        """Take the next images of every stream."""
        for p, n in enumerate(more):
            if n <= 0:
                continue
            if self._own_only:
                self.positives[p] += n
            else:
                rows = self._streams[p].first(self.drawn[p] + n)[self.drawn[p] :]
                for k, added in enumerate(program.label_totals(self._carried[rows])):
                    self.positives[k] += int(added)
            self.drawn[p] += n

    def state(self) -> tuple[list[int], list[int]]:
        """What `restore` goes back to; the streams themselves have no state that matters."""
        return list(self.drawn), list(self.positives)

    def restore(self, state: tuple[list[int], list[int]]) -> None:
        """Give back all images that were taken since."""
        self.drawn, self.positives = list(state[0]), list(state[1])

    def deficits(self) -> list[int]:
        """How many positives each class lacks, times the common denominator; <= 0 if it is met."""
        total = self.total
        return [
            t * total - self.denominator * c
            for t, c in zip(self.numerators, self.positives, strict=True)
        ]

    def last(self, p: int) -> list[int]:
        """Which targets the last image of stream p carries [K]."""
        if self._own_only:
            return [int(v) for v in self._unit[p]]
        return [int(v) for v in self._carried[self._streams[p].row(self.drawn[p] - 1)]]

    def can_lose(self, p: int) -> bool:
        """Whether every target is still met without the last image of stream p."""
        if self.drawn[p] == 0:
            return False
        total = self.total - 1
        return all(
            t * total <= self.denominator * (c - carried)
            for t, c, carried in zip(self.numerators, self.positives, self.last(p), strict=True)
        )

    def lose(self, p: int) -> None:
        """Give the last image of stream p back."""
        for k, carried in enumerate(self.last(p)):
            self.positives[k] -= carried
        self.drawn[p] -= 1


def top_up(tally: Tally, ratios: npt.NDArray[np.float64], shares: tuple[Fraction, ...]) -> None:
    """Draw for the class with the largest deficit until no class has one.

    With unequal shares that rule alone can run away: two classes that only a third one brings along
    outdo each other for ever. So draws without progress are given back and the linear program is
    asked again, about what is still missing.
    """
    least, since, best = None, 0, tally.state()
    while shares:
        deficits = tally.deficits()
        worst = max(deficits)
        if worst <= 0:
            return
        if least is None or worst < least:
            least, since, best = worst, 0, tally.state()
        since += 1
        if since > PATIENCE * len(shares):
            tally.restore(best)
            rest = program.solve(tally.total, tally.positives, ratios, shares)
            if rest is None or math.fsum(rest) + tally.total > LARGEST_PLAN:
                raise InputError(
                    "the shares lie too close to the highest feasible ones to be reached",
                    hint="lower the share a little",
                )
            tally.take([math.ceil(n) for n in rest])
            least, since = None, 0
        else:
            step = [0] * len(deficits)
            step[deficits.index(worst)] = 1
            tally.take(step)


def trim(tally: Tally) -> None:
    """Give last images back while all is still met, of the class with most to spare first."""
    while True:
        deficits = tally.deficits()
        order = sorted(range(len(deficits)), key=lambda k: (deficits[k], k))
        for p in order:
            if tally.can_lose(p):
                tally.lose(p)
                break
        else:
            return
