"""How far long work is, and what it is at: nothing is silent for longer than five seconds.

Work says what it does with `progress`, counted where it can be. On a terminal a bar is drawn while
it lasts; elsewhere (cron, log files) a line tells how far it is, the first one after `FIRST_S` and
then one every `EVERY_S`. A thread beside the work sees to that, so that a step that takes minutes
is no silence either. What has no words of its own lies within `watching`, which a run does as a
whole. The time that is left follows from the recent rate.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from cxrtool.core import console

#: Of a log: the first line about a piece of work, and the time between two.
FIRST_S, EVERY_S = 5.0, 30.0
#: Of a terminal: silence after which work without a bar is shown.
DRAWN_AFTER_S = 2.0
#: The rate is that of the last seconds, and of the last updates where those take longer.
RECENT_S, RECENT_UPDATES = 60.0, 5
_TICK_S = 0.5
_BAR = 10  # columns

Observer = Callable[[str, float, float | None, str], None]  # label, done, total, unit


_watcher: Callable[[], None] | None = None


def watch_progress(watcher: Callable[[], None] | None) -> None:
    """Have something called at every update of any progress, in the thread that works."""
    global _watcher
    _watcher = watcher


def duration(seconds: float) -> str:
    """A time as all progress shows it: minutes and seconds, ``1:05``, or with hours ``2:03:09``."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class Rate:
    """Units a second of late.

    Args:
        now: The time.
        done: Units that were done before; they took no time of this process.
    """

    def __init__(self, now: float, done: float = 0) -> None:
        self._seen = deque([(now, done)])

    def update(self, now: float, done: float) -> None:
        """See that so much is done."""
        self._seen.append((now, done))
        while len(self._seen) > RECENT_UPDATES + 1 and now - self._seen[1][0] > RECENT_S:
            self._seen.popleft()
        if len(self._seen) > 1000:  # one of two tells as much
            self._seen = deque([*list(self._seen)[:-1:2], self._seen[-1]])

    def at(self, now: float) -> float:
        """Units a second; a step that has not ended counts once it takes longer than others did."""
        (first, before), (last, done) = self._seen[0], self._seen[-1]
        late = now - last if now - last > (last - first) / max(1, len(self._seen) - 1) else 0.0
        elapsed = last - first + late
        return (done - before) / elapsed if elapsed > 0 else 0.0


@dataclass
class Progress:
    """A running count of done work. Made by `progress`."""

    label: str
    total: float | None
    unit: str
    observer: Observer | None
    done: float = 0
    note: str = ""
    bar: Any = None  # of Rich, and the task in it
    task: Any = None

    def __post_init__(self) -> None:
        self.started = self.last_line = time.monotonic()
        self.lines = 0
        self.shown = self.label if len(self.label) <= 34 else self.label[:33] + "…"
        self._rate = Rate(self.started, self.done)

    def advance(self, n: float = 1, note: str = "") -> None:
        """Count ``n`` more units as done."""
        self.update(self.done + n, note)

    def update(self, done: float, note: str = "") -> None:
        """Set the count of done units; ``note`` is a short text such as the current loss."""
        self.done, self.note = done, note
        self._rate.update(time.monotonic(), done)
        if _watcher is not None:
            _watcher()
        if self.observer is not None:
            self.observer(self.label, done, self.total, self.unit)
        if self.bar is not None:
            self.draw()
        elif self.due() and not _draws():
            self.say()

    def due(self) -> bool:
        """Whether a line in a log is due."""
        wait = EVERY_S if self.lines else min(FIRST_S, EVERY_S)
        return time.monotonic() - self.last_line >= wait

    def say(self) -> None:
        """Say how far it is, in a line."""
        self.last_line, self.lines = time.monotonic(), self.lines + 1
        console.say(self.line())

    def draw(self, inner: str = "") -> None:
        """Bring the bar up to date, with what is done within the work."""
        bar = self.bar
        if bar is not None:  # another thread may have taken it away
            time, note = self.time(), inner or self.note
            count = f"{self.done:,.6g}/{self.total or 0:,.6g} {self.unit}"
            room = bar.console.width - _BAR - 5 - len(self.shown + count + time)
            note = note if len(note) <= room else note[: max(0, room - 1)] + "…" * (room > 0)
            bar.update(self.task, completed=self.done, note=note, time=time)

    def time(self) -> str:
        """How long it will take, or has taken where that is not known."""
        now = time.monotonic()
        rate = self._rate.at(now)
        if self.total and rate > 0:
            return f"{duration((self.total - self.done) / rate)} left"
        return duration(now - self.started)

    def line(self) -> str:
        """How far it is: ``training: 12/20 kimg (60 %), 0.5 kimg/s, 0:16 left, loss 0.1``."""
        if not self.unit:
            return f"{self.label}: {self.time()}"
        rate = self._rate.at(time.monotonic())
        share = f" ({100 * self.done / self.total:.0f} %)" if self.total else ""
        of_total = f"/{self.total:,.6g}" if self.total else ""
        speed = f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"
        text = f"{self.label}: {self.done:,.6g}{of_total} {self.unit}{share}"
        text += f", {speed} {self.unit}/s" if rate else ""
        return ", ".join([text, self.time(), *([self.note] if self.note else [])])


