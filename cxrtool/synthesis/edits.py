"""Pushing generated images along the directions of edits (one or several text strategies).

In: directions in W+, shares, a strength. Out: which direction every slot is pushed along, and
images from pushed latents: w' = w + strength x way, in every layer. A direction serves the classes
that its text names; in each class's stream the directions take turns so that the first n slots
hold each one's share of n, rounded, whatever n is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cxrtool.errors import InputError, UsageError
from cxrtool.synthesis.planner import Plan
from cxrtool.synthesis.sampler import Render
from cxrtool.training.directions import Direction
from cxrtool.training.protocols import Generator, StyleGenerator

IntArray = npt.NDArray[np.int64]
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
    found = []
    for label, drawn in zip(plan.request.labels, plan.drawn, strict=True):
        usable = [i for i, d in enumerate(directions) if label in d.labels]
        if not usable:
            found.append(np.full(drawn, NOT_PUSHED, dtype=np.int64))
            continue
        total = sum((shares[i] for i in usable), Fraction(0))
        found.append(take_turns([shares[i] / total for i in usable], usable, drawn))
    return np.concatenate([np.empty(0, dtype=np.int64), *found])


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
        ways: [R, num_ws, w_dim].
        strength: Factor on every way.
        of_slot: Which one each slot is pushed along; `NOT_PUSHED` for none.
    """

    directions: tuple[Direction, ...]
    ways: Tensor
    strength: float
    of_slot: IntArray

    def cell(self, slot: int) -> str:
        """The cell ``edit`` of a slot's row: sign, strength and direction; blank if not pushed."""
        which = int(self.of_slot[slot])
        return "" if which < 0 else edit_cell(self.directions[which], self.strength)

    def cells(self, slots: IntArray) -> list[str]:
        """Those of some rows."""
        return [self.cell(slot) for slot in slots.tolist()]

    def render(self, network: Generator, truncation: float, device: torch.device) -> Render:
        """Makes images of pushed latents."""
        style = style_of(network, self.ways)
        pushes = torch.cat([self.strength * self.ways, torch.zeros_like(self.ways[:1])]).to(device)

        def render(z: Tensor, y: Tensor, slots: IntArray) -> Tensor:
            which = np.where(slots < 0, NOT_PUSHED, self.of_slot[slots])
            moved = style.mapping(z, y, truncation) + pushes[torch.from_numpy(which).to(device)]
            return style.synthesis(moved, "const").clamp(-1, 1)

        return render


def edit_cell(direction: Direction, strength: float) -> str:
    """How a manifest names a push: ``+0.8 of 0123456789abcdef``."""
    return f"{direction.sign}{strength!r} of {direction.fingerprint}"


def parse_cell(text: str) -> tuple[float, str]:
    """(strength, fingerprint of the direction).

    Raises:
        ValueError: It is no such cell.
    """
    strength, _, fingerprint = text[1:].partition(" of ")
    if text[:1] not in "+-" or not fingerprint:
        raise ValueError(text)
    return float(strength), fingerprint


def style_of(network: Generator, ways: Tensor) -> StyleGenerator:
    """The network as one with a W space of the directions' shape.

    Raises:
        InputError: It has none.
    """
    if not isinstance(network, StyleGenerator):
        raise InputError(
            "the generator has no W space to push images in",
            hint="train one with `cxr train-gan --arch stylegan2`, or leave --edit out",
        )
    if tuple(ways.shape[1:]) != (network.num_ws, network.w_dim):
        raise InputError(f"a direction has the shape {tuple(ways.shape[1:])}, not the generator's")
    return network
