"""Shards: independent processes whose union is the very set that one process would have made.

In: ``--shard i/n`` as typed, and the finished folders of all shards. Out: the blocks of one shard;
and the merged dataset directory. The plan is the same in every shard, a slot's image depends on its
seed and place alone, and so the merged files are byte for byte those of a run without shards. Rows
stream from the shards to the union, so that memory does not grow with it.
"""

import contextlib
import csv
import heapq
import io
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import Any, Self

import pandas as pd

from cxrtool.core.errors import InputError, UsageError
from cxrtool.core.fingerprints import require_complete
from cxrtool.core.reading import open_file, read_bytes, read_json
from cxrtool.core.runs import Run
from cxrtool.core.runs.identity import differing_keys, recorded_identity
from cxrtool.data.columns import IMAGE, MANIFEST
from cxrtool.data.manifest import DatasetInfo, load_info
from cxrtool.data.writer import DatasetWriter
from cxrtool.synthesis.accounts import TABLE, Accounts
from cxrtool.synthesis.slots import PART

BATCH = 256
PLAN_FILES = ("plan.json", "slots.csv", "seen.json")  # the same in every shard
LIMITS = "filters.json"  # and this one, where anything looks at the images


def parse_shard(text: str) -> tuple[int, int]:
    """``i/n`` with i from 1 to n.

    Raises:
        UsageError: Anything else.
    """
    first, slash, last = text.partition("/")
    if not slash or not (first + last).isascii() or not (first.isdigit() and last.isdigit()):
        raise UsageError(f"--shard {text!r} is not of the form i/n", hint="for instance 1/4")
    index, total = int(first), int(last)
    if not 1 <= index <= total:
        raise UsageError(
            f"--shard {text}: shards are counted from 1 to {total}",
            hint="the first of four is 1/4, the last is 4/4",
        )
    return index, total


@dataclass(frozen=True)
class FinishedShard:
    """A shard on disk.

    Attributes:
        folder: Where it lies.
        index, total: Which one it is, from 1, of how many.
        info: Its ``dataset.json``.
        n_images: How many images it has.
        record: Its ``run.json``.
        identity: Options and inputs that it was made with, but for the shard.
    """

    folder: Path
    index: int
    total: int
    info: DatasetInfo
    n_images: int
    record: dict[str, Any]
    identity: dict[str, Any]

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Read a folder.

        Raises:
            InputError: It is no finished shard.
        """
        result = require_complete(folder, ("synthesize",))
        record = read_json(folder / "run.json")
        text = record["config"].get("shard")
        if text is None:
            raise InputError(
                "is the output of synthesize, but no shard (it was made without --shard)",
                file=folder,
            )
        identity = recorded_identity(record)
        identity["options"] = {k: v for k, v in identity["options"].items() if k != "shard"}
        n_images = int(result["counts"].get("images", 0))
        return cls(folder, *parse_shard(text), load_info(folder), n_images, record, identity)

    @contextlib.contextmanager
    def manifest(self) -> Iterator[tuple[list[str], Iterator[list[str]]]]:
        """The header and the rows of its manifest, which nobody has touched: inputs are hashed."""
        stream = io.TextIOWrapper(open_file(self.folder / MANIFEST), "utf-8", newline="")
        with stream:
            rows = csv.reader(stream)
            yield next(rows), rows

    def images(self) -> Iterator[str]:
        """The names of its images."""
        with self.manifest() as (header, rows):
            yield from map(itemgetter(header.index(IMAGE)), rows)


def open_shards(folders: list[Path]) -> list[FinishedShard]:
    """Read finished shards and check that they belong together and are all there.

    Raises:
        InputError: A folder that is no finished shard, two with different plans or options, one
            given twice, or one missing.
    """
    first, *others = shards = [FinishedShard.open(folder) for folder in folders]
    for other in others:
        if other.total != first.total:
            raise InputError(
                f"is one of {other.total} shards, {first.folder} one of {first.total}",
                file=other.folder,
            )
        differing = differing_keys(first.identity, other.identity)
        if differing or plan_bytes(first) != plan_bytes(other):
            raise InputError(
                f"has another plan than {first.folder}: "
                + ("; ".join(differing) or "plan.json or filters.json differs"),
                file=other.folder,
                hint="make all shards with the same options, data and generator",
            )
    times = Counter(shard.index for shard in shards)
    for index, n in times.items():
        if n > 1:
            raise InputError(f"shard {index}/{first.total} is given twice")
    missing = [f"{i}/{first.total}" for i in range(1, first.total + 1) if i not in times]
    if missing:
        raise InputError(f"not all shards are given: {', '.join(missing)} missing")
    return sorted(shards, key=attrgetter("index"))


def plan_bytes(shard: FinishedShard) -> bytes:
    """The plan of a shard as it was written, and the limits of its filters."""
    limits = shard.folder / LIMITS
    plan = read_bytes(shard.folder / "plan.json")
    return plan + (read_bytes(limits) if limits.exists() else b"")


def copy_images(run: Run, writer: DatasetWriter, shards: list[FinishedShard], workers: int) -> None:
    """Copy the images of all shards, but those that are there from a run that was interrupted."""

    def copy(item: tuple[Path, str]) -> None:
        folder, name = item
        writer.add_bytes(name, read_bytes(folder / name))

    items = (
        (shard.folder, name)
        for shard in shards
        for name in shard.images()
        if not (run.resumed and writer.have(name))
    )
    total = sum(shard.n_images for shard in shards)
    with run.progress("joining shards", total=total) as bar, ThreadPoolExecutor(workers) as pool:
        while batch := list(islice(items, BATCH)):
            list(pool.map(copy, batch))
            bar.advance(len(batch))
            run.check_stop()


def copy_records(run: Run, shards: list[FinishedShard]) -> None:
    """What is the same in every shard."""
    first = shards[0].folder
    for name in (*PLAN_FILES, LIMITS):
        if (first / name).exists():
            run.write_bytes(name, read_bytes(first / name))


def copy_sheets(run: Run, shards: list[FinishedShard]) -> list[str]:
    """Each class's sheet from the first shard that has one; a small shard may lack a class."""
    sheets = {p.name: p for s in reversed(shards) for p in (s.folder / "samples").glob("*.png")}
    for name, sheet in sorted(sheets.items()):
        run.write_bytes(f"samples/{name}", read_bytes(sheet))
    return [f"samples/{name}" for name in sorted(sheets)]


def joined_accounts(shards: list[FinishedShard], plan: Mapping[str, Any]) -> Accounts | None:
    """The accounts of all slots; None where the shards kept none."""
    limits = shards[0].folder / LIMITS
    if not limits.exists():
        return None
    record = read_json(limits)
    accounts = Accounts(int(plan["n_synthetic"]), record["filters"], tuple(record["meters"]))
    for shard in shards:
        accounts.read_table(shard.folder / TABLE)
    return accounts


def joined_rows(shards: list[FinishedShard]) -> Iterator[pd.DataFrame]:
    """The manifest rows of all shards in the order of their slots, in parts.

    A shard's own rows are in that order, so that the union is a merge of sorted streams.
    """
    with contextlib.ExitStack() as stack:
        manifests = [stack.enter_context(shard.manifest()) for shard in shards]
        header = manifests[0][0]
        rows = heapq.merge(*(rows for _, rows in manifests), key=itemgetter(header.index(IMAGE)))
        part = list(islice(rows, PART))
        yield pd.DataFrame(part, columns=header, dtype=object)  # a set of no images has one part
        while part := list(islice(rows, PART)):
            yield pd.DataFrame(part, columns=header, dtype=object)
