"""Edits of images, real or made, by a flow: one label changes, and little else.

In: a network, images with their labels, and a label that is to be there or not. Out: the images
after it. Nothing is inverted and nothing optimized (FlowEdit, Kulikov et al. 2025, arXiv
2412.08629): noise is laid over an image and, the same, over its edit, and from time to time the
edit is carried by the difference of the two velocities,

    x_t = (1 - t) x + t e,    z_t = z + x_t - x,
    dz = [v(z_t, y) + s (v(z_t, y') - v(z_t, y)) - v(x_t, y)] dt,

y the labels as they are, y' as they shall be, s the strength: guidance (Ho & Salimans 2022, arXiv
2207.12598) between the two, and not from no label, so that both signs are alike. With s = 0 nothing
moves. What moves is kept to where the label acts (DiffEdit, Couairon et al. 2023, arXiv
2210.11427): where in this image the two velocities differ. A side is the half of the picture where
the patient has it.
"""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional

from cxrtool.generators.flow.sampling import Velocity
from cxrtool.training.protocols import LabelChange, Noise

STEPS = 8
START = 0.8  # time from which an edit is carried: from 1 on it would be another patient
_LOOKS = ((0.3, 2), (0.5, 2), (0.7, 2))  # times at which a label is asked where it acts; how often
_ACTS = (
    0.5  # of the greatest difference, from which a place changes wholly; nothing below half of it
)
_BLUR = 3  # pixels, of the differences and of the mask
_MIDLINE = 0.06  # of the picture's width, over which a side ends


@torch.no_grad()
def edited(
    network: Velocity, x: Tensor, change: LabelChange, noise: Noise, on_step: Callable[[], None]
) -> Tensor:
    """Images after an edit.

    Args:
        network: Velocities `[N, C, H, W]` of images on their way, times, labels and a mask.
        x: `[N, C, H, W]` in [-1, 1].
        change: What changes.
        noise: Number of a draw -> `[N, C, H, W]` standard normal, the same whenever it is asked.
        on_step: Called before every call of the network; may raise to stop.

    Returns:
        `[N, C, H, W]` in [-1, 1].
    """
    place = where_it_acts(network, x, change, noise, on_step)
    first = sum(count for _, count in _LOOKS)
    times = [START * (1 - k / STEPS) for k in range(STEPS + 1)]
    known = torch.cat([change.known] * 3)
    y = torch.cat([change.after, change.before, change.before])
    z = x
    for k, (start, end) in enumerate(pairwise(times)):
        on_step()
        here = torch.lerp(x, noise(first + k), start)
        there = z + here - x
        t = x.new_full((3 * len(x),), start)
        wanted, own, old = network(torch.cat([there, there, here]), t, y, known).chunk(3)
        z = z + (end - start) * place * (torch.lerp(own, wanted, change.strength) - old)
    return z.clamp(-1.0, 1.0)


def where_it_acts(
    network: Velocity, x: Tensor, change: LabelChange, noise: Noise, on_step: Callable[[], None]
) -> Tensor:
    """Where a change of labels changes the velocity, of each image: `[N, 1, H, W]` in [0, 1].

    Args: as of `edited`.
    """
    total, draw = torch.zeros_like(x[:, :1]), 0
    y = torch.cat([change.after, change.before])
    known = torch.cat([change.known] * 2)
    for time, count in _LOOKS:
        t = x.new_full((2 * len(x),), time)
        for _ in range(count):
            on_step()
            here = torch.lerp(x, noise(draw), time)
            after, before = network(torch.cat([here, here]), t, y, known).chunk(2)
            total = total + (after - before).abs().mean(dim=1, keepdim=True)
            draw += 1
    half = side_of(change.side, x.shape[-1]).to(x)
    total = _blurred(total * half)
    share = total / total.amax(dim=(2, 3), keepdim=True).clamp_min(1e-12)
    return _blurred((2 * share / _ACTS - 1).clamp(0, 1)).clamp(0, 1) * half


def side_of(side: str | None, width: int) -> Tensor:
    """The half of a frontal picture where the patient has a side: `[width]` in [0, 1].

    The patient's left is on the right of the picture.
    """
    if side is None:
        return torch.ones(width)
    across = (torch.arange(width) + 0.5) / width
    left = ((across - 0.5) / _MIDLINE + 0.5).clamp(0, 1)
    return left if side == "left" else 1 - left


def _blurred(values: Tensor) -> Tensor:
    padded = functional.pad(values, [_BLUR // 2] * 4, mode="replicate")
    return functional.avg_pool2d(padded, _BLUR, stride=1)
