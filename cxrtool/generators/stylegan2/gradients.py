"""The four losses of a training step, back through the networks.

In: networks between two steps, and the real images of the step. Out: gradients in the parameters of
one network, added up over the parts of the batch, and numbers in the means; nothing else changes.
The main phases run as `Execution` says, the regularizers as written in float32.
"""

import torch
from torch import Tensor

from cxrtool.generators import losses
from cxrtool.generators.augment import Controller, augment
from cxrtool.generators.base import BaseTrainer, held
from cxrtool.generators.feed import Batch, Feed
from cxrtool.generators.stylegan2.choices import Choices
from cxrtool.generators.stylegan2.discriminator import Discriminator, Verdict
from cxrtool.generators.stylegan2.execution import Execution
from cxrtool.generators.stylegan2.generator import Generator, Mixing
from cxrtool.training.rng import Draws, torch_generator
from cxrtool.training.world import World


class Gradients(BaseTrainer):
    """Both networks of `stylegan2` and their losses.

    Args:
        choices: All numbers.
        feed: The data, on the device to train on.
        world: The processes that share each batch; None for this one alone.
        execution: Precision and compilation of the main phases; None for float32 as written.
    """

    choices: Choices

    def __init__(
        self,
        choices: Choices,
        feed: Feed,
        world: World | None = None,
        execution: Execution | None = None,
    ) -> None:
        super().__init__(choices, feed, world)
        arch, seed = choices.arch, choices.seed
        self.execution = execution or Execution(feed.device, arch.size, "float32", "off")
        self.generator = Generator(arch, torch_generator("init G", seed)).to(self.device)
        self.discriminator = Discriminator(
            arch, torch_generator("init D", seed), feed.prevalence.cpu()
        ).to(self.device)
        self.path_mean = torch.zeros((), device=self.device)
        self.controller = Controller(choices.augment_nimg, self.device)

    @property
    def relativistic(self) -> bool:
        """Whether only differences of scores mean anything."""
        return self.choices.loss == "rp-r1r2"

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
                images, _, y, mask = self._fakes(draws)  # [m, C, H, W], [m, L], [m, L]
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

    def of_path_length(self) -> Tensor:
        """Path length penalty, into the generator.

        Returns:
            The running mean of the lengths after this batch, a scalar.
        """
        n = max(1, self.choices.batch // 2)
        weight = self.choices.path_weight * self.choices.path_interval
        means = []
        for rows in self.parts(n):
            draws = self.draws("path", n, rows)
            images, ws, _, _ = self._fakes(draws, main=False)  # [m, C, H, W], [m, num_ws, w_dim]
            noise = draws.normal(*images.shape[1:])
            result = losses.path_length(images, ws, self.path_mean, noise)
            (result.penalty * (weight * len(rows) / n)).backward()
            means.append(result.mean)
            self.means.add(path_penalty=result.penalty, path_length=result.lengths)
        return torch.stack(means).mean()

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
            fake, _, fake_y, fake_mask = self._fakes(draws)
        # One pass over both halves; groups of the minibatch statistic never cross the middle.
        both = Draws(draws.generator, 2 * n, torch.cat([rows, rows + n]))
        x = self._augmented(torch.cat([real.x[rows], fake]), both)  # [2 m, C, H, W]
        x = x.requires_grad_(self.relativistic)
        y, mask = torch.cat([real.y[rows], fake_y]), torch.cat([real.mask[rows], fake_mask])
        if self.relativistic:  # its penalties need gradients of gradients
            verdict: Verdict = self.discriminator(x, y, mask)
        else:
            verdict = self._judge(x, y, mask)
        score_real, score_fake = verdict.score[:m], verdict.score[m:]
        if self.relativistic:
            loss = losses.relativistic_loss(score_real, score_fake)
            penalty = losses.gradient_penalty(verdict.score, x)
            self.means.add(r1_penalty=penalty[:m], r2_penalty=penalty[m:])
            # R1 and R2: each half's mean, so twice the mean over both.
            total = loss + choices.r1_gamma / 2 * 2 * penalty.mean()
        else:
            loss = total = losses.discriminator_loss(score_real, score_fake)
        total = total * (m / n)
        if choices.arch.labels:
            label_loss = losses.label_loss(
                verdict.labels[:m], real.y[rows], real.mask[rows], counts
            )
            total = total + choices.d_label_weight * self.discriminator.ramp * label_loss
            self.means.add(d_label_loss=label_loss * choices.parts)
        total.backward()
        self.means.add(d_loss=loss)
        return score_real, score_fake

    def _fakes(self, draws: Draws, main: bool = True) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(images, their w, labels, which of the labels stood in a training row)."""
        choices, network = self.choices, self.generator
        z = draws.normal(choices.arch.z_dim)
        y, mask = self.feed.fake_labels(draws)
        mixing = Mixing.draw(choices.arch.z_dim, network.num_ws, choices.style_mixing, draws)
        noise = network.draw_noise(draws)
        if main:
            images, w = self.execution.generate(network, z, y, noise, mixing)
        else:
            images, w = network(z, y, noise, mixing)
        return images, w, y, mask

    def _judge(self, x: Tensor, y: Tensor, mask: Tensor) -> Verdict:
        return self.execution.judge(self.discriminator, x, y, mask)

    def _augmented(self, x: Tensor, draws: Draws) -> Tensor:
        p = self.choices.augment_p
        return augment(x, self.choices.augment, draws, self.controller.p if p is None else p)
