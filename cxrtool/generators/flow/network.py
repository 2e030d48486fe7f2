"""The network of the flow: the velocity that carries noise to an image, given what it shows.

In: images on the way `x_t = (1 - t) x + t e`, times, and labels with what is known of them. Out: an
estimate of `e - x`. A U-Net on patches (pixel unshuffle), with residual blocks whose features are
scaled and shifted by time and labels (Perez et al. 2018, arXiv 1709.07871), attention in the
middle, and outputs that start at zero. A label enters as two numbers, its value and whether it is
known, so that a blank cell is no claim and a label can be left out of a condition at any time.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cxrtool.generators.choices import BaseSizes

GROUPS = 8  # of group normalization
HEADS = 4  # of attention
FREQUENCIES = 32  # of the time's embedding, from 1 to 1,000


@dataclass(frozen=True)
class Sizes(BaseSizes):
    """Sizes of the network.

    Attributes:
        patch: Side of the patches that the network sees as one position, pixels.
        widths: Feature channels at each resolution, from the highest.
        blocks: Residual blocks a resolution on the way down.
        embedding: Length of the vector of time and labels.
        told: Numbers that say what was done to a training image; 0 for a network that is not told.
    """

    patch: int = 2
    widths: tuple[int, ...] = (48, 96)
    blocks: int = 1
    embedding: int = 128
    told: int = 0

    def to_json(self) -> dict[str, Any]:
        """Constructor arguments; `told` only where it is not 0."""
        return {k: v for k, v in super().to_json().items() if k != "told" or v}

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of an image: channels, height, width."""
        return self.channels, self.size, self.size


def read_sizes(**values: Any) -> Sizes:
    """Sizes from their record."""
    return Sizes(**{**values, "widths": tuple(values["widths"])})


class Network(nn.Module):
    """Velocity of the flow.

    Args:
        arch: Sizes.
        rng: Draws the initial weights (a CPU generator).
    """

    def __init__(self, arch: Sizes, rng: torch.Generator) -> None:
        super().__init__()
        self.arch = arch
        widths, width, embedding = arch.widths, arch.widths[0], arch.embedding
        pixels = arch.channels * arch.patch**2
        self.first = nn.Conv2d(pixels, width, 3, padding=1)
        self.time = nn.Sequential(
            nn.Linear(2 * FREQUENCIES, embedding), nn.SiLU(), nn.Linear(embedding, embedding)
        )
        self.label = nn.Linear(2 * arch.labels, embedding, bias=False) if arch.labels else None
        self.told = nn.Linear(arch.told, embedding, bias=False) if arch.told else None
        frequencies = torch.linspace(0, math.log(1000), FREQUENCIES).exp()
        self.frequencies = nn.Buffer(frequencies, persistent=False)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        skips = [width]
        for level, after in enumerate(widths):
            for _ in range(arch.blocks):
                self.down.append(Residual(width, after, embedding))
                width = after
                skips.append(width)
            if level < len(widths) - 1:
                self.down.append(nn.Conv2d(width, width, 3, stride=2, padding=1))
                skips.append(width)
        self.entry, self.exit = (Residual(width, width, embedding) for _ in range(2))
        self.attention = Attention(width)
        for level, after in reversed(list(enumerate(widths))):
            for _ in range(arch.blocks + 1):
                self.up.append(Residual(width + skips.pop(), after, embedding))
                width = after
            if level:
                self.up.append(nn.Conv2d(width, width, 3, padding=1))
        self.norm = nn.GroupNorm(GROUPS, width)
        self.last = nn.Conv2d(width, pixels, 3, padding=1)
        self._initialize(rng)

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        y: Tensor,
        mask: Tensor,
        low: int | None = None,
        told: Tensor | None = None,
    ) -> Tensor:
        """Velocity of images on their way.

        Args:
            x: `[N, C, size, size]`.
            t: `[N]` in [0, 1]; 1 is noise.
            y: `[N, L]` label values.
            mask: `[N, L]` which of them are known; floats or bools.
            low: Not None for bfloat16 wherever autocast thinks it safe.
            told: `[N, told]` what was done to the images; None, as zeros, for nothing.

        Returns:
            `[N, C, size, size]` float32.
        """
        with torch.autocast(x.device.type, torch.bfloat16, enabled=low is not None):
            return self._velocity(x, t, y, mask, told).float()

    def _velocity(
        self, x: Tensor, t: Tensor, y: Tensor, mask: Tensor, told: Tensor | None
    ) -> Tensor:
        angles = t[:, None] * self.frequencies
        condition = self.time(torch.cat([angles.sin(), angles.cos()], dim=1))
        if self.label is not None:
            known = mask.to(y.dtype)
            condition = condition + self.label(torch.cat([y * known, known], dim=1))
        if self.told is not None and told is not None:
            condition = condition + self.told(told)
        condition = F.silu(condition)
        h = F.pixel_unshuffle(x, self.arch.patch).contiguous(memory_format=torch.channels_last)
        h = self.first(h)
        skips = [h]
        for block in self.down:
            h = block(h, condition) if isinstance(block, Residual) else block(h)
            skips.append(h)
        h = self.exit(self.attention(self.entry(h, condition)), condition)
        for block in self.up:
            if isinstance(block, Residual):
                h = block(torch.cat([h, skips.pop()], dim=1), condition)
            else:
                h = block(F.interpolate(h, scale_factor=2.0, mode="nearest"))
        return F.pixel_shuffle(self.last(F.silu(self.norm(h))), self.arch.patch)

    @torch.no_grad()
    def _initialize(self, rng: torch.Generator) -> None:
        """Uniform weights by fan-in; zero for what adds to its input, and for the output."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                bound = module.weight[0].numel() ** -0.5
                module.weight.uniform_(-bound, bound, generator=rng)
                if module.bias is not None:
                    module.bias.uniform_(-bound, bound, generator=rng)
        for module in self.modules():
            if isinstance(module, Residual | Attention | Network):
                for parameter in module.last.parameters():
                    parameter.zero_()


class Residual(nn.Module):
    """Two convolutions beside a shortcut, scaled and shifted by a condition in between.

    Args:
        before: Input channels.
        after: Output channels.
        embedding: Length of the condition.
    """

    def __init__(self, before: int, after: int, embedding: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, before)
        self.first = nn.Conv2d(before, after, 3, padding=1)
        self.condition = nn.Linear(embedding, 2 * after)
        self.second_norm = nn.GroupNorm(GROUPS, after)
        self.last = nn.Conv2d(after, after, 3, padding=1)
        self.shortcut = nn.Conv2d(before, after, 1) if before != after else nn.Identity()

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """`[N, before, h, w]` and `[N, embedding]` -> `[N, after, h, w]`."""
        h = self.first(F.silu(self.norm(x)))
        scale, shift = self.condition(condition)[:, :, None, None].chunk(2, dim=1)
        h = self.last(F.silu(torch.addcmul(shift, self.second_norm(h), 1 + scale)))
        out: Tensor = self.shortcut(x) + h
        return out


class Attention(nn.Module):
    """Every position looks at every other one.

    Args:
        width: Channels.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, width)
        self.inputs = nn.Linear(width, 3 * width)
        self.last = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """`[N, width, h, w]` -> the same shape."""
        n, width, height, breadth = x.shape
        h = self.norm(x).flatten(2).transpose(1, 2)
        parts = self.inputs(h).view(n, height * breadth, 3, HEADS, width // HEADS)
        q, k, v = parts.permute(2, 0, 3, 1, 4)
        h = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, -1, width)
        out: Tensor = self.last(h).transpose(1, 2).reshape(n, width, height, breadth)
        return x + out
