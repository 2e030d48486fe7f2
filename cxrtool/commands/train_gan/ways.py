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

CHURN = 0.2  # tried beside none
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
) -> tuple[dict[str, float], list[str]]:
    """How a finished flow makes images: with churn where that comes nearer to validation images.

    Fresh noise corrects what a well-trained network smooths, and coarsens what a network of a short
    training leaves grainy.

    Returns:
        For `model.json`, what differs from the usual `Sampling`; in sentences, which are said.
    """
    if not isinstance(trainer, FlowTrainer) or task.teacher is not None:
        return {}, []
    feed = held_out_feed(task, "val", training, COMPARED, QUALITY_LEAST)
    if feed is None:
        return {}, []
    quality = distance(run, feed, task, "validation images")
    plain, churned = (
        quality.measure(Sampled(trainer, Sampling(churn=churn)))["fd"] for churn in (0.0, CHURN)
    )
    better = churned < plain
    sentence = (
        f"Images are made with{'' if better else 'out'} churn: Fréchet distance with it"
        f" {churned:.3g}, without {plain:.3g}, {quality.n:,} {quality.on}."
    )
    console.say(sentence)
    return ({"churn": CHURN} if better else {}), [sentence]
