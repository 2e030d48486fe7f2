"""The conditional progressive GAN of study B (Sundaram and Hulkund 2021; Han et al. 2020).

In: images and labels. Out: a generator of label vectors. Growth (Karras et al. 2018, arXiv
1710.10196, section 2): training begins at 4x4; each further resolution first fades in, then stays,
both for the same number of images. Networks: nearest-neighbour doubling and 3x3 convolutions, pixel
normalization in the generator, means of blocks in the discriminator, equalized learning rates,
minibatch standard deviation; labels beside z, a discriminator of 1 + L outputs (Han et al. 2020,
Science Advances 6(49) eabb7973, and study B). The critic minimizes

    E[D(fake)] - E[D(real)] + 10 E[(|grad D(mixed)| - 1)^2] + 0.001 E[D(real)^2] + labels(real)

(Gulrajani et al. 2017, arXiv 1704.00028; drift: Karras et al. 2018), the generator
-E[D(fake)] + labels(fake): the label head learns from real images only, and tells the generator
whether what it made shows what was asked for (Odena et al. 2017). One step each; Adam (0, 0.99).
"""

from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cxrtool.core.errors import UsageError
from cxrtool.generators import losses
from cxrtool.generators.base import held
from cxrtool.generators.choices import GROUP, BaseSizes, Request
from cxrtool.generators.classic import game
from cxrtool.generators.classic.layers import lrelu, twice
from cxrtool.generators.stylegan2 import ops

FIRST_SIZE = 4
PENALTY, DRIFT = 10.0, 0.001
REFERENCE_MOST = 256  # real images that set the reference of the minibatch statistic


class Stage(NamedTuple):
    """Where the growth stands.

    Attributes:
        level: 0 at 4x4, 1 at 8x8, ...
        alpha: Weight of this resolution over the one before it; 1 once it has faded in.
    """

    level: int
    alpha: float


def stage_at(nimg: int, phase_nimg: float, last: int) -> Stage:
    """The stage of the step that begins after so many images.

    Args:
        nimg: Images seen.
        phase_nimg: Images of one fade-in, and of one stay; the last stay lasts to the end.
        last: Level of the whole image.
    """
    phase, within = divmod(nimg / phase_nimg, 1.0)
    if phase >= 2 * last:
        return Stage(last, 1.0)
    level = (int(phase) + 1) // 2
    return Stage(level, within if int(phase) % 2 else 1.0)


def grown_nimg(phase_nimg: float, last: int) -> float:
    """Images after which the whole image has faded in."""
    return 2 * last * phase_nimg


def at_stage(images: Tensor, stage: Stage, last: int) -> Tensor:
    """Whole images as the discriminator of a stage sees them.

    Reduced by means of blocks; while a resolution fades in, so do the details of real images.

    Args:
        images: `[N, C, size, size]`.
        stage: See above.
        last: Level of the whole image.

    Returns:
        `[N, C, r, r]` with r = 4 x 2^level.
    """
    if stage.level < last:
        images = F.avg_pool2d(images, 2 ** (last - stage.level))
    if stage.alpha < 1:
        images = twice(F.avg_pool2d(images, 2)).lerp(images, stage.alpha)
    return images


