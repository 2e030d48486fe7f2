"""Losses and steps of the progressive GAN.

In: images and labels. Out: a generator of label vectors. The critic minimizes

    E[D(fake)] - E[D(real)] + 10 E[(|grad D(mixed)| - 1)^2] + 0.001 E[D(real)^2] + labels(real)

(Gulrajani et al. 2017, arXiv 1704.00028; drift: Karras et al. 2018), the generator
-E[D(fake)] + labels(fake): the label head learns from real images only, and tells the generator
whether what it made shows what was asked for (Odena et al. 2017). One step each; Adam (0, 0.99).
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cxrtool.core.errors import UsageError
from cxrtool.generators import losses
from cxrtool.generators.base import held
from cxrtool.generators.classic.acgan.growth import Stage, at_stage, grown_nimg, stage_at
from cxrtool.generators.classic.acgan.networks import GROUP, Discriminator, Generator, Sizes
from cxrtool.generators.classic.game import GameTrainer
from cxrtool.generators.classic.game_choices import GameChoices, game_choices, preset_of
from cxrtool.generators.classic.trained import latent_generator, latent_judge
from cxrtool.generators.protocol import Request

PENALTY, DRIFT = 10.0, 0.001
REFERENCE_MOST = 256  # real images that set the reference of the minibatch statistic


@dataclass(frozen=True, kw_only=True)
class AcganChoices(GameChoices):
    """See `GameChoices`.

    Attributes:
        phase_nimg: Images of each fade-in and of each stay.
    """

    phase_nimg: float

    @property
    def described(self) -> str:
        """What is trained, in half a line."""
        whole = grown_nimg(self.phase_nimg, self.arch.last) / 1000
        return f"grows from 4 px in phases of {self.phase_nimg / 1000:g} kimg, whole at {whole:g}"


def critic_loss(real: Tensor, fake: Tensor, norms: Tensor) -> Tensor:
    """WGAN-GP with drift.

    Args:
        real: `[N]` scores.
        fake: `[N]` scores.
        norms: `[N]` of the gradients at mixed images.
    """
    penalty = PENALTY * (norms - 1).square().mean()
    return fake.mean() - real.mean() + penalty + DRIFT * real.square().mean()


def gradient_norms(score: Tensor, x: Tensor) -> Tensor:
    """`[N]` norms of the gradient of each score with respect to its image, differentiable."""
    return (losses.gradient_penalty(score, x) + 1e-12).sqrt()


class AcganTrainer(GameTrainer):
    """Critic and generator in turn, at the resolution of the moment; see `GameTrainer`."""

    pair = (Generator, Discriminator)
    betas = (0.0, 0.99)

    @property
    def stage(self) -> Stage:
        """Of the next step."""
        return stage_at(self.nimg, self.choices.phase_nimg, self.choices.arch.last)

    @property
    def ready(self) -> bool:
        """Whether the whole image has faded in, and been trained on."""
        return self.nimg > grown_nimg(self.choices.phase_nimg, self.choices.arch.last)

    @torch.no_grad()
    def sample(self, z: Tensor, y: Tensor) -> Tensor:
        """Images of the averaged generator, enlarged while it still grows."""
        images: Tensor = self.average(z, y, self.stage)
        return F.interpolate(images, size=self.size, mode="nearest")

    def _discriminator_step(self) -> None:
        real, draws, stage = self.reals(), self.draws("D"), self.stage
        x = at_stage(real.x, stage, self.choices.arch.last)  # [N, C, r, r]
        z, y = self.wanted(draws)
        with torch.no_grad():
            fake = self.generator(z, y, stage)
        score_real, logits = self.discriminator(x, stage)
        score_fake, _ = self.discriminator(fake, stage)
        share = draws.uniform()[:, None, None, None]
        mixed = torch.lerp(x, fake, share).requires_grad_(True)
        norms = gradient_norms(self.discriminator(mixed, stage)[0], mixed)
        loss = critic_loss(score_real, score_fake, norms)
        self.update("d", self.with_labels(loss, logits, real.y, real.mask), "d_grad_norm")
        self.means.add(
            d_loss=loss, gradient_norm=norms, score_real=score_real, score_fake=score_fake
        )

    def _generator_step(self) -> None:
        draws, stage = self.draws("G"), self.stage
        z, y = self.wanted(draws)
        with held(self.discriminator):
            score, logits = self.discriminator(self.generator(z, y, stage), stage)
            loss = -score.mean()
            self.update("g", self.with_labels(loss, logits, y), "g_grad_norm")
        self.means.add(g_loss=loss)

    def export(self, values: np.ndarray, mask: np.ndarray) -> dict[str, Tensor]:
        """Averaged generator, and discriminator with its reference statistic."""
        n = min(REFERENCE_MOST, len(self.feed)) // GROUP * GROUP
        self.discriminator.set_reference(self.feed.reals(0, n).x)
        return super().export(values, mask)


def read(network: Discriminator, x: Tensor) -> tuple[Tensor, Tensor]:
    """`[N, C, size, size]` -> (`[N]`, `[N, L]`), without batch statistics."""
    verdict: tuple[Tensor, Tensor] = network(x, group=0)
    return verdict


def choose(request: Request) -> AcganChoices:
    """Every number of a training.

    Raises:
        UsageError: phases so long that the whole image would never be trained on.
    """
    table = preset_of("acgan", request.preset)
    sizes = {name: table[name] for name in ("z_dim", "channel_base", "channel_max")}
    arch = Sizes(request.size, request.labels, **sizes)
    common = game_choices(request, table)
    total = common["total_nimg"]
    fade_kimg = request.options.get("fade_kimg")
    phase = total / (2 * arch.last + 2) if fade_kimg is None else 1000 * fade_kimg
    if grown_nimg(phase, arch.last) + common["batch"] > total:
        raise UsageError(
            f"--fade-kimg {phase / 1000:g}: {arch.size} px are reached after "
            f"{grown_nimg(phase, arch.last) / 1000:g} kimg, and --kimg is {total / 1000:g}",
            hint=f"use --fade-kimg {total / 1000 / (2 * arch.last + 2):.3g} or less",
        )
    return AcganChoices(arch=arch, phase_nimg=phase, **common)


build = AcganTrainer
load_generator = partial(latent_generator, build=Generator, sizes=Sizes)
load_judge = partial(latent_judge, build=Discriminator, sizes=Sizes, read=read)
