"""Scores by subgroup: sex, age, view.

In: columns of a manifest. Out: named groups of rows. Ages are cut into decades of life that a
radiologist would name; a subgroup with fewer than `LEAST` patients is named and left out.
"""

import math
from collections.abc import Sequence

import numpy as np

from cxrtool.core.errors import UsageError

COLUMNS = ("sex", "age", "view")
LEAST = 10
AGES = ((0, 17), (18, 39), (40, 59), (60, 79), (80, 200))


def parse_by(text: str | None) -> tuple[str, ...]:
    """`--by` as column names.

    Raises:
        UsageError: Another column.
    """
    names = tuple(dict.fromkeys(n.strip() for n in (text or "").split(",") if n.strip()))
    wrong = [name for name in names if name not in COLUMNS]
    if wrong:
        raise UsageError(f"--by {', '.join(wrong)}: choose from {', '.join(COLUMNS)}")
    return names


def groups_of(column: str, cells: Sequence[str] | np.ndarray) -> dict[str, np.ndarray]:
    """Name of a subgroup -> [N] bool; cells that say nothing are a subgroup of their own.

    Args:
        column: One of `COLUMNS`.
        cells: As in the manifest.
    """
    names = np.array([_age(cell) if column == "age" else cell.strip() for cell in cells], object)
    names[names == ""] = "unknown"
    order = sorted(set(names), key=lambda name: (name == "unknown", _number(name), name))
    return {f"{column} {name}": names == name for name in order}


def _number(name: str) -> int:
    digits = "".join(c if c.isdecimal() else " " for c in name).split()
    return int(digits[0]) if digits else -1


def _age(cell: str) -> str:
    try:
        years = float(cell.strip().upper().rstrip("Y"))
    except ValueError:
        return ""
    if not math.isfinite(years):
        return ""
    for low, high in AGES:
        if low <= int(years) <= high:
            return f"{low} to {high}" if high < AGES[-1][1] else f"{low} and older"
    return ""
