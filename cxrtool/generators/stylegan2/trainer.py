"""One adversarial training step, and the state that makes the next one.

In: `Choices` and a `Feed`. Out: networks that improve, running means of what happened, a state for
checkpoints. Every random draw of a step comes from a generator seeded by (seed, purpose, images
seen), so a step is a pure function of the state before it. No step reads a number back from the
device: all of them wait in `means` for the next tick.

Lazy regularization (Karras et al. 2020, appendix B): R1 every 16 and path length every 4 steps,
each an optimizer step of its own, weighted by its interval, with Adam's rates corrected.
"""

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cxrtool.generators.base import gradient_norm
from cxrtool.generators.conditions import frequent_conditions
from cxrtool.generators.feed import Batch, Feed
from cxrtool.generators.saved import D_PREFIX, G_PREFIX, prefixed
from cxrtool.generators.stylegan2.choices import Choices
from cxrtool.generators.stylegan2.execution import Execution
from cxrtool.generators.stylegan2.gradients import Gradients
from cxrtool.generators.stylegan2.network import CONDITIONS_MOST, W_PREFIX, mean_latents
from cxrtool.training.ema import ema_decay, update_ema
from cxrtool.training.rng import Draws, torch_generator
from cxrtool.training.schedules import lazy_correction
from cxrtool.training.statistics import Means
from cxrtool.training.world import World

BETA2 = 0.99
CENTER_SAMPLES = 10_000
_PARTS = ("generator", "discriminator", "average", "g_opt", "d_opt", "controller")


