"""What the user sees: stdout is data, stderr is talk.

``out`` writes data to stdout. Everything else goes to stderr, filtered by one level, and, whatever
the level, with a time stamp to the log file of the run at work. On a terminal stderr is drawn by
Rich; elsewhere (cron, pipes) it is plain lines and progress is one line every 30 seconds.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

QUIET, NORMAL, VERBOSE, DEBUG = -1, 0, 1, 2
PLAIN_PROGRESS_S = 30.0
RECENT_S = 60.0  # whose rate says how much time is left
WIDE = 100  # columns of a terminal from which on a note stands behind a bar
Observer = Callable[[str, float, float | None, str], None]  # label, done, total, unit

_level = NORMAL
_log: Log | None = None
_heard: list[str] | None = None
_watcher: Callable[[], None] | None = None


def configure(level: int) -> None:
    """Set how much is said: ``QUIET``, ``NORMAL``, ``VERBOSE`` or ``DEBUG``."""
    global _level
    _level = level


def level() -> int:
    """The level that is set now."""
    return _level


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


@dataclass
class Progress:
    """A running count of done work. Made by :func:`progress`."""

    label: str
    total: float | None
    unit: str
    observer: Observer | None
    done: float = 0
    bar: Any = None  # of Rich, and the task in it
    task: Any = None

    def __post_init__(self) -> None:
        self._last_line = time.monotonic()
        self._lately = deque([(self._last_line, self.done)])  # a point a second

    def advance(self, n: float = 1, note: str = "") -> None:
        """Count ``n`` more units as done."""
        self.update(self.done + n, note)

    def update(self, done: float, note: str = "") -> None:
        """Set the count of done units; ``note`` is a short text such as the current loss."""
        self.done, now = done, time.monotonic()
        if len(self._lately) == 1 and now - self._lately[0][0] < 0.1:
            self._lately[0] = (now, done)  # what a resumed run begins with
        elif now - self._lately[-1][0] >= 1 and done > self._lately[-1][1]:
            self._lately.append((now, done))
            while len(self._lately) > 2 and now - self._lately[1][0] > RECENT_S:
                self._lately.popleft()
        if _watcher is not None:
            _watcher()
        if self.observer is not None:
            self.observer(self.label, done, self.total, self.unit)
        if self.bar is not None:
            self.bar.update(self.task, completed=done, note=note, left=self._left())
        elif now - self._last_line >= PLAIN_PROGRESS_S:
            self._last_line = now
            _speak(self._line(note), NORMAL)

    def _rate(self) -> float:
        """Units a second, lately."""
        began, before = self._lately[0]
        elapsed = time.monotonic() - began
        return (self.done - before) / elapsed if elapsed > 0 else 0.0

    def _left(self) -> str:
        """Time left at the rate of late, such as "1:05 left"; "" if nobody knows."""
        rate = self._rate()
        if not self.total or rate <= 0:
            return ""
        return f"{_duration((self.total - self.done) / rate)} left"

    def _line(self, note: str) -> str:
        rate, left = self._rate(), self._left()
        share = f" ({100 * self.done / self.total:.0f} %)" if self.total else ""
        of_total = f"/{self.total:,.6g}" if self.total else ""
        text = f"{self.label}: {self.done:,.6g}{of_total} {self.unit}{share}"
        text += f", {rate:,.0f} {self.unit}/s" if rate >= 100 else f", {rate:.3g} {self.unit}/s"
        text += f", {left}" if left else ""
        return f"{text}, {note}" if note else text


def _duration(seconds: float) -> str:
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def watch_progress(watcher: Callable[[], None] | None) -> None:
    """Have something called at every update of any progress, in the thread that works."""
    global _watcher
    _watcher = watcher


@contextlib.contextmanager
def progress(
    label: str,
    total: float | None = None,
    unit: str = "images",
    observer: Observer | None = None,
) -> Iterator[Progress]:
    """Show how far a long piece of work is.

    Args:
        label: What is done, e.g. ``"decoding"``.
        total: How many units there are, or None when unknown.
        unit: Name of the unit in plural.
        observer: Called with ``(label, done, total, unit)`` at every update.

    Yields:
        A :class:`Progress` to call ``advance`` or ``update`` on.
    """
    label = visible(label, line=True)
    state = Progress(label, total, unit, observer)
    if _level >= NORMAL and sys.stderr.isatty():
        from rich import progress as bars
        from rich.markup import escape

        columns = [
            bars.TextColumn("{task.description}"),
            bars.BarColumn(bar_width=16),
            bars.TextColumn("{task.completed:,.6g}/{task.total:,.6g} " + unit if total else unit),
            bars.TextColumn("{task.fields[left]}") if total else bars.TimeElapsedColumn(),
        ]
        if stderr().width >= WIDE:
            columns.append(bars.TextColumn("{task.fields[note]}", style="dim"))
        with bars.Progress(*columns, console=stderr(), transient=True) as bar:
            state.bar, state.task = bar, bar.add_task(escape(label), total=total, note="", left="")
            yield state
    else:
        yield state
