"""Which rows each optimizer step sees: a pure function of seed and step.

In: number of rows, batch size, seed. Out: the rows of any step. Every row is seen once an epoch, in
an order of that epoch; a batch may reach over the end of an epoch. Nothing has to be stored to
resume, and every arm sees the same number of rows.
"""

from collections.abc import Sequence

import numpy as np

from cxrtool.core import console
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
    those of `Batches`; where a class is missing, the last place whose row is not the only one of a
    class is given to a row that has it, the labels taking turns to be first. Each replacement adds
    a class and takes none away, so it ends. Where no place is left, a warning names the labels,
    once.

    Args:
        base: The plain batches.
        values: [N, L] in {0, 1} of the training rows.
        mask: [N, L] bool.
        labels: L names, for the warning.
    """

    def __init__(
        self, base: Batches, values: np.ndarray, mask: np.ndarray, labels: Sequence[str] = ()
    ) -> None:
        self.base = base
        self.labels = tuple(labels) or tuple(f"label {k}" for k in range(values.shape[1]))
        self._cells = np.where(mask, values, -1).astype(np.int8)
        self._pools = [
            {cls: np.flatnonzero(self._cells[:, k] == cls) for cls in (1, 0)}
            for k in range(values.shape[1])
        ]
        self._warned = False

    def rows(self, step: int) -> np.ndarray:
        """[batch] int64 row positions of a step; a pure function of seed and step."""
        rows = self.base.rows(step).copy()
        rng = numpy_rng("train-cls both classes", self.base.seed, step)
        n = len(self._pools)
        lacking = []
        for turn in range(n):
            label = (step + turn) % n
            for cls in (1, 0):
                pool = self._pools[label][cls]
                if not len(pool) or (self._cells[rows, label] == cls).any():
                    continue
                place = self._free_place(rows)
                if place is None:
                    lacking.append(self.labels[label])
                else:
                    rows[place] = self._draw(rows, pool, rng)
        if lacking and not self._warned:
            self._warned = True
            names = ", ".join(dict.fromkeys(lacking))
            console.warn(
                f"a batch of {len(rows)} has no room for both classes of {names}: such batches"
                " teach nothing about them; give a larger --batch"
            )
        return rows

    def _free_place(self, rows: np.ndarray) -> int | None:
        """The last place whose row is not the only one of any class of a label."""
        cells = self._cells[rows]
        only = np.zeros(len(rows), dtype=bool)
        for cls in (1, 0):
            has = cells == cls
            only |= (has & (has.sum(axis=0) == 1)).any(axis=1)
        free = np.flatnonzero(~only)
        return int(free[-1]) if len(free) else None

    def _draw(self, rows: np.ndarray, pool: np.ndarray, rng: np.random.Generator) -> int:
        """A row of the pool; of a few drawn the one that fills most gaps, where room is scarce."""
        gaps = [
            (k, cls)
            for k, pools in enumerate(self._pools)
            for cls in (1, 0)
            if len(pools[cls]) and not (self._cells[rows, k] == cls).any()
        ]
        scarce = 4 * len(gaps) > len(rows)
        drawn = pool[rng.integers(len(pool), size=16 if scarce else 1)]
        filled = [sum(self._cells[row, k] == cls for k, cls in gaps) for row in drawn]
        return int(drawn[int(np.argmax(filled))])
