"""The learning rate over images seen."""

from __future__ import annotations

import pytest

from cxrtool.training.schedules import warmup_cosine


def test_known_values() -> None:
    assert warmup_cosine(5, 110, 10) == 0.5
    assert warmup_cosine(10, 110, 10) == 1.0
    assert warmup_cosine(60, 110, 10) == pytest.approx(0.5)
    assert warmup_cosine(35, 110, 10) == pytest.approx(0.5 * (1 + 2**-0.5))
    assert warmup_cosine(110, 110, 10) == pytest.approx(0.0)


def test_without_warmup_it_starts_at_the_peak_and_only_falls() -> None:
    values = [warmup_cosine(nimg, 100, 0) for nimg in range(0, 101, 5)]
    assert values[0] == 1.0
    assert values == sorted(values, reverse=True)


def test_past_the_end_it_stays_at_zero() -> None:
    assert warmup_cosine(500, 100, 10) == pytest.approx(0.0)
