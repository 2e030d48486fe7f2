"""Optimization image by image: towards a text, or towards a real image.

In: w of N images, a text guide or the images themselves. Out: edits, or w. All go by Adam with a
learning rate that is a function of the step: up over the first 5 %, cosine down over the last 25 %
(StyleGAN2's projector, Karras et al. 2020, appendix D; StyleCLIP, Patashnik et al. 2021, section 4,
uses the same).

An edit is sought in W+, where every layer has a vector of its own, in W, where all layers share
one, or in S, where every channel of the convolutions up to 128 px has a number, counted in standard
deviations of that channel so that one learning rate fits all. It minimizes for each image

    text guide(G(x)) + l2 |x - x_start|^2 + weight distance(G(x), G(x_start)) + local stray(G(x)),

(StyleCLIP, section 4), the second term being a sum over all numbers of x, as there, and the stray
that of `variation.Locality`. Images of a batch do not touch each other: the loss is their sum, and
Adam works number by number.

Inversion finds w whose images look like given ones. It begins at the mean w of each image's own
labels (truncation 0) and minimizes

    mean squared pixel difference + feature distance + prior |w - w_mean|^2 / numbers of w

(Abdal et al. 2019, Image2StyleGAN). The prior keeps w where the generator knows what an edit means;
so does searching in W: its images are the generator's own, and less like a given one.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cxrtool.editing.guide import Distance, TextGuide
from cxrtool.editing.relevance import Channels
from cxrtool.editing.variation import Locality
from cxrtool.training.protocols import StyleGenerator, StyleSpace

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


class EditInW:
    """N edits in W+ or W.

    Args:
        generator: Frozen.
        start: [N, num_ws, w_dim].
        shared: One change for all layers (W).

    Attributes:
        numbers: What an optimizer changes; zeros are no edit.
    """

    def __init__(self, generator: StyleGenerator, start: Tensor, *, shared: bool = False) -> None:
        self._generator, self._start = generator, start.detach()
        self.numbers = [torch.zeros_like(start[:, :1] if shared else start).requires_grad_()]

    def _change(self) -> Tensor:
        return self.numbers[0].expand_as(self._start)

    def images(self) -> Tensor:
        """[N, 1, H, W] in [-1, 1]."""
        return render(self._generator, self._start + self._change())

    def squared(self) -> Tensor:
        """Sum of squares of the whole change: [N]."""
        return self._change().square().sum(dim=(1, 2))

    def way(self) -> np.ndarray:
        """Root mean square of the whole change: [N]."""
        return self._change().detach().square().mean(dim=(1, 2)).sqrt().cpu().numpy()

    def changes(self) -> dict[str, np.ndarray]:
        """The change in the form of `training.directions`: name -> [N, ...]."""
        return {"way": self._change().detach().cpu().numpy()}


class EditInS:
    """N edits of styles, with the same methods as those in W.

    Args:
        generator: Frozen.
        start: [N, num_ws, w_dim].
        channels: Whose standard deviations are the unit.

    Attributes:
        numbers: What an optimizer changes, [N, C] a layer; zeros are no edit.
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


SpaceEdit = EditInW | EditInS


@dataclass(frozen=True)
class LatentRecipe:
    """How to optimize.

    Attributes:
        steps: Adam steps; 0 leaves the images as they are.
        lr: Peak learning rate.
        text: Weight of the guide.
        l2: Weight of the squared way.
        feature_weight: Of the feature distance.
        local: Weight of the stray.
    """

    steps: int = 300
    lr: float = 0.1
    text: float = 1.0
    l2: float = 0.008
    feature_weight: float = 1.0
    local: float = 0.0


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
        edit: The edits, all zero; gradients pass through their generator.
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
        if recipe.feature_weight:
            total = total + recipe.feature_weight * away(images)
        if where is not None and recipe.local:
            total = total + recipe.local * where.stray(before, images)
        return total.sum()

    descend(edit.numbers, loss, steps=recipe.steps, lr=recipe.lr, on_step=lambda *_: on_step())


@dataclass(frozen=True)
class InversionRecipe:
    """How to search.

    Attributes:
        steps: Adam steps.
        lr: Peak learning rate.
        features: Weight of the feature distance.
        prior: Weight of the mean squared way from the mean w.
        space: "w+", a w for each layer, or "w", one for all of them.
    """

    steps: int = 300
    lr: float = 0.1
    features: float = 0.5
    prior: float = 0.002
    space: str = "w+"


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
        [N, num_ws, w_dim], detached; in W equal along the second axis.

    Raises:
        KeyError: an unknown space.
    """
    mean, away = mean_w(generator, y), distance(images)
    numbers = {"w+": mean, "w": mean[:, :1]}[recipe.space].clone().requires_grad_()

    def loss(_: int) -> Tensor:
        w = numbers.expand_as(mean)
        copies = render(generator, w)
        total = (copies - images).square().mean(dim=(1, 2, 3))
        total = total + recipe.features * away(copies)
        return (total + recipe.prior * (w - mean).square().mean(dim=(1, 2))).sum()

    descend([numbers], loss, steps=recipe.steps, lr=recipe.lr, on_step=lambda *_: on_step())
    return numbers.detach().expand_as(mean).clone()
