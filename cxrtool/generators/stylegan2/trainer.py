"""One adversarial training step, and the state that makes the next one.

In: `Choices` and a `Feed`. Out: networks that improve, running means of what happened, a state for
checkpoints. Every random draw of a step comes from a generator seeded by (seed, purpose, images
seen), so a step is a pure function of the state before it. No step reads a number back from the
device: all of them wait in `means` for the next tick.

A step has four losses, each back through the networks over the parts of the batch. The main phases
run as `Execution` says, the regularizers as written in float32. Lazy regularization (Karras et al.
2020, appendix B): R1 every 16 and path length every 4 steps, each an optimizer step of its own,
weighted by its interval, with Adam's rates corrected.
"""

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cxrtool.generators import losses
from cxrtool.generators.augment import Controller, augment
from cxrtool.generators.base import GeneratorTrainer, Means, gradient_norm, held
from cxrtool.generators.conditions import frequent_conditions
from cxrtool.generators.execution import Execution
from cxrtool.generators.feed import Batch, Feed
from cxrtool.generators.saved import D_PREFIX, G_PREFIX, prefixed
from cxrtool.generators.stylegan2.choices import Choices, choose
from cxrtool.generators.stylegan2.discriminator import Discriminator, Verdict
from cxrtool.generators.stylegan2.generator import Generator, Mixing
from cxrtool.generators.stylegan2.network import W_PREFIX, load_generator, load_judge, mean_latents
from cxrtool.training.ema import ema_decay, update_ema
from cxrtool.training.rng import Draws, torch_generator
from cxrtool.training.schedules import burnt_in, lazy_correction
from cxrtool.training.world import World

__all__ = ["StyleGan2Trainer", "build", "choose", "load_generator", "load_judge"]

BETA2 = 0.99
CENTER_SAMPLES = 10_000
REFERENCE_MOST = 512  # real images that set the reference of the minibatch statistic


