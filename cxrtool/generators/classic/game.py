"""What the trainings of the older architectures have in common.

In: an architecture's own numbers and networks. Out: a trainer of the form that the loop knows
(`generators.protocol`): perhaps a stage before the game, then discriminator and generator in turn,
the average of the generator, a state that holds every network and optimizer. What a step does is
the architecture's own file.
"""

import copy
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from cxrtool.generators import losses
from cxrtool.generators.base import BaseTrainer, gradient_norm
from cxrtool.generators.classic.layers import update_average
from cxrtool.generators.feed import Feed
from cxrtool.generators.protocol import Sizes
from cxrtool.generators.saved import D_PREFIX, G_PREFIX, prefixed
from cxrtool.training.ema import ema_decay
from cxrtool.training.rng import Draws, torch_generator
from cxrtool.training.world import World

START_NIMG = 5000  # images of a game before which equal images are no collapse


class GameTrainer(BaseTrainer):
    """Networks by name; a subclass says which, and what a step of each stage does.

    Args:
        choices: All numbers.
        feed: The data, on the device to train on.
        world: For the agreement of processes; there is one.
        **_: What other architectures are built with.

    Attributes: those of `generators.protocol.GeneratorTrainer`, and
        pair: What builds generator and discriminator from sizes and a random generator.
        betas: Of Adam in the game.
        networks: All that is trained, and the average.
    """

    pair: ClassVar[tuple[Callable[..., nn.Module], Callable[..., nn.Module]]]
    betas: ClassVar[tuple[float, float]]
    accumulates = False
    follower = None
    remedy = "a lower --lr"

    def __init__(self, choices: Any, feed: Feed, world: World | None = None, **_: Any) -> None:
        super().__init__(choices, feed, world)
        generator, judge = (self._new(build, name) for build, name in zip(self.pair, "GD"))
        average = copy.deepcopy(generator).eval().requires_grad_(False)
        self.networks = {"generator": generator, "discriminator": judge, "average": average}
        self.optimizers = {
            "g": self._adam(generator.parameters(), choices.lr),
            "d": self._adam(judge.parameters(), getattr(choices, "d_lr", choices.lr)),
        }

    def _new(self, build: Callable[..., nn.Module], name: str) -> Any:
        rng = torch_generator(f"init {name}", self.choices.seed)
        return build(self.choices.arch, rng).to(self.device)

    def _adam(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        betas: tuple[float, float] | None = None,
    ) -> torch.optim.Adam:
        return torch.optim.Adam(parameters, lr=lr, betas=betas or self.betas)

    # Any: each architecture knows its own class.

    @property
    def generator(self) -> Any:
        """Trains."""
        return self.networks["generator"]

    @property
    def discriminator(self) -> Any:
        """Trains."""
        return self.networks["discriminator"]

    @property
    def average(self) -> Any:
        """The generator with averaged weights."""
        return self.networks["average"]

    @property
    def ready(self) -> bool:
        """Whether the stage before the game is over."""
        return bool(self.nimg > self.choices.pretrain_nimg or not self.choices.pretrain_nimg)

    @property
    def varies(self) -> bool:
        """Whether the game is old enough: small first weights make gray images of all latents."""
        return bool(self.nimg - self.choices.pretrain_nimg > START_NIMG)

    @property
    def sizes(self) -> Sizes:
        """Of the networks."""
        sizes: Sizes = self.choices.arch
        return sizes

    def step(self) -> None:
        """Train on the next batch; after the last one of the stage before the game, hand over."""
        if self.nimg < self.choices.pretrain_nimg:
            self._first_step()
            self.nimg += self.choices.batch
            if self.nimg >= self.choices.pretrain_nimg:
                self.hand_over()
            return
        self._discriminator_step()
        self._generator_step()
        self.count()

    def _first_step(self) -> None:
        """Of the stage before the game, where there is one."""
        raise NotImplementedError

    def hand_over(self) -> None:
        """From the stage before the game to the game."""
        raise NotImplementedError

    def _discriminator_step(self) -> None:
        raise NotImplementedError

    def _generator_step(self) -> None:
        raise NotImplementedError

    def wanted(self, draws: Draws) -> tuple[Tensor, Tensor]:
        """What to generate in this step: latents `[N, z_dim]`, labels `[N, L]` as reals have."""
        z = draws.normal(self.z_dim)
        return z, self.feed.fake_labels(draws).y

    def with_labels(
        self, loss: Tensor, logits: Tensor, y: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """A loss and that of the label head: the discriminator's on reals, or, where no label is
        said to be unknown, the generator's on what it was asked for."""
        if not self.sizes.labels:
            return loss
        if mask is not None:
            label_loss = losses.label_loss(logits, y, mask)
            self.means.add(d_label_loss=label_loss)
            return loss + label_loss
        label_loss = losses.label_loss(logits, y, torch.ones_like(y, dtype=torch.bool))
        self.means.add(g_label_loss=label_loss)
        total: Tensor = loss + self.choices.label_weight * label_loss
        return total

    @torch.no_grad()
    def sample(self, z: Tensor, y: Tensor) -> Tensor:
        """Images of the averaged generator."""
        images: Tensor = self.average(z, y)
        return images

    def export(self, values: np.ndarray, mask: np.ndarray) -> dict[str, Tensor]:
        """Averaged generator and discriminator."""
        return prefixed({G_PREFIX: self.average, D_PREFIX: self.discriminator})

    def update(self, name: str, loss: Tensor, norm: str = "") -> None:
        """Take the step of an optimizer that a loss asks for; count it under `norm`."""
        optimizer = self.optimizers[name]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if norm:
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            self.means.add(**{norm: gradient_norm(parameters)})
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
            **super().state_dict(),
            **{name: network.state_dict() for name, network in self.networks.items()},
            "optimizers": {name: opt.state_dict() for name, opt in self.optimizers.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict`.

        Raises:
            ValueError: the state belongs to other networks.
        """
        super().load_state_dict(state)
        for name, network in self.networks.items():
            network.load_state_dict(state[name])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
