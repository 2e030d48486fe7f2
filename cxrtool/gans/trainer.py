"""One adversarial training step, and the state that makes the next one.

In: `Choices` and a `Feed`. Out: networks that improve, running means of what happened, a state for
checkpoints. Every random draw of a step comes from a generator seeded by (seed, purpose, images
seen), so a step is a pure function of the state before it.

Lazy regularization (Karras et al. 2020, appendix B): R1 every 16 and path length every 4 steps,
each an optimizer step of its own, weighted by its interval, with Adam's rates corrected.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from cxrtool.gans import losses
from cxrtool.gans.augment import Controller, augment, mirror
from cxrtool.gans.choices import Choices
from cxrtool.gans.feed import Batch, Feed
from cxrtool.gans.stylegan2.discriminator import Discriminator, Verdict
from cxrtool.gans.stylegan2.generator import Generator, Mixing
from cxrtool.training.ema import ema_decay, update_ema
from cxrtool.training.rng import Draws, torch_generator
from cxrtool.training.schedules import lazy_correction
from cxrtool.training.statistics import Means
from cxrtool.training.world import World

BETA2 = 0.99


class Trainer:
    """Both networks, their optimizers and the average of the generator.

    Args:
        choices: All numbers.
        feed: The data, on the device to train on.
        world: The processes that share each batch; None for this one alone.

    Attributes:
        nimg: Real images seen.
        average: The generator with averaged weights, which makes the pictures.
        means: What happened since the last reading.
        best: Images seen and Fréchet distance of the best averaged generator so far.
        reloads: How often a divergence sent the training back.
    """

    def __init__(self, choices: Choices, feed: Feed, world: World | None = None) -> None:
        self.choices, self.feed, self.device = choices, feed, feed.device
        self.world = world or World(feed.device)
        arch = choices.arch
        self.generator = Generator(arch, torch_generator("init G", choices.seed))
        self.discriminator = Discriminator(
            arch, torch_generator("init D", choices.seed), feed.prevalence.cpu()
        )
        self.generator.to(self.device)
        self.discriminator.to(self.device)
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        self.path_mean = torch.zeros((), device=self.device)
        self.g_opt = self._adam(
            self.generator, choices.path_interval if choices.path_weight else None
        )
        self.d_opt = self._adam(self.discriminator, choices.r1_interval if self._lazy_r1 else None)
        self.controller = Controller(choices.augment_nimg, self.device)
        self.means = Means(self.device)
        self.nimg = 0
        self.best: tuple[int, float] | None = None
        self.reloads = 0

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
        self._generator_step(real)
        if choices.path_weight and index % choices.path_interval == 0:
            self._path_step()
        self._discriminator_step(real)
        if self._lazy_r1 and index % choices.r1_interval == 0:
            self._r1_step(real)
        decay = ema_decay(self.nimg, choices.batch, choices.ema_nimg)
        update_ema(self.average, self.generator, decay)
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
            "g_opt": self.g_opt.state_dict(),
            "d_opt": self.d_opt.state_dict(),
            "path_mean": self.path_mean,
            "controller": self.controller.state_dict(),
            "means": self.means.state_dict(),
            "nimg": self.nimg,
            "best": self.best,
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
        self.g_opt.load_state_dict(state["g_opt"])
        self.d_opt.load_state_dict(state["d_opt"])
        self.path_mean = state["path_mean"].to(self.device)
        self.controller.load_state_dict(state["controller"])
        self.means.load_state_dict(state["means"])
        self.nimg = int(state["nimg"])
        self.best = None if state["best"] is None else (state["best"][0], state["best"][1])
        self.reloads = int(state["reloads"])

    def _adam(self, network: nn.Module, lazy_interval: int | None) -> torch.optim.Adam:
        c = 1.0 if lazy_interval is None else lazy_correction(lazy_interval)
        betas = (0.0, BETA2**c)
        return torch.optim.Adam(
            network.parameters(), lr=self.choices.lr * c, betas=betas, eps=1e-8, fused=True
        )

    def _draws(self, purpose: str, n: int, rows: Tensor | None) -> Draws:
        """Random numbers of a purpose in this step, for some of n samples."""
        again = (self.reloads,) if self.reloads else ()
        rng = torch_generator(purpose, self.choices.seed, self.nimg, *again, device=self.device)
        return Draws(rng, n, rows)

    def _parts(self, n: int) -> list[Tensor]:
        """The samples of n that go through the networks together: int64 rows, in order.

        Whole groups of the minibatch statistic, so that a step in parts is the step in one. Each
        process takes an equal run of parts.
        """
        parts = torch.arange(n, device=self.device).chunk(self.choices.parts)
        mine = self.choices.parts // self.world.size
        return list(parts[self.world.rank * mine : (self.world.rank + 1) * mine])

    def _fakes(self, draws: Draws) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(images, their w, labels, which of the labels stood in a training row)."""
        arch = self.choices.arch
        z = draws.normal(arch.z_dim)
        y, known = self.feed.fake_labels(draws)
        mixing = Mixing.draw(arch.z_dim, self.generator.num_ws, self.choices.style_mixing, draws)
        images, w = self.generator(z, y, noise=draws, mixing=mixing)
        return images, w, y, known

    def _reals(self) -> Batch:
        batch = self.feed.reals(self.nimg, self.choices.batch)
        if self.choices.mirror:
            batch = batch._replace(x=mirror(batch.x, self._draws("mirror", len(batch.x), None)))
        return batch

    def _augment(self, x: Tensor, draws: Draws) -> Tensor:
        p = self.choices.augment_p
        return augment(x, self.choices.augment, draws, self.controller.p if p is None else p)

    @property
    def _relativistic(self) -> bool:
        return self.choices.loss == "rp-r1r2"

    @property
    def _lazy_r1(self) -> bool:
        return bool(self.choices.r1_gamma) and not self._relativistic

    def _set_ramp(self) -> None:
        """From an unconditional to a conditional game (Shahbazi et al. 2022, arXiv 2201.06578)."""
        length = self.choices.ramp_nimg
        ramp = min(1.0, self.nimg / length) if length else 1.0
        for module in (self.generator.mapping, self.average.mapping, self.discriminator):
            module.ramp.fill_(ramp)

    def _generator_step(self, real: Batch) -> None:
        n = self.choices.batch
        learning = [p for p in self.discriminator.parameters() if p.requires_grad]
        self.discriminator.requires_grad_(False)
        for rows in self._parts(n):
            draws = self._draws("G", n, rows)
            images, _, y, known = self._fakes(draws)
            verdict: Verdict = self.discriminator(self._augment(images, draws), y, known)
            if self._relativistic:
                with torch.no_grad():
                    x = self._augment(real.x[rows], draws)
                    winner = self.discriminator(x, real.y[rows], real.known[rows]).score
                loss = losses.relativistic_loss(verdict.score, winner)
            else:
                loss = losses.generator_loss(verdict.score)
            total = loss
            if self.choices.arch.labels:
                # Complete labels: the generator was asked for the drawn ones too.
                label_loss = losses.label_loss(verdict.labels, y, torch.ones_like(known))
                weight = self.choices.label_weight * self.discriminator.ramp
                total = total + weight * label_loss
                self.means.add("g_label_loss", label_loss)
            (total * (len(rows) / n)).backward()
            self.means.add("g_loss", loss)
        self._update(self.g_opt, self.generator, "g_grad_norm")
        for parameter in learning:
            parameter.requires_grad_(True)

    def _path_step(self) -> None:
        choices = self.choices
        n = max(1, choices.batch // 2)
        weight = choices.path_weight * choices.path_interval
        before, means = self.path_mean, []
        for rows in self._parts(n):
            draws = self._draws("path", n, rows)
            images, ws, _, _ = self._fakes(draws)
            noise = draws.normal(*images.shape[1:])
            result = losses.path_length(images, ws, before, noise)
            (result.penalty * (weight * len(rows) / n)).backward()
            means.append(result.mean)
            self.means.add("path_penalty", result.penalty)
            self.means.add("path_length", result.lengths)
        self.path_mean = self.world.mean(torch.stack(means).mean())
        self._update(self.g_opt, self.generator)

    def _discriminator_step(self, real: Batch) -> None:
        n, signs = self.choices.batch, []
        counts = real.known.sum(dim=0)
        for rows in self._parts(n):
            score_real, score_fake = self._judge_both(real, rows, counts)
            # Only differences mean anything to the relativistic loss.
            sure = score_real - score_fake if self._relativistic else score_real
            signs.append(sure.detach().sign().mean())
            self.means.add("r_t", signs[-1])
            self.means.add("score_real", score_real)
            self.means.add("score_fake", score_fake)
        self._update(self.d_opt, self.discriminator, "d_grad_norm")
        if self.choices.augment and self.choices.augment_p is None:
            self.controller.update(self.world.mean(torch.stack(signs).mean()), n)
            self.means.add("augment_p", self.controller.p)

    def _judge_both(self, real: Batch, rows: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
        """Loss of a part of the batch, back through the discriminator; scores of its images."""
        n, m = self.choices.batch, len(rows)
        draws = self._draws("D", n, rows)
        with torch.no_grad():
            fake, _, fake_y, fake_known = self._fakes(draws)
        # One pass over both halves; groups of the minibatch statistic never cross the middle.
        both = Draws(draws.generator, 2 * n, torch.cat([rows, rows + n]))
        x = self._augment(torch.cat([real.x[rows], fake]), both).requires_grad_(self._relativistic)
        y, known = torch.cat([real.y[rows], fake_y]), torch.cat([real.known[rows], fake_known])
        verdict: Verdict = self.discriminator(x, y, known)
        score_real, score_fake = verdict.score[:m], verdict.score[m:]
        if self._relativistic:
            loss = losses.relativistic_loss(score_real, score_fake)
            penalty = losses.gradient_penalty(verdict.score, x)
            self.means.add("r1_penalty", penalty[:m])
            self.means.add("r2_penalty", penalty[m:])
            # R1 and R2: each half's mean, so twice the mean over both.
            total = loss + self.choices.r1_gamma / 2 * 2 * penalty.mean()
        else:
            loss = total = losses.discriminator_loss(score_real, score_fake)
        total = total * (m / n)
        if self.choices.arch.labels:
            label_loss = losses.label_loss(
                verdict.labels[:m], real.y[rows], real.known[rows], counts
            )
            total = total + self.choices.d_label_weight * self.discriminator.ramp * label_loss
            self.means.add("d_label_loss", label_loss * self.choices.parts)
        total.backward()
        self.means.add("d_loss", loss)
        return score_real, score_fake

    def _r1_step(self, real: Batch) -> None:
        n = self.choices.batch
        weight = self.choices.r1_gamma / 2 * self.choices.r1_interval
        for rows in self._parts(n):
            # At the images that the discriminator sees: augmented, the augmentation itself held
            # fixed.
            draws = self._draws("R1", n, rows)
            x = self._augment(real.x[rows], draws).requires_grad_(True)
            score = self.discriminator(x, real.y[rows], real.known[rows]).score
            penalty = losses.gradient_penalty(score, x).mean()
            (penalty * (weight * len(rows) / n)).backward()
            self.means.add("r1_penalty", penalty)
        self._update(self.d_opt, self.discriminator)

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
