"""Which format a source has, told by its tables and the endings of its files.

In: the path a person typed. Out: the name of a format and the file that gave it away. A set is told
by the names of its tables *and* by their columns: many call a table ``train.csv``. Only names and
first lines are read, and no pandas is imported, so that it costs milliseconds.
"""

import csv
import functools
import gzip
import itertools
import os
import re
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple, TypeAlias

from cxrtool.core.errors import InputError
from cxrtool.core.reading import require_file
from cxrtool.data.columns import DATASET, MANIFEST
from cxrtool.data.sources.tree import (
    DICOM_SUFFIXES,
    HIDDEN,
    IMAGE_SUFFIXES,
    begins_as_dicom,
    entries,
)

#: What `prepare` takes for a format where none is given.
AUTO = "auto"
#: The format of the manifest of a dataset directory, which a person has edited.
EDITED = "dataset"


_GOOGLE = ("*test_labels.csv", "*validation_labels.csv", "*individual_readers.csv")


class Sign(NamedTuple):
    """What gives a format away.

    Attributes:
        form: The format.
        names: Patterns for the name of a table, without ``.gz``.
        columns: Columns that it has.
        without: Columns that it does not have.
        cell: A column, and what its first cell looks like.
        renamed: Whether a table that is given by itself may have any other name.
    """

    form: str
    names: tuple[str, ...]
    columns: tuple[str, ...]
    without: tuple[str, ...] = ()
    cell: tuple[str, str] | None = None
    renamed: bool = True

    def has_name(self, path: Path) -> bool:
        """Whether a table is called as those of the format are."""
        return any(fnmatch(path.name.removesuffix(".gz"), pattern) for pattern in self.names)

    def fits(self, row: Mapping[str, str]) -> bool:
        """Whether a table with this first row is one of the format."""
        if not row.keys() >= set(self.columns) or not row.keys().isdisjoint(self.without):
            return False
        return self.cell is None or re.search(self.cell[1], row[self.cell[0]]) is not None


#: In the order in which they are tried.
SIGNS = (
    Sign("chexpert", ("train.csv", "valid.csv", "test.csv", "test_labels.csv"),
         ("Path", "No Finding", "Pleural Effusion"), cell=("Path", r"patient\d+/study\d+/")),
    Sign("chexpert-plus", ("df_chexpert_plus*.csv",), ("path_to_image", "section_findings")),
    Sign("nih", ("Data_Entry_2017*.csv",),
         ("Image Index", "Finding Labels", "Follow-up #", "Patient ID", "View Position"),
         without=("Fracture",)),
    Sign("nih-google", _GOOGLE, ("Patient ID", "Fracture"), without=("Path",),
         cell=("Fracture", "^(YES|NO|HEDGE)$")),
    Sign("nih-google", _GOOGLE, ("Image ID", "Patient ID", "Pneumothorax"),
         cell=("Pneumothorax", "^(YES|NO|HEDGE)$")),
    Sign("mimic-cxr", ("mimic-cxr-2.*-metadata.csv",), ("dicom_id", "subject_id", "study_id")),
    Sign("mimic-cxr", ("mimic-cxr-2.*.csv",), ("study_id", "Cardiomegaly", "Pleural Other"),
         renamed=False),
    Sign("padchest", ("PADCHEST_*.csv",), ("ImageID", "PatientID", "Projection", "Labels")),
    Sign("openi", ("indiana_reports.csv",), ("uid", "MeSH", "impression"), renamed=False),
    Sign("openi", ("indiana_projections.csv",), ("uid", "filename", "projection"), renamed=False),
    Sign("vindr", ("image_labels_*.csv",), ("image_id", "Aortic enlargement", "No finding")),
    Sign("vindr", ("train.csv", "annotations_*.csv"), ("image_id", "class_name", "x_min", "y_max")),
    Sign("brax", ("master_spreadsheet*.csv",), ("PngPath", "DicomPath", "AccessionNumber")),
    Sign("rsna", ("stage_2_train_labels.csv",), ("patientId", "x", "width", "Target")),
    Sign("siim", ("*train-rle*.csv", "stage_2_train.csv"), ("ImageId", "EncodedPixels")),
)  # fmt: skip
_TABLES = (".csv", ".tsv", ".tab", ".csv.gz", ".tsv.gz", ".tab.gz")
_OTHER_TABLES = (".parquet", ".json", ".jsonl", ".ndjson", ".jsonl.gz", ".json.gz")
_PLUS = "_fixed.json"  # of the labels of CheXpert Plus
_REPORTS = "nlmcxr_reports*.t*gz"
#: Endings of files that tell a format by their names.
_TELLING = (*_TABLES, *_OTHER_TABLES, ".npz", "gz")
#: Files and folders in a folder.
Listing: TypeAlias = tuple[list[str], list[str]]
#: Tables of one's own by which a folder is a table (see `table`).
_OWN = ("labels.csv", "metadata.csv", "manifest.csv")
#: Files that are looked at for their ending.
_GLANCE = 20_000
_FOLDERS = 300  # folders that are looked into for a set deeper down
#: Folders of a set that hold its tables.
_PARTS = ("annotations", "chexbert_labels", "four_findings_expert_labels")
_LINE = 1 << 16  # characters of a line that are read


