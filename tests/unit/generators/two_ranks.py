"""A few steps of a training, as one of the processes that the environment names; for a test."""

from __future__ import annotations

import sys

import numpy as np
import torch
from safetensors.torch import save_file

from cxrtool.generators.feed import Feed
from cxrtool.generators.stylegan2.trainer import StyleGan2Trainer
from cxrtool.training.world import World
from tests.unit.generators.conftest import ellipses, micro_choices


def main(path: str, loss: str) -> None:
    torch.set_num_threads(1)
    images, labels = ellipses(48, 16)
    mask = np.random.default_rng(1).random(labels.shape) < 0.9
    # Without augmentation: where it leaves nothing to see, gradients are rounding alone, and Adam
    # makes whole steps of them.
    choices = micro_choices(batch=16, parts=2, loss=loss, augment=())
    world = World("cpu")
    trainer = StyleGan2Trainer(choices, Feed(images, labels, mask, seed=0), world)
    for _ in range(3):
        trainer.step()
    means = trainer.means.read(world.mean)
    if world.rank == 0:
        networks = {"g": trainer.generator, "d": trainer.discriminator}
        state = {f"{n}.{k}": v for n, net in networks.items() for k, v in net.state_dict().items()}
        state |= {f"mean.{name}": torch.tensor(value) for name, value in means.items()}
        save_file(state, path)
    world.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
