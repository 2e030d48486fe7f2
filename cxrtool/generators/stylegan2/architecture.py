"""`stylegan2` as the registry of architectures knows it.

In: a request, data, or a saved state. Out: its choices, its trainer, its finished networks.
"""

from typing import Any

from cxrtool.generators.feed import Feed
from cxrtool.generators.stylegan2.choices import Choices, choose
from cxrtool.generators.stylegan2.execution import Execution
from cxrtool.generators.stylegan2.network import load_generator, load_judge
from cxrtool.generators.stylegan2.trainer import StyleGan2Trainer
from cxrtool.training.world import World

__all__ = ["build", "choose", "load_generator", "load_judge"]


def build(
    choices: Choices, feed: Feed, world: World | None, execution: Execution | None, **_: Any
) -> StyleGan2Trainer:
    """A new trainer; no class is held out."""
    return StyleGan2Trainer(choices, feed, world, execution)
