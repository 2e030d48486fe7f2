"""The flow as `generators.registry` knows it: choices, trainer, finished generator and judge.

In: what the registry asks for. Out: the trainer of a network that learns images or, beside a
teacher, of a student; the rest as it stands in the modules of this package.
"""

from typing import Any

from cxrtool.generators.feed import Feed
from cxrtool.generators.flow.distillation import StudentTrainer
from cxrtool.generators.flow.finished import FlowGenerator, load_generator, load_judge
from cxrtool.generators.flow.trainer import Choices, FlowTrainer, choose

__all__ = ["build", "choose", "load_generator", "load_judge"]


def build(
    choices: Choices,
    feed: Feed,
    world: Any = None,
    *,
    teacher: FlowGenerator | None = None,
    **more: Any,
) -> FlowTrainer:
    """The trainer; see `FlowTrainer` and `StudentTrainer`."""
    if teacher is None:
        return FlowTrainer(choices, feed, world, **more)
    return StudentTrainer(choices, feed, teacher, world=world, **more)
