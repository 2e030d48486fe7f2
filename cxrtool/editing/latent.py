"""Latent optimization (StyleCLIP, Patashnik et al. 2021, section 4), batched.

In: a style generator, w of N images in W+, a text guide. Out: w after the edit. Adam (lr 0.1, 300
steps by default, schedule in `schedule.py`) minimizes an image

    guide(G(w)) + l2 |w - w_start|^2 + keep distance(G(w), G(w_start)),

the middle term being a sum over all numbers of w, as there. Images of a batch do not touch each
other: the loss is their sum, and Adam works number by number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from cxrtool.editing.distances import Distance
from cxrtool.editing.guide import TextGuide
from cxrtool.editing.schedule import ramp
from cxrtool.training.protocols import StyleGenerator


@dataclass(frozen=True)
class LatentRecipe:
    """How to optimize.

    Attributes:
        steps: Adam steps; 0 leaves w as it is.
        lr: Peak learning rate.
        strength: Weight of the guide.
        l2: Weight of the squared way in W+.
        keep: Weight of the feature distance.
    """

    steps: int = 300
    lr: float = 0.1
    strength: float = 1.0
    l2: float = 0.008
    keep: float = 1.0


def render(generator: StyleGenerator, w: Tensor) -> Tensor:
    """w [N, num_ws, w_dim] -> images [N, 1, H, W], clamped to [-1, 1] as they will be written."""
    return generator.synthesis(w).clamp(-1.0, 1.0)


def optimize(
    generator: StyleGenerator,
    start: Tensor,
    guide: TextGuide,
    distance: Distance,
    recipe: LatentRecipe,
    on_step: Callable[[], None] = lambda: None,
) -> Tensor:
    """Move w along what the guide asks for.

    Args:
        generator: Frozen; gradients pass through it to w.
        start: [N, num_ws, w_dim].
        guide: The text.
        distance: Between edited and unedited images.
        recipe: Weights and steps.
        on_step: Called after every step; may raise to stop.

    Returns:
        [N, num_ws, w_dim], detached.
    """
    start = start.detach()
    with torch.no_grad():
        away = distance(render(generator, start))
    w = start.clone().requires_grad_()
    optimizer = torch.optim.Adam([w], lr=recipe.lr)
    for step in range(recipe.steps):
        for group in optimizer.param_groups:
            group["lr"] = recipe.lr * ramp(step, recipe.steps)
        images = render(generator, w)
        loss = recipe.strength * guide.loss(images)
        loss = loss + recipe.l2 * (w - start).square().sum(dim=(1, 2))
        if recipe.keep:
            loss = loss + recipe.keep * away(images)
        optimizer.zero_grad(set_to_none=True)
        loss.sum().backward()
        optimizer.step()
        on_step()
    return w.detach()
