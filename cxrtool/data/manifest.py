"""The dataset directory: ``dataset.json``, ``manifest.csv`` and ``images/``.

In: a directory written by prepare, extract-reports, synthesize or edit. Out: a `Dataset`, checked
as a whole. The way back is `cxrtool.data.writer.DatasetWriter`, the one place that writes such
directories, so that real, edited and synthetic images have the same form.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cxrtool.core.errors import InputError
from cxrtool.core.reading import parse_json, read_bytes
from cxrtool.data import columns
from cxrtool.data.columns import IMAGE
from cxrtool.data.schema import DatasetInfo, check_table
from cxrtool.data.tables import read_table
from cxrtool.data.writer import DatasetWriter

__all__ = ["Dataset", "DatasetInfo", "DatasetWriter", "load_dataset", "load_info"]


@dataclass(frozen=True, eq=False)
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

    @property
    def labels(self) -> tuple[str, ...]:
        """Label names in order."""
        return self.info.labels

    def column(self, name: str, rows: np.ndarray | None = None) -> np.ndarray:
        """One column as an object array of `str` [N]; blanks where there is no such column."""
        cells = columns.cells_of(self.table, name)
        return cells if rows is None else cells[rows]

    def image_path(self, row: int) -> Path:
        """The file of one row."""
        return self.path / str(self.table[IMAGE].iloc[row])

    def cell_error(self, row: int, column: str, reason: str, hint: str | None = None) -> InputError:
        """What is wrong with a cell of the manifest, whose rows count from 0."""
        file = self.path / columns.MANIFEST
        return InputError(reason, file=file, row=row + 2, column=column, hint=hint)


def load_info(path: Path) -> DatasetInfo:
    """Read ``dataset.json`` alone.

    Raises:
        InputError: Not a dataset directory, or a damaged one.
    """
    file = path / columns.DATASET
    try:
        record = parse_json(read_bytes(file), file)
    except FileNotFoundError:
        what = "not a dataset directory (no dataset.json)" if path.is_dir() else "no such folder"
        raise InputError(what, file=path, hint="make one with `cxr prepare`") from None
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", file=file) from None
    return DatasetInfo.from_json(record, file)


def load_dataset(path: Path) -> Dataset:
    """Read a dataset directory and check all of it but the pixels.

    Raises:
        InputError: Names file, row and column of the first thing that is wrong.
    """
    info = load_info(path)
    file = path / columns.MANIFEST
    table = read_table(file, (IMAGE, *info.labels), check_width=False).reset_index(drop=True)
    for name in (*columns.FIRST, columns.PIXEL_KEY, columns.PATIENT_KEY):
        if name not in table.columns:
            table[name] = "real" if name == columns.SOURCE else ""
    check_table(table, info, file)
    return Dataset(path, info, table)
