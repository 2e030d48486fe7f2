"""Every row of ``bad_inputs_run.toml``: the code, the one line, and a folder that is free then."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

import pytest

from cxrtool import cli
from cxrtool.core.errors import EXIT_CODES
from tests.attack import house

CASES = tomllib.loads(Path(__file__).with_name("bad_inputs_run.toml").read_text("utf-8"))
ROWS = [(case["command"], case["code"], case["line"]) for case in CASES["case"]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("house")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        house.build(folder)
    return folder


def test_there_are_enough_and_each_is_another_one() -> None:
    assert len(ROWS) >= 75
    assert len({command for command, _, _ in ROWS}) == len(ROWS)
    words = {command.split()[0] for command, _, _ in ROWS}
    assert {name for (name, *_) in cli.COMMANDS} <= words


@pytest.mark.parametrize(("command", "code", "line"), ROWS, ids=[row[0] for row in ROWS])
def test_a_bad_input_is_one_line(
    command: str,
    code: int,
    line: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    out = folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    assert cli.main(command.split()) == code
    said = capsys.readouterr().err
    errors = [text for text in said.splitlines() if text.startswith("error: ")]
    assert errors == [f"error: {line}"]
    assert code in EXIT_CODES
    assert code not in (0, 1)
    assert "Traceback" not in said
    assert "this is a bug" not in said
    if out.exists():  # the corrected command may have it
        assert {path.name for path in out.iterdir() if path.name[0] != "."} <= {"log.txt"}
        assert not (out / "log.txt").exists() or line in (out / "log.txt").read_text("utf-8")
