"""BAGAN (Mariani et al. 2018, arXiv 1803.09655): a class-conditional generator for unequal classes.

In: images with one label each. Out: a generator of every class. First encoder and decoder minimize
the mean squared error. Then the decoder becomes the generator, the encoder's trunk that of the
discriminator, and the codes of all training images give each class its Gaussian. In the game the
discriminator minimizes cross-entropy over K + 1 classes on a batch of real images and ceil(B / K)
generated ones, of classes drawn uniformly; the generator wants its images read as the class it was
asked for. Adam with beta1 0.5 in both stages, at 5e-5 in the paper (the preset `full`); the others
use more, and for the discriminator four times the generator's (two time scales: Heusel et al.
2017).

Networks (appendix): dense layers to 8x8, then doubling with 5x5 convolutions to tanh; 3x3
convolutions with LeakyReLU and dropout 0.3. The original doubles by nearest neighbours before a
convolution; study D by transposed convolutions, which is the default here.

Latents (section 3): those of a class are N(mean of its codes, their covariance). A covariance of D
dimensions needs many more than D images, and has no inverse below that. Every class is shrunk
towards the covariance that all classes share (of the codes about their own class's mean): the
shared one counts as D further images, which is the posterior mean under an inverse Wishart prior of
that weight. So a class moves smoothly to its own covariance as its images grow.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cxrtool.core import console
from cxrtool.data.images import to_float
from cxrtool.generators.base import held
from cxrtool.generators.choices import BaseSizes, Request
from cxrtool.generators.classic import game
from cxrtool.generators.classic.layers import conv, dropout, linear, lrelu, up_conv
from cxrtool.generators.feed import Feed
from cxrtool.training.rng import Draws

FIRST_SIZE = 8  # of the decoder's first feature map
LAST_SIZE = 16  # at most, of the trunk's last feature map
DROPOUT = 0.3
JITTER = 1e-4  # of the mean variance, so that the factor of a flat direction exists
CHUNK = 256  # images that are encoded at once
MUCH_SHARED = 1 / 3  # of a class's covariance: said


@dataclass(frozen=True)
class Sizes(BaseSizes):
    """Sizes of the networks.

    Attributes:
        hidden: Units of the decoder's first dense layer.
        width: Feature channels of the trunk's first convolution (32 in the paper); the others
            follow.
        upsampling: "transposed" or "nearest".
    """

    hidden: int = 1024
    width: int = 32
    upsampling: str = "transposed"


class Decoder(nn.Module):
    """Codes to images.

    Args:
        arch: Sizes.
        rng: Draws the initial weights (a CPU generator).
    """

    def __init__(self, arch: Sizes, rng: torch.Generator) -> None:
        super().__init__()
        self.arch = arch
        before = arch.width * 4
        self.dense = nn.Sequential(
            linear(arch.z_dim, arch.hidden, rng=rng),
            nn.ReLU(),
            linear(arch.hidden, before * FIRST_SIZE**2, rng=rng),
            nn.ReLU(),
        )
        layers: list[nn.Module] = []
        for k in range((arch.size // FIRST_SIZE).bit_length() - 1):
            after = max(8, arch.width * 8 >> k)
            if arch.upsampling == "nearest":
                layers += [nn.Upsample(scale_factor=2), conv(before, after, 5, rng=rng)]
            else:
                layers.append(up_conv(before, after, 5, rng=rng, padding=2, output_padding=1))
            layers.append(nn.ReLU())
            before = after
        # A small start keeps tanh in its linear part.
        last = conv(before, arch.channels, 3, rng=rng, std=(1 / (before * 9)) ** 0.5)
        self.convs = nn.Sequential(*layers, last)

    def forward(self, code: Tensor) -> Tensor:
        """`[N, z_dim]` -> `[N, C, size, size]` in (-1, 1)."""
        x = self.dense(code).unflatten(1, (-1, FIRST_SIZE, FIRST_SIZE))
        return torch.tanh(self.convs(x))


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


def fit(codes: Tensor, classes: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Estimate the Gaussians of classes.

    Args:
        codes: `[N, D]`.
        classes: int64 `[N]`, each of the K classes at least once.
        count: K.

    Returns:
        Means `[K, D]` and covariances `[K, D, D]`, float64.

    Raises:
        ValueError: a class without a code.
    """
    numbers = torch.bincount(classes.long(), minlength=count).tolist()
    if 0 in numbers:
        raise ValueError(f"no code of class {numbers.index(0)}")
    groups = [codes[classes == k].double() for k in range(count)]
    means = torch.stack([own.mean(dim=0) for own in groups])
    centered = [own - mean for own, mean in zip(groups, means)]
    scatters = torch.stack([own.T @ own for own in centered])
    shared = scatters.sum(dim=0) / max(1, len(codes) - count)
    covariances = []
    for scatter, n in zip(scatters, numbers):
        share = shrinkage(n, codes.shape[1])
        covariances.append((1 - share) * (scatter / max(1, n - 1)) + share * shared)
    return means, torch.stack(covariances)


