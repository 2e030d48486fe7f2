"""The run directory: a folder with ``run.json`` at its start and ``result.json`` at its end.

From this one rule come up-to-date reruns (same fingerprint and complete: nothing is done), resume
(same fingerprint and incomplete: the stage goes on from its checkpoint), refusal (another
fingerprint: exit 4 with the keys that differ), provenance and safety in cron (`lock`).

Here: the files of the folder, and the folder as the stage at work sees it.
"""

from __future__ import annotations

import contextlib
import functools
import json
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any

from cxrtool.core import console, files
from cxrtool.core import progress as progresses
from cxrtool.core.errors import InterruptedRunError
from cxrtool.core.fingerprints import InputRef, require_complete
from cxrtool.core.reading import read_text
from cxrtool.core.runs.reads import Reads

RUN_FORMAT = 1
RUN, RESULT, METRICS = "run.json", "result.json", "metrics.jsonl"
LOG, PROGRESS = "log.txt", "progress.json"
EVENTS = "tensorboard"  # a folder


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The rows of a run's ``metrics.jsonl``; a line that a kill cut short is left out."""
    rows = []
    with contextlib.suppress(FileNotFoundError):
        for line in read_text(folder / METRICS).splitlines():
            with contextlib.suppress(ValueError, RecursionError):
                rows.append(json.loads(line))
    return rows


