"""The images that a network is trained on, and which of them each optimizer step sees.

In: parts, each with pixels and labels (the real rows, the real rows once more, the rows of a
synthetic set), batch size and seed. Out: one pool from which batches are gathered by position, in
the order of parts, and the rows of any step, a pure function of seed and step. Pixels stay uint8
(and on disk, for a memory map) until a batch needs them. Every row is seen once an epoch, in an
order of that epoch; a batch may reach over the end of an epoch (`Batches`). Or every class is seen
equally often (`BalancedBatches`). Nothing has to be stored to resume, and every arm sees the same
number of rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from cxrtool.core import console
from cxrtool.data.images import to_float
from cxrtool.training.device import sent
from cxrtool.training.rng import numpy_rng


@dataclass(frozen=True)
class Part:
    """Rows of one set.

    Attributes:
        pixels: [M, H, W] uint8, all images of the set or more than are used.
        rows: [N] int64, which of `pixels` belong to this part; repeats are allowed.
        values: [N, L] float32 in {0, 1}.
        mask: [N, L] bool, False leaves the cell out of the loss.
    """

    pixels: np.ndarray
    rows: np.ndarray
    values: np.ndarray
    mask: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def repeat(self, positions: np.ndarray) -> "Part":
        """The part that holds `positions` of this one, as often as they are named."""
        return Part(self.pixels, self.rows[positions], self.values[positions], self.mask[positions])

    def with_class(self) -> "Part":
        """The rows that have a class, for single-label sets."""
        return self.repeat(np.flatnonzero(((self.values == 1) & self.mask).any(axis=1)))

    def columns(self, positions: list[int]) -> "Part":
        """The part with some of its labels alone."""
        return Part(self.pixels, self.rows, self.values[:, positions], self.mask[:, positions])


class Pool:
    """Parts joined one after the other.

    Args:
        parts: At least one; all images have one size and all labels one order.
        device: Where batches are wanted. On CUDA the pixels move there as a whole.
    """

    def __init__(self, parts: Sequence[Part], device: torch.device) -> None:
        self.device = device
        self.values = torch.from_numpy(np.concatenate([p.values for p in parts])).to(device)
        self.mask = torch.from_numpy(np.concatenate([p.mask for p in parts])).to(device)
        self._parts = list(parts)
        self._starts = np.cumsum([0, *(len(p) for p in parts)])
        self._resident: Tensor | None = None
        if device.type == "cuda":
            rows = [torch.from_numpy(np.ascontiguousarray(p.pixels[p.rows])) for p in parts]
            self._resident = torch.cat(rows).to(device)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def batch(self, positions: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        """[B] positions -> images [B, 1, H, W], values [B, L], mask [B, L], all on the device."""
        index = sent(torch.from_numpy(positions), self.device)
        labels = self.values[index], self.mask[index]
        if self._resident is not None:
            return to_float(self._resident[index]), *labels
        out = np.empty((len(positions), *self._parts[0].pixels.shape[1:]), dtype=np.uint8)
        which = np.searchsorted(self._starts, positions, side="right") - 1
        for k in np.unique(which):
            here, part = which == k, self._parts[k]
            out[here] = part.pixels[part.rows[positions[here] - self._starts[k]]]
        return to_float(torch.from_numpy(out)).to(self.device), *labels


class Batches:
    """Batches of shuffled epochs.

    Args:
        n: Rows of the training set, at least 1.
        batch: Rows of one step.
        seed: Seeds the order.
    """

    def __init__(self, n: int, batch: int, seed: int) -> None:
        self.n, self.batch, self.seed = n, batch, seed

        @lru_cache(maxsize=2)
        def order(epoch: int) -> np.ndarray:
            return numpy_rng("train-cls order", seed, epoch).permutation(n)

        self._order = order

    def rows(self, step: int) -> np.ndarray:
        """[batch] int64 row positions of a step, counted from 0."""
        first = step * self.batch
        seen = np.arange(first, first + self.batch)
        epochs, places = seen // self.n, seen % self.n
        return np.concatenate(
            [self._order(int(epoch))[places[epochs == epoch]] for epoch in np.unique(epochs)]
        )


class BalancedBatches:
    """Batches in which every class takes the same number of places (class-aware sampling).

    Shen et al., ECCV 2016: the classes take turns, each with shuffled passes over its own rows. A
    class is a label with a positive; a row of several labels is a row of each, and rows without any
    positive are a class of their own. So rows of a rare class are seen more often, not others less
    than once for all.

    Args:
        values: [N, L] in {0, 1} of the training rows, at least one.
        mask: [N, L] bool.
        batch: Rows of one step.
        seed: Seeds the order.

    Attributes:
        frequency: [N] how often each row is seen on average, as a multiple of an equal share.
    """

    def __init__(self, values: np.ndarray, mask: np.ndarray, batch: int, seed: int) -> None:
        self.batch, self.seed = batch, seed
        positive = (values > 0.5) & mask
        members = [*positive.T, ~positive.any(axis=1)]
        self._classes = [rows for rows in map(np.flatnonzero, members) if len(rows)]
        self.frequency = np.zeros(len(values))
        for rows in self._classes:
            self.frequency[rows] += len(values) / (len(self._classes) * len(rows))

        @lru_cache(maxsize=2 * len(self._classes))
        def order(number: int, epoch: int) -> np.ndarray:
            rng = numpy_rng("train-cls balanced order", seed, number, epoch)
            return rng.permutation(self._classes[number])

        self._order = order

    def rows(self, step: int) -> np.ndarray:
        """[batch] int64 row positions of a step, counted from 0."""
        places = np.arange(step * self.batch, (step + 1) * self.batch)
        turns, numbers = np.divmod(places, len(self._classes))
        out = np.empty(self.batch, np.int64)
        for place, (turn, number) in enumerate(zip(turns.tolist(), numbers.tolist())):
            epoch, position = divmod(turn, len(self._classes[number]))
            out[place] = self._order(number, epoch)[position]
        return out


class BothClasses:
    """Batches in which every label has a positive and a negative, as far as there is room.

    A loss over pairs of classes learns nothing from a batch that lacks one of them. The rows are
    those of `Batches`; where a class is missing, the last place whose row is not the only one of a
    class is given to a row that has it, the labels taking turns to be first. Each replacement adds
    a class and takes none away, so it ends. Where no place is left, a warning names the labels,
    once.

    Args:
        base: The batches to change.
        values: [N, L] in {0, 1} of the training rows.
        mask: [N, L] bool.
        labels: L names, for the warning.
    """

    def __init__(
        self,
        base: Batches | BalancedBatches,
        values: np.ndarray,
        mask: np.ndarray,
        labels: Sequence[str] = (),
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
