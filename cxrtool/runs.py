"""The run directory: a folder with ``run.json`` at its start and ``result.json`` at its end.

From this one rule come up-to-date reruns (same fingerprint and complete: nothing is done), resume
(same fingerprint and incomplete: the stage goes on from its checkpoint), refusal (another
fingerprint: exit 4 with the keys that differ), provenance and safety in cron (an OS lock, which a
killed process does not leave behind; on NFS such locks are unreliable).
"""

from __future__ import annotations

import contextlib
import datetime
import importlib.metadata
import json
import os
import platform
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from cxrtool import __version__, console, files, fingerprints
from cxrtool import config as configs
from cxrtool.errors import (
    BusyError,
    InputError,
    InterruptedRunError,
    OutputMismatchError,
    UsageError,
)
from cxrtool.files import canonical_json, sha256_bytes, sha256_file
from cxrtool.fingerprints import InputRef, require_complete

__all__ = [
    "InputRef",
    "Outcome",
    "Run",
    "canonical_json",
    "execute",
    "load_result",
    "require_complete",
    "sha256_bytes",
    "sha256_file",
]

RUN_FORMAT = 1
RUN, RESULT, METRICS, LOG, PROGRESS = (
    "run.json",
    "result.json",
    "metrics.jsonl",
    "log.txt",
    "progress.json",
)
LOCK, HOLDER = ".lock", ".holder.json"
# What result.json does not list: records of one execution, and what a finished run can do without.
NOT_OUTPUTS = {RUN, RESULT, METRICS, LOG, PROGRESS}
NOT_OUTPUT_FOLDERS = {"checkpoints", "samples"}
LIBRARIES = (
    "torch",
    "torchvision",
    "numpy",
    "pandas",
    "pillow",
    "scipy",
    "scikit-learn",
    "spacy",
    "open_clip_torch",
)


class Stage(Protocol):
    """A module of ``cxrtool.stages``."""

    NAME: str
    FORMAT: int
    Config: type

    def run(self, config: Any, run: Run) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Outcome:
    """How an execution ended.

    Args:
        folder: The run directory.
        state: ``done``, ``up-to-date`` or ``dry-run``.
        result: Content of ``result.json`` (for a dry run: the plan).
        gates: Checks that failed; the exit code is then 5.
    """

    folder: Path
    state: str
    result: dict[str, Any]
    gates: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """What ``--json`` prints: ``result.json``, or the file that the stage chose."""
        chosen = self.result.get("json")
        return fingerprints.read_json(self.folder / chosen) if chosen else self.result


