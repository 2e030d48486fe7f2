"""The spaces that an edit can be sought in: W+, W and S.

In: w of N images. Out: a `Sought`: numbers that start at zero, the images they stand for, and how
far that is. In W+ every layer has a vector of its own, in W all layers share one; in S every
channel of the convolutions up to 128 px has a number, counted in standard deviations of that
channel so that one learning rate fits all.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from cxrtool.editing.relevance import Channels
from cxrtool.training.protocols import StyleGenerator, StyleSpace

SPACES = ("w+", "w", "s")


class Sought(Protocol):
    """N edits that are being looked for.

    Attributes:
        numbers: What an optimizer changes; zeros are no edit.
    """

    numbers: list[Tensor]

    def images(self) -> Tensor:
        """[N, 1, H, W] in [-1, 1]."""
        ...

    def squared(self) -> Tensor:
        """Sum of squares of the whole change: [N]."""
        ...

    def way(self) -> np.ndarray:
        """Root mean square of the whole change: [N]."""
        ...

    def moved(self) -> dict[str, np.ndarray]:
        """The change in the form of `training.directions`: name -> [N, ...]."""
        ...


class SoughtInW:
    """Edits in W+ or W.

    Args:
        generator: Frozen.
        start: [N, num_ws, w_dim].
        shared: One change for all layers (W).
    """

    def __init__(self, generator: StyleGenerator, start: Tensor, *, shared: bool = False) -> None:
        self._generator, self._start = generator, start.detach()
        self.numbers = [torch.zeros_like(start[:, :1] if shared else start).requires_grad_()]

    def _change(self) -> Tensor:
        return self.numbers[0].expand_as(self._start)

    def images(self) -> Tensor:
        return self._generator.synthesis(self._start + self._change()).clamp(-1.0, 1.0)

    def squared(self) -> Tensor:
        return self._change().square().sum(dim=(1, 2))

    def way(self) -> np.ndarray:
        return self._change().detach().square().mean(dim=(1, 2)).sqrt().cpu().numpy()

    def moved(self) -> dict[str, np.ndarray]:
        return {"way": self._change().detach().cpu().numpy()}


class SoughtInS:
    """Edits of styles.

    Args:
        generator: Frozen.
        start: [N, num_ws, w_dim].
        channels: Whose standard deviations are the unit.
    """

    def __init__(self, generator: StyleSpace, start: Tensor, channels: Channels) -> None:
        self._generator, self._std = generator, channels.std
        with torch.no_grad():
            self._styles = dict(generator.styles(start))
        n = len(start)
        self._names = list(channels.std)
        self.numbers = [
            torch.zeros(n, len(channels.std[name]), device=start.device).requires_grad_()
            for name in self._names
        ]

    def images(self) -> Tensor:
        styles = dict(self._styles)
        for name, numbers in zip(self._names, self.numbers, strict=True):
            styles[name] = styles[name] + self._std[name] * numbers
        return self._generator.synthesis_from_styles(styles).clamp(-1.0, 1.0)

    def squared(self) -> Tensor:
        return torch.cat(self.numbers, dim=1).square().sum(dim=1)

    def way(self) -> np.ndarray:
        return torch.cat(self.numbers, dim=1).detach().square().mean(dim=1).sqrt().cpu().numpy()

    def moved(self) -> dict[str, np.ndarray]:
        return {
            f"s.{name}": (self._std[name] * numbers).detach().cpu().numpy()
            for name, numbers in zip(self._names, self.numbers, strict=True)
        }
