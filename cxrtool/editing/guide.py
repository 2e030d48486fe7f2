"""What a text asks of an image.

In: unit vectors of prompts about the target and about its opposite. Out: a `TextGuide`, whose loss
an image is 1 - sign * cos(image, unit(target - opposite)). StyleCLIP's 1 - cos(image, target) has
no way back; the difference of two texts is an axis with two ends (as in section 6 there, the text
direction of global directions), so that `+` moves towards the target and `-` away from it, and what
all radiographs share drops out.

How far an image has moved from where it began stands in for StyleCLIP's face loss. A `Distance`
takes the batch that others are measured from, [N, 1, H, W] in [-1, 1], computes once what that
needs, and gives a function of such others, [N]. Two are there: the inner maps of an image tower,
compared as LPIPS does without learned weights (Zhang et al. 2018: unit length over channels,
squared difference, mean over the map), and a pyramid of averaged pixels, which needs no network.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from cxrtool.core.errors import InputError
from cxrtool.training.protocols import ImageEncoder, TextEncoder


@dataclass(frozen=True)
class TextGuide:
    """A direction of an embedding space.

    Attributes:
        encoder: Embeds images.
        target: [D] unit vector of the target text; of several texts the mean of theirs.
        opposite: [D] unit vector of what it is compared with, or such a mean.
        sign: +1 or -1.
    """

    encoder: ImageEncoder
    target: Tensor
    opposite: Tensor
    sign: int = 1

    @property
    def direction(self) -> Tensor:
        """[D] unit vector from the opposite to the target."""
        return functional.normalize(self.target - self.opposite, dim=0)

    def loss(self, images: Tensor) -> Tensor:
        """[N, 1, H, W] -> [N]: from 0 (as asked) to 2."""
        return 1.0 - self.sign * self.embed(images) @ self.direction

    @torch.no_grad()
    def similarity(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Cosines of images with target, opposite and direction, [N] each."""
        vectors = self.embed(images)
        return vectors @ self.target, vectors @ self.opposite, vectors @ self.direction

    def embed(self, images: Tensor) -> Tensor:
        """[N, 1, H, W] -> unit vectors [N, D]."""
        return functional.normalize(self.encoder.embed_images(images), dim=-1)


@torch.no_grad()
def make_guide(
    encoder: ImageEncoder,
    texts: TextEncoder,
    target: list[str],
    opposite: list[str],
    sign: int = 1,
) -> TextGuide:
    """A guide from prompts: each end is the unit mean of the unit vectors of its prompts.

    Args:
        encoder: Embeds images.
        texts: Embeds prompts.
        target: Prompts of the target.
        opposite: Prompts of the other end.
        sign: +1 or -1.

    Raises:
        InputError: both ends have the same vector, so that there is no direction.
    """
    ends = []
    for prompts in (target, opposite):
        vectors = functional.normalize(texts.embed_texts(prompts), dim=-1)
        ends.append(functional.normalize(vectors.mean(dim=0), dim=0))
    if float((ends[0] - ends[1]).norm()) < 1e-4:
        raise InputError(
            "the CLIP reads the target and its opposite as the same text: there is no direction",
            hint="say the target in other words, or choose another --against",
        )
    return TextGuide(encoder, ends[0], ends[1], sign)


def joined(guides: Sequence[TextGuide]) -> TextGuide:
    """One guide of several texts, each with its sign; one alone keeps its sign and its ends.

    Of several, the ends are means of what is asked for and of its opposites, and the sign is +.

    Args:
        guides: Of one encoder.
    """
    if len(guides) == 1:
        return guides[0]
    ends = [(g.target, g.opposite) if g.sign > 0 else (g.opposite, g.target) for g in guides]
    target, opposite = (torch.stack(vectors).mean(dim=0) for vectors in zip(*ends, strict=True))
    return TextGuide(guides[0].encoder, target, opposite)


Measure = Callable[[Tensor], Tensor]
Distance = Callable[[Tensor], Measure]
LEVELS = 4


def pyramid_distance(anchor: Tensor) -> Measure:
    """Mean squared difference at full size and at halves of it, mean over the levels."""

    def measure(images: Tensor) -> Tensor:
        a, b = anchor, images
        total = torch.zeros(len(b), device=b.device)
        for _ in range(LEVELS):
            total = total + (a - b).square().mean(dim=(1, 2, 3))
            if min(a.shape[-2:]) < 2:
                break
            a, b = functional.avg_pool2d(a, 2), functional.avg_pool2d(b, 2)
        return total / LEVELS

    return measure


def map_distance(a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
    """Distance of inner maps, mean over layers: [N].

    Args:
        a: Maps [N, C, h, w] of one batch, a layer each.
        b: Those of the other.
    """
    total = torch.zeros(len(a[0]), device=a[0].device)
    for x, y in zip(a, b, strict=True):
        difference = _unit(x) - _unit(y)
        total = total + difference.square().sum(dim=1).mean(dim=(1, 2))
    return total / len(a)


def tower_distance(features: Callable[[Tensor], Sequence[Tensor]]) -> Distance:
    """The distance of `map_distance` through an image tower, whose inner maps are `features`."""

    def distance(anchor: Tensor) -> Measure:
        with torch.no_grad():
            fixed = features(anchor)
        return lambda images: map_distance(features(images), fixed)

    return distance


def _unit(x: Tensor) -> Tensor:
    return x / (x.square().sum(dim=1, keepdim=True) + 1e-8).sqrt()
