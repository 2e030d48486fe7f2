"""A learned direction does what the text asks, where the text acts, and holds other scores."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from cxrtool.editing.global_method import ALPHA, GOAL, LearnedRecipe, learned_direction
from cxrtool.editing.guide import TextGuide
from cxrtool.editing.relevance import Direction, moved
from cxrtool.editing.variation import Variation, measure_variation

from .toys import ToyStyles

N = 200
STYLES = torch.randn(N, 4, generator=torch.Generator().manual_seed(0))
STYLES[:, 1:] *= 0.2


class _Generator(ToyStyles):
    """An image of two halves; styles: left half, both halves, right half, nothing."""

    def __init__(self) -> None:
        self.style_layers = {"a": (4, 8, False)}
        left = torch.zeros(8, 8)
        left[:, :4] = 1.0
        self.basis = 0.05 * torch.stack([left, torch.ones(8, 8), 1 - left, torch.zeros(8, 8)])

    def styles(self, w: Tensor) -> dict[str, Tensor]:
        return {"a": STYLES[w[:, 0, 0].long() % N]}

    def synthesis_from_styles(self, styles: dict[str, Tensor], noise: str = "const") -> Tensor:
        return torch.einsum("nk,khw->nhw", styles["a"], self.basis)[:, None]


class _Encoder:
    """Sees both halves, and a constant."""

    name = "eyes"

    def embed_images(self, x: Tensor) -> Tensor:
        left, right = x[:, 0, :, :4].mean(dim=(1, 2)), x[:, 0, :, 4:].mean(dim=(1, 2))
        return torch.stack([left, right, torch.ones(len(x))], dim=1)


def _w(first: int, count: int) -> Tensor:
    return torch.arange(first, first + count, dtype=torch.float32).view(-1, 1, 1)


@pytest.fixture(scope="module")
def found() -> Variation:
    return measure_variation(_Generator(), _Encoder(), _w, patients=N, each=1)


START = Direction({"a": torch.tensor([0.3, 0.3, 0.1, 0.0])}, 3)
TEXT, OTHER, REST = torch.eye(3)


def _learn(found: Variation, sign: int = 1, weight: float = 0.0, **changes: Any) -> Tensor:
    others = OTHER[None] if weight else None
    guide = TextGuide(_Encoder(), TEXT, torch.zeros(3), sign, others, weight)
    recipe = replace(LearnedRecipe(steps=150, lr=0.1, local=0.0, near=0.0), **changes)
    learned = learned_direction(
        _Generator(), lambda step: _w(step * 12, 12), guide, found, START, recipe
    )
    return learned.change["a"]


@pytest.mark.parametrize("sign", [1, -1])
def test_it_gains_what_is_asked_for(found: Variation, sign: int) -> None:
    change = _learn(found, sign)
    w = _w(0, 50)
    before = _Generator().synthesis(w)
    after = moved(_Generator(), w, Direction({"a": change}, 3), sign * ALPHA)
    gain = (after - before)[:, 0, :, :4].mean()
    spread = (found.embeddings[0, 0] / found.n).sqrt()
    assert sign * float(gain / spread) == pytest.approx(GOAL, rel=0.15)


def test_the_stray_and_the_scores_of_others_are_reduced(found: Variation) -> None:
    def right(change: Tensor) -> float:
        return abs(float(change[1] + change[2]))

    free = right(_learn(found))
    assert right(_learn(found, local=30.0)) < 0.3 * free
    assert right(_learn(found, weight=3.0)) < 0.3 * free


def test_channels_that_the_start_leaves_alone_stay_and_near_holds(found: Variation) -> None:
    assert _learn(found, local=30.0)[3] == 0.0
    held = _learn(found, near=1e4)
    assert torch.allclose(held, START.change["a"], atol=0.02)
