"""The learning rate as a pure function of images seen, so that a resumed run needs one number."""

from __future__ import annotations

import math


def warmup_cosine(nimg: int, total_nimg: int, warmup_nimg: int) -> float:
    """Share of the peak learning rate after `nimg` images: linear up, then half a cosine to 0.

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
