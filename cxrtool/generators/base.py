"""What the trainers of all architectures have in common.

In: choices and training rows. Out: real images in order, random draws as a function of images seen,
and a state. The loop counts images, takes steps, writes checkpoints and keeps the best network;
what a step does, and which networks there are, is the architecture's own file.
"""

import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from cxrtool.generators.augment import mirror
from cxrtool.generators.feed import Batch, Feed
from cxrtool.training.rng import Draws, torch_generator
from cxrtool.training.world import World


class BestGenerator(NamedTuple):
    """An averaged generator that is kept.

    Attributes:
        nimg: Images seen when it was measured.
        value: Its Fréchet distance, or its loss on held-out patients.
        lowest: The lowest of all networks measured so far.
    """

    nimg: int
    value: float
    lowest: float


class Means:
    """Means by name since the last `read`, on the device until somebody reads them.

    Adding never waits for the device; reading does, once for all of them.

    Args:
        device: Where the sums live.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self._device = torch.device(device)
        self._sums: dict[str, Tensor] = {}
        self._counts: Counter[str] = Counter()

    @torch.no_grad()
    def add(self, **values: Tensor) -> None:
        """Count the mean of each tensor once."""
        for name, value in values.items():
            mean = value.detach().to(self._device, torch.float64).mean()
            self._sums[name] = self._sums.get(name, 0) + mean
            self._counts[name] += 1

    def read(self, over: Callable[[Tensor], Tensor] | None = None) -> dict[str, float]:
        """The means by name, in the order of first use; then start again.

        Args:
            over: Makes one of the sums of several processes that counted alike, such as their mean.
        """
        if not self._sums:
            return {}
        stacked = torch.stack(list(self._sums.values()))
        sums = (stacked if over is None else over(stacked)).tolist()
        means = {name: total / self._counts[name] for name, total in zip(self._sums, sums)}
        self._sums, self._counts = {}, Counter()
        return means

    def state_dict(self) -> dict[str, dict[str, Tensor] | dict[str, int]]:
        """For a checkpoint in the middle of a tick."""
        sums = {name: value.cpu().clone() for name, value in self._sums.items()}
        return {"sums": sums, "counts": dict(self._counts)}

    def load_state_dict(self, state: dict[str, dict[str, Tensor] | dict[str, int]]) -> None:
        """Put back what `state_dict` returned."""
        self._sums = {
            name: torch.as_tensor(value).to(self._device) for name, value in state["sums"].items()
        }
        self._counts = Counter(state["counts"])


class GeneratorTrainer(ABC):
    """The training of a generator, as the loop, its measurements and pictures know it.

    A subclass has networks and optimizers, and takes the steps.

    Args:
        choices: All numbers: those that `choices.common_choices` makes, sizes as `arch`, and those
            of the architecture.
        feed: The data, on the device to train on.
        world: The processes that share each batch; None for this one alone.

    Attributes:
        generator: Trains.
        discriminator: Trains, where there is a game.
        average: The generator with averaged weights, which makes the pictures.
        follower: Another average, that the first may be replaced by; None where there is one alone.
        members: All that has a state of its own, by the name in checkpoints.
        optimizers: By name.
        means: What happened since the last reading.
        nimg: Real images seen.
        best: The averaged generator that is kept so far.
        reloads: How often a divergence sent the training back.
        data_wait_s: Seconds that steps have waited for real images, in this process.
        remedy: What to try after a divergence.
        decay_nimg: Images from which on a step depends on the length of the whole training; None
            where none does.
        accumulates: Whether a batch may go through the networks in parts.
    """

    generator: nn.Module
    discriminator: nn.Module
    average: nn.Module
    follower: nn.Module | None = None
    members: dict[str, Any]
    optimizers: dict[str, torch.optim.Optimizer]
    remedy = "a lower --lr"
    decay_nimg: int | None = None
    accumulates = False

    def __init__(self, choices: Any, feed: Feed, world: World | None = None) -> None:
        self.choices, self.feed, self.device = choices, feed, feed.device
        self.world = world or World(feed.device)
        self.z_dim, self.size = int(choices.arch.z_dim), int(choices.arch.size)
        self.means = Means(self.device)
        self.nimg = 0
        self.data_wait_s = 0.0
        self.best: BestGenerator | None = None
        self.reloads = 0

    @property
    def networks(self) -> list[str]:
        """Names of the members that are networks."""
        return [name for name, member in self.members.items() if isinstance(member, nn.Module)]

    @property
    @abstractmethod
    def ready(self) -> bool:
        """Whether the averaged generator is one that may be kept (no stage before the game)."""

    @property
    def varies(self) -> bool:
        """Whether images that are all alike are a collapse by now, and not the start."""
        return True

    @abstractmethod
    def step(self) -> None:
        """Train on the next batch."""

    @abstractmethod
    def sample(self, z: Tensor, y: Tensor) -> Tensor:
        """Images of the averaged generator: `[N, z_dim]` standard normal and `[N, L]` labels to
        `[N, C, size, size]`, not clamped."""

    @abstractmethod
    def export(self, values: np.ndarray, mask: np.ndarray) -> dict[str, Tensor]:
        """The finished networks as one flat state, for `model.safetensors`.

        Args:
            values: `[N, L]` labels of the training rows in {0, 1}.
            mask: `[N, L]` bool.
        """

    def draws(self, purpose: str, n: int | None = None, rows: Tensor | None = None) -> Draws:
        """Random numbers of a purpose in this step, for some of n samples (the batch's)."""
        again = (self.reloads,) if self.reloads else ()
        rng = torch_generator(purpose, self.choices.seed, self.nimg, *again, device=self.device)
        return Draws(rng, self.choices.batch if n is None else n, rows)

    def reals(self) -> Batch:
        """The real images of this step."""
        start = time.perf_counter()
        batch = self.feed.reals(self.nimg, self.choices.batch)
        if self.choices.mirror:
            batch = batch._replace(x=mirror(batch.x, self.draws("mirror")))
        self.data_wait_s += time.perf_counter() - start
        return batch

    def reload(self) -> None:
        """Make what follows differ from what diverged: other random numbers, half the rates."""
        self.reloads += 1
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] *= 0.5

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on."""
        return {
            "arch": self.choices.arch.to_json(),
            "means": self.means.state_dict(),
            "nimg": self.nimg,
            "best": None if self.best is None else tuple(self.best),
            "reloads": self.reloads,
            **{name: member.state_dict() for name, member in self.members.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict`.

        Raises:
            ValueError: the state belongs to other networks.
        """
        ours = self.choices.arch.to_json()
        if state["arch"] != ours:
            keys = [key for key in ours if state["arch"].get(key) != ours[key]]
            raise ValueError(f"checkpoint of another architecture ({', '.join(keys)} differ)")
        self.means.load_state_dict(state["means"])
        self.nimg = int(state["nimg"])
        self.best = None if state["best"] is None else BestGenerator(*state["best"])
        self.reloads = int(state["reloads"])
        for name, member in self.members.items():
            member.load_state_dict(state[name])


def gradient_norm(parameters: Iterable[Tensor]) -> Tensor:
    """Of all parameters that have a gradient: a scalar."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm: Tensor = torch.stack(torch._foreach_norm(gradients)).norm()
    return norm


@contextmanager
def held(network: nn.Module) -> Iterator[None]:
    """Without gradients for the weights of a network; those that had them have them again after."""
    learning = [p for p in network.parameters() if p.requires_grad]
    network.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)