class StyleGan2Trainer(Gradients):
    """Both networks of `stylegan2`, their optimizers and the average of the generator.

    Args: see `Gradients`.

    Attributes: those of `generators.protocol.GeneratorTrainer`, and
        follower: From trained weights on, another average, with a ramp: on other images those
            weights are soon in the way. The loop takes the better of both. None from new weights.
        varies: The first images vary already.
    """

    varies = True
    accumulates = True
    remedy = "a lower --lr or a higher --gamma"

    def __init__(
        self,
        choices: Choices,
        feed: Feed,
        world: World | None = None,
        execution: Execution | None = None,
    ) -> None:
        super().__init__(choices, feed, world, execution)
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        self.follower = copy.deepcopy(self.average) if choices.ema_ramp is None else None
        self.g_opt = self._adam(
            self.generator, choices.path_interval if choices.path_weight else None
        )
        self.d_opt = self._adam(self.discriminator, choices.r1_interval if self._lazy_r1 else None)
        self.optimizers = {"g": self.g_opt, "d": self.d_opt}

    @property
    def ready(self) -> bool:
        """Whether the labels have their full influence, with which the finished network works."""
        length = self.choices.ramp_nimg
        return not length or self.nimg - self.choices.batch >= length

    def sample(self, z: Tensor, y: Tensor) -> Tensor:
        """Images of the averaged generator, not clamped."""
        images: Tensor = self.average(z, y)[0]
        return images

    def export(self, values: np.ndarray, mask: np.ndarray) -> dict[str, Tensor]:
        """Averaged generator, its mean latents and the discriminator.

        Args:
            values: `[N, L]` labels of the training rows.
            mask: `[N, L]` bool.
        """
        vectors = torch.from_numpy(frequent_conditions(values, mask, CONDITIONS_MOST))
        rng = torch_generator("center", self.choices.seed, device=self.device)
        joint = self.feed.fake_labels(Draws(rng, CENTER_SAMPLES)).y
        means = mean_latents(self.average, vectors, joint)
        self.set_reference_statistic()
        networks = {G_PREFIX: self.average, D_PREFIX: self.discriminator}
        return prefixed(networks) | {f"{W_PREFIX}{k}": v for k, v in means.items()}

    def step(self) -> None:
        """Train on the next batch."""
        choices, index = self.choices, self.nimg // self.choices.batch
        self._set_ramp()
        real = self.reals()
        self.execution.prove(
            self.generator, self.discriminator, lambda: self._trial(real), self.world.any
        )
        self._generator_step(real)
        if choices.path_weight and index % choices.path_interval == 0:
            self._path_step()
        self._discriminator_step(real)
        if self._lazy_r1 and index % choices.r1_interval == 0:
            self._r1_step(real)
        decay = ema_decay(self.nimg, choices.batch, choices.ema_nimg, choices.ema_ramp)
        update_ema(self.average, self.generator, decay)
        if self.follower is not None:
            decay = ema_decay(self.nimg, choices.batch, choices.ema_nimg)
            update_ema(self.follower, self.generator, decay)
        self.nimg += choices.batch

    @torch.no_grad()
    def set_reference_statistic(self, most: int = 512) -> None:
        """Store the minibatch statistic of real images, for scores that need no batch mates.

        Args:
            most: Real images to average over, at most.
        """
        group, total = self.choices.arch.group, 0.0
        groups = max(1, min(most, len(self.feed)) // group)
        for index in range(groups):
            x = self.feed.reals(index * group, group).x
            total += float(self.discriminator.stddev_of(x))
        self.discriminator.std_reference.fill_(total / groups)

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on."""
        return {
            **super().state_dict(),
            **{name: getattr(self, name).state_dict() for name in self._parts},
            "path_mean": self.path_mean,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict`.

        Raises:
            ValueError: the state belongs to other networks.
        """
        super().load_state_dict(state)
        for name in self._parts:
            getattr(self, name).load_state_dict(state[name])
        self.path_mean = state["path_mean"].to(self.device)

    @property
    def _parts(self) -> tuple[str, ...]:
        """What has a state of its own."""
        return _PARTS if self.follower is None else (*_PARTS, "follower")

    def _adam(self, network: nn.Module, lazy_interval: int | None) -> torch.optim.Adam:
        c = 1.0 if lazy_interval is None else lazy_correction(lazy_interval)
        betas = (0.0, BETA2**c)
        return torch.optim.Adam(
            network.parameters(), lr=self.choices.lr * c, betas=betas, eps=1e-8, fused=True
        )

    @property
    def _lazy_r1(self) -> bool:
        return bool(self.choices.r1_gamma) and not self.relativistic

    def _set_ramp(self) -> None:
        """From an unconditional to a conditional game (Shahbazi et al. 2022, arXiv 2201.06578)."""
        length = self.choices.ramp_nimg
        ramp = min(1.0, self.nimg / length) if length else 1.0
        for module in (self.generator.mapping, self.average.mapping, self.discriminator):
            module.ramp.fill_(ramp)

    def _generator_step(self, real: Batch) -> None:
        self.of_generator(real)
        self._update(self.g_opt, self.generator, "g_grad_norm")

    def _path_step(self) -> None:
        self.path_mean = self.world.mean(self.of_path_length())
        self._update(self.g_opt, self.generator)

    def _discriminator_step(self, real: Batch) -> None:
        sign = self.of_discriminator(real)
        self._update(self.d_opt, self.discriminator, "d_grad_norm")
        if self.choices.augment and self.choices.augment_p is None:
            self.controller.update(self.world.mean(sign), self.choices.batch)
            self.means.add(augment_p=self.controller.p)

    def _r1_step(self, real: Batch) -> None:
        self.of_r1(real)
        self._update(self.d_opt, self.discriminator)

    def _trial(self, real: Batch) -> None:
        """Both main phases without a step: gradients and means are thrown away."""
        means, self.means = self.means, Means(self.device)
        try:
            self.of_generator(real)
            self.of_discriminator(real)
        finally:
            self.means = means
            for optimizer in self.optimizers.values():
                optimizer.zero_grad(set_to_none=True)

    def _update(self, optimizer: torch.optim.Optimizer, network: nn.Module, norm: str = "") -> None:
        """Take the step of the gradients that all parts have left."""
        self.world.sum_gradients(network.parameters())
        if norm:
            self.means.add(**{norm: gradient_norm(network.parameters())})
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
