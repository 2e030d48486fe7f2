"""What lies in the folder for temporary files, however a command ends, and how long its name is."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/fd").is_dir(), reason="reads the open files of a process from /proc"
)

REPORT = "0000{i},Small left effusion of Mrs Example. No pneumothorax.\n"


def start(tmp: Path | str, *words: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "cxrtool", *(str(word) for word in words)]
    pipe = subprocess.PIPE
    environment = {**os.environ, "TMPDIR": str(tmp)}
    # A shell lets its jobs in the background ignore SIGINT, and they hand that on.
    ignored = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment
        )
    finally:
        signal.signal(signal.SIGINT, ignored)


def until(true: Callable[[], object], process: subprocess.Popen[str] | None = None) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.02)


def spools(process: subprocess.Popen[str], tmp: Path) -> list[os.stat_result]:
    """Files below ``tmp`` that the process has open, those without a name too."""
    found = []
    for link in Path(f"/proc/{process.pid}/fd").iterdir():
        try:
            inside = os.readlink(link).startswith(str(tmp))
            if inside and link.stat().st_size:
                found.append(link.stat())
        except OSError:
            continue
    return found


@pytest.mark.parametrize(
    ("out", "how"),
    [("-", signal.SIGTERM), ("-", signal.SIGINT), ("out", signal.SIGTERM), ("out", signal.SIGKILL)],
)
def test_reports_from_stdin_have_no_name_on_the_disk(tmp_path: Path, out: str, how: int) -> None:
    tmp = tmp_path / "tmp"
    tmp.mkdir()
    where = out if out == "-" else tmp_path / out
    process = start(tmp, "extract-reports", "-", "-o", where)
    assert process.stdin is not None
    process.stdin.write("study_id,report\n" + "".join(REPORT.format(i=i) for i in range(40_000)))
    process.stdin.flush()
    until(lambda: spools(process, tmp), process)
    assert list(tmp.rglob("*")) == []
    assert {stat.S_IMODE(found.st_mode) for found in spools(process, tmp)} == {0o600}
    process.send_signal(how)
    assert process.wait(timeout=60) != 0
    assert list(tmp.rglob("*")) == []
    process.communicate()


def test_workers_of_a_killed_command_leave_nothing(tmp_path: Path) -> None:
    tmp = tmp_path / "t"
    tmp.mkdir()
    tmp = Path("/tmp") if len(str(tmp)) > 60 else tmp
    before = set(tmp.glob("cxr-*"))
    table = tmp_path / "reports.csv"
    table.write_text("study_id,report\n" + "".join(REPORT.format(i=i) for i in range(60_000)))
    process = start(tmp, "extract-reports", table, "-o", tmp_path / "out", "--workers", 2)
    until(lambda: set(tmp.glob("cxr-*/listener-*")) - before, process)
    process.kill()
    process.communicate()
    until(lambda: not set(tmp.glob("cxr-*")) - before)


@pytest.mark.parametrize("name", ["x" * 200, "file"])
def test_a_folder_for_temporary_files_may_be_anything(tmp_path: Path, name: str) -> None:
    tmp = tmp_path / name
    if name == "file":
        tmp.touch()
    else:
        tmp.mkdir()
    words = ("prepare", "--format", "phantom", "--n", 12, "--size", 16, "--workers", 2)
    process = start(tmp, *words, "-o", tmp_path / "data")
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    assert not tmp.is_dir() or list(tmp.iterdir()) == []


def test_no_room_for_stdin_is_one_line(tmp_path: Path) -> None:
    limited = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)); "
        "from cxrtool.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", limited, "extract-reports", "-", "-o", "-"],
        input="study_id,report\n" + "".join(REPORT.format(i=i) for i in range(100)),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 3
    assert done.stderr.startswith("error: stdin: cannot be read into a temporary file")
    assert "TMPDIR" in done.stderr
    assert len(done.stderr.splitlines()) == 2
