"""Losses by hand, regularizers against finite differences (float64)."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from cxrtool.generators import losses
from cxrtool.generators.stylegan2.discriminator import Discriminator
from cxrtool.generators.stylegan2.generator import Generator
from tests.unit.generators.conftest import micro

STEP = 1e-6


@pytest.fixture
def judge() -> Discriminator:
    return Discriminator(micro(8), torch.Generator().manual_seed(1)).double()


@pytest.fixture
def generator() -> Generator:
    return Generator(micro(), torch.Generator().manual_seed(0)).double()


def numeric_gradient(function, x: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
    """Central differences of a scalar function in every element of x."""
    gradient = torch.zeros_like(x)
    for index in range(x.numel()):
        values = []
        for sign in (1, -1):
            moved = x.detach().clone()
            moved.view(-1)[index] += sign * STEP
            values.append(float(function(moved).detach()))
        gradient.view(-1)[index] = (values[0] - values[1]) / (2 * STEP)
    return gradient


def test_logistic_losses_by_hand() -> None:
    score = torch.tensor([0.0, 2.0, -3.0])
    assert float(losses.generator_loss(score)) == pytest.approx(
        sum(math.log1p(math.exp(-s)) for s in (0, 2, -3)) / 3
    )
    assert float(losses.discriminator_loss(score, score)) == pytest.approx(
        sum(math.log1p(math.exp(-s)) + math.log1p(math.exp(s)) for s in (0, 2, -3)) / 3, rel=1e-5
    )


def test_label_loss_leaves_out_what_is_unknown() -> None:
    logits = torch.tensor([[2.0, -1.0], [0.5, 9.0]], requires_grad=True)
    y = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    mask = torch.tensor([[True, True], [True, False]])
    loss = losses.label_loss(logits, y, mask)
    first = (math.log1p(math.exp(-2)) + math.log1p(math.exp(0.5))) / 2
    assert float(loss.detach()) == pytest.approx(first + math.log1p(math.exp(-1)))
    loss.backward()
    assert logits.grad is not None
    assert float(logits.grad[1, 1]) == 0
    nothing = losses.label_loss(logits.detach(), y, torch.zeros_like(mask))
    assert float(nothing) == 0


def test_r1_is_the_squared_gradient(judge: Discriminator) -> None:
    x = torch.randn(4, 1, 8, 8, dtype=torch.float64, generator=torch.manual_seed(0))
    y, mask = torch.ones(4, 2).double(), torch.ones(4, 2).bool()

    def total(images: Tensor) -> Tensor:
        score: Tensor = judge(images, y, mask).score
        return score.sum()

    x.requires_grad_(True)
    penalty = losses.gradient_penalty(judge(x, y, mask).score, x)
    wanted = numeric_gradient(total, x).square().sum(dim=(1, 2, 3))
    torch.testing.assert_close(penalty.detach(), wanted, rtol=1e-5, atol=1e-9)


def test_r1_trains_the_discriminator(judge: Discriminator) -> None:
    """Its gradient in the weights, that is a second derivative, against finite differences."""
    x = torch.randn(4, 1, 8, 8, dtype=torch.float64, generator=torch.manual_seed(0))
    y, mask = torch.ones(4, 2).double(), torch.ones(4, 2).bool()

    def penalty() -> Tensor:
        images = x.clone().requires_grad_(True)
        return losses.gradient_penalty(judge(images, y, mask).score, images).mean()

    weights = [judge.from_rgb.weight, judge.conv.weight, judge.out.weight]
    analytic = torch.autograd.grad(penalty(), weights)
    for weight, gradient in zip(weights, analytic):
        index = int(gradient.abs().argmax())
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                weight.view(-1)[index] += sign * STEP
            values.append(float(penalty().detach()))
            with torch.no_grad():
                weight.view(-1)[index] -= sign * STEP
        numeric = (values[0] - values[1]) / (2 * STEP)
        assert float(gradient.reshape(-1)[index]) == pytest.approx(numeric, rel=1e-4)


def test_path_length_is_the_norm_of_the_pulled_back_noise(generator: Generator) -> None:
    rng = torch.manual_seed(0)
    ws = torch.randn(2, generator.num_ws, 8, dtype=torch.float64, generator=rng)
    noise = torch.randn(2, 1, 16, 16, dtype=torch.float64, generator=rng)
    mean = torch.tensor(0.3, dtype=torch.float64)

    def projected(w: Tensor) -> Tensor:
        return (generator.synthesis(w, "none") * noise / 16).sum()

    gradient = numeric_gradient(projected, ws)
    lengths = gradient.square().sum(dim=2).mean(dim=1).sqrt()
    ws.requires_grad_(True)
    penalty, running, own = losses.path_length(generator.synthesis(ws, "none"), ws, mean, noise)
    torch.testing.assert_close(own.detach(), lengths, rtol=1e-6, atol=1e-10)
    new_mean = 0.3 + 0.01 * (lengths.mean() - 0.3)
    torch.testing.assert_close(running, new_mean)
    torch.testing.assert_close(penalty.detach(), (lengths - new_mean).square().mean())


def test_path_length_trains_the_generator(generator: Generator) -> None:
    rng = torch.manual_seed(0)
    ws = torch.randn(2, generator.num_ws, 8, dtype=torch.float64, generator=rng)
    noise = torch.randn(2, 1, 16, 16, dtype=torch.float64, generator=rng)
    mean = torch.zeros((), dtype=torch.float64)

    def lengths() -> Tensor:
        w = ws.clone().requires_grad_(True)
        return losses.path_length(generator.synthesis(w, "none"), w, mean, noise)[2].square().sum()

    weight = generator.const
    (gradient,) = torch.autograd.grad(lengths(), weight)
    index = int(gradient.abs().argmax())
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            weight.view(-1)[index] += sign * STEP
        values.append(float(lengths().detach()))
        with torch.no_grad():
            weight.view(-1)[index] -= sign * STEP
    numeric = (values[0] - values[1]) / (2 * STEP)
    assert float(gradient.reshape(-1)[index]) == pytest.approx(numeric, rel=1e-4)


def test_relativistic_loss_is_the_logistic_loss_of_differences() -> None:
    winner, loser = torch.tensor([1.0, -2.0]), torch.tensor([0.5, 1.0])
    wanted = -(torch.sigmoid(winner - loser).log()).mean()
    torch.testing.assert_close(losses.relativistic_loss(winner, loser), wanted)
    torch.testing.assert_close(losses.relativistic_loss(winner + 7, loser + 7), wanted)
