"""A folder of images: with one folder a class, one a patient, or images alone.

In: images at any depth, perhaps below ``train/``, ``val/`` and ``test/``. Out: a `SourceTable`.
What the topmost folders (below the splits) are is said by an option, or told by their names:
classes are few and have words for names; ids and dates are numbers, and one folder tells nothing
apart. Classes make a single-label set with the folders' names in sorted order; patients give their
images an id; else there are neither labels nor ids.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from cxrtool.core.errors import InputError
from cxrtool.data.sources import files, vocabulary
from cxrtool.data.sources.base import (
    FOLDERS,
    TABLE_COLUMNS,
    FileOpener,
    SourceOptions,
    SourceTable,
)
from cxrtool.data.sources.tree import HIDDEN

CLASS, PATIENT, NOTHING = FOLDERS
#: Names that are ids or dates: three digits in a row, or numbers with a sign between them.
_NUMBERED = re.compile(r"\d{3}|\d[-_.]\d")
_MOST_CLASSES = 100


def read(source: Path, options: SourceOptions) -> SourceTable:
    """Read a folder of images.

    Args:
        source: The folder.
        options: ``folders`` says what the folders are; ``labels_only`` leaves the images unopened;
            their names are still the table.

    Raises:
        InputError: Not a folder, no images, split folders mixed with others, folders that are
            classes and an image outside of them, or a single one.
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
        hint = "either every folder is a split (train, val, test) or none is"
        raise InputError(what, file=source, hint=hint)
    records = []
    for ref in sorted(files.images_below(source)):
        *folders, _ = ref.split("/")
        split = splits[folders.pop(0)] if splits and folders else ""
        records.append((ref, split, folders[0] if folders else ""))
    if not records:
        raise files.nothing_found(source, "folder", "image")
    table = pd.DataFrame(records, columns=["image_ref", "split", "folder"], dtype=str)
    names = sorted(set(table["folder"]) - {""})
    kind = options.folders or _kind(names, len(table))
    sieve = files.Sieve(options)
    labels: tuple[str, ...] = ()
    if kind != NOTHING:
        outside = table["folder"] == ""
        for ref in table["image_ref"][outside]:
            what = f"an image outside any {kind} folder"
            hint = f"lay it in a folder named after its {kind}, or give --folders nothing"
            sieve.reject(InputError(what, file=source / ref, hint=hint), ref)
        table = table[~outside]
    if kind == CLASS:
        labels = _labels(table, names, source)
    elif kind == PATIENT:
        table = table.assign(patient_id=table["folder"])
    return SourceTable(
        table=table.drop(columns="folder").assign(table_file=str(source)),
        labels=labels,
        kind="single" if labels else "multilabel",
        namespace="folder",
        patients=kind == PATIENT,
        source="image folder",
        official_split=bool(splits),
        opener=None if options.labels_only else FileOpener(source),
        image_column="file",
        rejected=sieve.rejected,
        remarks=(_remark(kind, names, len(table), assumed=options.folders is None),),
    )


def _kind(names: Sequence[str], images: int) -> str:
    """What folders are, by their names: `CLASS` or `NOTHING`; whether patients, nobody can tell."""
    numbered = sum(_NUMBERED.search(name) is not None for name in names)
    few = 2 <= len(names) <= min(_MOST_CLASSES, max(2, images // 2))
    return CLASS if few and 2 * numbered < len(names) else NOTHING


def _labels(table: pd.DataFrame, names: Sequence[str], source: Path) -> tuple[str, ...]:
    """The classes, after their columns are there."""
    if clashes := set(names) & set(TABLE_COLUMNS):
        raise InputError(f"a class cannot be called {min(clashes)}", file=source)
    if len(names) < 2:
        what = f"there is only one class, {names[0]}" if names else "there is no class folder"
        hint = "images without labels: --folders nothing"
        raise InputError(what, file=source, hint=hint)
    for name in names:
        table[name] = (table["folder"] == name).astype(int).astype(str)
    return tuple(names)


def _remark(kind: str, names: Sequence[str], images: int, *, assumed: bool) -> str:
    folders = f"{len(names):,} folder{'s' * (len(names) != 1)}"
    what = {
        CLASS: f"each of {folders} is a class",
        PATIENT: f"each of {folders} is a patient; there are no labels",
        NOTHING: f"{folders} tell neither classes nor patients; there are no labels",
    }[kind]
    if not names:
        return f"{images:,} images without labels"
    others = " or ".join(word for word in FOLDERS if word != kind)
    how = f" (assumed by their names; else --folders {others})" if assumed else ""
    return f"{images:,} images: {what}{how}"
