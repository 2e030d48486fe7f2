"""Streams of real rows: one a class, endless, fixed by the seed.

In: the rows that carry a class. Out: as many of them as are asked for, drawn uniformly with
replacement. A stream is never reordered and never picked from: its first n rows are its first n
rows whatever n is asked for, in whatever steps. Picking only rows that carry several targets would
reach the shares with fewer images and destroy the distribution of the other labels.
"""

import numpy as np

from cxrtool.synthesis.arrays import IntArray
from cxrtool.training.rng import plan_seed


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
        self.label = label
        # raw 64-bit output: numpy promises it stable across versions, unlike Generator.integers
        self._bits = np.random.PCG64(plan_seed("rows", seed, label))
        self._drawn = np.empty(0, dtype=np.int64)

    def first(self, n: int) -> IntArray:
        """The first n rows of the stream [n], as positions in the label table."""
        missing = n - len(self._drawn)
        if missing > 0:
            # steps of at least a quarter keep repeated calls for one more row cheap
            raw = self._bits.random_raw(max(missing, len(self._drawn) // 4, 256))
            unit = (raw >> np.uint64(11)) * 2.0**-53  # uniform in [0, 1) on 53 bits
            rows = self.pool[(unit * len(self.pool)).astype(np.int64)]
            self._drawn = np.concatenate([self._drawn, rows])
        return self._drawn[:n]

    def row(self, i: int) -> int:
        """Row number i of the stream, from 0."""
        return int(self.first(i + 1)[i])
