"""Retrieval on embeddings whose answers are known."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from cxrtool.clip.holdout import chance, mean_recall, retrieval


def test_perfect_embeddings_find_everything() -> None:
    vectors = torch.eye(12)
    recalls = retrieval(vectors, vectors, torch.arange(12))
    assert set(recalls.values()) == {1.0}
    assert mean_recall(recalls) == 1.0


def test_ranks_are_counted() -> None:
    # Every text lies nearest to the next image, and second nearest to its own.
    n = 12
    images = torch.eye(n)
    texts = functional.normalize(torch.eye(n).roll(1, dims=1) + 0.9 * torch.eye(n), dim=-1)
    recalls = retrieval(images, texts, torch.arange(n))
    assert recalls["text_to_image@1"] == 0.0
    assert recalls["text_to_image@5"] == 1.0
    assert recalls["image_to_text@1"] == 0.0
    assert recalls["image_to_text@5"] == 1.0


def test_an_equal_text_of_another_patient_is_right() -> None:
    images = torch.eye(4)
    texts = images[[1, 0, 2, 3]]  # the first two are swapped
    swapped = retrieval(images, texts, torch.arange(4))
    same = retrieval(images, texts[[0, 0, 2, 3]], torch.tensor([0, 0, 1, 2]))
    assert swapped["text_to_image@1"] == 0.5
    assert same["text_to_image@1"] == 1.0


def test_chance_is_what_random_embeddings_reach() -> None:
    groups = torch.tensor([0] * 6 + [1, 2, 3, 4, 5, 6, 7, 8, 9] * 2)
    expected = chance(groups)
    generator = torch.Generator().manual_seed(0)
    sums = dict.fromkeys(expected, 0.0)
    for _ in range(300):
        images = functional.normalize(torch.randn(len(groups), 64, generator=generator), dim=-1)
        texts = functional.normalize(torch.randn(10, 64, generator=generator), dim=-1)[groups]
        for name, value in retrieval(images, texts, groups).items():
            sums[name] += value / 300
    for name in expected:
        assert sums[name] == pytest.approx(expected[name], abs=0.03), name
