"""Bring a folder to the state that a stage and its options describe, and record how.

Same fingerprint and complete: nothing is done. Same and incomplete: the stage goes on. Another one:
refused with the keys that differ, or, where a rebuild was asked for, moved aside and made again.
The records of a stage that is `TRACELESS` (what it writes leaves the house) hold no path, command
line, machine or time.
"""

import contextlib
import datetime
import importlib.metadata
import os
import platform
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cxrtool.core import console, files, fingerprints, temporary
from cxrtool.core.config import fields_of
from cxrtool.core.config.records import input_paths, to_plan, to_record
from cxrtool.core.errors import (
    CxrError,
    InputError,
    InterruptedRunError,
    OutputMismatchError,
    UsageError,
)
from cxrtool.core.exits import explained
from cxrtool.core.fingerprints import InputRef
from cxrtool.core.progress import watching
from cxrtool.core.reading import read_json
from cxrtool.core.runs import EVENTS, LOG, METRICS, PROGRESS, RESULT, RUN, RUN_FORMAT, Run
from cxrtool.core.runs.identity import Attempt, Stage
from cxrtool.core.runs.lock import HOLDER, hold, is_locked
from cxrtool.version import __version__

# What result.json does not list: records of one execution, and what a finished run can do without.
NOT_OUTPUTS = {RUN, RESULT, METRICS, LOG, PROGRESS}
NOT_OUTPUT_FOLDERS = {"checkpoints", "samples", EVENTS}
# What a run that has no checkpoint can do without.
_BEGINNINGS = {RUN, PROGRESS, METRICS, "resolved.json", "samples", EVENTS}
# Whose versions are recorded.
LIBRARIES = [
    *("torch", "torchvision", "numpy", "pandas", "pillow", "scipy", "scikit-learn", "spacy"),
    "open_clip_torch",
]
_PATIENCE_S = 600.0  # for the first process of torchrun to begin


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
        """What ``--json`` prints: ``result.json``, or the file that the stage chose.

        With it ``folder``, and ``made``: false where it was up to date already.
        """
        chosen = self.result.get("json")
        content = read_json(self.folder / chosen) if chosen else self.result
        return {**content, "folder": str(self.folder), "made": self.state == "done"}


def execute(
    stage: Stage,
    config: Any,
    out: Path,
    *,
    on_change: str = "fail",
    dry_run: bool = False,
    verify: bool = False,
) -> Outcome:
    """Bring the folder ``out`` to the state that ``stage`` and ``config`` describe.

    Args:
        stage: A module of ``cxrtool.commands``.
        config: Its resolved Config.
        out: The run directory.
        on_change: ``fail`` refuses a folder of other options or inputs; ``rebuild`` moves it aside.
        dry_run: Say what would be done and write nothing.
        verify: Read inputs and outputs again instead of believing sizes and times.

    Returns:
        How it ended.

    Raises:
        CxrError: Any expected failure, with its exit code.
    """
    if os.path.lexists(out) and not out.is_dir():
        what = "a file" if out.exists() else "a link to nowhere"
        raise InputError(f"the output is {what}; a folder is needed", file=out)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:  # torchrun has started several processes
        if not getattr(stage, "SEVERAL", False):
            raise UsageError(
                f"`cxr {stage.NAME}` does not work under torchrun", hint="start it without torchrun"
            )
        if int(os.environ.get("RANK", "0")) > 0:
            return help_out(stage, config, out)
    with watching("at work"):
        return _execute(stage, config, out, on_change, dry_run, verify)


def _execute(
    stage: Stage, config: Any, out: Path, on_change: str, dry_run: bool, verify: bool
) -> Outcome:
    cache = fingerprints.StatCache(out / fingerprints.CACHE / "inputs.tsv")
    for role, path in input_paths(config):
        if str(path) != "-" and path.absolute() == out.absolute():
            raise UsageError(f"the output folder {out} is also the input {role!r}")
    new = not dry_run and not (out / RUN).exists()
    with _warming(stage, config) if new else contextlib.nullcontext():
        inputs = fingerprints.input_refs(config, cache, out, verify=verify)
    try:
        attempt = Attempt(stage, config, out, inputs)
        state = _checked(attempt, on_change=on_change, verify=verify)
        if dry_run:
            return Outcome(out, "dry-run", _dry_plan(attempt, state))
        if state != "complete":
            with hold(out):
                # Another process may have worked here between the first look and the lock.
                state = _checked(attempt, on_change=on_change, verify=verify)
                if state == "other":
                    _move_aside(out)
                elif state != "complete":
                    return _work(attempt, state, cache)
        if state == "complete":
            result = read_json(out / RESULT)
            _outdate(out, inputs)
            return Outcome(out, "up-to-date", result, list(result.get("gates", [])))
        with hold(out):
            return _work(Attempt(stage, config, out, inputs), "new", cache)
    finally:
        for ref in inputs:
            fingerprints.release(ref)


