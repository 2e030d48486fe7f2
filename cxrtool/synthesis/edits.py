"""Pushing generated images along the directions of edits (one or several text strategies).

In: directions in W+, shares, a strength. Out: which direction every slot is pushed along, and
images from pushed latents: w' = w + strength x way, in every layer. A direction serves the classes
that its text names; in each class's stream the directions take turns so that the first n slots
hold each one's share of n, rounded, whatever n is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cxrtool.core.errors import InputError, UsageError
from cxrtool.synthesis.arrays import IntArray
from cxrtool.synthesis.planner import Plan
from cxrtool.synthesis.sampler import Render
from cxrtool.training.directions import STYLE, WAY, Direction, Ways
from cxrtool.training.protocols import Generator, StyleGenerator, StyleSpace

NOT_PUSHED = -1


def parse_shares(text: str | None, n: int) -> tuple[Fraction, ...]:
    """Shares of n directions, in their order; equal without a text.

    Raises:
        UsageError: Not n positive numbers.
    """
    if text is None:
        return (Fraction(1, n),) * n
    try:
        parts = [Fraction(part.strip()) for part in text.split(",")]
    except (ValueError, ZeroDivisionError):
        parts = []
    if len(parts) != n or min(parts, default=Fraction(0)) <= 0:
        raise UsageError(
            f"--ensemble {text!r} is not {n} positive numbers",
            hint="one share for each --edit, in their order, such as 0.7,0.3",
        )
    return tuple(part / sum(parts) for part in parts)


def assign(plan: Plan, directions: Sequence[Direction], shares: Sequence[Fraction]) -> IntArray:
    """The direction of every slot [n_synthetic]; `NOT_PUSHED` where no text names its class.

    Raises:
        InputError: A text names no target class, so that its direction would have no effect.
    """
    for direction in directions:
        if not set(direction.labels) & set(plan.request.labels):
            named = ", ".join(direction.labels) or "no label of the generator"
            raise InputError(
                f"the edit {direction.target!r} names {named} and no target class",
                hint="its direction would push nothing: leave it out, or add its class",
            )
    streams = []
    for label, drawn in zip(plan.request.labels, plan.drawn, strict=True):
        usable = [i for i, d in enumerate(directions) if label in d.labels]
        parts = [shares[i] for i in usable] or [Fraction(1)]
        streams.append(take_turns(parts, usable or [NOT_PUSHED], drawn))
    return np.concatenate([np.empty(0, dtype=np.int64), *streams])


def take_turns(shares: Sequence[Fraction], values: Sequence[int], n: int) -> IntArray:
    """n values in proportion: at every step the one that lags its share the most."""
    common = np.lcm.reduce([share.denominator for share in shares])
    weights = [int(share * int(common)) for share in shares]
    total, credit = sum(weights), [0] * len(weights)
    out = np.empty(n, dtype=np.int64)
    for j in range(n):
        credit = [c + w for c, w in zip(credit, weights, strict=True)]
        best = credit.index(max(credit))
        credit[best] -= total
        out[j] = values[best]
    return out


@dataclass(frozen=True)
class Edits:
    """Directions at work.

    Attributes:
        directions: What they are [R].
        ways: Of each of them, as `training.directions` keeps them.
        strength: Factor on every way.
        of_slot: Which one each slot is pushed along; `NOT_PUSHED` for none.
    """

    directions: tuple[Direction, ...]
    ways: tuple[Ways, ...]
    strength: float
    of_slot: IntArray

    def notes(self) -> dict[str, Any]:
        """What ``dataset.json`` says of them."""
        edits = [
            {"target": d.target, "sign": d.sign, "way": d.fingerprint} for d in self.directions
        ]
        return {"edits": edits, "edit_strength": self.strength}

    def cells(self, slots: IntArray) -> list[str]:
        """The cell ``edit`` of some rows, ``+0.8 of 0123456789abcdef``; blank if not pushed."""
        texts = [f"{d.sign}{self.strength!r} of {d.fingerprint}" for d in self.directions] + [""]
        return [texts[which] for which in self.of_slot[slots].tolist()]  # NOT_PUSHED is the last

    def render(self, network: Generator, truncation: float, device: torch.device) -> Render:
        """Makes images of pushed latents."""
        if not isinstance(network, StyleGenerator):
            raise InputError(
                "the generator has no W space to push images in",
                hint="train one with `cxr train-gan --arch stylegan2`, or leave --edit out",
            )
        style: StyleGenerator = network
        none = torch.zeros(style.num_ws, style.w_dim)
        in_w = [self.strength * way.get(WAY, none) for way in self.ways]
        pushes = torch.stack([*in_w, none]).to(device)
        in_s = self._style_pushes(style, device) if isinstance(style, StyleSpace) else {}

        def render(z: Tensor, y: Tensor, slots: IntArray) -> Tensor:
            direction = np.where(slots < 0, NOT_PUSHED, self.of_slot[slots])
            which = torch.from_numpy(direction).to(device)
            moved = style.mapping(z, y, truncation) + pushes[which]
            if not in_s or not isinstance(style, StyleSpace):
                return style.synthesis(moved, "const").clamp(-1, 1)
            styles = dict(style.styles(moved))
            for layer, push in in_s.items():
                styles[layer] = styles[layer] + push[which]
            return style.synthesis_from_styles(styles, "const").clamp(-1, 1)

        return render

    def _style_pushes(self, network: StyleSpace, device: torch.device) -> dict[str, Tensor]:
        """Layer -> [R + 1, C], the last row 0; only layers that any direction moves."""
        pushes = {}
        for layer, (count, _, _) in network.style_layers.items():
            name = STYLE + layer
            if any(name in way for way in self.ways):
                rows = [self.strength * way.get(name, torch.zeros(count)) for way in self.ways]
                pushes[layer] = torch.stack([*rows, torch.zeros(count)]).to(device)
        return pushes


def parse_cell(text: str) -> tuple[float, str]:
    """(strength, fingerprint of the direction).

    Raises:
        ValueError: It is no such cell.
    """
    strength, _, fingerprint = text[1:].partition(" of ")
    if text[:1] not in "+-" or not fingerprint:
        raise ValueError(text)
    return float(strength), fingerprint
