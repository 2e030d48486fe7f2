"""Every row of the table of data sets is a command that runs, on the layout that stands there."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from cxrtool import cli
from cxrtool.data.manifest import load_dataset
from cxrtool.data.sources.base import FORMATS
from cxrtool.data.sources.recognition import recognize
from tests.e2e.data_sets import EXPECTED, LAYOUTS

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "datasets.md"
TEXT = PAGE.read_text(encoding="utf-8")
#: Name of a set -> the cells of its row.
ROWS = {
    cells[0]: cells
    for line in TEXT.splitlines()
    if line.startswith("| ")
    and (cells := [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])[0] != "Set"
}
#: Name of a set -> the paths of its layout.
TREES = {
    part.partition("\n")[0]: part.split("```")[1].split()[1:] if "```" in part else []
    for part in TEXT.split("\n### ")[1:]
}


def test_every_row_has_a_layout_and_every_layout_a_row() -> None:
    assert list(ROWS) == list(LAYOUTS) == list(TREES)
    assert all(len(cells) == 5 for cells in ROWS.values())


@pytest.mark.parametrize("name", ROWS)
def test_the_command_of_a_row(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    LAYOUTS[name](tmp_path)
    for path in TREES[name]:
        assert list(tmp_path.glob(path)), path
    (command,) = re.findall(r"`(cxr prepare [^`]+)`", ROWS[name][1])
    expected = EXPECTED[name]
    argv = [*shlex.split(command)[1:], "--size", "16", "--workers", "1"]
    if not expected.split:  # too few patients for three parts
        argv += ["--split-by", "none"]
    look = [word for word in argv if word not in ("-o", "data")]
    assert cli.main([*look, "--explain", "--json"]) == 0
    explained = json.loads(capsys.readouterr().out)
    assert (explained["images"], list(tmp_path.glob("data"))) == (expected.images, [])
    code = cli.main(argv)
    said = capsys.readouterr().err
    assert code == 0, said
    data = load_dataset(tmp_path / "data")
    assert ("is read as" in said) != ("--format" in command)
    assert data.info.notes["format"] in FORMATS
    assert len(data) == expected.images
    patients = set(data.column("patient_id")) if data.info.patients else set()
    assert len(patients) == expected.patients
    assert data.info.namespace.startswith(expected.namespace)
    for label, count in expected.positive.items():
        if label in data.labels:
            assert (data.column(label) == "1").sum() == count, label
        else:
            assert count == 0, label
    uncovered = [
        label for label, covered in zip(data.labels, data.info.covered, strict=True) if not covered
    ]
    assert uncovered == list(expected.uncovered)
    for label in uncovered:
        assert set(data.column(label)) == {""}
    if expected.split:
        splits = data.column("split")
        assert {part: (splits == part).sum() for part in expected.split} == dict(expected.split)
        assert sum(expected.split.values()) == expected.images
    if expected.views:
        assert list(data.column("view")) == list(expected.views)
    for column, count in expected.filled.items():
        assert (data.column(column) != "").sum() == count, column
    for sentence in expected.said:
        assert sentence in said
    for file in expected.files:
        assert (data.path / file).is_file()


def test_every_format_has_a_row(tmp_path: Path) -> None:
    forms = set()
    for name, write in LAYOUTS.items():
        write(tmp_path / name)
        command = re.findall(r"`(cxr prepare [^`]+)`", ROWS[name][1])[0]
        source, *more = shlex.split(command)[2:]
        form = more[0] if source == "--format" else recognize(tmp_path / name / source).form
        forms.add(form)
    assert forms == set(FORMATS)
