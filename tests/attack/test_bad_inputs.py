"""Every row of two tables: the code, the one line, and a folder that is free then.

``bad_inputs.toml``: numbers, records, paths and texts that are no good; ``bad_inputs_run.toml``:
commands, options and inputs that do not fit together.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import tomllib
from pathlib import Path

import pytest

from cxrtool import cli
from cxrtool.core.errors import EXIT_CODES
from tests.attack import house
from tests.attack.test_injection import steers

TABLES = ("bad_inputs.toml", "bad_inputs_run.toml")
CASES = [
    case
    for table in TABLES
    for case in tomllib.loads(Path(__file__).with_name(table).read_text("utf-8"))["case"]
]
ROWS = [(case["command"], case["code"], case["line"]) for case in CASES]
RECORDS = {
    "empty": b"{}",
    "list": b"[]",
    "cut": b"{",
    "deep": b'{"a":' * 9999 + b"1" + b"}" * 9999,
    "digits": b'{"format": ' + b"9" * 5000 + b"}",
}


def build(folder: Path) -> None:
    """What the rows name beside the house; to be called in ``folder``."""
    house.build(folder)
    os.mkfifo(folder / "pipe")
    for suffix in ("csv", "csv.gz", "json", "toml", "png", "dcm", "zip", "jsonl", "parquet", "pt"):
        os.mkfifo(folder / f"pipe.{suffix}")
    (folder / "device.csv").symlink_to("/dev/zero")
    (folder / "link").symlink_to("nowhere")
    for run in ("gan", "data", "cls"):
        for record in ("run.json", "result.json", "model.json"):
            for what, content in RECORDS.items():
                if (folder / run / record).exists():
                    copy = folder / f"{run}-{record.partition('.')[0]}-{what}"
                    house._copy(folder / run, copy)
                    (copy / record).write_bytes(content)
    for name, file in (("up", "../gan/model.safetensors"), ("abs", "/etc/passwd"), ("num", 3)):
        copy = folder / f"gan-{name}"
        house._copy(folder / "gan", copy)
        model = json.loads((copy / "model.json").read_text())
        model["weights"]["file"] = file
        (copy / "model.json").write_text(json.dumps(model))
    (folder / "cut.csv.gz").write_bytes(gzip.compress(b"study_id,report\n1,No edema.\n" * 99)[:-9])
    (folder / "junk.tar.xz").write_bytes(b"\xfd7zXZ\0" + b"junk" * 99)
    (folder / "junk.zip").write_bytes(b"PK\x03\x04" + b"junk" * 99)
    (folder / "junk.parquet").write_bytes(b"PAR1" + b"junk" * 99)
    (folder / "deep.jsonl").write_text('{"report": ' + "[" * 99999 + "\n")
    (folder / "array.json").write_text("[" * 99999)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("house")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        build(folder)
    return folder


def test_there_are_enough_and_each_is_another_one() -> None:
    assert len(ROWS) >= 150
    assert len({command for command, _, _ in ROWS}) == len(ROWS)
    assert {name for (name, *_) in cli.COMMANDS} <= {row[0].split()[0] for row in ROWS}


@pytest.mark.parametrize(("command", "code", "line"), ROWS, ids=map(str, range(len(ROWS))))
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
    assert cli.main(command.split(" ")) == code
    said = capsys.readouterr().err
    errors = [text for text in said.splitlines() if text.startswith("error: ")]
    assert errors == [f"error: {line}"]
    assert code in EXIT_CODES
    assert code not in (0, 1)
    assert not steers(said)
    assert "Traceback" not in said
    assert "this is a bug" not in said
    assert not out.exists()  # the corrected command may have it
