"""DCGAN with an auxiliary label head: one plain design for any image folder.

In: images of any number of channels and any number of labels. Out: a conditional generator.
Radford et al. 2016 (arXiv 1511.06434): strided and transposed 4x4 convolutions, batch normalization
in both networks but not at the image, ReLU in the generator, LeakyReLU 0.2 in the discriminator,
tanh, weights N(0, 0.02), Adam 2e-4 with beta1 0.5. Labels: concatenated to z, and read by a head of
the discriminator (Odena et al. 2017, arXiv 1610.09585), which learns from real images and tells the
generator what it made. The loss is the non-saturating one. Pictures come from averaged weights, as
everywhere here.
"""

from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn

from cxrtool.generators import losses
from cxrtool.generators.base import held
from cxrtool.generators.choices import BaseSizes, Request
from cxrtool.generators.classic import game
from cxrtool.generators.classic.layers import DCGAN_STD, conv, linear, lrelu, up_conv

FIRST_SIZE = 4


@dataclass(frozen=True)
class Sizes(BaseSizes):
    """Sizes of both networks.

    Attributes:
        width: Feature channels at half of the image size; doubled at each smaller one.
        width_max: At most so many.
    """

    width: int = 64
    width_max: int = 1024

    @property
    def widths(self) -> list[int]:
        """Feature channels at 4, 8, ... half of the image size."""
        levels = (self.size // FIRST_SIZE).bit_length() - 1
        return [min(self.width * 2**k, self.width_max) for k in reversed(range(levels))]


class Generator(nn.Module):
    """z and labels to images.

    Args:
        arch: Sizes.
        rng: Draws the initial weights (a CPU generator).
    """

    def __init__(self, arch: Sizes, rng: torch.Generator) -> None:
        super().__init__()
        self.arch = arch
        widths = arch.widths
        inputs = arch.z_dim + arch.labels
        layers: list[nn.Module] = [
            up_conv(inputs, widths[0], 4, rng=rng, stride=1, padding=0, bias=False, std=DCGAN_STD)
        ]
        for before, after in zip(widths, [*widths[1:], arch.channels]):
            last = len(layers) // 3 == len(widths) - 1
            layers += [nn.BatchNorm2d(before), nn.ReLU()]
            layers.append(up_conv(before, after, 4, rng=rng, padding=1, bias=last, std=DCGAN_STD))
        self.layers = nn.Sequential(*layers)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        """`[N, z_dim]` and `[N, L]` -> `[N, C, size, size]` in (-1, 1)."""
        return torch.tanh(self.layers(torch.cat([z, y], dim=1)[:, :, None, None]))


class Discriminator(nn.Module):
    """Images to a realness score and label logits.

    Args:
        arch: Sizes.
        rng: Draws the initial weights.
    """

    def __init__(self, arch: Sizes, rng: torch.Generator) -> None:
        super().__init__()
        self.arch = arch
        widths = list(reversed(arch.widths))
        self.first = conv(arch.channels, widths[0], 4, rng=rng, stride=2, padding=1, std=DCGAN_STD)
        self.convs = nn.ModuleList(
            conv(a, b, 4, rng=rng, stride=2, padding=1, bias=False, std=DCGAN_STD)
            for a, b in pairwise(widths)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(b) for b in widths[1:])
        features = widths[-1] * FIRST_SIZE**2
        self.out = linear(features, 1, rng=rng, std=DCGAN_STD)
        self.classify = (
            linear(features, arch.labels, rng=rng, std=DCGAN_STD) if arch.labels else None
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """`[N, C, size, size]` -> (`[N]` logits of being real, `[N, L]` label logits)."""
        x = lrelu(self.first(x))
        for layer, norm in zip(self.convs, self.norms):
            x = lrelu(norm(layer(x)))
        x = x.flatten(1)
        logits = x.new_zeros(len(x), 0) if self.classify is None else self.classify(x)
        return self.out(x)[:, 0], logits


class DcganTrainer(game.GameTrainer):
    """Both networks in turn, on one batch each; see `GameTrainer`."""

    pair = (Generator, Discriminator)
    betas = (0.5, 0.999)

    def _discriminator_step(self) -> None:
        real, (z, y) = self.reals(), self.wanted(self.draws("D"))
        with torch.no_grad():
            fake = self.generator(z, y)
        # Each half has its own batch statistics, as in the paper's two passes.
        score_real, logits = self.discriminator(real.x)
        score_fake, _ = self.discriminator(fake)
        loss = losses.discriminator_loss(score_real, score_fake)
        self.update("d", self.with_labels(loss, logits, real.y, real.mask), "d_grad_norm")
        self.means.add(d_loss=loss, score_real=score_real, score_fake=score_fake)

    def _generator_step(self) -> None:
        z, y = self.wanted(self.draws("G"))
        with held(self.discriminator):
            score, logits = self.discriminator(self.generator(z, y))
            loss = losses.generator_loss(score)
            self.update("g", self.with_labels(loss, logits, y), "g_grad_norm")
        self.means.add(g_loss=loss)


def choose(request: Request) -> game.GameChoices:
    """Every number of a training."""
    return game.GameChoices(**game.game_preset(request, "dcgan", Sizes)[1])


build = DcganTrainer
load_generator = partial(game.latent_generator, build=Generator, sizes=Sizes)
load_judge = partial(game.latent_judge, build=Discriminator, sizes=Sizes)
