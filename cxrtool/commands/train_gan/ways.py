"""The part of ``train-gan`` that chooses how a finished flow makes images.

In: the trained network and validation images. Out: what of `Sampling` goes into `model.json`.
"""

from dataclasses import dataclass

from torch import Tensor

from cxrtool.commands.train_gan.network import QUALITY_LEAST, distance, held_out_feed
from cxrtool.commands.train_gan.task import Task
from cxrtool.core import console, runs
from cxrtool.generators.base import GeneratorTrainer
from cxrtool.generators.feed import Feed
from cxrtool.generators.flow.sampling import Sampling
from cxrtool.generators.flow.trainer import FlowTrainer

FINER = Sampling(steps=16)  # tried beside the usual one
GAIN = 0.9  # of the distance, below which more steps are worth their time
COMPARED = 500  # validation images, at most


@dataclass(frozen=True)
class Sampled:
    """The network of a trained flow in one way of making images (`quality.Maker`)."""

    trainer: FlowTrainer
    how: Sampling

    @property
    def z_dim(self) -> int:
        """Length of a latent."""
        return self.trainer.z_dim

    def sample(self, z: Tensor, y: Tensor) -> Tensor:
        """Images."""
        return self.trainer.sample(z, y, self.how)


def choose_sampling(
    trainer: GeneratorTrainer, task: Task, run: runs.Run, training: Feed
) -> tuple[dict[str, int], list[str]]:
    """How a finished flow makes images: in more steps where that comes nearer to validation images.

    The errors of a few steps do not show beside those of a network of a short training; beside
    those of a long one they do.

    Returns:
        For `model.json`, what differs from the usual `Sampling`; in sentences, which are said.
    """
    if not isinstance(trainer, FlowTrainer) or task.teacher is not None:
        return {}, []
    feed = held_out_feed(task, "val", training, COMPARED, QUALITY_LEAST)
    if feed is None:
        return {}, []
    quality, usual = distance(run, feed, task, "validation images"), Sampling()
    few, many = (quality.measure(Sampled(trainer, how))["fd"] for how in (usual, FINER))
    better = many < GAIN * few
    sentence = (
        f"Images are made in {FINER.steps if better else usual.steps} steps: Fréchet distance"
        f" {many:.3g} in {FINER.steps}, {few:.3g} in {usual.steps}, {quality.n:,} {quality.on}."
    )
    console.say(sentence)
    return ({"steps": FINER.steps} if better else {}), [sentence]
