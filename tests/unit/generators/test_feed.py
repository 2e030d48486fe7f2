"""The order of images, the labels of fakes, the choice of labels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cxrtool.core.errors import UsageError
from cxrtool.generators.conditions import choose_labels, frequent_conditions, picture_rows
from cxrtool.generators.feed import Feed
from cxrtool.training.rng import Draws


def small_feed(n: int = 10, seed: int = 0) -> Feed:
    pixels = np.arange(n, dtype=np.uint8)[:, None, None].repeat(4, 1).repeat(4, 2)
    values = (np.arange(n)[:, None] % np.array([2, 3]) == 0).astype(np.float32)
    return Feed(pixels, values, np.ones_like(values, bool), seed)


def test_every_image_once_an_epoch() -> None:
    feed = small_feed()
    rows = feed.rows_at(0, 30).tolist()
    for epoch in range(3):
        assert sorted(rows[10 * epoch : 10 * epoch + 10]) == list(range(10))
    assert rows[:10] != rows[10:20]
    assert rows[:10] != small_feed(seed=1).rows_at(0, 10).tolist()


def test_order_is_a_function_of_images_seen() -> None:
    steps = [row for start in range(0, 32, 4) for row in small_feed().rows_at(start, 4).tolist()]
    assert steps == small_feed().rows_at(0, 32).tolist()
    backwards = small_feed()
    later = backwards.rows_at(20, 4).tolist()
    assert later == steps[20:24]
    assert backwards.rows_at(8, 4).tolist() == steps[8:12]


def test_images_keep_their_labels() -> None:
    batch = small_feed().reals(3, 9)
    index = ((batch.x[:, 0, 0, 0] + 1) * 127.5).round().long()
    assert batch.x.min() >= -1
    torch.testing.assert_close(batch.y[:, 0], (index % 2 == 0).float())
    torch.testing.assert_close(batch.y[:, 1], (index % 3 == 0).float())


def test_labels_of_fakes_follow_the_joint_distribution() -> None:
    # Two labels that exclude each other and one that comes with the first.
    values = np.array([[1, 0, 1]] * 2 + [[0, 1, 0]] * 3 + [[0, 0, 0]] * 5, np.float32)
    feed = Feed(np.zeros((10, 4, 4), np.uint8), values, np.ones_like(values, bool), 0)
    drawn, _ = feed.fake_labels(Draws(torch.Generator().manual_seed(0), 20_000))
    vectors, counts = torch.unique(drawn, dim=0, return_counts=True)
    found = {tuple(v.tolist()): int(c) / 20_000 for v, c in zip(vectors, counts)}
    assert found.keys() == {(1, 0, 1), (0, 1, 0), (0, 0, 0)}
    for vector, share in (((1, 0, 1), 0.2), ((0, 1, 0), 0.3), ((0, 0, 0), 0.5)):
        assert found[vector] == pytest.approx(share, abs=0.015)


def test_unknown_labels_of_fakes_are_drawn_from_the_prevalence() -> None:
    values = np.array([[1, 1]] * 3 + [[0, 1]] * 7 + [[0, 0]] * 10, np.float32)
    mask = np.ones_like(values, bool)
    mask[10:, 0] = False  # 3 of 10 known values are positive
    feed = Feed(np.zeros((20, 4, 4), np.uint8), values, mask, 0)
    assert feed.prevalence.tolist() == pytest.approx([0.3, 0.5])
    drawn, stated = feed.fake_labels(Draws(torch.Generator().manual_seed(0), 20_000))
    unknown = ~stated[:, 0]
    assert float(unknown.float().mean()) == pytest.approx(0.5, abs=0.02)
    assert float(drawn[unknown, 0].mean()) == pytest.approx(0.3, abs=0.02)
    assert bool((drawn[unknown, 1] == 0).all())


NAMES = ("A", "B", "C", "D")
VALUES = np.array([[1, 0, 1, 0], [0, 0, 1, 0], [1, 0, 1, 0]], np.float32)
KNOWN = np.array([[1, 1, 1, 0], [1, 1, 1, 0], [1, 1, 1, 0]], bool)


def test_constant_and_unknown_labels_are_no_conditions() -> None:
    chosen = choose_labels(NAMES, VALUES, KNOWN, "all")
    assert chosen.labels == ("A",)
    assert chosen.columns == (0,)
    assert chosen.left_out == {
        "B": "no training row has it",
        "C": "every training row has it",
        "D": "unknown in every training row",
    }


def test_labels_by_name() -> None:
    values = np.eye(4, dtype=np.float32)
    mask = np.ones((4, 4), bool)
    assert choose_labels(NAMES, values, mask, "C, A").labels == ("A", "C")
    assert choose_labels(NAMES, values, mask, "none").labels == ()
    assert choose_labels(("a, b", "c", "d", "e"), values, mask, "a, b").labels == ("a, b",)
    with pytest.raises(UsageError, match="no label 'E'"):
        choose_labels(NAMES, values, mask, "A,E")


def test_conditions_for_mean_latents() -> None:
    values = np.array([[1, 0]] * 3 + [[1, 1]] * 2 + [[0, 0]], np.float32)
    mask = np.ones_like(values, bool)
    found = frequent_conditions(values, mask, 2).tolist()
    assert found == [[1, 0], [1, 1], [0, 0], [0, 1]]
    assert frequent_conditions(np.zeros((3, 0)), np.zeros((3, 0), bool), 2).shape == (0, 0)


def test_rows_of_a_grid() -> None:
    values = np.array([[1, 0]] * 2 + [[1, 1]] * 3 + [[0, 0]], np.float32)
    rows = picture_rows(("A", "B"), values, np.ones_like(values, bool))
    assert [(name, vector.tolist()) for name, vector in rows] == [
        ("none", [0, 0]),
        ("A", [1, 1]),
        ("B", [1, 1]),
    ]
    assert picture_rows((), np.zeros((3, 0)), np.zeros((3, 0), bool))[0][0] == "all"
