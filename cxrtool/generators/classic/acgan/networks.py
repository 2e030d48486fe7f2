"""Growing generator and discriminator.

In: latents, labels and a stage of growth; images of that stage. Out: images; a score and label
logits. Karras et al. 2018: nearest-neighbour doubling and 3x3 convolutions, pixel normalization in
the generator, means of blocks in the discriminator, equalized learning rates, minibatch standard
deviation. Han et al. 2020 (Science Advances 6(49) eabb7973) and study B: labels beside z, 1 + L
outputs.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cxrtool.generators.classic.acgan.growth import Stage
from cxrtool.generators.classic.game_choices import PlainSizes
from cxrtool.generators.classic.layers import lrelu, twice
from cxrtool.generators.stylegan2.ops import (
    append_channel,
    minibatch_stddev,
    normalize_second_moment,
)

FIRST_SIZE = 4
GROUP = 4  # samples in a group of the minibatch standard deviation


@dataclass(frozen=True)
class Sizes(PlainSizes):
    """Sizes of both networks.

    Attributes:
        channel_base: Feature channels at resolution r are `channel_base / r`, at most
            `channel_max`.
        channel_max: See `channel_base`.
    """

    channel_base: int = 8192
    channel_max: int = 512

    @property
    def last(self) -> int:
        """Level of the whole image."""
        return (self.size // FIRST_SIZE).bit_length() - 1

    def width(self, level: int) -> int:
        """Feature channels at a level."""
        return max(4, min(self.channel_base // (FIRST_SIZE << level), self.channel_max))


class Equal(nn.Module):
    """A convolution or dense layer with weights N(0, 1), scaled to unit gain when it is used.

    Args:
        shape: Of the weight: `[O, I]` or `[O, I, k, k]`.
        rng: Draws it.
        gain: Square root of two before a rectifier, one before an output.
    """

    def __init__(self, *shape: int, rng: torch.Generator, gain: float = 2**0.5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(shape, generator=rng))
        self.bias = nn.Parameter(torch.zeros(shape[0]))
        self.scale = gain / self.weight[0].numel() ** 0.5

    def forward(self, x: Tensor) -> Tensor:
        """`[N, I] -> [N, O]`, or `[N, I, H, W] -> [N, O, H, W]`."""
        weight = self.weight * self.scale
        if weight.ndim == 2:
            return F.linear(x, weight, self.bias)
        return F.conv2d(x, weight, self.bias, padding=weight.shape[-1] // 2)


class Generator(nn.Module):
    """z and labels to images.

    Args:
        arch: Sizes.
        rng: Draws the initial weights (a CPU generator).
    """

    def __init__(self, arch: Sizes, rng: torch.Generator) -> None:
        super().__init__()
        self.arch = arch
        widths = [arch.width(k) for k in range(arch.last + 1)]
        first = widths[0]
        self.dense = Equal(
            first * FIRST_SIZE**2, arch.z_dim + arch.labels, rng=rng, gain=2**0.5 / 4
        )
        before = [first, *widths[:-1]]
        self.blocks = nn.ModuleList(
            nn.ModuleList(
                ([] if k == 0 else [Equal(b, a, 3, 3, rng=rng)]) + [Equal(b, b, 3, 3, rng=rng)]
            )
            for k, (a, b) in enumerate(zip(before, widths, strict=True))
        )
        self.to_image = nn.ModuleList(
            Equal(arch.channels, width, 1, 1, rng=rng, gain=1.0) for width in widths
        )

    def forward(self, z: Tensor, y: Tensor, stage: Stage | None = None) -> Tensor:
        """Images of a stage.

        Args:
            z: `[N, z_dim]`.
            y: `[N, L]`.
            stage: None for the whole image.

        Returns:
            `[N, C, r, r]` with r = 4 x 2^level, not clamped.
        """
        level, alpha = stage or Stage(self.arch.last, 1.0)
        # Few ones beside many normal numbers would take a long time to be heard: both halves weigh
        # alike (ours; the studies train a hundred times longer).
        y = y * (self.arch.z_dim / max(1, self.arch.labels)) ** 0.5
        x = self.dense(torch.cat([normalize_second_moment(z), y], dim=1))
        x = normalize_second_moment(lrelu(x.unflatten(1, (-1, FIRST_SIZE, FIRST_SIZE))))
        before = x
        for k in range(level + 1):
            before = x
            block: Any = self.blocks[k]
            x = twice(x) if k else x
            for layer in block:
                x = normalize_second_moment(lrelu(layer(x)))
        image: Tensor = self.to_image[level](x)
        if alpha < 1:
            image = twice(self.to_image[level - 1](before)).lerp(image, alpha)
        return image


class Discriminator(nn.Module):
    """Images of a stage to a score and label logits.

    Args:
        arch: Sizes.
        rng: Draws the initial weights.
    """

    std_reference: Tensor

    def __init__(self, arch: Sizes, rng: torch.Generator) -> None:
        super().__init__()
        self.arch = arch
        widths = [arch.width(k) for k in range(arch.last + 1)]
        self.from_image = nn.ModuleList(
            Equal(width, arch.channels, 1, 1, rng=rng) for width in widths
        )
        self.blocks = nn.ModuleList(
            nn.ModuleList([Equal(b, b, 3, 3, rng=rng), Equal(a, b, 3, 3, rng=rng)])
            for a, b in pairwise(widths)
        )
        last = widths[0]
        self.conv = Equal(last, last + 1, 3, 3, rng=rng)
        self.dense = Equal(last, last * FIRST_SIZE**2, rng=rng)
        self.out = Equal(1 + arch.labels, last, rng=rng, gain=1.0)
        self.register_buffer("std_reference", torch.zeros(()))

    def trunk(self, x: Tensor, stage: Stage) -> Tensor:
        """Images to `[N, C, 4, 4]`; each sample's depend on that sample alone."""
        level, alpha = stage
        small = F.avg_pool2d(x, 2) if alpha < 1 else x
        x = lrelu(self.from_image[level](x))
        for k in reversed(range(level)):
            block: Any = self.blocks[k]
            for layer in block:
                x = lrelu(layer(x))
            x = F.avg_pool2d(x, 2)
            if alpha < 1 and k == level - 1:
                x = lrelu(self.from_image[k](small)).lerp(x, alpha)
        return x

    def forward(
        self, x: Tensor, stage: Stage | None = None, group: int = GROUP
    ) -> tuple[Tensor, Tensor]:
        """Judge a batch.

        Args:
            x: `[N, C, r, r]`.
            stage: None for the whole image.
            group: Of the minibatch standard deviation; 0 puts the stored reference value in its
                place, so that no score depends on the other samples.

        Returns:
            (`[N]` scores, `[N, L]` label logits).
        """
        features = self.trunk(x, stage or Stage(self.arch.last, 1.0))
        if group:
            z = minibatch_stddev(features, group)
        else:
            z = append_channel(features, self.std_reference.expand(len(x)))
        outputs = self.out(lrelu(self.dense(lrelu(self.conv(z)).flatten(1))))
        return outputs[:, 0], outputs[:, 1:]

    @torch.no_grad()
    def set_reference(self, x: Tensor) -> None:
        """Store the minibatch statistic of whole images `[N, C, size, size]`, N a multiple of 4."""
        features = self.trunk(x, Stage(self.arch.last, 1.0))
        self.std_reference.copy_(minibatch_stddev(features, GROUP)[:, -1, 0, 0].mean())
