"""One adversarial training step, and the state that makes the next one.

In: `Choices` and a `Feed`. Out: networks that improve, running means of what happened, a state for
checkpoints. Every random draw of a step comes from a generator seeded by (seed, purpose, images
seen), so a step is a pure function of the state before it. No step reads a number back from the
device: all of them wait in `means` for the next tick.

Lazy regularization (Karras et al. 2020, appendix B): R1 every 16 and path length every 4 steps,
each an optimizer step of its own, weighted by its interval, with Adam's rates corrected.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cxrtool.generators.augment import Controller, mirror
from cxrtool.generators.feed import Batch, Feed
from cxrtool.generators.protocol import Kept
from cxrtool.generators.stylegan2 import gradients
from cxrtool.generators.stylegan2.choices import Choices
from cxrtool.generators.stylegan2.discriminator import Discriminator
from cxrtool.generators.stylegan2.execution import Execution
from cxrtool.generators.stylegan2.generator import Generator
from cxrtool.training.ema import ema_decay, update_ema
from cxrtool.training.rng import Draws, torch_generator
from cxrtool.training.schedules import lazy_correction
from cxrtool.training.statistics import Means
from cxrtool.training.world import World

BETA2 = 0.99


class StyleGan2Trainer:
    """Both networks of `stylegan2`, their optimizers and the average of the generator.

    Args:
        choices: All numbers.
        feed: The data, on the device to train on.
        world: The processes that share each batch; None for this one alone.
        execution: Precision and compilation of the main phases; None for float32 as written.

    Attributes:
        nimg: Real images seen.
        average: The generator with averaged weights, which makes the pictures.
        follower: From trained weights on, another average, with a ramp: on other images those
            weights are soon in the way. The loop takes the better of both. None from new weights.
        means: What happened since the last reading.
        data_wait_s: Seconds that steps have waited for real images so far, in this process.
        best: The averaged generator that is kept so far.
        reloads: How often a divergence sent the training back.
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
        self.choices, self.feed, self.device = choices, feed, feed.device
        self.world = world or World(feed.device)
        self.execution = execution or Execution(feed.device, choices.arch.size, "float32", "off")
        arch = choices.arch
        self.generator = Generator(arch, torch_generator("init G", choices.seed))
        self.discriminator = Discriminator(
            arch, torch_generator("init D", choices.seed), feed.prevalence.cpu()
        )
        self.generator.to(self.device)
        self.discriminator.to(self.device)
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        self.follower = copy.deepcopy(self.average) if choices.ema_ramp is None else None
        self.path_mean = torch.zeros((), device=self.device)
        self.g_opt = self._adam(
            self.generator, choices.path_interval if choices.path_weight else None
        )
        self.d_opt = self._adam(self.discriminator, choices.r1_interval if self._lazy_r1 else None)
        self.controller = Controller(choices.augment_nimg, self.device)
        self.means = Means(self.device)
        self.nimg = 0
        self.data_wait_s = 0.0
        self.best: Kept | None = None
        self.reloads = 0

    @property
    def ready(self) -> bool:
        """Whether the labels have their full influence, with which the finished network works."""
        length = self.choices.ramp_nimg
        return not length or self.nimg - self.choices.batch >= length

    @property
    def z_dim(self) -> int:
        """Length of a latent vector."""
        return self.choices.arch.z_dim

    @property
    def size(self) -> int:
        """Of the images, pixels."""
        return self.choices.arch.size

    def sample(self, z: Tensor, y: Tensor) -> Tensor:
        """Images of the averaged generator, not clamped."""
        images: Tensor = self.average(z, y)[0]
        return images

    def export(self, values: np.ndarray, known: np.ndarray) -> dict[str, Tensor]:
        """Averaged generator, its mean latents and the discriminator."""
        from cxrtool.generators.stylegan2.network import export

        return export(self, values, known)

    def reload(self) -> None:
        """Make what follows differ from what diverged: other random numbers, half the rates."""
        self.reloads += 1
        for optimizer in (self.g_opt, self.d_opt):
            for group in optimizer.param_groups:
                group["lr"] *= 0.5

    def step(self) -> None:
        """Train on the next batch."""
        choices, index = self.choices, self.nimg // self.choices.batch
        self._set_ramp()
        real = self._reals()
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
            "arch": self.choices.arch.to_json(),
            "generator": self.generator.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "average": self.average.state_dict(),
            **({} if self.follower is None else {"follower": self.follower.state_dict()}),
            "g_opt": self.g_opt.state_dict(),
            "d_opt": self.d_opt.state_dict(),
            "path_mean": self.path_mean,
            "controller": self.controller.state_dict(),
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
        self.generator.load_state_dict(state["generator"])
        self.discriminator.load_state_dict(state["discriminator"])
        self.average.load_state_dict(state["average"])
        if self.follower is not None:
            self.follower.load_state_dict(state["follower"])
        self.g_opt.load_state_dict(state["g_opt"])
        self.d_opt.load_state_dict(state["d_opt"])
        self.path_mean = state["path_mean"].to(self.device)
        self.controller.load_state_dict(state["controller"])
        self.means.load_state_dict(state["means"])
        self.nimg = int(state["nimg"])
        self.best = None if state["best"] is None else Kept(*state["best"])
        self.reloads = int(state["reloads"])

    def _adam(self, network: nn.Module, lazy_interval: int | None) -> torch.optim.Adam:
        c = 1.0 if lazy_interval is None else lazy_correction(lazy_interval)
        betas = (0.0, BETA2**c)
        return torch.optim.Adam(
            network.parameters(), lr=self.choices.lr * c, betas=betas, eps=1e-8, fused=True
        )

    def draws(self, purpose: str, n: int, rows: Tensor | None) -> Draws:
        """Random numbers of a purpose in this step, for some of n samples."""
        again = (self.reloads,) if self.reloads else ()
        rng = torch_generator(purpose, self.choices.seed, self.nimg, *again, device=self.device)
        return Draws(rng, n, rows)

    def parts(self, n: int) -> list[Tensor]:
        """The samples of n that go through the networks together: int64 rows, in order.

        Whole groups of the minibatch statistic, so that a step in parts is the step in one. Each
        process takes an equal run of parts.
        """
        parts = torch.arange(n, device=self.device).chunk(self.choices.parts)
        mine = self.choices.parts // self.world.size
        return list(parts[self.world.rank * mine : (self.world.rank + 1) * mine])

    def _reals(self) -> Batch:
        start = time.perf_counter()
        batch = self.feed.reals(self.nimg, self.choices.batch)
        if self.choices.mirror:
            batch = batch._replace(x=mirror(batch.x, self.draws("mirror", len(batch.x), None)))
        self.data_wait_s += time.perf_counter() - start
        return batch

    @property
    def relativistic(self) -> bool:
        """Whether only differences of scores mean anything."""
        return self.choices.loss == "rp-r1r2"

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
        gradients.of_generator(self, real)
        self._update(self.g_opt, self.generator, "g_grad_norm")

    def _path_step(self) -> None:
        self.path_mean = self.world.mean(gradients.of_path_length(self))
        self._update(self.g_opt, self.generator)

    def _discriminator_step(self, real: Batch) -> None:
        sign = gradients.of_discriminator(self, real)
        self._update(self.d_opt, self.discriminator, "d_grad_norm")
        if self.choices.augment and self.choices.augment_p is None:
            self.controller.update(self.world.mean(sign), self.choices.batch)
            self.means.add("augment_p", self.controller.p)

    def _r1_step(self, real: Batch) -> None:
        gradients.of_r1(self, real)
        self._update(self.d_opt, self.discriminator)

    def _trial(self, real: Batch) -> None:
        """Both main phases without a step: gradients and means are thrown away."""
        kept, self.means = self.means, Means(self.device)
        try:
            gradients.of_generator(self, real)
            gradients.of_discriminator(self, real)
        finally:
            self.means = kept
            for optimizer in (self.g_opt, self.d_opt):
                optimizer.zero_grad(set_to_none=True)

    def _update(self, optimizer: torch.optim.Optimizer, network: nn.Module, norm: str = "") -> None:
        """Take the step of the gradients that all parts have left."""
        self.world.sum_gradients(network.parameters())
        if norm:
            self.means.add(norm, _grad_norm(network.parameters()))
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def _grad_norm(parameters: Iterable[Tensor]) -> Tensor:
    gradients = [p.grad for p in parameters if p.grad is not None]
    return torch.stack(torch._foreach_norm(gradients)).norm()
