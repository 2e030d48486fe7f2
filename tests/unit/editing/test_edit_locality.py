"""Where a text acts, and edits of all methods that are held to it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from cxrtool.editing.guide import make_guide, pyramid_distance
from cxrtool.editing.optimization import EditInW, LatentRecipe, optimize, render
from cxrtool.editing.relevance import Channels
from cxrtool.editing.variation import Locality, Variation, locality

from .toys import ToyEncoder, ToyGenerator

GENERATOR, ENCODER = ToyGenerator(), ToyEncoder()
TEXT, OTHER = torch.eye(2)


def _variation() -> Variation:
    """The left half follows the first number of an embedding, all pixels the second, faintly."""
    pixels = torch.zeros(2, 8, 8)
    pixels[0, :, :4] = 2.0
    pixels[1] = 0.1
    squares = torch.full((8, 8), 40.0)
    return Variation(Channels({}, {}), 10, torch.eye(2), {}, {}, pixels, squares)


def _touched(text: Tensor) -> Tensor:
    return 1.0 - locality(_variation(), text).outside


def test_a_text_acts_where_pixels_change_with_its_score() -> None:
    where = _touched(TEXT)
    assert where.shape == (8, 8)
    assert float(where[:, :4].min()) == 1.0  # at the border two thirds of the mean, which is enough
    assert where[0, 4] == pytest.approx(2 / 3)
    assert float(where[:, 5:].max()) == 0.0
    assert torch.equal(_touched(-TEXT), where)
    assert torch.equal(_touched(OTHER), torch.ones(8, 8))


def test_the_stray_counts_what_changes_elsewhere() -> None:
    where = locality(_variation(), TEXT)
    assert where.usual == pytest.approx(4.0)
    before = torch.zeros(2, 1, 8, 8)
    after = before.clone()
    after[:, 0, :, :4] = 0.5
    assert where.stray(before, after).tolist() == [0.0, 0.0]
    after[1, 0, :, 5:] = 0.2
    assert where.stray(before, after).tolist() == pytest.approx([0.0, 0.04 * 3 / 8 / 4.0])


def _left_square() -> Locality:
    """All but the first square is outside."""
    return Locality((GENERATOR.basis[0] == 0).float(), 0.1)


def _outside(before: Tensor, after: Tensor) -> float:
    return float(((after - before)[:, 0] * _left_square().outside).square().mean())


def test_latent_edits_stay_there() -> None:
    z = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    start = GENERATOR.mapping(z, torch.zeros(4, 2)).detach()
    guide = make_guide(ENCODER, ENCODER, ["left"], ["other"])
    before = render(GENERATOR, start)
    strays = {}
    for local in (0.0, 20.0):
        sought = EditInW(GENERATOR, start)
        recipe = LatentRecipe(steps=60, l2=0.0, feature_weight=0.0, local=local)
        optimize(sought, guide, pyramid_distance, recipe, where=_left_square())
        after = sought.images().detach()
        assert (guide.similarity(after)[2] > guide.similarity(before)[2] + 0.1).all()
        strays[local] = _outside(before, after)
    assert strays[20.0] < 0.1 * strays[0.0]
