"""The finished networks of OpenGAN as other packages use them.

In: a saved state. Out: `training.protocols.Generator` and `Judge`. A class is asked for by features
of its real images, which the model holds; the judge reads classes with the metric network, held-out
ones included.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from cxrtool.core.errors import InputError
from cxrtool.generators.classic.opengan.bank import Bank
from cxrtool.generators.classic.opengan.metric import MetricNetwork, log_probabilities
from cxrtool.generators.classic.opengan.networks import Discriminator, Generator, Sizes
from cxrtool.generators.classic.trained import LatentJudge, prevalence_in
from cxrtool.generators.stylegan2.network import D_PREFIX, G_PREFIX, architecture_of, part_of
from cxrtool.training.models import load_weights
from cxrtool.training.rng import torch_generator

M_PREFIX, B_PREFIX, SIGMA = "metric.", "bank.", "sigma"


class OpenGenerator(nn.Module):
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
        super().__init__()
        self.network, self.bank, self.labels, self.meta = network, bank, labels, dict(meta)
        arch = network.arch
        self.size, self.channels, self.z_dim = arch.size, arch.channels, arch.z_dim

    def generate(
        self, z: Tensor, y: Tensor, truncation: float = 1.0, noise: str = "const"
    ) -> Tensor:
        """Images in [-1, 1]; truncation pulls noise to 0 and features to the mean of the class.

        Raises:
            ValueError: y has another number of labels.
        """
        if y.shape[1] != len(self.labels):
            raise ValueError(f"{y.shape[1]} label values given, {len(self.labels)} needed")
        return self.from_features(
            z[:, :-1] * truncation, self.bank(z[:, -1], y.argmax(dim=1), truncation)
        )

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


def load_generator(
    meta: Mapping[str, Any], state: Mapping[str, Tensor], run_dir: Path
) -> OpenGenerator:
    """The finished generator."""
    arch = architecture_of(meta, run_dir, Sizes)
    network = Generator(arch, torch_generator("unused"))
    load_weights(network, part_of(state, G_PREFIX), file=run_dir / "model.safetensors")
    return OpenGenerator(network, bank_of(arch, state, run_dir), tuple(meta["labels"]), meta)


def load_judge(meta: Mapping[str, Any], state: Mapping[str, Tensor], run_dir: Path) -> LatentJudge:
    """The finished discriminator and metric network."""
    arch, file = architecture_of(meta, run_dir, Sizes), run_dir / "model.safetensors"
    network = Discriminator(arch, torch_generator("unused"))
    load_weights(network, part_of(state, D_PREFIX), file=file)
    metric = MetricNetwork(arch.size, arch.channels, arch.metric_width, torch_generator("unused"))
    load_weights(metric, part_of(state, M_PREFIX), file=file)
    judge = OpenJudge(network, metric, bank_of(arch, state, run_dir), state[SIGMA])
    return LatentJudge(judge, tuple(meta["labels"]), prevalence_in(meta), single=True)


def bank_of(arch: Sizes, state: Mapping[str, Tensor], run_dir: Path) -> Bank:
    """The features that a model holds.

    Raises:
        InputError: they are missing.
    """
    found = part_of(state, B_PREFIX)
    if found.keys() != {"features", "classes"}:
        raise InputError("the features of the classes are missing", file=run_dir)
    return Bank(found["features"], found["classes"], arch.labels)
