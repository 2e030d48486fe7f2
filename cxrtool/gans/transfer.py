"""Starting from a trained generator instead of random weights.

In: a finished train-gan run, of other data and perhaps other labels. Out: both networks of a new
`Trainer` with its weights; labels of equal names keep what was learned of them, new labels start
fresh. Freezing the first layers of the discriminator (FreezeD, Mo et al. 2020, arXiv 2002.10964)
keeps what it knows of edges and textures when new images are few.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from cxrtool.errors import InputError
from cxrtool.gans.network import D_PREFIX, G_PREFIX
from cxrtool.gans.stylegan2.discriminator import Discriminator
from cxrtool.gans.trainer import Trainer
from cxrtool.training.models import read_model

#: Sizes that both networks must share.
_SAME = ("size", "channels", "z_dim", "w_dim", "mapping_layers", "channel_base", "channel_max")
#: Weights with a dimension of labels, and which.
_BY_LABEL = {
    f"{G_PREFIX}mapping.embed.weight": 1,
    f"{D_PREFIX}project.weight": 1,
    f"{D_PREFIX}classify.weight": 0,
    f"{D_PREFIX}classify.bias": 0,
}
#: What describes the new data, not what was learned.
_KEPT = (f"{D_PREFIX}prevalence",)
#: Weights whose input grows when labels are added to an unconditional network.
_FIRST = f"{G_PREFIX}mapping.layers.0.weight"


@torch.no_grad()
def init_from(trainer: Trainer, run_dir: Path, labels: tuple[str, ...]) -> dict[str, list[str]]:
    """Fill both networks, and the averaged one, with the weights of a finished run.

    Args:
        trainer: New.
        run_dir: The run to start from.
        labels: Names of the trainer's conditioning labels.

    Returns:
        `kept` and `new` label names.

    Raises:
        InputError: not a finished generator, or networks of other sizes.
    """
    meta, state = read_model(run_dir, "generator")
    ours, theirs = trainer.choices.arch.to_json(), meta["architecture"]
    differing = [f"{k} {theirs.get(k)} not {ours[k]}" for k in _SAME if theirs.get(k) != ours[k]]
    if differing:
        raise InputError(
            f"networks of other sizes: {', '.join(differing)}",
            file=run_dir,
            hint="give the same --size and --preset as that run",
        )
    before = {name: position for position, name in enumerate(meta["labels"])}
    for prefix, network in ((G_PREFIX, trainer.generator), (D_PREFIX, trainer.discriminator)):
        for name, target in network.state_dict(prefix=prefix).items():
            if name in state and name not in _KEPT:
                _fill(name, target, state[name], labels, before)
    trainer.average.load_state_dict(trainer.generator.state_dict())
    return {
        "kept": [name for name in labels if name in before],
        "new": [name for name in labels if name not in before],
    }


def freeze(discriminator: Discriminator, blocks: int) -> int:
    """Leave the discriminator's layers next to the image as they are.

    Args:
        discriminator: Of the trainer.
        blocks: How many resolutions, from the image's own downwards.

    Returns:
        How many parameters are frozen.
    """
    resolutions = list(reversed(discriminator.arch.resolutions[1:]))[:blocks]
    modules: list[nn.Module] = [discriminator.blocks[f"b{r}"] for r in resolutions]
    if blocks:
        modules.append(discriminator.from_rgb)
    count = 0
    for module in modules:
        for parameter in module.parameters():
            parameter.requires_grad_(False)
            count += parameter.numel()
    return count


def _fill(
    name: str, target: Tensor, source: Tensor, labels: tuple[str, ...], before: dict[str, int]
) -> None:
    """Copy a weight; a label's part goes to the label of the same name."""
    if name in _BY_LABEL:
        dim = _BY_LABEL[name]
        for position, label in enumerate(labels):
            if label in before:
                target.select(dim, position).copy_(source.select(dim, before[label]))
    elif name == _FIRST:
        width = min(target.shape[1], source.shape[1])
        target[:, :width].copy_(source[:, :width])
    elif target.shape == source.shape:
        target.copy_(source)