def shrinkage(images: int, dim: int) -> float:
    """Weight of the shared covariance for a class of so many images."""
    return dim / (dim + images - 1)


class ClassLatents(nn.Module):
    """Standard normal numbers to codes of a class.

    Args:
        count: K.
        dim: D.
    """

    def __init__(self, count: int, dim: int) -> None:
        super().__init__()
        self.means = nn.Buffer(torch.zeros(count, dim))
        self.factors = nn.Buffer(torch.eye(dim).repeat(count, 1, 1))

    @torch.no_grad()
    def set(self, means: Tensor, covariances: Tensor) -> None:
        """Take the Gaussians over that `fit` has found."""
        size = covariances.diagonal(dim1=1, dim2=2).mean().clamp(min=1e-12)
        jitter = JITTER * size * torch.eye(covariances.shape[1]).to(covariances)
        self.means.copy_(means)
        self.factors.copy_(torch.linalg.cholesky(covariances + jitter))

    def forward(self, z: Tensor, classes: Tensor) -> Tensor:
        """`[N, D]` standard normal and int64 `[N]` -> `[N, D]`."""
        return self.means[classes] + torch.einsum("nij,nj->ni", self.factors[classes], z)


@dataclass(frozen=True, kw_only=True)
class BaganChoices(game.GameChoices):
    """See `GameChoices`.

    Attributes:
        pretrain_lr: Adam's learning rate of the autoencoder.
        d_lr: That of the discriminator in the game.
    """

    pretrain_lr: float = 5e-5
    d_lr: float = 5e-5

    @property
    def described(self) -> str:
        """What is trained, in half a line."""
        before = f"{self.pretrain_nimg / 1000:g} kimg at lr {self.pretrain_lr:g}"
        return f"{self.arch.upsampling} upsampling, autoencoder {before}"


class Generator(nn.Module):
    """A decoder behind the Gaussians of its classes.

    Args:
        arch: Sizes.
        rng: Draws the initial weights.
    """

    def __init__(self, arch: Sizes, rng: torch.Generator) -> None:
        super().__init__()
        self.arch = arch
        self.latents = ClassLatents(arch.labels, arch.z_dim)
        self.decoder = Decoder(arch, rng)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        """`[N, z_dim]` and one-hot `[N, K]` -> images in (-1, 1)."""
        images: Tensor = self.decoder(self.latents(z, y.argmax(dim=1)))
        return images


def read(network: Discriminator, x: Tensor) -> tuple[Tensor, Tensor]:
    """`[N, C, size, size]` -> (`[N]` log odds of being real, `[N, K]` logits), without dropout."""
    logits = network(x)
    return realness(logits), logits[:, :-1]


