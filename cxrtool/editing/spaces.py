"""The spaces that an edit can be sought in: W+, W and S.

In: w of N images. Out: a `SpaceEdit`: numbers that start at zero, the images they stand for, and
how far that is. In W+ every layer has a vector of its own, in W all layers share one; in S every
channel of the convolutions up to 128 px has a number, counted in standard deviations of that
channel so that one learning rate fits all.
"""

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from cxrtool.editing.relevance import Channels
from cxrtool.training.protocols import StyleGenerator, StyleSpace


class SpaceEdit(Protocol):
    """N edits, as numbers of a space.

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

    def changes(self) -> dict[str, np.ndarray]:
        """The change in the form of `training.directions`: name -> [N, ...]."""
        ...


class EditInW:
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

    def changes(self) -> dict[str, np.ndarray]:
        return {"way": self._change().detach().cpu().numpy()}


class EditInS:
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
        self.numbers = [
            torch.zeros(len(start), len(std), device=start.device).requires_grad_()
            for std in self._std.values()
        ]

    def _change(self) -> dict[str, Tensor]:
        pairs = zip(self._std.items(), self.numbers, strict=True)
        return {name: std * numbers for (name, std), numbers in pairs}

    def images(self) -> Tensor:
        change = {name: self._styles[name] + way for name, way in self._change().items()}
        return self._generator.synthesis_from_styles({**self._styles, **change}).clamp(-1.0, 1.0)

    def squared(self) -> Tensor:
        return torch.cat(self.numbers, dim=1).square().sum(dim=1)

    def way(self) -> np.ndarray:
        return torch.cat(self.numbers, dim=1).detach().square().mean(dim=1).sqrt().cpu().numpy()

    def changes(self) -> dict[str, np.ndarray]:
        return {f"s.{name}": way.detach().cpu().numpy() for name, way in self._change().items()}
