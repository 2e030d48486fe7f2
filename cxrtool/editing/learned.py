"""A direction of style space that is learned: as a text asks, and little else, in many images.

In: the variation of styles within patients and the regression direction of a text
(`variation.py`). Out: a `Direction`. A straight line is only to first order what the regression
says; far along it other things follow. Here one change d of all styles, the same for every image,
begins there and is moved by Adam to minimize, over fresh latents of all frequent conditions,

    mean |GOAL - gain| + local stray + others mean change^2 + near |d - d0|^2 / |d0|^2,

with the gain in the text's score and the changes of the other observations' scores in standard
deviations within a patient. The stray is the squared change of pixels outside of where the text
acts, as a multiple of what findings change in a patient's pixels; where it acts is what the
regression of the pixels on the score shows, so that no mask is drawn by hand and no teacher is
asked. That a single channel of style space can be local was found by Wu et al. 2021 (StyleSpace)
with segmentations; this is the demand without them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from cxrtool.editing.guide import TextGuide
from cxrtool.editing.optimization import descend, render
from cxrtool.editing.relevance import Direction, moved
from cxrtool.editing.variation import Variation, locality
from cxrtool.training.protocols import StyleSpace

ALPHA = 2.0  # strength at which it is learned
GOAL = 3.0  # standard deviations of the text's score that it is to gain there
BATCH = 12


@dataclass(frozen=True)
class LearnedRecipe:
    """How to learn.

    Attributes:
        steps: Adam steps.
        lr: Peak learning rate, of numbers in standard deviations of a channel.
        local: Weight of the stray.
        near: Weight of the way from the regression direction.
    """

    steps: int = 60
    lr: float = 0.03
    local: float = 3.0
    near: float = 0.1


def learned_direction(
    generator: StyleSpace,
    sample: Callable[[int], Tensor],
    guide: TextGuide,
    variation: Variation,
    start: Direction,
    recipe: LearnedRecipe,
    on_step: Callable[[int, Tensor], None] = lambda *_: None,
) -> Direction:
    """Learn the direction of a text.

    Args:
        generator: Frozen; gradients pass through it.
        sample: Step -> w of its batch, [N, num_ws, w_dim].
        guide: The text with its sign, and the other observations with their weight.
        variation: The generator's.
        start: Its regression direction; channels that it leaves alone stay alone.
        recipe: Steps and weights.
        on_step: Called with a step and its loss; may raise to stop.
    """
    text, others = guide.direction, guide.held_others
    spread = _spread(variation, text[None])[0]
    where = locality(variation, text)
    names = list(start.change)
    sizes = [len(start.change[name]) for name in names]
    std = torch.cat([variation.channels.std[name] for name in names]).clamp_min(1e-9)
    first = torch.cat(list(start.change.values())) / std
    free = (first != 0).float()
    numbers = first.clone().requires_grad_()

    def direction(values: Tensor) -> Direction:
        parts = torch.split(values * free * std, sizes)
        return replace(start, change=dict(zip(names, parts, strict=True)))

    def loss(step: int) -> Tensor:
        w = sample(step)
        with torch.no_grad():
            before = render(generator, w)
            anchor = guide.embed(before)
        after = moved(generator, w, direction(numbers), guide.sign * ALPHA)
        change = guide.embed(after) - anchor
        total = (GOAL - guide.sign * change @ text / spread).abs().mean()
        total = total + recipe.local * where.stray(before, after).mean()
        if others is not None:
            strays = (change @ others.T / _spread(variation, others)).square()
            total = total + guide.hold * strays.mean()
        way = (free * (numbers - first)).square().sum() / first.square().sum()
        return total + recipe.near * way

    descend([numbers], loss, steps=recipe.steps, lr=recipe.lr, on_step=on_step)
    return direction(numbers.detach())


def _spread(variation: Variation, texts: Tensor) -> Tensor:
    """Standard deviation within a patient of the scores of [K, D] directions: [K]."""
    products = torch.einsum("kd,de,ke->k", texts, variation.embeddings.to(texts.device), texts)
    return (products / variation.n).clamp_min(1e-12).sqrt()
