"""Generator and discriminator of OpenGAN.

In: latents and features; images. Out: images; scores. Residual blocks that double the size by
nearest neighbours, whose normalization over the batch is scaled and shifted by linear functions of
the feature; a residual discriminator with spectral normalization (Miyato et al. 2018, arXiv
1802.05957). The score is projected on the feature too (Miyato and Koyama 2018, arXiv 1802.05637):
ours, since the feature loss alone, at its weight of 0.01, conditions little in a short training.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cxrtool.generators.classic.layers import conv, linear, twice
from cxrtool.generators.classic.opengan.metric import FEATURES, FIRST_SIZE, Sizes
from cxrtool.generators.stylegan2.ops import normalize_second_moment


class FeatureNorm(nn.Module):
    """Normalization over the batch, scaled and shifted by the feature.

    Args:
        channels: Of its input.
        rng: Draws the initial weights.
    """

    def __init__(self, channels: int, rng: torch.Generator) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.scale = linear(FEATURES, channels, rng=rng, std=0.02)
        self.shift = linear(FEATURES, channels, rng=rng, std=0.02)

    def forward(self, x: Tensor, feature: Tensor) -> Tensor:
        """`[N, C, H, W]` and `[N, 512]` -> `[N, C, H, W]`."""
        scale, shift = 1 + self.scale(feature), self.shift(feature)
        y: Tensor = self.norm(x) * scale[:, :, None, None] + shift[:, :, None, None]
        return y


class UpBlock(nn.Module):
    """Twice the size, beside a 1x1 skip connection."""

    def __init__(self, inputs: int, outputs: int, rng: torch.Generator) -> None:
        super().__init__()
        self.norm0, self.norm1 = FeatureNorm(inputs, rng), FeatureNorm(outputs, rng)
        self.conv0 = conv(inputs, outputs, 3, rng=rng, bias=False)
        self.conv1 = conv(outputs, outputs, 3, rng=rng)
        self.skip = conv(inputs, outputs, 1, rng=rng, std=inputs**-0.5)

    def forward(self, x: Tensor, feature: Tensor) -> Tensor:
        """`[N, C, H, W] -> [N, C', 2H, 2W]`."""
        y = twice(self.norm0(x, feature).relu())
        y = self.conv1(self.norm1(self.conv0(y), feature).relu())
        total: Tensor = twice(self.skip(x)) + y
        return total


class Generator(nn.Module):
    """Noise and a feature to images.

    Args:
        arch: Sizes.
        rng: Draws the initial weights (a CPU generator).
    """

    def __init__(self, arch: Sizes, rng: torch.Generator) -> None:
        super().__init__()
        self.arch = arch
        widths = arch.widths
        self.dense = linear(arch.z_dim - 1, widths[0] * FIRST_SIZE**2, rng=rng)
        self.blocks = nn.ModuleList(UpBlock(a, b, rng) for a, b in pairwise(widths))
        self.norm = nn.BatchNorm2d(widths[-1])
        self.out = conv(widths[-1], arch.channels, 3, rng=rng, std=(widths[-1] * 9) ** -0.5)

    def forward(self, noise: Tensor, feature: Tensor) -> Tensor:
        """`[N, z_dim - 1]` and `[N, 512]` -> `[N, C, size, size]` in (-1, 1)."""
        feature = normalize_second_moment(feature)
        x = self.dense(noise).unflatten(1, (-1, FIRST_SIZE, FIRST_SIZE))
        for block in self.blocks:
            x = block(x, feature)
        return torch.tanh(self.out(self.norm(x).relu()))


class Spectral(nn.Module):
    """A layer whose weight, as a matrix `[O, rest]`, is divided by its largest singular value.

    The value comes from one step of power iteration at every training pass.

    Args:
        layer: Convolution or dense layer.
        rng: Draws the first vector.
    """

    def __init__(self, layer: nn.Conv2d | nn.Linear, rng: torch.Generator) -> None:
        super().__init__()
        self.layer = layer
        self.u = nn.Buffer(F.normalize(torch.randn(len(layer.weight), generator=rng), dim=0))

    def weight(self) -> Tensor:
        """The weight in use."""
        matrix = self.layer.weight.flatten(1)
        with torch.no_grad():
            v = F.normalize(matrix.T @ self.u, dim=0)
            u = F.normalize(matrix @ v, dim=0)
            if self.training:
                self.u.copy_(u)
        return self.layer.weight / torch.dot(u, matrix @ v)

    def forward(self, x: Tensor) -> Tensor:
        """As the layer."""
        weight, layer = self.weight(), self.layer
        if isinstance(layer, nn.Linear):
            return F.linear(x, weight, layer.bias)
        return F.conv2d(x, weight, layer.bias, padding=layer.padding)


class DownBlock(nn.Module):
    """Half the size, beside a 1x1 skip connection."""

    def __init__(self, inputs: int, outputs: int, first: bool, rng: torch.Generator) -> None:
        super().__init__()
        self.first = first  # the image itself is not rectified
        self.conv0 = Spectral(conv(inputs, outputs, 3, rng=rng), rng)
        self.conv1 = Spectral(conv(outputs, outputs, 3, rng=rng), rng)
        self.skip = Spectral(conv(inputs, outputs, 1, rng=rng), rng)

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, H, W] -> [N, C', H/2, W/2]`."""
        y = self.conv1(self.conv0(x if self.first else x.relu()).relu())
        return F.avg_pool2d(y + self.skip(x), 2)


class Discriminator(nn.Module):
    """Images and features to scores.

    Args:
        arch: Sizes.
        rng: Draws the initial weights.
    """

    def __init__(self, arch: Sizes, rng: torch.Generator) -> None:
        super().__init__()
        self.arch = arch
        widths = [arch.channels, *list(reversed(arch.widths))[1:]]
        self.blocks = nn.ModuleList(
            DownBlock(a, b, k == 0, rng) for k, (a, b) in enumerate(pairwise(widths))
        )
        last = widths[-1]
        self.out = Spectral(linear(last, 1, rng=rng), rng)
        self.project = Spectral(linear(FEATURES, last, rng=rng), rng)

    def forward(self, x: Tensor, feature: Tensor) -> Tensor:
        """`[N, C, size, size]` and `[N, 512]` -> `[N]`."""
        for block in self.blocks:
            x = block(x)
        x = x.relu().sum(dim=(2, 3))
        own = self.project(normalize_second_moment(feature))
        score: Tensor = self.out(x)[:, 0] + (own * x).sum(dim=1)
        return score
