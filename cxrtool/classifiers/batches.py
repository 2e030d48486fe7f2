"""Which rows each optimizer step sees: a pure function of seed and step.

In: number of rows, batch size, seed. Out: the rows of any step. Every row is seen once an epoch, in
an order of that epoch; a batch may reach over the end of an epoch. Nothing has to be stored to
resume, and every arm sees the same number of rows.
"""

from __future__ import annotations

import numpy as np

from cxrtool.training.rng import numpy_rng


class Batches:
    """Batches of shuffled epochs.

    Args:
        n: Rows of the training set, at least 1.
        batch: Rows of one step.
        seed: Seeds the order.
    """

    def __init__(self, n: int, batch: int, seed: int) -> None:
        if n < 1:
            raise ValueError("no rows to draw batches from")
        self.n, self.batch, self.seed = n, batch, seed
        self._orders: dict[int, np.ndarray] = {}

    def rows(self, step: int) -> np.ndarray:
        """[batch] int64 row positions of a step, counted from 0."""
        first = step * self.batch
        seen = np.arange(first, first + self.batch)
        epochs, places = seen // self.n, seen % self.n
        return np.concatenate(
            [self._order(int(epoch))[places[epochs == epoch]] for epoch in np.unique(epochs)]
        )

    def _order(self, epoch: int) -> np.ndarray:
        if epoch not in self._orders:
            self._orders = {k: v for k, v in self._orders.items() if k >= epoch - 1}
            rng = numpy_rng("train-cls order", self.seed, epoch)
            self._orders[epoch] = rng.permutation(self.n)
        return self._orders[epoch]


class BothClasses:
    """Batches in which every label has a positive and a negative, as far as there is room.

    A loss over pairs of classes learns nothing from a batch that lacks one of them. The rows are
    those of `Batches`; where a class is missing, places from the end of the batch are given to rows
    that have it, the labels taking turns to be first. At most half of a batch is replaced.

    Args:
        base: The plain batches.
        values: [N, L] in {0, 1} of the training rows.
        mask: [N, L] bool.
    """

    def __init__(self, base: Batches, values: np.ndarray, mask: np.ndarray) -> None:
        self.base = base
        self._cells = np.where(mask, values, -1).astype(np.int8)
        self._pools = [
            {cls: np.flatnonzero(self._cells[:, k] == cls) for cls in (1, 0)}
            for k in range(values.shape[1])
        ]

    def rows(self, step: int) -> np.ndarray:
        """[batch] int64 row positions of a step; a pure function of seed and step."""
        rows = self.base.rows(step).copy()
        rng = numpy_rng("train-cls both classes", self.base.seed, step)
        place, least, n = len(rows) - 1, len(rows) // 2, len(self._pools)
        before = -1
        while place != before:  # a row that was replaced may have been the only one of its class
            before = place
            for turn in range(n):
                label = (step + turn) % n
                for cls in (1, 0):
                    pool = self._pools[label][cls]
                    present = (self._cells[rows, label] == cls).any()
                    if not present and len(pool) and place >= least:
                        rows[place] = pool[rng.integers(len(pool))]
                        place -= 1
        return rows
