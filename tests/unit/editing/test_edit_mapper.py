"""The mapper learns what a text asks of every image, and is one network."""

from __future__ import annotations

import torch

from cxrtool.editing.distances import pyramid_distance
from cxrtool.editing.guide import make_guide
from cxrtool.editing.mapper import Mapper, MapperRecipe, moved, parts, train

from .toys import ToyEncoder, ToyGenerator


def test_parts_of_the_papers_network() -> None:
    assert parts(18) == [(0, 4), (4, 8), (8, 18)]  # 1024 px: coarse, medium, fine
    assert parts(14) == [(0, 4), (4, 8), (8, 14)]
    assert parts(8) == [(0, 4), (4, 6), (6, 8)]
    assert parts(2) == [(0, 2)]


def _sample(step: int, n: int = 8) -> torch.Tensor:
    rng = torch.Generator().manual_seed(step)
    return ToyGenerator().mapping(torch.randn(n, 3, generator=rng), torch.zeros(n, 2))


def _trained(steps: int, sign: int = 1, l2: float = 0.01) -> Mapper:
    encoder = ToyEncoder()
    guide = make_guide(encoder, encoder, ["left"], ["other"], sign)
    mapper = Mapper(2, 3, seed=0)
    recipe = MapperRecipe(steps=steps, lr=0.3, l2=l2, keep=0.0, batch=8)
    train(mapper, ToyGenerator(), _sample, guide, pyramid_distance, recipe)
    return mapper


def test_new_images_move_as_asked_in_one_pass() -> None:
    encoder, generator = ToyEncoder(), ToyGenerator()
    guide = make_guide(encoder, encoder, ["left"], ["other"])
    w = _sample(999, n=20)
    before = guide.similarity(generator.synthesis(w))[2]
    for sign in (1, -1):
        images, after = moved(generator, w, _trained(150, sign), 1.0)
        change = guide.similarity(images)[2] - before
        assert (sign * change > 0.1).all()
        assert after.shape == w.shape


def test_length_is_paid_for() -> None:
    w = _sample(1)
    short, long = (_trained(40, l2=l2)(w).square().mean() for l2 in (5.0, 0.0))
    assert short < 0.3 * long


def test_training_in_two_halves_is_training_at_once() -> None:
    encoder = ToyEncoder()
    guide = make_guide(encoder, encoder, ["left"], ["other"])
    recipe = MapperRecipe(steps=12, lr=0.05, batch=8)
    kept = {}

    def keep(step: int, _loss: float, optimizer: torch.optim.Optimizer) -> None:
        if step == 4:
            kept["step"] = 5
            kept["mapper"] = {k: v.clone() for k, v in whole.state_dict().items()}
            state = optimizer.state_dict()
            kept["optimizer"] = {
                "param_groups": [dict(group) for group in state["param_groups"]],
                "state": {
                    k: {n: t.clone() for n, t in v.items()} for k, v in state["state"].items()
                },
            }

    whole, rest = Mapper(2, 3, seed=0), Mapper(2, 3, seed=1)
    train(whole, ToyGenerator(), _sample, guide, pyramid_distance, recipe, keep)
    train(rest, ToyGenerator(), _sample, guide, pyramid_distance, recipe, state=kept)
    for a, b in zip(whole.parameters(), rest.parameters(), strict=True):
        assert torch.equal(a, b)
