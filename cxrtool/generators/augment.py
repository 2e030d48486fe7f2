"""The same differentiable augmentation of reals and fakes before the discriminator.

In: images `[N, C, H, W]` in [-1, 1] and random draws for them. Out: augmented images, with
gradients through to the input; without it a discriminator memorizes a small data set. Two families:
DiffAugment (Zhao et al. 2020, arXiv 2006.10738), of which color means brightness and contrast
(saturation has no meaning for one gray channel) and uncovered pixels are 0 (mid gray), as in the
paper; and the gray-scale part of ADA (Karras et al. 2020, arXiv 2006.06676, appendix B, with their
parameters): pixel blits, geometry, intensity. Left out: left-right flips (the heart has a side;
`--mirror` brings them), hue, saturation and luma flips (one gray channel). (What networks that read
images are trained on is `training.augment`: it stays true to what an image shows, and needs no
gradient.)

A flow has no discriminator to hide things from: it is told what was done to each image, small
geometry alone (`told_geometry`), and asked for images that nothing was done to (Karras et al. 2022,
arXiv 2206.00364, appendix F.2).

How often: each transform touches an image with probability p; below p = 0.8 none of ADA's shows in
what the generator learns. By default p follows the controller of section 3.1: it rises while the
discriminator is too sure of the real images. A discriminator that does not overfit yet learns
several times faster without. The relativistic game has no such sign: the mean sign of the
differences of scores is twice an AUC minus one, which is high in every game, and would drive p to
its limit. There it rises with the images seen, as in Huang et al. 2024 (arXiv 2501.05441).
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from cxrtool.core.errors import UsageError
from cxrtool.training.rng import Draws

DIFFAUGMENT = ("color", "translation", "cutout")
ADA = ("blit", "geometry", "intensity")
POLICIES = DIFFAUGMENT + ADA
FAMILIES = {"diffaugment": DIFFAUGMENT, "ada": ADA}
SHIFT_FRAC = 1 / 8
CUTOUT_FRAC = 1 / 2
SCALE_OCTAVES = 0.2
BRIGHTNESS_SD = 0.2
CONTRAST_OCTAVES = 0.5
TARGET = 0.6  # mean sign of the scores of augmented reals, r_t, that the controller wants
MOST_P = 0.8  # above it augmentations begin to show in the generated images
SCHEDULED_P = 0.3  # at the end of the schedule, as Huang et al. have it at 64 px
TOLD = ("scale", "stretch", "turn", "right", "down", "mirror")  # what `told_geometry` tells
TOLD_P = 0.2  # probability of each of these but the mirror
TURN_SD = 0.1  # radians
SHIFT_SD = 1 / 16  # of the side
INTERVAL = 4  # batches between updates of p


def parse_policies(text: str) -> tuple[str, ...]:
    """`"none"`, a family, or names of `POLICIES` separated by commas.

    Raises:
        UsageError: an unknown or repeated name.
    """
    if text.strip() == "none":
        return ()
    if text.strip() in FAMILIES:
        return FAMILIES[text.strip()]
    names = tuple(part.strip() for part in text.split(","))
    for name in names:
        if name not in POLICIES or names.count(name) > 1:
            what = "must be none, diffaugment, ada, or a list of " + ", ".join(POLICIES)
            raise UsageError(f"--augment {text}: {what}")
    # One order, so that two spellings of one policy are one training.
    return tuple(name for name in POLICIES if name in names)


def augment(x: Tensor, policies: Sequence[str], draws: Draws, p: Tensor | float = 1.0) -> Tensor:
    """Augment each image by its own random draw.

    Args:
        x: `[N, C, H, W]`.
        policies: Of `POLICIES`, applied in this order.
        draws: For the N images, on their device.
        p: Probability of each transform for each image; a tensor never leaves its device.

    Returns:
        `[N, C, H, W]`.
    """
    for name in policies:
        if name in ADA:
            x = _ADA[name](x, draws, p)
        else:
            touched = draws.uniform() < p
            x = torch.where(touched[:, None, None, None], _DIFFAUGMENT[name](x, draws), x)
    return x


class Controller:
    """Chooses p from how sure the discriminator is of real images, or by a schedule.

    Args:
        images: How many images it takes for p to move from 0 to 1.
        device: Where p lives.

    Attributes:
        p: The probability, a scalar tensor.
    """

    def __init__(self, images: float, device: torch.device | str = "cpu") -> None:
        self.images = images
        self.p = torch.zeros((), device=device)
        self._signs = torch.zeros((), device=device)
        self._batches = 0

    @torch.no_grad()
    def update(self, sign: Tensor, n: int) -> None:
        """Count the mean sign of the scores of n augmented reals; adjust p every few batches."""
        self._signs += sign
        self._batches += 1
        if self._batches == INTERVAL:
            step = INTERVAL * n / self.images
            direction = (self._signs / INTERVAL - TARGET).sign()
            self.p = (self.p + direction * step).clamp(0, MOST_P)
            self._signs = torch.zeros_like(self._signs)
            self._batches = 0

    @torch.no_grad()
    def approach(self, end: float, n: int) -> None:
        """Move p towards an end, by what n images allow."""
        step = n / self.images
        self.p = self.p + (end - self.p).clamp(-step, step)

    def state_dict(self) -> dict[str, Tensor | int]:
        """For a checkpoint."""
        return {"p": self.p, "signs": self._signs.clone(), "batches": self._batches}

    def load_state_dict(self, state: dict[str, Tensor | int]) -> None:
        """Put back what `state_dict` returned."""
        self.p = torch.as_tensor(state["p"]).to(self.p.device)
        self._signs = torch.as_tensor(state["signs"]).to(self.p.device).clone()
        self._batches = int(state["batches"])


def mirror(x: Tensor, draws: Draws) -> Tensor:
    """Flip each image left to right with probability one half (for data without a side)."""
    flip = draws.uniform() < 0.5
    return torch.where(flip[:, None, None, None], x.flip(3), x)


def told_geometry(
    x: Tensor, draws: Draws, flips: bool = False, p: float = TOLD_P
) -> tuple[Tensor, Tensor]:
    """Small scaling, stretching, turning and shifting of each image, and what was done.

    Args:
        x: `[N, C, H, W]`.
        draws: For the N images, on their device.
        flips: Half of the images are flipped left to right too.
        p: Probability of each other transform for each image.

    Returns:
        `[N, C, H, W]`, and `[N, len(TOLD)]`: in standard deviations, 0 for what was not done.
    """
    octaves = [(draws.normal() * SCALE_OCTAVES).masked_fill(draws.uniform() >= p, 0) for _ in "ab"]
    angle = (draws.normal() * TURN_SD).masked_fill(draws.uniform() >= p, 0)
    shift = (draws.normal(2) * SHIFT_SD).masked_fill((draws.uniform() >= p)[:, None], 0)
    flip = (draws.uniform() < 0.5) & flips
    scale, stretch = octaves
    sides = torch.stack([torch.exp2(-scale - stretch), torch.exp2(-scale + stretch)], dim=1)
    matrix = torch.diag_embed(sides) @ _turn(angle)
    moved = torch.stack([scale, stretch, angle, *shift.unbind(1)], dim=1).any(dim=1)
    x = torch.where(moved[:, None, None, None], _resample(x, matrix, shift * 2), x)
    x = torch.where(flip[:, None, None, None], x.flip(3), x)
    told = [scale / SCALE_OCTAVES, stretch / SCALE_OCTAVES, angle / TURN_SD]
    told += [*(shift / SHIFT_SD).unbind(1), flip.to(x.dtype)]
    return x, torch.stack(told, dim=1)


def _color(x: Tensor, draws: Draws) -> Tensor:
    brightness = (draws.uniform() - 0.5)[:, None, None, None]
    contrast = (draws.uniform() + 0.5)[:, None, None, None]
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    return (x - mean) * contrast + mean + brightness


def _translation(x: Tensor, draws: Draws) -> Tensor:
    n, c, h, w = x.shape
    most_y, most_x = int(h * SHIFT_FRAC + 0.5), int(w * SHIFT_FRAC + 0.5)
    shift_y, shift_x = draws.integers(-most_y, most_y + 1), draws.integers(-most_x, most_x + 1)
    rows = torch.arange(h, device=x.device)[None, :] - shift_y[:, None]
    columns = torch.arange(w, device=x.device)[None, :] - shift_x[:, None]
    inside = ((rows >= 0) & (rows < h))[:, :, None] & ((columns >= 0) & (columns < w))[:, None, :]
    rows, columns = rows.clamp(0, h - 1), columns.clamp(0, w - 1)
    x = x.gather(2, rows[:, None, :, None].expand(n, c, h, w))
    x = x.gather(3, columns[:, None, None, :].expand(n, c, h, w))
    return x * inside[:, None].to(x.dtype)


def _cutout(x: Tensor, draws: Draws) -> Tensor:
    h, w = x.shape[2:]
    high, wide = int(h * CUTOUT_FRAC + 0.5), int(w * CUTOUT_FRAC + 0.5)
    # The center lies anywhere in the image, so that the square may be cut by the border.
    top = draws.integers(0, h) - high // 2
    left = draws.integers(0, w) - wide // 2
    rows = torch.arange(h, device=x.device)[None, :] - top[:, None]
    columns = torch.arange(w, device=x.device)[None, :] - left[:, None]
    cut = ((rows >= 0) & (rows < high))[:, :, None] & ((columns >= 0) & (columns < wide))[:, None]
    return x * (~cut)[:, None].to(x.dtype)


def _blit(x: Tensor, draws: Draws, p: Tensor | float) -> Tensor:
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


def _geometry(x: Tensor, draws: Draws, p: Tensor | float) -> Tensor:
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
    moved = (matrix != torch.eye(2, device=x.device)).any(dim=(1, 2)) | (shift != 0).any(dim=1)
    # Coordinates run from -1 to 1; what is not moved stays as it is, to the last bit.
    return torch.where(moved[:, None, None, None], _resample(x, matrix, shift * 2), x)


def _intensity(x: Tensor, draws: Draws, p: Tensor | float) -> Tensor:
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


_DIFFAUGMENT = {"color": _color, "translation": _translation, "cutout": _cutout}
_ADA = {"blit": _blit, "geometry": _geometry, "intensity": _intensity}
