"""Resampling and convolution operators of StyleGAN2, in pure PyTorch.

In: feature maps `[N, C, H, W]`. Out: feature maps. No compiled extension and no grouped convolution
with per-sample weights: each operator is the exact linear map of the papers, written with operators
that every device has (Karras et al. 2019, arXiv 1812.04948; 2020, arXiv 1912.04958).

The resampling filter is the separable [1, 3, 3, 1] of both papers. Zero-insertion followed by a
filter is a strided transposed convolution, and a filter followed by dropping samples is a strided
convolution, so neither the zeros nor the dropped samples are ever computed.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

LRELU_SLOPE = 0.2
LRELU_GAIN = 2**0.5


def fir_kernel() -> Tensor:
    """The outer product of [1, 3, 3, 1] with itself, summing to 1: `[1, 1, 4, 4]` float32."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    return (torch.outer(taps, taps) / 64)[None, None]


def _depthwise(kernel: Tensor, x: Tensor) -> Tensor:
    return kernel.to(x.dtype).expand(x.shape[1], 1, 4, 4)


def upsample(x: Tensor, kernel: Tensor) -> Tensor:
    """Zero-insertion, then the filter with gain 4. `[N, C, H, W] -> [N, C, 2H, 2W]`."""
    return F.conv_transpose2d(x, _depthwise(kernel * 4, x), stride=2, padding=1, groups=x.shape[1])


def downsample(x: Tensor, kernel: Tensor) -> Tensor:
    """The filter, then every second sample. `[N, C, H, W] -> [N, C, H/2, W/2]`."""
    if x.dtype == torch.bfloat16 and x.device.type == "cpu":
        # Its gradient has no fast bfloat16 form on processors: 20 to 300 times the float32 one.
        return downsample(x.float(), kernel).to(x.dtype)
    return F.conv2d(x, _depthwise(kernel, x), stride=2, padding=1, groups=x.shape[1])


def up_conv(x: Tensor, weight: Tensor, kernel: Tensor) -> Tensor:
    """Zero-insertion, correlation with `weight`, then the filter with gain 4.

    Args:
        x: `[N, I, H, W]`.
        weight: `[O, I, 3, 3]`.
        kernel: From `fir_kernel`.

    Returns:
        `[N, O, 2H, 2W]`.
    """
    # A transposed convolution convolves where the definition correlates, hence the flip.
    y = F.conv_transpose2d(x, weight.transpose(0, 1).flip(2, 3), stride=2)
    return F.conv2d(y, _depthwise(kernel * 4, y), padding=1, groups=y.shape[1])


def down_conv(x: Tensor, weight: Tensor, kernel: Tensor, bias: Tensor | None = None) -> Tensor:
    """The filter, then correlation with `weight` at every second position.

    Args:
        x: `[N, I, H, W]`, H and W even.
        weight: `[O, I, 3, 3]`.
        kernel: From `fir_kernel`.
        bias: `[O]`.

    Returns:
        `[N, O, H/2, W/2]`.
    """
    y = F.conv2d(x, _depthwise(kernel, x), padding=2, groups=x.shape[1])
    return F.conv2d(y, weight, bias, stride=2)


def pointwise(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A 1x1 convolution whose output is channels_last, whatever the input was.

    An image of one channel is both contiguous and channels_last, a convolution takes it for the
    former, and everything behind it would be computed in the slower of the two layouts.

    Args:
        x: `[N, I, H, W]`.
        weight: `[O, I, 1, 1]`.
        bias: `[O]`.
    """
    return F.linear(x.permute(0, 2, 3, 1), weight[:, :, 0, 0], bias).permute(0, 3, 1, 2)


def demodulation(weight: Tensor, styles: Tensor) -> Tensor:
    """Factors that give every output channel of a modulated convolution unit expected variance.

    Karras et al. 2020, equation 3: 1 / sqrt(sum over i and taps of (s_i w_oi)^2 + 1e-8), which
    needs no per-sample weights: `(s^2) @ (sum of w^2 over taps)^T`.

    Args:
        weight: `[O, I, k, k]`.
        styles: `[N, I]`.

    Returns:
        `[N, O]`.
    """
    return torch.rsqrt(styles.square() @ weight.square().sum(dim=(2, 3)).t() + 1e-8)


def modulated_conv(
    x: Tensor, weight: Tensor, styles: Tensor, kernel: Tensor | None = None
) -> Tensor:
    """Convolution with weights modulated by `styles`, not yet demodulated.

    Scaling the input by the styles equals scaling the weights; the factors of `demodulation` scale
    the output and are left to the caller, who applies them in the same pass as the bias.

    Args:
        x: `[N, I, H, W]`.
        weight: `[O, I, k, k]`, k odd.
        styles: `[N, I]`.
        kernel: From `fir_kernel` to double the size, None to keep it.

    Returns:
        `[N, O, H, W]`, or `[N, O, 2H, 2W]`.
    """
    x = x * styles.to(x.dtype)[:, :, None, None]
    weight = weight.to(x.dtype)
    if kernel is not None:
        return up_conv(x, weight, kernel)
    return F.conv2d(x, weight, padding=weight.shape[-1] // 2)


def lrelu(x: Tensor) -> Tensor:
    """Leaky ReLU of slope 0.2, in place and without its gain of sqrt(2).

    Callers fold the gain into weights and biases before the activation, which is the same because
    the function is positively homogeneous, and saves a pass over the feature map.
    """
    return F.leaky_relu(x, LRELU_SLOPE, inplace=True)


def full_precision(x: Tensor) -> Tensor:
    """bfloat16 and float16 to float32; wider types as they are."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def normalize_second_moment(x: Tensor) -> Tensor:
    """Scale the features of each row of `[N, D]`, or pixel of `[N, D, H, W]`, to mean square 1."""
    return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-8)


def minibatch_stddev(x: Tensor, group: int) -> Tensor:
    """One more channel: the standard deviation across a group of samples, averaged.

    Karras et al. 2018 (arXiv 1710.10196), section 3, with the groups of the StyleGAN papers. Groups
    are consecutive samples, so that reals and fakes in one batch never share one.

    Args:
        x: `[N, C, H, W]`.
        group: Samples a group; must divide N.

    Returns:
        `[N, C + 1, H, W]`.

    Raises:
        ValueError: `group` does not divide N.
    """
    n, c, h, w = x.shape
    if n % group:
        raise ValueError(f"a batch of {n} cannot be cut into groups of {group}")
    y = full_precision(x).reshape(n // group, group, c, h, w)
    y = (y - y.mean(dim=1, keepdim=True)).square().mean(dim=1)
    std = (y + 1e-8).sqrt().mean(dim=(1, 2, 3))
    return append_channel(x, std[:, None].expand(-1, group).flatten())


def append_channel(x: Tensor, value: Tensor) -> Tensor:
    """`[N, C, H, W]` and one number per sample `[N]` -> `[N, C + 1, H, W]`."""
    n, _, h, w = x.shape
    return torch.cat([x, value.to(x.dtype).reshape(n, 1, 1, 1).expand(n, 1, h, w)], dim=1)
