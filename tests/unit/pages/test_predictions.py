"""The page of `predict`: which images are shown, what it says of them, what it must not hold."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from cxrtool.commands.predict.command import FEW_IMAGES, strangeness
from cxrtool.pages import predictions as page
from cxrtool.pages import render
from cxrtool.pages.predictions import MARK, SHOWN, Album, Predictions, answer, build, percent

LABELS = ("A", "B", "No Finding")


def predictions(probabilities: np.ndarray, **more: Any) -> Predictions:
    """Thresholds of .5; all images in the album."""
    excess = probabilities - 0.5
    album = Album()
    pixels = np.zeros((len(probabilities), 8, 8), np.uint8)
    album.add(0, pixels, excess, [True] * len(pixels), {})
    values: dict[str, Any] = {
        "labels": LABELS,
        "thresholds": np.full(3, 0.5),
        "probabilities": probabilities,
        "prevalence": np.array([0.1, np.nan, 0.5]),
        "single": False,
        "findings": np.array([True, True, False]),
        "album": album,
        "classifiers": ["small_cnn"],
        "cautions": ["A caution <b>."],
        "left": Counter({"a table": 2}),
        "rejected": 1,
        **more,
    }
    return Predictions(**values)


@pytest.mark.parametrize("block", [1, 7, 64])
def test_the_album_keeps_what_lies_farthest_above(block: int) -> None:
    """However images come in, the same are shown; burned-in ones are counted and never shown."""
    excess = np.random.default_rng(1).permutation(200).astype(float)[:, None] // 3
    burned = np.arange(200) % 9 == 0
    album = Album()
    for first in range(0, 200, block):
        rows = slice(first, first + block)
        pixels = np.arange(200, dtype=np.uint8)[rows, None, None] * np.ones((4, 4), np.uint8)
        album.add(first, pixels, excess[rows], (~burned[rows]).tolist(), {})
    order = sorted(np.flatnonzero(~burned), key=lambda k: (-excess[k, 0], k))
    assert [tile.place for tile in album.tiles] == order[:SHOWN]
    assert all((tile.pixels == tile.place).all() for tile in album.tiles)
    assert album.hidden == burned.sum()


@pytest.mark.parametrize(
    ("rows", "single", "sentence"),
    [
        ([[0.1, 0.2, 0.9]], False, "The image reaches the threshold of no finding."),
        ([[0.6, 0.2, 0.1]], False, "The image reaches the threshold of A."),
        (
            [[0.6, 0.7, 0.1], [0.1, 0.7, 0.1], [0.1, 0.1, 0.9]],
            False,
            "Of 3 images, 2 reach the threshold of at least one finding: B 2, A 1.",
        ),
        ([[0.1, 0.2, 0.1]] * 2, False, "Of 2 images, none reaches the threshold of a finding."),
        ([[0.2, 0.7, 0.1], [0.1, 0.8, 0.1]], True, "Most probable class of 2 images: B 2."),
    ],
)  # fmt: skip
def test_the_answer_in_a_sentence(rows: list[list[float]], single: bool, sentence: str) -> None:
    assert answer(predictions(np.array(rows), single=single)) == sentence


def test_findings_that_the_sentence_does_not_name_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(page, "NAMED", 1)
    rows = np.array([[0.6, 0.7, 0.1], [0.1, 0.7, 0.1]])
    assert answer(predictions(rows, single=False)).endswith("at least one finding: B 2 and 1 more.")


def test_html_and_markdown_say_the_same() -> None:
    page = build(predictions(np.random.default_rng(0).random((30, 3))))
    html, markdown = render.html(page), render.markdown(page)
    for text in ("not for diagnosis", "Row 2", MARK, "a table", "bad images, see rejected.csv"):
        assert text in html
        assert text in markdown
    assert html.count("<figure><img") == SHOWN
    assert "A caution &lt;b&gt;." in html
    assert ">nan" not in html


@pytest.mark.parametrize(
    ("p", "said"),
    [(0, "<1"), (0.0099, "<1"), (0.01, "1"), (0.5, "50"), (0.99, "99"), (0.999, ">99")],
)  # fmt: skip
def test_probabilities_as_people_read_them(p: float, said: str) -> None:
    assert percent(p) == f"{said}\N{NO-BREAK SPACE}%"


@pytest.mark.parametrize(
    ("share", "n", "told"), [(0.1, 500, 0), (0.2, 500, 0), (0.5, 500, 1), (0.5, FEW_IMAGES - 1, 0)]
)
def test_images_of_another_kind_are_cautioned(share: float, n: int, told: int) -> None:
    """Prevalence .05: of images like those of validation .145 reach a threshold at most."""
    positive = np.random.default_rng(0).random((n, 10)) < share
    ensemble = SimpleNamespace(findings=np.ones(10, bool), prevalence=np.full(10, 0.05))
    table = type("T", (), {"__len__": lambda self: n, "positive": positive, "single": False})()
    assert len(strangeness(cast(Any, ensemble), cast(Any, table))) == told
