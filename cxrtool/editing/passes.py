"""One pass over the starts: edited towards one target at one strength, and measured.

In: starts, editors, who reads the images. Out: arrays over the images. Controls take the same way
as the target, so that they differ in nothing but what was asked for.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from cxrtool.core.runs import Run
from cxrtool.editing.blocks import Arrays, in_blocks
from cxrtool.editing.guide import Distance, TextGuide
from cxrtool.editing.judging import Judge
from cxrtool.editing.record import measure
from cxrtool.editing.starts import Starts


class Editor(Protocol):
    """What a method makes of a target."""

    def edit(self, start: Any, strength: float) -> tuple[Tensor, Arrays]:
        """What `Starts.at` gives -> images [N, 1, H, W], and arrays with a "way" [N]."""

    def direction(self, arrays: Arrays, strength: float) -> dict[str, Tensor]:
        """What pushes other images as these were, see `training.directions`."""


@dataclass(frozen=True)
class Unmoved:
    """The editor of a control that names no direction at all.

    Attributes:
        render: See `Passes`.
    """

    render: Callable[[Any], Tensor]

    @torch.no_grad()
    def edit(self, start: Any, strength: float) -> tuple[Tensor, Arrays]:
        """The images as they are."""
        images = self.render(start)
        return images, {"way": np.zeros(len(images), np.float32)}

    def direction(self, arrays: Arrays, strength: float) -> dict[str, Tensor]:
        """None."""
        return {}


@dataclass(frozen=True, eq=False)
class Passes:
    """What all passes of a run share.

    Attributes:
        render: What `Starts.at` gives -> the images before an edit, [N, 1, H, W].
        starts: What is edited.
        distance: Between an image and its edit.
        judges: Read both.
        run: Keeps finished blocks.
        block: Images at once.
    """

    render: Callable[[Any], Tensor]
    starts: Starts
    distance: Distance
    judges: tuple[Judge, ...]
    run: Run
    block: int

    def edited(
        self,
        editors: Sequence[Editor],
        guide: TextGuide | None,
        strength: float,
        n: int,
        shown: str,
        folder: str,
    ) -> Arrays:
        """Edit and measure the first n starts.

        Args:
            editors: One, or several that share the starts in turn: "editor" [n] says which.
            guide: The text that cosines are taken with, if one steers.
            strength: How much.
            n: How many.
            shown: For people.
            folder: Below `checkpoints/`, of the finished blocks.
        """

        def work(positions: np.ndarray) -> Arrays:
            start = self.starts.at(positions)
            before = self.render(start).detach()
            if len(editors) == 1:
                images, moved = editors[0].edit(start, strength)
            else:
                images, moved = in_turn(editors, positions % len(editors), start, strength)
            arrays = measure(before, images, guide, self.judges)
            distances = self.distance(before)(images).detach().cpu().numpy()
            return {**arrays, "distance": distances, **moved}

        return in_blocks(n, self.block, work, self.run, shown, folder)


def in_turn(
    editors: Sequence[Editor], turns: np.ndarray, start: Tensor, strength: float
) -> tuple[Tensor, Arrays]:
    """Each start edited by one of several editors.

    Args:
        editors: K.
        turns: [N] which of them.
        start: [N, num_ws, w_dim].
        strength: How much.

    Returns:
        Images [N, 1, H, W]; "way" and "editor", [N] each.
    """
    parts: list[Tensor] = []
    rows: list[int] = []
    ways = np.zeros(len(turns), np.float32)
    for k in np.unique(turns):
        own = np.flatnonzero(turns == k).tolist()
        images, moved = editors[int(k)].edit(start[own], strength)
        ways[own] = moved["way"]
        parts.append(images.detach())
        rows += own
    return torch.cat(parts)[np.argsort(rows)], {"way": ways, "editor": turns}
