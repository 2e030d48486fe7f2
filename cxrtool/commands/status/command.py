"""``cxr status``: what stands in run directories, and what giving their command again would do.

Reads records only; writes nothing, takes no lock.
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cxrtool.commands.status.options import Config
from cxrtool.core import console, files, fingerprints, runs
from cxrtool.core.config.records import from_record
from cxrtool.core.config.values import resolve
from cxrtool.core.errors import CxrError, InputError, UsageError
from cxrtool.core.reading import meaning_of, read_json
from cxrtool.core.runs.identity import Attempt
from cxrtool.core.runs.lock import is_locked
from cxrtool.data.columns import DATASET

COLUMNS = ("folder", "stage", "state", "progress", "namespace", "age", "a rerun would")


def main(config: Config, stages: Mapping[str, Any]) -> None:
    """Print what is known of each folder: as a table, or a line of JSON each.

    Raises:
        CxrError: The last folder that cannot be read; the others are shown nevertheless.
    """
    entries: list[dict[str, Any]] = []
    faults: list[CxrError] = []
    for folder in config.folders:
        try:
            entries.append(inspect(folder, stages))
        except CxrError as error:
            faults.append(error)
        except OSError as error:
            faults.append(InputError(f"cannot be read: {error.strerror}", file=folder))
    if config.json:
        for entry in entries:
            console.out(files.canonical_json(entry))
    elif entries:
        _show(entries)
    for fault in faults[:-1]:
        console.error(str(fault), fault.hint)
    if faults:
        raise faults[-1]


def _show(entries: Sequence[Mapping[str, Any]]) -> None:
    """The entries as a table."""
    names = [name for name in COLUMNS if name != "namespace" or any(e[name] for e in entries)]
    cells = [dict(e) | {"age": age(e["age_s"]), "a rerun would": e["rerun"]} for e in entries]
    rows = [names]
    rows += [[console.visible(str(one[name] or ""), line=True) for name in names] for one in cells]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        console.out("  ".join(v.ljust(w) for v, w in zip(row, widths, strict=True)).rstrip())


def inspect(folder: Path, stages: Mapping[str, Any]) -> dict[str, Any]:
    """Describe one run directory.

    Args:
        folder: The directory.
        stages: The stages by name, to tell whether their format has moved on.

    Returns:
        ``folder``, ``stage``, ``state`` (complete, incomplete, running), ``progress`` (text),
        ``namespace`` (whose patient ids a data set has; None for others), ``age_s`` (since the
        last write of a record) and ``rerun`` (text).

    Raises:
        InputError: It is no run directory.
    """
    if not (folder / runs.RUN).exists():
        raise InputError(
            "is no run directory (it holds no run.json)",
            file=folder,
            hint="give the --out folder of a cxr command",
        )
    record = read_json(folder / runs.RUN)
    names = (runs.RESULT, runs.PROGRESS, runs.METRICS, runs.LOG, runs.RUN)
    written = max((folder / name).stat().st_mtime for name in names if (folder / name).exists())
    complete = (folder / runs.RESULT).exists()
    state = "complete" if complete else "running" if is_locked(folder) else "incomplete"
    return {
        "folder": str(folder),
        "stage": record.get("stage"),
        "state": state,
        "progress": "" if complete else _progress(folder),
        "namespace": _namespace(folder),
        "age_s": round(max(0.0, time.time() - written), 1),
        "rerun": _rerun(folder, record, state, stages),
    }


def _progress(folder: Path) -> str:
    try:
        record = read_json(folder / runs.PROGRESS)
        done, total = record["done"], record["total"]
        text = f"{record['label']}: {done:,.6g}"
        return text + (
            f"/{total:,.6g} {record['unit']} ({100 * done / total:.0f} %)" if total else ""
        )
    except (InputError, ValueError, KeyError, TypeError, ArithmeticError):
        return ""


def _namespace(folder: Path) -> str | None:
    try:
        record = read_json(folder / DATASET)
        return str(record["namespace"]) if record["patients"] else None
    except (InputError, KeyError):
        return None


def _rerun(folder: Path, record: dict[str, Any], state: str, stages: Mapping[str, Any]) -> str:
    if state == "running":
        return "be refused while it runs (exit 75)"
    if record.get("traceless") and state == "complete":
        return "not be needed: a copy to hand over is whole, and its record names no path"
    try:
        with meaning_of(folder / runs.RUN):
            holds, reasons = _attempt(folder, record, stages).look()
    except InputError as error:
        return f"be refused (exit 3): {error}"
    except CxrError as error:
        holds, reasons = "other", [str(error)]
    if holds == "other":
        return f"be refused (exit 4): {'; '.join(reasons)}"
    return "go on where it stopped" if holds == "incomplete" else "do nothing: up to date"


def _attempt(folder: Path, record: dict[str, Any], stages: Mapping[str, Any]) -> Attempt:
    """The command that a run was made with, given again."""
    stage: Any = stages.get(str(record.get("stage")))
    if stage is None:
        raise UsageError(f"this version has no stage {record.get('stage')!r}")
    values = from_record(stage.Config, record.get("config", {}))
    config = resolve(stage.Config, values, origin="run.json")
    cache = fingerprints.StatCache(folder / fingerprints.CACHE / "inputs.tsv")
    before = {entry["role"]: entry["fingerprint"] for entry in record.get("inputs", [])}
    # stdin is gone: it is taken as it was
    inputs = fingerprints.input_refs(config, cache, folder, stdin=before)
    return Attempt(stage, config, folder, inputs)


def age(seconds: float) -> str:
    """A length of time in its largest fitting unit: ``42 s``, ``7 min``, ``3 h``, ``12 d``."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
