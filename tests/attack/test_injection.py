"""Names and texts of others that would steer a terminal, compute in a table or run in a page."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxrtool import cli
from cxrtool.core import console
from cxrtool.core.progress import progress
from cxrtool.data import tables
from cxrtool.stats.predictions import csv_text

STEERING = "\x1b]0;gone\x07\x1b[2J\r\x9b31m\u202eevil\u2066\u2028\x7f\x00\b"
ANY = st.text(st.one_of(st.sampled_from(STEERING + "\n\ta[]=:"), st.characters()), max_size=30)
QUICK = settings(max_examples=150, deadline=None, derandomize=True)


def steers(text: str) -> bool:
    return any(
        (ord(c) < 32 and c not in "\n\t")
        or 0x7F <= ord(c) < 0xA0
        or c
        in "\u061c\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
        for c in text
    )


@QUICK
@given(ANY)
def test_what_is_said_steers_nothing(text: str) -> None:
    import contextlib

    talk = io.StringIO()
    with contextlib.redirect_stderr(talk):
        for speak in (console.say, console.warn, console.error):
            speak(text)
        console.table(text, [text, "n"], [[text, 1]])
        with progress(text) as bar:
            bar.update(1, text)
    assert not steers(talk.getvalue())
    assert console.visible(text, line=True).count("\n") == 0
    assert console.visible("plain text: é, 表") == "plain text: é, 表"
    assert len(console.harmless(text)) == len(text)


@QUICK
@given(ANY)
def test_json_means_the_same_when_it_is_shown(text: str) -> None:
    shown = console.visible(json.dumps({text: text}, ensure_ascii=False))
    assert json.loads(shown) == {text: text}


@QUICK
@given(ANY)
def test_tables_by_rich_take_no_markup(text: str) -> None:
    from rich.console import Console

    out = io.StringIO()
    drawn = console.drawn_table(text, [text or "x"], [[text]])
    Console(file=out, force_terminal=True, width=200, color_system=None).print(drawn)
    plain = out.getvalue().replace("\x1b[1m", "").replace("\x1b[0m", "").replace("\x1b[3m", "")
    assert not steers(plain)


@pytest.mark.parametrize("key", ["stage", "config", "namespace"])
def test_status_of_a_foreign_run_steers_nothing(
    key: str, copy_of: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = copy_of("raw")
    record = json.loads((folder / "run.json").read_text())
    if key == "stage":
        record["stage"] = STEERING
    elif key == "config":
        record["config"][STEERING] = STEERING
    else:
        info = json.loads((folder / "dataset.json").read_text())
        (folder / "dataset.json").write_text(json.dumps({**info, "namespace": STEERING}))
    (folder / "run.json").write_text(json.dumps(record))
    cli.main(["status", str(folder)])
    said = capsys.readouterr()
    assert not steers(said.out + said.err)
    cli.main(["status", "--json", str(folder)])
    assert json.loads(capsys.readouterr().out)["folder"] == str(folder)


LINES = [
    "prepare {} -o out",
    "prepare --format {} raw -o out",
    "extract-reports {} -o out",
    "predict cls {} -o out",
    "train-gan data --labels {} -o out",
    "train-gan data --config {} -o out",
    "synthesize data --counts {}=1 --plan-only -o out",
    "edit gan --clip clip --target {} -o out",
    "evaluate labels data --reference {} --key a -o out",
    "status {}",
    "{}",
    "prepare --{}",
]


@pytest.mark.parametrize("line", LINES)
def test_words_of_a_command_line_are_shown_harmless(
    line: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    word = STEERING.replace("\0", "").replace("/", "") + "[red]x"
    code = cli.main([part.replace("{}", word) for part in line.split()])
    said = capsys.readouterr()
    assert code in (2, 3)
    assert not steers(said.out + said.err)
    assert "bug" not in said.err


def test_labels_and_names_of_a_table_are_shown_harmless(
    tmp_path: Path, runs: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    image = next((runs("raw") / "images").rglob("*.png"))
    name = "a\x1b[2J\u202e.png"
    shutil.copy(image, tmp_path / name)
    label = "Ede\x1b[31m\u202ema"
    rows = "".join(f"{name},p{k},{k % 2}\n" for k in range(6))
    (tmp_path / "t.csv").write_text(f"path,patient_id,{label}\n{rows}")
    for words in (["--explain"], ["-o", str(tmp_path / "out"), "--size", "16"]):
        cli.main(["prepare", str(tmp_path / "t.csv"), *words])
        said = capsys.readouterr()
        assert not steers(said.out + said.err)
    log = tmp_path / "out" / "log.txt"
    assert not log.exists() or not steers(log.read_text())


FORMULAS = ["=1+1", '=HYPERLINK("http://x","y")', "+1+1", "-1+1", "@SUM(1)", "\t=1", "\r=1",
            "＝1+1", "-cmd|' /C calc'!A0", "- no effusion"]  # fmt: skip
NUMBERS = ["-1", "+1", "-0.5", "1e-3", "-1e-3", "-inf", "-", "+", "-12.5%", "", "a=b", "x"]


def computed(cell: str) -> bool:
    """Whether a spreadsheet would compute a cell."""
    try:
        float(cell.rstrip("%") or "0")
        return False
    except ValueError:
        return len(cell) > 1 and cell[0] in "=+-@\t\r＝＋－＠"


def test_no_cell_for_people_is_computed() -> None:
    for form in (
        csv_text(FORMULAS, [FORMULAS, FORMULAS]),
        tables.write_table(pd.DataFrame([FORMULAS], columns=FORMULAS), people=True),
    ):
        for row in csv.reader(io.StringIO(form, newline="")):
            assert not any(map(computed, row)), row
            assert [cell.removeprefix("'") for cell in row] == FORMULAS
    assert csv_text(NUMBERS, [NUMBERS]) == ",".join(NUMBERS) + "\n" + ",".join(NUMBERS) + "\n"
    numbers = pd.DataFrame({"a": [-1.5, 2], "b": [-1, 3], "c": ["-1", "x"]})
    assert tables.write_table(numbers, people=True) == tables.write_table(numbers)


@QUICK
@given(ANY)
def test_any_cell_for_people(text: str) -> None:
    assert not computed(tables.for_people(text))
    assert tables.for_people(text) in (text, "'" + text)


def test_tables_that_are_read_again_stay_as_they_are(tmp_path: Path) -> None:
    table = pd.DataFrame({"report": FORMULAS, "b": ["1"] * len(FORMULAS)})
    (tmp_path / "manifest.csv").write_text(tables.write_table(table), newline="")
    again = tables.read_table(tmp_path / "manifest.csv")
    assert again["report"].tolist() == FORMULAS


MARKUP = '<script>alert(1)</script><img src=x onerror="alert(2)">&amp;'


@QUICK
@given(st.text(st.one_of(st.sampled_from("<>&'\"=/ab"), st.characters(codec="utf-8")), max_size=40))
def test_what_stands_in_a_page_is_escaped(text: str) -> None:
    from cxrtool.core.templates import environment

    shown = environment("cxrtool.pages").from_string("<p>{{ text }}</p>").render(text=text)
    inner = shown.removeprefix("<p>").removesuffix("</p>")
    assert not set(inner) & set("<>\"'")


def test_only_what_the_pages_made_themselves_is_not_escaped() -> None:
    """Every ``| safe`` in a template is one of those that stand here."""
    import re

    import cxrtool

    marks = [
        (path.name, match)
        for path in Path(cxrtool.__file__).parent.rglob("templates/*")
        if path.is_file()
        for match in re.findall(r"{{[^}]*\|\s*safe\s*}}", path.read_text("utf-8"))
    ]
    assert sorted(marks) == [
        ("report.html.j2", "{{ block.described | safe }}"),
        ("report.html.j2", "{{ item.described | safe }}"),
    ]
