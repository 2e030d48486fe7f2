"""The four losses of a training step, back through the networks.

In: a trainer between two steps, and the real images of the step. Out: gradients in the parameters
of one network, added up over the parts of the batch, and numbers in the trainer's means; nothing
else changes. The main phases run as `Execution` says, the regularizers as written in float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from cxrtool.generators import losses
from cxrtool.generators.augment import augment
from cxrtool.generators.feed import Batch
from cxrtool.generators.stylegan2.discriminator import Verdict
from cxrtool.generators.stylegan2.generator import Mixing
from cxrtool.training.rng import Draws

if TYPE_CHECKING:
    from cxrtool.generators.stylegan2.trainer import StyleGan2Trainer


def of_generator(trainer: StyleGan2Trainer, real: Batch) -> None:
    """Adversarial loss and label loss of new images, into the generator."""
    choices, n = trainer.choices, trainer.choices.batch
    with _held(trainer.discriminator):
        for rows in trainer.parts(n):
            draws = trainer.draws("G", n, rows)
            images, _, y, known = _fakes(trainer, draws)
            verdict = _judge(trainer, _augment(trainer, images, draws), y, known)
            if trainer.relativistic:
                with torch.no_grad():
                    x = _augment(trainer, real.x[rows], draws)
                    winner = _judge(trainer, x, real.y[rows], real.known[rows]).score
                loss = losses.relativistic_loss(verdict.score, winner)
            else:
                loss = losses.generator_loss(verdict.score)
            total = loss
            if choices.arch.labels:
                # Complete labels: the generator was asked for the drawn ones too.
                label_loss = losses.label_loss(verdict.labels, y, torch.ones_like(known))
                weight = choices.label_weight * trainer.discriminator.ramp
                total = total + weight * label_loss
                trainer.means.add("g_label_loss", label_loss)
            (total * (len(rows) / n)).backward()
            trainer.means.add("g_loss", loss)


def of_path_length(trainer: StyleGan2Trainer) -> Tensor:
    """Path length penalty, into the generator.

    Returns:
        The running mean of the lengths after this batch, a scalar.
    """
    choices = trainer.choices
    n = max(1, choices.batch // 2)
    weight = choices.path_weight * choices.path_interval
    means = []
    for rows in trainer.parts(n):
        draws = trainer.draws("path", n, rows)
        images, ws, _, _ = _fakes(trainer, draws, main=False)
        noise = draws.normal(*images.shape[1:])
        result = losses.path_length(images, ws, trainer.path_mean, noise)
        (result.penalty * (weight * len(rows) / n)).backward()
        means.append(result.mean)
        trainer.means.add("path_penalty", result.penalty)
        trainer.means.add("path_length", result.lengths)
    return torch.stack(means).mean()


def of_discriminator(trainer: StyleGan2Trainer, real: Batch) -> Tensor:
    """Adversarial loss of real and new images and label loss of real ones, into the discriminator.

    Returns:
        r_t of this batch, the mean sign of the scores of augmented real images: a scalar.
    """
    signs = []
    counts = real.known.sum(dim=0)
    for rows in trainer.parts(trainer.choices.batch):
        score_real, score_fake = _judge_both(trainer, real, rows, counts)
        # Only differences mean anything to the relativistic loss.
        sure = score_real - score_fake if trainer.relativistic else score_real
        signs.append(sure.detach().sign().mean())
        trainer.means.add("r_t", signs[-1])
        trainer.means.add("score_real", score_real)
        trainer.means.add("score_fake", score_fake)
    return torch.stack(signs).mean()


def of_r1(trainer: StyleGan2Trainer, real: Batch) -> None:
    """R1 of real images, into the discriminator."""
    n = trainer.choices.batch
    weight = trainer.choices.r1_gamma / 2 * trainer.choices.r1_interval
    for rows in trainer.parts(n):
        # At the images that the discriminator sees: augmented, the augmentation itself held fixed.
        draws = trainer.draws("R1", n, rows)
        x = _augment(trainer, real.x[rows], draws).requires_grad_(True)
        score = trainer.discriminator(x, real.y[rows], real.known[rows]).score
        penalty = losses.gradient_penalty(score, x).mean()
        (penalty * (weight * len(rows) / n)).backward()
        trainer.means.add("r1_penalty", penalty)


def _judge_both(
    trainer: StyleGan2Trainer, real: Batch, rows: Tensor, counts: Tensor
) -> tuple[Tensor, Tensor]:
    """Loss of a part of the batch, back through the discriminator; scores of its images."""
    choices, m = trainer.choices, len(rows)
    n = choices.batch
    draws = trainer.draws("D", n, rows)
    with torch.no_grad():
        fake, _, fake_y, fake_known = _fakes(trainer, draws)
    # One pass over both halves; groups of the minibatch statistic never cross the middle.
    both = Draws(draws.generator, 2 * n, torch.cat([rows, rows + n]))
    x = _augment(trainer, torch.cat([real.x[rows], fake]), both)
    x = x.requires_grad_(trainer.relativistic)
    y, known = torch.cat([real.y[rows], fake_y]), torch.cat([real.known[rows], fake_known])
    if trainer.relativistic:  # its penalties need gradients of gradients
        verdict: Verdict = trainer.discriminator(x, y, known)
    else:
        verdict = _judge(trainer, x, y, known)
    score_real, score_fake = verdict.score[:m], verdict.score[m:]
    if trainer.relativistic:
        loss = losses.relativistic_loss(score_real, score_fake)
        penalty = losses.gradient_penalty(verdict.score, x)
        trainer.means.add("r1_penalty", penalty[:m])
        trainer.means.add("r2_penalty", penalty[m:])
        # R1 and R2: each half's mean, so twice the mean over both.
        total = loss + choices.r1_gamma / 2 * 2 * penalty.mean()
    else:
        loss = total = losses.discriminator_loss(score_real, score_fake)
    total = total * (m / n)
    if choices.arch.labels:
        label_loss = losses.label_loss(verdict.labels[:m], real.y[rows], real.known[rows], counts)
        total = total + choices.d_label_weight * trainer.discriminator.ramp * label_loss
        trainer.means.add("d_label_loss", label_loss * choices.parts)
    total.backward()
    trainer.means.add("d_loss", loss)
    return score_real, score_fake


def _fakes(
    trainer: StyleGan2Trainer, draws: Draws, main: bool = True
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(images, their w, labels, which of the labels stood in a training row)."""
    choices, network = trainer.choices, trainer.generator
    z = draws.normal(choices.arch.z_dim)
    y, known = trainer.feed.fake_labels(draws)
    mixing = Mixing.draw(choices.arch.z_dim, network.num_ws, choices.style_mixing, draws)
    noise = network.draw_noise(draws)
    if main:
        images, w = trainer.execution.generate(network, z, y, noise, mixing)
    else:
        images, w = network(z, y, noise, mixing)
    return images, w, y, known


def _judge(trainer: StyleGan2Trainer, x: Tensor, y: Tensor, known: Tensor) -> Verdict:
    return trainer.execution.judge(trainer.discriminator, x, y, known)


def _augment(trainer: StyleGan2Trainer, x: Tensor, draws: Draws) -> Tensor:
    p = trainer.choices.augment_p
    return augment(x, trainer.choices.augment, draws, trainer.controller.p if p is None else p)


@contextmanager
def _held(network: nn.Module) -> Iterator[None]:
    """Without gradients for the weights of a network; those that had them have them again after."""
    learning = [p for p in network.parameters() if p.requires_grad]
    network.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)
