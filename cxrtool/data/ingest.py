"""From references to images on disk: all cores, constant memory, and nothing done twice.

In: an opener and one reference a row. Out: ``images/*.png`` of a dataset directory, and for every
row its pixel key or why it was rejected. A journal in ``.cache`` records every finished chunk, so
that a killed run goes on where it was; what it vouches for is hashed again before it is believed.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from cxrtool.core import files
from cxrtool.core.cores import available_cores
from cxrtool.data import pool
from cxrtool.data.columns import image_name
from cxrtool.data.worker import Bad, Done, Item, Job, convert

if TYPE_CHECKING:
    from cxrtool.core.runs import Run

JOURNAL = ".cache/prepare.jsonl"
#: What worker processes import before their first image.
PRELOAD = ("cxrtool.data.worker", "threadpoolctl")
#: Images a chunk: few, because at the end one worker waits for the other about that long.
_CHUNK = 4
#: Below this many images a pool costs more than it saves.
_FEW = 48


@dataclass
class Ingested:
    """What became of the images.

    Attributes:
        done: Row -> result.
        conversions: What had to be converted -> how often.
        resumed: Images that an interrupted run had finished.
    """

    done: dict[int, Done] = field(default_factory=dict)
    conversions: Counter[str] = field(default_factory=Counter)
    resumed: int = 0


def ingest(
    run: Run,
    job: Job,
    refs: Sequence[tuple[int, str]],
    *,
    workers: int,
    on_bad: Callable[[Bad], None],
) -> Ingested:
    """Convert every image.

    Args:
        run: The run; ``run.stopping`` ends the work after the chunks that are begun.
        job: How to convert.
        refs: (row of the source, reference) of every image.
        workers: Processes; 0 = one a core.
        on_bad: Told of every bad image; may raise to stop.

    Raises:
        CxrError: What ``on_bad`` raises; a worker that died.
        OSError: The disk is full or may not be written.
    """
    out = Ingested()
    rows = {row for row, _ in refs}
    earlier = {r: e for r, e in _believed(run, run.path(JOURNAL)).items() if r in rows}
    out.resumed = len(earlier)
    items = [Item(row, ref, image_name(row)) for row, ref in refs if row not in earlier]
    for finished in earlier.values():
        _take(out, finished)
    chunks = [items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK)]
    if len(items) < _FEW:
        workers = 1
    with _journal(run, earlier) as journal, run.progress("decoding", total=len(refs)) as bar:
        bar.update(len(earlier))
        for number, results in pool.map_chunks(
            convert,
            job,
            chunks,
            workers=min(workers or available_cores(), len(chunks) or 1),
            stopping=lambda: run.stopping,
            preload=PRELOAD,
        ):
            # Bad images are tried again after an interruption: a disk may have come back.
            journal.write(json.dumps([e for e in results if isinstance(e, Done)]) + "\n")
            journal.flush()
            for entry in results:
                if isinstance(entry, Bad):
                    on_bad(entry)
                else:
                    _take(out, entry)
            bar.advance(len(chunks[number]))
    run.check_stop()
    return out


def forget(run: Run) -> None:
    """Drop the journal of a data set that is finished."""
    (run.dir / JOURNAL).unlink(missing_ok=True)


def _take(out: Ingested, entry: Done) -> None:
    out.done[entry.row] = entry
    if entry.conversion:
        out.conversions[entry.conversion] += 1
    if entry.enlarged:
        out.conversions["enlarged"] += 1


@contextlib.contextmanager
def _journal(run: Run, earlier: dict[int, Done]) -> Iterator[TextIO]:
    """The journal, begun anew with what is believed (a kill may have cut its last line)."""
    path = run.path(JOURNAL)
    lines = [json.dumps({"run": run.fingerprint})]
    lines += [json.dumps([entry]) for entry in earlier.values()]
    files.write_bytes(path, ("\n".join(lines) + "\n").encode(), durable=False)
    with open(path, "a", encoding="utf-8") as stream:
        yield stream


def _believed(run: Run, path: Path) -> dict[int, Done]:
    """Entries of an interrupted run whose images are on disk as they were written."""
    entries_by_row: dict[int, Done] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        if json.loads(lines[0])["run"] != run.fingerprint:
            return {}
    except (OSError, ValueError, IndexError, KeyError, TypeError):
        return {}
    for line in lines[1:]:
        try:
            entries = [Done(*values) for values in json.loads(line)]
        except (ValueError, TypeError):
            continue  # a kill cut the last line short
        for entry in entries:
            with contextlib.suppress(OSError):
                if files.sha256_file(run.dir / image_name(entry.row)) == entry.sha256:
                    entries_by_row[entry.row] = entry
    return entries_by_row
