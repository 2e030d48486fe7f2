"""What the user sees: stdout is data, stderr is talk.

``out`` writes data to stdout. Everything else goes to stderr, filtered by one level, and, whatever
the level, with a time stamp to the log file of the run at work. On a terminal stderr is drawn by
Rich; elsewhere (cron, pipes) it is plain lines. How far long work is, `core.progress` shows.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

QUIET, NORMAL, VERBOSE, DEBUG = -1, 0, 1, 2

_level = NORMAL
_log: Log | None = None
_heard: list[str] | None = None
_before_words: Callable[[], None] | None = None


def configure(level: int) -> None:
    """Set how much is said: ``QUIET``, ``NORMAL``, ``VERBOSE`` or ``DEBUG``."""
    global _level
    _level = level


def level() -> int:
    """The level that is set now."""
    return _level


def before_words(call: Callable[[], None] | None) -> None:
    """What is called before something is said: what is drawn below the words goes away."""
    global _before_words
    _before_words = call


def is_heard() -> bool:
    """Whether what is said goes on a list now (`heard`)."""
    return _heard is not None


class Log(contextlib.AbstractContextManager["Log"]):
    """A log file; where it cannot be written, the work goes on, and that is said once.

    A line is one write, without a buffer: threads and signal handlers speak, too.

    Args:
        path: The file.
        append: Go on with it; else it begins anew.
    """

    def __init__(self, path: Path | str, *, append: bool) -> None:
        self.path, self._handle, self._lost = path, -1, False
        how = os.O_WRONLY | os.O_CREAT | os.O_APPEND | (0 if append else os.O_TRUNC)
        try:
            self._handle = os.open(path, how, 0o666)
        except OSError as error:
            self._lose(error)

    def __exit__(self, *_: object) -> None:
        if self._handle >= 0:
            os.close(self._handle)

    def write(self, text: str) -> None:
        """Append a text."""
        if self._handle < 0:
            return
        try:
            os.write(self._handle, text.encode("utf-8", "backslashreplace"))
        except OSError as error:
            self._lose(error)

    def _lose(self, error: OSError) -> None:
        if not self._lost:
            self._lost = True
            with logging_to(None):
                warn(f"{self.path} cannot be written ({error.strerror}); the work goes on")


@contextlib.contextmanager
def logging_to(stream: Log | None) -> Iterator[None]:
    """Copy all that is said to a log while the context lasts."""
    global _log
    before, _log = _log, stream
    try:
        yield
    finally:
        _log = before


@contextlib.contextmanager
def heard() -> Iterator[list[str]]:
    """What is said while the context lasts goes on a list, and to nobody."""
    global _heard
    before, _heard = _heard, []
    try:
        yield _heard
    finally:
        _heard = before


def stderr() -> Console:
    """The Rich console on stderr (honors ``NO_COLOR``)."""
    return _console(sys.stderr)


@functools.cache
def _console(stream: TextIO) -> Console:
    from rich.console import Console

    return Console(file=stream, highlight=False, soft_wrap=True)


def out(text: str) -> None:
    """Write one line of data to stdout, flushed so that a pipe sees it at once."""
    sys.stdout.write((visible(text) if sys.stdout.isatty() else text) + "\n")
    sys.stdout.flush()


#: What would steer a terminal or turn a line around: controls but tab and line break, what changes
#: the direction of writing, what some take for a line break, halves of characters.
_STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def visible(text: str, *, line: bool = False) -> str:
    """Text as it may be shown, with what would steer a terminal spelled out, ``\\u001b``.

    Names of files, labels and what stands in the records of others come here before they are shown
    or logged. JSON that is treated so means what it meant.

    Args:
        text: Any.
        line: Line breaks are spelled out too.
    """
    if text.isascii() and text.isprintable():
        return text
    text = _STEERING.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    return text.replace("\n", "\\n") if line else text


def harmless(text: str) -> str:
    """The same by one sign for each, where places in the text must stay."""
    return text if text.isascii() and text.isprintable() else _STEERING.sub("\ufffd", text)


class VisibleStream:
    """A text stream on which all that is written is `visible`.

    Args:
        stream: Where it goes.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return self._stream.write(visible(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def data_stream() -> TextIO:
    """Stdout for data: exact where a program reads it, `visible` on a terminal."""
    return cast("TextIO", VisibleStream(sys.stdout)) if sys.stdout.isatty() else sys.stdout


def _speak(text: str, at: int, style: str | None = None, *, line: bool = True) -> None:
    text = visible(text, line=line)
    if _heard is not None:
        if at <= NORMAL:
            _heard.append(text)
        return
    note(text, line=line)
    if _before_words is not None:
        _before_words()
    if _level >= at:
        if sys.stderr.isatty():
            stderr().print(text, style=style, markup=False, emoji=False)
        else:
            sys.stderr.write(text + "\n")
            sys.stderr.flush()


def note(text: str, *, line: bool = True) -> None:
    """Write a line to the log of the run at work, and nowhere else.

    Args:
        text: Shown as by `visible`.
        line: Line breaks are spelled out: what an input says begins no line of the log.
    """
    if _log is not None:
        _log.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S')} {visible(text, line=line)}\n")


def stderr_text(text: str) -> None:
    """Write a text of several lines to stderr, such as a traceback, at any level."""
    sys.stderr.write(visible(text))


def say(text: str) -> None:
    """Say what a user wants to know (silent with ``-q``)."""
    _speak(text, NORMAL)


def heading(text: str) -> None:
    """Say what comes next, with a line of space above it."""
    _speak("", NORMAL)
    _speak(text, NORMAL, "bold")


def detail(text: str) -> None:
    """Say what a user wants to know with ``-v``."""
    _speak(text, VERBOSE, "dim")


def debug(text: str) -> None:
    """Say what a developer wants to know (``--debug``)."""
    _speak(text, DEBUG, "dim")


def warn(text: str) -> None:
    """Say what may be wrong and does not stop the work (shown even with ``-q``)."""
    _speak(f"warning: {text}", QUIET, "yellow")


def error(text: str, hint: str | None = None) -> None:
    """Say why the work stops, in one line, and what to do next in a second one."""
    _speak(f"error: {text}", QUIET, "bold red")
    if hint:
        _speak(f"  hint: {hint}", QUIET, "cyan")


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Show a small table on stderr; numbers are right-aligned."""
    plain = plain_table(columns, rows)
    if _before_words is not None:
        _before_words()
    if _heard is None and _level >= NORMAL and sys.stderr.isatty():
        stderr().print(drawn_table(title, columns, rows))
        if _log is not None:
            note("\n".join([visible(title, line=True), *plain]), line=False)
    else:
        _speak("\n".join([visible(title, line=True), *plain]), NORMAL, line=False)


def plain_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """Lines of a table in plain text; numbers are right-aligned."""
    cells, numeric = _cells(columns, rows)
    names = [visible(str(name), line=True) for name in columns]
    widths = [max(map(len, column)) for column in zip(names, *cells, strict=True)]

    def line(values: Sequence[str]) -> str:
        return "  ".join(
            value.rjust(width) if right else value.ljust(width)
            for value, width, right in zip(values, widths, numeric, strict=True)
        ).rstrip()

    head = [line(names), line(["-" * width for width in widths])]
    return head + [line(row) for row in cells]


def drawn_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    """The same for a terminal, by Rich."""
    from rich.table import Table
    from rich.text import Text

    cells, numeric = _cells(columns, rows)
    drawn = Table(title=Text(visible(title, line=True)), title_justify="left", header_style="bold")
    for name, right in zip(columns, numeric, strict=True):
        drawn.add_column(Text(visible(str(name), line=True)), justify="right" if right else "left")
    for row in cells:
        drawn.add_row(*map(Text, row))  # brackets of a name are no markup
    return drawn


def _cells(
    columns: Sequence[str], rows: Sequence[Sequence[object]]
) -> tuple[list[list[str]], list[bool]]:
    """Cells as text, and which columns are numbers."""
    numeric = [all(isinstance(value, int | float) for value in own) for own in zip(*rows)]
    return [[_cell(value) for value in row] for row in rows], numeric or [False] * len(columns)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.1f}"
    return f"{value:,}" if type(value) is int else visible(str(value), line=True)
