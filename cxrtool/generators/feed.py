"""Training data on the device: every image as uint8, and the label table.

In: pixels, label values, which of them are known, and how often a row comes. Out: batches of reals,
and labels for fakes; nothing else draws rows. Which images a step sees is a pure function of the
seed and the number of images seen, so that training goes on after a stop as if nothing had
happened.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from cxrtool.data.images import to_float
from cxrtool.training.device import sent
from cxrtool.training.rng import Draws, seed_for

FINE = 2**53  # equal steps of the unit interval, all of them numbers of float64


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
        weights: `[N]`, how often a row comes, in any unit; None for all alike.

    Attributes:
        pixels: uint8 `[N, C, H, W]`.
        values: float32 `[N, L]`, 0 where unknown.
        mask: bool `[N, L]`.
        prevalence: `[L]` share of positives among the known values that a training meets.
    """

    def __init__(
        self,
        pixels: np.ndarray,
        values: np.ndarray,
        mask: np.ndarray,
        seed: int,
        device: torch.device | str = "cpu",
        weights: np.ndarray | None = None,
    ) -> None:
        self.device = torch.device(device)
        images = torch.from_numpy(np.ascontiguousarray(pixels)).to(self.device)
        self.pixels = images.unsqueeze(1) if images.ndim == 3 else images
        self.mask = torch.from_numpy(np.ascontiguousarray(mask, dtype=bool)).to(self.device)
        self.values = torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
        self.values = self.values.to(self.device) * self.mask
        self._weights = weights
        if weights is None:
            self.prevalence = self.values.sum(dim=0) / self.mask.sum(dim=0).clamp(min=1)
        else:
            total = np.cumsum(weights / weights.sum())
            self._shares = torch.from_numpy(total / total[-1]).to(self.device)
            often = torch.from_numpy(weights.astype(np.float32)).to(self.device)
            known = (often[:, None] * self.mask).sum(dim=0)
            self.prevalence = often @ self.values / known.clamp(min=1e-12)
        self._seed = seed
        self._epoch = -1
        self._order = torch.empty(0, dtype=torch.int64)

    def __len__(self) -> int:
        return len(self.pixels)

    def rows_at(self, nimg: int, n: int) -> Tensor:
        """The n rows that follow after `nimg` images: int64 `[n]` on this feed's device.

        An epoch has as many images as there are rows, in an order drawn for the epoch on the CPU,
        so that it is the same on every device; it goes to the device once, without waiting. Every
        image comes once an epoch, or with weights as often as its share says, rounded up or down.
        """
        parts = []
        while n > 0:
            epoch, start = divmod(nimg, len(self))
            if epoch != self._epoch:
                self._order = sent(self._drawn_order(epoch), self.device)
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

    def fake_rows(self, draws: Draws, natural: bool = False) -> Tensor:
        """Rows drawn one by one, as often as real ones come: int64 `[N]`.

        Args:
            draws: On the device of this feed.
            natural: All alike, whatever the weights.
        """
        if natural or self._weights is None:
            return draws.integers(0, len(self))
        points = draws.integers(0, FINE).double() / FINE
        return torch.searchsorted(self._shares, points, right=True).clamp(max=len(self) - 1)

    def fake_labels(self, draws: Draws, natural: bool = False) -> tuple[Tensor, Tensor]:
        """Labels of `fake_rows`: without weights, of the empirical joint distribution.

        A value that the row does not know is drawn from the label's prevalence.

        Args:
            draws: On the device of this feed.
            natural: All rows alike, whatever the weights.

        Returns:
            `[N, L]` float32 in {0, 1}, complete; `[N, L]` bool: which stood in the training row.
        """
        rows = self.fake_rows(draws, natural)
        return self.completed(self.values[rows], self.mask[rows], draws)

    def completed(self, values: Tensor, mask: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        """Labels `[N, L]` in which the unknown ones are drawn; and the mask."""
        drawn = (draws.uniform(mask.shape[1]) < self.prevalence).float()
        return torch.where(mask, values, drawn), mask

    def _drawn_order(self, epoch: int) -> Tensor:
        """Rows of an epoch in order, on the CPU: int64 `[N]`."""
        n = len(self)
        rng = torch.Generator().manual_seed(seed_for("epoch", self._seed, epoch))
        order = torch.randperm(n, generator=rng)
        if self._weights is None:
            return order
        # Systematic sampling: equal steps over the weights in a random order, from a random start.
        ends = np.cumsum(self._weights[order.numpy()])
        start = float(torch.rand((), generator=rng, dtype=torch.float64))
        steps = (np.arange(n) + start) * (ends[-1] / n)
        places = np.minimum(np.searchsorted(ends, steps, side="right"), n - 1)
        return order[torch.from_numpy(places)][torch.randperm(n, generator=rng)]
