"""The spaces that an edit is sought in, and the zero-shot scores that are held."""

from __future__ import annotations

import pytest
import torch

from cxrtool.editing.guide import TextGuide, pyramid_distance
from cxrtool.editing.optimization import EditInS, EditInW, LatentRecipe, optimize
from cxrtool.editing.relevance import Channels
from cxrtool.generators.stylegan2.network import TrainedGenerator

from .test_edit_global import _Tower, _w, generator
from .toys import ToyEncoder, ToyGenerator

__all__ = ["generator"]


def _start(n: int = 3) -> torch.Tensor:
    z = torch.randn(n, 3, generator=torch.Generator().manual_seed(0))
    return ToyGenerator().mapping(z, torch.zeros(n, 2)).detach()


def test_no_change_is_the_start(generator: TrainedGenerator) -> None:
    w = _w(generator, 2)
    std = {"b8.conv0": torch.full((8,), 2.0)}
    channels = Channels({"b8.conv0": torch.zeros(8)}, std)
    for sought in (EditInW(generator, w), EditInS(generator, w, channels)):
        assert torch.allclose(sought.images(), generator.synthesis(w).clamp(-1, 1), atol=1e-6)
        assert sought.squared().tolist() == [0.0, 0.0]
        assert sought.way().tolist() == [0.0, 0.0]


def test_styles_move_in_their_deviations(generator: TrainedGenerator) -> None:
    w = _w(generator, 2)
    channels = Channels({"b8.conv0": torch.zeros(8)}, {"b8.conv0": torch.full((8,), 2.0)})
    sought = EditInS(generator, w, channels)
    with torch.no_grad():
        sought.numbers[0][1, 3] = 0.5
    styles = dict(generator.styles(w))
    styles["b8.conv0"] = styles["b8.conv0"].clone()
    styles["b8.conv0"][1, 3] += 1.0
    wanted = generator.synthesis_from_styles(styles).clamp(-1, 1)
    assert torch.equal(sought.images(), wanted)
    assert not torch.equal(wanted[1], generator.synthesis(w)[1].clamp(-1, 1))
    assert sought.squared().tolist() == [0.0, 0.25]
    assert sought.changes()["s.b8.conv0"][1, 3] == 1.0
    assert sought.way()[1] == pytest.approx((0.25 / 8) ** 0.5)


def test_in_w_all_layers_move_alike_and_in_w_plus_they_need_not() -> None:
    guide = TextGuide(ToyEncoder(), torch.eye(6)[0], torch.eye(6)[3])
    moved = {}
    for shared in (False, True):
        sought = EditInW(ToyGenerator(), _start(), shared=shared)
        optimize(
            sought, guide, pyramid_distance, LatentRecipe(steps=30, l2=0.0, feature_weight=0.0)
        )
        moved[shared] = torch.from_numpy(sought.changes()["way"])
    assert torch.equal(moved[True][:, 0], moved[True][:, 1])
    assert not torch.allclose(moved[False][:, 0], moved[False][:, 1], atol=0.05)


def test_styles_are_optimized(generator: TrainedGenerator) -> None:
    w = _w(generator, 2)
    std = {name: generator.styles(_w(generator, 50))[name].std(dim=0) for name in ("b4.conv1",)}
    channels = Channels({k: torch.zeros_like(v) for k, v in std.items()}, std)
    guide = TextGuide(_Tower(), torch.eye(9)[0], torch.eye(9)[1])
    sought = EditInS(generator, w, channels)
    before = guide.loss(sought.images()).detach()
    optimize(sought, guide, pyramid_distance, LatentRecipe(steps=20, l2=0.0, feature_weight=0.0))
    assert (guide.loss(sought.images()) < before - 1e-4).all()


def test_scores_of_others_are_held() -> None:
    """The text asks for the first two squares; the second one is another observation's."""
    target, other = torch.eye(6)[0] + torch.eye(6)[1], torch.eye(6)[1:2]
    strayed = {}
    for weight in (0.0, 30.0):
        held = other if weight else None
        guide = TextGuide(ToyEncoder(), target / 2**0.5, torch.eye(6)[5], 1, held, weight)
        sought = EditInW(ToyGenerator(), _start())
        before = torch.nn.functional.normalize(ToyEncoder().embed_images(sought.images()), dim=1)
        optimize(
            sought, guide, pyramid_distance, LatentRecipe(steps=60, l2=0.0, feature_weight=0.0)
        )
        after = torch.nn.functional.normalize(ToyEncoder().embed_images(sought.images()), dim=1)
        change = (after - before).detach()
        assert (change[:, 0] > 0.05).all()
        strayed[weight] = float(change[:, 1].abs().max())
    assert strayed[30.0] < 0.3 * strayed[0.0]


def test_the_loss_of_others_is_the_mean_square_of_their_change() -> None:
    others = torch.eye(6)[1:3]
    guide = TextGuide(ToyEncoder(), torch.eye(6)[0], torch.eye(6)[5], 1, others, 7.0)
    images, moved = (EditInW(ToyGenerator(), _start() + d).images().detach() for d in (0.0, 0.3))
    anchor = guide.anchor(images)
    a, b = (
        torch.nn.functional.normalize(ToyEncoder().embed_images(x), dim=1) for x in (images, moved)
    )
    wanted = guide.loss(moved) + 7.0 * (b - a)[:, 1:3].square().mean(dim=1)
    assert torch.allclose(guide.loss(moved, anchor), wanted)
    assert TextGuide(ToyEncoder(), torch.eye(6)[0], torch.eye(6)[5]).anchor(images) is None
