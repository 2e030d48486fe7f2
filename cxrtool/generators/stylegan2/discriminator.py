"""The StyleGAN2 residual discriminator with a projection score and an auxiliary label head.

In: images `[N, C, size, size]` in [-1, 1], label values and which of them are known. Out: a
realness score, and label logits. Karras et al. 2020 (residual blocks, figure 7c); Miyato and Koyama
2018 (arXiv 1802.05637: the label enters by a projection of the features); Odena et al. 2017
(auxiliary classifier; here a multi-label one that sees the trunk only, never the minibatch
statistics).
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from cxrtool.generators.stylegan2 import ops
from cxrtool.generators.stylegan2.generator import FIRST_SIZE, Architecture
from cxrtool.generators.stylegan2.layers import EqualConv, EqualLinear


class Verdict(NamedTuple):
    """What the discriminator says.

    Attributes:
        score: `[N]` realness logits.
        labels: `[N, L]` label logits.
    """

    score: Tensor
    labels: Tensor


class ResidualBlock(nn.Module):
    """Two convolutions to half the size, beside a filtered 1x1 skip connection."""

    def __init__(self, arch: Architecture, resolution: int, rng: torch.Generator) -> None:
        super().__init__()
        here, below = arch.width(resolution), arch.width(resolution // 2)
        half = 0.5**0.5  # keeps the variance of the sum
        self.conv0 = EqualConv(here, here, 3, rng=rng)
        self.conv1 = EqualConv(here, below, 3, rng=rng, down=True, gain=half)
        self.skip = EqualConv(here, below, 1, rng=rng, down=True, activate=False, gain=half)

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, H, W] -> [N, C', H/2, W/2]`."""
        y: Tensor = self.skip(x) + self.conv1(self.conv0(x))
        return y


class Discriminator(nn.Module):
    """Realness given the labels, and the labels.

    Labels enter as (y - prevalence) / spread with 0 for unknown ones, so that an unknown label says
    nothing and the absence of a common finding says as much as its presence.

    `ramp` scales what the labels add to the score: 0 makes the network unconditional.

    Args:
        arch: Sizes.
        rng: Draws the initial weights (a CPU generator).
        prevalence: `[L]` share of positives among the known values in the training rows.
    """

    def __init__(
        self, arch: Architecture, rng: torch.Generator, prevalence: Tensor | None = None
    ) -> None:
        super().__init__()
        self.arch = arch
        widths = [arch.width(r) for r in arch.resolutions]
        self.from_rgb = EqualConv(arch.channels, widths[-1], 1, rng=rng)
        self.blocks = nn.ModuleDict(
            {f"b{r}": ResidualBlock(arch, r, rng) for r in reversed(arch.resolutions[1:])}
        )
        last = widths[0]
        self.conv = EqualConv(last + 1, last, 3, rng=rng)
        self.dense = EqualLinear(last * FIRST_SIZE**2, last, rng=rng, activate=True)
        self.out = EqualLinear(last, 1, rng=rng)
        self.project: EqualLinear | None = None
        self.classify: EqualLinear | None = None
        if arch.labels:
            self.project = EqualLinear(arch.labels, last, rng=rng, bias_init=None)
            self.classify = EqualLinear(last * FIRST_SIZE**2, arch.labels, rng=rng)
        share = torch.full((arch.labels,), 0.5) if prevalence is None else prevalence.float()
        self.prevalence = nn.Buffer(share.clone())
        self.std_reference = nn.Buffer(torch.zeros(()))
        self.ramp = nn.Buffer(torch.ones(()), persistent=False)

    @property
    def spread(self) -> Tensor:
        """`[L]` standard deviation of each label, never near 0."""
        return (self.prevalence * (1 - self.prevalence) + 0.01).sqrt()

    def trunk(self, x: Tensor, low: int | None = None) -> Tensor:
        """Images -> features `[N, C, 4, 4]`; each sample's depend on that sample alone."""
        x = x.contiguous(memory_format=torch.channels_last)
        if low is not None and self.arch.size >= low:
            x = x.to(torch.bfloat16)
        x = self.from_rgb(x)
        for resolution in reversed(self.arch.resolutions[1:]):
            if low is not None and resolution < low:
                x = ops.full_precision(x)
            block: Any = self.blocks[f"b{resolution}"]
            x = block(x)
        return ops.full_precision(x)

    def forward(
        self,
        x: Tensor,
        y: Tensor,
        mask: Tensor,
        group: int | None = None,
        low: int | None = None,
    ) -> Verdict:
        """Judge a batch.

        Args:
            x: `[N, channels, size, size]` in [-1, 1].
            y: `[N, L]` label values.
            mask: `[N, L]` bool; where False the value is ignored.
            group: Samples in a group of the minibatch standard deviation; None for the
                architecture's; 0 puts the stored reference value in its place, which makes every
                score independent of the other samples in the batch.
            low: Resolution from which feature maps are bfloat16; None for nowhere. Statistics,
                scores and logits stay float32.

        Returns:
            Scores and label logits.
        """
        features = self.trunk(x, low)
        group = self.arch.group if group is None else group
        if group:
            z = ops.minibatch_stddev(features, group)
        else:
            z = ops.append_channel(features, self.std_reference.expand(len(x)))
        z = self.dense(self.conv(z).flatten(1))
        score = self.out(z)[:, 0]
        if self.project is None or self.classify is None:
            return Verdict(score, x.new_zeros(len(x), 0))
        centered = (y - self.prevalence) / self.spread * mask
        # Embedded label and features each have unit variance; so has their product over
        # sqrt(width).
        conditional = (self.project(centered) * z).sum(dim=1) / z.shape[1] ** 0.5
        score = score + conditional * self.ramp
        return Verdict(score, self.classify(features.flatten(1)))

    def stddev_of(self, x: Tensor) -> Tensor:
        """The minibatch statistic of a batch of images, averaged over its groups: a scalar."""
        return ops.minibatch_stddev(self.trunk(x), self.arch.group)[:, -1, 0, 0].mean()
