"""Optimization image by image: towards a text, or towards a real image.

In: w of N images, a text guide or the images themselves. Out: edits, or w. All go by Adam with a
learning rate that is a function of the step: up over the first 5 %, cosine down over the last 25 %
(StyleGAN2's projector, Karras et al. 2020, appendix D; StyleCLIP, Patashnik et al. 2021, section 4,
uses the same).

An edit is sought in W+, where every layer has a vector of its own. It minimizes for each image

    text guide(G(w)) + l2 |w - w_start|^2 + weight distance(G(w), G(w_start)),

(StyleCLIP, section 4), the second term being a sum over all numbers of w, as there. Images of a
batch do not touch each other: the loss is their sum, and Adam works number by number.

Inversion finds w whose images look like given ones. It begins at the mean w of each image's own
labels (truncation 0) and minimizes

    mean squared pixel difference + feature distance + prior |w - w_mean|^2 / numbers of w

(Abdal et al. 2019, Image2StyleGAN). The prior keeps w where the generator knows what an edit means.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cxrtool.editing.guide import Distance, TextGuide
from cxrtool.training.protocols import StyleGenerator

RAMP_UP, RAMP_DOWN = 0.05, 0.25  # shares of the steps


def ramp(step: int, total: int) -> float:
    """Share of the peak learning rate in a step.

    Args:
        step: From 0 to total - 1; its middle is what counts, so that no step is lost at either end.
        total: Steps in all.
    """
    t = (step + 0.5) / total
    fall = 0.5 - 0.5 * math.cos(math.pi * min(1.0, (1.0 - t) / RAMP_DOWN))
    return fall * min(1.0, t / RAMP_UP)


def descend(
    numbers: Sequence[Tensor],
    loss: Callable[[int], Tensor],
    *,
    steps: int,
    lr: float,
    on_step: Callable[[int, Tensor], None],
) -> None:
    """Minimize a loss in place.

    Args:
        numbers: What changes.
        loss: Step -> a single number, with its graph.
        steps: Adam steps.
        lr: Peak learning rate.
        on_step: Called with the step and its loss; may raise to stop.
    """
    optimizer = torch.optim.Adam(numbers, lr=lr)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = lr * ramp(step, steps)
        value = loss(step)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(value)
        optimizer.step()
        on_step(step, value.detach())


def render(generator: StyleGenerator, w: Tensor) -> Tensor:
    """w [N, num_ws, w_dim] -> images [N, 1, H, W], clamped to [-1, 1] as they will be written."""
    return generator.synthesis(w).clamp(-1.0, 1.0)


class LatentEdit:
    """N edits in W+.

    Args:
        generator: Frozen.
        start: [N, num_ws, w_dim].

    Attributes:
        change: What an optimizer changes, like `start`; zeros are no edit.
    """

    def __init__(self, generator: StyleGenerator, start: Tensor) -> None:
        self._generator, self._start = generator, start.detach()
        self.change = torch.zeros_like(self._start).requires_grad_()

    def images(self) -> Tensor:
        """[N, 1, H, W] in [-1, 1]."""
        return render(self._generator, self._start + self.change)

    def squared(self) -> Tensor:
        """Sum of squares of the whole change: [N]."""
        return self.change.square().sum(dim=(1, 2))

    def way(self) -> np.ndarray:
        """Root mean square of the whole change: [N]."""
        return self.change.detach().square().mean(dim=(1, 2)).sqrt().cpu().numpy()


@dataclass(frozen=True)
class LatentRecipe:
    """How to optimize.

    Attributes:
        steps: Adam steps; 0 leaves the images as they are.
        lr: Peak learning rate.
        text: Weight of the guide.
        l2: Weight of the squared way.
        feature_weight: Of the feature distance.
    """

    steps: int = 300
    lr: float = 0.1
    text: float = 1.0
    l2: float = 0.008
    feature_weight: float = 1.0


def optimize(
    edit: LatentEdit,
    guide: TextGuide,
    distance: Distance,
    recipe: LatentRecipe,
    on_step: Callable[[], None] = lambda: None,
) -> None:
    """Move along what the guide asks for; changes `edit`.

    Args:
        edit: The edits, all zero; gradients pass through their generator.
        guide: The text.
        distance: Between edited and unedited images.
        recipe: Weights and steps.
        on_step: Called after every step; may raise to stop.
    """
    with torch.no_grad():
        away = distance(edit.images())

    def loss(_: int) -> Tensor:
        images = edit.images()
        total = recipe.text * guide.loss(images) + recipe.l2 * edit.squared()
        if recipe.feature_weight:
            total = total + recipe.feature_weight * away(images)
        return total.sum()

    descend([edit.change], loss, steps=recipe.steps, lr=recipe.lr, on_step=lambda *_: on_step())


@dataclass(frozen=True)
class InversionRecipe:
    """How to search.

    Attributes:
        steps: Adam steps.
        lr: Peak learning rate.
        features: Weight of the feature distance.
        prior: Weight of the mean squared way from the mean w.
    """

    steps: int = 300
    lr: float = 0.1
    features: float = 0.5
    prior: float = 0.002


@torch.no_grad()
def mean_w(generator: StyleGenerator, y: Tensor) -> Tensor:
    """The mean w of each label vector: [N, L] -> [N, num_ws, w_dim]."""
    z = torch.zeros(len(y), generator.z_dim, device=y.device)
    return generator.mapping(z, y, truncation=0.0)


def invert(
    generator: StyleGenerator,
    images: Tensor,
    y: Tensor,
    distance: Distance,
    recipe: InversionRecipe,
    on_step: Callable[[], None] = lambda: None,
) -> Tensor:
    """Find w for images.

    Args:
        generator: Frozen.
        images: [N, 1, size, size] in [-1, 1], of the generator's size.
        y: [N, L] label values in {0, 1}.
        distance: Between an image and its reconstruction.
        recipe: Weights and steps.
        on_step: Called after every step; may raise to stop.

    Returns:
        [N, num_ws, w_dim], detached.
    """
    mean, away = mean_w(generator, y), distance(images)
    w = mean.clone().requires_grad_()

    def loss(_: int) -> Tensor:
        copies = render(generator, w)
        total = (copies - images).square().mean(dim=(1, 2, 3))
        total = total + recipe.features * away(copies)
        return (total + recipe.prior * (w - mean).square().mean(dim=(1, 2))).sum()

    descend([w], loss, steps=recipe.steps, lr=recipe.lr, on_step=lambda *_: on_step())
    return w.detach()
