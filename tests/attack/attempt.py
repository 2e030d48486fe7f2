"""One call of ``cxr`` under attack: in a process of its own, with little memory and little time.

The process is forked from one that has imported everything, so that a call takes hundredths of a
second, and what it says, its exit code and the memory that it took are all that comes back.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO

#: The table of README, "Exit codes", for what a user may have done.
CODES = (0, 2, 3, 4, 5, 75)
GIB = 2**30


@dataclass(frozen=True)
class Ending:
    """How a call ended; a process that was killed has the code 128 + signal, as in a shell."""

    code: int
    out: str
    err: str
    grown_bytes: int

    @property
    def line(self) -> str:
        """The error that it says, without the word in front; "" for none."""
        lines = [line for line in self.err.splitlines() if line.startswith("error: ")]
        return lines[-1].removeprefix("error: ") if lines else ""


@cache
def warm() -> None:
    """Import all commands, once."""
    import torch
    from torch.utils import _pytree  # noqa: F401

    import cxrtool.commands

    torch.set_num_threads(1)
    for module in pkgutil.walk_packages(cxrtool.commands.__path__, "cxrtool.commands."):
        importlib.import_module(module.name)


def cxr(
    *words: str | Path,
    folder: Path | None = None,
    more_bytes: int = 2 * GIB,
    seconds: int = 60,
    env: Mapping[str, str] | None = None,
    stdin: bytes | None = None,
) -> Ending:
    """Run ``cxr``.

    Args:
        words: Its words.
        folder: Where it runs.
        more_bytes: How much address space it may take beyond what the libraries take.
        seconds: How long it may take before it is killed.
        env: What the environment has beside this one's.
        stdin: What stands in stdin; None for nothing.
    """
    warm()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        with tempfile.TemporaryFile() as source:
            source.write(stdin or b"")
            source.seek(0)
            sys.stdout.flush()
            sys.stderr.flush()
            child = os.fork()
            if child == 0:
                _child([os.fspath(w) for w in words], folder, more_bytes, env, (source, out, err))
        code, most = _wait(child, seconds)
        out.seek(0)
        err.seek(0)
        said, talk = (stream.read().decode(errors="backslashreplace") for stream in (out, err))
    return Ending(code, said, talk, most)


def _child(
    words: list[str],
    folder: Path | None,
    more_bytes: int,
    env: Mapping[str, str] | None,
    streams: tuple[IO[bytes], IO[bytes], IO[bytes]],
) -> None:
    """The call itself; does not return."""
    code = 70
    try:
        os.setsid()
        for number, stream in enumerate(streams):
            os.dup2(stream.fileno(), number)
        sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
        os.environ.update(env or {})
        if folder is not None:
            os.chdir(folder)
        for signum in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signum, signal.SIG_DFL)
        most = _virtual_bytes() + more_bytes
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        from cxrtool import cli

        code = cli.main(words)
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _wait(child: int, seconds: int) -> tuple[int, int]:
    end = time.monotonic() + seconds
    while True:
        pid, status, usage = os.wait4(child, os.WNOHANG)
        if pid:
            code = os.waitstatus_to_exitcode(status)
            return (code if code >= 0 else 128 - code), usage.ru_maxrss * 1024
        if time.monotonic() > end:
            os.killpg(child, signal.SIGKILL)
            _, _, usage = os.wait4(child, 0)
            return 124, usage.ru_maxrss * 1024
        time.sleep(0.005)


def _virtual_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()
