"""A few steps of training, alone or as one of the processes of torchrun.

    python -m tests.unit.clip.two_ranks OUT.safetensors

The first process writes the weights after the steps and the losses of each step.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from cxrtool.clip.losses import Claims
from cxrtool.clip.model import create
from cxrtool.clip.training import ClipTrainer, Recipe
from cxrtool.training.world import World
from tests.unit.clip.conftest import TEXTS, micro, square_pairs, squares


def main(file: Path) -> None:
    """Train and write."""
    torch.set_num_threads(1)
    world = World("cpu")
    model = create(micro(), seed=0, device="cpu")
    pairs = square_pairs(model)
    which = squares(len(pairs.images), 0)[1]
    tokens = model.tokenizer([*TEXTS, *(f"no {text}" for text in TEXTS)])
    values = torch.eye(3)[torch.from_numpy(which)].numpy().astype("int8")
    claims = Claims(values, tokens, [torch.tensor([k]).numpy() for k in range(6)])
    object.__setattr__(pairs, "claims", claims)
    recipe = Recipe(batch=16, steps=4, lr=1e-3, seed=0)
    trainer = ClipTrainer(model, pairs, recipe, world)
    losses = torch.tensor([trainer.step() for _ in range(4)])
    state = {name: value.contiguous().clone() for name, value in model.network.state_dict().items()}
    if world.rank == 0:
        save_file({**state, "losses": losses}, file)
    world.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
