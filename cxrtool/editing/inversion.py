"""Real images into a generator's W or W+, by optimization.

In: images [N, 1, H, W] in [-1, 1] and their label values. Out: w whose images look like them. The
search begins at the mean w of each image's own labels (truncation 0) and minimizes

    mean squared pixel difference + feature distance + prior |w - w_mean|^2 / numbers of w

by Adam with the schedule of the edits (Abdal et al. 2019, Image2StyleGAN; Karras et al. 2020,
appendix D). The prior keeps w where the generator knows what an edit means; so does searching in W,
where one w serves every layer: its images are the generator's own, and less like a given one.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from cxrtool.editing.distances import Distance
from cxrtool.editing.latent import render
from cxrtool.editing.schedule import descend
from cxrtool.training.protocols import StyleGenerator

SPACES = ("w+", "w")


@dataclass(frozen=True)
class InversionRecipe:
    """How to search.

    Attributes:
        steps: Adam steps.
        lr: Peak learning rate.
        features: Weight of the feature distance.
        prior: Weight of the mean squared way from the mean w.
        space: One of `SPACES`: a w for each layer, or one for all of them.
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
        ValueError: an unknown space.
    """
    if recipe.space not in SPACES:
        raise ValueError(f"space must be one of {', '.join(SPACES)}, not {recipe.space!r}")
    mean = mean_w(generator, y)
    away = distance(images)
    own = mean if recipe.space == "w+" else mean[:, :1]
    numbers = own.clone().requires_grad_()

    def loss(_: int) -> Tensor:
        w = numbers.expand_as(mean)
        copies = render(generator, w)
        total = (copies - images).square().mean(dim=(1, 2, 3))
        total = total + recipe.features * away(copies)
        return (total + recipe.prior * (w - mean).square().mean(dim=(1, 2))).sum()

    descend([numbers], loss, steps=recipe.steps, lr=recipe.lr, on_step=lambda *_: on_step())
    return numbers.detach().expand_as(mean).clone()
