"""Slots: the places of a plan that images are made for, and the network's input for each of them.

In: the rows of a plan, the label table, the generator's labels. Out: for slot i a seed H(seed, i,
try), a latent vector that this seed fixes, and a label vector in the generator's order. Slots are
grouped in blocks of one fixed size that never change with shards or resuming, because forward
passes of different batch sizes differ in their last bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from cxrtool.training.rng import plan_seed

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
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


class LabelVectors:
    """Rows of a label table in the order of the generator's labels.

    A label that the generator knows and the table does not is given as 0 and listed in `absent`.

    Args:
        values: Label table [N, L], zeros and ones.
        labels: The L label names.
        usable: Whether the source covers each label.
        wanted: The generator's labels.
    """

    def __init__(
        self,
        values: npt.NDArray[np.uint8],
        labels: tuple[str, ...],
        usable: tuple[bool, ...],
        wanted: tuple[str, ...],
    ) -> None:
        position = {name: i for i, name in enumerate(labels) if usable[i]}
        self._values = values
        pairs = [(j, position[name]) for j, name in enumerate(wanted) if name in position]
        self._to = [j for j, _ in pairs]
        self._from = np.array([i for _, i in pairs], dtype=np.int64)
        self._n_wanted = len(wanted)
        self.absent = tuple(name for name in wanted if name not in position)

    def rows(self, rows: npt.NDArray[np.int64]) -> FloatArray:
        """Label vectors [n, number of the generator's labels] of some rows."""
        out = np.zeros((len(rows), self._n_wanted), dtype=np.float32)
        out[:, self._to] = self._values[rows[:, np.newaxis], self._from]
        return out
