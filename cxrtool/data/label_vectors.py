"""The label table of a generator: label vectors that conditions may be drawn from, with counts.

In: label values of training rows, which of them are known, and whose rows they are. Out:
``label_table.csv``, a row a vector, frequent ones first, without vectors of so few patients that
one of them might be told by it; and the same table read again, also one that a person wrote.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from cxrtool.core.config.values import closest
from cxrtool.core.errors import InputError
from cxrtool.data.tables import read_table, refuse_row, write_table

if TYPE_CHECKING:
    from cxrtool.core.runs import Run

LABEL_TABLE = "label_table.csv"
MOST_IMAGES = 10_000_000  # sum of the counts of a table


@dataclass(frozen=True)
class LabelVectors:
    """Label vectors and how often they occur.

    Attributes:
        labels: The L names.
        values: uint8 [K, L], zeros and ones.
        counts: int64 [K], images.
        rare: Training images whose vector is left out, since too few patients have it.
        unknown: Training images that are left out, since a label of theirs is unknown.
    """

    labels: tuple[str, ...]
    values: np.ndarray
    counts: np.ndarray
    rare: int = 0
    unknown: int = 0

    @classmethod
    def of(
        cls,
        labels: Sequence[str],
        values: np.ndarray,
        mask: np.ndarray,
        units: np.ndarray,
        min_units: int,
    ) -> LabelVectors:
        """The vectors of training rows that at least so many patients have.

        Args:
            labels: The L names.
            values: [N, L] in {0, 1}.
            mask: [N, L] bool, which of them are known.
            units: int64 [N], whose rows they are: a number a patient (`select.patient_groups`).
            min_units: Patients that a vector needs.
        """
        complete = np.asarray(mask.all(axis=1))
        common = common_rows(values, units, min_units, complete)
        vectors, vector = _distinct(values[common].astype(np.uint8))
        counts = np.bincount(vector, minlength=len(vectors))
        order = np.lexsort((np.arange(len(vectors)), -counts))
        rare, unknown = int((complete & ~common).sum()), int((~complete).sum())
        return cls(tuple(labels), vectors[order], counts[order], rare, unknown)

    @property
    def images(self) -> int:
        """Images of all vectors."""
        return int(self.counts.sum())

    def write(self, run: Run) -> None:
        """Write ``label_table.csv``."""
        columns = {name: self.values[:, k].astype(int) for k, name in enumerate(self.labels)}
        table = pd.DataFrame({**columns, count_column(self.labels): self.counts})
        run.write_text(LABEL_TABLE, write_table(table))


def common_rows(
    values: np.ndarray, units: np.ndarray, min_units: int, among: np.ndarray | None = None
) -> np.ndarray:
    """Rows whose label vector at least so many patients have.

    Args:
        values: [N, L] in {0, 1}.
        units: int64 [N], whose rows they are.
        min_units: Patients that a vector needs.
        among: bool [N], rows that count; None for all.

    Returns:
        bool [N], a part of `among`.
    """
    rows = np.arange(len(values)) if among is None else np.flatnonzero(among)
    common = np.zeros(len(values), bool)
    if not len(rows):
        return common
    _, vector = _distinct(values[rows])
    pairs = np.unique(np.stack([vector, units[rows]]), axis=1)
    common[rows] = (np.bincount(pairs[0]) >= min_units)[vector]
    return common


def _distinct(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The vectors [K, L] of rows [N, L], and which of them each row has [N]."""
    if not values.shape[1]:  # without labels all rows are alike; NumPy refuses to compare them
        return values[:1], np.zeros(len(values), np.int64)
    vectors, places = np.unique(values, axis=0, return_inverse=True)
    return vectors, places.reshape(-1)


def count_column(labels: Sequence[str]) -> str:
    """Name of the column of counts: ``count``, or the next one that is no label."""
    name = "count"
    while name in labels:
        name += "_"
    return name


def read_vectors(path: Path, labels: Sequence[str]) -> tuple[LabelVectors, tuple[str, ...]]:
    """Read a table of label vectors.

    Args:
        path: A table: a column a label, cells 0 and 1, and where vectors are not equally frequent a
            column ``count`` of whole numbers.
        labels: What the generator knows; a label without a column is 0 in every vector.

    Returns:
        The vectors in the order of the file, and the labels without a column.

    Raises:
        InputError: Names row and column of what is wrong.
    """
    table, count = read_table(path), count_column(labels)
    for name in table.columns:
        if name not in (*labels, count):
            hint = closest(name, (*labels, count))
            raise InputError("is no label of the generator", file=path, column=name, hint=hint)
    values = np.zeros((len(table), len(labels)), np.uint8)
    for k, name in enumerate(labels):
        if name in table.columns:
            other = ~table[name].isin(["0", "1"])
            refuse_row(table, other, "is not 0 or 1: an image takes a whole vector", path, name)
            values[:, k] = table[name] == "1"
    counts = np.ones(len(table), np.int64)
    if count in table.columns:
        other = ~table[count].str.fullmatch("[0-9]{1,9}")
        refuse_row(table, other, "is not a whole number below a billion", path, count)
        counts = table[count].to_numpy().astype(np.int64)
    if not 0 < counts.sum() <= MOST_IMAGES:
        what = "no vector" if not counts.sum() else f"counts of {counts.sum():,} images in all"
        hint = f"give counts that add up to at most {MOST_IMAGES:,}; their proportions are used"
        raise InputError(f"holds {what}", file=path, hint=hint)
    missing = tuple(name for name in labels if name not in table.columns)
    return LabelVectors(tuple(labels), values, counts), missing
