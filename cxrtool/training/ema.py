"""Exponential moving average of a network's weights.

In: the network that trains. Out: the averaged copy that makes the pictures. The decay is a function
of images seen: a half-life in images, shorter at the start ("ramp") so that the average does not
hold on to the untrained weights (Karras et al. 2018; ramp as in Karras et al. 2020, arXiv
2006.06676). Weights that a training starts from are not untrained: there the ramp would throw the
average away, and is left out.
"""

import torch
from torch import Tensor, nn

RAMP = 0.05


def ema_decay(nimg: int, batch: int, half_life_nimg: float, ramp: float | None = RAMP) -> float:
    """Decay of one step.

    Args:
        nimg: Images seen before this step.
        batch: Images in this step.
        half_life_nimg: Half-life in images.
        ramp: The half-life is at most this share of the images seen; None for no ramp.

    Returns:
        The factor of the old average, 0.5 ** (batch / half-life); 0 at the start of a ramp.
    """
    half_life = half_life_nimg if ramp is None else min(half_life_nimg, nimg * ramp)
    return 0.5 ** (batch / half_life) if half_life > 0 else 0.0


@torch.no_grad()
def update_ema(average: nn.Module, network: nn.Module, decay: float) -> None:
    """average = decay * average + (1 - decay) * network for parameters; buffers are copied."""
    old: list[Tensor] = list(average.parameters())
    new: list[Tensor] = list(network.parameters())
    if decay:
        torch._foreach_lerp_(old, new, 1 - decay)
    else:  # not a lerp of weight 1: the average may still hold anything
        torch._foreach_copy_(old, new)
    for target, source in zip(average.buffers(), network.buffers(), strict=True):
        target.copy_(source)
