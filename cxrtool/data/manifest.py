"""The dataset directory: ``dataset.json``, ``manifest.csv`` and ``images/``.

In: a directory written by prepare, extract-reports, synthesize or edit. Out: a `Dataset`, checked
as a whole. The way back is `cxrtool.data.writer.DatasetWriter`, the one place that writes such
directories, so that real, edited and synthetic images have the same form.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from cxrtool.data.columns import (
    AGE,
    DATASET,
    FINDINGS,
    FIRST,
    IMAGE,
    IMAGES,
    IMPRESSION,
    INDEX,
    MANIFEST,
    ORIGIN,
    PATIENT,
    PATIENT_KEY,
    PIXEL_KEY,
    PREPARED_KEY,
    PROMPT,
    REPORT,
    SEX,
    SOURCE,
    SPLIT,
    SPLITS,
    STUDY,
    SYNTHETIC,
    VIEW,
)
from cxrtool.data.schema import DatasetInfo, check_table
from cxrtool.data.tables import read_table, require_columns
from cxrtool.data.writer import DatasetWriter
from cxrtool.errors import InputError

__all__ = [
    "AGE",
    "DATASET",
    "FINDINGS",
    "FIRST",
    "IMAGE",
    "IMAGES",
    "IMPRESSION",
    "INDEX",
    "MANIFEST",
    "ORIGIN",
    "PATIENT",
    "PATIENT_KEY",
    "PIXEL_KEY",
    "PREPARED_KEY",
    "PROMPT",
    "REPORT",
    "SEX",
    "SOURCE",
    "SPLIT",
    "SPLITS",
    "STUDY",
    "SYNTHETIC",
    "VIEW",
    "Dataset",
    "DatasetInfo",
    "DatasetWriter",
    "load_dataset",
    "load_info",
]


class Sample(NamedTuple):
    """One image of a data set with what is known of it.

    Attributes:
        image: float32 [1, H, W] in [-1, 1].
        labels: float32 [L] in {0, 1}, in the order of the data set's labels.
        mask: bool [L]; where it is False the label is not known and its value means nothing.
        meta: The other cells of the manifest that are not blank.
    """

    image: np.ndarray
    labels: np.ndarray
    mask: np.ndarray
    meta: dict[str, str]


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """A dataset directory in memory (the table; pixels come from `cxrtool.data.cache`).

    Attributes:
        path: The directory.
        info: Content of ``dataset.json``.
        table: The manifest, every cell `str`, "" = blank; at least the columns of `FIRST`, the
            labels, ``pixel_key`` and ``patient_key``.
    """

    path: Path
    info: DatasetInfo
    table: pd.DataFrame

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, row: int) -> Sample:
        """One image, by its place in the manifest; labels as in training (-1 is 1, blank is 0)."""
        from cxrtool.data.cache import pixels
        from cxrtool.data.labels import LabelPolicy, label_arrays

        if not -len(self) <= row < len(self):
            raise IndexError(f"{self.path} has {len(self)} images, no number {row}")
        rows = np.array([row % len(self)])
        values, mask = label_arrays(self, rows, LabelPolicy())
        cells = self.table.iloc[rows[0]].drop(list(self.labels))
        image = np.asarray(pixels(self, rows), np.float32) / 127.5 - 1.0
        meta = {str(k): str(v) for k, v in cells.items() if v != ""}
        return Sample(image, values[0], mask[0], meta)

    def __repr__(self) -> str:
        size = "labels only" if self.info.size is None else f"{self.info.size} px"
        parts = [f"{len(self):,} images", size, f"{len(self.labels)} labels"]
        splits = self.column(SPLIT)
        counts = [f"{name} {n:,}" for name in SPLITS if (n := int((splits == name).sum()))]
        if self.info.patients:
            parts.insert(1, f"{len(set(self.column(PATIENT)) - {''}):,} patients")
        return f"Dataset({str(self.path)!r}: {', '.join(parts + counts)})"

    @property
    def frame(self) -> pd.DataFrame:
        """The manifest as a pandas table: labels are 1, 0, -1 (uncertain) or <NA>; ages numbers."""
        out = self.table.copy()
        for name in self.labels:
            out[name] = pd.to_numeric(out[name].replace("", None)).astype("Int64")
        if AGE in out:
            out[AGE] = pd.to_numeric(out[AGE].replace("", None), errors="coerce")
        return out

    def torch(
        self,
        *,
        split: str = "train",
        view: str = "frontal",
        fraction: float = 1.0,
        uncertain: str = "ones",
        blank: str = "zeros",
    ) -> Any:
        """Rows of the data set for a torch `DataLoader`.

        Args:
            split: train, val, test or all.
            view: frontal, lateral or all; has an effect where views are known.
            fraction: Share of that split's patients; 0.01 lies inside 0.1.
            uncertain: What -1 means: ones, zeros or ignore.
            blank: What a blank means: zeros or ignore.

        Returns:
            A `torch.utils.data.Dataset` of (image float32 [1, H, W] in [-1, 1], labels float32 [L],
            mask bool [L]), with the attributes ``rows`` (places in this data set) and ``labels``.

        Raises:
            InputError: No row is left; says which option left none.
        """
        from cxrtool.data.torch_dataset import TorchDataset

        return TorchDataset(self, split, view, fraction, uncertain, blank)

    @property
    def labels(self) -> tuple[str, ...]:
        """Label names in order."""
        return self.info.labels

    def column(self, name: str, rows: np.ndarray | None = None) -> np.ndarray:
        """One column as an object array of `str` [N]; blanks where there is no such column."""
        if name not in self.table.columns:
            return np.full(len(self.table) if rows is None else len(rows), "", dtype=object)
        values = self.table[name].to_numpy(dtype=object)
        return values if rows is None else values[rows]

    def image_path(self, row: int) -> Path:
        """The file of one row."""
        return self.path / str(self.table[IMAGE].iloc[row])


def load_info(path: Path) -> DatasetInfo:
    """Read ``dataset.json`` alone.

    Raises:
        InputError: Not a dataset directory, or a damaged one.
    """
    file = path / DATASET
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        what = "not a dataset directory (no dataset.json)" if path.is_dir() else "no such folder"
        raise InputError(what, file=path, hint="make one with `cxr prepare`") from None
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read: {error}", file=file) from None
    if not isinstance(record, dict):
        raise InputError("is not a JSON object", file=file)
    return DatasetInfo.from_json(record, file)


def load_dataset(path: Path) -> Dataset:
    """Read a dataset directory and check all of it but the pixels.

    Raises:
        InputError: Names file, row and column of the first thing that is wrong.
    """
    info = load_info(path)
    file = path / MANIFEST
    table = read_table(file, check_width=False)
    require_columns(table, (IMAGE, *info.labels), file)
    for name in (*FIRST, PIXEL_KEY, PATIENT_KEY):
        if name not in table.columns:
            table[name] = "real" if name == SOURCE else ""
    check_table(table, info, file)
    return Dataset(path, info, table)
