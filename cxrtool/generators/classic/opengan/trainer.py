"""The two stages of OpenGAN: the metric network, then the game around its features.

In: images with one label each. Out: a generator of features. First the metric network learns to
classify by Gaussian kernels; it is then held fixed. In the game a generated image is conditioned on
the feature of a real one: hinge loss for the discriminator; for the generator
-E[D] + 0.01 MSE(feature of the image, feature asked for). Adam 1e-4 (0, 0.999). Classes that are
held out take part in neither stage; the features of their images are taken afterwards. In the
finished generator a class is asked for by features of its real images, which the model holds; the
judge reads classes with the metric network, held-out ones included.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cxrtool.core.errors import InputError
from cxrtool.data.images import to_float
from cxrtool.generators.base import held
from cxrtool.generators.choices import Request
from cxrtool.generators.classic import game
from cxrtool.generators.classic.opengan import metric
from cxrtool.generators.classic.opengan.metric import FEATURES, Bank, MetricNetwork, Sizes
from cxrtool.generators.classic.opengan.networks import Discriminator, Generator
from cxrtool.generators.feed import Feed
from cxrtool.generators.latent import LatentGenerator
from cxrtool.generators.saved import D_PREFIX, G_PREFIX, SavedGenerator, prefixed
from cxrtool.training.rng import Draws, torch_generator

M_PREFIX, B_PREFIX, SIGMA = "metric.", "bank.", "sigma"
FEATURE_WEIGHT = 0.01
CENTERS = 512
RENEW = 25  # steps between renewals of the centers
CHUNK = 256


@dataclass(frozen=True, kw_only=True)
class OpenganChoices(game.GameChoices):
    """See `GameChoices`.

    Attributes:
        pretrain_lr: Adam's learning rate of the metric network.
    """

    pretrain_lr: float = 5e-4

    @property
    def described(self) -> str:
        """What is trained, in half a line."""
        return f"metric network {self.pretrain_nimg / 1000:g} kimg at lr {self.pretrain_lr:g}"


def hinge_loss(real: Tensor, fake: Tensor) -> Tensor:
    """E[max(0, 1 - D(real))] + E[max(0, 1 + D(fake))] of scores `[N]`."""
    return (1 - real).relu().mean() + (1 + fake).relu().mean()


class OpenganTrainer(game.GameTrainer):
    """Both stages.

    Args:
        choices: All numbers.
        feed: The data, one label per image.
        unseen: Images of classes that the training must not see.
        others: See `GameTrainer`.
    """

    pair = (Generator, Discriminator)
    betas = (0.0, 0.999)

    def __init__(
        self,
        choices: OpenganChoices,
        feed: Feed,
        *args: Any,
        unseen: Feed | None = None,
        **others: Any,
    ) -> None:
        super().__init__(choices, feed, *args, **others)
        arch = choices.arch
        self.metric: MetricNetwork = self._new(MetricNetwork, "metric")
        classes = feed.values.argmax(dim=1)
        rng = torch_generator("centers", choices.seed)
        rows = metric.choose_centers(classes, arch.labels, CENTERS, rng)
        self.kernels = metric.Kernels(classes[rows], rows, arch.labels).to(self.device)
        self.members |= {"metric": self.metric, "kernels": self.kernels}
        weights = [*self.metric.parameters(), *self.kernels.parameters()]
        self.optimizers["metric"] = torch.optim.Adam(weights, choices.pretrain_lr)
        self.unseen = unseen
        self.features = torch.zeros(len(feed), FEATURES, device=self.device)
        self.bank: Bank | None = None

    @torch.no_grad()
    def sample(self, z: Tensor, y: Tensor) -> Tensor:
        """Images of the averaged generator, from features of real images of the class."""
        feature = z.new_zeros(len(z), FEATURES)
        if self.bank is not None:
            feature = self.bank(z[:, -1], y.argmax(dim=1))
        images: Tensor = self.average(z[:, :-1], feature)
        return images

    @torch.no_grad()
    def hand_over(self) -> None:
        """Features of all images, those of classes held out included, as the bank of classes."""
        self.features = self._features_of(self.feed.pixels)
        features, values = self.features, self.feed.values
        if self.unseen is not None:
            features = torch.cat([features, self._features_of(self.unseen.pixels)])
            values = torch.cat([values, self.unseen.values])
        self.bank = Bank.of(features, values.argmax(dim=1), self.choices.arch.labels)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict`; features are a function of the metric network."""
        super().load_state_dict(state)
        self.bank = None
        if self.nimg >= self.choices.pretrain_nimg:
            self.hand_over()

    def _features_of(self, pixels: Tensor) -> Tensor:
        return torch.cat([self.metric(to_float(part)) for part in pixels.split(CHUNK)])

    def _first_step(self) -> None:
        if (self.nimg // self.choices.batch) % RENEW == 0:
            with torch.no_grad():
                self.kernels.centers.copy_(self._features_of(self.feed.pixels[self.kernels.rows]))
        real, rows = self.reals(), self.feed.rows_at(self.nimg, self.choices.batch)
        log_p = self.kernels(self.metric(real.x), rows)
        classes = real.y.argmax(dim=1)
        loss = F.nll_loss(log_p, classes)
        self.update("metric", loss)
        hits = (log_p.argmax(dim=1) == classes).float()
        self.means.add(metric_loss=loss, metric_accuracy=hits)

    def _discriminator_step(self) -> None:
        real, (noise, target) = self.reals(), self._wanted(self.draws("D"))
        with torch.no_grad():
            fake, feature = self.generator(noise, target), self.metric(real.x)
        score_real = self.discriminator(real.x, feature)
        score_fake = self.discriminator(fake, target)
        loss = hinge_loss(score_real, score_fake)
        self.update("d", loss, "d_grad_norm")
        self.means.add(d_loss=loss, score_real=score_real, score_fake=score_fake)

    def _generator_step(self) -> None:
        noise, target = self._wanted(self.draws("G"))
        with held(self.discriminator), held(self.metric):
            fake = self.generator(noise, target)
            loss = -self.discriminator(fake, target).mean()
            feature_loss = F.mse_loss(self.metric(fake), target)
            self.update("g", loss + FEATURE_WEIGHT * feature_loss, "g_grad_norm")
        self.means.add(g_loss=loss, feature_loss=feature_loss)

    def _wanted(self, draws: Draws) -> tuple[Tensor, Tensor]:
        """Noise, and features of real images."""
        noise = draws.normal(self.z_dim - 1)
        return noise, self.features[self.feed.fake_rows(draws)]

    def export(self, values: np.ndarray, mask: np.ndarray) -> dict[str, Tensor]:
        """Averaged generator, discriminator, metric network, and the features of classes."""
        assert self.bank is not None
        state = super().export(values, mask)
        state[SIGMA] = self.kernels.log_sigma.detach().exp()
        return state | prefixed({M_PREFIX: self.metric, B_PREFIX: self.bank})


def choose(request: Request) -> OpenganChoices:
    """Every number of a training."""
    table, common = game.game_preset(request, "opengan", Sizes)
    pretrain_lr = request.pick("pretrain_lr", table["pretrain_lr"])
    return OpenganChoices(pretrain_lr=pretrain_lr, **common)


class OpenGenerator(LatentGenerator):
    """Generator and bank of features.

    Attributes:
        bank: Features by class.
    """

    bank: Bank

    def images(self, z: Tensor, y: Tensor, truncation: float) -> Tensor:
        """Truncation pulls noise to 0 and features to the mean of the class."""
        features = self.bank(z[:, -1], y.argmax(dim=1), truncation)
        images: Tensor = self.network(z[:, :-1] * truncation, features)
        return images


class OpenJudge(nn.Module):
    """Discriminator for realness, metric network for classes.

    Args:
        network: The discriminator.
        metric: The metric network.
        bank: Centers of the kernels.
        sigma: Their width, a scalar.
    """

    def __init__(
        self, network: Discriminator, metric: MetricNetwork, bank: Bank, sigma: Tensor
    ) -> None:
        super().__init__()
        self.network, self.metric, self.bank = network, metric, bank
        self.sigma = nn.Buffer(sigma)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """`[N, C, size, size]` -> (`[N]` scores given its own feature, `[N, K]` log p)."""
        features = self.metric(x)
        bank, count = self.bank, len(self.bank.counts)
        log_p = metric.log_probabilities(features, bank.features, bank.classes, count, self.sigma)
        return self.network(x, features), log_p


def load_generator(saved: SavedGenerator) -> OpenGenerator:
    """The finished generator."""
    network = saved.network(Generator, Sizes, G_PREFIX)
    generator = OpenGenerator(network, saved.labels, saved.meta)
    generator.bank = bank_of(saved)
    return generator


def load_judge(saved: SavedGenerator) -> game.LatentJudge:
    """The finished discriminator and metric network."""
    network = saved.network(Discriminator, Sizes, D_PREFIX)
    reader = saved.network(MetricNetwork, Sizes, M_PREFIX)
    judge = OpenJudge(network, reader, bank_of(saved), saved.state[SIGMA])
    return game.LatentJudge(judge, saved)


def bank_of(saved: SavedGenerator) -> Bank:
    """The features that a model holds.

    Raises:
        InputError: they are missing.
    """
    bank = saved.part(B_PREFIX)
    if bank.keys() != {"features", "classes"}:
        raise InputError("the features of the classes are missing", file=saved.run_dir)
    return Bank(bank["features"], bank["classes"], len(saved.labels))


build = OpenganTrainer