class Recognized(NamedTuple):
    """A format, and the name of the file that gave it away.

    Attributes:
        form: The format.
        by: The file.
        also: Other formats whose tables lie in the same folder.
    """

    form: str
    by: str
    also: tuple[str, ...] = ()


def recognize(source: Path) -> Recognized:
    """The format of a source.

    Args:
        source: A file or folder.

    Raises:
        InputError: It is not there, has no known format, or has several.
    """
    if source.is_file():
        if source.name == MANIFEST and (source.parent / DATASET).is_file():
            return Recognized(EDITED, DATASET)
        return _of_file(source)
    if not source.is_dir():
        raise InputError("no such file or folder", file=source)
    listing = functools.cache(_listing)
    own, folders = listing(source)
    if DATASET in own:
        hint = "other commands read it as it is; --format dataset reads an edited manifest anew"
        raise InputError("is a data set of cxr already", file=source, hint=hint)
    if recognized := _of_tables(source, own):
        return recognized
    below = {
        name: recognized
        for name in folders
        if (recognized := _of_tables(source / name, listing(source / name)[0]))
    }
    if len({recognized.form for recognized in below.values()}) > 1:
        places = ", ".join(f"{place} ({kind.form})" for place, kind in below.items())
        hint = "give one of these folders, or say which is meant with --format"
        raise InputError(f"holds several data sets: {places}", file=source, hint=hint)
    if below:
        return next(iter(below.values()))
    for folder in _deeper_folders(source, listing):
        if recognized := _of_tables(folder, listing(folder)[0]):
            home = folder.parent if folder.name in _PARTS else folder
            what = f"a data set of the format {recognized.form} lies deeper in it"
            raise InputError(what, file=source, hint=f"give its own folder: cxr prepare {home}")
    return _of_endings(source, own)


def _listing(folder: Path) -> Listing:
    """Names of the files that may tell a format and of the folders in a folder, each sorted.

    Images tell none by their names, and there are too many of them to look at each again.
    """
    files, folders = [], []
    with os.scandir(folder) as scan:
        for entry in scan:
            if entry.is_dir():
                folders.append(entry.name)
            elif entry.name.lower().endswith(_TELLING) and entry.is_file():
                files.append(entry.name)
    return sorted(files), sorted(folders)


