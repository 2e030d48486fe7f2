"""The images that a network is trained on, wherever they come from.

In: parts, each with pixels and labels (the real rows, the real rows once more, the rows of a
synthetic set). Out: one pool from which batches are gathered by position, in the order of parts.
Pixels stay uint8 (and on disk, for a memory map) until a batch needs them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cxrtool.data.images import to_float
from cxrtool.training.device import sent


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

    def repeat(self, positions: np.ndarray) -> Part:
        """The part that holds `positions` of this one, as often as they are named."""
        return Part(self.pixels, self.rows[positions], self.values[positions], self.mask[positions])

    def with_class(self) -> Part:
        """The rows that have a class, for single-label sets."""
        return self.repeat(np.flatnonzero(((self.values == 1) & self.mask).any(axis=1)))

    def columns(self, positions: list[int]) -> Part:
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

    def images(self, positions: np.ndarray) -> Tensor:
        """[B] positions -> [B, 1, H, W] float32 in [-1, 1] on the device."""
        if self._resident is not None:
            index = sent(torch.from_numpy(positions), self.device)
            return to_float(self._resident[index])
        shape = (len(positions), *self._parts[0].pixels.shape[1:])
        out = np.empty(shape, dtype=np.uint8)
        which = np.searchsorted(self._starts, positions, side="right") - 1
        for k in np.unique(which):
            here = which == k
            part = self._parts[k]
            out[here] = part.pixels[part.rows[positions[here] - self._starts[k]]]
        return to_float(torch.from_numpy(out)).to(self.device)

    def batch(self, positions: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        """[B] positions -> images [B, 1, H, W], values [B, L], mask [B, L], all on the device."""
        index = sent(torch.from_numpy(positions), self.device)
        return self.images(positions), self.values[index], self.mask[index]
