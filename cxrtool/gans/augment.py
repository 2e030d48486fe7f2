"""DiffAugment: the same differentiable augmentation of reals and fakes before the discriminator.

In: images `[N, C, H, W]` in [-1, 1] and a generator of random numbers. Out: augmented images, with
gradients through to the input. Zhao et al. 2020 (arXiv 2006.10738): without it a discriminator
memorizes a small data set. Color means brightness and contrast; saturation has no meaning for one
gray channel. Uncovered pixels are 0 (mid gray), as in the paper.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from cxrtool.errors import UsageError

POLICIES = ("color", "translation", "cutout")
SHIFT_FRAC = 1 / 8
CUTOUT_FRAC = 1 / 2


def parse_policies(text: str) -> tuple[str, ...]:
    """`"none"`, or names of `POLICIES` separated by commas.

    Raises:
        UsageError: an unknown or repeated name.
    """
    if text.strip() == "none":
        return ()
    names = tuple(part.strip() for part in text.split(","))
    for name in names:
        if name not in POLICIES or names.count(name) > 1:
            known = ", ".join(POLICIES)
            raise UsageError(f"--augment {text}: must be none, or a list of {known}")
    # One order, so that two spellings of one policy are one training.
    return tuple(name for name in POLICIES if name in names)


def diff_augment(x: Tensor, policies: Sequence[str], rng: torch.Generator) -> Tensor:
    """Augment each image by its own random draw.

    Args:
        x: `[N, C, H, W]`.
        policies: Of `POLICIES`, applied in this order.
        rng: On the device of x.

    Returns:
        `[N, C, H, W]`.
    """
    for name in policies:
        x = _TRANSFORMS[name](x, rng)
    return x


def mirror(x: Tensor, rng: torch.Generator) -> Tensor:
    """Flip each image left to right with probability one half (for data without a side)."""
    flip = _uniform(len(x), rng) < 0.5
    return torch.where(flip[:, None, None, None], x.flip(3), x)


def _uniform(n: int, rng: torch.Generator) -> Tensor:
    return torch.rand(n, generator=rng, device=rng.device)


def _integers(low: int, high: int, n: int, rng: torch.Generator) -> Tensor:
    """n integers in [low, high]."""
    return torch.randint(low, high + 1, (n,), generator=rng, device=rng.device)


def _color(x: Tensor, rng: torch.Generator) -> Tensor:
    brightness = (_uniform(len(x), rng) - 0.5)[:, None, None, None]
    contrast = (_uniform(len(x), rng) + 0.5)[:, None, None, None]
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    return (x - mean) * contrast + mean + brightness


def _translation(x: Tensor, rng: torch.Generator) -> Tensor:
    n, c, h, w = x.shape
    most_y, most_x = int(h * SHIFT_FRAC + 0.5), int(w * SHIFT_FRAC + 0.5)
    shift_y, shift_x = _integers(-most_y, most_y, n, rng), _integers(-most_x, most_x, n, rng)
    rows = torch.arange(h, device=x.device)[None, :] - shift_y[:, None]
    columns = torch.arange(w, device=x.device)[None, :] - shift_x[:, None]
    inside = ((rows >= 0) & (rows < h))[:, :, None] & ((columns >= 0) & (columns < w))[:, None, :]
    rows, columns = rows.clamp(0, h - 1), columns.clamp(0, w - 1)
    x = x.gather(2, rows[:, None, :, None].expand(n, c, h, w))
    x = x.gather(3, columns[:, None, None, :].expand(n, c, h, w))
    return x * inside[:, None].to(x.dtype)


def _cutout(x: Tensor, rng: torch.Generator) -> Tensor:
    n, _, h, w = x.shape
    high, wide = int(h * CUTOUT_FRAC + 0.5), int(w * CUTOUT_FRAC + 0.5)
    # The center lies anywhere in the image, so that the square may be cut by the border.
    top = _integers(0, h - 1, n, rng) - high // 2
    left = _integers(0, w - 1, n, rng) - wide // 2
    rows = torch.arange(h, device=x.device)[None, :] - top[:, None]
    columns = torch.arange(w, device=x.device)[None, :] - left[:, None]
    cut = ((rows >= 0) & (rows < high))[:, :, None] & ((columns >= 0) & (columns < wide))[:, None]
    return x * (~cut)[:, None].to(x.dtype)


_TRANSFORMS = {"color": _color, "translation": _translation, "cutout": _cutout}
