"""From references to images on disk: all cores, constant memory, and nothing done twice.

In: an opener and one reference a row. Out: ``images/*.png`` of a dataset directory, and for every
row its pixel key or why it was rejected. A journal in ``.cache`` records every finished chunk, so
that a killed run goes on where it was; what it vouches for is hashed again before it is believed.
Imports no pandas, so that workers start quickly.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cxrtool.core import files
from cxrtool.core.cores import available_cores
from cxrtool.core.errors import InputError
from cxrtool.data import images, pool
from cxrtool.data.columns import image_name
from cxrtool.data.sources.base import Opener

if TYPE_CHECKING:
    from cxrtool.core.runs import Run

JOURNAL = ".cache/prepare.jsonl"
#: What worker processes import before their first image.
PRELOAD = ("cxrtool.data.ingest", "threadpoolctl")
#: Images a chunk: few, because at the end one worker waits for the other about that long.
_CHUNK = 4
#: Below this many images a pool costs more than it saves.
_FEW = 48


class Done(NamedTuple):
    """A converted image. ``enlarged``: it was smaller than the size that was asked for."""

    row: int
    size_bytes: int
    sha256: str
    pixel_key: str
    prepared_key: str
    conversion: str
    enlarged: bool


#: An image that cannot be used: its row, and why.
Bad = tuple[int, InputError]


@dataclass(frozen=True)
class Job:
    """What is the same for all images.

    Attributes:
        opener: Opens an image by its reference.
        out: The dataset directory.
        size: Side in pixels.
        fit: ``crop``, ``pad`` or ``stretch``.
    """

    opener: Opener
    out: str
    size: int
    fit: str


@dataclass(frozen=True)
class Ingested:
    """What became of the images.

    Attributes:
        done: Row -> result.
        resumed: Images that an interrupted run had finished.
    """

    done: dict[int, Done]
    resumed: int

    @property
    def conversions(self) -> Counter[str]:
        """What had to be converted -> how often."""
        counts = Counter(done.conversion for done in self.done.values() if done.conversion)
        return counts + Counter("enlarged" for done in self.done.values() if done.enlarged)


def ingest(
    run: Run,
    job: Job,
    refs: Sequence[tuple[int, str]],
    *,
    workers: int,
    on_bad: Callable[[int, InputError], None],
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
    path = run.path(JOURNAL)
    earlier = _believed(run, path)
    done = {row: earlier[row] for row, _ in refs if row in earlier}
    out = Ingested(done, len(done))
    items = [(row, ref) for row, ref in refs if row not in done]
    chunks = [items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK)]
    if len(items) < _FEW:
        workers = 1
    # Begun anew with what is believed: a kill may have cut its last line.
    lines = [json.dumps({"run": run.fingerprint}), *(json.dumps([e]) for e in done.values())]
    files.write_bytes(path, ("\n".join(lines) + "\n").encode(), durable=False)
    with (
        open(path, "a", encoding="utf-8") as journal,
        run.progress("decoding", total=len(refs)) as bar,
    ):
        bar.update(len(done))
        for number, results in pool.map_chunks(
            _convert,
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
                if isinstance(entry, Done):
                    done[entry.row] = entry
                else:
                    on_bad(*entry)
            bar.advance(len(chunks[number]))
    run.check_stop()
    return out


def _believed(run: Run, path: Path) -> dict[int, Done]:
    """Entries of an interrupted run whose images are on disk as they were written."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        if json.loads(lines[0])["run"] != run.fingerprint:
            return {}
    except (OSError, ValueError, IndexError, KeyError, TypeError):
        return {}
    entries: list[Done] = []
    for line in lines[1:]:
        with contextlib.suppress(ValueError, TypeError):  # a kill cut the last line short
            entries += [Done(*values) for values in json.loads(line)]
    believed: dict[int, Done] = {}
    for entry in entries:
        with contextlib.suppress(OSError):
            if files.sha256_file(run.dir / image_name(entry.row)) == entry.sha256:
                believed[entry.row] = entry
    return believed


def _convert(job: Job, items: Iterable[tuple[int, str]]) -> list[Done | Bad]:
    """What a worker process does with some images: open, decode, resize, hash, encode, write.

    Raises:
        OSError: The output cannot be written (a full disk).
    """
    results: list[Done | Bad] = []
    for row, ref in items:
        try:
            source = job.opener(ref)
            if isinstance(source, Path):
                _stay_inside(source, job.opener)
            converted = images.convert(source, job.size, job.fit)
        except InputError as error:
            results.append((row, error))
            continue
        data = images.encode_png(converted.pixels)
        # Until the journal vouches for its hash, no file of an unfinished data set is believed.
        files.write_once(Path(job.out, image_name(row)), data)
        results.append(Done(row, len(data), files.sha256_bytes(data), *converted[1:]))
    return results


_real_root = functools.cache(os.path.realpath)


def _stay_inside(path: Path, opener: Opener) -> None:
    """Refuse a file that a link puts outside the folder of the source.

    Raises:
        InputError: It lies outside.
    """
    root = getattr(opener, "root", None)
    folders = getattr(opener, "folders", ()) or (() if root is None else (root,))
    real = Path(os.path.realpath(path))
    if folders and not any(
        real.is_relative_to(_real_root(os.path.abspath(folder))) for folder in folders
    ):
        hint = "give the folder that holds the images (--images where the format takes it)"
        raise InputError("the image lies outside the data folder", file=path, hint=hint)
