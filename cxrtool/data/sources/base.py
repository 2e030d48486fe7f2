"""What a reader of a public format hands to ``prepare``, and the list of readers.

In: the name of a format. Out: its ``read`` function, which turns the files as they lie on disk into
a `SourceTable`: one table of strings, one row an image (a study with ``labels_only``), and a small
picklable object that opens one image by its reference. Readers decode nothing and judge no label
value; ``prepare`` validates every table in one place, so that all formats give the same errors.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeAlias

from cxrtool.core.errors import InputError
from cxrtool.data.columns import FIRST, IMAGE, SOURCE

if TYPE_CHECKING:
    # Not at run time: options are checked, and openers unpickled, without either.
    import numpy as np
    import pandas as pd

#: How ``--modality`` calls files that name none.
NO_MODALITY = "none"
#: What the folders of a folder of images may be.
FOLDERS = ("class", "patient", "nothing")
#: What a file may say of its image that makes it unfit for some uses.
MARKS = ("burned-in", "synthetic")
#: What an opener may return: a file to decode, the bytes of an encoded image, or gray pixels
#: [H, W] (uint8, or uint16 over the full range 0..65535), dark = air.
Opened: TypeAlias = "Path | bytes | np.ndarray"

#: Columns a reader may fill besides the labels. Absent columns count as blank.
#:
#: ``image_ref``   what the opener takes: a path relative to the source folder with ``/``, or an
#:                 array index as text; blank only with ``labels_only``
#: ``patient_id``, ``study_id``, ``view``, ``split``, ``sex``, ``age``   as in the source;
#:                 ``split`` already as train, val, test or blank. A source whose only held-out part
#:                 is small and expert-read (CheXpert's ``valid.csv``) calls it test: ``prepare``
#:                 carves a missing val out of train, but never invents a test set
#: ``bits_stored``  bits that the values of a 16-bit file use, where a table tells them
#: ``report``, ``findings``, ``impression``   text
#: ``table_file``, ``table_row``   where the row stands (file, and its row with the header as row
#:                 1), for error messages; not kept in the manifest
TABLE_COLUMNS = (
    "image_ref",
    *(n for n in FIRST if n not in (IMAGE, SOURCE)),
    "table_file",
    "table_row",
)


class Opener(Protocol):
    """Opens one image. Must pickle small: it travels to every worker process once.

    Hold the root folder or file name, open archives lazily on the first call, never hold the table.
    """

    def __call__(self, ref: str) -> Opened:
        """The image behind ``ref``.

        Raises:
            InputError: The image is missing or unreadable (``prepare`` adds the row).
        """


@dataclass(frozen=True)
class FileOpener:
    """Opens images that are files below one folder.

    Attributes:
        root: The folder that references are relative to.
        folders: The folders in it that images must lie in; () = anywhere.
    """

    root: Path
    folders: tuple[Path, ...] = ()

    def __call__(self, ref: str) -> Path:
        """The file behind a reference.

        Raises:
            InputError: There is no such file, or it is a directory.
        """
        path = self.root / ref
        try:
            if path.is_file():
                return path
            what = "a directory where an image should be" if path.is_dir() else "no such image"
        except OSError as error:  # a name that is too long, a folder that may not be read
            what = str(error.strerror).lower()
        raise InputError(what, file=path)


@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """The options of ``prepare`` that a reader may use.

    Attributes:
        n: How many images (phantom) to make; None = the reader's default.
        seed: Seed of everything the reader draws.
        size: Pixel size that will be written (a phantom may be drawn at it directly).
        columns: Manifest column -> column name in the source table (``--column image_ref=path``).
        label_columns: Names of the label columns, in order (``--label-columns``); for padchest
            terms of its ``Labels``, for medmnist the names that the file itself does not hold.
        label_table: Table of labels to join to images that carry none, as DICOM
            (``--label-table``): keyed by SOPInstanceUID, StudyInstanceUID or PatientID.
        images: Folders of the images where they do not lie beside the table (``--images``).
        folders: What folders of images are, one of `FOLDERS`; None = by their names.
        keep_ids: Leave DICOM patient ids as they are.
        id_key: Secret for pseudonyms, from ``--id-key``.
        modality: DICOM modalities to take, `NO_MODALITY` for files that name none; ("any",) for
            all; () for CR and DX, where any other is an error.
        exclude: Which of `MARKS` are left out.
        readers: Whose labels count where several read an image: ``any``, ``majority`` or an id.
        sample: How many DICOM files of a folder are looked at, spread over it; 0 for all.
        headers: Whether DICOM headers are read for view, sex and age where a table names the
            images: half a millisecond each, which a look (``--dry-run``) need not wait for.
        labels_only: No pixels are wanted: do not look for image files.
        skip_bad: Put unreadable entries in `SourceTable.rejected` instead of raising.
    """

    n: int | None = None
    seed: int = 0
    size: int = 128
    columns: Mapping[str, str] = field(default_factory=dict)
    label_columns: tuple[str, ...] = ()
    label_table: Path | None = None
    images: tuple[Path, ...] = ()
    folders: str | None = None
    keep_ids: bool = False
    id_key: bytes | None = None
    modality: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    readers: str = "majority"
    headers: bool = True
    sample: int = 0
    labels_only: bool = False
    skip_bad: bool = False


class Rejected(NamedTuple):
    """One entry of the source that cannot be used, and why."""

    ref: str
    error: InputError


@dataclass(frozen=True, kw_only=True)
class SourceTable:
    """A source as a table.

    Attributes:
        table: All cells `str`, "" = blank; `TABLE_COLUMNS`, perhaps ``source`` (synthetic, edited,
            or blank for real) where the files say it, one column a label holding
            the source's value (``1``, ``0``, ``-1``, ``1.0``, blank ...), and any other column
            worth keeping in the manifest.
        labels: Label columns in order, in the source's spelling.
        covered: Whether the source says anything about each label (see label policies); where it is
            left out, it does about all.
        kind: ``multilabel``, or ``single`` where every row has exactly one label.
        namespace: Whose patient ids these are, e.g. ``chexpert``.
        patients: Whether ``patient_id`` names real patients, where it is not blank.
        source: Title of the data set; ``licence`` and ``citation`` as its owners ask.
        official_split: Whether ``split`` is the source's own and must not be changed.
        opener: Opens the images; None only with ``labels_only``.
        image_column: How the source's table calls the image column, for error messages.
        beside: Files that the reader opened and that ``table_file`` does not name; also those that
            would be read if they were there. They belong to what the set was made from.
        keep_refs: Keep ``image_ref`` in the manifest as ``origin`` (no, where file names identify
            people, as DICOM paths do).
        prepared: The images are those of a dataset directory. Where their pixels are what its
            ``prepared_key`` says, its ``pixel_key`` is that of the original, and holds.
        sidecars: File name -> table to be written beside the manifest (such as the geometry of
            phantoms). Its column ``image_ref`` becomes ``image``, and rejected rows go.
        rejected: Entries left out because of ``skip_bad``.
        left: Files that were looked at and are no images of the set: reference as the opener takes
            it -> why, a few words that many files share.
        remarks: What a person should be told, a sentence each, without ids or paths.
        cautions: The same where something may be wrong.
        notes: Anything a person should know, JSON-able, kept in ``dataset.json``.
    """

    table: pd.DataFrame
    labels: tuple[str, ...]
    covered: tuple[bool, ...] = ()
    kind: Literal["multilabel", "single"] = "multilabel"
    namespace: str
    patients: bool
    source: str
    licence: str = ""
    citation: str = ""
    official_split: bool = False
    opener: Opener | None = None
    image_column: str = "image"
    beside: tuple[Path, ...] = ()
    keep_refs: bool = True
    prepared: bool = False
    sidecars: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    rejected: Sequence[Rejected] = ()
    left: Mapping[str, str] = field(default_factory=dict)
    remarks: Sequence[str] = ()
    cautions: Sequence[str] = ()
    notes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        blank = dict.fromkeys((n for n in TABLE_COLUMNS if n not in self.table), "")
        object.__setattr__(self, "table", self.table.reset_index(drop=True).assign(**blank))
        object.__setattr__(self, "covered", self.covered or (True,) * len(self.labels))


#: A format is a module beside this one with a ``read``. What it uses of `SourceOptions` is declared
#: by the options of ``prepare`` (``only={"format": ...}``).
FORMATS = (
    "chexpert", "chexpert-plus", "nih", "nih-google", "mimic-cxr", "padchest", "openi", "vindr",
    "brax", "rsna", "siim", "folder", "medmnist", "table", "dicom", "dataset", "phantom",
)  # fmt: skip


def read_source(form: str, source: Path | None, options: SourceOptions) -> SourceTable:
    """Read a source by the reader of its format.

    Args:
        form: One of `FORMATS`.
        source: A file or folder that exists; None for phantoms.
        options: What the reader may use.

    Raises:
        InputError: The source is not of the format, or damaged.
    """
    module = importlib.import_module(f"cxrtool.data.sources.{form.replace('-', '_')}")
    table: SourceTable = module.read(source, options)
    return table