class BaganTrainer(game.GameTrainer):
    """Both stages, on data of one label per image; see `GameTrainer`."""

    pair = (Generator, Discriminator)
    betas = (0.5, 0.999)

    def __init__(self, choices: BaganChoices, feed: Feed, *args: Any, **others: Any) -> None:
        super().__init__(choices, feed, *args, **others)
        dim, counts = choices.arch.z_dim, feed.values.sum(dim=0).long().tolist()
        few = [n for n in counts if shrinkage(n, dim) > MUCH_SHARED]
        if few:
            console.warn(
                f"{len(few)} of {len(counts)} classes have few images for the covariance of {dim}"
                f" codes (the fewest: {min(few)}, at most {max(few)}); the covariance of all"
                f" classes weighs up to {100 * shrinkage(min(few), dim):.0f} % of theirs"
            )
        self.encoder: Encoder = self._new(Encoder, "E")
        both = [*self.encoder.parameters(), *self.generator.decoder.parameters()]
        self.members["encoder"] = self.encoder
        self.optimizers["autoencoder"] = self._adam(both, choices.pretrain_lr)

    @torch.no_grad()
    def hand_over(self) -> None:
        """Encoder trunk to the discriminator, decoder to the average, codes to the Gaussians."""
        self.discriminator.trunk.load_state_dict(self.encoder.trunk.state_dict())
        codes = [self.encoder(to_float(part)) for part in self.feed.pixels.split(CHUNK)]
        classes = self.feed.values.argmax(dim=1)
        self.generator.latents.set(*fit(torch.cat(codes), classes, self.choices.arch.labels))
        self.average.load_state_dict(self.generator.state_dict())

    def _first_step(self) -> None:
        real, draws = self.reals(), self.draws("autoencoder")
        loss = F.mse_loss(self.generator.decoder(self.encoder(real.x, draws)), real.x)
        self.update("autoencoder", loss, "g_grad_norm")
        self.means.add(autoencoder_loss=loss)

    def _discriminator_step(self) -> None:
        real, k, batch = self.reals(), self.choices.arch.labels, self.choices.batch
        fake_n = fakes_a_batch(batch, k)
        draws = self.draws("D fakes", fake_n)
        with torch.no_grad():
            fake = self.generator(draws.normal(self.z_dim), self._asked(draws))
        classes = torch.cat([real.y.argmax(dim=1), real.y.new_full((fake_n,), k).long()])
        logits = self.discriminator(torch.cat([real.x, fake]), self.draws("D", batch + fake_n))
        loss = F.cross_entropy(logits, classes)
        self.update("d", loss, "d_grad_norm")
        score = realness(logits.detach())
        self.means.add(d_loss=loss, score_real=score[:batch], score_fake=score[batch:])

    def _generator_step(self) -> None:
        draws = self.draws("G")
        z, y = draws.normal(self.z_dim), self._asked(draws)
        with held(self.discriminator):
            logits = self.discriminator(self.generator(z, y), draws)
            loss = F.cross_entropy(logits, y.argmax(dim=1))
            self.update("g", loss, "g_grad_norm")
        self.means.add(g_loss=loss)

    def _asked(self, draws: Draws) -> Tensor:
        """Classes drawn uniformly, one-hot `[N, K]`."""
        k = self.choices.arch.labels
        return F.one_hot(draws.integers(0, k), k).float()


def choose(request: Request) -> BaganChoices:
    """Every number of a training."""
    table, common = game.game_preset(request, "bagan", Sizes)
    upsampling = request.pick("upsampling", common["arch"].upsampling)
    common["arch"] = replace(common["arch"], upsampling=upsampling)
    pretrain_lr = request.pick("pretrain_lr", table["pretrain_lr"])
    d_lr = request.pick("d_lr", common["lr"] * table["d_lr"] / table["lr"])
    return BaganChoices(pretrain_lr=pretrain_lr, d_lr=d_lr, **common)


build = BaganTrainer
load_generator = partial(game.latent_generator, build=Generator, sizes=Sizes)
load_judge = partial(game.latent_judge, build=Discriminator, sizes=Sizes, read=read)
