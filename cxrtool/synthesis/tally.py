"""Realized counts: streams of real rows, topped up until every target holds, then trimmed.

In: the rows that carry each class, and the expected draws. Out: how many images each stream gives.
A stream draws uniformly with replacement; it is never reordered and never picked from: its first n
rows are its first n rows whatever n is asked for, in whatever steps. Picking only rows that carry
several targets would reach the shares with fewer images and destroy the distribution of the other
labels.

The linear program is an expectation; here the labels that were really drawn are counted, in
integers. The class with the largest deficit is topped up from its own stream; then last images are
given back while every target is still met, until no stream can lose its last one.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from cxrtool.core.config import MOST_IMAGES
from cxrtool.core.errors import InputError
from cxrtool.synthesis.arrays import ByteArray, IntArray
from cxrtool.synthesis.program import Program, Shares, label_totals
from cxrtool.training.rng import plan_seed

LARGEST_PLAN = MOST_IMAGES  # a share just below the highest feasible one has no other bound
_BLOCK = 1 << 20  # rows that are drawn at once
PATIENCE = 64  # top-up draws per class without progress before the program is asked again


class RowStream:
    """Rows of one class's pool, drawn uniformly with replacement.

    Args:
        pool: Positions of the rows that carry the class, ascending; not empty.
        seed: Seed of the plan.
        label: Name of the class: each class has a stream of its own.
    """

    def __init__(self, pool: IntArray, seed: int, label: str) -> None:
        if len(pool) == 0:
            raise ValueError(f"the pool of {label!r} is empty")
        self.pool = pool
        # raw 64-bit output: numpy promises it stable across versions, unlike Generator.integers
        self._bits = np.random.PCG64(plan_seed("rows", seed, label))
        self._drawn = np.empty(0, dtype=np.int64)

    def first(self, n: int) -> IntArray:
        """The first n rows of the stream [n], as positions in the label table."""
        missing = n - len(self._drawn)
        if missing > 0:
            # steps of at least a quarter keep repeated calls for one more row cheap
            rows = np.empty(max(missing, len(self._drawn) // 4, 256), dtype=np.int64)
            for start in range(0, len(rows), _BLOCK):  # of little memory, however many are drawn
                part = rows[start : start + _BLOCK]
                raw = self._bits.random_raw(len(part))
                unit = (raw >> np.uint64(11)) * 2.0**-53  # uniform in [0, 1) on 53 bits
                part[:] = self.pool[(unit * len(self.pool)).astype(np.int64)]
            self._drawn = np.concatenate([self._drawn, rows]) if len(self._drawn) else rows
        return self._drawn[:n]


class Tally:
    """How many images each stream has given, and how many of them carry and know each target.

    Args:
        carried: Which targets the rows carry, zeros and ones [N, K].
        told: Which they know [N, K].
        streams: A stream a target.
        shares: Wanted shares of what is known [K].
        own_only: Count as positives the images of the target's own stream only.
    """

    def __init__(
        self,
        carried: ByteArray,
        told: ByteArray,
        streams: list[RowStream],
        shares: Shares,
        own_only: bool,
    ) -> None:
        self.n_rows = len(carried)
        self._carried, self._told = np.ascontiguousarray(carried), np.ascontiguousarray(told)
        self._streams = streams
        self._own_only = own_only
        self.positives: list[int] = label_totals(self._carried).tolist()
        self.known: list[int] = label_totals(self._told).tolist()
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
            rows = self._streams[p].first(self.drawn[p] + n)[self.drawn[p] :]
            carried = label_totals(self._carried[rows]).tolist()
            if self._own_only:
                carried = [n * (k == p) for k in range(len(carried))]
            for k, (added, told) in enumerate(
                zip(carried, label_totals(self._told[rows]).tolist())
            ):
                self.positives[k] += added
                self.known[k] += told
            self.drawn[p] += n

    def state(self) -> tuple[list[int], ...]:
        """What `restore` goes back to; the streams themselves have no state that matters."""
        return list(self.drawn), list(self.positives), list(self.known)

    def restore(self, state: tuple[list[int], ...]) -> None:
        """Give back all images that were taken since."""
        self.drawn, self.positives, self.known = map(list, state)

    def deficits(self) -> list[int]:
        """How many positives each class lacks, times the common denominator; <= 0 if it is met."""
        counts = zip(self.numerators, self.known, self.positives, strict=True)
        return [t * m - self.denominator * c for t, m, c in counts]

    def last(self, p: int) -> tuple[list[int], list[int]]:
        """Which targets the last image of stream p carries, and which it knows [K]."""
        row = self._streams[p].first(self.drawn[p])[-1]
        told: list[int] = self._told[row].tolist()
        if self._own_only:
            return [int(k == p) for k in range(len(self.drawn))], told
        return self._carried[row].tolist(), told

    def can_lose(self, p: int) -> bool:
        """Whether every target is still met without the last image of stream p."""
        if self.drawn[p] == 0:
            return False
        terms = zip(self.deficits(), self.numerators, *self.last(p), strict=True)
        return all(lack - t * told + self.denominator * c <= 0 for lack, t, c, told in terms)

    def lose(self, p: int) -> None:
        """Give the last image of stream p back."""
        for k, (carried, told) in enumerate(zip(*self.last(p), strict=True)):
            self.positives[k] -= carried
            self.known[k] -= told
        self.drawn[p] -= 1


def top_up(tally: Tally, program: Program, shares: Shares) -> None:
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
            rest = replace(program, known=tally.known, positives=tally.positives).solve(shares)
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
        p = next((p for p in order if tally.can_lose(p)), None)
        if p is None:
            return
        tally.lose(p)
