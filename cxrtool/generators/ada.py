"""The gray-scale part of the augmentations of ADA: pixel blits, geometry, intensity.

In: images `[N, C, H, W]` in [-1, 1], random draws for them, a probability p. Out: augmented
images, with gradients to the input. Karras et al. 2020 (arXiv 2006.06676), appendix B, with their
parameters. Left out: left-right flips (the heart has a side; `--mirror` brings them), hue,
saturation and luma flips (one gray channel). Each single transform touches an image with
probability p; below p = 0.8 none of them shows in what the generator learns.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from cxrtool.training.rng import Draws

SHIFT_FRAC = 0.125
SCALE_OCTAVES = 0.2
BRIGHTNESS_SD = 0.2
CONTRAST_OCTAVES = 0.5


def blit(x: Tensor, draws: Draws, p: Tensor | float) -> Tensor:
    """Quarter turns, and shifts by whole pixels into the mirrored image; nothing interpolated."""
    n, c, h, w = x.shape
    turns = draws.integers(0, 4)
    turns = turns.masked_fill(draws.uniform() >= p, 0)[:, None, None, None]
    for k in (1, 2, 3):
        x = torch.where(turns == k, torch.rot90(x, k, (2, 3)) if h == w or k == 2 else x, x)
    shift = (draws.uniform(2) * 2 - 1) * SHIFT_FRAC
    shift = shift.masked_fill((draws.uniform() >= p)[:, None], 0.0)
    rows = _mirrored(torch.arange(h, device=x.device) - (shift[:, :1] * h).round().long(), h)
    columns = _mirrored(torch.arange(w, device=x.device) - (shift[:, 1:] * w).round().long(), w)
    x = x.gather(2, rows[:, None, :, None].expand(n, c, h, w))
    return x.gather(3, columns[:, None, None, :].expand(n, c, h, w))


def geometry(x: Tensor, draws: Draws, p: Tensor | float) -> Tensor:
    """Scaling, turning, stretching and shifting by any amount, resampled once."""
    # Either rotation happens with probability p in all: 1 - (1 - q)^2 = p.
    q = 1 - (1 - p).clamp(min=0).sqrt() if isinstance(p, Tensor) else 1 - max(0.0, 1 - p) ** 0.5
    scale = _octaves(draws, p, SCALE_OCTAVES)
    stretch = _octaves(draws, p, SCALE_OCTAVES)
    before, after = _angles(draws, q), _angles(draws, q)
    untouched = (draws.uniform() >= p)[:, None]
    shift = (draws.normal(2) * SHIFT_FRAC).masked_fill(untouched, 0.0)
    diagonal = torch.diag_embed(torch.stack([scale * stretch, scale / stretch], dim=1))
    matrix = _turn(before) @ diagonal @ _turn(after)
    moved = (matrix != torch.eye(2, device=x.device)).any(dim=2).any(dim=1) | (shift != 0).any(
        dim=1
    )
    # Coordinates run from -1 to 1; what is not moved stays as it is, to the last bit.
    return torch.where(moved[:, None, None, None], _resample(x, matrix, shift * 2), x)


def intensity(x: Tensor, draws: Draws, p: Tensor | float) -> Tensor:
    """Brightness added, contrast multiplied about mid gray."""
    untouched = draws.uniform() >= p
    brightness = (draws.normal() * BRIGHTNESS_SD).masked_fill(untouched, 0.0)
    contrast = _octaves(draws, p, CONTRAST_OCTAVES)
    return (x + brightness[:, None, None, None]) * contrast[:, None, None, None]


def _resample(x: Tensor, matrix: Tensor, shift: Tensor) -> Tensor:
    """Images under affine maps, by cubic interpolation, mirrored beyond their borders.

    (The paper filters with a wavelet at twice the size. The cubic kernel costs a quarter of that,
    leaves an image that is not moved as it is, and aliases only where an image shrinks.)

    Args:
        x: `[N, C, H, W]`.
        matrix: `[N, 2, 2]`, from output to input coordinates (x, y) in [-1, 1].
        shift: `[N, 2]`, added after the matrix.
    """
    theta = torch.cat([matrix, shift[:, :, None]], dim=2).to(x.dtype)
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, mode="bicubic", padding_mode="reflection", align_corners=False)


def _turn(angles: Tensor) -> Tensor:
    """Rotation matrices `[N, 2, 2]`."""
    cosine, sine = angles.cos(), angles.sin()
    return torch.stack([cosine, -sine, sine, cosine], dim=1).reshape(-1, 2, 2)


def _angles(draws: Draws, p: Tensor | float) -> Tensor:
    angles = (draws.uniform() * 2 - 1) * math.pi
    return angles.masked_fill(draws.uniform() >= p, 0.0)


def _octaves(draws: Draws, p: Tensor | float, spread: float) -> Tensor:
    """Factors 2^normal(0, spread) `[N]`; 1 where untouched."""
    factors = torch.exp2(draws.normal() * spread)
    return factors.masked_fill(draws.uniform() >= p, 1.0)


def _mirrored(index: Tensor, size: int) -> Tensor:
    """Indices beyond [0, size) mirrored at the border pixels."""
    index = index.abs()
    return (size - 1 - (size - 1 - index).abs()).clamp(min=0)
