"""Layers of the older architectures, with weights drawn from a given generator.

In: sizes and an `rng`. Out: plain `torch.nn` layers, whose initial weights never come from the
global random stream, and functions that have no class in torch with that property.
"""

from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import skip_init

from cxrtool.training.rng import Draws

DCGAN_STD = 0.02  # Radford et al. 2016: all weights N(0, 0.02)
SLOPE = 0.2
Rng = torch.Generator
Std = float | None
Layer = TypeVar("Layer", nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


def conv(
    inputs: int, outputs: int, kernel: int, *, rng: Rng, std: Std = None, **how: Any
) -> nn.Conv2d:
    """A convolution; padding keeps the size by default. `how`: see `nn.Conv2d`."""
    how = {"padding": kernel // 2, **how}
    layer: nn.Conv2d = skip_init(nn.Conv2d, inputs, outputs, kernel, **how)
    return drawn(layer, inputs * kernel * kernel, rng, std)


def up_conv(
    inputs: int, outputs: int, kernel: int, *, rng: Rng, std: Std = None, **how: Any
) -> nn.ConvTranspose2d:
    """A transposed convolution; it doubles the size by default. `how`: see `nn.ConvTranspose2d`."""
    how = {"stride": 2, **how}
    layer: nn.ConvTranspose2d = skip_init(nn.ConvTranspose2d, inputs, outputs, kernel, **how)
    return drawn(layer, inputs * kernel * kernel / how["stride"] ** 2, rng, std)


def linear(inputs: int, outputs: int, *, rng: Rng, std: Std = None) -> nn.Linear:
    """A fully connected layer."""
    layer: nn.Linear = skip_init(nn.Linear, inputs, outputs)
    return drawn(layer, inputs, rng, std)


@torch.no_grad()
def drawn(layer: Layer, fan_in: float, rng: Rng, std: Std) -> Layer:
    """Draw the weights with deviation `std`, None for He's; biases are zero."""
    weight: Any = layer.weight
    weight.normal_(0.0, (2 / fan_in) ** 0.5 if std is None else std, generator=rng)
    if layer.bias is not None:
        layer.bias.zero_()
    return layer


def lrelu(x: Tensor) -> Tensor:
    """Leaky ReLU of slope 0.2."""
    return F.leaky_relu(x, SLOPE)


def twice(x: Tensor) -> Tensor:
    """Nearest neighbours: `[N, C, H, W] -> [N, C, 2H, 2W]`."""
    return F.interpolate(x, scale_factor=2, mode="nearest")


def dropout(x: Tensor, p: float, draws: Draws | None) -> Tensor:
    """Zero each value with probability p and scale the others by 1 / (1 - p).

    Args:
        x: `[N, ...]`.
        p: Probability.
        draws: For the N samples, on the device of x; None leaves x as it is.
    """
    if draws is None:
        return x
    return x * (draws.uniform(*x.shape[1:]) >= p) / (1 - p)


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Move an averaged copy towards a network, running statistics of normalization included.

    (`training.ema.update_ema` copies buffers: right for constants. The statistics of the newest
    weights do not belong to averaged ones, and their average nearly does.)
    """
    for old, new in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if old.is_floating_point():
            old.lerp_(new, 1 - decay)
        else:
            old.copy_(new)
