"""A run that is refused leaves its folder free, and says in its log why."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from cxrtool.core.errors import (
    CxrError,
    GateError,
    InputError,
    InterruptedRunError,
    OutputMismatchError,
    UsageError,
    WorkerDiedError,
)
from cxrtool.core.runs.execution import execute
from tests.attack.attempt import cxr
from tests.unit import toy_stage
from tests.unit.test_runs import start

REFUSALS: list[Exception] = [
    InputError("a bad row", file="table.csv", row=3),
    UsageError("a bad option", hint="another one"),
    GateError("leak: 3 of 7 test images were seen", hint="choose others"),
    CxrError("something else"),
    WorkerDiedError(-9),
    OSError(28, "No space left on device"),
    MemoryError(),
]


@pytest.fixture
def numbers(tmp_path: Path) -> Path:
    path = tmp_path / "numbers.txt"
    path.write_text("1\n2\n")
    return path


def refused(error: BaseException, numbers: Path, out: Path, writes: str | None = None) -> str:
    """Runs a stage that fails; the log that it left."""

    def run(config: Any, run: Any) -> dict[str, Any]:
        if writes:
            run.write_text(writes, "text")
        raise error

    stage = SimpleNamespace(NAME="prepare", FORMAT=1, Config=toy_stage.Config, run=run)
    with pytest.raises(type(error)):
        execute(stage, toy_stage.Config(source=numbers), out)
    return (out / "log.txt").read_text() if out.exists() else ""


@pytest.mark.parametrize("error", REFUSALS, ids=lambda error: type(error).__name__)
def test_the_folder_is_free_for_other_options(
    error: Exception, numbers: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    log = refused(error, numbers, out)
    assert "error: " in log
    if isinstance(error, CxrError):
        assert f"error: {error.message}" in log
        assert error.hint is None or f"hint: {error.hint}" in log
    assert {path.name for path in out.iterdir() if path.name[0] != "."} == {"log.txt"}
    assert start(numbers, out, {"scale": 3}).state == "done"
    # The log of the finished run is of that run alone.
    assert "error: " not in (out / "log.txt").read_text()


@pytest.mark.parametrize(
    "error", [*REFUSALS, ZeroDivisionError("a bug")], ids=lambda error: type(error).__name__
)
def test_no_folder_stays_that_was_made_for_it(
    error: Exception, numbers: Path, tmp_path: Path
) -> None:
    before = sorted(tmp_path.iterdir())
    refused(error, numbers, tmp_path / "new" / "out")
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("error", REFUSALS[:3], ids=lambda error: type(error).__name__)
def test_what_was_written_is_not_forgotten(error: Exception, numbers: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert "error: " in refused(error, numbers, out, writes="images/0.png")
    with pytest.raises(OutputMismatchError, match="--scale: 1 -> 3"):
        start(numbers, out, {"scale": 3})


@pytest.mark.parametrize("error", [KeyboardInterrupt(), InterruptedRunError(15)])
def test_what_was_interrupted_goes_on(error: BaseException, numbers: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert "error: " in refused(error, numbers, out)
    assert (out / "run.json").exists()
    outcome = start(numbers, out)
    assert outcome.state == "done"
    assert "going on with the run" in (out / "log.txt").read_text()


@pytest.mark.parametrize("names", [["log.txt"], ["log.txt", ".lock", "notes.txt"], ["notes.txt"]])
def test_a_folder_of_others_is_not_free(names: list[str], numbers: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for name in names:
        (out / name).write_text("mine")
    with pytest.raises(OutputMismatchError, match="no output folder of cxr"):
        start(numbers, out)
    assert all((out / name).read_text() == "mine" for name in names)


@pytest.mark.parametrize(
    ("how", "what"),
    [
        ("nowhere", "neither official, none, three shares, nor a file"),
        ("0.5,0.6,0.1", "the shares sum to 1.2"),
        ("official", "this source has no split of its own"),
        ("splits.csv", "'tset' is not train, val or test"),
        ("others.csv", "none of its 1 entries is in the data"),
    ],
)
def test_a_split_that_cannot_be_is_refused_before_images_are_converted(
    how: str, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # More rows than those whose images would be deleted again.
    monkeypatch.chdir(tmp_path)
    rows = ["image,patient_id,Edema"]
    for k in range(1001):
        Image.new("L", (8, 8), k % 256).save(f"{k}.png")
        rows.append(f"{k}.png,p{k},{k % 2}")
    Path("table.csv").write_text("\n".join(rows))
    Path("splits.csv").write_text("patient_id,split\np1,tset\n")
    Path("others.csv").write_text("patient_id,split\nq1,test\n")
    ended = cxr("prepare", "table.csv", "--size", "8", "--split-by", how, "-o", "out")
    assert ended.code in (2, 3)
    assert what in ended.line
    left = {p.name for p in Path("out").glob("[!.]*")}
    assert left <= {"log.txt"}
