"""Images that a table calls by an id, whatever their files are: DICOM, PNG, JPEG.

In: a folder and ids that are names of files without folder and ending. Out: references, an opener
that tells image files and DICOM by their ending, and what DICOM headers say of view, sex and age.
"""

import contextlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import NamedTuple

import pandas as pd

from cxrtool.core.errors import InputError
from cxrtool.data.sources import files, vocabulary
from cxrtool.data.sources.base import FileOpener, Opened, SourceOptions
from cxrtool.data.sources.dicom_headers import facts, header_of
from cxrtool.data.sources.dicom_pixels import DicomOpener
from cxrtool.data.sources.paths import ImageIndex, ImageRoots
from cxrtool.data.sources.tree import DICOM_SUFFIXES, IMAGE_SUFFIXES

#: Folders of pictures of something else that go by the same names.
_NO_IMAGES = ("mask", "heatmap", "overlay")
OTHER_FILE = "another file of the image is used"
_HEADER = {"view": "view", "sex": "sex", "age": "age"}


@dataclass(frozen=True)
class AnyOpener(FileOpener):
    """Opens image files and DICOM files.

    Attributes:
        bits: As of `DicomOpener`.
    """

    bits: int = 0

    def __call__(self, ref: str) -> Opened:  # type: ignore[override]
        """The image behind a reference.

        Raises:
            InputError: Missing, a directory, or DICOM that does not decode.
        """
        path = super().__call__(ref)
        return DicomOpener(self.root, self.bits)(ref) if is_dicom(ref) else path


class Places(NamedTuple):
    """Where images lie.

    Attributes:
        refs: References [N]; what is nowhere keeps its id, which opens as "no such image".
        left: Other files of these images -> why they are not used.
    """

    refs: pd.Series
    left: Mapping[str, str] = {}


def is_dicom(ref: str) -> bool:
    """Whether a file is opened as DICOM."""
    return ref.lower().endswith(DICOM_SUFFIXES)


def opener(roots: ImageRoots) -> AnyOpener:
    """Opens images below some folders."""
    plain = roots.opener()
    return AnyOpener(plain.root, plain.folders)


def locate(roots: ImageRoots, ids: pd.Series) -> Places:
    """Find images by their ids.

    Of several files of one id DICOM goes first, then the order of their paths; what lies in a
    folder of masks is none.

    Args:
        roots: Folders, searched recursively.
        ids: Names of files without folder and ending [N].
    """
    names = set(ids)
    index = ImageIndex.of(roots, (*DICOM_SUFFIXES, *IMAGE_SUFFIXES))
    places: defaultdict[str, list[str]] = defaultdict(list)
    for name, ref in index.places.items():
        stem = PurePosixPath(name).stem
        if stem in names:
            every = index.several.get(name, [ref])
            places[stem] += [ref for ref in every if not _is_overlay(ref)]
    first = {
        name: min(refs, key=lambda ref: (not is_dicom(ref), ref))
        for name, refs in places.items()
        if refs
    }
    left = {ref: OTHER_FILE for name, refs in places.items() for ref in refs if ref != first[name]}
    return Places(files.look_up(ids, first, ids), left)


def _is_overlay(ref: str) -> bool:
    folder = str(PurePosixPath(ref).parent).lower()
    return any(word in folder for word in _NO_IMAGES)


def header_columns(roots: ImageRoots, refs: pd.Series, options: SourceOptions) -> pd.DataFrame:
    """View, sex and age as DICOM headers have them: `str` columns, "" where nothing is said.

    What cannot be read is blank here; its error is named when it is opened.
    """
    if options.labels_only or not options.headers:
        return pd.DataFrame("", index=refs.index, columns=list(_HEADER))
    root, records = roots.base, []
    for ref in refs:
        record = dict.fromkeys(_HEADER, "")
        if is_dicom(ref) and (root / ref).is_file():
            try:
                told = facts(header_of(root / ref))
                record = {name: told[key] for name, key in _HEADER.items()}
            except InputError:
                pass
        records.append(record)
    table = pd.DataFrame(records, index=refs.index, columns=list(_HEADER), dtype=str)
    spell = {"view": vocabulary.views, "sex": vocabulary.sexes, "age": vocabulary.ages}
    return table.apply(lambda column: spell[str(column.name)](column))


def header_marks(roots: ImageRoots, refs: pd.Series, options: SourceOptions) -> pd.DataFrame:
    """What DICOM headers say of their images: ``source`` and ``burned_in``, "" where nothing."""
    marks = pd.DataFrame("", index=refs.index, columns=["source", "burned_in"], dtype=str)
    if options.labels_only or not options.headers:
        return marks
    for row, ref in refs[refs.map(is_dicom)].items():
        with contextlib.suppress(InputError):
            told = facts(header_of(roots.base / ref))
            marks.loc[row] = [told[name] for name in marks.columns]
    return marks


def boxes(parts: Iterable[pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """The side table ``boxes.csv``: ``image_ref``, ``label``, ``reader``, corners in pixels.

    Args:
        parts: Tables of boxes, with the columns ``image_ref``, ``label``, ``reader`` and ``x_min``,
            ``y_min``, ``x_max``, ``y_max``, in pixels of the original image from its upper left.
    """
    table = pd.concat([pd.DataFrame(columns=list(BOX)), *parts], ignore_index=True)
    return {"boxes.csv": table[list(BOX)].astype(str)} if len(table) else {}


BOX = ("image_ref", "label", "reader", "x_min", "y_min", "x_max", "y_max")
