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
