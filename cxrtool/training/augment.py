"""Augmentation of a batch of images that a network reads: classifiers and CLIPs.

In: images [N, 1, H, W] in [-1, 1] and a generator. Out: images of the same form. The draws come
from a CPU generator that belongs to the step, so that a resumed run, and every device, draws the
same. (What a discriminator sees is augmented by `generators.augment`, which is another idea: with
gradients to the images, with a probability that follows the training, and to hide the images, not
to stay true to what they show.)

`flips` mirrors each axis with probability 0.5. It breaks laterality and gravity. `safe` and `mild`
keep both, since left and right are words of the reports: a small turn, shift, scaling, contrast
and brightness.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from cxrtool.training.device import sent


class Jitter(NamedTuple):
    """The most that an image changes.

    Attributes:
        turn_deg: Turn to either side.
        shift_frac: Shift along each axis, as a share of the side.
        scale_frac: Change of size.
        contrast_frac: Change of contrast about mid gray.
        brightness: Added to an image in [-1, 1].
    """

    turn_deg: float
    shift_frac: float
    scale_frac: float
    contrast_frac: float
    brightness: float


JITTERS = {
    "safe": Jitter(7.0, 0.05, 0.08, 0.15, 0.1),
    "mild": Jitter(4.0, 0.04, 0.05, 0.1, 0.1),
}


def augment(
    x: Tensor, how: str, rng: torch.Generator, n: int | None = None, part: slice = slice(None)
) -> Tensor:
    """Augment one batch, or the part of it that a process holds.

    Args:
        x: [N, 1, H, W] float32 in [-1, 1].
        how: "none", "flips", or a key of `JITTERS`.
        rng: CPU generator; the result is a function of its state.
        n: Images in the whole batch, for which numbers are drawn; None for N.
        part: Which of them `x` are.
    """
    n = len(x) if n is None else n
    if how == "none":
        return x
    if how == "flips":
        sides = sent(torch.rand(2, n, generator=rng)[:, part] < 0.5, x.device)
        for flip, axis in zip(sides[:, :, None, None, None], (-1, -2)):
            x = torch.where(flip, x.flip(axis), x)
        return x
    # The order in which the numbers come is part of what a seed means.
    drawn = torch.rand(n, 6, generator=rng).T if how == "mild" else torch.rand(6, n, generator=rng)
    return _jittered(x, (2 * drawn - 1)[:, part], JITTERS[how])


def _jittered(x: Tensor, drawn: Tensor, most: Jitter) -> Tensor:
    """Images moved and toned as `drawn` [6, N] in [-1, 1) says."""
    turn, scale, shift_x, shift_y, contrast, brightness = drawn
    turn, scale = turn * math.radians(most.turn_deg), 1 + scale * most.scale_frac
    theta = torch.zeros(len(x), 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = scale * torch.cos(turn)
    theta[:, 1, 0] = scale * torch.sin(turn)
    theta[:, 0, 1] = -theta[:, 1, 0]
    theta[:, 0, 2] = 2 * most.shift_frac * shift_x  # the grid runs from -1 to 1
    theta[:, 1, 2] = 2 * most.shift_frac * shift_y
    grid = F.affine_grid(sent(theta, x.device), list(x.shape), align_corners=False)
    # Border: a rotated film has no black wedge in its corners that a network could read.
    x = F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)
    gain = sent(1 + most.contrast_frac * contrast, x.device)[:, None, None, None]
    offset = sent(most.brightness * brightness, x.device)[:, None, None, None]
    return (x * gain + offset).clamp(-1, 1)
