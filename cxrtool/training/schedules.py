"""Schedules as pure functions of images or steps seen, so that resuming needs one number.

In: images or steps seen. Out: how many steps to make, whether something is due, and the learning
rate.
"""

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


def burnt_in(nimg: int, length_nimg: float) -> float:
    """Half a cosine from 0 to 1 over the first images."""
    return 0.5 * (1 - math.cos(math.pi * min(1.0, nimg / length_nimg)))


def warmup_cosine(nimg: int, total_nimg: int, warmup_nimg: int) -> float:
    """Share of the peak: linear up, then half a cosine to 0.

    Loshchilov & Hutter 2017, as in the CLIP paper, section 2.5.

    Args:
        nimg: Images seen, the coming batch included, so that the first step is not lost.
        total_nimg: Images of the whole training.
        warmup_nimg: Images of the linear part; 0 for none.
    """
    if nimg < warmup_nimg:
        return nimg / warmup_nimg
    rest = max(1, total_nimg - warmup_nimg)
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, (nimg - warmup_nimg) / rest)))


def short_warmup(peak: float, schedule: str, step: int, steps: int) -> float:
    """The rate of a step: a linear warm-up over a twentieth of them, times the schedule.

    That is "constant", or "cosine", which begins with the first step, not after the warm-up.
    """
    rate = peak * min(1.0, (step + 1) / max(1, steps // 20))
    if schedule == "cosine":
        rate *= 0.5 * (1 + math.cos(math.pi * step / steps))
    return rate


def late_tenth(peak: float, step: int, steps: int, epoch_steps: int) -> float:
    """The rate of a step: a tenth from the second epoch on, and not before half of the steps.

    The published recipe of AUC-margin: two epochs of a large set, the second one at a tenth of the
    rate. Of a small set an epoch is too little to learn anything in.
    """
    return peak / 10 if step >= max(epoch_steps, steps // 2) else peak
