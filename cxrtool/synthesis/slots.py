"""Slots: the places of a plan that images are made for, and the network's input for each of them.

In: the rows of a plan, the label table, the generator's labels. Out: for slot i a seed H(seed, i,
try), a latent vector that this seed fixes, and a label vector in the generator's order. Slots are
grouped in blocks of one fixed size that never change with shards or resuming, because forward
passes of different batch sizes differ in their last bits.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from cxrtool.synthesis.arrays import FloatArray, IntArray
from cxrtool.synthesis.pools import LabelTable
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


def label_vectors(table: LabelTable, names: Sequence[str]) -> FloatArray:
    """The labels of a table in the order of a generator's own names: [N, len(names)].

    A label that the generator knows and the table does not, or the source does not cover, is 0.
    """
    column = {name: i for i, name in enumerate(table.labels) if table.usable[i]}
    vectors = np.zeros((len(table.values), len(names)), dtype=np.float32)
    for j, name in enumerate(names):
        if name in column:
            vectors[:, j] = table.values[:, column[name]]
    return vectors
