"""The picture of a generator's training: the same rows give the same bytes, gaps stay gaps."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from PIL import Image

from cxrtool.pages.game_figure import game_picture

TICKS: list[dict[str, Any]] = [
    {"kimg": k, "g_loss": 1.0, "d_loss": 1.2, "r_t": -0.1 * k, "augment_p": 0.1, "g_grad_norm": 2.0}
    for k in range(1, 6)
]
SNAPSHOTS: list[dict[str, Any]] = [
    {"kimg": 2, "fd": 3.0, "kid": 0.1, "spread": 0.8},
    {"kimg": 4, "fd": 2.0, "kid": -0.001, "spread": None},
]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[tuple[float, float]]]:
    """Points of every curve, by the title of its plot and its name."""
    found: dict[str, list[tuple[float, float]]] = {}
    plot, names = Axes.plot, []

    def note(self: Axes, x: Any, y: Any, **options: Any) -> Any:
        names.append(options.get("label") or "")
        found[f"{len(names)} {names[-1]}".strip()] = list(zip(x, y, strict=True))
        return plot(self, x, y, **options)

    monkeypatch.setattr(Axes, "plot", note)
    return found


def test_every_number_stands_at_its_place(drawn: dict[str, list[tuple[float, float]]]) -> None:
    game_picture(TICKS[:3] + SNAPSHOTS, 4.0)
    assert drawn["1"] == [(2, 3.0), (4, 2.0)]  # Fréchet distance
    assert drawn["2"] == [(2, 0.1), (4, -0.001)]  # KID
    assert drawn["3"] == [(2, 0.8)]  # what could not be measured is no point
    assert drawn["6 r_t, sureness"] == [(1, -0.1), (2, -0.2), (3, pytest.approx(-0.3))]
    assert drawn["7 p"] == [(1, 0.1), (2, 0.1), (3, 0.1)]


def test_same_rows_same_bytes() -> None:
    first = game_picture(TICKS + SNAPSHOTS, 4.0)
    assert first == game_picture(TICKS + SNAPSHOTS, 4.0)
    assert first != game_picture(TICKS + SNAPSHOTS, 2.0)
    timed = [{**row, "sec_per_kimg": 7.0} for row in TICKS]
    assert game_picture(timed, None) == game_picture(TICKS, None)


def test_what_was_never_measured_has_no_plot() -> None:
    whole = Image.open(io.BytesIO(game_picture(TICKS + SNAPSHOTS, None)))
    ticks = Image.open(io.BytesIO(game_picture(TICKS, None)))
    assert ticks.height < 0.7 * whole.height
    assert np.asarray(ticks.convert("L")).std() > 5
    assert Image.open(io.BytesIO(game_picture([], None))).width > 100
