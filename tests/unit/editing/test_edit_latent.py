"""Latent optimization and inversion on a generator that can be checked by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from cxrtool.core.errors import InputError
from cxrtool.editing.guide import TextGuide, joined, make_guide, pyramid_distance
from cxrtool.editing.optimization import (
    InversionRecipe,
    LatentEdit,
    LatentRecipe,
    invert,
    mean_w,
    optimize,
    render,
)

from .toys import ToyEncoder, ToyGenerator

GENERATOR, ENCODER = ToyGenerator(), ToyEncoder()


def _guide(sign: int = 1, target: str = "left", opposite: str = "other") -> TextGuide:
    return make_guide(ENCODER, ENCODER, [target], [opposite], sign)


def _start(n: int = 4, seed: int = 0) -> torch.Tensor:
    z = torch.randn(n, 3, generator=torch.Generator().manual_seed(seed))
    return GENERATOR.mapping(z, torch.zeros(n, 2)).detach()


def _edit(start: torch.Tensor, guide: TextGuide, **changes: Any) -> torch.Tensor:
    recipe = LatentRecipe(**({"steps": 40, "l2": 0.0, "feature_weight": 0.0} | changes))
    sought = LatentEdit(GENERATOR, start)
    optimize(sought, guide, pyramid_distance, recipe)
    return start + sought.change.detach()


def test_the_guide_is_the_cosine_with_the_difference_of_texts() -> None:
    guide = _guide()
    assert guide.direction.tolist() == pytest.approx([2**-0.5, 0, 0, 0, -(2**-0.5), 0])
    images = render(GENERATOR, _start())
    vectors = ENCODER.embed_images(images)
    for i, loss in enumerate(guide.loss(images)):
        cosine = float(vectors[i] @ guide.direction / vectors[i].norm())
        assert float(loss) == pytest.approx(1 - cosine, abs=1e-6)
    assert (_guide(-1).loss(images) + guide.loss(images)).tolist() == pytest.approx([2.0] * 4)
    target, opposite, direction = guide.similarity(images)
    assert torch.allclose(direction, (target - opposite) / 2**0.5, atol=1e-6)


def test_ends_that_read_alike_give_no_direction() -> None:
    with pytest.raises(InputError, match="no direction"):
        _guide(opposite="left")


def test_gradients_pass_through_the_generator_to_w() -> None:
    w = _start().requires_grad_()
    torch.autograd.backward(_guide().loss(render(GENERATOR, w)).sum())
    assert w.grad is not None
    assert float(w.grad[:, 0, 0].abs().min()) > 0


@pytest.mark.parametrize("sign", [1, -1])
def test_an_edit_moves_every_image_as_asked(sign: int) -> None:
    start = _start()
    after = _edit(start, _guide(sign))
    before = _guide().similarity(render(GENERATOR, start))[2]
    found = _guide().similarity(render(GENERATOR, after))[2]
    assert bool((sign * (found - before) > 0.1).all())
    # "left" is the brightness of the first square: up with +, down with -.
    assert bool((sign * (after - start)[:, 0, 0] > 0).all())


def test_no_steps_leave_everything_as_it_is() -> None:
    start = _start()
    assert torch.equal(_edit(start, _guide(), steps=0), start)


def test_without_strength_nothing_moves() -> None:
    start = _start()
    assert torch.allclose(_edit(start, _guide(), text=0.0, l2=0.1), start)


@pytest.mark.parametrize(("name", "weight"), [("l2", 1.0), ("feature_weight", 5.0)])
def test_both_penalties_hold_the_image_back(name: str, weight: float) -> None:
    start = _start()
    before = render(GENERATOR, start)
    free = (render(GENERATOR, _edit(start, _guide())) - before).square().sum()
    held = (render(GENERATOR, _edit(start, _guide(), **{name: weight})) - before).square().sum()
    assert float(held) < 0.5 * float(free)


def test_the_loss_is_the_one_documented() -> None:
    start, guide = _start(1), _guide()
    recipe = LatentRecipe(steps=1, lr=0.05, text=0.7, l2=0.3, feature_weight=0.0)
    w = start.clone().requires_grad_()
    loss = 0.7 * guide.loss(render(GENERATOR, w)) + 0.3 * (w - start).square().sum()
    torch.autograd.backward(loss.sum())
    assert w.grad is not None
    # Adam's first step is lr times the sign of the gradient, and the ramp of one step is known.
    from cxrtool.editing.optimization import ramp

    sought = LatentEdit(GENERATOR, start)
    optimize(sought, guide, pyramid_distance, recipe)
    moved = sought.change.detach()
    wanted = torch.where(w.grad.abs() > 1e-6, -0.05 * ramp(0, 1) * w.grad.sign(), 0.0)
    assert torch.allclose(moved, wanted, atol=1e-4)


def test_images_of_a_block_do_not_touch_each_other() -> None:
    start = _start(4)
    whole = _edit(start, _guide())
    other = start.clone()
    other[1:] = _start(3, seed=9)
    assert torch.equal(_edit(other, _guide())[0], whole[0])


def test_it_stops_when_told_to() -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sought = LatentEdit(GENERATOR, _start())
        optimize(sought, _guide(), pyramid_distance, LatentRecipe(), stop)


def test_inversion_finds_the_image_again() -> None:
    hidden = _start(3, seed=4) + 0.3
    images = render(GENERATOR, hidden)
    y = torch.zeros(3, 2)
    found = invert(GENERATOR, images, y, pyramid_distance, InversionRecipe(steps=100))
    first = (render(GENERATOR, mean_w(GENERATOR, y)) - images).square().mean()
    last = (render(GENERATOR, found) - images).square().mean()
    assert float(last) < 0.01 * float(first)


def test_inversion_begins_at_the_mean_of_the_labels() -> None:
    y = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    mean = mean_w(GENERATOR, y)
    assert mean[0, 0].tolist() == [0.5, -0.5, 0.0]
    assert mean[1, 0].tolist() == [-0.5, 0.5, 0.0]
    images = render(GENERATOR, mean)
    found = invert(GENERATOR, images, y, pyramid_distance, InversionRecipe(steps=1, lr=0.0))
    assert torch.equal(found, mean)


def test_the_prior_keeps_w_near_the_mean() -> None:
    images = render(GENERATOR, _start(2, seed=4) + 0.5)
    y = torch.zeros(2, 2)
    found = [
        invert(GENERATOR, images, y, pyramid_distance, InversionRecipe(steps=60, prior=p))
        for p in (0.0, 10.0)
    ]
    mean = mean_w(GENERATOR, y)
    far = [float((w - mean).square().sum()) for w in found]
    assert far[1] < 0.2 * far[0]


def test_no_change_is_the_start() -> None:
    sought = LatentEdit(GENERATOR, _start(2))
    assert torch.equal(sought.images(), render(GENERATOR, _start(2)))
    assert sought.squared().tolist() == [0.0, 0.0]
    assert sought.way().tolist() == [0.0, 0.0]
    with torch.no_grad():
        sought.change[1] = 0.5
    assert sought.squared().tolist() == pytest.approx([0.0, 6 * 0.25])
    assert sought.way().tolist() == pytest.approx([0.0, 0.5])


def test_parts_are_joined_to_one_direction() -> None:
    towards, away = _guide(1, "left"), _guide(-1, "right")
    both = joined([towards, away])
    wanted = towards.target - towards.opposite - (away.target - away.opposite)
    assert torch.allclose(both.direction, torch.nn.functional.normalize(wanted, dim=0), atol=1e-6)
    assert both.sign == 1
    assert joined([away]) is away
