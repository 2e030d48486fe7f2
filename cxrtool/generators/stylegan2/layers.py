"""Layers with equalized learning rate (Karras et al. 2018, arXiv 1710.10196, section 4.1).

In: activations. Out: activations. A weight is stored as N(0, 1) / m and multiplied at run time by
m / sqrt(fan in), so that Adam moves every layer at the same relative speed, times m.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cxrtool.generators.stylegan2 import ops
from cxrtool.training.rng import Draws


class EqualLinear(nn.Module):
    """Fully connected layer.

    Args:
        inputs: Features in.
        outputs: Features out.
        rng: Draws the initial weights.
        lr_multiplier: m; 0.01 in the mapping network.
        activate: Whether leaky ReLU with gain sqrt(2) follows.
        bias_init: Initial bias, or None for no bias.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        rng: torch.Generator,
        lr_multiplier: float = 1.0,
        activate: bool = False,
        bias_init: float | None = 0.0,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn((outputs, inputs), generator=rng) / lr_multiplier)
        if bias_init is None:
            self.bias = None
        else:
            self.bias = nn.Parameter(torch.full((outputs,), bias_init / lr_multiplier))
        self.activate = activate
        self.bias_gain = lr_multiplier
        self.weight_gain = lr_multiplier / inputs**0.5

    def forward(self, x: Tensor) -> Tensor:
        """`[N, inputs] -> [N, outputs]`."""
        gain = ops.LRELU_GAIN if self.activate else 1.0
        bias = None if self.bias is None else self.bias * (self.bias_gain * gain)
        x = F.linear(x, self.weight * (self.weight_gain * gain), bias)
        return ops.lrelu(x) if self.activate else x


class EqualConv(nn.Module):
    """Convolution of the discriminator, optionally to half the size, optionally activated.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        size: Kernel size, odd.
        rng: Draws the initial weights.
        down: Filter and halve the size.
        activate: Whether leaky ReLU with gain sqrt(2) follows, and a bias goes before it.
        gain: Factor on the output.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        size: int,
        *,
        rng: torch.Generator,
        down: bool = False,
        activate: bool = True,
        gain: float = 1.0,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn((outputs, inputs, size, size), generator=rng))
        self.bias = nn.Parameter(torch.zeros(outputs)) if activate else None
        self.activate = activate
        self.down = down
        self.gain = gain * (ops.LRELU_GAIN if activate else 1.0)
        self.weight_gain = 1 / (inputs * size * size) ** 0.5
        self.fir = nn.Buffer(ops.fir_kernel(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """`[N, inputs, H, W] -> [N, outputs, H, W]`, halved if `down`."""
        weight = (self.weight * (self.weight_gain * self.gain)).to(x.dtype)
        bias = None if self.bias is None else (self.bias * self.gain).to(x.dtype)
        size = weight.shape[-1]
        if self.down and size == 1:
            # A 1x1 kernel and the filter commute: filter and drop samples first.
            x = F.conv2d(ops.downsample(x, self.fir), weight, bias)
        elif self.down:
            x = ops.down_conv(x, weight, self.fir, bias)
        elif size == 1:
            x = ops.pointwise(x, weight, bias)
        else:
            x = F.conv2d(x, weight, bias, padding=size // 2)
        return ops.lrelu(x) if self.activate else x


class StyledConv(nn.Module):
    """Modulated 3x3 convolution with demodulation, noise, bias and activation (StyleGAN2, figure
    2d).

    Args:
        inputs: Channels in.
        outputs: Channels out.
        w_dim: Length of w.
        resolution: Output height and width, pixels.
        rng: Draws initial weights and the constant noise image.
        up: Double the size.
        noise: Have a noise image.
    """

    noise_strength: nn.Parameter | None

    def __init__(
        self,
        inputs: int,
        outputs: int,
        w_dim: int,
        resolution: int,
        *,
        rng: torch.Generator,
        up: bool = False,
        noise: bool = True,
    ) -> None:
        super().__init__()
        self.affine = EqualLinear(w_dim, inputs, rng=rng, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn((outputs, inputs, 3, 3), generator=rng))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.resolution = resolution
        self.up = up
        self.weight_gain = 1 / (inputs * 9) ** 0.5
        self.noise_strength = None
        if noise:
            self.noise_strength = nn.Parameter(torch.zeros(()))
            self.noise_const = nn.Buffer(torch.randn((1, 1, resolution, resolution), generator=rng))
        self.fir = nn.Buffer(ops.fir_kernel(), persistent=False)

    def forward(self, x: Tensor, styles: Tensor, noise: str | Tensor) -> Tensor:
        """One layer, in the precision of x; modulation factors are computed in that of `styles`.

        Args:
            x: `[N, inputs, H, W]`.
            styles: `[N, inputs]`, from `self.affine(w)`.
            noise: "const", "none", or a noise image per sample, from `draw_noise`.

        Returns:
            `[N, outputs, resolution, resolution]`.
        """
        weight = self.weight * self.weight_gain
        y = ops.modulated_conv(x, weight, styles, self.fir if self.up else None)
        # The activation's gain goes into the factors, the noise and the bias (see ops.lrelu).
        scale = ops.demodulation(weight, styles) * ops.LRELU_GAIN
        bias = (self.bias * ops.LRELU_GAIN)[None, :, None, None]
        y = torch.addcmul(bias.to(y.dtype), y, scale.to(y.dtype)[:, :, None, None])
        image = self._noise(noise, y)
        if image is not None:
            y = y.add_(image)
        return ops.lrelu(y)

    def draw_noise(self, draws: Draws) -> Tensor:
        """A noise image per sample: `[N, 1, resolution, resolution]`."""
        return draws.normal(1, self.resolution, self.resolution)

    def _noise(self, noise: str | Tensor, like: Tensor) -> Tensor | None:
        if self.noise_strength is None:
            return None
        if isinstance(noise, Tensor):
            image = noise
        elif noise == "none":
            return None
        elif noise == "const":
            image = self.noise_const
        else:
            raise ValueError(f"noise must be 'const', 'none' or images, not {noise!r}")
        return (image * (self.noise_strength * ops.LRELU_GAIN)).to(like.dtype)


class ToImage(nn.Module):
    """Modulated 1x1 convolution to image channels, without demodulation ("ToRGB" in the papers).

    Args:
        inputs: Channels in.
        outputs: Image channels.
        w_dim: Length of w.
        rng: Draws initial weights.
    """

    def __init__(self, inputs: int, outputs: int, w_dim: int, *, rng: torch.Generator) -> None:
        super().__init__()
        self.affine = EqualLinear(w_dim, inputs, rng=rng, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn((outputs, inputs), generator=rng))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.weight_gain = 1 / inputs**0.5

    def forward(self, x: Tensor, styles: Tensor) -> Tensor:
        """`[N, inputs, H, W]` and styles `[N, inputs]` -> `[N, outputs, H, W]` float32."""
        n, c, h, w = x.shape
        # A small matrix per sample; with few outputs this is cheaper than scaling the feature map.
        weight = styles[:, :, None] * (self.weight * self.weight_gain).t()
        pixels = ops.full_precision(x).permute(0, 2, 3, 1).reshape(n, h * w, c)
        y = torch.baddbmm(self.bias[None, None, :], pixels, weight)
        return y.transpose(1, 2).reshape(n, -1, h, w)
