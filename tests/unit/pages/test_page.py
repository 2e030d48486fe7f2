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
        figures.Panel(f"label {k}", (figures.Line(0, "none", x, x), figures.Line(1, "gan", x, x)))
        for k in range(5)
    ]
    return figures.curve_figure(panels, name, xlabel="x", ylabel="y", diagonal=True)


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
                        page.Svg(forest(), nasty),
                    ],
                    folded=True,
                )
            ],
            nasty,
        )
    )
    assert "<script" not in html
    assert html.count("&lt;script&gt;") == 16
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


def test_long_curves_are_thinned() -> None:
    x = np.linspace(0, 1, 50_000)
    few, _ = figures._thinned(x, x)
    assert len(few) <= 400
    assert (few[0], few[-1]) == (0, 1)


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
