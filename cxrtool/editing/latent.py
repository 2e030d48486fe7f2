"""Latent optimization (StyleCLIP, Patashnik et al. 2021, section 4), batched.

In: N edits in one of the spaces of `spaces.py`, all zero, and a text guide. Out: the edits. Adam
(lr 0.1, 300 steps by default, schedule in `schedule.py`) minimizes for each image

    text guide(G(x)) + l2 |x - x_start|^2 + keep distance(G(x), G(x_start)) + local stray(G(x)),

the second term being a sum over all numbers of x, as there, and the stray that of `locality.py`.
Images of a batch do not touch each other: the loss is their sum, and Adam works number by number.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from cxrtool.editing.distances import Distance
from cxrtool.editing.guide import TextGuide
from cxrtool.editing.locality import Locality
from cxrtool.editing.schedule import descend
from cxrtool.editing.spaces import SpaceEdit
from cxrtool.training.protocols import StyleGenerator


@dataclass(frozen=True)
class LatentRecipe:
    """How to optimize.

    Attributes:
        steps: Adam steps; 0 leaves the images as they are.
        lr: Peak learning rate.
        text: Weight of the guide.
        l2: Weight of the squared way.
        keep: Weight of the feature distance.
        local: Weight of the stray.
    """

    steps: int = 300
    lr: float = 0.1
    text: float = 1.0
    l2: float = 0.008
    keep: float = 1.0
    local: float = 0.0


def render(generator: StyleGenerator, w: Tensor) -> Tensor:
    """w [N, num_ws, w_dim] -> images [N, 1, H, W], clamped to [-1, 1] as they will be written."""
    return generator.synthesis(w).clamp(-1.0, 1.0)


def optimize(
    edit: SpaceEdit,
    guide: TextGuide,
    distance: Distance,
    recipe: LatentRecipe,
    on_step: Callable[[], None] = lambda: None,
    where: Locality | None = None,
) -> None:
    """Move along what the guide asks for; changes the numbers of `edit`.

    Args:
        edit: The edits; gradients pass through their generator.
        guide: The text.
        distance: Between edited and unedited images.
        recipe: Weights and steps.
        on_step: Called after every step; may raise to stop.
        where: Where the text acts, for the stray; without it there is none.
    """
    with torch.no_grad():
        before = edit.images()
        away, anchor = distance(before), guide.anchor(before)

    def loss(_: int) -> Tensor:
        images = edit.images()
        total = recipe.text * guide.loss(images, anchor) + recipe.l2 * edit.squared()
        if recipe.keep:
            total = total + recipe.keep * away(images)
        if where is not None and recipe.local:
            total = total + recipe.local * where.stray(before, images)
        return total.sum()

    descend(edit.numbers, loss, steps=recipe.steps, lr=recipe.lr, on_step=lambda *_: on_step())
