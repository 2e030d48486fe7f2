"""Command line: streams and the exit-code table, with the toy stage in place of a real one."""

from __future__ import annotations

import errno
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from cxrtool import cli
from cxrtool.core import config as configs
from cxrtool.core import console
from cxrtool.core.errors import BusyError, CxrError, GateError, InputError, OutputMismatchError
from cxrtool.core.progress import progress

from . import toy_stage


@pytest.fixture
def cxr(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A ``cxr`` whose one stage is the toy."""
    monkeypatch.setattr(toy_stage, "group", cli.STUDY, raising=False)
    commands = {("prepare",): toy_stage, ("status",): cli.COMMANDS["status",]}
    monkeypatch.setattr(cli, "COMMANDS", commands)
    yield lambda *argv: cli.main([str(word) for word in argv])
    console.configure(console.NORMAL)


@pytest.fixture
def numbers(tmp_path: Path) -> Path:
    path = tmp_path / "numbers.txt"
    path.write_text("1\n2\n3\n4\n")
    return path


def test_stdout_is_one_line_the_path(cxr: Any, numbers: Path, tmp_path: Path, capsys: Any) -> None:
    assert cxr("prepare", numbers, "-o", tmp_path / "out") == 0
    assert capsys.readouterr().out == f"{tmp_path / 'out'}\n"
    assert cxr("prepare", numbers, "-o", tmp_path / "out") == 0
    again = capsys.readouterr()
    assert again.out == f"{tmp_path / 'out'}\n"
    assert "up to date" in again.err


def test_quiet_rerun_says_nothing(cxr: Any, numbers: Path, tmp_path: Path, capsys: Any) -> None:
    cxr("prepare", numbers, "-q", "-o", tmp_path / "out")
    capsys.readouterr()
    assert cxr("prepare", numbers, "-q", "-o", tmp_path / "out") == 0
    assert capsys.readouterr() == ("", "")


def test_json_is_the_result_on_one_line(
    cxr: Any, numbers: Path, tmp_path: Path, capsys: Any
) -> None:
    cxr("prepare", numbers, "--json", "-o", tmp_path / "out")
    (line,) = capsys.readouterr().out.splitlines()
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    where = {"folder": str(tmp_path / "out")}
    assert json.loads(line) == {**result, **where, "made": True}
    cxr("prepare", numbers, "--json", "-q", "-o", tmp_path / "out")
    assert json.loads(capsys.readouterr().out) == {**result, **where, "made": False}


def test_changed_option_is_4_with_its_name(
    cxr: Any, numbers: Path, tmp_path: Path, capsys: Any
) -> None:
    cxr("prepare", numbers, "-o", tmp_path / "out")
    assert cxr("prepare", numbers, "--scale", 2, "-o", tmp_path / "out") == 4
    assert "--scale: 1 -> 2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (["--nonsense"], 2, "--nonsense"),
        (["--scale", "0"], 2, "--scale"),
        (["--scale"], 2, "--scale needs a value"),
        (["--scale", "many"], 2, "--scale"),
        (["--mode", "min"], 2, "min"),
        (["--scale", "13"], 2, "bad luck"),
        (["--config", "none.toml"], 3, "none.toml"),
    ],
)
def test_usage_errors(
    cxr: Any, numbers: Path, tmp_path: Path, capsys: Any, argv: list[str], code: int, message: str
) -> None:
    assert cxr("prepare", numbers, "-o", tmp_path / "out", *argv) == code
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""
    assert "Traceback" not in captured.err
    assert not (tmp_path / "out").exists()


def test_missing_things_are_named(cxr: Any, numbers: Path, tmp_path: Path, capsys: Any) -> None:
    assert cxr("prepare", "-o", tmp_path / "out") == 2
    assert "missing SOURCE" in capsys.readouterr().err
    assert cxr("prepare", numbers) == 2
    assert "missing --out" in capsys.readouterr().err
    assert cxr("prepare", tmp_path / "no.txt", "-o", tmp_path / "out") == 3
    assert "no.txt" in capsys.readouterr().err
    assert cxr("prepare", numbers, "-o", "-") == 2
    assert "cannot write to stdout" in capsys.readouterr().err


@pytest.mark.parametrize("stage", cli.stages().values(), ids=lambda stage: stage.NAME)
def test_every_option_has_a_sentence_of_help(stage: Any) -> None:
    assert "Example: cxr " in stage.Config.__doc__
    for field in configs.fields_of(stage.Config):
        assert field.meta.help.endswith("."), field.flag
        assert field.meta.help[0] != " ", field.flag
        assert "  " not in field.meta.help, field.flag
        if field.name in ("device", "threads"):  # one declaration for all
            assert issubclass(stage.Config, configs.Computing), field.flag
            assert field.name not in vars(stage.Config)["__annotations__"], field.flag


@pytest.mark.parametrize("words", [[], ["evaluate"]])
def test_no_words_show_the_help(words: list[str], capsys: Any) -> None:
    assert cli.main(words) == 2
    captured = capsys.readouterr()
    assert "  evaluate  " in captured.out or "  classifiers  " in captured.out
    assert captured.err == ""


def test_flag_wins_over_file(cxr: Any, numbers: Path, tmp_path: Path) -> None:
    study = tmp_path / "study.toml"
    study.write_text(f'[prepare]\nsource = "{numbers}"\nscale = 5\nflip = true\n')
    assert cxr("prepare", "--config", study, "--no-flip", "-o", tmp_path / "out") == 0
    assert json.loads((tmp_path / "out" / "total.json").read_text()) == {"total": 50}


def test_past_run_is_replayed(cxr: Any, numbers: Path, tmp_path: Path) -> None:
    cxr("prepare", numbers, "--scale", 3, "-o", tmp_path / "one")
    assert cxr("prepare", "--config", tmp_path / "one" / "run.json", "-o", tmp_path / "two") == 0
    total = (tmp_path / "two" / "total.json").read_bytes()
    assert total == (tmp_path / "one" / "total.json").read_bytes()


def test_failed_gate_is_5_also_when_up_to_date(cxr: Any, numbers: Path, tmp_path: Path) -> None:
    assert cxr("prepare", numbers, "--fail", "-o", tmp_path / "out") == 5
    assert cxr("prepare", numbers, "-o", tmp_path / "out") == 5


def test_dry_run_prints_the_config(cxr: Any, numbers: Path, tmp_path: Path, capsys: Any) -> None:
    assert cxr("prepare", numbers, "--dry-run", "--scale", 9, "-o", tmp_path / "out") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["config"]["scale"] == 9
    assert shown["would"] == "start"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputError("bad", file="t.csv", row=3, column="x"), 3),
        (OutputMismatchError("other"), 4),
        (GateError("leak"), 5),
        (BusyError("held"), 75),
        (CxrError("plain"), 1),
        (OSError(errno.ENOSPC, "No space left on device", "big.bin"), 3),
        (PermissionError(errno.EACCES, "Permission denied", "locked"), 3),
        (KeyboardInterrupt(), 130),
        (ValueError("surprise"), 1),
    ],
)
def test_exit_codes(
    cxr: Any,
    numbers: Path,
    tmp_path: Path,
    capsys: Any,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    code: int,
) -> None:
    def fail(config: Any, run: Any) -> None:
        raise error

    monkeypatch.setattr(toy_stage, "run", fail)
    assert cxr("prepare", numbers, "-o", tmp_path / "out") == code
    err = capsys.readouterr().err
    assert "Traceback" not in err
    assert err.startswith("error: ")


def test_debug_shows_the_traceback(
    cxr: Any, numbers: Path, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(config: Any, run: Any) -> None:
        raise ValueError("surprise")

    monkeypatch.setattr(toy_stage, "run", fail)
    assert cxr("prepare", numbers, "--debug", "-o", tmp_path / "out") == 1
    assert "Traceback" in capsys.readouterr().err


def test_error_names_file_row_and_column() -> None:
    error = InputError("is not 1, 0, -1 or blank", file="t.csv", row=3, column="Edema")
    assert str(error) == "t.csv, row 3, column 'Edema': is not 1, 0, -1 or blank"


def test_status(cxr: Any, numbers: Path, tmp_path: Path, capsys: Any) -> None:
    cxr("prepare", numbers, "-o", tmp_path / "done")
    cxr("prepare", numbers, "--stop-after", 2, "-o", tmp_path / "half")
    capsys.readouterr()
    assert cxr("status", "--json", tmp_path / "done", tmp_path / "half") == 0
    done, half = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (done["stage"], done["state"], done["rerun"]) == (
        "prepare",
        "complete",
        "do nothing: up to date",
    )
    assert (half["state"], half["rerun"]) == ("incomplete", "go on where it stopped")
    numbers.write_text("7\n")
    assert cxr("status", tmp_path / "done") == 0
    told = capsys.readouterr().out
    assert "exit 4): input source" in told
    assert "namespace" not in told  # no folder here has patients
    (tmp_path / "done/dataset.json").write_text('{"namespace": "st-mary", "patients": true}')
    assert cxr("status", tmp_path / "done", tmp_path / "half") == 0
    head, first, _ = capsys.readouterr().out.splitlines()
    assert first.index("st-mary") == head.index("namespace")
    assert cxr("status", tmp_path) == 3
    capsys.readouterr()
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "run.json").write_text("{")
    # What can be read is shown, wherever what cannot be stands.
    assert cxr("status", tmp_path / "torn", tmp_path / "done", tmp_path / "no") == 3
    said = capsys.readouterr()
    assert "done" in said.out
    assert "torn" in said.err
    assert "no run directory" in said.err


def test_status_sees_a_run_at_work(cxr: Any, numbers: Path, tmp_path: Path, capsys: Any) -> None:
    from cxrtool.core.runs import lock

    cxr("prepare", numbers, "--stop-after", 2, "-o", tmp_path / "half")
    capsys.readouterr()
    with lock.hold(tmp_path / "half"):
        cxr("status", "--json", tmp_path / "half")
    assert json.loads(capsys.readouterr().out)["state"] == "running"


def test_log_holds_what_was_said(cxr: Any, numbers: Path, tmp_path: Path, monkeypatch: Any) -> None:
    def talk(config: Any, run: Any) -> dict[str, Any]:
        console.say("hello")
        console.detail("only with -v, but always in the log")
        return {}

    monkeypatch.setattr(toy_stage, "run", talk)
    cxr("prepare", numbers, "-q", "-o", tmp_path / "out")
    log = (tmp_path / "out" / "log.txt").read_text()
    assert "hello" in log
    assert "always in the log" in log


def test_plain_progress_is_a_line_every_while(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr("cxrtool.core.progress.EVERY_S", 0.0)
    with progress("decoding", total=4) as bar:
        bar.advance(2, "so far")
    assert "decoding: 2/4 images (50 %)" in capsys.readouterr().err


def test_quiet_says_warnings(cxr: Any, numbers: Path, tmp_path: Path, capsys: Any) -> None:
    assert cxr("prepare", numbers, "--fail", "-q", "-o", tmp_path / "out") == 5
    assert "warning: the total is not what was asked for" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (InputError("is odd", file="a.csv", row=3), 3, "error: a.csv, row 3: is odd"),
        (OSError(errno.ENOSPC, "full", "x"), 3, "error: no space left on the disk, writing x"),
        (KeyError("k"), 1, "error: this is a bug: KeyError: 'k'"),
    ],
)
def test_what_fails_in_a_thread_is_said_and_is_no_success(
    cxr: Any, numbers: Path, tmp_path: Path, monkeypatch: Any, capsys: Any, error: Any, code: int,
    text: str,
) -> None:  # fmt: skip
    def fail() -> None:
        raise error

    def run(config: Any, run: Any) -> dict[str, Any]:
        thread = threading.Thread(target=fail)
        thread.start()
        thread.join()
        return {}

    hook = threading.excepthook
    monkeypatch.setattr(toy_stage, "run", run)
    assert cxr("prepare", numbers, "-o", tmp_path / "out") == code
    said = capsys.readouterr().err
    assert text in said
    assert "Traceback" not in said
    assert cxr("prepare", numbers, "-o", tmp_path / "other", "--debug") == code
    assert "in fail" in capsys.readouterr().err
    assert threading.excepthook is hook
