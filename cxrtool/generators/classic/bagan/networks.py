"""Networks of BAGAN: the decoder that becomes the generator, the trunk that two heads share.

In: codes `[N, z_dim]`; images `[N, C, size, size]` in [-1, 1]. Out: images; codes; K + 1 logits.
Mariani et al. 2018, appendix: dense layers to 8x8, then doubling with 5x5 convolutions to tanh;
3x3 convolutions with LeakyReLU and dropout 0.3. The original doubles by nearest neighbours before
a convolution; study D by transposed convolutions, which is the default here.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cxrtool.generators.classic.game_choices import PlainSizes
from cxrtool.generators.classic.layers import conv, dropout, linear, lrelu, up_conv
from cxrtool.training.rng import Draws

FIRST_SIZE = 8  # of the decoder's first feature map
LAST_SIZE = 16  # at most, of the trunk's last feature map
DROPOUT = 0.3
UPSAMPLING = ("transposed", "nearest")


@dataclass(frozen=True)
class Sizes(PlainSizes):
    """Sizes of the networks.

    Attributes:
        hidden: Units of the decoder's first dense layer.
        width: Feature channels of the trunk's first convolution (32 in the paper); the others
            follow.
        upsampling: Of `UPSAMPLING`.
    """

    hidden: int = 1024
    width: int = 32
    upsampling: str = "transposed"

    @property
    def doublings(self) -> int:
        """From the first feature map to the image."""
        return (self.size // FIRST_SIZE).bit_length() - 1


class Decoder(nn.Module):
    """Codes to images.

    Args:
        arch: Sizes.
        rng: Draws the initial weights (a CPU generator).
    """

    def __init__(self, arch: Sizes, rng: torch.Generator) -> None:
        super().__init__()
        self.arch = arch
        first = arch.width * 4
        self.dense = nn.Sequential(
            linear(arch.z_dim, arch.hidden, rng=rng),
            nn.ReLU(),
            linear(arch.hidden, first * FIRST_SIZE**2, rng=rng),
            nn.ReLU(),
        )
        layers: list[nn.Module] = []
        before = first
        for k in range(arch.doublings):
            after = max(8, arch.width * 8 >> k)
            if arch.upsampling == "nearest":
                layers += [nn.Upsample(scale_factor=2), conv(before, after, 5, rng=rng)]
            else:
                layers.append(up_conv(before, after, 5, rng=rng, padding=2, output_padding=1))
            layers.append(nn.ReLU())
            before = after
        # A small start keeps tanh in its linear part.
        last = conv(before, arch.channels, 3, rng=rng, std=(1 / (before * 9)) ** 0.5)
        self.convs = nn.Sequential(*layers, last, nn.Tanh())

    def forward(self, code: Tensor) -> Tensor:
        """`[N, z_dim]` -> `[N, C, size, size]` in (-1, 1)."""
        x: Tensor = self.dense(code)
        images: Tensor = self.convs(x.unflatten(1, (-1, FIRST_SIZE, FIRST_SIZE)))
        return images


class Trunk(nn.Module):
    """What encoder and discriminator share: images to features."""

    def __init__(self, arch: Sizes, rng: torch.Generator) -> None:
        super().__init__()
        widths = [arch.width, arch.width * 2, arch.width * 4, arch.width * 8]
        strides = [2, 1, 2, 1]
        size = arch.size // 4
        while size > LAST_SIZE:
            widths.append(widths[-1])
            strides.append(2)
            size //= 2
        before = [arch.channels, *widths[:-1]]
        self.convs = nn.ModuleList(
            conv(a, b, 3, rng=rng, stride=s) for a, b, s in zip(before, widths, strides)
        )
        self.features = widths[-1] * size**2

    def forward(self, x: Tensor, draws: Draws | None) -> Tensor:
        """`[N, C, size, size]` -> `[N, features]`; dropout where there are draws."""
        for layer in self.convs:
            x = dropout(lrelu(layer(x)), DROPOUT, draws)
        return x.flatten(1)


class Encoder(nn.Module):
    """Images to codes.

    Args:
        arch: Sizes.
        rng: Draws the initial weights.
    """

    def __init__(self, arch: Sizes, rng: torch.Generator) -> None:
        super().__init__()
        self.trunk = Trunk(arch, rng)
        self.code = linear(self.trunk.features, arch.z_dim, rng=rng, std=self.trunk.features**-0.5)

    def forward(self, x: Tensor, draws: Draws | None = None) -> Tensor:
        """`[N, C, size, size]` -> `[N, z_dim]`."""
        code: Tensor = self.code(self.trunk(x, draws))
        return code


class Discriminator(nn.Module):
    """Images to logits of the K classes and FAKE, which is the last.

    Args:
        arch: Sizes.
        rng: Draws the initial weights.
    """

    def __init__(self, arch: Sizes, rng: torch.Generator) -> None:
        super().__init__()
        self.arch = arch
        self.trunk = Trunk(arch, rng)
        features = self.trunk.features
        self.classes = linear(features, arch.labels + 1, rng=rng, std=features**-0.5)

    def forward(self, x: Tensor, draws: Draws | None = None) -> Tensor:
        """`[N, C, size, size]` -> `[N, K + 1]`."""
        logits: Tensor = self.classes(self.trunk(x, draws))
        return logits


def realness(logits: Tensor) -> Tensor:
    """Log odds of any real class against FAKE: `[N, K + 1] -> [N]`."""
    return logits[:, :-1].logsumexp(dim=1) - logits[:, -1]


def fakes_a_batch(batch: int, classes: int) -> int:
    """Generated images that go with a batch of real ones: as many as a class has on average."""
    return -(-batch // classes)