class Run:
    """The output folder of a stage at work.

    Attributes:
        dir: The folder.
        config: The stage's Config.
        stage: The stage's name.
        fingerprint: Identity of options and inputs.
        resumed: The folder holds the beginning of this very run.
    """

    def __init__(
        self,
        folder: Path,
        stage: str,
        config: Any,
        inputs: list[InputRef],
        fingerprint: str,
        *,
        resumed: bool = False,
    ) -> None:
        self.dir = folder
        self.stage = stage
        self.config = config
        self.fingerprint = fingerprint
        self.resumed = resumed
        self.counts: dict[str, int] = {}
        self.gates: list[str] = []
        self.json_file: str | None = None
        self._inputs = inputs
        self._signal: int | None = None
        self._progress_written = 0.0

    @classmethod
    def for_test(
        cls, folder: Path, config: Any = None, inputs: dict[str, Path] | None = None
    ) -> Run:
        """A bare run in ``folder``, without lock and records, to try a stage's parts on."""
        folder.mkdir(parents=True, exist_ok=True)
        refs = [InputRef(role, path, f"test:{path}") for role, path in (inputs or {}).items()]
        return cls(folder, "test", config, refs, "test")

    # inputs and paths

    def input(self, role: str) -> InputRef:
        """The one input of this role."""
        found = self.inputs(role)
        if len(found) != 1:
            raise KeyError(f"{len(found)} inputs of the role {role!r}")
        return found[0]

    def inputs(self, role: str) -> list[InputRef]:
        """All inputs of this role, in the order given."""
        return [ref for ref in self._inputs if ref.role == role]

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
        rows = [row for row in self.read_metrics() if keep(row)]
        self.write_text(
            METRICS, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        )

    def count(self, name: str, n: int = 1) -> None:
        """Add to a number that ``result.json`` reports under ``counts``."""
        self.counts[name] = self.counts.get(name, 0) + int(n)

    def gate(self, message: str) -> None:
        """Record a failed check: the run completes, and its exit code is 5."""
        console.warn(message)
        self.gates.append(message)

    def print_as_json(self, relative: str) -> None:
        """Let ``--json`` print this JSON file of the folder in place of ``result.json``."""
        self.json_file = relative

    # progress and stopping

    @contextlib.contextmanager
    def progress(
        self, label: str, total: float | None = None, unit: str = "images"
    ) -> Iterator[console.Progress]:
        """Like :func:`cxrtool.console.progress`, and visible to ``cxr status``."""
        with console.progress(label, total, unit, observer=self._record_progress) as bar:
            yield bar

    def _record_progress(self, label: str, done: float, total: float | None, unit: str) -> None:
        now = time.monotonic()
        if now - self._progress_written < 2.0:
            return
        self._progress_written = now
        record = {"label": label, "done": done, "total": total, "unit": unit, "time": time.time()}
        with contextlib.suppress(OSError):
            files.write_bytes(
                self.dir / PROGRESS, (json.dumps(record) + "\n").encode(), durable=False
            )

    @property
    def stopping(self) -> bool:
        """SIGTERM or Ctrl-C has arrived: write a checkpoint and call :meth:`stop`."""
        return self._signal is not None

    def stop(self) -> None:
        """End the run because of the signal that has arrived."""
        raise InterruptedRunError(self._signal or signal.SIGTERM)

    def check_stop(self) -> None:
        """Call :meth:`stop` if a signal has arrived, where nothing needs to be kept first."""
        if self.stopping:
            self.stop()

    @contextlib.contextmanager
    def heed_signals(self) -> Iterator[None]:
        """Turn the first SIGTERM or SIGINT into :attr:`stopping`; the second one kills at once."""

        def note(signum: int, frame: object) -> None:
            self._signal = signum
            signal.signal(signum, signal.SIG_DFL)
            console.say(
                f"{signal.Signals(signum).name}: stopping at the next safe point "
                "(once more to stop at once)"
            )

        before = {}
        for signum in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(ValueError):  # not in the main thread
                before[signum] = signal.signal(signum, note)
        try:
            yield
        finally:
            for signum, handler in before.items():
                signal.signal(signum, handler)


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The rows of a run's ``metrics.jsonl``; a line that a kill cut short is left out."""
    rows = []
    with contextlib.suppress(FileNotFoundError):
        for line in (folder / METRICS).read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError):
                rows.append(json.loads(line))
    return rows


def load_result(folder: Path) -> dict[str, Any]:
    """The ``result.json`` of a complete run (InputError otherwise)."""
    return require_complete(folder)


# --- identity -----------------------------------------------------------------------------------


def identity(stage: Stage, config: Any, inputs: list[InputRef]) -> dict[str, Any]:
    """The keys whose values make a run what it is; the fingerprint is their hash."""
    roles: dict[str, list[str]] = {}
    for ref in inputs:
        roles.setdefault(ref.role, []).append(ref.fingerprint)
    return {
        "stage": stage.NAME,
        "format": [RUN_FORMAT, stage.FORMAT],
        "options": configs.result_options(config),
        "inputs": roles,
    }


