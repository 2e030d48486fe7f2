"""What the training loop, its measurements and its pictures know of an architecture.

In: nothing. Out: structural types. The loop counts images, takes steps, writes checkpoints and
keeps the best network; what a step does, and which networks there are, is the trainer's own matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from cxrtool.training.loop import Trainer
from cxrtool.training.statistics import Means
from cxrtool.training.world import World


class BestGenerator(NamedTuple):
    """An averaged generator that is kept.

    Attributes:
        nimg: Images seen when it was measured.
        fd: Its Fréchet distance.
        lowest: The lowest of all networks measured so far.
    """

    nimg: int
    fd: float
    lowest: float


class Choices(Protocol):
    """The numbers of a training that do not belong to one architecture.

    Attributes:
        preset: Name of the preset.
        arch: Sizes of the networks.
        batch: Real images per step.
        parts: In how many parts a step goes through the networks.
        total_nimg: Images seen at the end.
        lr: Learning rate.
        seed: Of everything.
        snapshot_nimg: Images between checkpoints.
        tick_nimg: Images between lines of metrics.
    """

    @property
    def preset(self) -> str: ...
    @property
    def arch(self) -> Sizes: ...
    @property
    def batch(self) -> int: ...
    @property
    def parts(self) -> int: ...
    @property
    def total_nimg(self) -> int: ...
    @property
    def lr(self) -> float: ...
    @property
    def seed(self) -> int: ...
    @property
    def snapshot_nimg(self) -> float: ...
    @property
    def tick_nimg(self) -> float: ...

    @property
    def described(self) -> str:
        """What is trained, in half a line."""

    def to_json(self) -> dict[str, Any]:
        """For records."""


@dataclass(frozen=True)
class Request:
    """What a training is asked for, as far as the data decide.

    Attributes:
        size: Image size, pixels.
        preset: Name of the preset.
        images: Training images.
        labels: Conditioning labels.
        where: The data set, for messages.
        processes: That share each batch.
        options: Values of the command's options by name; None where one was left open.
    """

    size: int
    preset: str
    images: int
    labels: int
    where: str
    processes: int
    options: Mapping[str, Any]

    def pick(self, name: str, default: Any) -> Any:
        """The value of an option, or a default where it was left open."""
        value = self.options.get(name)
        return default if value is None else value


class Sizes(Protocol):
    """Sizes of networks; what `model.json` keeps to build them again."""

    @property
    def size(self) -> int: ...
    @property
    def labels(self) -> int: ...
    @property
    def channels(self) -> int: ...

    def to_json(self) -> dict[str, Any]:
        """Constructor arguments."""


class Sampler(Protocol):
    """Makes images from latents and labels.

    Attributes:
        device: Where it computes.
        z_dim: Length of a latent vector.
        size: Height and width of its images, pixels.
    """

    device: torch.device

    @property
    def z_dim(self) -> int: ...
    @property
    def size(self) -> int: ...

    def sample(self, z: Tensor, y: Tensor) -> Tensor:
        """`[N, z_dim]` standard normal and `[N, L]` -> images `[N, C, size, size]`, not clamped."""


class GeneratorTrainer(Sampler, Trainer, Protocol):
    """What `training.loop.Trainer` is, of a game between two networks.

    Its state holds `generator`, `discriminator`, `average` (states of networks) and `means`.

    Attributes:
        choices: Every number.
        world: The processes that share each batch.
        generator: Trains.
        discriminator: Trains.
        average: The generator with averaged weights, which makes the pictures.
        means: What happened since the last reading.
        nimg: Real images seen.
        best: The averaged generator that is kept so far.
        reloads: How often a divergence sent the training back.
        data_wait_s: Seconds that steps have waited for real images, in this process.
        remedy: What to try after a divergence.
        accumulates: Whether a batch may go through the networks in parts.
    """

    world: World
    means: Means
    nimg: int
    best: BestGenerator | None
    reloads: int
    data_wait_s: float
    remedy: str
    accumulates: bool

    @property
    def choices(self) -> Choices: ...
    @property
    def generator(self) -> nn.Module: ...
    @property
    def discriminator(self) -> nn.Module: ...
    @property
    def average(self) -> nn.Module: ...

    @property
    def follower(self) -> nn.Module | None:
        """Another average, that the first may be replaced by; None where there is one alone."""

    @property
    def ready(self) -> bool:
        """Whether the averaged generator is one that may be kept (no stage before the game)."""

    @property
    def varies(self) -> bool:
        """Whether images that are all alike are a collapse by now, and not the start."""

    def reload(self) -> None:
        """Make what follows differ from what diverged: other random numbers, half the rates."""

    def export(self, values: np.ndarray, mask: np.ndarray) -> dict[str, Tensor]:
        """The finished networks as one flat state, for `model.safetensors`.

        Args:
            values: `[N, L]` labels of the training rows in {0, 1}.
            mask: `[N, L]` bool.
        """