def _of_file(path: Path) -> Recognized:
    name = path.name.lower()
    if name.endswith(_TABLES):
        row = first_row(path)
        for sign in SIGNS:
            if (sign.renamed or sign.has_name(path)) and sign.fits(row):
                return Recognized(sign.form, "its columns")
        return Recognized("table", path.name)
    if name.endswith(".json") and (path.parent.name == "chexbert_labels" or _PLUS in name):
        return Recognized("chexpert-plus", path.name)
    if name.endswith(_OTHER_TABLES):
        return Recognized("table", path.name)
    if name.endswith(".npz"):
        return Recognized("medmnist", path.name)
    if name.endswith(".xml") or fnmatch(name, _REPORTS):
        return Recognized("openi", path.name)
    if name.endswith(DICOM_SUFFIXES) or begins_as_dicom(path):
        return Recognized("dicom", path.name)
    raise _unknown(path)


def _of_tables(folder: Path, names: list[str]) -> Recognized | None:
    """By the tables of one folder, of the names of its files."""
    tables = [folder / name for name in names if name.lower().endswith(_TABLES)]
    forms: dict[str, str] = {}
    for sign, path in itertools.product(SIGNS, tables):
        if sign.has_name(path) and sign.fits(first_row(path)):
            forms.setdefault(sign.form, path.name)
    if forms:
        form, *also = forms
        return Recognized(form, forms[form], tuple(also))
    reports = next((name for name in names if fnmatch(name.lower(), _REPORTS)), None)
    return Recognized("openi", reports) if reports else None


def _of_endings(source: Path, names: list[str]) -> Recognized:
    """By what lies in a folder that has no table of a set."""
    for name in _OWN:
        if name in names:
            return Recognized("table", name)
    tables = [name for name in names if name.lower().endswith((*_TABLES, *_OTHER_TABLES))]
    if len(tables) == 1:
        return Recognized("table", tables[0])
    if len(arrays := [name for name in names if name.lower().endswith(".npz")]) == 1:
        return Recognized("medmnist", arrays[0])
    flat = ""
    present = (ref for ref, why in entries(source) if not why)
    for ref in itertools.islice(present, _GLANCE):
        name = ref.rpartition("/")[2].lower()
        if name.endswith(".xml"):
            return Recognized("openi", ref)
        if name.endswith(IMAGE_SUFFIXES):
            if "/" in ref:
                return Recognized("folder", ref)
            flat = flat or ref
        elif name.endswith(DICOM_SUFFIXES) or begins_as_dicom(source / ref):
            return Recognized("dicom", ref)
    if flat and not tables:
        return Recognized("folder", flat)
    raise _unknown(source)


def first_row(path: Path) -> dict[str, str]:
    """The first row of a CSV or TSV by its columns; empty where it cannot be read as text."""
    opened = gzip.open if path.name.lower().endswith(".gz") else open
    try:
        require_file(path)
        with opened(path, "rt", encoding="utf-8-sig", newline="") as stream:
            lines = [stream.readline(_LINE), stream.readline(_LINE)]
        header, *rows = csv.reader(lines, delimiter=max(",;\t", key=lines[0].count))
    except (OSError, EOFError, ValueError, csv.Error):
        return {}
    cells = itertools.chain(*rows[:1], itertools.repeat(""))
    return {name.strip(): cell for name, cell in zip(header, cells)}


def _deeper_folders(source: Path, listing: Callable[[Path], Listing]) -> Iterator[Path]:
    """Folders two and more levels below a folder, the higher ones first; at most `_FOLDERS`."""
    level = [source]
    left = _FOLDERS
    for depth in itertools.count(1):
        below = (folder / name for folder in level for name in listing(folder)[1])
        level = list(itertools.islice((path for path in below if _is_folder(path)), left))
        left -= len(level)
        if depth > 1:
            yield from level
        if not level or not left:
            return


def _is_folder(path: Path) -> bool:
    return not path.is_symlink() and not path.name.startswith(HIDDEN)


def _unknown(source: Path) -> InputError:
    return InputError(
        "no data set, table, DICOM file or folder of images is recognized here",
        file=source,
        hint="name its form with --format; docs/how-to/datasets.md shows each as it lies on disk",
    )