@contextlib.contextmanager
def progress(
    label: str,
    total: float | None = None,
    unit: str = "images",
    observer: Observer | None = None,
    *,
    done: float = 0,
) -> Iterator[Progress]:
    """Show how far a long piece of work is.

    Args:
        label: What is done, e.g. ``"decoding"``.
        total: How many units there are, or None when unknown.
        unit: Name of the unit in plural; "" for work that is not counted.
        observer: Called with ``(label, done, total, unit)`` at the start and at every update.
        done: Units that were done before.

    Yields:
        A `Progress` to call ``advance`` or ``update`` on.
    """
    state = Progress(console.visible(label, line=True), total, unit, observer, done)
    if observer is not None:
        observer(state.label, done, total, unit)
    with _WATCH.over(state):
        if _draws() and unit and not _WATCH.draws:
            with _bar(state):
                yield state
        else:
            yield state


@contextlib.contextmanager
def watching(label: str) -> Iterator[None]:
    """Let no silence be longer than five seconds, whatever the block does.

    Args:
        label: What is shown where the work says nothing itself.
    """
    with _WATCH.over(Progress(console.visible(label, line=True), None, "", None)), _WATCH.at_work():
        yield


def _draws() -> bool:
    return console.level() >= console.NORMAL and sys.stderr.isatty() and not console.is_heard()


@contextlib.contextmanager
def _bar(state: Progress) -> Iterator[None]:
    """A bar of Rich that shows the state; the time comes before what may be cut off."""
    from rich import progress as bars
    from rich.markup import escape

    unit = state.unit
    columns: list[bars.ProgressColumn] = [bars.TextColumn("{task.description}")]
    if state.total:
        columns.append(bars.BarColumn(bar_width=_BAR))
        columns.append(bars.TextColumn("{task.completed:,.6g}/{task.total:,.6g} " + unit))
    elif unit:
        columns.append(bars.TextColumn("{task.completed:,.6g} " + unit))
    columns.append(bars.TextColumn("{task.fields[time]}"))
    columns.append(bars.TextColumn("{task.fields[note]}", style="dim", markup=False))
    with _WATCH.lock:
        _WATCH.wipe()  # before the console is asked for: Rich holds stderr while it draws
        bar = bars.Progress(*columns, console=console.stderr(), transient=True)
        bar.start()
        state.task = bar.add_task(escape(state.shown), total=state.total, note="", time="")
        state.bar = bar
        state.draw()
    try:
        yield
    finally:
        with _WATCH.lock:
            state.bar = None
            bar.stop()


class _Watch:
    """The work that goes on now, the innermost last, and the thread that shows it."""

    def __init__(self) -> None:
        self._work: list[Progress] = []
        self.lock = threading.RLock()
        self._drawn: contextlib.ExitStack | None = None
        self._ended: threading.Event | None = None
        self._last_word = time.monotonic()

    @property
    def draws(self) -> bool:
        """Whether a bar is on the screen already: two of them draw over one another."""
        with self.lock:
            self.wipe()
            return any(state.bar is not None for state in self._work)

    @contextlib.contextmanager
    def over(self, state: Progress) -> Iterator[None]:
        """A piece of work, within the one that goes on."""
        with self.lock:
            self.wipe()
            self._work.append(state)
        try:
            yield
        finally:
            with self.lock:
                self.wipe()
                if state in self._work:
                    self._work.remove(state)

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """Show what goes on while the block lasts; a block within it changes nothing."""
        if self._ended is not None:
            yield
            return
        self._ended = ended = threading.Event()
        console.before_words(self._heard)
        thread = threading.Thread(target=self._run, args=(ended,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            console.before_words(None)
            self._ended = None

    def _run(self, ended: threading.Event) -> None:
        while not ended.wait(_TICK_S):
            with contextlib.suppress(OSError, ValueError), self.lock:  # nobody reads any more
                self._tick()

    def _tick(self) -> None:
        state = self._work[-1]
        silence = time.monotonic() - max(self._last_word, state.started)
        shown = next((own for own in reversed(self._work) if own.bar is not None), None)
        if shown is not None:
            shown.draw("" if shown is state else state.label)
        elif console.is_heard():
            pass
        elif _draws():
            if silence >= DRAWN_AFTER_S:
                stack = contextlib.ExitStack()
                stack.enter_context(_bar(state))
                self._drawn = stack
        elif time.monotonic() - self._last_word >= EVERY_S or (state.due() and silence >= FIRST_S):
            state.say()

    def _heard(self) -> None:
        with self.lock:
            self._last_word = time.monotonic()
            self.wipe()

    def wipe(self) -> None:
        """Take away what the thread has drawn."""
        if self._drawn is not None:
            drawn, self._drawn = self._drawn, None
            drawn.close()

    def after_fork(self) -> None:
        """A process that a fork made has no thread and draws nothing."""
        self.__init__()  # type: ignore[misc]
        console.before_words(None)


_WATCH = _Watch()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_WATCH.after_fork)
