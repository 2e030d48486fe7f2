"""The form of a dataset directory: its columns, its ``dataset.json``, and what cells may hold.

In: a table or a JSON record. Out: the same, checked: `InputError` names the row and the column of
the first cell that is wrong.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from cxrtool.core.errors import InputError
from cxrtool.core.files import canonical_json, sha256_bytes
from cxrtool.data import columns
from cxrtool.data.columns import PATIENT, SPLIT

#: Note of ``dataset.json``, see `DatasetInfo.unnamed`.
UNNAMED = "images_without_patient_id"


@dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """What ``dataset.json`` says.

    Attributes:
        labels: Label names in order.
        covered: Whether the source says anything about each label.
        kind: ``multilabel`` or ``single``.
        size: Side of the square images in pixels; None for a directory without pixels.
        fit: How images were brought to a square; None without pixels.
        kernel: The resize kernel; None without pixels.
        namespace: Whose patient ids these are.
        patients: Whether ``patient_id`` names a real patient of every image.
        source: Title of the source; ``licence`` and ``citation`` as its owners ask.
        synthetic: Whether any row is not real.
        digest: SHA-256 over everything else, set by `DatasetWriter.finish`.
        notes: Further facts (splits, conversions, duplicates).
    """

    format: int = columns.FORMAT
    labels: tuple[str, ...]
    covered: tuple[bool, ...]
    kind: Literal["multilabel", "single"] = "multilabel"
    size: int | None
    fit: str | None
    kernel: str | None
    namespace: str
    patients: bool
    source: str
    licence: str = ""
    citation: str = ""
    synthetic: bool = False
    digest: str = ""
    notes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def unnamed(self) -> int:
        """Images without a patient id, where all others name a real patient."""
        return int(self.notes.get(UNNAMED, 0))

    def to_json(self) -> dict[str, Any]:
        """JSON-able form."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any], file: Path | None = None) -> DatasetInfo:
        """The inverse of `to_json`.

        Raises:
            InputError: Another format version, a missing key, a value of the wrong form.
        """
        version = record.get("format")
        if version != columns.FORMAT:
            raise InputError(f"format {version!r}; this program reads {columns.FORMAT}", file=file)
        names = {f.name for f in dataclasses.fields(cls)} & record.keys()
        try:
            values = {name: record[name] for name in names}
            values["labels"] = tuple(map(str, record["labels"]))
            values["covered"] = tuple(map(bool, record["covered"]))
            info = cls(**values)
        except (KeyError, TypeError) as error:
            raise InputError(f"a key is missing or wrong: {error}", file=file) from None
        what = ""
        if len(info.covered) != len(info.labels) or len(set(info.labels)) != len(info.labels):
            what = "labels and covered do not belong together"
        elif info.kind not in ("multilabel", "single"):
            what = f"kind {info.kind!r} is not multilabel or single"
        elif info.size is not None and (not isinstance(info.size, int) or info.size < 1):
            what = f"size {info.size!r} is not a number of pixels"
        if what:
            raise InputError(what, file=file)
        return info


def check_table(table: pd.DataFrame, info: DatasetInfo, file: Path | str) -> None:
    """Check the cells of a manifest.

    Raises:
        InputError: With row and column.
    """
    check_values(table[SPLIT], (*columns.SPLITS, ""), file, "train, val, test or blank")
    check_values(table[columns.SOURCE], columns.SOURCES, file, "real, synthetic or edited")
    for name in info.labels:
        check_values(table[name], columns.VALUES, file, "1, 0, -1 or blank")
    if info.kind == "single":
        ones = (table[list(info.labels)] == "1").sum(axis=1).to_numpy()
        for row in np.flatnonzero(ones > 1)[:1]:
            what = "two labels are 1 in a single-label set"
            raise InputError(what, file=file, row=int(row) + 2)
    paths = table[columns.IMAGE] if info.size is not None else pd.Series(dtype=str)
    for row, what in path_faults(paths, lambda row: f"row {row + 2}"):
        raise InputError(what, file=file, row=row + 2, column=columns.IMAGE)
    for row, what in split_faults(table):
        hint = "a patient belongs to one split; make new splits with --split-by 0.8,0.1,0.1"
        raise InputError(what, file=file, row=row + 2, column=SPLIT, hint=hint)


def check_values(cells: pd.Series, allowed: Sequence[str], file: Path | str, expected: str) -> None:
    """Refuse a column with a value outside ``allowed``, naming the first row that holds one."""
    for row in np.flatnonzero(~cells.isin(allowed))[:1]:
        what = f"{cells.iloc[row]!r} is not {expected}"
        raise InputError(what, file=file, row=int(row) + 2, column=str(cells.name))


#: What every path contains that leaves its folder, and hardly any other.
_DOUBTFUL_PATH = r"^[/\\~]|^[^/]:|\.\."


def leaves_folder(name: str) -> bool:
    """Whether a relative path would leave the folder it is relative to (symlinks aside)."""
    return (
        name.startswith(("/", "\\", "~"))
        or (".." in name and ".." in name.replace("\\", "/").split("/"))
        or name[1:2] == ":"
    )


def path_faults(cells: pd.Series, place: Callable[[int], str]) -> Iterator[tuple[int, str]]:
    """Blank, escaping and repeated image paths: position and what is wrong.

    Args:
        cells: Relative to the data folder.
        place: What a position is called, such as "row 7".
    """
    doubtful = (cells == "") | cells.str.contains(_DOUBTFUL_PATH)
    if cells.is_unique and not doubtful.any():
        return
    first: dict[str, int] = {}
    for position, path in enumerate(cells.tolist()):
        before = first.setdefault(path, position)
        if not path:
            yield position, "no image is named"
        elif leaves_folder(path):
            yield position, f"the path {path!r} leaves the data folder"
        elif before != position:
            yield position, f"the image {path!r} stands in {place(before)} already"


def split_faults(table: pd.DataFrame) -> Iterator[tuple[int, str]]:
    """Rows of patients who stood in another split before: index and what is wrong."""
    part = table.loc[(table[PATIENT] != "") & (table[SPLIT] != ""), [PATIENT, SPLIT]]
    if len(part.drop_duplicates()) == part[PATIENT].nunique():
        return
    first = part.drop_duplicates(PATIENT).set_index(PATIENT)[SPLIT]
    for row, patient, split in part.itertuples():
        if split != first[patient]:
            yield row, f"patient {patient!r} stands in {split} here and in {first[patient]} before"


def ordered(table: pd.DataFrame, labels: Sequence[str]) -> pd.DataFrame:
    """The table with the columns of every manifest, in the order of `FIRST`, labels, the rest."""
    needed = (*columns.FIRST, columns.PIXEL_KEY, columns.PATIENT_KEY)
    table = table.assign(**dict.fromkeys((n for n in needed if n not in table), ""))
    last = (columns.ORIGIN, columns.PIXEL_KEY, columns.PREPARED_KEY, columns.PATIENT_KEY)
    middle = [n for n in table.columns if n not in (*columns.FIRST, *labels, *last)]
    return table[[*columns.FIRST, *labels, *middle, *(n for n in last if n in table.columns)]]


def digest_of(info: DatasetInfo, manifest_sha256: str, index_sha256: str) -> str:
    """SHA-256 over the content of a dataset directory, from the hashes of its two tables."""
    record = info.to_json()
    del record["digest"]
    own = sha256_bytes(canonical_json(record).encode("utf-8"))
    return sha256_bytes("\n".join((own, manifest_sha256, index_sha256)).encode())
