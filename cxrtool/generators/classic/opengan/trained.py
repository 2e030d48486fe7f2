"""The finished networks of OpenGAN as other packages use them.

In: a saved state. Out: `training.protocols.Generator` and `Judge`. A class is asked for by features
of its real images, which the model holds; the judge reads classes with the metric network, held-out
ones included.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from cxrtool.core.errors import InputError
from cxrtool.generators.classic.opengan.bank import Bank
from cxrtool.generators.classic.opengan.metric import MetricNetwork, log_probabilities
from cxrtool.generators.classic.opengan.networks import (
    Discriminator,
    Generator,
    Sizes,
    metric_network,
)
from cxrtool.generators.classic.trained import LatentGenerator, LatentJudge
from cxrtool.generators.saved import D_PREFIX, G_PREFIX, SavedGenerator

M_PREFIX, B_PREFIX, SIGMA = "metric.", "bank.", "sigma"


class OpenGenerator(LatentGenerator):
    """Generator and bank of features.

    Args:
        network: The network.
        bank: Features by class.
        labels: Names of the classes, in order.
        meta: Content of `model.json`.
    """

    def __init__(
        self, network: Generator, bank: Bank, labels: tuple[str, ...], meta: Mapping[str, Any]
    ) -> None:
        super().__init__(network, labels, meta)
        self.bank = bank

    def images(self, z: Tensor, y: Tensor, truncation: float) -> Tensor:
        """Truncation pulls noise to 0 and features to the mean of the class."""
        features = self.bank(z[:, -1], y.argmax(dim=1), truncation)
        return self.from_features(z[:, :-1] * truncation, features)

    def from_features(self, noise: Tensor, features: Tensor) -> Tensor:
        """`[N, z_dim - 1]` and features of any images `[N, 512]` -> images in [-1, 1]."""
        images: Tensor = self.network(noise, features)
        return images


class OpenJudge(nn.Module):
    """Discriminator for realness, metric network for classes.

    Args:
        network: The discriminator.
        metric: The metric network.
        bank: Centers of the kernels.
        sigma: Their width, a scalar.
    """

    sigma: Tensor

    def __init__(
        self, network: Discriminator, metric: MetricNetwork, bank: Bank, sigma: Tensor
    ) -> None:
        super().__init__()
        self.network, self.metric, self.bank = network, metric, bank
        self.register_buffer("sigma", sigma)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """`[N, C, size, size]` -> (`[N]` scores given its own feature, `[N, K]` log p)."""
        features = self.metric(x)
        bank, count = self.bank, len(self.bank.counts)
        log_p = log_probabilities(features, bank.features, bank.classes, count, self.sigma)
        score: Tensor = self.network(x, features)
        return score, log_p


def load_generator(saved: SavedGenerator) -> OpenGenerator:
    """The finished generator."""
    arch = saved.sizes(Sizes)
    network = saved.network(Generator, arch, G_PREFIX)
    return OpenGenerator(network, bank_of(arch, saved), saved.labels, saved.meta)


def load_judge(saved: SavedGenerator) -> LatentJudge:
    """The finished discriminator and metric network."""
    arch = saved.sizes(Sizes)
    network = saved.network(Discriminator, arch, D_PREFIX)
    metric = saved.network(metric_network, arch, M_PREFIX)
    judge = OpenJudge(network, metric, bank_of(arch, saved), saved.state[SIGMA])
    return LatentJudge(judge, saved.labels, saved.prevalence, single=True)


def bank_of(arch: Sizes, saved: SavedGenerator) -> Bank:
    """The features that a model holds.

    Raises:
        InputError: they are missing.
    """
    bank = saved.part(B_PREFIX)
    if bank.keys() != {"features", "classes"}:
        raise InputError("the features of the classes are missing", file=saved.run_dir)
    return Bank(bank["features"], bank["classes"], arch.labels)
