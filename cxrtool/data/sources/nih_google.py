"""Google's expert labels of ChestX-ray14, on the images as NIH's download has them.

In: a table of ``four_findings_expert_labels/`` (``test_labels.csv``, ``validation_labels.csv``:
adjudicated; ``individual_readers.csv``: a row a reader) or of ``all_findings_expert_labels/``, or a
folder with both adjudicated ones; beside them the images of ChestX-ray14. Out: a `SourceTable` with
YES, NO and HEDGE as 1, 0 and -1. Patients are called as in ChestX-ray14, so that the leak guard
knows them. Google's parts are the split: validation is val, and there is no train.

Majkowska et al., Radiology 294(2), 2020; Nabulsi et al., Scientific Reports 11:15523, 2021.
"""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from cxrtool.core.errors import InputError
from cxrtool.data.sources import files, readers, vocabulary
from cxrtool.data.sources.base import SourceOptions, SourceTable
from cxrtool.data.sources.nih import USUAL
from cxrtool.data.sources.paths import ImageIndex, ImageRoots, Located
from cxrtool.data.tables import read_table

TABLES = ("*test_labels.csv", "*validation_labels.csv")
_CELLS = {"YES": "1", "NO": "0", "HEDGE": "-1", "": ""}
#: The one label that is written 1 and 0.
_ABNORMAL, _PLAIN = "Abnormal", {"1": "1", "0": "0"}
_IMAGE, _PATIENT, _READER, _SET = "Image ID", "Patient ID", "Reader ID", "Set ID"
#: NIH's and other spellings -> those of the table of readers.
_NAMES = {"image index": _IMAGE, "image id": _IMAGE, "patient id": _PATIENT, "reader id": _READER,
          "set id": _SET, "nodule/mass": "Nodule or mass"}  # fmt: skip
_DETAILS = ("Patient Age", "Patient Gender", "View Position")


def read(source: Path, options: SourceOptions) -> SourceTable:
    """Read the expert labels.

    Args:
        source: A table, or the folder of the adjudicated ones.
        options: ``readers`` says whose labels count, where a table has a row a reader; ``images``
            names the folder of the images if they do not lie beside the table.

    Raises:
        InputError: No table, no column of images, no labels, an image twice.
        UsageError: A reader that is in no table.
    """
    paths = files.find_tables(source, TABLES) if source.is_dir() else [source]
    if not paths:
        raise files.nothing_found(source, "nih-google", "test_labels.csv of Google's labels")
    roots = ImageRoots.of(options, paths[0].parent)
    sieve = files.Sieve(options, ref="image_ref")
    parts = [_one(path) for path in paths]
    labels = tuple(dict.fromkeys(label for _, names in parts for label in names))
    marks = pd.concat([part for part, _ in parts], ignore_index=True).fillna("")
    readings = readers.join(marks, "image_ref", labels, options.readers)
    table = readings.table
    names = table["image_ref"]
    table["study_id"] = names.str.replace(r"\.\w+$", "", regex=True)
    images = Located(table, names)
    if not options.labels_only:
        index = ImageIndex.of(roots)
        images = index.find(table, "image_ref", sieve, default="images/", usual=USUAL)
        table = images.frame.assign(image_ref=images.refs)
    return SourceTable(
        table=table,
        labels=labels,
        namespace="nih",
        patients=bool((table["patient_id"] != "").any()),
        source="NIH ChestX-ray14, expert labels of Google",
        licence="open use with citation (NIH Clinical Center, Google)",
        citation="Majkowska et al., Radiology 294(2) (2020) 421-431",
        official_split=bool((table["split"] != "").any()),
        opener=None if options.labels_only else roots.opener(),
        image_column=_IMAGE,
        beside=tuple(paths),
        rejected=sieve.rejected,
        left=images.left,
        remarks=[*readings.remarks, *images.remarks],
        notes=readings.note,
    )


def _one(path: Path) -> tuple[pd.DataFrame, list[str]]:
    """A table as `readers.join` takes it, and its labels."""
    frame = read_table(path)
    frame = frame.rename(columns={name: _NAMES.get(name.lower(), name) for name in frame})
    if _IMAGE not in frame:
        hint = "columns: " + ", ".join(map(str, frame.columns))
        raise InputError("no column Image ID or Image Index", file=path, row=1, hint=hint)
    labels = [
        str(name)
        for name in frame
        if name not in (_IMAGE, _PATIENT, _READER, _SET)
        and _is_label(frame[name], _PLAIN if name == _ABNORMAL else {})
    ]
    if not labels:
        raise InputError("no column of YES and NO", file=path, row=1)
    blank = pd.Series("", index=frame.index)
    age, sex, view = (frame.get(name, blank) for name in _DETAILS)
    of_name = next((name for name in ("test", "validation") if name in path.name), "")
    part = frame[_SET] if _SET in frame else blank + of_name
    ids = frame[_IMAGE].str.extract(r"^0*(\d+)_", expand=False).fillna("")
    return (
        pd.DataFrame(
            {
                "image_ref": frame[_IMAGE],
                "patient_id": frame.get(_PATIENT, ids),
                "view": vocabulary.views(view),
                "split": part.map(lambda name: vocabulary.split_name(name) or ""),
                "sex": vocabulary.sexes(sex),
                "age": vocabulary.ages(age),
                readers.READER: frame.get(_READER, blank),
                **files.rows(frame, path),
                **{name: frame[name].str.upper().map(_CELLS | _PLAIN) for name in labels},
            }
        ),
        labels,
    )


def _is_label(column: pd.Series, more: Mapping[str, str]) -> bool:
    cells = set(column.str.upper().unique())
    return cells <= {*_CELLS, *more} and cells != {""}
