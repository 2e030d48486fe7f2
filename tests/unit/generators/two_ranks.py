"""A few steps of a training, as one of the processes that the environment names; for a test."""

from __future__ import annotations

import sys

import numpy as np
import torch
from safetensors.torch import save_file

from cxrtool.generators.base import GeneratorTrainer
from cxrtool.generators.feed import Feed
from cxrtool.generators.flow.trainer import FlowTrainer, choose
from cxrtool.generators.stylegan2.trainer import StyleGan2Trainer
from cxrtool.training.world import World
from tests.unit.generators.conftest import ellipses, micro_choices, request_of


def main(path: str, loss: str) -> None:
    torch.set_num_threads(1)
    images, labels = ellipses(48, 16)
    mask = np.random.default_rng(1).random(labels.shape) < 0.9
    # Without augmentation: where it leaves nothing to see, gradients are rounding alone, and Adam
    # makes whole steps of them.
    world, feed = World("cpu"), Feed(images, labels, mask, seed=0)
    trainer: GeneratorTrainer
    if loss == "flow":
        request = request_of(16, images=48, labels=2, batch=16, seed=0, kimg=1.0)
        trainer = FlowTrainer(choose(request), feed, world)
    else:
        choices = micro_choices(batch=16, parts=2, loss=loss, augment=())
        trainer = StyleGan2Trainer(choices, feed, world)
    for _ in range(3):
        trainer.step()
    means = trainer.means.read(world.mean)
    if world.rank == 0:
        state = {
            f"{name}.{key}": value.contiguous()
            for name in set(trainer.networks) - {"average"}
            for key, value in trainer.members[name].state_dict().items()
        }
        state |= {f"mean.{name}": torch.tensor(value) for name, value in means.items()}
        save_file(state, path)
    world.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
