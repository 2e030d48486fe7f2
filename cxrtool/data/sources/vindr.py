"""VinDr-CXR as PhysioNet has it, and VinBigData's part of it as Kaggle has it.

In: the folder with ``annotations/image_labels_train.csv`` and ``..._test.csv`` (a row an image and
reader, a column a finding), ``annotations/annotations_*.csv`` (boxes) and the images
``train/<image_id>.dicom``, ``test/...``; or Kaggle's folder with ``train.csv`` (a row a box, class
and reader) and the images as DICOM or converted to PNG; or one of these tables. Out: a
`SourceTable` with one row an image. Three readers saw each image of train, and ``readers`` says how
they become one; the test set is a consensus. Boxes are ``boxes.csv``. Patients are unknown; all
views are PA; sex and age are those of the DICOM headers.

Nguyen et al., "VinDr-CXR: An open dataset of chest X-rays with radiologist's annotations",
Scientific Data 9:429, 2022.
"""

from pathlib import Path

import pandas as pd

from cxrtool.data.label_columns import plain_value
from cxrtool.data.sources import by_id, files, readers
from cxrtool.data.sources.base import SourceOptions, SourceTable
from cxrtool.data.sources.paths import ImageRoots
from cxrtool.data.tables import read_table, require_columns

#: The findings with boxes, then the diagnoses, in the order of the tables.
LABELS = (
    "Aortic enlargement", "Atelectasis", "Calcification", "Cardiomegaly", "Clavicle fracture",
    "Consolidation", "Edema", "Emphysema", "Enlarged PA", "ILD", "Infiltration", "Lung Opacity",
    "Lung cavity", "Lung cyst", "Mediastinal shift", "Nodule/Mass", "Pleural effusion",
    "Pleural thickening", "Pneumothorax", "Pulmonary fibrosis", "Rib fracture", "Other lesion",
    "COPD", "Lung tumor", "Pneumonia", "Tuberculosis", "Other disease", "No finding",
)  # fmt: skip
#: Those of the challenge at Kaggle, which every table of boxes has.
_OF_BOXES = (
    "Aortic enlargement", "Atelectasis", "Calcification", "Cardiomegaly", "Consolidation", "ILD",
    "Infiltration", "Lung Opacity", "Nodule/Mass", "Other lesion", "Pleural effusion",
    "Pleural thickening", "Pneumothorax", "Pulmonary fibrosis", "No finding",
)  # fmt: skip
#: The two tables of PhysioNet differ in one name.
_OTHER_NAMES = {"Other diseases": "Other disease"}
_TABLES = {"image_labels_train": "train", "image_labels_test": "test"}
_BOX_TABLES = {"annotations_train": "train", "annotations_test": "test"}
_KAGGLE = "train.csv"
_CORNERS = ("x_min", "y_min", "x_max", "y_max")
_IMAGE, _READER, _CLASS = "image_id", "rad_id", "class_name"


def read(source: Path, options: SourceOptions) -> SourceTable:
    """Read VinDr-CXR or VinBigData.

    Args:
        source: The folder of the download, or a table of it.
        options: ``readers`` says whose labels count; ``images`` names the folder of the images if
            they do not lie beside or above the tables.

    Raises:
        InputError: No table, a missing column, a label cell that is no label value, an image that
            one reader has twice.
        UsageError: A reader that is in no table.
    """
    paths = _paths(source)
    folder = paths[0].parent
    own = folder.parent if folder.name == "annotations" else folder
    roots = ImageRoots.of(options, own)
    sieve = files.Sieve(options, ref=_IMAGE)
    parts, side = [], []
    for path in paths:
        frame = read_table(path, (_IMAGE,)).rename(columns=_OTHER_NAMES)
        sieve.file = path
        if _CLASS in frame:
            require_columns(frame, _CORNERS, path)
            frame = _classes(frame, sieve)
            side.append(frame)
        parts.append(_marks(frame, sieve).assign(**files.rows(frame, path), split=_split(path)))
    marks = pd.concat(parts, ignore_index=True)
    labels = tuple(label for label in LABELS if label in marks)
    marks[list(labels)] = marks[list(labels)].fillna("")
    readings = readers.join(marks, _IMAGE, labels, options.readers)
    one = readings.table
    places = by_id.Places(one[_IMAGE])
    if not options.labels_only:
        places = by_id.locate(roots, one[_IMAGE])
    refs = dict(zip(one[_IMAGE], places.refs, strict=True))
    beside = _beside(paths)
    for path in filter(Path.is_file, beside):
        sieve.file = path
        side.append(_classes(read_table(path, (_IMAGE, _CLASS, *_CORNERS)), sieve))
    table = pd.DataFrame({"image_ref": places.refs, "study_id": one[_IMAGE], "view": "PA"})
    table = table.join(by_id.header_columns(roots, places.refs, options)[["sex", "age"]])
    table = table.join(one.drop(columns=_IMAGE))
    return SourceTable(
        table=table,
        labels=labels,
        namespace="vindr",
        patients=False,
        source="VinDr-CXR",
        licence="PhysioNet Credentialed Health Data License 1.5.0",
        citation="Nguyen et al., Scientific Data 9 (2022) 429",
        official_split=bool((table["split"] != "").any()),
        opener=None if options.labels_only else by_id.opener(roots),
        image_column=_IMAGE,
        beside=(*paths, *beside),
        sidecars=by_id.boxes(_boxes(frame, refs) for frame in side),
        rejected=sieve.rejected,
        remarks=readings.remarks,
        left=places.left,
        notes=readings.note,
    )


