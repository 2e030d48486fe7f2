"""A folder of images with one folder a class.

In: ``CLASS/image.png``, or ``train/CLASS/image.png`` beside ``val/`` and ``test/`` (any depth below
the class). Out: a single-label `SourceTable` whose labels are the names of the class folders in
sorted order. There are no patient ids.
"""

from pathlib import Path

import pandas as pd

from cxrtool.core.errors import InputError
from cxrtool.data.sources import vocabulary
from cxrtool.data.sources.base import TABLE_COLUMNS, SourceOptions, SourceTable
from cxrtool.data.sources.files import (
    IMAGE_SUFFIXES,
    Sieve,
    files_below,
    need_source,
    nothing_found,
)
from cxrtool.data.sources.openers import FileOpener


def read(source: Path | None, options: SourceOptions) -> SourceTable:
    """Read a folder of class folders.

    Args:
        source: The folder.
        options: ``labels_only`` leaves the images unopened; their names are still the table.

    Raises:
        InputError: Not a folder, no images, an image outside any class folder, split folders mixed
            with class folders, or a single class.
    """
    source = need_source(source, "folder")
    if not source.is_dir():
        raise InputError("the format folder needs a folder", file=source)
    tops = sorted(child.name for child in source.iterdir() if _visible_folder(child))
    splits = {name: vocabulary.split_name(name) for name in tops}
    named = [name for name, split in splits.items() if split]
    if named and len(named) != len(tops):
        stray = next(name for name in tops if name not in named)
        hint = "either every folder is a split (train, val, test) or every folder is a class"
        raise InputError(f"{stray} lies beside the split folder {named[0]}", file=source, hint=hint)
    sieve = Sieve(options)
    records = []
    for ref in sorted(files_below(source)):
        if not ref.lower().endswith(tuple(IMAGE_SUFFIXES)):
            continue
        parts = ref.split("/")
        depth = 1 if named else 0
        if len(parts) < depth + 2:
            sieve.reject(
                "an image outside any class folder",
                ref=ref,
                file=source / ref,
                hint="lay it in a folder named after its class",
            )
            continue
        split = splits[parts[0]] if named else ""
        records.append((ref, split or "", parts[depth]))
    if not records:
        raise nothing_found(source, "folder", "image in a class folder")
    table = pd.DataFrame(records, columns=["image_ref", "split", "class"], dtype=str)
    labels = tuple(sorted(table["class"].unique()))
    clashes = set(labels) & set(TABLE_COLUMNS)
    if clashes:
        raise InputError(f"a class cannot be called {min(clashes)}", file=source)
    if len(labels) < 2:
        raise InputError(f"there is only one class, {labels[0]}", file=source)
    for label in labels:
        table[label] = (table["class"] == label).map({True: "1", False: "0"}).astype(str)
    return SourceTable(
        table=table.drop(columns="class").assign(table_file=str(source), table_row=""),
        labels=labels,
        kind="single",
        namespace="folder",
        patients=False,
        source="image folder",
        official_split=bool(named),
        opener=None if options.labels_only else FileOpener(source),
        image_column="file",
        rejected=sieve.rejected,
    )


def _visible_folder(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith((".", "__MACOSX"))
