"""How many cores there are to work on, and how many of them others leave free."""

import os
import time
from dataclasses import dataclass, field
from pathlib import Path

from cxrtool.core.reading import read_text

_CLOCKS = Path("/proc/stat")  # of Linux
_LEAST_S = 0.2  # between two looks, for clocks that tick every hundredth of a second
_AGAIN_S = 3.0  # between two looks of `Share`
_PATIENCE = 5  # looks in a row that find cores free before they are taken


def available_cores() -> int:
    """Cores that this process may run on (its affinity, not the machine's total)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True)
class Look:
    """What the clocks said at one time, all in seconds.

    Attributes:
        at: By the clock on the wall.
        own: Processor time of this process.
        all: Processor time of all processes on the cores of this one, but for those that give way
            (`nice`); None where nothing tells.
    """

    at: float
    own: float
    all: float | None

    @classmethod
    def now(cls) -> "Look":
        """The clocks as they are."""
        return cls(time.monotonic(), time.process_time(), _busy_seconds())

    def free_since(self, before: "Look") -> float | None:
        """Cores that others left free between two looks; None where nothing tells."""
        seconds = self.at - before.at
        if self.all is None or before.all is None or seconds < _LEAST_S / 2:
            return None
        others = (self.all - before.all) - (self.own - before.own)
        return available_cores() - max(0.0, others) / seconds


def _busy_seconds() -> float | None:
    """See `Look.all`."""
    try:
        mine = {f"cpu{core}" for core in os.sched_getaffinity(0)}
        polite = os.nice(0) <= 0
        lines = [line.split() for line in read_text(_CLOCKS).splitlines()]
        # user, nice, system, idle, iowait, irq, softirq
        rows = [[int(word) for word in line[1:8]] for line in lines if line[0] in mine]
        ticks = sum(r[0] + r[2] + r[5] + r[6] + (0 if polite else r[1]) for r in rows)
        return ticks / os.sysconf("SC_CLK_TCK") if rows else None
    except (AttributeError, OSError, ValueError, IndexError):
        return None


_START = Look.now()  # while libraries are imported


def free_cores() -> int:
    """Cores that others have left free since this process began, at least 1."""
    now = Look.now()
    if now.at - _START.at < _LEAST_S and available_cores() > 1:
        time.sleep(_LEAST_S)
        now = Look.now()
    free = now.free_since(_START)
    return available_cores() if free is None else max(1, round(free))


@dataclass
class Share:
    """The cores that this process takes while it works: fewer as others need them.

    Two threads that wait for one another at every layer of a network take ten times as long as one
    where another process keeps one of two cores busy. Cores are given up at the first look, and
    taken back after some.

    Attributes:
        threads: How many now.
    """

    threads: int
    _last: Look = field(default_factory=lambda: Look.now())
    _more: list[int] = field(default_factory=list)  # what each of the last looks would have taken

    def look(self) -> int | None:
        """How many it shall be from now on, if another number; None if all stays."""
        if time.monotonic() - self._last.at < _AGAIN_S:
            return None
        now, before = Look.now(), self._last
        self._last, free = now, now.free_since(before)
        if free is None:
            return None
        new = max(1, min(round(free), available_cores()))
        # To give up too late costs far more than to take too late.
        self._more = [*self._more, new] if new >= 1.5 * self.threads else []
        if len(self._more) >= _PATIENCE:
            new, self._more = min(self._more), []
        elif new >= self.threads:
            return None
        self.threads = new
        return new
