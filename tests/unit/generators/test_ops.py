"""Operators against slow float64 definitions written with loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from cxrtool.generators.stylegan2 import ops

TAPS = np.outer([1.0, 3.0, 3.0, 1.0], [1.0, 3.0, 3.0, 1.0]) / 64


def zero_insert(x: np.ndarray) -> np.ndarray:
    """`[N, C, H, W] -> [N, C, 2H, 2W]`: sample, zero, sample, zero."""
    out = np.zeros((*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3]))
    out[:, :, ::2, ::2] = x
    return out


def correlate(x: np.ndarray, w: np.ndarray, pad: tuple[int, int]) -> np.ndarray:
    """`[N, I, H, W]` with `[O, I, k, k]`, `pad` zeros before and after each axis."""
    x = np.pad(x, ((0, 0), (0, 0), pad, pad))
    k = w.shape[2]
    high, wide = x.shape[2] - k + 1, x.shape[3] - k + 1
    out = np.zeros((len(x), len(w), high, wide))
    for i in range(high):
        for j in range(wide):
            out[:, :, i, j] = np.einsum("nchw,ochw->no", x[:, :, i : i + k, j : j + k], w)
    return out


def fir(x: np.ndarray, gain: float, pad: tuple[int, int]) -> np.ndarray:
    """The [1, 3, 3, 1] filter on every channel."""
    channels = x.shape[1]
    w = np.zeros((channels, channels, 4, 4))
    w[np.arange(channels), np.arange(channels)] = TAPS * gain
    return correlate(x, w, pad)


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(2, 3, 6, 8, dtype=torch.float64, generator=torch.manual_seed(0))


@pytest.fixture
def w() -> torch.Tensor:
    return torch.randn(5, 3, 3, 3, dtype=torch.float64, generator=torch.manual_seed(1))


@pytest.fixture
def kernel() -> torch.Tensor:
    return ops.fir_kernel().double()


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_upsample(
    x: torch.Tensor, kernel: torch.Tensor, memory: torch.memory_format, dtype: torch.dtype
) -> None:
    found = ops.upsample(x.to(dtype).contiguous(memory_format=memory), kernel.to(dtype))
    wanted = fir(zero_insert(x.numpy()), 4, (2, 1))
    assert found.shape == (2, 3, 12, 16)
    tolerance = 1e-12 if dtype == torch.float64 else 3e-6
    np.testing.assert_allclose(found.numpy(), wanted, atol=tolerance)


def test_upsample_keeps_a_constant_inside(kernel: torch.Tensor) -> None:
    found = ops.upsample(torch.ones(1, 1, 4, 4, dtype=torch.float64), kernel)
    torch.testing.assert_close(found[:, :, 1:-1, 1:-1], torch.ones(1, 1, 6, 6).double())


def test_upsample_is_bilinear_in_the_interior_only(x: torch.Tensor, kernel: torch.Tensor) -> None:
    found = ops.upsample(x, kernel)
    bilinear = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    inside = (slice(None), slice(None), slice(1, -1), slice(1, -1))
    torch.testing.assert_close(found[inside], bilinear[inside])
    assert (found - bilinear).abs().max() > 0.01


def test_downsample(x: torch.Tensor, kernel: torch.Tensor) -> None:
    found = ops.downsample(x, kernel)
    wanted = fir(x.numpy(), 1, (1, 1))[:, :, ::2, ::2]
    np.testing.assert_allclose(found.numpy(), wanted, atol=1e-12)


def test_downsample_is_the_adjoint_of_upsample(x: torch.Tensor, kernel: torch.Tensor) -> None:
    small = torch.randn(2, 3, 3, 4, dtype=torch.float64, generator=torch.manual_seed(3))
    forward = (ops.upsample(small, kernel) * x).sum()
    backward = (small * ops.downsample(x, kernel)).sum() * 4
    torch.testing.assert_close(forward, backward)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_up_conv(
    x: torch.Tensor, w: torch.Tensor, kernel: torch.Tensor, dtype: torch.dtype
) -> None:
    found = ops.up_conv(x.to(dtype), w.to(dtype), kernel.to(dtype))
    # Zero-insertion with a zero before and after, correlation, then the filter.
    spread = correlate(zero_insert(x.numpy()), w.numpy(), (2, 1))
    wanted = fir(spread, 4, (1, 1))
    assert found.shape == (2, 5, 12, 16)
    tolerance = 1e-12 if dtype == torch.float64 else 2e-5
    np.testing.assert_allclose(found.numpy(), wanted, atol=tolerance)


def test_up_conv_flips(x: torch.Tensor, w: torch.Tensor, kernel: torch.Tensor) -> None:
    flipped = ops.up_conv(x, w.flip(2, 3), kernel)
    assert (ops.up_conv(x, w, kernel) - flipped).abs().max() > 0.1


def test_down_conv(x: torch.Tensor, w: torch.Tensor, kernel: torch.Tensor) -> None:
    bias = torch.arange(5, dtype=torch.float64)
    found = ops.down_conv(x, w, kernel, bias)
    wanted = correlate(fir(x.numpy(), 1, (2, 2)), w.numpy(), (0, 0))[:, :, ::2, ::2]
    wanted += np.arange(5).reshape(1, 5, 1, 1)
    np.testing.assert_allclose(found.numpy(), wanted, atol=1e-12)


@pytest.mark.parametrize("up", [False, True])
def test_modulation_equals_the_grouped_form(
    x: torch.Tensor, w: torch.Tensor, kernel: torch.Tensor, up: bool
) -> None:
    styles = torch.randn(2, 3, dtype=torch.float64, generator=torch.manual_seed(2)) + 1
    scale = ops.demodulation(w, styles)[:, :, None, None]
    found = ops.modulated_conv(x, w, styles, kernel if up else None) * scale
    per_sample = w[None] * styles[:, None, :, None, None]
    per_sample = per_sample / (per_sample.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8).sqrt()
    for n in range(2):
        own = per_sample[n]
        one = x[n : n + 1]
        wanted = ops.up_conv(one, own, kernel) if up else F.conv2d(one, own, padding=1)
        torch.testing.assert_close(found[n : n + 1], wanted)


def test_lrelu_with_folded_gain(x: torch.Tensor) -> None:
    wanted = F.leaky_relu(x, 0.2) * 2**0.5
    torch.testing.assert_close(ops.lrelu(x * ops.LRELU_GAIN), wanted)


def test_minibatch_stddev_by_hand(x: torch.Tensor) -> None:
    batch = torch.cat([x, x + 3, x * 2, -x])  # 8 samples, 2 groups of 4
    found = ops.minibatch_stddev(batch, 4)
    for group in range(2):
        part = batch[4 * group : 4 * group + 4].numpy()
        wanted = np.sqrt(part.var(axis=0) + 1e-8).mean()
        np.testing.assert_allclose(found[4 * group : 4 * group + 4, 3].numpy(), wanted)
    torch.testing.assert_close(found[:, :3], batch)


def test_minibatch_stddev_refuses_a_short_batch(x: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"batch of 2 .* groups of 4"):
        ops.minibatch_stddev(x, 4)


def test_normalize_second_moment() -> None:
    z = torch.randn(4, 16, generator=torch.manual_seed(0)) * 5
    torch.testing.assert_close(ops.normalize_second_moment(z).square().mean(dim=1), torch.ones(4))
    assert torch.isfinite(ops.normalize_second_moment(torch.zeros(1, 16))).all()


def test_a_pointwise_convolution_of_gray_images_is_channels_last() -> None:
    x, weight, bias = torch.randn(3, 1, 6, 5), torch.randn(4, 1, 1, 1), torch.randn(4)
    y = ops.pointwise(x, weight, bias)
    assert torch.allclose(y, F.conv2d(x, weight, bias), atol=1e-6)
    assert y.is_contiguous(memory_format=torch.channels_last)
    assert not F.conv2d(x, weight, bias).is_contiguous(memory_format=torch.channels_last)


def test_downsample_in_bfloat16_is_that_of_float32() -> None:
    """On the CPU, where its gradient would take a slow way: rounded once, there and back."""
    x = torch.randn(2, 3, 8, 8, generator=torch.manual_seed(0)).bfloat16().requires_grad_(True)
    found = ops.downsample(x, ops.fir_kernel())
    assert found.dtype == torch.bfloat16
    wanted = ops.downsample(x.float(), ops.fir_kernel())
    assert torch.equal(found, wanted.bfloat16())
    (gradient,) = torch.autograd.grad(found.float().sum(), x)
    (exact,) = torch.autograd.grad(wanted.sum(), x)
    assert gradient.dtype == torch.bfloat16
    torch.testing.assert_close(gradient, exact)
