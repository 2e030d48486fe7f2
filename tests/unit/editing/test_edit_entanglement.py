"""The table of wanted and unwanted changes."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cxrtool.editing.record import changes, ratio

LABELS = ("Edema", "Effusion", "Fracture")


def _readings(*columns: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Log-odds before (-1, 1 around a mean) and their shift, by label."""
    spread = np.array([[-1.0], [1.0]])
    before = np.array([mean for mean, _ in columns])[None] + spread
    after = before + np.array([shift for _, shift in columns])[None]
    return 1 / (1 + np.exp(-before)), 1 / (1 + np.exp(-after))


def test_changes_by_hand() -> None:
    before, after = _readings((0.0, 0.5), (0.0, 2.0), (1.0, -1.0))
    found = changes(LABELS, before, after, ("Effusion",))
    assert [c.label for c in found] == ["Effusion", "Fracture", "Edema"]
    assert [c.moved for c in found] == pytest.approx([2.0, -1.0, 0.5])
    assert [c.role for c in found] == ["wanted", "", ""]
    assert ratio(found) == pytest.approx(0.5)
    implied = changes(LABELS, before, after, ("Effusion",), ("Fracture", "Effusion"))
    assert [c.role for c in implied] == ["wanted", "implied", ""]
    assert ratio(implied) == pytest.approx(0.25)


def test_nothing_wanted_has_no_ratio() -> None:
    before, after = _readings((0.0, 0.5), (0.0, 2.0), (1.0, -1.0))
    assert ratio(changes(LABELS, before, after, ())) is None


def test_certain_readings_are_finite() -> None:
    before, after = np.zeros((4, 3)), np.ones((4, 3))
    assert all(math.isfinite(c.moved) for c in changes(LABELS, before, after, LABELS))
