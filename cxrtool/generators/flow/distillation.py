"""A flow of few calls: a student that knows whole stretches of its teacher's way.

In: a finished flow and label vectors. Out: a network that goes from noise to an image in four, two
or one calls, with the teacher's guidance folded in. The teacher's differential equation makes of
every noise one image; the student, begun from the teacher's weights, learns the mean velocity of
each of its own, longer steps (progressive distillation, Salimans & Ho 2022, arXiv 2202.00512, on
straight flows; all steps at once). Ways begin at pure noise, so that the student learns at the very
points that it will be asked at, under guidance too, and never sees an image of the data: what it
knows of people it has from the teacher. A student may teach one of fewer calls.
"""

from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from cxrtool.generators.feed import Batch, Feed
from cxrtool.generators.flow.finished import FlowGenerator
from cxrtool.generators.flow.sampling import Sampling, images_of, way
from cxrtool.generators.flow.trainer import Choices, FlowTrainer
from cxrtool.training.rng import Draws, torch_generator

PAIRS = 100  # images of teacher and student that are compared
GRAY = 127.5  # gray levels in one unit of an image


class StudentTrainer(FlowTrainer):
    """The student, its average and its optimizer.

    Args:
        choices: All numbers, with a `distillation`.
        feed: Rows whose labels are drawn.
        teacher: Whose ways are learned, on the device to train on.
        **more: See `FlowTrainer`.
    """

    def __init__(self, choices: Choices, feed: Feed, teacher: FlowGenerator, **more: Any) -> None:
        super().__init__(choices, feed, **more)
        assert choices.distillation is not None
        self.distillation, self.teacher = choices.distillation, teacher.network
        self.labels = teacher.labels
        for network in (self.generator, self.average):
            network.load_state_dict(self.teacher.state_dict())

    def _loss(self, real: Batch) -> Tensor:
        """Of this process's stretches, all of each way: `[m]`."""
        calls, choices = self.distillation.calls, self.choices
        draws = self.draws("distillation", choices.batch // calls)
        noise = draws.normal(*choices.arch.shape)
        y, _ = self.feed.fake_labels(draws)
        rows = self.world.part(len(noise))
        x, t, y, velocity = self.stretches(noise[rows], y[rows])
        error = self.execution.run(self.generator, x, t, y, torch.ones_like(y)) - velocity
        squares: Tensor = error.square().mean(dim=(1, 2, 3))
        return squares

    @torch.no_grad()
    def stretches(self, noise: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The teacher's ways, in the steps of the student.

        Args:
            noise: `[N, C, H, W]`.
            y: `[N, L]` complete labels.

        Returns:
            Of the calls x N stretches where each begins, `[M, C, H, W]` at times `[M]`, labels
            `[M, L]`, and its mean velocity `[M, C, H, W]`.
        """
        how, calls = self.distillation.sampling, self.distillation.calls

        def velocity(*inputs: Tensor) -> Tensor:
            out: Tensor = self.execution.run(self.teacher, *inputs)
            return out

        ends = list(way(velocity, noise, y, how, self.labels))[:: how.steps // calls]
        times = self.distillation.own.times
        parts = zip(ends, ends[1:], times, times[1:], strict=False)
        slopes = [(after - before) / (there - here) for before, after, here, there in parts]
        t = noise.new_tensor(times[:-1]).repeat_interleave(len(noise))
        return torch.cat(ends[:-1]), t, y.repeat(calls, 1), torch.cat(slopes)

    def sample(self, z: Tensor, y: Tensor, how: Sampling | None = None) -> Tensor:
        """Images of the averaged network in the student's own steps."""
        return super().sample(z, y, how or self.distillation.own)


class TeacherDistance:
    """How far the student's images are from its teacher's of the same noise and labels.

    Args:
        feed: Rows whose labels are drawn, on the device to train on.
        teacher: The teacher, there too.
        how: How it makes its images.
        seed: Of noise and labels.
        on: Which rows these are, in words; other words draw other noise.
        n: Pairs of images.
    """

    name, tolerance = "teacher_distance", 1.0
    told = "root mean square distance to the teacher's images in gray levels"

    def __init__(
        self, feed: Feed, teacher: FlowGenerator, how: Sampling, seed: int, on: str, n: int = PAIRS
    ) -> None:
        self._teacher, self._how, self.n = teacher, how, n
        self.on = f"pairs of images of the same noise, with labels of {on}"
        noise = torch.randn(n, teacher.z_dim, generator=torch_generator("pairs", seed, on))
        self._z = noise.to(feed.device)
        labels = torch_generator("labels of pairs", seed, on, device=feed.device)
        self._y, _ = feed.fake_labels(Draws(labels, n), natural=True)

    @cached_property
    def _wanted(self) -> Tensor:
        parts = zip(self._z.split(100), self._y.split(100))
        of = self._teacher
        made = [images_of(of.network, z, y, self._how, of.labels) for z, y in parts]
        return torch.cat(made).clamp(-1, 1)

    @torch.no_grad()
    def measure(self, trainer: FlowTrainer) -> dict[str, float]:
        """The distance over all pixels of all pairs."""
        parts = zip(self._z.split(100), self._y.split(100))
        images = torch.cat([trainer.sample(z, y) for z, y in parts]).clamp(-1, 1)
        return {self.name: GRAY * float((images - self._wanted).square().mean().sqrt())}
