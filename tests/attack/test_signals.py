"""Signals: heard soon, answered by a code of the table, and never in each other's way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cxrtool import cli
from cxrtool.core.errors import EXIT_CODES, InterruptedRunError, WorkerDiedError
from cxrtool.core.exits import code_of
from cxrtool.core.runs.execution import execute
from cxrtool.data import pool
from tests.e2e.chain import Chain, kill, wait_for
from tests.e2e.conftest import chain  # noqa: F401  (a fixture)
from tests.unit import toy_stage
from tests.unit.test_runs import start

SIGNALS = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]


@pytest.fixture(autouse=True)
def _as_in_a_terminal() -> Iterator[None]:
    """Handlers as a shell in the foreground leaves them, however the tests were started."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in SIGNALS}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def toy(run: Any, **more: Any) -> Any:
    """The toy stage with other work."""
    return SimpleNamespace(NAME="prepare", FORMAT=1, Config=toy_stage.Config, run=run, **more)


@pytest.fixture
def numbers(tmp_path: Path) -> Path:
    path = tmp_path / "numbers.txt"
    path.write_text("1\n2\n3\n4\n")
    return path


@pytest.mark.parametrize("number", SIGNALS)
def test_the_step_is_finished_and_the_code_is_of_the_table(
    number: int, numbers: Path, tmp_path: Path
) -> None:
    def run(config: Any, run: Any) -> dict[str, Any]:
        os.kill(os.getpid(), number)
        run.write_text("checkpoint", "one step")
        run.check_stop()
        raise AssertionError("was not heard")

    config = toy_stage.Config(source=numbers)
    with pytest.raises(InterruptedRunError) as interruption:
        execute(toy(run), config, tmp_path / "out")
    assert code_of(interruption.value) == 128 + number
    assert 128 + number in EXIT_CODES
    assert (tmp_path / "out" / "checkpoint").exists()
    log = (tmp_path / "out" / "log.txt").read_text()
    assert f"error: interrupted by {signal.Signals(number).name}" in log


def test_a_hangup_that_was_ignored_at_the_start_stays_so(numbers: Path, tmp_path: Path) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does

    def run(config: Any, run: Any) -> dict[str, Any]:
        os.kill(os.getpid(), signal.SIGHUP)
        run.check_stop()
        return {}

    assert execute(toy(run), toy_stage.Config(source=numbers), tmp_path / "out").state == "done"


def test_what_keeps_nothing_ends_where_it_is(numbers: Path, tmp_path: Path) -> None:
    def run(config: Any, run: Any) -> dict[str, Any]:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:  # a loop that does not look
            pass
        raise AssertionError("was not heard")

    threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM)).start()
    before = time.monotonic()
    with pytest.raises(InterruptedRunError):
        execute(toy(run, INTERRUPTIBLE=True), toy_stage.Config(source=numbers), tmp_path / "out")
    assert time.monotonic() - before < 2
    assert start(numbers, tmp_path / "out").state == "done"


def test_a_library_may_make_another_error_of_it(numbers: Path, tmp_path: Path) -> None:
    def run(config: Any, run: Any) -> dict[str, Any]:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(1)
        except InterruptedRunError as error:
            raise ValueError("invalid transformation") from error  # as matplotlib's C++ does
        return {}

    stage, config = toy(run, INTERRUPTIBLE=True), toy_stage.Config(source=numbers)
    with pytest.raises(InterruptedRunError):
        execute(stage, config, tmp_path / "out")


def test_every_evaluation_ends_where_it_is() -> None:
    evaluations = [name for name in cli.stages() if name.startswith("evaluate-")]
    assert len(evaluations) == 5
    assert all(cli.stages()[name].INTERRUPTIBLE for name in evaluations)


@pytest.mark.slow
@pytest.mark.parametrize("number", SIGNALS)
def test_the_second_half_of_an_evaluation_listens(
    number: int,
    chain: Chain,  # noqa: F811
    tmp_path: Path,
) -> None:
    words = ["evaluate", "classifiers", chain.out("train-cls"), "--data"]
    words += [chain.out("extract-reports"), "--bootstrap", "8000", "--threads", "1"]
    for moment in range(5):
        out = tmp_path / str(moment)
        command = [sys.executable, "-m", "cxrtool", *map(str, words), "-o", str(out)]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        wait_for(out / "progress.json", process)
        time.sleep(moment / 2)
        before = time.monotonic()
        code, errors = kill(process, number)
        if (out / "result.json").exists():
            return
        assert code == 128 + number, errors
        assert time.monotonic() - before < 2
        assert "Traceback" not in errors


def die(number: int, chunk: int) -> int:
    """Work of a worker that ends as one that the kernel has killed."""
    os.kill(os.getpid(), number)
    return chunk


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_worker_that_was_killed_has_a_code_of_its_own(
    number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(WorkerDiedError) as death:
        list(pool.map_chunks(die, number, range(4), workers=2))
    code = code_of(death.value)
    assert code in EXIT_CODES
    assert code not in (1, 3)
    message, hint = capsys.readouterr().err.splitlines()
    assert message == f"error: a worker process was killed ({signal.Signals(number).name})"
    assert "memory" in hint
    assert "--workers" in hint


def stay(number: int, chunk: int) -> int:
    """Work of a worker whose whole group gets a signal."""
    os.kill(os.getpid(), number)
    return chunk


def test_workers_leave_signals_of_the_group_to_their_process() -> None:
    for number in SIGNALS:
        results = pool.map_chunks(stay, int(number), range(4), workers=2)
        assert sorted(value for _, value in results) == [0, 1, 2, 3]


def test_a_handler_may_speak_while_a_line_is_written() -> None:
    """With a buffer below stderr or the log, Python would raise: a reentrant call."""
    code = """
import os, signal, sys
from cxrtool.core import console, streams
streams.guard()
heard = 0
def speak(*_):
    global heard
    heard += 1
    console.say("signal")
signal.signal(signal.SIGALRM, speak)
signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
with console.Log(sys.argv[1], append=False) as log, console.logging_to(log):
    while heard < 500:
        console.say("x" * 2000)
signal.setitimer(signal.ITIMER_REAL, 0)
"""
    words = [sys.executable, "-c", code, "/dev/null"]
    done = subprocess.run(words, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert set(done.stderr.split()) <= {"signal", "x" * 2000}
