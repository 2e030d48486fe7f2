"""Standard augmentation of a batch on its device.

In: images [N, 1, H, W] in [-1, 1] and a generator. Out: images of the same form. The draws come
from a CPU generator that belongs to the step, so a resumed run draws the same.

`flips` is what study B did (METHODS 1): horizontal and vertical, each with probability 0.5. It
breaks laterality and gravity. `safe` keeps both: small rotation, shift, scale and contrast.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from cxrtool.training.device import sent

AUGMENTATIONS = ("none", "flips", "safe")
MAX_ROTATION_DEG = 7.0
MAX_SHIFT_FRAC = 0.05
MAX_SCALE_FRAC = 0.08
MAX_CONTRAST_FRAC = 0.15
MAX_BRIGHTNESS = 0.1


def augment(x: Tensor, how: str, rng: torch.Generator) -> Tensor:
    """Augment one batch.

    Args:
        x: [N, 1, H, W] float32 in [-1, 1].
        how: One of `AUGMENTATIONS`.
        rng: CPU generator; the result is a function of its state.
    """
    if how == "none":
        return x
    if how == "flips":
        return _flips(x, rng)
    if how == "safe":
        return _safe(x, rng)
    raise ValueError(f"unknown augmentation {how!r}")


def _flips(x: Tensor, rng: torch.Generator) -> Tensor:
    sides = sent(torch.rand(2, len(x), generator=rng) < 0.5, x.device)[:, :, None, None, None]
    x = torch.where(sides[0], x.flip(-1), x)
    return torch.where(sides[1], x.flip(-2), x)


def _safe(x: Tensor, rng: torch.Generator) -> Tensor:
    n = len(x)
    angle, zoom, shift_x, shift_y, contrast, brightness = (
        2 * torch.rand(6, n, generator=rng) - 1
    ).unbind(0)
    angle = angle * math.radians(MAX_ROTATION_DEG)
    scale = 1 + zoom * MAX_SCALE_FRAC
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = scale * torch.cos(angle)
    theta[:, 0, 1] = -scale * torch.sin(angle)
    theta[:, 1, 0] = scale * torch.sin(angle)
    theta[:, 0, 2] = 2 * MAX_SHIFT_FRAC * shift_x  # the grid runs from -1 to 1
    theta[:, 1, 2] = 2 * MAX_SHIFT_FRAC * shift_y
    grid = F.affine_grid(sent(theta, x.device), list(x.shape), align_corners=False)
    # Border: a rotated film has no black wedge in its corners that a network could read.
    x = F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)
    gain = sent(1 + MAX_CONTRAST_FRAC * contrast, x.device)[:, None, None, None]
    offset = sent(MAX_BRIGHTNESS * brightness, x.device)[:, None, None, None]
    return (x * gain + offset).clamp(-1, 1)
