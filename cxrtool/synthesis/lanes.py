"""Which slots go through the network next: one lane a place of the block.

In: slots to fill, the block's size, and slots that come back because their image was rejected. Out:
batches of at most one slot a place. A slot keeps the place ``slot % block`` at every try, so its
images have the same bits whatever else is in the block, and what comes back fills the holes of the
next block: the network runs on full blocks until the end, and memory holds a few slots a lane.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np

from cxrtool.synthesis.arrays import IntArray


@dataclass(frozen=True)
class Batch:
    """Slots that go through the network together.

    Attributes:
        slots: Slot numbers [b].
        attempts: Which try of each slot this is, from 0 [b].
        places: Their positions in the padded block [b], all different.
    """

    slots: IntArray
    attempts: IntArray
    places: IntArray


class Lanes:
    """The queue of slots, a lane a place.

    Args:
        slots: Slots to fill, ascending.
        block: Size of a block.
    """

    def __init__(self, slots: IntArray, block: int) -> None:
        self._block = block
        order = np.argsort(slots % block, kind="stable")
        counts = np.bincount(slots % block, minlength=block)
        self._fresh = np.split(slots[order], np.cumsum(counts)[:-1])
        self._next = [0] * block
        self._again: list[deque[tuple[int, int]]] = [deque() for _ in range(block)]

    def again(self, slot: int, attempt: int) -> None:
        """Give a slot back, to be tried for the ``attempt``-th time."""
        self._again[slot % self._block].append((slot, attempt))

    def take(self) -> Batch | None:
        """The next slot of every lane that has one; None if no lane has."""
        tries: list[tuple[int, int, int]] = []
        for place in range(self._block):
            if self._again[place]:
                slot, attempt = self._again[place].popleft()
                tries.append((slot, attempt, place))
            elif self._next[place] < len(self._fresh[place]):
                slot = int(self._fresh[place][self._next[place]])
                self._next[place] += 1
                tries.append((slot, 0, place))
        if not tries:
            return None
        slots, attempts, places = np.array(tries, dtype=np.int64).T
        return Batch(slots, attempts, places)
