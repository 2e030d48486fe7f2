"""How far an image has moved from where it began: what stands in for StyleCLIP's face loss.

In: a batch of images that others are measured from, [N, 1, H, W] in [-1, 1]. Out: a function that
gives the distance of such others, [N]; what the first batch needs is computed once. Two are there:
the inner maps of an image tower, compared as LPIPS does without learned weights (Zhang et al. 2018:
unit length over channels, squared difference, mean over the map), and a pyramid of averaged pixels,
which needs no network.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

Measure = Callable[[Tensor], Tensor]
Distance = Callable[[Tensor], Measure]
LEVELS = 4
_EPSILON = 1e-8


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
    """The distance of `map_distance` through an image tower.

    Args:
        features: Images -> inner maps.
    """

    def distance(anchor: Tensor) -> Measure:
        with torch.no_grad():
            fixed = features(anchor)
        return lambda images: map_distance(features(images), fixed)

    return distance


def _unit(x: Tensor) -> Tensor:
    return x / (x.square().sum(dim=1, keepdim=True) + _EPSILON).sqrt()
