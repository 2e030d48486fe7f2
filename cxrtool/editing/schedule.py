"""Adam with the learning rate of latent optimization, a pure function of the step.

Ramp up over the first 5 %, cosine down over the last 25 % (StyleGAN2's projector, Karras et al.
2020, appendix D; StyleCLIP, Patashnik et al. 2021, section 4, uses the same).
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

RAMP_UP = 0.05
RAMP_DOWN = 0.25


def ramp(step: int, total: int, up: float = RAMP_UP, down: float = RAMP_DOWN) -> float:
    """Share of the peak learning rate in a step.

    Args:
        step: From 0 to total - 1; its middle is what counts, so that no step is lost at either end.
        total: Steps in all.
        up: Share of the steps that rise, linearly.
        down: Share of the steps that fall, as half a cosine.
    """
    t = (step + 0.5) / total
    fall = 0.5 - 0.5 * math.cos(math.pi * min(1.0, (1.0 - t) / down))
    return fall * min(1.0, t / up)


def descend(
    numbers: Sequence[Tensor],
    loss: Callable[[int], Tensor],
    *,
    steps: int,
    lr: float,
    on_step: Callable[[int, Tensor], None],
) -> None:
    """Minimize a loss in place.

    Args:
        numbers: What changes.
        loss: Step -> a single number, with its graph.
        steps: Adam steps.
        lr: Peak learning rate.
        on_step: Called with the step and its loss; may raise to stop.
    """
    optimizer = torch.optim.Adam(numbers, lr=lr)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = lr * ramp(step, steps)
        value = loss(step)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(value)
        optimizer.step()
        on_step(step, value.detach())