def _paths(source: Path) -> list[Path]:
    """The tables of labels: PhysioNet's two, or Kaggle's one."""
    if not source.is_dir():
        return [source]
    for names in ([f"{name}.csv" for name in _TABLES], [_KAGGLE]):
        if paths := files.find_tables(source, names):
            return paths
    raise files.nothing_found(source, "vindr", "image_labels_train.csv or train.csv")


def _beside(paths: list[Path]) -> list[Path]:
    """PhysioNet's tables of boxes beside those of labels, whether they are there or not."""
    parts = set(map(_split, paths))
    places = [
        paths[0].parent / f"{name}.csv" for name, split in _BOX_TABLES.items() if split in parts
    ]
    return [path for path in places if path not in paths]


def _split(path: Path) -> str:
    """The official part that a table is of, by its name; blank where it tells none."""
    return {**_TABLES, **_BOX_TABLES}.get(path.name.partition(".")[0], "")


def _classes(frame: pd.DataFrame, sieve: files.Sieve) -> pd.DataFrame:
    frame = frame.assign(**{_CLASS: frame[_CLASS].replace(_OTHER_NAMES)})
    of_set = frame[_CLASS].isin(LABELS)
    return sieve.drop(frame, ~of_set, _CLASS, "{value} is no finding of VinDr-CXR")


def _marks(frame: pd.DataFrame, sieve: files.Sieve) -> pd.DataFrame:
    """What each reader says of each image, as `readers.join` takes it; index = rows of the table.

    A row an image and reader with a column a finding stays so; of rows of boxes, those of one image
    and reader become one, in which every class without a row is 0.
    """
    frame = frame.assign(**{readers.READER: frame.get(_READER, "")})
    keys = [_IMAGE, readers.READER]
    if _CLASS not in frame:
        labels = [label for label in LABELS if label in frame]
        frame = sieve.labels(frame, labels)
        cells = frame[labels].map(lambda cell: plain_value(cell) or "")
        return frame[keys].join(cells)
    number = frame.groupby(keys, sort=False).ngroup().to_numpy()
    present = {*_OF_BOXES, *frame[_CLASS].unique()}
    classes = [label for label in LABELS if label in present]
    cells = pd.get_dummies(pd.Categorical(frame[_CLASS], classes)).groupby(number).max()
    first = frame.drop_duplicates(keys)[keys]
    return first.join(cells.astype(int).astype(str).set_axis(first.index))


def _boxes(frame: pd.DataFrame, refs: dict[str, str]) -> pd.DataFrame:
    """The rows of a table that have corners, as `by_id.boxes` takes them."""
    corners = frame[list(_CORNERS)].apply(pd.to_numeric, errors="coerce")
    there = corners.notna().all(axis=1) & frame[_IMAGE].isin(list(refs))
    return pd.DataFrame(
        {
            "image_ref": frame[_IMAGE].map(refs),
            "label": frame[_CLASS],
            "reader": frame.get(_READER, ""),
            **corners,
        }
    )[there]
