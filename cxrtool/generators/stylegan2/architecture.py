"""`stylegan2` as the registry of architectures knows it.

In: a request, data, or a saved state. Out: its choices, its trainer, its finished networks.
"""

from __future__ import annotations

from typing import Any

from cxrtool.generators.feed import Feed
from cxrtool.generators.protocol import Request
from cxrtool.generators.stylegan2.choices import Choices
from cxrtool.generators.stylegan2.choices import choose as choose_all
from cxrtool.generators.stylegan2.execution import Execution
from cxrtool.generators.stylegan2.network import load_generator, load_judge
from cxrtool.generators.stylegan2.trainer import StyleGan2Trainer
from cxrtool.training.world import World

__all__ = ["build", "choose", "load_generator", "load_judge"]

#: Options that are choices by the same name.
_SAME = (
    *("batch", "kimg", "lr", "gamma", "loss", "augment", "augment_p", "mirror", "style_mixing"),
    *("label_weight", "seed", "snapshot_kimg", "tick_kimg"),
)


def choose(request: Request) -> Choices:
    """Every number of a training."""
    options = request.options
    return choose_all(
        size=request.size,
        preset=request.preset,
        images=request.images,
        labels=request.labels,
        where=request.where,
        parts=options["accumulate"] * request.processes,
        ramp_kimg=options["label_ramp"],
        noise=None if options["noise"] is None else options["noise"] == "on",
        new=options.get("init_from") is None,
        **{name: options[name] for name in _SAME},
    )


def build(
    choices: Choices, feed: Feed, world: World | None, execution: Execution | None, **_: Any
) -> StyleGan2Trainer:
    """A new trainer; no class is held out."""
    return StyleGan2Trainer(choices, feed, world, execution)
