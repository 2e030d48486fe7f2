"""Latent optimization (StyleCLIP, Patashnik et al. 2021, section 4), batched.

In: N edits in one of the spaces of `spaces.py`, a text guide. Out: the edits, found. Adam (lr 0.1,
300 steps by default, schedule in `schedule.py`) minimizes an image

    guide(G(x)) + l2 |x - x_start|^2 + keep distance(G(x), G(x_start)) + local stray(G(x)),

the second term being a sum over all numbers of x, as there, and the stray that of `locality.py`.
Images of a batch do not touch each other: the loss is their sum, and Adam works number by number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from cxrtool.editing.distances import Distance
from cxrtool.editing.guide import TextGuide
from cxrtool.editing.locality import Locality
from cxrtool.editing.schedule import ramp
from cxrtool.editing.spaces import Sought
from cxrtool.training.protocols import StyleGenerator


@dataclass(frozen=True)
class LatentRecipe:
    """How to optimize.

    Attributes:
        steps: Adam steps; 0 leaves the images as they are.
        lr: Peak learning rate.
        strength: Weight of the guide.
        l2: Weight of the squared way.
        keep: Weight of the feature distance.
        local: Weight of the stray.
    """

    steps: int = 300
    lr: float = 0.1
    strength: float = 1.0
    l2: float = 0.008
    keep: float = 1.0
    local: float = 0.0


def render(generator: StyleGenerator, w: Tensor) -> Tensor:
    """w [N, num_ws, w_dim] -> images [N, 1, H, W], clamped to [-1, 1] as they will be written."""
    return generator.synthesis(w).clamp(-1.0, 1.0)


def optimize(
    sought: Sought,
    guide: TextGuide,
    distance: Distance,
    recipe: LatentRecipe,
    on_step: Callable[[], None] = lambda: None,
    where: Locality | None = None,
) -> None:
    """Move along what the guide asks for; changes the numbers of `sought`.

    Args:
        sought: The edits; gradients pass through their generator.
        guide: The text.
        distance: Between edited and unedited images.
        recipe: Weights and steps.
        on_step: Called after every step; may raise to stop.
        where: Where the text acts, for the stray; without it there is none.
    """
    with torch.no_grad():
        before = sought.images()
        away, anchor = distance(before), guide.anchor(before)
    optimizer = torch.optim.Adam(sought.numbers, lr=recipe.lr)
    for step in range(recipe.steps):
        for group in optimizer.param_groups:
            group["lr"] = recipe.lr * ramp(step, recipe.steps)
        images = sought.images()
        loss = recipe.strength * guide.loss(images, anchor) + recipe.l2 * sought.squared()
        if recipe.keep:
            loss = loss + recipe.keep * away(images)
        if where is not None and recipe.local:
            loss = loss + recipe.local * where.stray(before, images)
        optimizer.zero_grad(set_to_none=True)
        loss.sum().backward()
        optimizer.step()
        on_step()
