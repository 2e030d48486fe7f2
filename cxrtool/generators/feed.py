"""Training data on the device: every image as uint8, and the label table.

In: pixels, label values and which of them are known. Out: batches of reals, and labels for fakes.
Which images a step sees is a pure function of the seed and the number of images seen, so that
training goes on after a stop as if nothing had happened.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from cxrtool.data.images import to_float
from cxrtool.training.device import sent
from cxrtool.training.rng import Draws, seed_for


class Batch(NamedTuple):
    """Real images with labels.

    Attributes:
        x: `[N, C, H, W]` float32 in [-1, 1]; C is 1 for data sets on disk.
        y: `[N, L]` float32 in {0, 1}; 0 where unknown.
        mask: `[N, L]` bool.
    """

    x: Tensor
    y: Tensor
    mask: Tensor


class Feed:
    """The training rows.

    Args:
        pixels: uint8 `[N, H, W]`, or `[N, C, H, W]`.
        values: float32 `[N, L]` in {0, 1}.
        mask: bool `[N, L]`.
        seed: Of the order in which images come.
        device: Where everything lives.
    """

    def __init__(
        self,
        pixels: np.ndarray,
        values: np.ndarray,
        mask: np.ndarray,
        seed: int,
        device: torch.device | str = "cpu",
    ) -> None:
        self.device = torch.device(device)
        images = torch.from_numpy(np.ascontiguousarray(pixels)).to(self.device)
        self.pixels = images.unsqueeze(1) if images.ndim == 3 else images
        self.mask = torch.from_numpy(np.ascontiguousarray(mask, dtype=bool)).to(self.device)
        self.values = torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
        self.values = self.values.to(self.device) * self.mask
        self.prevalence = self.values.sum(dim=0) / self.mask.sum(dim=0).clamp(min=1)
        self._seed = seed
        self._epoch = -1
        self._order = torch.empty(0, dtype=torch.int64)

    def __len__(self) -> int:
        return len(self.pixels)

    def rows_at(self, nimg: int, n: int) -> Tensor:
        """The n rows that follow after `nimg` images: int64 `[n]` on this feed's device.

        Every image comes once an epoch, in an order drawn for the epoch on the CPU, so that it is
        the same on every device; it goes to the device once, without waiting.
        """
        parts = []
        while n > 0:
            epoch, start = divmod(nimg, len(self))
            if epoch != self._epoch:
                rng = torch.Generator().manual_seed(seed_for("epoch", self._seed, epoch))
                self._order = sent(torch.randperm(len(self), generator=rng), self.device)
                self._epoch = epoch
            part = self._order[start : start + n]
            parts.append(part)
            nimg, n = nimg + len(part), n - len(part)
        return torch.cat(parts)

    def reals(self, nimg: int, n: int) -> Batch:
        """The n images that follow after `nimg` images, with labels."""
        return self.batch(self.rows_at(nimg, n))

    def batch(self, rows: Tensor) -> Batch:
        """Those rows, int64 `[n]`."""
        return Batch(to_float(self.pixels[rows]), self.values[rows], self.mask[rows])

    def fake_labels(self, draws: Draws) -> tuple[Tensor, Tensor]:
        """Labels of rows drawn uniformly, that is, from the empirical joint distribution.

        A value that the row does not know is drawn from the label's prevalence.

        Args:
            draws: On the device of this feed.

        Returns:
            `[N, L]` float32 in {0, 1}, complete; `[N, L]` bool: which stood in the training row.
        """
        rows = draws.integers(0, len(self))
        mask = self.mask[rows]
        drawn = (draws.uniform(mask.shape[1]) < self.prevalence).float()
        return torch.where(mask, self.values[rows], drawn), mask
