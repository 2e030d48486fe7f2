"""A dataset directory whose manifest was edited by hand.

In: ``manifest.csv`` with its images and ``dataset.json`` beside it. Out: a `SourceTable` with the
labels, splits and texts as they stand in the table now, and what changed: which images went or
came, by ``files.tsv``, and how the counts of labels and splits differ from those that the run which
made the directory wrote down. Images keep size and fit, and their keys where their pixels are what
they were; keys of patients are made anew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from cxrtool.core.errors import InputError
from cxrtool.core.fingerprints import read_index
from cxrtool.core.reading import read_json
from cxrtool.core.runs import RESULT
from cxrtool.data import columns
from cxrtool.data.columns import IMAGE, MANIFEST, SPLIT
from cxrtool.data.keys import SEEN, keyed_namespace
from cxrtool.data.manifest import DatasetInfo, load_info
from cxrtool.data.sources import files
from cxrtool.data.sources.base import FileOpener, SourceOptions, SourceTable
from cxrtool.data.tables import read_table

#: Names of files in a message.
_SHOWN = 3
#: How the commands that make dataset directories call the values of a label in their records.
_VALUES = {"positive": "1", "uncertain": "-1", "negative": "0"}
_CELLS = ("1", "-1", "0", "blank")


def read(source: Path, options: SourceOptions) -> SourceTable:
    """Read an edited manifest.

    Args:
        source: The manifest, or the folder that holds it.
        options: ``id_key`` is needed where the keys of patients are under a secret.

    Raises:
        InputError: No dataset directory, images of a generator, a missing column, a secret that is
            not given.
    """
    path = source / MANIFEST if source.is_dir() else source
    folder = path.parent
    info = load_info(folder)
    _refuse_made(path, info)
    frame = read_table(path)
    labels = [name for name in info.labels if name in frame]
    for name in (IMAGE, SPLIT, *(() if labels else info.labels)):
        if name not in frame:
            raise InputError("no such column", file=path, row=1, column=name)
    rows = files.rows(frame, path)
    table = frame.rename(columns={IMAGE: "image_ref"}).assign(**rows)
    blank = frame[IMAGE] == ""
    remarks = _changes(folder, info, frame, labels) or ["the table says what it said before"]
    return SourceTable(
        table=table.drop(columns=columns.PATIENT_KEY, errors="ignore"),
        labels=tuple(labels),
        covered=tuple(c for name, c in zip(info.labels, info.covered) if name in frame),
        kind=info.kind,
        namespace=_namespace(path, info, options),
        patients=info.patients or bool(info.unnamed),
        source=info.source,
        licence=info.licence,
        citation=info.citation,
        official_split=bool((frame[SPLIT] != "").any()),
        opener=None if options.labels_only or blank.all() else FileOpener(folder),
        beside=(folder / columns.DATASET, folder / columns.INDEX, folder / RESULT),
        keep_refs=False,
        prepared=True,
        remarks=remarks,
        notes={"edited": {"digest_before": info.digest, "changes": remarks}},
    )


def _refuse_made(path: Path, info: DatasetInfo) -> None:
    if info.synthetic or (path.parent / SEEN).exists():
        raise InputError(
            "holds images of a generator: what that has seen would be forgotten",
            file=path,
            hint="leave images out where the set is used, or make it anew with cxr synthesize",
        )


def _namespace(path: Path, info: DatasetInfo, options: SourceOptions) -> str:
    """The namespace without the mark of a secret, which `prepare` adds again."""
    if not columns.is_secret(info.namespace):
        return info.namespace
    base = info.namespace.rpartition("+")[0]
    if keyed_namespace(base, options.id_key) != info.namespace:
        raise InputError(
            "its keys of patients are under another secret than is given",
            file=path,
            hint="give the one that it was prepared with: --id-key FILE",
        )
    return base


def _changes(
    folder: Path, info: DatasetInfo, frame: pd.DataFrame, labels: Sequence[str]
) -> list[str]:
    """What is not as it was, a sentence each."""
    result = read_json(folder / RESULT) if (folder / RESULT).exists() else {}
    before = info.notes.get("splits")
    sentences = [*_rows(folder, frame), *_columns(info, frame)]
    if isinstance(before, Mapping):
        was = {str(name): _number(part, "images") for name, part in before.items()}
        now = Counter(frame[SPLIT].tolist())
        sentences += _counts(SPLIT, [*columns.SPLITS], was, now)
    summary = result.get("summary")
    counts = summary.get("labels") if isinstance(summary, Mapping) else None
    for name in labels:
        own = counts.get(name) if isinstance(counts, Mapping) else None
        if isinstance(own, Mapping) and sum(_number(own, key) for key in own) == _images(info):
            was = {_VALUES.get(str(key), str(key)): _number(own, key) for key in own}
            now = Counter(cell or "blank" for cell in frame[name].tolist())
            sentences += _counts(name, _CELLS, was, now)
    return sentences


def _images(info: DatasetInfo) -> int:
    """How many images the set had."""
    parts = info.notes.get("splits")
    return sum(_number(part, "images") for part in parts.values()) if isinstance(parts, dict) else 0


def _number(record: Any, key: Any) -> int:
    value = record.get(key) if isinstance(record, Mapping) else None
    return value if isinstance(value, int) else 0


def _rows(folder: Path, frame: pd.DataFrame) -> list[str]:
    """Images that are no longer in the table, and such as were not."""
    before = {name for name in read_index(folder) if name.startswith(f"{columns.IMAGES}/")}
    now = set(frame[IMAGE].tolist()) - {""}
    sentences = []
    for what, names in (("dropped", before - now), ("added", now - before)):
        if before and names:
            shown = ", ".join(sorted(names)[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
            sentences.append(f"rows {what}: {len(names):,} ({shown})")
    return sentences


def _columns(info: DatasetInfo, frame: pd.DataFrame) -> list[str]:
    gone = [name for name in (*columns.FIRST, *info.labels) if name not in frame]
    sentences = [f"column {name!r} is gone" for name in gone]
    values = {"1", "0", "-1", ""}
    for name in map(str, frame.columns):
        if name in info.labels or name in columns.RESERVED:
            continue
        cells = set(frame[name].unique())
        if cells <= values and cells & {"1", "0"}:
            sentences.append(
                f"column {name!r} is no label: name it in labels and covered of dataset.json"
            )
    return sentences


def _counts(
    column: str, values: Sequence[str], was: Mapping[str, int], now: Mapping[str, int]
) -> list[str]:
    changes = [
        f"{value} {was.get(value, 0):,} -> {now.get(value, 0):,}"
        for value in values
        if was.get(value, 0) != now.get(value, 0)
    ]
    return [f"column {column!r}: {', '.join(changes)}"] if changes else []
