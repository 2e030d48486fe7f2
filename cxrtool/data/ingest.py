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
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cxrtool.core import files
from cxrtool.core.cores import available_cores
from cxrtool.core.errors import InputError
from cxrtool.core.reading import read_text
from cxrtool.data import decoding, images, pool
from cxrtool.data.columns import image_name
from cxrtool.data.decoding import DEPTHS
from cxrtool.data.sources.base import FileOpener, Opener

if TYPE_CHECKING:
    from cxrtool.core.runs import Run

JOURNAL = ".cache/prepare.jsonl"
#: What worker processes import before their first image.
PRELOAD = ("cxrtool.data.ingest", "threadpoolctl")
#: Images a chunk: few, because at the end one worker waits for the other about that long.
_CHUNK = 4
#: Images that are looked at before to learn how many bits 16-bit files use.
_LOOKED_AT = 16
#: Below this many images a pool costs more than it saves.
_FEW = 48


class Done(NamedTuple):
    """A converted image, see `images.Converted`."""

    row: int
    size_bytes: int
    sha256: str
    pixel_key: str
    prepared_key: str
    conversion: str
    enlarged: bool
    largest: int = 0
    bits: int = 0


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
        bits: Bits of 16-bit files that no table tells; 0 = as many as the largest value has.
        text: PNG text chunks of every image (keyword -> text).
    """

    opener: Opener
    out: str
    size: int
    fit: str
    bits: int = 0
    text: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Ingested:
    """What became of the images.

    Attributes:
        done: Row -> result.
        resumed: Images that an interrupted run had finished.
        bits: Bits of 16-bit files that no table tells; 0 where there are none.
    """

    done: dict[int, Done]
    resumed: int
    bits: int = 0

    @property
    def wide(self) -> list[Done]:
        """16-bit images."""
        return [done for done in self.done.values() if done.bits]

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
    table_bits: Mapping[int, int] | None = None,
) -> Ingested:
    """Convert every image.

    How many bits 16-bit files use is one number for all that no table tells, and known once the
    last of them is decoded. Some are looked at before, which nearly always tells it; images that
    were converted by another number are converted again.

    Args:
        run: The run; ``run.stopping`` ends the work after the chunks that are begun.
        job: How to convert.
        refs: (row of the source, reference) of every image.
        workers: Processes; 0 = one a core.
        on_bad: Told of every bad image; may raise to stop.
        table_bits: Row -> bits of its file, where a table tells them.

    Raises:
        CxrError: What ``on_bad`` raises; a worker that died.
        OSError: The disk is full or may not be written.
    """
    told = table_bits or {}
    bits = job.bits or _likely_bits(job.opener, [ref for row, ref in refs if row not in told])
    path = run.path(JOURNAL)
    earlier = _believed(run, path)
    done = {row: earlier[row] for row, _ in refs if row in earlier}
    resumed = len(done)
    _convert_all(run, replace(job, bits=bits), refs, told, done, path, workers, on_bad)
    largest = [entry.largest for entry in done.values() if entry.bits and entry.row not in told]
    if largest and not job.bits:
        bits = bits_of(max(largest))
        other = [e.row for e in done.values() if e.bits not in (0, bits) and e.row not in told]
        for row in other:
            del done[row]
        if other:
            job = replace(job, bits=bits)
            _convert_all(run, job, refs, told, done, path, workers, on_bad)
    return Ingested(done, resumed, bits if largest else 0)


def told_bits(cells: Iterable[str]) -> dict[int, int]:
    """Row -> bits, from the cells of a table that say 1 to 16."""
    numbers = ((row, cell.strip().removesuffix(".0")) for row, cell in enumerate(cells))
    return {row: int(n) for row, n in numbers if n.isdecimal() and 1 <= int(n) <= 16}


def bits_of(value: int) -> int:
    """Bits of a detector that gives such a value: 8, 10, 12, 14 or 16."""
    return next(bits for bits in DEPTHS if value < 1 << bits)


def _likely_bits(opener: Opener, refs: Sequence[str]) -> int:
    """Bits of the largest value in some images; all where none of these is a 16-bit file."""
    if not isinstance(opener, FileOpener):
        return DEPTHS[-1]
    looked_at = refs[:: -(-len(refs) // _LOOKED_AT) or 1]
    largest = max((decoding.largest_value(opener.root / ref) for ref in looked_at), default=0)
    return bits_of(largest) if largest else DEPTHS[-1]


def _convert_all(
    run: Run,
    job: Job,
    refs: Sequence[tuple[int, str]],
    told: Mapping[int, int],
    done: dict[int, Done],
    path: Path,
    workers: int,
    on_bad: Callable[[int, InputError], None],
) -> None:
    """Convert what is not done yet; results are added to `done` and to the journal."""
    items = [(row, ref, told.get(row, job.bits)) for row, ref in refs if row not in done]
    if not items and done:
        return
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


def _believed(run: Run, path: Path) -> dict[int, Done]:
    """Entries of an interrupted run whose images are on disk as they were written."""
    try:
        lines = read_text(path).splitlines()
        if json.loads(lines[0])["run"] != run.fingerprint:
            return {}
    except (OSError, ValueError, IndexError, KeyError, TypeError, RecursionError):
        return {}
    entries: list[Done] = []
    for line in lines[1:]:
        # A kill cut the last line short.
        with contextlib.suppress(ValueError, TypeError, RecursionError):
            entries += [Done(*values) for values in json.loads(line)]
    believed: dict[int, Done] = {}
    for entry in entries:
        with contextlib.suppress(OSError):
            if files.sha256_file(run.dir / image_name(entry.row)) == entry.sha256:
                believed[entry.row] = entry
    return believed


def _convert(job: Job, items: Iterable[tuple[int, str, int]]) -> list[Done | Bad]:
    """What a worker process does with some images: open, decode, resize, hash, encode, write.

    Raises:
        OSError: The output cannot be written (a full disk).
    """
    results: list[Done | Bad] = []
    for row, ref, bits in items:
        try:
            source = job.opener(ref)
            if isinstance(source, Path):
                _stay_inside(source, job.opener)
            converted = images.convert(source, job.size, job.fit, bits)
        except InputError as error:
            results.append((row, error))
            continue
        data = images.encode_png(converted.pixels, dict(job.text))
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
