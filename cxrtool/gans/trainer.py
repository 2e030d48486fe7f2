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
from cxrtool.gans.feed import Feed
from cxrtool.gans.stylegan2.discriminator import Discriminator, Verdict
from cxrtool.gans.stylegan2.generator import Generator, Mixing
from cxrtool.training.ema import ema_decay, update_ema
from cxrtool.training.rng import torch_generator
from cxrtool.training.schedules import lazy_correction
from cxrtool.training.statistics import Means

BETA2 = 0.99


class Trainer:
    """Both networks, their optimizers and the average of the generator.

    Args:
        choices: All numbers.
        feed: The data, on the device to train on.

    Attributes:
        nimg: Real images seen.
        average: The generator with averaged weights, which makes the pictures.
        means: What happened since the last reading.
        best: Images seen and Fréchet distance of the best averaged generator so far.
        reloads: How often a divergence sent the training back.
    """

    def __init__(self, choices: Choices, feed: Feed) -> None:
        self.choices, self.feed, self.device = choices, feed, feed.device
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

    def _rng(self, purpose: str) -> torch.Generator:
        again = (self.reloads,) if self.reloads else ()
        return torch_generator(purpose, self.choices.seed, self.nimg, *again, device=self.device)

    def _fakes(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(images, their w, labels, which of the labels stood in a training row)."""
        arch = self.choices.arch
        z = torch.randn(n, arch.z_dim, generator=rng, device=self.device)
        y, known = self.feed.fake_labels(n, rng)
        ws = self.generator.num_ws
        mixing = Mixing.draw(n, arch.z_dim, ws, self.choices.style_mixing, rng)
        images, w = self.generator(z, y, noise=rng, mixing=mixing)
        return images, w, y, known

    def _reals(self) -> tuple[Tensor, Tensor, Tensor]:
        x, y, known = self.feed.reals(self.nimg, self.choices.batch)
        return mirror(x, self._rng("mirror")) if self.choices.mirror else x, y, known

    def _judge(self, x: Tensor, y: Tensor, known: Tensor, rng: torch.Generator) -> Verdict:
        verdict: Verdict = self.discriminator(self._augment(x, rng), y, known)
        return verdict

    def _augment(self, x: Tensor, rng: torch.Generator) -> Tensor:
        p = self.choices.augment_p
        return augment(x, self.choices.augment, rng, self.controller.p if p is None else p)

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

    def _generator_step(self, real: tuple[Tensor, Tensor, Tensor]) -> None:
        rng = self._rng("G")
        learning = [p for p in self.discriminator.parameters() if p.requires_grad]
        self.discriminator.requires_grad_(False)
        images, _, y, known = self._fakes(self.choices.batch, rng)
        verdict = self._judge(images, y, known, rng)
        if self._relativistic:
            with torch.no_grad():
                winner = self._judge(*real, rng).score
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
        self._update(self.g_opt, self.generator, total, "g_grad_norm")
        for parameter in learning:
            parameter.requires_grad_(True)
        self.means.add("g_loss", loss)

    def _path_step(self) -> None:
        choices, rng = self.choices, self._rng("path")
        images, ws, _, _ = self._fakes(max(1, choices.batch // 2), rng)
        noise = torch.randn(images.shape, generator=rng, device=self.device)
        result = losses.path_length(images, ws, self.path_mean, noise)
        self.path_mean = result.mean
        weight = choices.path_weight * choices.path_interval
        self._update(self.g_opt, self.generator, result.penalty * weight)
        self.means.add("path_penalty", result.penalty)
        self.means.add("path_length", result.lengths)

    def _discriminator_step(self, real: tuple[Tensor, Tensor, Tensor]) -> None:
        rng = self._rng("D")
        x, y, known = real
        n = len(x)
        with torch.no_grad():
            fake, _, fake_y, fake_known = self._fakes(n, rng)
        # One pass over both halves; groups of the minibatch statistic never cross the middle.
        seen = self._augment(torch.cat([x, fake]), rng).requires_grad_(self._relativistic)
        both = self.discriminator(seen, torch.cat([y, fake_y]), torch.cat([known, fake_known]))
        score_real, score_fake = both.score[:n], both.score[n:]
        if self._relativistic:
            loss = losses.relativistic_loss(score_real, score_fake)
            penalty = losses.gradient_penalty(both.score, seen)
            self.means.add("r1_penalty", penalty[:n])
            self.means.add("r2_penalty", penalty[n:])
            # R1 and R2: each half's mean, so twice the mean over both.
            total = loss + self.choices.r1_gamma / 2 * 2 * penalty.mean()
        else:
            loss = total = losses.discriminator_loss(score_real, score_fake)
        if self.choices.arch.labels:
            label_loss = losses.label_loss(both.labels[:n], y, known)
            total = total + self.choices.d_label_weight * self.discriminator.ramp * label_loss
            self.means.add("d_label_loss", label_loss)
        self._update(self.d_opt, self.discriminator, total, "d_grad_norm")
        self.means.add("d_loss", loss)
        # Only differences mean anything to the relativistic loss.
        sure = score_real - score_fake if self._relativistic else score_real
        self.means.add("r_t", sure.sign())
        if self.choices.augment and self.choices.augment_p is None:
            self.controller.update(sure.detach())
            self.means.add("augment_p", self.controller.p)
        self.means.add("score_real", score_real)
        self.means.add("score_fake", score_fake)

    def _r1_step(self, real: tuple[Tensor, Tensor, Tensor]) -> None:
        x, y, known = real
        # At the images that the discriminator sees: augmented, the augmentation itself held fixed.
        x = self._augment(x, self._rng("R1")).requires_grad_(True)
        score = self.discriminator(x, y, known).score
        penalty = losses.gradient_penalty(score, x).mean()
        weight = self.choices.r1_gamma / 2 * self.choices.r1_interval
        self._update(self.d_opt, self.discriminator, penalty * weight)
        self.means.add("r1_penalty", penalty)

    def _update(
        self, optimizer: torch.optim.Optimizer, network: nn.Module, loss: Tensor, norm: str = ""
    ) -> None:
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if norm:
            self.means.add(norm, _grad_norm(network.parameters()))
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def _grad_norm(parameters: Iterable[Tensor]) -> Tensor:
    gradients = [p.grad for p in parameters if p.grad is not None]
    return torch.stack(torch._foreach_norm(gradients)).norm()
