"""Starting from a trained generator instead of random weights.

In: a finished train-gan run, of other data and perhaps other labels. Out: both networks of a new
`StyleGan2Trainer` that do what that run's did. Labels of equal names keep what was learned of them;
a new label starts without effect; one that is gone stands at its share of that run's images. No
schedule of a new training is left where the weights are not new: no ramp of the average or of the
labels, the mean path length is measured, the augmentations' probability goes on. Freezing the first
layers of the discriminator (FreezeD, Mo et al. 2020, arXiv 2002.10964) keeps what it knows of edges
and textures when new images are few.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cxrtool.core.errors import InputError, UsageError
from cxrtool.generators.saved import D_PREFIX, G_PREFIX, SavedGenerator
from cxrtool.generators.stylegan2 import ops
from cxrtool.generators.stylegan2.discriminator import Discriminator
from cxrtool.generators.stylegan2.generator import Architecture, Generator
from cxrtool.generators.stylegan2.trainer import StyleGan2Trainer

#: Sizes that both networks must share.
_SAME = ("size", "channels", "z_dim", "w_dim", "mapping_layers", "channel_base", "channel_max")
#: What depends on the labels or describes the data: not copied, see `_teach_*`.
_OWN = (
    "mapping.embed.weight",
    "mapping.embed.bias",
    "mapping.layers.0.weight",
    "project.weight",
    "classify.weight",
    "classify.bias",
    "prevalence",
)


#: Labels that two runs have: (position here, position there).
Pairs = list[tuple[int, int]]


@torch.no_grad()
def init_from(
    trainer: StyleGan2Trainer, run_dir: Path, labels: tuple[str, ...]
) -> dict[str, list[str]]:
    """Fill both networks, and the averaged one, with the weights of a finished run.

    Args:
        trainer: New.
        run_dir: The run to start from.
        labels: Names of the trainer's conditioning labels.

    Returns:
        `kept` and `new` label names, and `gone` where that run had others.

    Raises:
        InputError: not a finished generator, or networks of other sizes.
        UsageError: a ramp of the labels, which are in the weights already.
    """
    saved = SavedGenerator.open(run_dir)
    meta = saved.meta
    ours, theirs = trainer.choices.arch.to_json(), meta["architecture"]
    differing = [f"{k} {theirs.get(k)} not {ours[k]}" for k in _SAME if theirs.get(k) != ours[k]]
    if differing:
        what = f"networks of other sizes: {', '.join(differing)}"
        raise InputError(what, file=run_dir, hint="give the same --size and --preset as that run")
    if trainer.choices.ramp_nimg and meta["labels"]:
        what = f"--label-ramp would take the labels from {run_dir}, which has learned them"
        hint = "leave it out; it is for a start from new weights or from --labels none"
        raise UsageError(what, hint=hint)
    generator = saved.network(Generator, Architecture, G_PREFIX).to(trainer.device)
    discriminator = saved.network(Discriminator, Architecture, D_PREFIX).to(trainer.device)
    before = list(meta["labels"])
    pairs = [(k, before.index(name)) for k, name in enumerate(labels) if name in before]
    gone = [k for k, name in enumerate(before) if name not in labels]
    _copy(trainer.generator, generator)
    _copy(trainer.discriminator, discriminator)
    ramped = bool(trainer.choices.ramp_nimg)
    _teach_generator(trainer.generator, generator, pairs, gone, discriminator.prevalence, ramped)
    _teach_discriminator(trainer.discriminator, discriminator, pairs)
    for average in (trainer.average, trainer.follower):
        if average is not None:
            average.load_state_dict(trainer.generator.state_dict())
    if trainer.choices.path_weight:
        trainer.path_mean.fill_(torch.nan)  # that of the first batch: see `losses.path_length`
    trainer.controller.p.fill_(start_p(trainer.choices.augment, meta))
    lost = [before[there] for there in gone]
    return {
        "kept": [name for name in labels if name in before],
        "new": [name for name in labels if name not in before],
        **({"gone": lost} if lost else {}),
    }


def start_p(policies: tuple[str, ...], meta: dict[str, Any]) -> float:
    """Where the augmentations' probability goes on: where that run left it, for the same ones.

    0 for others, and for a run that has not written it down (the controller then raises it).
    """
    earlier = meta.get("augment", {})
    same = policies and tuple(earlier.get("policies", ())) == policies
    return float(earlier["p"]) if same else 0.0


def freeze(discriminator: Discriminator, blocks: int) -> int:
    """Leave the discriminator's layers next to the image as they are.

    Args:
        discriminator: Of the trainer.
        blocks: How many resolutions, from the image's own downwards.

    Returns:
        How many parameters are frozen.
    """
    if not blocks:
        return 0
    nearest = discriminator.arch.resolutions[1:][::-1][:blocks]
    modules = [discriminator.from_rgb, *(discriminator.blocks[f"b{r}"] for r in nearest)]
    parameters = [p for module in modules for p in module.requires_grad_(False).parameters()]
    return sum(p.numel() for p in parameters)


def _copy(ours: nn.Module, theirs: nn.Module) -> None:
    state = theirs.state_dict()
    for name, target in ours.state_dict().items():
        if name in state and name not in _OWN:
            target.copy_(state[name])


def _teach_generator(
    ours: Generator, theirs: Generator, pairs: Pairs, gone: list[int], shares: Tensor, ramped: bool
) -> None:
    """Embedded labels: the images of a z are those that it had, whatever the new labels say.

    Args:
        ours: To fill; what has no labels in it is filled already.
        theirs: To take from.
        pairs: Labels of both.
        gone: Positions of those of theirs that are not among ours.
        shares: `[L]` prevalence of theirs.
        ramped: Our labels gain influence from none.
    """
    mapping: Any = ours.mapping
    before: Any = theirs.mapping
    first, source = mapping.layers[0], before.layers[0]
    usual: Tensor | None = None
    if before.embed is not None:
        usual = before.embed.bias + before.embed.weight[:, gone] @ shares[gone]
    if mapping.embed is not None:
        mapping.embed.weight.zero_()
        for here, there in pairs:
            mapping.embed.weight[:, here] = before.embed.weight[:, there]
        if usual is not None:
            mapping.embed.bias.copy_(usual)
    if first.weight.shape == source.weight.shape:
        first.weight.copy_(source.weight)
        return
    # One of the two has no labels: other inputs, so another gain, and a constant embedding is bias.
    z_dim = ours.arch.z_dim
    first.weight[:, :z_dim] = source.weight[:, :z_dim] * (source.weight_gain / first.weight_gain)
    if usual is not None:
        unit = ops.normalize_second_moment(usual[None])[0]
        constant = source.weight[:, z_dim:] @ unit * source.weight_gain
        first.bias.add_(constant / first.bias_gain)
    elif not ramped:
        unit = ops.normalize_second_moment(mapping.embed.bias[None])[0]
        constant = first.weight[:, z_dim:] @ unit * first.weight_gain
        first.bias.sub_(constant / first.bias_gain)


def _teach_discriminator(ours: Any, theirs: Any, pairs: Pairs) -> None:
    """Labels in score and logits: a label of both says what it said, at another share too.

    A label enters as its distance from its share in units of its spread; what this changes goes
    into its weights, and a constant into the unconditional score. Both are a `Discriminator`.
    """
    if ours.project is None:
        return
    for parameter in (ours.project.weight, *ours.classify.parameters()):
        parameter.zero_()
    for here, there in pairs:
        column = theirs.project.weight[:, there] * theirs.project.weight_gain
        column = column / theirs.spread[there]
        ours.project.weight[:, here] = column * ours.spread[here] / ours.project.weight_gain
        moved = column * (ours.prevalence[here] - theirs.prevalence[there])
        ours.out.weight[0] += moved / len(moved) ** 0.5 / ours.out.weight_gain
        ours.classify.weight[here] = theirs.classify.weight[there]
        ours.classify.bias[here] = theirs.classify.bias[there]
