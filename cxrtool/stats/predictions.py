"""Tables of results as CSV.

In: records, or probabilities [N, L] and which rows of a manifest they belong to. Out: CSV text. A
row is named by its number as a spreadsheet counts it (the header is row 1), which names nobody.
"""

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cxrtool.data.tables import for_people


@dataclass(frozen=True)
class Records:
    """Rows of one table: mappings with the same keys, and the keys where there are no rows."""

    records: list[dict[str, Any]]
    columns: Sequence[str] = field(default_factory=list)

    def cells(self) -> tuple[list[str], list[list[str]]]:
        """Column names, and the cells as text."""
        columns = list(self.records[0] if self.records else self.columns)
        return columns, [[_cell(record[name]) for name in columns] for record in self.records]


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """CSV text with a header, cells quoted where they must be, for people (`for_people`)."""
    cells = [[for_people(cell) for cell in row] for row in (columns, *rows)]
    # The csv module leaves a carriage return unquoted, which every reader takes for a line break.
    wild = any("\r" in str(cell) for row in cells for cell in row)
    buffer = io.StringIO()
    if wild:
        csv.writer(buffer, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(cells)
    else:
        csv.writer(buffer, lineterminator="\n").writerows(cells)
    return buffer.getvalue()


def prediction_rows(
    rows: np.ndarray, probabilities: np.ndarray, before: Mapping[str, Sequence[str] | str]
) -> list[list[str]]:
    """Cells of a prediction table: what stands before, the row number, one probability a label.

    Probabilities have all their digits, so that scores of the file are those of the report.

    Args:
        rows: [N] positions in the manifest, from 0.
        probabilities: [N, L] float.
        before: Leading columns; one text for all rows, or one a row.
    """
    leading = [
        [value] * len(rows) if isinstance(value, str) else list(value) for value in before.values()
    ]
    return [
        [*(column[i] for column in leading), str(int(row) + 2), *(repr(float(p)) for p in cells)]
        for i, (row, cells) in enumerate(zip(rows, probabilities))
    ]
