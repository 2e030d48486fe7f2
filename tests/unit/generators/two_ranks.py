"""A few steps of a training, as one of the processes that the environment names; for a test."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from cxrtool.generators.base import GeneratorTrainer
from cxrtool.generators.conditions import row_weights
from cxrtool.generators.feed import Feed
from cxrtool.generators.flow.distillation import StudentTrainer
from cxrtool.generators.flow.finished import FlowGenerator
from cxrtool.generators.flow.network import Network, Sizes
from cxrtool.generators.flow.sampling import Distillation, Sampling
from cxrtool.generators.flow.trainer import FlowTrainer, choose
from cxrtool.generators.saved import SavedGenerator
from cxrtool.generators.stylegan2.trainer import StyleGan2Trainer
from cxrtool.training.world import World
from tests.unit.generators.conftest import ellipses, micro_choices, request_of


def main(path: str, loss: str) -> None:
    torch.set_num_threads(1)
    images, labels = ellipses(48, 16)
    mask = np.random.default_rng(1).random(labels.shape) < 0.9
    # Without augmentation: where it leaves nothing to see, gradients are rounding alone, and Adam
    # makes whole steps of them.
    weights = row_weights(labels, mask, "balanced" if loss == "balanced" else "natural")
    world, feed = World("cpu"), Feed(images, labels, mask, seed=0, weights=weights)
    trainer: GeneratorTrainer
    if loss in ("flow", "told flow"):
        how: dict[str, Any] = {"augment": "geometry", "mirror": True} if loss == "told flow" else {}
        request = request_of(16, images=48, labels=2, batch=16, seed=0, kimg=1.0, **how)
        trainer = FlowTrainer(choose(request), feed, world)
    elif loss == "student":
        arch = Sizes(16, 2, z_dim=256, patch=4, widths=(16, 32), embedding=32)
        of = Network(arch, torch.Generator().manual_seed(0))
        with torch.no_grad():
            for parameter in of.parameters():
                parameter.add_(0.05)
        options: dict[str, Any] = {
            "distillation": Distillation("abc", 4, Sampling()),
            "architecture": arch.to_json(),
        }
        request = request_of(16, images=48, labels=2, batch=16, seed=0, kimg=1.0, **options)
        saved = SavedGenerator({"labels": ["A", "B"]}, {}, Path("gan"))
        trainer = StudentTrainer(choose(request), feed, FlowGenerator(of, saved), world=world)
    else:
        game = loss if loss == "rp-r1r2" else "ns-r1"
        choices = micro_choices(batch=16, parts=2, loss=game, augment=())
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
