"""Standard streams that are closed, full or read by nobody: one line, a code of the table."""

from __future__ import annotations

import importlib
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from cxrtool.__main__ import main
from cxrtool.core import console
from cxrtool.core.errors import EXIT_CODES, InputError
from tests.unit import toy_stage
from tests.unit.test_runs import start

REPORTS = "study_id,report\n1,No edema.\n"
STREAM = "extract-reports reports.csv -o - -q"
READS = "extract-reports - -o out -q"
MISSING = "prepare nowhere --format folder -o out"
CLOSED = "closed"
FULL = "/dev/full"
UNREAD = "unread"
#: Command, what its streams are, exit code, the error on stderr ("": none, None: cannot be seen).
CASES = [
    ("--version", {1: CLOSED}, 3, "stdout cannot be written: it is closed"),
    ("--version", {1: FULL}, 3, "stdout cannot be written: No space left on device"),
    ("--version", {1: UNREAD}, 141, ""),
    ("--version", {2: CLOSED}, 0, None),
    ("--version", {0: CLOSED}, 0, ""),
    ("--help", {1: FULL}, 3, "stdout cannot be written: No space left on device"),
    ("--help", {1: UNREAD}, 141, ""),
    ("status .", {1: FULL}, 3, ".: is no run directory (it holds no run.json)"),
    (STREAM, {1: CLOSED}, 3, "stdout cannot be written: it is closed"),
    (STREAM, {1: FULL}, 3, "stdout cannot be written: No space left on device"),
    (STREAM, {1: UNREAD}, 141, ""),
    (STREAM, {2: FULL}, 0, None),
    (STREAM, {2: UNREAD}, 0, None),
    (READS, {0: CLOSED}, 3, "stdin: cannot be read: it is closed"),
    (READS, {0: "reports.csv", 2: CLOSED}, 0, None),
    (READS, {0: "reports.csv", 1: CLOSED, 2: CLOSED}, 3, None),
    (MISSING, {1: CLOSED}, 3, "nowhere: no such file or folder"),
    (MISSING, {1: UNREAD}, 3, "nowhere: no such file or folder"),
    (MISSING, {0: CLOSED}, 3, "nowhere: no such file or folder"),
    (MISSING, {2: CLOSED}, 3, None),
    (MISSING, {2: FULL}, 3, None),
    (MISSING, {0: CLOSED, 1: CLOSED, 2: CLOSED}, 3, None),
]


def ending(words: list[str], streams: dict[int, str], folder: Path) -> tuple[int, str]:
    """The exit code of a command that is forked with such streams, and what it said."""
    importlib.import_module("cxrtool.commands.extract_reports.command")
    said = folder / "stderr"
    said.touch()
    child = os.fork()
    if child == 0:
        try:
            os.chdir(folder)
            kinds = {0: os.devnull, 1: os.devnull, 2: str(said), **streams}
            for number, handle in [(n, _opened(n, kind)) for n, kind in kinds.items()]:
                name = ("stdin", "stdout", "stderr")[number]
                setattr(sys, name, None)
                if handle is None:
                    os.close(number)
                    continue
                os.dup2(handle, number)
                text = open(number, "w" if number else "r", encoding="utf-8", closefd=False)  # noqa: SIM115
                setattr(sys, name, text)
            sys.argv = ["cxr", *words]
            main()
        finally:
            os._exit(70)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said.read_text()


def _opened(number: int, kind: str) -> int | None:
    if kind == CLOSED:
        return None
    if kind == UNREAD:
        reader, writer = os.pipe()
        os.close(reader)
        return writer
    return os.open(kind, os.O_WRONLY if number else os.O_RDONLY)


@pytest.mark.parametrize(("words", "streams", "code", "line"), CASES)
def test_a_stream_that_fails(
    words: str, streams: dict[int, str], code: int, line: str | None, tmp_path: Path
) -> None:
    (tmp_path / "reports.csv").write_text(REPORTS)
    status, said = ending(words.split(), streams, tmp_path)
    assert (status, code in EXIT_CODES) == (code, True), said
    if line is not None:
        errors = [text for text in said.splitlines() if not text.startswith("  hint: ")]
        assert errors == ([f"error: {line}"] if line else [])


def test_no_file_of_a_run_gets_the_number_of_a_closed_stream(tmp_path: Path) -> None:
    """What a library writes to descriptor 2 would else stand in the first file that is opened."""
    code = "import os; from cxrtool.core import streams; streams.guard(); print(os.open('f', 65))"
    words = [sys.executable, "-c", code]
    for closed in ("<&-", "2>&-", "<&- 2>&-"):
        command = f"{shlex.join(words)} {closed}"
        environment = {**os.environ, "PYTHONPATH": os.getcwd()}
        done = subprocess.check_output(["bash", "-c", command], cwd=tmp_path, env=environment)
        assert int(done) > 2


def test_a_log_on_a_full_disk_stops_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with console.Log("/dev/full", append=True) as log, console.logging_to(log):
        for word in ("one", "two"):
            console.say(word)
    assert capsys.readouterr().err.splitlines() == [
        "warning: /dev/full cannot be written (No space left on device); the work goes on",
        "one",
        "two",
    ]


@pytest.mark.parametrize("kind", ["full", "folder"])
def test_a_run_goes_on_without_its_log(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers, out = tmp_path / "numbers.txt", tmp_path / "out"
    numbers.write_text("1\n2\n")
    with monkeypatch.context() as patch:  # resumed, so that the folder may hold what lies there
        patch.setattr(toy_stage, "run", _killed)
        with pytest.raises(KeyboardInterrupt):
            start(numbers, out)
    (out / "log.txt").unlink()
    if kind == "full":
        (out / "log.txt").symlink_to("/dev/full")
    else:
        (out / "log.txt").mkdir()
    assert start(numbers, out).state == "done"
    assert capsys.readouterr().err.count("log.txt cannot be written") == 1


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_help_in_any_encoding(encoding: str) -> None:
    environment = {**os.environ, "LC_ALL": "C", "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    words = [sys.executable, "-m", "cxrtool", "train-gan", "--help"]
    page = subprocess.run(words, capture_output=True, env=environment, check=True)
    assert page.stderr == b""
    assert ("Frechet" if encoding == "ascii" else "Fréchet") in page.stdout.decode(encoding)


def test_letters_that_stdout_lacks_are_named(tmp_path: Path) -> None:
    (tmp_path / "reports.csv").write_text("study_id,report\n1,Café. No edema.\n", "utf-8")
    words = [sys.executable, "-m", "cxrtool", "extract-reports", str(tmp_path / "reports.csv")]
    done = subprocess.run(
        [*words, "-q", "-o", "-"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert done.returncode == InputError.exit_code
    assert done.stderr.startswith("error: stdout cannot be written: ascii has no '\\xe9'")
