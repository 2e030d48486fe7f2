"""The two stages of OpenGAN: the metric network, then the game around its features.

In: images with one label each. Out: a generator of features. First the metric network learns to
classify by Gaussian kernels; it is then held fixed. In the game a generated image is conditioned on
the feature of a real one, drawn uniformly: hinge loss for the discriminator; for the generator
-E[D] + 0.01 MSE(feature of the image, feature asked for). Adam 1e-4 (0, 0.999). Classes that are
held out take part in neither stage; the features of their images are taken afterwards.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cxrtool.data.images import to_float
from cxrtool.generators.base import held
from cxrtool.generators.classic.game import GameTrainer
from cxrtool.generators.classic.game_choices import (
    GameChoices,
    game_choices,
    preset_of,
)
from cxrtool.generators.classic.opengan.bank import Bank
from cxrtool.generators.classic.opengan.metric import (
    FEATURES,
    Kernels,
    MetricNetwork,
    choose_centers,
)
from cxrtool.generators.classic.opengan.networks import (
    Discriminator,
    Generator,
    Sizes,
    metric_network,
)
from cxrtool.generators.classic.opengan.trained import B_PREFIX, M_PREFIX, SIGMA
from cxrtool.generators.feed import Feed
from cxrtool.generators.protocol import Request
from cxrtool.generators.saved import prefixed
from cxrtool.training.rng import Draws, torch_generator
from cxrtool.training.world import World

METRIC_BETAS = (0.9, 0.999)
FEATURE_WEIGHT = 0.01
CENTERS = 512
RENEW = 25  # steps between renewals of the centers
CHUNK = 256


@dataclass(frozen=True, kw_only=True)
class OpenganChoices(GameChoices):
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


class OpenganTrainer(GameTrainer):
    """Both stages.

    Args:
        choices: All numbers.
        feed: The data, one label per image.
        world: See `GameTrainer`.
        shown: Images of classes that the training must not see.
    """

    pair = (Generator, Discriminator)
    betas = (0.0, 0.999)

    def __init__(
        self,
        choices: OpenganChoices,
        feed: Feed,
        world: World | None = None,
        shown: Feed | None = None,
    ) -> None:
        super().__init__(choices, feed, world)
        arch = choices.arch
        self.metric: MetricNetwork = self._new(metric_network, "metric")
        classes = feed.values.argmax(dim=1)
        rng = torch_generator("centers", choices.seed)
        rows = choose_centers(classes, arch.labels, CENTERS, rng)
        self.kernels = Kernels(classes[rows], rows, arch.labels).to(self.device)
        self.networks |= {"metric": self.metric, "kernels": self.kernels}
        learned = [*self.metric.parameters(), *self.kernels.parameters()]
        self.optimizers["metric"] = self._adam(learned, choices.pretrain_lr, METRIC_BETAS)
        self.shown = shown
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
        features, values = [self.features], [self.feed.values]
        if self.shown is not None:
            features.append(self._features_of(self.shown.pixels))
            values.append(self.shown.values)
        classes = torch.cat(values).argmax(dim=1)
        self.bank = Bank.of(torch.cat(features), classes, self.sizes.labels)

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
        real, draws = self.reals(), self.draws("D")
        noise, target = self._wanted(draws)
        with torch.no_grad():
            fake, feature = self.generator(noise, target), self.metric(real.x)
        score_real = self.discriminator(real.x, feature)
        score_fake = self.discriminator(fake, target)
        loss = hinge_loss(score_real, score_fake)
        self.update("d", loss, "d_grad_norm")
        self.means.add(d_loss=loss, score_real=score_real, score_fake=score_fake)

    def _generator_step(self) -> None:
        draws = self.draws("G")
        noise, target = self._wanted(draws)
        with held(self.discriminator), held(self.metric):
            fake = self.generator(noise, target)
            loss = -self.discriminator(fake, target).mean()
            feature_loss = F.mse_loss(self.metric(fake), target)
            self.update("g", loss + FEATURE_WEIGHT * feature_loss, "g_grad_norm")
        self.means.add(g_loss=loss, feature_loss=feature_loss)

    def _wanted(self, draws: Draws) -> tuple[Tensor, Tensor]:
        """Noise, and features of real images drawn uniformly."""
        noise = draws.normal(self.z_dim - 1)
        return noise, self.features[draws.integers(0, len(self.feed))]

    def export(self, values: np.ndarray, mask: np.ndarray) -> dict[str, Tensor]:
        """Averaged generator, discriminator, metric network, and the features of classes."""
        assert self.bank is not None
        state = super().export(values, mask)
        state[SIGMA] = self.kernels.log_sigma.detach().exp()
        return state | prefixed({M_PREFIX: self.metric, B_PREFIX: self.bank})


def choose(request: Request) -> OpenganChoices:
    """Every number of a training."""
    table = preset_of("opengan", request.preset)
    sizes = {name: table[name] for name in ("width", "width_max", "metric_width")}
    arch = Sizes(request.size, request.labels, **sizes)
    common = game_choices(request, table)
    return OpenganChoices(
        arch=arch, pretrain_lr=request.pick("pretrain_lr", table["pretrain_lr"]), **common
    )


def build(
    choices: OpenganChoices, feed: Feed, world: World | None, held: Feed | None, **_: Any
) -> OpenganTrainer:
    """A new trainer."""
    return OpenganTrainer(choices, feed, world, held)
