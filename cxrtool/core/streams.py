"""The standard streams of the process, whatever it was started with.

stdin, stdout or stderr may be closed, full, or read by nobody. Closed ones are opened on
``/dev/null``, so that no file of a run gets their numbers, in the direction in which they still
fail: data that goes nowhere is an error. Talk that nobody hears is none: stderr takes all and says
nothing of what it lost.
"""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import TextIO

    from _typeshed import ReadableBuffer

STDIN, STDOUT = "stdin", "stdout"
_NULL_MODES = (os.O_WRONLY, os.O_RDONLY, os.O_WRONLY)


class ReaderGoneError(Exception):
    """Nobody reads stdout any more.

    No `BrokenPipeError`, which Typer would turn into exit code 1.
    """


def guard() -> None:
    """Make the streams of this process safe; to be called once, before anything is opened."""
    for number, mode in enumerate(_NULL_MODES):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(_open_as(number, mode), True)
    if sys.stdin is None:
        sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)), "utf-8")
    sys.stdout = _text(io.BufferedWriter(_Data(1, "w", closefd=False)), sys.stdout)
    # Without a buffer: a signal handler may speak while a line is being written.
    sys.stderr = _text(_Talk(2, "w", closefd=False), sys.stderr, write_through=True)


def _open_as(number: int, mode: int) -> int:
    handle = os.open(os.devnull, mode)
    if handle != number:
        os.dup2(handle, number)
        os.close(handle)
    return number


def _text(raw: Any, before: TextIO | None, *, write_through: bool = False) -> TextIO:
    """The stream ``raw`` in the encoding of the one that stood there."""
    return io.TextIOWrapper(
        raw,
        encoding=before.encoding if before else "utf-8",
        errors=before.errors if before else "backslashreplace" if write_through else "strict",
        line_buffering=bool(before and before.line_buffering),
        write_through=write_through or bool(before and getattr(before, "write_through", False)),
    )


class _Data(io.FileIO):
    """stdout: what cannot be written is an error that names it."""

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            raise ReaderGoneError from None
        except OSError as error:
            raise OSError(error.errno, error.strerror, STDOUT) from None


class _Talk(io.FileIO):
    """stderr: what cannot be written is lost."""

    def write(self, data: ReadableBuffer, /) -> int:
        left = memoryview(data).cast("B")
        size = len(left)
        try:
            while left and (count := super().write(left)):
                left = left[count:]
        except OSError:
            pass
        return size
