"""A folder of images with one folder a class.

In: ``CLASS/image.png``, or ``train/CLASS/image.png`` beside ``val/`` and ``test/`` (any depth below
the class). Out: a single-label `SourceTable` whose labels are the names of the class folders in
sorted order. There are no patient ids.
"""

from pathlib import Path

import pandas as pd

from cxrtool.core.errors import InputError
from cxrtool.data.sources import files, vocabulary
from cxrtool.data.sources.base import TABLE_COLUMNS, FileOpener, SourceOptions, SourceTable
from cxrtool.data.sources.tree import HIDDEN


def read(source: Path, options: SourceOptions) -> SourceTable:
    """Read a folder of class folders.

    Args:
        source: The folder.
        options: ``labels_only`` leaves the images unopened; their names are still the table.

    Raises:
        InputError: Not a folder, no images, an image outside any class folder, split folders mixed
            with class folders, or a single class.
    """
    if not source.is_dir():
        raise InputError("the format folder needs a folder", file=source)
    tops = sorted(
        child.name
        for child in source.iterdir()
        if child.is_dir() and not child.name.startswith(HIDDEN)
    )
    splits = {name: split for name in tops if (split := vocabulary.split_name(name))}
    if splits and len(splits) != len(tops):
        stray = next(name for name in tops if name not in splits)
        what = f"{stray} lies beside the split folder {next(iter(splits))}"
        hint = "either every folder is a split (train, val, test) or every folder is a class"
        raise InputError(what, file=source, hint=hint)
    sieve = files.Sieve(options)
    records = []
    for ref in sorted(files.images_below(source)):
        *folders, _ = ref.split("/")
        split = splits[folders.pop(0)] if splits and folders else ""
        if folders:
            records.append((ref, split, folders[0]))
        else:
            what = "an image outside any class folder"
            hint = "lay it in a folder named after its class"
            sieve.reject(InputError(what, file=source / ref, hint=hint), ref)
    if not records:
        raise files.nothing_found(source, "folder", "image in a class folder")
    table = pd.DataFrame(records, columns=["image_ref", "split", "class"], dtype=str)
    labels = tuple(sorted(table["class"].unique()))
    clashes = set(labels) & set(TABLE_COLUMNS)
    if clashes:
        raise InputError(f"a class cannot be called {min(clashes)}", file=source)
    if len(labels) < 2:
        raise InputError(f"there is only one class, {labels[0]}", file=source)
    for label in labels:
        table[label] = (table["class"] == label).astype(int).astype(str)
    return SourceTable(
        table=table.drop(columns="class").assign(table_file=str(source)),
        labels=labels,
        kind="single",
        namespace="folder",
        patients=False,
        source="image folder",
        official_split=bool(splits),
        opener=None if options.labels_only else FileOpener(source),
        image_column="file",
        rejected=sieve.rejected,
    )
