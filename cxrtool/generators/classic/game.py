"""What the trainings of the older architectures have in common.

In: an architecture's own numbers, networks and optimizers. Out: a trainer of the form that the
loop knows (`gans.protocol`): real images in order, random draws as a function of images seen, the
average of the generator, a state that holds every network and optimizer. What a step does is the
architecture's own file.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cxrtool.generators import losses
from cxrtool.generators.augment import mirror
from cxrtool.generators.classic.layers import update_average
from cxrtool.generators.feed import Batch, Feed
from cxrtool.generators.protocol import Kept, Sizes
from cxrtool.generators.stylegan2.network import D_PREFIX, G_PREFIX
from cxrtool.training.ema import ema_decay
from cxrtool.training.rng import Draws, torch_generator
from cxrtool.training.statistics import Means
from cxrtool.training.world import World

START_NIMG = 5000  # images of a game before which equal images are no collapse


class GameTrainer:
    """Counts, draws and keeps; a subclass builds the networks and takes the steps.

    Args:
        choices: All numbers.
        feed: The data, on the device to train on.
        networks: By name; among them `generator`, `discriminator` and `average`.
        optimizers: By name.
        world: For the agreement of processes; there is one.

    Attributes: those of `generators.protocol.GeneratorTrainer`.
    """

    accumulates = False
    follower = None
    remedy = "a lower --lr"

    def __init__(
        self,
        choices: Any,
        feed: Feed,
        networks: dict[str, nn.Module],
        optimizers: Mapping[str, torch.optim.Optimizer],
        world: World | None = None,
    ) -> None:
        self.choices, self.feed, self.device = choices, feed, feed.device
        self.world = world or World(feed.device)
        self.networks, self.optimizers = networks, dict(optimizers)
        self.means = Means(self.device)
        self.nimg = 0
        self.data_wait_s = 0.0
        self.best: Kept | None = None
        self.reloads = 0

    @property
    def generator(self) -> nn.Module:
        """Trains."""
        return self.networks["generator"]

    @property
    def discriminator(self) -> nn.Module:
        """Trains."""
        return self.networks["discriminator"]

    @property
    def average(self) -> nn.Module:
        """The generator with averaged weights."""
        return self.networks["average"]

    @property
    def ready(self) -> bool:
        """Whether the stage before the game is over."""
        return self.nimg > self.choices.pretrain_nimg or not self.choices.pretrain_nimg

    @property
    def varies(self) -> bool:
        """Whether the game is old enough: small first weights make gray images of all latents."""
        return self.nimg - self.choices.pretrain_nimg > START_NIMG

    @property
    def sizes(self) -> Sizes:
        """Of the networks."""
        sizes: Sizes = self.choices.arch
        return sizes

    @property
    def z_dim(self) -> int:
        """Length of a latent vector."""
        z_dim: int = self.choices.arch.z_dim
        return z_dim

    @property
    def size(self) -> int:
        """Of the images, pixels."""
        return self.sizes.size

    def reload(self) -> None:
        """Make what follows differ from what diverged: other random numbers, half the rates."""
        self.reloads += 1
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] *= 0.5

    def draws(self, purpose: str, n: int | None = None) -> Draws:
        """Random numbers of a purpose in this step, for n samples (the batch by default)."""
        again = (self.reloads,) if self.reloads else ()
        rng = torch_generator(purpose, self.choices.seed, self.nimg, *again, device=self.device)
        return Draws(rng, self.choices.batch if n is None else n)

    def reals(self) -> Batch:
        """The real images of this step."""
        start = time.perf_counter()
        batch = self.feed.reals(self.nimg, self.choices.batch)
        if self.choices.mirror:
            batch = batch._replace(x=mirror(batch.x, self.draws("mirror")))
        self.data_wait_s += time.perf_counter() - start
        return batch

    def wanted(self, draws: Draws) -> tuple[Tensor, Tensor]:
        """What to generate in this step: latents `[N, z_dim]`, labels `[N, L]` as reals have."""
        z = draws.normal(self.z_dim)
        return z, self.feed.fake_labels(draws).y

    def with_labels(
        self, loss: Tensor, logits: Tensor, y: Tensor, known: Tensor | None = None
    ) -> Tensor:
        """A loss and that of the label head: the discriminator's on reals, or, where no label is
        said to be unknown, the generator's on what it was asked for."""
        if not self.sizes.labels:
            return loss
        if known is not None:
            label_loss = losses.label_loss(logits, y, known)
            self.means.add("d_label_loss", label_loss)
            return loss + label_loss
        label_loss = losses.label_loss(logits, y, torch.ones_like(y, dtype=torch.bool))
        self.means.add("g_label_loss", label_loss)
        total: Tensor = loss + self.choices.label_weight * label_loss
        return total

    @torch.no_grad()
    def sample(self, z: Tensor, y: Tensor) -> Tensor:
        """Images of the averaged generator."""
        images: Tensor = self.average(z, y)
        return images

    def export(self, values: np.ndarray, known: np.ndarray) -> dict[str, Tensor]:
        """Averaged generator and discriminator."""
        state = {f"{G_PREFIX}{k}": v for k, v in self.average.state_dict().items()}
        return state | {f"{D_PREFIX}{k}": v for k, v in self.discriminator.state_dict().items()}

    def update(self, name: str, loss: Tensor, norm: str = "") -> None:
        """Take the step of an optimizer that a loss asks for; count it under `norm`."""
        optimizer = self.optimizers[name]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if norm:
            found = [p.grad for g in optimizer.param_groups for p in g["params"]]
            gradients = [gradient for gradient in found if gradient is not None]
            self.means.add(norm, torch.stack(torch._foreach_norm(gradients)).norm())
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def count(self) -> None:
        """End a step of the game: average the weights, count the images."""
        seen = self.nimg - self.choices.pretrain_nimg
        decay = ema_decay(seen, self.choices.batch, self.choices.ema_nimg)
        update_average(self.average, self.generator, decay)
        self.nimg += self.choices.batch

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on."""
        return {
            "arch": self.sizes.to_json(),
            **{name: network.state_dict() for name, network in self.networks.items()},
            "optimizers": {name: opt.state_dict() for name, opt in self.optimizers.items()},
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
        ours = self.sizes.to_json()
        if state["arch"] != ours:
            keys = [key for key in ours if state["arch"].get(key) != ours[key]]
            raise ValueError(f"checkpoint of another architecture ({', '.join(keys)} differ)")
        for name, network in self.networks.items():
            network.load_state_dict(state[name])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        self.means.load_state_dict(state["means"])
        self.nimg = int(state["nimg"])
        self.best = None if state["best"] is None else Kept(*state["best"])
        self.reloads = int(state["reloads"])


@contextmanager
def held(network: nn.Module) -> Iterator[None]:
    """Without gradients for the weights of a network."""
    network.requires_grad_(False)
    try:
        yield
    finally:
        network.requires_grad_(True)
