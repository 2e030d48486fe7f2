"""The ramp of latent optimization."""

from __future__ import annotations

import math

import pytest

from cxrtool.editing.optimization import ramp


def test_known_values_of_300_steps() -> None:
    assert ramp(0, 300) == pytest.approx(0.5 / 15)
    assert ramp(7, 300) == pytest.approx(0.5)
    assert ramp(15, 300) == 1.0
    assert ramp(200, 300) == 1.0
    t = (262 + 0.5) / 300
    assert ramp(262, 300) == pytest.approx(0.5 - 0.5 * math.cos(math.pi * (1 - t) / 0.25))


def test_it_rises_stays_and_falls() -> None:
    values = [ramp(step, 100) for step in range(100)]
    assert values[:5] == sorted(values[:5])
    assert set(values[5:74]) == {1.0}
    assert values[75:] == sorted(values[75:], reverse=True)
    assert 0 < values[-1] < 0.01


def test_one_step_is_a_step() -> None:
    assert ramp(0, 1) > 0.9
