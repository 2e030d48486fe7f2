"""`--method flow`: a flow changes the labels that a target names, where they act.

In: a flow, starts with their labels, a target. Out: an editor. There is no text to follow here: a
target is obeyed in the labels that the generator knows, in its side and in its severity, and in
nothing else. No CLIP and no classifier steers, so that either may judge.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from cxrtool.core.errors import UsageError
from cxrtool.editing.blocks import Arrays
from cxrtool.editing.targets import SEVERITY, SIDE, Part, Target
from cxrtool.training.protocols import LabelChange, LabelEditor
from cxrtool.training.rng import torch_generator

SEVERITIES = {"mild": 0.7, "moderate": 1.0, "severe": 1.6}  # times the guidance
OBEYED = (SIDE, SEVERITY)


class Shown(NamedTuple):
    """Images and what they show.

    Attributes:
        images: `[N, C, H, W]` in [-1, 1].
        y: `[N, L]` label values, in the order of the generator.
        known: `[N, L]` which of them are known, 1 or 0.
        seeds: N, of the noise that is laid over each image.
    """

    images: Tensor
    y: Tensor
    known: Tensor
    seeds: Sequence[int]

    def noise(self, draw: int) -> Tensor:
        """`[N, C, H, W]`, standard normal; of an image alone, whatever stands beside it."""
        rngs = (torch_generator("flow edit", seed, draw) for seed in self.seeds)
        drawn = [torch.randn(self.images.shape[1:], generator=rng) for rng in rngs]
        return torch.stack(drawn).to(self.images)


def refuse_unknown(target: Target, labels: Sequence[str]) -> None:
    """Refuse a part of a target that names no label of the generator.

    Raises:
        UsageError: Nothing of it could be obeyed.
    """
    for part in target.parts:
        if not set(part.labels) & set(labels):
            raise UsageError(
                f"--target {part.text!r} names no label that the generator knows",
                hint=f"it knows {', '.join(labels)}",
            )


@dataclass(frozen=True)
class FlowEditor:
    """Edits towards one target, part after part.

    Attributes:
        generator: The flow.
        single: Whether an image has one label at most.
        target: The target, whose parts name labels of the generator.
        contradicted: Label -> labels that are not there beside it ("No Finding" beside a finding).
        check_stop: May raise, between calls of the network.
    """

    generator: LabelEditor
    single: bool
    target: Target
    contradicted: Mapping[str, Sequence[str]]
    check_stop: Callable[[], None]

    @torch.no_grad()
    def edit(self, start: Shown, strength: float) -> tuple[Tensor, Arrays]:
        """Edit images.

        Args:
            start: The images.
            strength: Of a part that says nothing of severity, or "moderate".

        Returns:
            Images `[N, C, H, W]` in [-1, 1]; root mean square change of each ("way", `[N]`).
        """
        images, y, known = start.images, start.y, start.known
        for part in self.target.parts:
            before, after, known = self.labels(part, y, known)
            weight = strength * SEVERITIES[part.severity or "moderate"]
            side = part.side if part.side in ("left", "right") else None
            change = LabelChange(before, after, known, weight, side)
            images = self.generator.edited(images, change, start.noise, self.check_stop)
            y = after
        way = (images - start.images).square().mean(dim=(1, 2, 3)).sqrt()
        return images, {"way": way.cpu().numpy().astype(np.float32)}

    def labels(self, part: Part, y: Tensor, known: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Labels of images before and after a part, and which are told.

        Before, a label that is to come is not there, and one that is to go is there, whatever is
        known of it: an image that has it gets more of it.
        """
        names, there = self.generator.labels, float(part.sign == "+")
        before, after, known = y.clone(), y.clone(), known.clone()
        for label in set(part.labels) & set(names):
            column = names.index(label)
            before[:, column], after[:, column], known[:, column] = 1 - there, there, 1.0
            others = set(names) - {label} if self.single else set(self.contradicted.get(label, ()))
            for other in others & set(names) - set(part.labels):
                if there:
                    after[:, names.index(other)] = 0.0
                elif self.single:  # something else is there, and nobody says what
                    known[:, names.index(other)] = 0.0
        return before, after, known

    def direction(self, arrays: Arrays, strength: float) -> dict[str, Tensor]:
        """None: an edit by labels is no direction of a space."""
        return {}