@dataclass(frozen=True)
class Sizes(BaseSizes):
    """Sizes of both networks.

    Attributes:
        channel_base: Feature channels at resolution r are `channel_base / r`, at most
            `channel_max`.
        channel_max: See `channel_base`.
    """

    channel_base: int = 8192
    channel_max: int = 512

    @property
    def last(self) -> int:
        """Level of the whole image."""
        return (self.size // FIRST_SIZE).bit_length() - 1

    def width(self, level: int) -> int:
        """Feature channels at a level."""
        return max(4, min(self.channel_base // (FIRST_SIZE << level), self.channel_max))


class Equal(nn.Module):
    """A convolution or dense layer with weights N(0, 1), scaled to unit gain when it is used.

    Args:
        shape: Of the weight: `[O, I]` or `[O, I, k, k]`.
        rng: Draws it.
        gain: Square root of two before a rectifier, one before an output.
    """

    def __init__(self, *shape: int, rng: torch.Generator, gain: float = 2**0.5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(shape, generator=rng))
        self.bias = nn.Parameter(torch.zeros(shape[0]))
        self.scale = gain / self.weight[0].numel() ** 0.5

    def forward(self, x: Tensor) -> Tensor:
        """`[N, I] -> [N, O]`, or `[N, I, H, W] -> [N, O, H, W]`."""
        weight = self.weight * self.scale
        if weight.ndim == 2:
            return F.linear(x, weight, self.bias)
        return F.conv2d(x, weight, self.bias, padding=weight.shape[-1] // 2)


class Generator(nn.Module):
    """z and labels to images.

    Args:
        arch: Sizes.
        rng: Draws the initial weights (a CPU generator).
    """

    def __init__(self, arch: Sizes, rng: torch.Generator) -> None:
        super().__init__()
        self.arch = arch
        widths = [arch.width(k) for k in range(arch.last + 1)]
        dense, inputs = widths[0] * FIRST_SIZE**2, arch.z_dim + arch.labels
        self.dense = Equal(dense, inputs, rng=rng, gain=2**0.5 / 4)
        first = nn.ModuleList([Equal(widths[0], widths[0], 3, 3, rng=rng)])
        grown = (
            nn.ModuleList([Equal(b, a, 3, 3, rng=rng), Equal(b, b, 3, 3, rng=rng)])
            for a, b in pairwise(widths)
        )
        self.blocks = nn.ModuleList([first, *grown])
        self.to_image = nn.ModuleList(
            Equal(arch.channels, width, 1, 1, rng=rng, gain=1.0) for width in widths
        )

    def forward(self, z: Tensor, y: Tensor, stage: Stage | None = None) -> Tensor:
        """Images of a stage.

        Args:
            z: `[N, z_dim]`.
            y: `[N, L]`.
            stage: None for the whole image.

        Returns:
            `[N, C, r, r]` with r = 4 x 2^level, not clamped.
        """
        level, alpha = stage or Stage(self.arch.last, 1.0)
        # Few ones beside many normal numbers would take a long time to be heard: both halves weigh
        # alike (ours; the studies train a hundred times longer).
        y = y * (self.arch.z_dim / max(1, self.arch.labels)) ** 0.5
        x = self.dense(torch.cat([ops.normalize_second_moment(z), y], dim=1))
        x = ops.normalize_second_moment(lrelu(x.unflatten(1, (-1, FIRST_SIZE, FIRST_SIZE))))
        for k in range(level + 1):
            before = x
            block: Any = self.blocks[k]
            x = twice(x) if k else x
            for layer in block:
                x = ops.normalize_second_moment(lrelu(layer(x)))
        image: Tensor = self.to_image[level](x)
        if alpha < 1:
            image = twice(self.to_image[level - 1](before)).lerp(image, alpha)
        return image


class Discriminator(nn.Module):
    """Images of a stage to a score and label logits.

    Args:
        arch: Sizes.
        rng: Draws the initial weights.
    """

    def __init__(self, arch: Sizes, rng: torch.Generator) -> None:
        super().__init__()
        self.arch = arch
        widths = [arch.width(k) for k in range(arch.last + 1)]
        self.from_image = nn.ModuleList(
            Equal(width, arch.channels, 1, 1, rng=rng) for width in widths
        )
        self.blocks = nn.ModuleList(
            nn.ModuleList([Equal(b, b, 3, 3, rng=rng), Equal(a, b, 3, 3, rng=rng)])
            for a, b in pairwise(widths)
        )
        last = widths[0]
        self.conv = Equal(last, last + 1, 3, 3, rng=rng)
        self.dense = Equal(last, last * FIRST_SIZE**2, rng=rng)
        self.out = Equal(1 + arch.labels, last, rng=rng, gain=1.0)
        self.std_reference = nn.Buffer(torch.zeros(()))

    def trunk(self, x: Tensor, stage: Stage) -> Tensor:
        """Images to `[N, C, 4, 4]`; each sample's depend on that sample alone."""
        level, alpha = stage
        small = F.avg_pool2d(x, 2) if alpha < 1 else x
        x = lrelu(self.from_image[level](x))
        for k in reversed(range(level)):
            block: Any = self.blocks[k]
            for layer in block:
                x = lrelu(layer(x))
            x = F.avg_pool2d(x, 2)
            if alpha < 1 and k == level - 1:
                x = lrelu(self.from_image[k](small)).lerp(x, alpha)
        return x

    def forward(
        self, x: Tensor, stage: Stage | None = None, group: int = GROUP
    ) -> tuple[Tensor, Tensor]:
        """Judge a batch.

        Args:
            x: `[N, C, r, r]`.
            stage: None for the whole image.
            group: Of the minibatch standard deviation; 0 puts the stored reference value in its
                place, so that no score depends on the other samples.

        Returns:
            (`[N]` scores, `[N, L]` label logits).
        """
        features = self.trunk(x, stage or Stage(self.arch.last, 1.0))
        if group:
            z = ops.minibatch_stddev(features, group)
        else:
            z = ops.append_channel(features, self.std_reference.expand(len(x)))
        outputs = self.out(lrelu(self.dense(lrelu(self.conv(z)).flatten(1))))
        return outputs[:, 0], outputs[:, 1:]

    @torch.no_grad()
    def set_reference(self, x: Tensor) -> None:
        """Store the minibatch statistic of whole images `[N, C, size, size]`, N a multiple of 4."""
        features = self.trunk(x, Stage(self.arch.last, 1.0))
        self.std_reference.copy_(ops.minibatch_stddev(features, GROUP)[:, -1, 0, 0].mean())


@dataclass(frozen=True, kw_only=True)
class AcganChoices(game.GameChoices):
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


class AcganTrainer(game.GameTrainer):
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
    _, common = game.game_preset(request, "acgan", Sizes)
    arch, total = common["arch"], common["total_nimg"]
    fade_kimg = request.options.get("fade_kimg")
    phase = total / (2 * arch.last + 2) if fade_kimg is None else 1000 * fade_kimg
    if grown_nimg(phase, arch.last) + common["batch"] > total:
        raise UsageError(
            f"--fade-kimg {phase / 1000:g}: {arch.size} px are reached after "
            f"{grown_nimg(phase, arch.last) / 1000:g} kimg, and --kimg is {total / 1000:g}",
            hint=f"use --fade-kimg {total / 1000 / (2 * arch.last + 2):.3g} or less",
        )
    return AcganChoices(phase_nimg=phase, **common)


build = AcganTrainer
load_generator = partial(game.latent_generator, build=Generator, sizes=Sizes)
load_judge = partial(game.latent_judge, build=Discriminator, sizes=Sizes, read=read)
