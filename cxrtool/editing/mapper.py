"""The mapper: a small network that turns w into an edit of w, one network a text (StyleCLIP,
section 5).

In: a style generator, a text guide, a source of w. Out: a `Mapper`, trained once and then applied
to any number of images in one pass. Three parts for coarse, medium and fine layers, each pixel norm
and four equalized linear layers (Patashnik et al. 2021, figure 3); the edit is
w + 0.1 (M_c(w_c), M_m(w_m), M_f(w_f)) and the loss of an image

    guide + keep distance(G(w'), G(w)) + l2 |w' - w| + local stray(G(w')),

with a radiograph feature distance in the place of their identity network of faces, and the stray of
`locality.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from cxrtool.editing.distances import Distance
from cxrtool.editing.guide import TextGuide
from cxrtool.editing.latent import render
from cxrtool.editing.locality import Locality
from cxrtool.editing.schedule import ramp
from cxrtool.training.protocols import StyleGenerator
from cxrtool.training.rng import torch_generator

DEPTH = 4
SCALE = 0.1
_SLOPE = 0.2
_LR_MULTIPLIER = 0.01


@dataclass(frozen=True)
class MapperRecipe:
    """How to train.

    Attributes:
        steps: Adam steps.
        lr: Peak learning rate.
        strength: Weight of the guide.
        l2: Weight of the length of the edit, per image.
        keep: Weight of the feature distance.
        local: Weight of the stray.
        batch: Images a step.
        seed: Of the weights.
    """

    steps: int = 1000
    lr: float = 0.1
    strength: float = 1.0
    l2: float = 0.8
    keep: float = 0.1
    local: float = 0.0
    batch: int = 16
    seed: int = 0


def parts(num_ws: int) -> list[tuple[int, int]]:
    """First and last + 1 of the w of the coarse, medium and fine part; empty ones are left out.

    4 and 8 px are coarse, 16 and 32 px medium, all above fine (Karras et al. 2019, section 3.1); an
    image of 32 px has no fine layers in that sense, so that there medium ends at 16 px.
    """
    ends = [0, 4, 8, num_ws] if num_ws > 8 else [0, min(4, num_ws), min(6, num_ws), num_ws]
    return [(a, b) for a, b in pairwise(ends) if b > a]


class _Linear(nn.Module):
    """Equalized linear layer with leaky ReLU (Karras et al. 2018, 2019)."""

    def __init__(self, width: int, rng: torch.Generator) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(width, width, generator=rng) / _LR_MULTIPLIER)
        self.bias = nn.Parameter(torch.zeros(width))
        self.gain = _LR_MULTIPLIER / math.sqrt(width)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.linear(x, self.weight * self.gain, self.bias * _LR_MULTIPLIER)
        return functional.leaky_relu(x, _SLOPE) * math.sqrt(2.0)


class Mapper(nn.Module):
    """Three small networks, one a group of layers.

    Args:
        num_ws: Vectors of an image.
        w_dim: Length of each.
        seed: Of the weights.
    """

    def __init__(self, num_ws: int, w_dim: int, seed: int) -> None:
        super().__init__()
        rng = torch_generator("mapper", seed)
        self.parts = parts(num_ws)
        self.networks = nn.ModuleList(
            nn.Sequential(*(_Linear(w_dim, rng) for _ in range(DEPTH))) for _ in self.parts
        )

    def forward(self, w: Tensor) -> Tensor:
        """The edit of w: [N, num_ws, w_dim] -> the same shape, to be added to w."""
        groups = []
        for (first, last), network in zip(self.parts, self.networks, strict=True):
            x = w[:, first:last]
            x = x * (x.square().mean(dim=-1, keepdim=True) + 1e-8).rsqrt()
            groups.append(network(x))
        return SCALE * torch.cat(groups, dim=1)


def train_step(
    mapper: Mapper,
    optimizer: torch.optim.Optimizer,
    generator: StyleGenerator,
    w: Tensor,
    guide: TextGuide,
    distance: Distance,
    recipe: MapperRecipe,
    step: int,
    where: Locality | None = None,
) -> float:
    """One step on w [N, num_ws, w_dim]; returns the mean loss of the guide."""
    for group in optimizer.param_groups:
        group["lr"] = recipe.lr * ramp(step, recipe.steps)
    with torch.no_grad():
        before = render(generator, w)
        away, anchor = distance(before), guide.anchor(before)
    change = mapper(w)
    images = render(generator, w + change)
    asked = guide.loss(images, anchor)
    loss = recipe.strength * asked + recipe.keep * away(images)
    loss = loss + recipe.l2 * change.square().mean(dim=(1, 2)).add(1e-12).sqrt()
    if where is not None and recipe.local:
        loss = loss + recipe.local * where.stray(before, images)
    optimizer.zero_grad(set_to_none=True)
    loss.mean().backward()
    optimizer.step()
    return float(asked.detach().mean())


def train(
    mapper: Mapper,
    generator: StyleGenerator,
    sample: Callable[[int], Tensor],
    guide: TextGuide,
    distance: Distance,
    recipe: MapperRecipe,
    on_step: Callable[[int, float, torch.optim.Optimizer], None] = lambda *_: None,
    state: Mapping[str, Any] | None = None,
    where: Locality | None = None,
) -> None:
    """Train in place.

    Args:
        mapper: The network.
        generator: Frozen; gradients pass through it.
        sample: Step -> w of its batch, [batch, num_ws, w_dim].
        guide: The text.
        distance: Between edited and unedited images.
        recipe: Weights and steps.
        on_step: Called with the step, the loss of the guide and the optimizer; may raise to stop.
        state: `step`, `mapper` and `optimizer` to go on from.
        where: Where the text acts, for the stray; without it there is none.
    """
    mapper.train()
    optimizer = torch.optim.Adam(mapper.parameters(), lr=recipe.lr, betas=(0.9, 0.99))
    first = 0
    if state is not None:
        mapper.load_state_dict(state["mapper"])
        optimizer.load_state_dict(state["optimizer"])
        first = int(state["step"])
    for step in range(first, recipe.steps):
        w = sample(step)
        loss = train_step(mapper, optimizer, generator, w, guide, distance, recipe, step, where)
        on_step(step, loss, optimizer)
    mapper.eval()


@torch.no_grad()
def moved(
    generator: StyleGenerator, w: Tensor, mapper: Mapper, alpha: float
) -> tuple[Tensor, Tensor]:
    """Images and w after the edit; alpha scales what the mapper adds."""
    after = w + alpha * mapper(w)
    return render(generator, after), after
