"""The report page: escaping, numbers, figures that take the page's colours, pictures inside."""

from __future__ import annotations

import io
import math
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from cxrtool.pages import figures, page, render
from cxrtool.stats import wording


def two_lines(name: str = "roc") -> str:
    x = np.linspace(0, 1, 1000)
    panels = [
        figures.Panel((figures.Line(0, "none", x, x), figures.Line(1, "gan", x, x**2)))
        for _ in range(2)
    ]
    return figures.curve_panels(panels, name, xlabel="x", ylabel="y", diagonal=True)[0]


def forest(name: str = "forest") -> str:
    bars = [
        figures.Bar("A & <B>", 0, "none", 0.7, 0.6, 0.8),
        figures.Bar("A & <B>", 1, "gan", 0.8, 0.7, 0.9),
        figures.Bar("C", 0, "none", math.nan, math.nan, math.nan),
    ]
    return figures.forest_figure(bars, name, xlabel="AUROC", reference=0.5)


def test_everything_from_data_is_escaped() -> None:
    nasty = "<script>alert(1)</script>&"
    html = render.html(
        page.Page(
            nasty,
            nasty,
            [
                page.Section(
                    nasty,
                    [
                        page.Text(nasty, tone="note"),
                        page.Bullets([nasty]),
                        page.Numbers([(nasty, nasty)]),
                        page.Table([nasty, "n"], [[nasty, "1"]], nasty),
                        page.Row([page.Text(nasty)]),
                        page.Picture(Image.new("L", (4, 4)), nasty, nasty),
                        page.Svg(forest(), nasty, nasty, nasty),
                        page.Terms([(nasty, nasty)]),
                        page.Panels([page.Svg(forest(), nasty, nasty)], nasty, [(0, nasty)], nasty),
                    ],
                    folded=True,
                )
            ],
            nasty,
            nasty,
        )
    )
    assert "<script" not in html
    assert html.count("&lt;script&gt;") == 28
    assert html.count("data:image/png;base64,") == 1
    assert "A &amp; &lt;B&gt;" in html  # in the figure too


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("see `cxr evaluate images`.", "see `cxr evaluate images`."),
        ("`cxr share` of a_b", "`cxr share` of a\\_b"),
        ("a label `x`", "a label \\`x\\`"),
        ("`cxr <b>`", "\\`cxr \\<b\\>\\`"),
        ("`cxr a", "\\`cxr a"),
    ],
)
def test_markdown_keeps_the_names_of_commands_and_escapes_all_else(text: str, wanted: str) -> None:
    assert f"\n\n{wanted}\n\n" in render.markdown(
        page.Page("t", "a", [page.Section("", [page.Text(text)])])
    )


def test_a_table_aligns_words_and_numbers() -> None:
    table = page.Table(["a", "b", "c"], [["x", "1", "words"]], text_last=True)
    assert [table.numeric(k) for k in range(3)] == [False, True, False]
    html = render.html(page.Page("t", "a", [page.Section("s", [table])]))
    assert html.count('class="n"') == 2


def test_figures_take_their_colours_from_the_page() -> None:
    for svg in (two_lines(), forest()):
        assert "var(--ink)" in svg
        assert "var(--s1)" in svg
        assert "var(--s2)" in svg
        assert not re.search(r"#0103\d\d|#01020[34]", svg)
        ET.fromstring(svg)


def test_ids_of_two_figures_do_not_meet_and_refer_to_themselves() -> None:
    a, b = two_lines("one"), two_lines("two")
    ids = [set(re.findall(r'\bid="([^"]+)"', svg)) for svg in (a, b)]
    assert not ids[0] & ids[1]
    used = set(re.findall(r'(?:url\(#|xlink:href="#)([^")]+)', a))
    assert used
    assert used <= ids[0]


def test_the_same_numbers_give_the_same_bytes() -> None:
    assert two_lines() == two_lines()
    history = [{"step": s, "loss": 1 / s, "val_loss": 1.0, "val_auroc": 0.5} for s in (1, 2, 3)]
    one, two = (figures.learning_picture(history, 2) for _ in range(2))
    assert one == two
    with Image.open(io.BytesIO(one)) as picture:
        assert picture.size[0] > 600