def _outdate(out: Path, inputs: list[InputRef]) -> None:
    """Let ``result.json`` be no older than its inputs, whose content is what it was.

    So `make`, which knows times alone, is satisfied. A folder that may not be written stays as it
    is.
    """
    result = out / RESULT
    with contextlib.suppress(OSError):
        newest = max((_changed_ns(ref.path) for ref in inputs), default=0)
        if newest > result.stat().st_mtime_ns and os.access(out, os.W_OK):
            now = max(newest, time.time_ns())
            os.utime(result, ns=(now, now))


def _changed_ns(path: Path) -> int:
    """When an input changed last: of a finished run its ``result.json`` tells."""
    if (path / RESULT).is_file():
        path = path / RESULT
    return path.stat().st_mtime_ns if path.exists() else 0


def _checked(attempt: Attempt, *, on_change: str, verify: bool) -> str:
    """What the folder holds: another run is refused, unless a rebuild was asked for."""
    state, reasons = attempt.look(verify=verify)
    if state == "other" and on_change != "rebuild":
        raise OutputMismatchError(
            f"{attempt.out} belongs to another run: {'; '.join(reasons)}",
            hint="choose another --out, or move the old folder aside with --on-change rebuild",
        )
    if state == "other":
        console.say(f"{attempt.out}: {'; '.join(reasons)}: making it again")
    return state


@contextlib.contextmanager
def _warming(stage: Stage, config: Any) -> Iterator[None]:
    """Let a stage load its libraries while its inputs are hashed, which needs no interpreter.

    Almost none: a hashing thread that wants to go on to its next file waits for the interpreter,
    with Python's own 5 ms longer than the file takes.
    """

    def load() -> None:
        with contextlib.suppress(Exception):  # the work itself says what is wrong
            if hasattr(stage, "warm"):
                stage.warm(config)
            hasattr(stage, "run")  # `cli.Command` imports a stage when its work is first asked for

    threading.Thread(target=load, daemon=True).start()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(0.0005)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)


def _dry_plan(attempt: Attempt, state: str) -> dict[str, Any]:
    would = {
        "new": "start",
        "incomplete": "resume",
        "complete": "do nothing: it is up to date",
        "other": "move the old folder aside and start",
    }
    plan = getattr(attempt.stage, "plan", None)
    return {
        "stage": attempt.stage.NAME,
        "out": str(attempt.out),
        "would": would[state],
        "fingerprint": attempt.fingerprint,
        "config": to_plan(attempt.config),
        "plan": plan(attempt.config) if plan and state != "complete" else {},
    }


def _move_aside(out: Path) -> None:
    # Behind a link it is the folder that is moved: the link stays, and leads to the new one. The
    # folder that a shell stands in keeps its place, since the shell would move with it.
    folder = Path(os.path.realpath(out))
    if folder == folder.parent or Path.cwd().is_relative_to(folder):
        raise UsageError(
            f"{out} holds another run, and is not moved aside while it is the folder that cxr was"
            " started in",
            hint="start cxr elsewhere, or choose another --out",
        )
    (out / HOLDER).unlink(missing_ok=True)
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    target = folder.with_name(f"{folder.name}.old-{stamp}")
    counter = 1
    while target.exists():
        counter += 1
        target = folder.with_name(f"{folder.name}.old-{stamp}-{counter}")
    os.replace(folder, target)
    folder.mkdir()
    console.say(f"moved the old folder to {target}")


