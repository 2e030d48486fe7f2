"""What the trainers of all architectures have in common.

In: choices and training rows. Out: real images in order, random draws as a function of images seen,
and the numbers of a checkpoint that do not belong to one architecture. What a step does is the
architecture's own file.
"""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from cxrtool.generators.augment import mirror
from cxrtool.generators.feed import Batch, Feed
from cxrtool.generators.protocol import BestGenerator
from cxrtool.training.rng import Draws, torch_generator
from cxrtool.training.statistics import Means
from cxrtool.training.world import World


class BaseTrainer:
    """Counts and draws; a subclass has networks and optimizers, and takes the steps.

    Args:
        choices: All numbers.
        feed: The data, on the device to train on.
        world: The processes that share each batch; None for this one alone.

    Attributes: those of `generators.protocol.GeneratorTrainer`, and
        optimizers: By name.
    """

    optimizers: dict[str, torch.optim.Optimizer]

    def __init__(self, choices: Any, feed: Feed, world: World | None = None) -> None:
        self.choices, self.feed, self.device = choices, feed, feed.device
        self.world = world or World(feed.device)
        self.means = Means(self.device)
        self.nimg = 0
        self.data_wait_s = 0.0
        self.best: BestGenerator | None = None
        self.reloads = 0

    @property
    def z_dim(self) -> int:
        """Length of a latent vector."""
        return int(self.choices.arch.z_dim)

    @property
    def size(self) -> int:
        """Of the images, pixels."""
        return int(self.choices.arch.size)

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
        """All that the next step depends on, but for networks and optimizers."""
        return {
            "arch": self.choices.arch.to_json(),
            "means": self.means.state_dict(),
            "nimg": self.nimg,
            "best": None if self.best is None else tuple(self.best),
            "reloads": self.reloads,
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
