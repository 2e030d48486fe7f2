"""The form of a dataset directory: its columns, its ``dataset.json``, and what cells may hold.

In: a table or a JSON record. Out: the same, checked: `InputError` names the row and the column of
the first cell that is wrong.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from cxrtool.core.errors import InputError
from cxrtool.core.files import canonical_json, pretty_json, sha256_bytes
from cxrtool.data.columns import (
    FIRST,
    FORMAT,
    IMAGE,
    ORIGIN,
    PATIENT,
    PATIENT_KEY,
    PIXEL_KEY,
    PREPARED_KEY,
    SOURCE,
    SOURCES,
    SPLIT,
    SPLITS,
    VALUES,
)
from cxrtool.data.columns import RESERVED as RESERVED


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
        patients: Whether ``patient_id`` names real patients.
        source: Title of the source; ``licence`` and ``citation`` as its owners ask.
        synthetic: Whether any row is not real.
        digest: SHA-256 over everything else, set by `DatasetWriter.finish`.
        notes: Further facts (splits, conversions, duplicates).
    """

    format: int = FORMAT
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

    def to_json(self) -> dict[str, Any]:
        """JSON-able form."""
        record = dataclasses.asdict(self)
        record["labels"], record["covered"] = list(self.labels), list(self.covered)
        return record

    @classmethod
    def from_json(cls, record: Mapping[str, Any], file: Path | None = None) -> DatasetInfo:
        """The inverse of `to_json`.

        Raises:
            InputError: Another format version, a missing key, a value of the wrong form.
        """
        version = record.get("format")
        if version != FORMAT:
            raise InputError(f"format {version!r}; this program reads {FORMAT}", file=file)
        names = {f.name for f in dataclasses.fields(cls)}
        try:
            values = {name: record[name] for name in names if name in record}
            values["labels"] = tuple(map(str, record["labels"]))
            values["covered"] = tuple(map(bool, record["covered"]))
            info = cls(**values)
        except (KeyError, TypeError) as error:
            raise InputError(f"a key is missing or wrong: {error}", file=file) from None
        if len(info.covered) != len(info.labels) or len(set(info.labels)) != len(info.labels):
            raise InputError("labels and covered do not belong together", file=file)
        if info.kind not in ("multilabel", "single"):
            raise InputError(f"kind {info.kind!r} is not multilabel or single", file=file)
        if info.size is not None and (not isinstance(info.size, int) or info.size < 1):
            raise InputError(f"size {info.size!r} is not a number of pixels", file=file)
        return info


def check_table(table: pd.DataFrame, info: DatasetInfo, file: Path | str) -> None:
    """Check the cells of a manifest.

    Raises:
        InputError: With row and column.
    """
    check_values(table[SPLIT], (*SPLITS, ""), file, "train, val, test or blank")
    check_values(table[SOURCE], SOURCES, file, "real, synthetic or edited")
    for name in info.labels:
        check_values(table[name], VALUES, file, "1, 0, -1 or blank")
    if info.kind == "single" and info.labels:
        ones = sum((table[name] == "1").to_numpy(dtype=np.int8) for name in info.labels)
        wrong = np.flatnonzero(np.asarray(ones) > 1)
        if len(wrong):
            raise InputError(
                "two labels are 1 in a single-label set", file=file, row=int(wrong[0]) + 2
            )
    if info.size is not None:
        check_paths(table[IMAGE], file, IMAGE)
    check_patients(table, file)


def check_values(cells: pd.Series, allowed: Sequence[str], file: Path | str, wanted: str) -> None:
    """Refuse a column with a value outside ``allowed``, naming the first row that holds one."""
    codes, values = pd.factorize(cells)
    for code, value in enumerate(values):
        if value not in allowed:
            row = int(np.flatnonzero(codes == code)[0]) + 2
            raise InputError(
                f"{value!r} is not {wanted}", file=file, row=row, column=str(cells.name)
            )


def leaves_folder(name: str) -> bool:
    """Whether a relative path would leave the folder it is relative to (symlinks aside)."""
    return (
        name.startswith(("/", "\\", "~"))
        or ".." in name.replace("\\", "/").split("/")
        or (len(name) > 1 and name[1] == ":")
    )


def check_paths(cells: pd.Series, file: Path | str, column: str) -> None:
    """Refuse blank, repeated, absolute and escaping image paths, naming the row."""
    paths = cells.tolist()
    suspects = [i for i, p in enumerate(paths) if not p or p[0] in "/\\~" or ".." in p or ":" in p]
    for index in suspects:
        if not paths[index]:
            raise InputError("no image is named", file=file, row=index + 2, column=column)
        if leaves_folder(paths[index]):
            raise InputError(
                f"the path {paths[index]!r} leaves the data folder",
                file=file,
                row=index + 2,
                column=column,
            )
    if len(set(paths)) < len(paths):
        twice = int(np.flatnonzero(cells.duplicated().to_numpy())[0])
        first = paths.index(paths[twice])
        raise InputError(
            f"the image {paths[twice]!r} stands in row {first + 2} already",
            file=file,
            row=twice + 2,
            column=column,
        )


def check_patients(table: pd.DataFrame, file: Path | str) -> None:
    """Refuse a patient who stands in two splits, naming the row of the second one."""
    known = (table[PATIENT] != "").to_numpy() & (table[SPLIT] != "").to_numpy()
    if not known.any():
        return
    part = table.loc[known, [PATIENT, SPLIT]]
    # Same patient, other split: the pair is new although the patient is not.
    pairs = part.drop_duplicates()
    again = pairs[PATIENT].duplicated()
    if again.any():
        index = pairs.index[np.flatnonzero(again.to_numpy())[0]]
        patient, split = str(table[PATIENT].loc[index]), str(table[SPLIT].loc[index])
        other = str(part[SPLIT][(part[PATIENT] == patient).to_numpy()].iloc[0])
        raise InputError(
            f"patient {patient!r} stands in {split} here and in {other} before",
            file=file,
            row=int(index) + 2,
            column=SPLIT,
            hint="a patient belongs to one split; make new splits with --split-by 0.8,0.1,0.1",
        )


def ordered(table: pd.DataFrame, labels: Sequence[str]) -> pd.DataFrame:
    """The table with the columns of every manifest, in the order of `FIRST`, labels, the rest."""
    table = table.copy(deep=False)
    for name in (*FIRST, PIXEL_KEY, PATIENT_KEY):
        if name not in table.columns:
            table[name] = ""
    rest = [n for n in table.columns if n not in FIRST and n not in labels]
    tail = [n for n in (ORIGIN, PIXEL_KEY, PREPARED_KEY, PATIENT_KEY) if n in rest]
    middle = [n for n in rest if n not in tail]
    return table[[*FIRST, *labels, *middle, *tail]]


def digest_of(info: DatasetInfo, manifest_sha256: str, index_sha256: str) -> str:
    """SHA-256 over the content of a dataset directory, from the hashes of its two tables."""
    record = info.to_json()
    del record["digest"]
    own = sha256_bytes(canonical_json(record).encode("utf-8"))
    return sha256_bytes("\n".join((own, manifest_sha256, index_sha256)).encode())


def info_text(info: DatasetInfo) -> str:
    """The text of ``dataset.json``."""
    return pretty_json(info.to_json())
