"""The two stages of BAGAN: the autoencoder, then the game that begins from it.

In: images with one label each. Out: a generator of every class. First encoder and decoder minimize
the mean squared error. Then the decoder becomes the generator, the encoder's trunk that of the
discriminator, and the codes of all training images give each class its Gaussian. In the game the
discriminator minimizes cross-entropy over K + 1 classes on a batch of real images and ceil(B / K)
generated ones, of classes drawn uniformly; the generator wants its images read as the class it was
asked for. Adam with beta1 0.5 in both stages, at 5e-5 in the paper (the preset `full`); the others
use more, and for the discriminator four times the generator's (two time scales: Heusel et al.
2017).
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cxrtool.core import console
from cxrtool.data.images import to_float
from cxrtool.generators.base import held
from cxrtool.generators.classic.bagan.latents import ClassLatents, fit, shrinkage
from cxrtool.generators.classic.bagan.networks import (
    Decoder,
    Discriminator,
    Encoder,
    Sizes,
    fakes_a_batch,
    realness,
)
from cxrtool.generators.classic.game import GameTrainer
from cxrtool.generators.classic.game_choices import (
    GameChoices,
    game_choices,
    preset_of,
)
from cxrtool.generators.classic.trained import latent_generator, latent_judge
from cxrtool.generators.feed import Feed
from cxrtool.generators.protocol import Request
from cxrtool.training.rng import Draws
from cxrtool.training.world import World

CHUNK = 256  # images that are encoded at once
MUCH_SHARED = 1 / 3  # of a class's covariance: said


@dataclass(frozen=True, kw_only=True)
class BaganChoices(GameChoices):
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


class BaganTrainer(GameTrainer):
    """Both stages, on data of one label per image; see `GameTrainer`."""

    pair = (Generator, Discriminator)
    betas = (0.5, 0.999)

    def __init__(self, choices: BaganChoices, feed: Feed, world: World | None = None) -> None:
        super().__init__(choices, feed, world)
        self.encoder: Encoder = self._new(Encoder, "E")
        both = [*self.encoder.parameters(), *self.generator.decoder.parameters()]
        self.networks["encoder"] = self.encoder
        self.optimizers["autoencoder"] = self._adam(both, choices.pretrain_lr)

    @torch.no_grad()
    def hand_over(self) -> None:
        """Encoder trunk to the discriminator, decoder to the average, codes to the Gaussians."""
        self.discriminator.trunk.load_state_dict(self.encoder.trunk.state_dict())
        codes = [self.encoder(to_float(part)) for part in self.feed.pixels.split(CHUNK)]
        fitted = fit(torch.cat(codes), self.feed.values.argmax(dim=1), self.sizes.labels)
        self.generator.latents.set(fitted)
        self.average.load_state_dict(self.generator.state_dict())

    def _first_step(self) -> None:
        real, draws = self.reals(), self.draws("autoencoder")
        loss = F.mse_loss(self.generator.decoder(self.encoder(real.x, draws)), real.x)
        self.update("autoencoder", loss, "g_grad_norm")
        self.means.add(autoencoder_loss=loss)

    def _discriminator_step(self) -> None:
        real, k, batch = self.reals(), self.sizes.labels, self.choices.batch
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
        k = self.sizes.labels
        return F.one_hot(draws.integers(0, k), k).float()


def choose(request: Request) -> BaganChoices:
    """Every number of a training."""
    table = preset_of("bagan", request.preset)
    arch = Sizes(
        request.size,
        request.labels,
        width=table["width"],
        hidden=table["hidden"],
        upsampling=request.options["upsampling"] or "transposed",
    )
    common = game_choices(request, table)
    return BaganChoices(
        arch=arch,
        pretrain_lr=request.pick("pretrain_lr", table["pretrain_lr"]),
        d_lr=request.pick("d_lr", common["lr"] * table["d_lr"] / table["lr"]),
        **common,
    )


def build(choices: BaganChoices, feed: Feed, world: World | None, **_: Any) -> BaganTrainer:
    """A new trainer; says which classes are too few for a covariance of their own."""
    dim, counts = choices.arch.z_dim, feed.values.sum(dim=0).long().tolist()
    few = [n for n in counts if shrinkage(n, dim) > MUCH_SHARED]
    if few:
        console.warn(
            f"{len(few)} of {len(counts)} classes have few images for the covariance of {dim} codes"
            f" (the fewest: {min(few)}, at most {max(few)}); the covariance of all classes weighs"
            f" up to {100 * shrinkage(min(few), dim):.0f} % of theirs"
        )
    return BaganTrainer(choices, feed, world)


load_generator = partial(latent_generator, build=Generator, sizes=Sizes)
load_judge = partial(latent_judge, build=Discriminator, sizes=Sizes, read=read)
