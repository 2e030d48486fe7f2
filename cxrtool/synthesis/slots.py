"""Slots: the places of a plan that images are made for, and which of them are made together.

In: slots to fill, and those that come back because their image was rejected. Out: for slot i a seed
H(seed, i, try) and a latent vector that this seed fixes; batches of at most one slot a place of a
block. Blocks have one fixed size that never changes with shards or resuming, because forward passes
of different batch sizes differ in their last bits. A slot keeps the place ``slot % block`` at every
try, so its images have the same bits whatever else is in the block, and what comes back fills the
holes of the next block: the network runs on full blocks until the end, and memory holds a few slots
a place.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cxrtool.synthesis.arrays import FloatArray, IntArray
from cxrtool.training.rng import plan_seed

PART = 1000  # slots whose rows are in memory as text at a time


def in_parts(slots: IntArray) -> Iterator[IntArray]:
    """Slots in the order given, at most `PART` at a time; one empty part if there are none."""
    for start in range(0, max(len(slots), 1), PART):
        yield slots[start : start + PART]


def slot_seed(seed: int, slot: int, attempt: int = 0) -> int:
    """H(seed, slot, try), in [0, 2^63): a slot's seed whatever else is made."""
    return plan_seed("slot", seed, slot, attempt)


def latents(seeds: Sequence[int], z_dim: int) -> FloatArray:
    """Standard normal latent vectors [n, z_dim], each fixed by its own seed alone."""
    out = np.empty((len(seeds), z_dim), dtype=np.float32)
    for i, seed in enumerate(seeds):
        rng = np.random.Generator(np.random.PCG64(seed))
        out[i] = rng.standard_normal(z_dim, dtype=np.float32)
    return out


def completed(
    vectors: FloatArray, seeds: Sequence[int], names: Sequence[str], shares: Mapping[str, float]
) -> FloatArray:
    """Label vectors with the unknown labels (NaN) drawn as often as they are 1 where known.

    A network is asked for whole vectors, as it was in its training; what is drawn for an image is
    fixed by its own seed and the label's name, and is claimed nowhere.

    Args:
        vectors: [n, L], NaN where unknown.
        seeds: Of the images [n].
        names: The L labels.
        shares: Share of 1 among the known cells, of the labels that can be unknown.
    """
    out = vectors.copy()
    for i, j in np.argwhere(np.isnan(vectors)).tolist():
        unit = (plan_seed("unknown", seeds[i], names[j]) >> 10) * 2.0**-53
        out[i, j] = unit < shares[names[j]]
    return out


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
    """The queue of slots, a lane a place of the block.

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
