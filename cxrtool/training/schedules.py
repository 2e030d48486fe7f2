"""Schedules as pure functions of images seen, so that resuming needs one number.

In: images seen. Out: how many steps to make, and whether something is due.
"""

from __future__ import annotations

import math


def total_nimg(kimg: float, batch: int) -> int:
    """Images after which training ends: `kimg` thousand, in whole batches, at least one."""
    return max(1, math.ceil(round(kimg * 1000) / batch)) * batch


def due(nimg: int, batch: int, every_nimg: float) -> bool:
    """Whether the step that ended at `nimg` passed a multiple of `every_nimg`."""
    return int(nimg // every_nimg) > int((nimg - batch) // every_nimg)


def lazy_correction(interval: int) -> float:
    """c = k / (k + 1) for a regularizer that runs every k-th step as a step of its own.

    Karras et al. 2020, appendix B: with lr' = c lr and beta' = beta^c, k main steps and one
    regularizer step move Adam as far as k steps that do both.
    """
    return interval / (interval + 1)
