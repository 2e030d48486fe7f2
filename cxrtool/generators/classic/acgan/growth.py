"""Progressive growing: which resolution is trained when, as a function of images seen.

In: images seen. Out: a `Stage`. Karras et al. 2018 (arXiv 1710.10196), section 2: training begins
at 4x4; each further resolution first fades in, then stays, both for the same number of images.
"""

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from cxrtool.generators.classic.layers import twice


class Stage(NamedTuple):
    """Where the growth stands.

    Attributes:
        level: 0 at 4x4, 1 at 8x8, ...
        alpha: Weight of this resolution over the one before it; 1 once it has faded in.
    """

    level: int
    alpha: float


def stage_at(nimg: int, phase_nimg: float, last: int) -> Stage:
    """The stage of the step that begins after so many images.

    Args:
        nimg: Images seen.
        phase_nimg: Images of one fade-in, and of one stay; the last stay lasts to the end.
        last: Level of the whole image.
    """
    phase, within = divmod(nimg / phase_nimg, 1.0)
    if phase >= 2 * last:
        return Stage(last, 1.0)
    level = (int(phase) + 1) // 2
    return Stage(level, within if int(phase) % 2 else 1.0)


def grown_nimg(phase_nimg: float, last: int) -> float:
    """Images after which the whole image has faded in."""
    return 2 * last * phase_nimg


def at_stage(images: Tensor, stage: Stage, last: int) -> Tensor:
    """Whole images as the discriminator of a stage sees them.

    Reduced by means of blocks; while a resolution fades in, so do the details of real images.

    Args:
        images: `[N, C, size, size]`.
        stage: See above.
        last: Level of the whole image.

    Returns:
        `[N, C, r, r]` with r = 4 x 2^level.
    """
    if stage.level < last:
        images = F.avg_pool2d(images, 2 ** (last - stage.level))
    if stage.alpha < 1:
        images = twice(F.avg_pool2d(images, 2)).lerp(images, stage.alpha)
    return images
