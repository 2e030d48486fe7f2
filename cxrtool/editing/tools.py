"""What a method of `cxr edit` works with, and the form that all methods have.

In: the options and the networks (`Tools`). Out: the protocols `Method` (made ready for a text) and
`Editor` (then applied to w), and what an editor gives back (`Edits`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor

from cxrtool.editing.guide import TextGuide
from cxrtool.training.protocols import ImageEncoder, StyleGenerator

if TYPE_CHECKING:
    from cxrtool.core.runs import Run
    from cxrtool.editing.distances import Distance

CHANGE = "moved."
"""Before the name of a change among the arrays of an editor."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of `cxr edit` by their names there; None stands for a method's own default.

    Attributes:
        steps, lr, l2, feature_weight: Of latent optimization.
        direction, beta, relevance, relevance_images, fast, relevance_batch:
            Of global directions.
        local: Weight of change outside of where a text acts.
        block: Images at once.
        condition: Of generated starts.
        gan, clip: Folders of the two models.
    """

    steps: int | None = None
    lr: float = 0.1
    l2: float | None = None
    feature_weight: float | None = None
    direction: str = "relevance"
    local: float | None = None
    beta: float | None = None
    relevance: Path | None = None
    relevance_images: int = 100
    fast: bool = False
    block: int = 16
    relevance_batch: int = 256
    condition: tuple[str, ...] = ()
    gan: Path
    clip: Path


@dataclass(frozen=True)
class Tools:
    """What the methods work with."""

    options: Options
    run: Run
    generator: StyleGenerator
    encoder: ImageEncoder
    distance: Distance
    device: torch.device


@dataclass(frozen=True)
class Edits:
    """N edits.

    Attributes:
        images: [N, 1, H, W] in [-1, 1].
        way: [N], how far each moved in the method's own space.
        changes: Each one's change by name, see `training.directions`; empty where all images have
            the same.
    """

    images: Tensor
    way: np.ndarray
    changes: dict[str, np.ndarray] = field(default_factory=dict)

    def arrays(self) -> dict[str, np.ndarray]:
        """What is kept beside the images."""
        return {"way": self.way, **{CHANGE + name: value for name, value in self.changes.items()}}


class Editor(Protocol):
    """A method that is ready for one text."""

    def edit(self, w: Tensor, strength: float) -> Edits:
        """Edit the images of w [N, num_ws, w_dim]."""
        ...

    def direction(self, arrays: dict[str, np.ndarray], strength: float) -> dict[str, Tensor]:
        """What pushes other images as these were: "way" in W+, or styles by layer ("s.NAME").

        Args:
            arrays: Those of all `Edits`; what belongs to the direction alone is taken out.
            strength: At which the images were edited.
        """
        ...


class Method(Protocol):
    """A way of editing."""

    def for_text(self, number: int, text: str, guide: TextGuide) -> Editor:
        """Make ready for the target of that number."""
        ...