def differing_keys(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Say in words which keys of two identities differ."""
    if old.get("stage") != new["stage"]:
        return [f"stage: {old.get('stage')} -> {new['stage']}"]
    lines = []
    if old.get("format") != new["format"]:
        lines.append("format of the results (made by another version of cxr)")
    was, now = old.get("options", {}), new["options"]
    for name in sorted(was.keys() | now.keys()):
        if was.get(name) != now.get(name):
            flag = "--" + name.replace("_", "-")
            lines.append(f"{flag}: {_shown(was.get(name))} -> {_shown(now.get(name))}")
    was, now = old.get("inputs", {}), new["inputs"]
    roles = sorted(was.keys() | now.keys())
    return lines + [f"input {r} (other content)" for r in roles if was.get(r) != now.get(r)]


def _shown(value: Any) -> str:
    if value is None:
        return "(not given)"
    if isinstance(value, list):
        return ",".join(map(str, value)) or "(none)"
    return str(value)


def recorded_identity(record: dict[str, Any]) -> dict[str, Any]:
    """The identity that a ``run.json`` holds."""
    identity = record.get("identity")
    return identity if isinstance(identity, dict) else {}


# --- execution ----------------------------------------------------------------------------------


def execute(
    stage: Stage,
    config: Any,
    out: Path,
    *,
    on_change: str = "fail",
    dry_run: bool = False,
    verify: bool = False,
    argv: list[str] | None = None,
) -> Outcome:
    """Bring the folder ``out`` to the state that ``stage`` and ``config`` describe.

    Args:
        stage: A module of ``cxrtool.stages``.
        config: Its resolved Config.
        out: The run directory.
        on_change: ``fail`` refuses a folder of other options or inputs; ``rebuild`` moves it aside.
        dry_run: Say what would be done and write nothing.
        verify: Read inputs and outputs again instead of believing sizes and times.
        argv: The command line, for the record.

    Returns:
        How it ended.

    Raises:
        CxrError: Any expected failure, with its exit code.
    """
    if out.exists() and not out.is_dir():
        raise InputError("the output is a file; a folder is needed", file=out)
    cache = fingerprints.StatCache(out / fingerprints.CACHE / "inputs.tsv")
    paths = configs.input_paths(config)
    for role, path in paths:
        if str(path) != "-" and path.absolute() == out.absolute():
            raise UsageError(f"the output folder {out} is also the input {role!r}")
    inputs = [fingerprints.fingerprint_input(r, p, cache, verify=verify) for r, p in paths]
    try:
        wanted = identity(stage, config, inputs)
        fingerprint = sha256_bytes(canonical_json(wanted).encode())
        state = _state_of(out, wanted, fingerprint, on_change=on_change, verify=verify)
        if dry_run:
            return Outcome(out, "dry-run", _dry_plan(stage, config, out, state, fingerprint))
        if state == "complete":
            return _up_to_date(out)
        with _lock(out):
            # Another process may have worked here between the first look and the lock.
            state = _state_of(out, wanted, fingerprint, on_change=on_change, verify=verify)
            if state == "complete":
                return _up_to_date(out)
            if state == "other":
                _move_aside(out)
            else:
                return _work(stage, config, out, inputs, wanted, fingerprint, cache, state, argv)
        with _lock(out):
            return _work(stage, config, out, inputs, wanted, fingerprint, cache, "new", argv)
    finally:
        for ref in inputs:
            fingerprints.release(ref)


def _up_to_date(out: Path) -> Outcome:
    result = fingerprints.read_json(out / RESULT)
    return Outcome(out, "up-to-date", result, list(result.get("gates", [])))


def _state_of(
    out: Path, wanted: dict[str, Any], fingerprint: str, *, on_change: str, verify: bool
) -> str:
    """``new``, ``incomplete``, ``complete``, or ``other`` where a rebuild was asked for."""
    if not (out / RUN).exists():
        if out.is_dir() and any(not entry.name.startswith(".") for entry in out.iterdir()):
            raise OutputMismatchError(
                f"{out} is not empty and is no output folder of cxr",
                hint="choose another folder; nothing in it was touched",
            )
        return "new"
    record = fingerprints.read_json(out / RUN)
    if record.get("fingerprint") == fingerprint:
        if not (out / RESULT).exists():
            return "incomplete"
        problem = fingerprints.changed_output(
            out, fingerprints.read_json(out / RESULT), verify=verify
        )
        if problem is None:
            return "complete"
        reasons = [f"{problem} since the run ended"]
    else:
        reasons = differing_keys(recorded_identity(record), wanted)
    if on_change == "rebuild":
        console.say(f"{out}: {'; '.join(reasons)}: making it again")
        return "other"
    raise OutputMismatchError(
        f"{out} belongs to another run: {'; '.join(reasons)}",
        hint="choose another --out, or move the old folder aside with --on-change rebuild",
    )


def _dry_plan(stage: Stage, config: Any, out: Path, state: str, fingerprint: str) -> dict[str, Any]:
    would = {
        "new": "start",
        "incomplete": "resume",
        "complete": "do nothing: it is up to date",
        "other": "move the old folder aside and start",
    }
    plan = getattr(stage, "plan", None)
    return {
        "stage": stage.NAME,
        "out": str(out),
        "would": would[state],
        "fingerprint": fingerprint,
        "config": configs.to_record(config),
        "plan": plan(config) if plan is not None and state != "complete" else {},
    }


@contextlib.contextmanager
def _lock(out: Path) -> Iterator[None]:
    """Hold the folder's OS lock, or say who does."""
    import filelock

    out.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(out / LOCK, timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        try:
            holder = json.loads((out / HOLDER).read_text(encoding="utf-8"))
            who = f"process {holder['pid']} on {holder['host']}"
        except (OSError, ValueError, KeyError, TypeError):
            who = "another process"
        raise BusyError(
            f"{out} is held by {who}", hint="wait for it; `cxr status` shows how far it is"
        ) from None
    holder = {"pid": os.getpid(), "host": socket.gethostname()}
    try:
        files.write_bytes(out / HOLDER, json.dumps(holder).encode(), durable=False)
        yield
    finally:
        with contextlib.suppress(OSError):
            (out / HOLDER).unlink()
        lock.release()


def is_locked(folder: Path) -> bool:
    """Whether some process works in the folder now. Writes nothing."""
    import fcntl

    try:
        handle = os.open(folder / LOCK, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


def _move_aside(out: Path) -> None:
    (out / HOLDER).unlink(missing_ok=True)
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    target = out.with_name(f"{out.name}.old-{stamp}")
    counter = 1
    while target.exists():
        counter += 1
        target = out.with_name(f"{out.name}.old-{stamp}-{counter}")
    os.replace(out, target)
    console.say(f"moved the old folder to {target}")


def _provenance(argv: list[str] | None) -> dict[str, Any]:
    versions = {"cxrtool": __version__, "python": platform.python_version()}
    for name in LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return {
        "argv": list(sys.argv if argv is None else argv),
        "versions": versions,
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def _work(
    stage: Stage,
    config: Any,
    out: Path,
    inputs: list[InputRef],
    wanted: dict[str, Any],
    fingerprint: str,
    cache: fingerprints.StatCache,
    state: str,
    argv: list[str] | None,
) -> Outcome:
    started = time.monotonic()
    files.remove_temporaries(out)
    if state == "new":
        record = {
            "format": RUN_FORMAT,
            "stage": stage.NAME,
            "fingerprint": fingerprint,
            "identity": wanted,
            "config": configs.to_record(config),
            "inputs": [
                {"role": ref.role, "path": str(ref.path.absolute()), "fingerprint": ref.fingerprint}
                for ref in inputs
            ],
            "provenance": _provenance(argv),
        }
        files.write_text(out / RUN, files.pretty_json(record))
    if inputs:
        cache.save(out / fingerprints.CACHE / "inputs.tsv")
    run = Run(out, stage.NAME, config, inputs, fingerprint, resumed=state == "incomplete")
    with (
        open(out / LOG, "a", encoding="utf-8") as log,
        console.logging_to(log),
        run.heed_signals(),
    ):
        if run.resumed:
            console.say(f"{out}: going on with the run that was interrupted")
        try:
            summary = stage.run(config, run)
        except (InputError, UsageError, OSError):
            _forget_if_empty(out)
            raise
    (out / PROGRESS).unlink(missing_ok=True)
    outputs, known = _outputs(out)
    result = {
        "format": RUN_FORMAT,
        "stage": stage.NAME,
        "fingerprint": fingerprint,
        "outputs": outputs,
        "summary": summary,
        "counts": run.counts,
        "gates": run.gates,
        "json": run.json_file,
        "seconds": round(time.monotonic() - started, 3),
    }
    files.write_text(out / RESULT, files.pretty_json(result))
    fingerprints.remember_outputs(out, result, known)
    return Outcome(out, "done", fingerprints.read_json(out / RESULT), run.gates)


def _forget_if_empty(out: Path) -> None:
    """Take the record of a run back that stopped on bad input before it wrote anything.

    The command can then be given again, corrected, for the same folder.
    """
    mine = {RUN, LOG, PROGRESS}
    if all(entry.name in mine or entry.name.startswith(".") for entry in out.iterdir()):
        for name in mine:
            with contextlib.suppress(OSError):
                (out / name).unlink(missing_ok=True)


def _outputs(out: Path) -> tuple[dict[str, dict[str, Any]], fingerprints.StatCache]:
    """Hash what the stage left; files that ``files.tsv`` lists are covered by its own hash."""
    indexed = fingerprints.read_index(out)
    cache = fingerprints.StatCache(None)
    outputs = {}
    for name, path, stat in fingerprints.walk(out):
        top = name.split("/", 1)[0]
        if name in NOT_OUTPUTS or (top in NOT_OUTPUT_FOLDERS and "/" in name):
            continue
        sha256 = indexed[name][1] if name in indexed else sha256_file(path)
        cache.entries[name] = fingerprints.Known(stat.st_size, stat.st_mtime_ns, sha256)
        if name not in indexed:
            outputs[name] = {"sha256": sha256, "bytes": stat.st_size}
    return outputs, cache