@dataclass(eq=False)
class Run:
    """The output folder of a stage at work.

    Attributes:
        dir: The folder.
        stage: The stage's name.
        config: The stage's Config.
        refs: All inputs.
        fingerprint: Identity of options and inputs.
        resumed: The folder holds the beginning of this very run.
        helping: The folder of the process that this one only helps; `dir` is then thrown away.
        json_file: A JSON file of the folder that ``--json`` prints in place of ``result.json``.
        interruptible: The stage keeps nothing before its end: a signal may end it anywhere.
    """

    dir: Path
    stage: str
    config: Any
    refs: list[InputRef]
    fingerprint: str
    _: KW_ONLY
    resumed: bool = False
    helping: Path | None = None
    counts: dict[str, int] = field(default_factory=dict)
    gates: list[str] = field(default_factory=list)
    json_file: str | None = None
    interruptible: bool = False
    _signal: int | None = None
    _progress_written: float = 0.0

    @classmethod
    def for_test(
        cls, folder: Path, config: Any = None, inputs: dict[str, Path] | None = None
    ) -> Run:
        """A bare run in ``folder``, without lock and records, to try a stage's parts on."""
        folder.mkdir(parents=True, exist_ok=True)
        refs = [InputRef(role, path, f"test:{path}") for role, path in (inputs or {}).items()]
        return cls(folder, "test", config, refs, "test")

    @property
    def shared(self) -> Path:
        """The folder of the run for all processes that work on it."""
        return self.helping or self.dir

    @property
    def helps(self) -> bool:
        """Another process writes what this one computes with it."""
        return self.helping is not None

    # inputs and paths

    def input(self, role: str) -> InputRef:
        """The one input of this role."""
        (ref,) = self.inputs(role)
        return ref

    def inputs(self, role: str) -> list[InputRef]:
        """All inputs of this role, in the order given."""
        return [ref for ref in self.refs if ref.role == role]

    def paths(self, role: str, *stages: str) -> list[Path]:
        """Where the inputs of this role lie, in the order given.

        Args:
            role: The role.
            stages: What each of them must be a finished run of; none for any.

        Raises:
            InputError: One is not.
        """
        paths = [ref.path for ref in self.inputs(role)]
        if stages:
            for path in paths:
                require_complete(path, stages=stages)
        return paths

    def reads(self, role: str, paths: Iterable[Path]) -> None:
        """Note files that an input only names or holds: when they change the run is another one."""
        self._list.note(self.inputs(role), paths)

    def reading(self, role: str, paths: Iterable[Path]) -> AbstractContextManager[None]:
        """The same for very many, which are hashed while the block reads them."""
        return self._list.noting(self.inputs(role), paths)

    @functools.cached_property
    def _list(self) -> Reads:
        return Reads(self.dir, resumed=self.resumed)

    def path(self, *parts: str) -> Path:
        """A path inside the folder; its parent folders are made."""
        target = self.dir.joinpath(*parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    def atomic(self, relative: str) -> AbstractContextManager[Path]:
        """A temporary path that becomes ``relative`` when the block ends well."""
        return files.atomic(self.dir / relative)

    def write_bytes(self, relative: str, data: bytes) -> None:
        """Write a file atomically."""
        files.write_bytes(self.dir / relative, data)

    def write_text(self, relative: str, text: str) -> None:
        """Write a UTF-8 text atomically."""
        files.write_text(self.dir / relative, text)

    def write_json(self, relative: str, value: Any) -> None:
        """Write JSON atomically; NaN becomes null."""
        files.write_text(self.dir / relative, files.pretty_json(value))

    # metrics, counts, gates

    def append_metrics(self, row: dict[str, Any]) -> None:
        """Add one line to ``metrics.jsonl``, flushed."""
        with open(self.path(METRICS), "a", encoding="utf-8") as stream:
            stream.write(json.dumps(files.finite(row), ensure_ascii=False) + "\n")

    def read_metrics(self) -> list[dict[str, Any]]:
        """The rows of ``metrics.jsonl``; a last line that a kill cut short is left out."""
        return read_metrics(self.dir)

    def rewind_metrics(self, keep: Callable[[dict[str, Any]], bool]) -> None:
        """On resume, drop the rows that lie past the checkpoint."""
        rows = (row for row in self.read_metrics() if keep(row))
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
        self.write_text(METRICS, "".join(lines))

    def count(self, name: str, n: int = 1) -> None:
        """Add to a number that ``result.json`` reports under ``counts``."""
        self.counts[name] = self.counts.get(name, 0) + int(n)

    def gate(self, message: str) -> None:
        """Record a failed check: the run completes, and its exit code is 5."""
        console.warn(message)
        self.gates.append(message)

    # progress and stopping

    def progress(
        self,
        label: str,
        total: float | None = None,
        unit: str = "images",
        *,
        done: float = 0,
        stops: bool = False,
    ) -> AbstractContextManager[progresses.Progress]:
        """Like :func:`cxrtool.core.progress.progress`, and visible to ``cxr status``.

        With ``stops`` the run ends at the next step once a signal has arrived (`check_stop`).
        """

        def observe(*state: Any) -> None:
            self._record_progress(*state)
            if stops:
                self.check_stop()

        return progresses.progress(label, total, unit, observe, done=done)

    def phase(self, label: str) -> AbstractContextManager[progresses.Progress]:
        """The same for work that is not counted and may take a while: a person sees what it is."""
        return self.progress(label, unit="")

    def _record_progress(self, label: str, done: float, total: float | None, unit: str) -> None:
        now = time.monotonic()
        if now - self._progress_written < 2.0:
            return
        self._progress_written = now
        record = {"label": label, "done": done, "total": total, "unit": unit, "time": time.time()}
        text = json.dumps(record) + "\n"
        with contextlib.suppress(OSError):
            files.write_bytes(self.dir / PROGRESS, text.encode(), durable=False)

    @property
    def stopping(self) -> bool:
        """A signal has arrived (`heed_signals`): write a checkpoint and call :meth:`stop`."""
        return self._signal is not None

    @property
    def signal(self) -> int:
        """The signal that has arrived."""
        return self._signal or signal.SIGTERM

    def stop(self) -> None:
        """End the run because of the signal that has arrived."""
        raise InterruptedRunError(self.signal)

    def check_stop(self) -> None:
        """Call :meth:`stop` if a signal has arrived, where nothing needs to be kept first."""
        if self.stopping:
            self.stop()

    @contextlib.contextmanager
    def heed_signals(self) -> Iterator[None]:
        """Turn the first SIGTERM, SIGINT or SIGHUP into :attr:`stopping`; the second one kills.

        A SIGHUP that was ignored when the process started (``nohup``) stays so. Where the stage is
        `interruptible` the first one ends it where it is.
        """

        def note(signum: int, frame: object) -> None:
            self._signal = signum
            signal.signal(signum, signal.SIG_DFL)
            if self.interruptible:
                self.stop()
            console.say(
                f"{signal.Signals(signum).name}: stopping at the next safe point "
                "(once more to stop at once)"
            )

        before = {}
        ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        for signum in (signal.SIGTERM, signal.SIGINT, *(() if ignored else (signal.SIGHUP,))):
            with contextlib.suppress(ValueError):  # not in the main thread
                before[signum] = signal.signal(signum, note)
        try:
            yield
        finally:
            for signum, handler in before.items():
                signal.signal(signum, handler)
