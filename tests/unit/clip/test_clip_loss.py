"""The contrastive loss against its definition, duplicates, and the temperature."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from open_clip.loss import SigLipLoss
from torch.nn import functional

from cxrtool.clip.losses import (
    MAX_SCALE,
    clamp_temperature,
    contrastive_loss,
    sigmoid_loss,
    soft_targets,
)
from cxrtool.clip.texts import group_numbers


def _unit(n: int, d: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return functional.normalize(torch.randn(n, d, generator=generator, dtype=torch.float64), dim=-1)


def _slow(images: np.ndarray, texts: np.ndarray, scale: float, groups: list[int]) -> float:
    """The module's formula, one pair at a time."""
    n, total = len(groups), 0.0
    for rows, columns in ((images, texts), (texts, images)):
        for i in range(n):
            logits = [scale * float(rows[i] @ columns[j]) for j in range(n)]
            log_sum = math.log(sum(math.exp(v) for v in logits))
            alike = [j for j in range(n) if groups[j] == groups[i]]
            total += sum(log_sum - logits[j] for j in alike) / len(alike) / n
    return total / 2


@pytest.mark.parametrize("groups", [[0, 1, 2, 3, 4], [0, 1, 0, 0, 2], [0, 0, 0, 0, 0]])
def test_the_loss_is_its_definition(groups: list[int]) -> None:
    images, texts = _unit(5, 7, 0), _unit(5, 7, 1)
    found = contrastive_loss(images, texts, torch.tensor(9.0), torch.tensor(groups))
    assert float(found) == pytest.approx(_slow(images.numpy(), texts.numpy(), 9.0, groups))


def test_without_duplicates_it_is_the_loss_of_clip() -> None:
    images, texts, n = _unit(6, 4, 2), _unit(6, 4, 3), 6
    logits, diagonal = 5.0 * images @ texts.T, torch.arange(n)
    infonce = (functional.cross_entropy(logits, diagonal) * 0.5) + 0.5 * functional.cross_entropy(
        logits.T, diagonal
    )
    found = contrastive_loss(images, texts, torch.tensor(5.0), diagonal)
    assert float(found) == pytest.approx(float(infonce))


@pytest.mark.parametrize("groups", [[0, 1, 2, 3, 4], [0, 1, 0, 0, 2], [0, 0, 0, 0, 0]])
def test_the_sigmoid_loss_is_its_definition(groups: list[int]) -> None:
    images, texts = _unit(5, 7, 0), _unit(5, 7, 1)
    scale, bias = torch.tensor(9.0), torch.tensor(-2.0)
    loss = float(sigmoid_loss(images, texts, scale, bias, torch.tensor(groups)))
    total = 0.0
    for i in range(5):
        for j in range(5):
            sign = 1 if groups[i] == groups[j] else -1
            total += math.log1p(math.exp(-sign * (9.0 * float(images[i] @ texts[j]) - 2.0)))
    assert loss == pytest.approx(total / 5)
    if len(set(groups)) == 5:
        assert loss == pytest.approx(float(SigLipLoss()(images, texts, scale, bias)))


def test_equal_texts_are_not_pushed_apart() -> None:
    # Two pairs with one text and two equal images: plain InfoNCE cannot fall below log 2 here, and
    # the soft targets are met exactly.
    image = functional.normalize(torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), dim=-1)
    soft = contrastive_loss(image, image, torch.tensor(100.0), torch.tensor([0, 0, 1]))
    hard = contrastive_loss(image, image, torch.tensor(100.0), torch.tensor([0, 1, 2]))
    assert float(soft) == pytest.approx(2 / 3 * math.log(2), abs=1e-6)  # the targets' own entropy
    texts = image.clone().requires_grad_()
    contrastive_loss(image, texts, torch.tensor(20.0), torch.tensor([0, 0, 1])).backward()
    assert texts.grad is not None
    assert float(texts.grad.abs().max()) < 1e-6
    assert float(hard) >= float(soft) - 1e-6


def test_soft_targets_are_distributions() -> None:
    targets = soft_targets(torch.tensor([3, 5, 3, 3]))
    assert torch.allclose(targets.sum(dim=1), torch.ones(4))
    assert torch.equal(targets, targets.T)
    assert targets[0].tolist() == pytest.approx([1 / 3, 0, 1 / 3, 1 / 3])


def test_group_numbers_follow_first_appearance() -> None:
    assert group_numbers(["b", "a", "b", "c", "a"]).tolist() == [0, 1, 0, 2, 1]


def test_the_temperature_is_clamped_in_place() -> None:
    scale = torch.nn.Parameter(torch.tensor(9.0))
    clamp_temperature(scale)
    assert float(scale.detach().exp()) == pytest.approx(MAX_SCALE)
    assert scale.requires_grad
    low = torch.nn.Parameter(torch.tensor(-3.0))
    clamp_temperature(low)
    assert float(low.detach().exp()) == 1.0
    inside = torch.nn.Parameter(torch.tensor(2.5))
    clamp_temperature(inside)
    assert float(inside.detach()) == 2.5