class StyleGan2Trainer(GeneratorTrainer):
    """Both networks of `stylegan2`, their optimizers and the average of the generator.

    Args:
        choices: All numbers.
        feed: The data, on the device to train on.
        world: The processes that share each batch; None for this one alone.
        execution: Precision and compilation of the main phases; None for float32 as written.
        **_: What other architectures are built with.

    Attributes: those of `GeneratorTrainer`, and
        follower: From trained weights on, another average, with a ramp: on other images those
            weights are soon in the way. The loop takes the better of both. None from new weights.
        path_mean: Running mean of the path lengths, a scalar.
        controller: Of the augmentations' probability.
    """

    choices: Choices
    generator: Generator
    discriminator: Discriminator
    average: Generator
    accumulates = True
    remedy = "a lower --lr or a higher --gamma"

    def __init__(
        self,
        choices: Choices,
        feed: Feed,
        world: World | None = None,
        execution: Execution | None = None,
        **_: Any,
    ) -> None:
        super().__init__(choices, feed, world)
        arch, seed = choices.arch, choices.seed
        self.execution = execution or Execution(feed.device, arch.size, "float32", "off")
        self.generator = Generator(arch, torch_generator("init G", seed)).to(self.device)
        self.discriminator = Discriminator(
            arch, torch_generator("init D", seed), feed.prevalence.cpu()
        ).to(self.device)
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        self.path_mean = torch.zeros((), device=self.device)
        self.controller = Controller(choices.augment_nimg, self.device)
        self.gamma, self.settled = choices.r1_gamma, 0.0
        self.relativistic = choices.loss == "rp-r1r2"  # only differences of scores mean anything
        self._lazy_r1 = bool(choices.r1_gamma) and not self.relativistic
        path_interval = choices.path_interval if choices.path_weight else None
        self.g_opt = self._adam(self.generator, path_interval)
        self.d_opt = self._adam(self.discriminator, choices.r1_interval if self._lazy_r1 else None)
        self.optimizers = {"g": self.g_opt, "d": self.d_opt}
        names = ["generator", "discriminator", "average", "g_opt", "d_opt", "controller"]
        if choices.ema_ramp is None:
            self.follower = copy.deepcopy(self.average)
            names.append("follower")
        self.members = {name: getattr(self, name) for name in names}

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
        vectors = torch.from_numpy(frequent_conditions(values, mask))
        rng = torch_generator("center", self.choices.seed, device=self.device)
        joint, _ = self.feed.fake_labels(Draws(rng, CENTER_SAMPLES), natural=True)
        means = mean_latents(self.average, vectors, joint)
        self.set_reference_statistic()
        networks = {G_PREFIX: self.average, D_PREFIX: self.discriminator}
        return prefixed(networks) | {f"{W_PREFIX}{k}": v for k, v in means.items()}

    def step(self) -> None:
        """Train on the next batch."""
        choices, index = self.choices, self.nimg // self.choices.batch
        self._set_ramp()
        self._settle()
        real = self.reals()
        networks = (self.generator, self.discriminator)
        self.execution.prove(networks, lambda: self._trial(real), self.world.any)
        self.of_generator(real)
        self._update(self.g_opt, self.generator, "g_grad_norm")
        if choices.path_weight and index % choices.path_interval == 0:
            self.of_path_length()
            self._update(self.g_opt, self.generator)
        sign = self.of_discriminator(real)
        self._update(self.d_opt, self.discriminator, "d_grad_norm")
        if choices.augment and choices.augment_p is None:
            if choices.augment_end is None:
                self.controller.update(self.world.mean(sign), choices.batch)
            else:
                self.controller.approach(choices.augment_end, choices.batch)
            self.means.add(augment_p=self.controller.p)
        if self._lazy_r1 and index % choices.r1_interval == 0:
            self.of_r1(real)
            self._update(self.d_opt, self.discriminator)
        half_life, ramp = choices.ema_nimg, choices.ema_ramp
        if choices.burn_in_nimg:
            half_life, ramp = self.settled * min(half_life, choices.burn_in_nimg / 20), None
        decay = ema_decay(self.nimg, choices.batch, half_life, ramp)
        update_ema(self.average, self.generator, decay)
        if self.follower is not None:
            decay = ema_decay(self.nimg, choices.batch, choices.ema_nimg)
            update_ema(self.follower, self.generator, decay)
        self.nimg += choices.batch

    @torch.no_grad()
    def set_reference_statistic(self) -> None:
        """Store the minibatch statistic of real images, for scores that need no batch mates."""
        group, total = self.choices.arch.group, 0.0
        groups = max(1, min(REFERENCE_MOST, len(self.feed)) // group)
        for index in range(groups):
            x = self.feed.reals(index * group, group).x
            total += float(self.discriminator.stddev_of(x))
        self.discriminator.std_reference.fill_(total / groups)

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on."""
        return {**super().state_dict(), "path_mean": self.path_mean}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict`."""
        super().load_state_dict(state)
        self.path_mean = state["path_mean"].to(self.device)

    def parts(self, n: int) -> list[Tensor]:
        """The samples of n that go through the networks together: int64 rows, in order.

        Whole groups of the minibatch statistic, so that a step in parts is the step in one. Each
        process takes an equal run of parts.
        """
        parts = torch.arange(n, device=self.device).chunk(self.choices.parts)
        mine = self.choices.parts // self.world.size
        return list(parts[self.world.rank * mine : (self.world.rank + 1) * mine])

    def of_generator(self, real: Batch) -> None:
        """Adversarial loss and label loss of new images, into the generator."""
        choices, n = self.choices, self.choices.batch
        with held(self.discriminator):
            for rows in self.parts(n):
                draws = self.draws("G", n, rows)
                images, _, y, mask = self._fakes(draws, self._like(real, rows))
                verdict = self._judge(self._augmented(images, draws), y, mask)
                if self.relativistic:
                    with torch.no_grad():
                        x = self._augmented(real.x[rows], draws)
                        winner = self._judge(x, real.y[rows], real.mask[rows]).score
                    loss = losses.relativistic_loss(verdict.score, winner)
                else:
                    loss = losses.generator_loss(verdict.score)
                total = loss
                if choices.arch.labels:
                    # Complete labels: the generator was asked for the drawn ones too.
                    label_loss = losses.label_loss(verdict.labels, y, torch.ones_like(mask))
                    total = total + choices.label_weight * self.discriminator.ramp * label_loss
                    self.means.add(g_label_loss=label_loss)
                (total * (len(rows) / n)).backward()
                self.means.add(g_loss=loss)

    def of_path_length(self) -> None:
        """Path length penalty, into the generator, and the new mean of the lengths."""
        n = max(1, self.choices.batch // 2)
        weight = self.choices.path_weight * self.choices.path_interval
        means = []
        for rows in self.parts(n):
            draws = self.draws("path", n, rows)
            # [m, C, H, W], [m, num_ws, w_dim]
            images, ws, _, _ = self._fakes(draws, main=False)
            noise = draws.normal(*images.shape[1:])
            penalty, mean, lengths = losses.path_length(images, ws, self.path_mean, noise)
            (penalty * (weight * len(rows) / n)).backward()
            means.append(mean)
            self.means.add(path_penalty=penalty, path_length=lengths)
        self.path_mean = self.world.mean(torch.stack(means).mean())

    def of_discriminator(self, real: Batch) -> Tensor:
        """Adversarial loss of real and new images and label loss of real ones, into the
        discriminator.

        Returns:
            r_t of this batch, the mean sign of the scores of augmented real images: a scalar.
        """
        signs = []
        counts = real.mask.sum(dim=0)
        for rows in self.parts(self.choices.batch):
            score_real, score_fake = self._judge_both(real, rows, counts)  # [m] each
            # Only differences mean anything to the relativistic loss.
            sure = score_real - score_fake if self.relativistic else score_real
            signs.append(sure.detach().sign().mean())
            self.means.add(r_t=signs[-1], score_real=score_real, score_fake=score_fake)
        return torch.stack(signs).mean()

    def of_r1(self, real: Batch) -> None:
        """R1 of real images, into the discriminator."""
        n = self.choices.batch
        weight = self.choices.r1_gamma / 2 * self.choices.r1_interval
        for rows in self.parts(n):
            # At the images that the discriminator sees: augmented, with the augmentation held
            # fixed.
            x = self._augmented(real.x[rows], self.draws("R1", n, rows)).requires_grad_(True)
            score = self.discriminator(x, real.y[rows], real.mask[rows]).score
            penalty = losses.gradient_penalty(score, x).mean()
            (penalty * (weight * len(rows) / n)).backward()
            self.means.add(r1_penalty=penalty)

    def _judge_both(self, real: Batch, rows: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
        """Loss of a part of the batch, back through the discriminator; scores of its images."""
        choices, m = self.choices, len(rows)
        n = choices.batch
        draws = self.draws("D", n, rows)
        with torch.no_grad():
            fake, _, fake_y, fake_mask = self._fakes(draws, self._like(real, rows))
        # One pass over both halves; groups of the minibatch statistic never cross the middle.
        both = Draws(draws.generator, 2 * n, torch.cat([rows, rows + n]))
        x = self._augmented(torch.cat([real.x[rows], fake]), both)  # [2 m, C, H, W]
        x = x.requires_grad_(self.relativistic)
        y, mask = torch.cat([real.y[rows], fake_y]), torch.cat([real.mask[rows], fake_mask])
        # The penalties of the relativistic game need gradients of gradients.
        verdict: Verdict = (self.discriminator if self.relativistic else self._judge)(x, y, mask)
        score_real, score_fake = verdict.score[:m], verdict.score[m:]
        if self.relativistic:
            loss = losses.relativistic_loss(score_real, score_fake)
            penalty = losses.gradient_penalty(verdict.score, x)
            self.means.add(r1_penalty=penalty[:m], r2_penalty=penalty[m:])
            # R1 and R2: each half's mean, so twice the mean over both.
            total = loss + self.gamma / 2 * 2 * penalty.mean()
        else:
            loss = total = losses.discriminator_loss(score_real, score_fake)
        total = total * (m / n)
        if choices.arch.labels:
            label_loss = losses.label_loss(verdict.labels[:m], y[:m], mask[:m], counts)
            total = total + choices.d_label_weight * self.discriminator.ramp * label_loss
            self.means.add(d_label_loss=label_loss * choices.parts)
        total.backward()
        self.means.add(d_loss=loss)
        return score_real, score_fake

    def _like(self, real: Batch, rows: Tensor) -> tuple[Tensor, Tensor] | None:
        """Values and mask that fakes have in common with those real images; None for any.

        A pair of two conditions would be told apart by its labels.
        """
        return (real.y[rows], real.mask[rows]) if self.relativistic else None

    def _fakes(
        self, draws: Draws, like: tuple[Tensor, Tensor] | None = None, main: bool = True
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(images `[m, C, H, W]`, their w, labels `[m, L]`, which of these stood in a row)."""
        choices, network, feed = self.choices, self.generator, self.feed
        z = draws.normal(choices.arch.z_dim)
        y, mask = feed.fake_labels(draws) if like is None else feed.completed(*like, draws)
        mixing = Mixing.draw(choices.arch.z_dim, network.num_ws, choices.style_mixing, draws)
        noise = network.draw_noise(draws)
        run = self.execution.run if main else nn.Module.__call__  # as written
        images, w = run(network, z, y, noise, mixing)
        return images, w, y, mask

    def _judge(self, x: Tensor, y: Tensor, mask: Tensor) -> Verdict:
        verdict: Verdict = self.execution.run(self.discriminator, x, y, mask, None)
        return verdict

    def _augmented(self, x: Tensor, draws: Draws) -> Tensor:
        p = self.choices.augment_p
        return augment(x, self.choices.augment, draws, self.controller.p if p is None else p)

    def _adam(self, network: nn.Module, lazy_interval: int | None) -> torch.optim.Adam:
        c = 1.0 if lazy_interval is None else lazy_correction(lazy_interval)
        betas = (0.0, BETA2**c)
        return torch.optim.Adam(
            network.parameters(), lr=self.choices.lr * c, betas=betas, eps=1e-8, fused=True
        )

    def _settle(self) -> None:
        """Of a relativistic game: from large steps and a strong penalty to small and a weak one."""
        choices = self.choices
        if not choices.burn_in_nimg:
            return
        self.settled = settled = burnt_in(self.nimg, choices.burn_in_nimg)
        self.gamma = choices.r1_gamma * (1 - 0.9 * settled)
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = choices.lr * (1 - 0.75 * settled) * 0.5**self.reloads
                group["betas"] = (0.0, 0.9 + 0.09 * settled)

    def _set_ramp(self) -> None:
        """From an unconditional to a conditional game (Shahbazi et al. 2022, arXiv 2201.06578)."""
        length = self.choices.ramp_nimg
        ramp = min(1.0, self.nimg / length) if length else 1.0
        for module in (self.generator.mapping, self.average.mapping, self.discriminator):
            module.ramp.fill_(ramp)

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


build = StyleGan2Trainer
