"""How often rows are shown and asked for: the formula, the draws, every architecture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from cxrtool.generators.conditions import SAMPLES, row_weights
from cxrtool.generators.feed import Feed
from cxrtool.generators.registry import ARCHS
from cxrtool.training.rng import Draws
from tests.unit.generators.conftest import ellipses, request_of
from tests.unit.generators.games import single_feed
from tests.unit.generators.test_trainer import assert_same


def long_tail(sample: str, n: int = 200, rare: int = 4, seed: int = 0) -> Feed:
    """Two labels, one of which `rare` rows have, together with the other; half have none."""
    values = np.zeros((n, 2), np.float32)
    values[: n // 2, 0] = values[:rare, 1] = 1
    mask = np.ones_like(values, bool)
    pixels = np.zeros((n, 4, 4), np.uint8)
    return Feed(pixels, values, mask, seed, weights=row_weights(values, mask, sample))


@pytest.mark.parametrize(
    ("sample", "values", "unknown", "weights"),
    [
        ("balanced", [[1, 0], [1, 0], [1, 1], [0, 0]], [], [1 / 3, 1 / 3, 1, 1]),
        ("sqrt", [[1, 0], [1, 0], [1, 1], [0, 0]], [], [3**-0.5, 3**-0.5, 1, 1]),
        ("balanced", [[1, 0], [0, 1], [0, 1], [0, 1]], [], [1, 1 / 3, 1 / 3, 1 / 3]),
        # What is not known counts as no label, in its own row and for the others.
        ("balanced", [[1, 0], [1, 0], [1, 1], [0, 0]], [(2, 1), (0, 0)], [1 / 2] * 4),
        ("balanced", [[0, 0]] * 3, [], [1, 1, 1]),
    ],
)
def test_the_rarest_label_of_a_row_decides(
    sample: str, values: Any, unknown: Any, weights: Any
) -> None:
    table = np.array(values, np.float32)
    mask = np.ones_like(table, bool)
    for place in unknown:
        mask[place] = False
    found = row_weights(table, mask, sample)
    assert found is not None
    assert found == pytest.approx(np.array(weights) / np.mean(weights))


def test_natural_and_unconditional_rows_have_no_weights() -> None:
    values = np.eye(3, dtype=np.float32)
    assert row_weights(values, values >= 0, "natural") is None
    assert all(row_weights(values[:, :0], values[:, :0] > 0, name) is None for name in SAMPLES)


@pytest.mark.parametrize("sample", ["sqrt", "balanced"])
def test_rows_come_as_often_as_they_weigh(sample: str) -> None:
    feed = long_tail(sample)
    values = feed.values.numpy()
    weights = row_weights(values, values >= 0, sample)
    assert weights is not None
    many = []
    for epoch in range(20):
        counts = np.bincount(feed.rows_at(200 * epoch, 200).numpy(), minlength=200)
        assert (counts >= np.floor(weights)).all()
        assert (counts <= np.ceil(weights)).all()
        many.append(counts)
    mean = np.mean(many, axis=0)
    assert mean[:4] == pytest.approx(weights[:4], abs=0.3)
    assert mean[100:].mean() == pytest.approx(weights[100:].mean(), abs=0.02)
    # Repeats of a row do not follow on one another.
    order = feed.rows_at(0, 200)
    assert int((order[1:] == order[:-1]).sum()) < 20
    drawn = np.bincount(feed.fake_rows(Draws(torch.Generator().manual_seed(0), 40_000)).numpy())
    assert drawn[:4] / 200 == pytest.approx(weights[:4], rel=0.1)
    share = float((feed.values[:, 1].numpy() * weights).mean())
    assert float(feed.prevalence[1]) == pytest.approx(share, rel=1e-5)
    alike = feed.fake_rows(Draws(torch.Generator().manual_seed(0), 40_000), natural=True)
    assert float((alike < 4).float().mean()) == pytest.approx(0.02, abs=0.003)


def test_order_is_a_function_of_images_seen() -> None:
    steps = torch.cat([long_tail("balanced").rows_at(k, 8) for k in range(0, 600, 8)])
    assert torch.equal(steps, long_tail("balanced").rows_at(0, 600))
    assert not torch.equal(steps, long_tail("balanced", seed=1).rows_at(0, 600))


def test_parts_of_a_batch_ask_for_what_the_whole_asks_for() -> None:
    feed = long_tail("balanced")

    def asked(rows: torch.Tensor | None) -> torch.Tensor:
        return feed.fake_labels(Draws(torch.Generator().manual_seed(3), 16, rows))[0]

    parts = [asked(rows) for rows in torch.arange(16).split(4)]
    assert torch.equal(torch.cat(parts), asked(None))


@pytest.mark.parametrize("arch", ARCHS)
def test_every_architecture_shows_rare_rows_and_resumes(arch: str) -> None:
    def new(sample: str) -> Any:
        if ARCHS[arch].single:
            feed = single_feed()
            pixels, values, mask = feed.pixels[:, 0].numpy(), feed.values.numpy(), feed.mask.numpy()
        else:
            pixels, values = ellipses(48, 16)
            mask = np.random.default_rng(1).random(values.shape) < 0.9
        feed = Feed(pixels, values, mask, 0, weights=row_weights(values, mask, sample))
        options: dict[str, Any] = {"batch": 8, "kimg": 0.048, "seed": 0, "sample": sample}
        options |= {"pretrain_kimg": 0.016} if ARCHS[arch].single else {}
        request = request_of(16, images=48, labels=values.shape[1], **options)
        choices = ARCHS[arch].choose(request)
        assert choices.to_json()["sample"] == sample
        return ARCHS[arch].code.build(choices, feed)

    straight, half, again, natural = (
        new(s) for s in ("balanced", "balanced", "balanced", "natural")
    )
    for _ in range(4):
        straight.step()
        natural.step()
    for _ in range(2):
        half.step()
    again.load_state_dict(half.state_dict())
    for _ in range(2):
        again.step()
    assert_same(straight.state_dict(), again.state_dict())
    first, other = (next(t.generator.parameters()) for t in (straight, natural))
    assert not torch.equal(first, other)
