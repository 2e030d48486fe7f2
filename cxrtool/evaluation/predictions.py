"""Predictions as a table.

In: probabilities [N, L] and which rows of a manifest they belong to. Out: CSV text. A row is named
by its number as a spreadsheet counts it (the header is row 1), which names nobody.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence

import numpy as np


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """CSV text with a header, cells quoted where they must be."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return buffer.getvalue()


def prediction_rows(
    rows: np.ndarray, probabilities: np.ndarray, before: Mapping[str, Sequence[str] | str]
) -> list[list[str]]:
    """Cells of a prediction table: what stands before, the row number, one probability a label.

    Args:
        rows: [N] positions in the manifest, from 0.
        probabilities: [N, L] float.
        before: Leading columns; one text for all rows, or one a row.
    """
    leading = [
        [value] * len(rows) if isinstance(value, str) else list(value) for value in before.values()
    ]
    return [
        [*(column[i] for column in leading), str(int(row) + 2), *(f"{p:.6g}" for p in cells)]
        for i, (row, cells) in enumerate(zip(rows, probabilities))
    ]