def _provenance() -> dict[str, Any]:
    versions = {"cxrtool": __version__, "python": platform.python_version()}
    for name in LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return {
        "argv": list(sys.argv),
        "versions": versions,
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def _work(attempt: Attempt, state: str, cache: fingerprints.StatCache) -> Outcome:
    stage, config, out, inputs = attempt.stage, attempt.config, attempt.out, attempt.inputs
    started, traceless = time.monotonic(), getattr(stage, "TRACELESS", False)
    files.remove_temporaries(out)
    head = {"format": RUN_FORMAT, "stage": stage.NAME, "fingerprint": attempt.fingerprint}
    if state == "new":
        record = {
            **head,
            "identity": attempt.identity,
            "config": to_record(config),
            "inputs": [
                {"role": ref.role, "path": _where(ref), "fingerprint": ref.fingerprint}
                for ref in inputs
            ],
            "provenance": _provenance(),
        }
        if traceless:
            record |= _without_traces(record, config)
        files.write_text(out / RUN, files.pretty_json(record))
    if inputs and not traceless:
        cache.save()
    resumed = state == "incomplete"
    run = Run(out, stage.NAME, config, inputs, attempt.fingerprint, resumed=resumed)
    run.interruptible = getattr(stage, "INTERRUPTIBLE", False)
    log = console.Log(Path(os.devnull) if traceless else out / LOG, append=resumed)
    with log, console.logging_to(log), run.heed_signals():
        if run.resumed:
            console.say(f"{out}: going on with the run that was interrupted")
        try:
            summary = stage.run(config, run)
        except BaseException as error:
            if run.interruptible and run.stopping and isinstance(error, Exception):
                # A library may have turned what ended it into an error of its own.
                error = InterruptedRunError(run.signal)
            _, message, hint = explained(error)
            console.note(f"error: {message}")
            if hint:
                console.note(f"  hint: {hint}")
            if isinstance(error, Exception) and not isinstance(error, InterruptedRunError):
                _forget_if_empty(out)
            raise error
    (out / PROGRESS).unlink(missing_ok=True)
    outputs, stats = _outputs(out)
    result = {
        **head,
        "outputs": outputs,
        "summary": summary,
        "counts": run.counts,
        "gates": run.gates,
        "json": run.json_file,
        "seconds": round(time.monotonic() - started, 3),
    }
    if traceless:
        del result["seconds"]
    files.write_text(out / RESULT, files.pretty_json(result))
    if not traceless:
        fingerprints.remember_outputs(out, result, stats)
    return Outcome(out, "done", read_json(out / RESULT), run.gates)


def _without_traces(record: dict[str, Any], config: Any) -> dict[str, Any]:
    """What the record says instead, where a folder leaves the house."""
    paths = {field.record for field in fields_of(type(config)) if field.meta.role is not None}
    return {
        "traceless": True,
        "config": {k: None if k in paths else v for k, v in record["config"].items()},
        "inputs": [{**entry, "path": ""} for entry in record["inputs"]],
        "provenance": {"versions": {"cxrtool": __version__}},
    }


def _where(ref: InputRef) -> str:
    return "-" if ref.fingerprint.startswith("stdin:") else str(ref.path.absolute())


def _forget_if_empty(out: Path) -> None:
    """Take the record of a run back that failed before it wrote anything.

    The command can then be given again, corrected, for the same folder. Where the folder was there
    before, what was wrong stays in its log, which is in nobody's way (`identity.is_free`); a new
    one goes away (`lock.hold`).
    """
    names = {entry.name for entry in out.iterdir() if entry.name[0] != "."}
    if names <= {LOG, *_BEGINNINGS}:
        for name in names - {LOG}:
            with contextlib.suppress(OSError):
                (out / name).unlink() if (out / name).is_file() else shutil.rmtree(out / name)


def _outputs(out: Path) -> tuple[dict[str, dict[str, Any]], fingerprints.StatCache]:
    """Hash what the stage left; files that ``files.tsv`` lists are covered by its own hash."""
    indexed = fingerprints.packed_index(out)
    cache = fingerprints.StatCache(None)
    outputs = {}
    for name, path, stat in fingerprints.walk(out):
        top = name.split("/", 1)[0]
        if name in NOT_OUTPUTS or (top in NOT_OUTPUT_FOLDERS and "/" in name):
            continue
        listed = indexed.get(name)
        sha256 = listed[1] if listed else files.sha256_file(path)
        cache.append(name, fingerprints.Known(stat.st_size, stat.st_mtime_ns, sha256))
        if listed is None:
            outputs[name] = {"sha256": sha256, "bytes": stat.st_size}
    return outputs, cache


# --- processes beside the first one of torchrun: they compute with it and leave no trace ----------


def help_out(stage: Stage, config: Any, out: Path) -> Outcome:
    """Work with the process that holds ``out``, or find that nothing is left to do.

    Raises:
        CxrError: That process did not start.
    """
    console.configure(console.QUIET)
    cache = fingerprints.StatCache(None)
    inputs = fingerprints.input_refs(config, cache, out)
    fingerprint = _wait_for(stage, config, inputs, out)
    if fingerprint is not None:
        with temporary.folder("helper") as folder:
            run = Run(folder, stage.NAME, config, inputs, fingerprint, helping=out)
            with run.heed_signals():
                stage.run(config, run)
    return Outcome(out, "helped", {})


def _wait_for(stage: Stage, config: Any, inputs: list[InputRef], out: Path) -> str | None:
    """The fingerprint of the run, once its process is at work; None if it is complete already."""
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        attempt = Attempt(stage, config, out, inputs)
        if attempt.record.get("fingerprint") == attempt.fingerprint:
            if is_locked(out):
                return attempt.fingerprint
            if (out / RESULT).exists():
                return None
        time.sleep(0.1)
    raise CxrError(f"the first process did not begin with {out}")
