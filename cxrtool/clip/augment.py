"""Small changes of view that do not change what an image shows.

In: [N, 1, H, W] in [-1, 1]. Out: the same, turned by up to 4 degrees, shifted by up to 4 % and
scaled by up to 5 %, with brightness and contrast moved by up to a tenth. Never mirrored: left and
right are words of the texts.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from cxrtool.training.device import sent

_TURN = math.radians(4.0)
_SHIFT = 0.08  # of half the side, so 4 % of the side
_SCALE = 0.05
_TONE = 0.1


def draws(n: int, generator: torch.Generator) -> Tensor:
    """Random numbers for n images: [n, 6] in [-1, 1).

    Args:
        n: How many images.
        generator: Of the CPU, so that every device draws the same.
    """
    return torch.rand(n, 6, generator=generator) * 2.0 - 1.0


def mild(x: Tensor, drawn: Tensor) -> Tensor:
    """Augment a batch.

    Args:
        x: [N, 1, H, W] in [-1, 1].
        drawn: [N, 6], see `draws`.
    """
    drawn = sent(drawn, x.device)
    angle, scale = drawn[:, 0] * _TURN, 1.0 + drawn[:, 1] * _SCALE
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    shift_x, shift_y = drawn[:, 2] * _SHIFT, drawn[:, 3] * _SHIFT
    theta = torch.stack(
        [torch.stack([cos, -sin, shift_x], dim=1), torch.stack([sin, cos, shift_y], dim=1)], dim=1
    )
    grid = functional.affine_grid(theta, list(x.shape), align_corners=False)
    moved = functional.grid_sample(x, grid, padding_mode="border", align_corners=False)
    contrast, brightness = 1.0 + drawn[:, 4] * _TONE, drawn[:, 5] * _TONE
    return (moved * contrast.view(-1, 1, 1, 1) + brightness.view(-1, 1, 1, 1)).clamp(-1.0, 1.0)