@pytest.mark.parametrize("n", [2, 3, 50, 5_000])
@pytest.mark.parametrize("kind", ["line", "steps", "bend", "noise", "still"])
def test_a_curve_is_drawn_with_few_points_and_no_other_way(n: int, kind: str) -> None:
    rng = np.random.default_rng(n)
    x = np.linspace(0, 1, n)
    if kind == "steps":
        x = np.sort(rng.integers(0, 30, n)) / 30
    y = {
        "line": x,
        "steps": np.sort(rng.integers(0, 30, n)) / 30,
        "bend": np.sqrt(x),
        "noise": np.cumsum(rng.normal(size=n)) / n,
        "still": np.zeros(n),
    }[kind]
    few = np.stack(figures.simplified(x, y), axis=1)
    assert len(few) <= min(n, 200)
    np.testing.assert_array_equal(few[[0, -1]], np.stack([x, y], axis=1)[[0, -1]])
    # Every point of the curve lies near some piece of what is drawn.
    a, d = few[:-1, None], np.diff(few, axis=0)[:, None]
    points = np.stack([x, y], axis=1)[None]
    along = ((points - a) * d).sum(-1) / np.maximum((d**2).sum(-1), 1e-12)
    away = np.hypot(*np.moveaxis(points - a - np.clip(along, 0, 1)[..., None] * d, -1, 0))
    assert away.min(axis=0).max() <= figures.TOLERANCE + 1e-9


def test_figures_have_a_title_and_words_for_those_who_do_not_see_them() -> None:
    svg = page.Svg(forest(), "Scores of <A>", "none 0.7 & gan 0.8").described
    root = ET.fromstring(svg)
    assert root.get("role") == "img"
    first, second = list(root)[:2]
    assert (first.tag.rpartition("}")[2], first.text) == ("title", "Scores of <A>")
    assert (second.tag.rpartition("}")[2], second.text) == ("desc", "none 0.7 & gan 0.8")


def test_the_interval_of_one_run_is_hollow() -> None:
    bars = [figures.Bar("A", 0, "none", 0.7, 0.6, 0.8, hollow) for hollow in (False, True)]
    full, hollow = (figures.forest_figure([b], "f", xlabel="x", reference=0.5) for b in bars)
    assert full.count("fill: var(--s1)") > hollow.count("fill: var(--s1)") == 0


@pytest.mark.parametrize("rows", [1, page.LONG, page.LONG + 1, 500])
@pytest.mark.parametrize("folded", [False, True])
def test_a_long_table_is_folded_once_and_its_caption_stays_outside(rows: int, folded: bool) -> None:
    table = page.Table(["a", "b"], [["x", "1"]] * rows, "what it says")
    html = render.html(page.Page("t", "a", [page.Section("s", [table], folded=folded)]))
    assert html.count("<details") == (folded or rows > page.LONG)
    caption, box = (html.index(text) for text in ("what it says</p>", '<div class="scroll">'))
    assert caption < box
    assert "<caption" not in html
    if not folded and rows > page.LONG:
        assert f"Table of {rows} rows: a, b" in html


def test_every_cell_names_its_column_for_screens_without_room() -> None:
    table = page.Table(["a", "b & c", "d"], [["x", "1", "2"], ["y", "3", "4"]])
    html = render.html(page.Page("t", "a", [page.Section("s", [table])]))
    assert re.findall(r'data-name="([^"]*)"', html) == ["b &amp; c", "d"] * 2


def test_a_histogram_of_one_value_is_drawn() -> None:
    svg = figures.histogram_figure({"a": np.zeros(5), "b": np.zeros(3)}, "h", "d", 0.0)
    ET.fromstring(svg)


@pytest.mark.parametrize(
    ("values", "signed", "text"),
    [
        ((0.5, 0.25, 0.75), False, "0.500 [0.250, 0.750]"),
        ((-0.0004, -0.1, 0.1), True, "0.000 [−0.100, +0.100]"),
        ((0.02, math.nan, math.nan), True, "+0.020 (no interval)"),
        ((math.nan, 0, 0), False, "undefined"),
    ],
)
def test_numbers_in_words(values: tuple[float, float, float], signed: bool, text: str) -> None:
    assert wording.with_interval(*values, signed=signed) == text


def test_undefined_numbers_are_dashes() -> None:
    assert wording.number(math.nan) == "–"
    assert wording.number(-1.23456, 2) == "−1.23"


def test_no_two_series_of_a_forest_look_alike() -> None:
    looks = set()
    for series in range(18):
        bar = figures.Bar("row", series, "name", 0.7, 0.6, 0.8)
        svg = figures.forest_figure([bar], "f", xlabel="x", reference=0.5)
        looks.add(svg)
    assert len(looks) == 18
