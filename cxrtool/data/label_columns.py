"""Which columns of a table are labels, and which of their cells are none.

In: a table of strings. Out: the columns that are labels, why every other one is none, and the cells
that spoil a label. A column is a label where at least nine in ten of its cells that are not blank
hold 1, 0 or -1: one cell that is something else is a mistake in a label, which is reported with its
row, and no reason to leave the label out.
"""

import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from cxrtool.data.maps import is_observation

#: At least so many of so many cells that are not blank hold a label value.
_LABEL_OF = (9, 10)
#: Note of ``dataset.json``: column -> why it is no label.
NOTE = "columns_not_labels"
BLANK, BY_NAME, OTHER_VALUES = "blank", "by name", "other values"
NOT_NAMED, BESIDE_CLASS = "not in --label-columns", "beside the column of classes"
NO_VALUE = "is not 1, 0, -1 or blank"
CORRECT = "correct the cell (unknown = blank), or leave such rows out with --skip-bad"
_SHOWN = 8  # columns named in one message for one reason


def plain_value(cell: str) -> str | None:
    """A label cell as ``1``, ``0``, ``-1`` or blank; None for anything else.

    White space around it does not count, and ``1.0`` is 1.
    """
    cell = cell.strip()
    try:
        number = float(cell)
    except ValueError:
        return None if cell else ""
    return str(int(number)) if number in (1.0, 0.0, -1.0) else None


def bad_cells(column: pd.Series) -> np.ndarray:
    """Which cells are neither a label value nor blank: bool [N]."""
    bad = [value for value in column.unique() if plain_value(value) is None]
    return np.asarray(column.isin(bad), bool)


@dataclass(frozen=True)
class Columns:
    """What a look at a table found.

    Attributes:
        labels: Columns that are labels, in the order of the table.
        left: Every other column that was looked at -> why it is no label.
        said: Label -> what speaks for it, where a cell of it is bad: "39 of its 40 cells".
    """

    labels: tuple[str, ...]
    left: Mapping[str, str]
    said: Mapping[str, str] = field(default_factory=dict)

    def hint(self, column: str) -> str:
        """What to do about a bad cell of a column that was taken for a label."""
        sound = ",".join(name for name in self.labels if name not in self.said) or "A,B"
        return (
            f"{CORRECT}; {self.said[column]} are label values, so it is taken for a label: if it"
            f" is none, name those that are: --label-columns {shlex.quote(sound)}"
        )


def find_labels(
    frame: pd.DataFrame, *, skip: Collection[str] = (), no_labels: Collection[str] = ()
) -> Columns:
    """The columns that are labels, by what stands in them.

    Args:
        frame: All cells `str`.
        skip: Columns that are known to be something else: nothing is said of them.
        no_labels: Columns that are no labels, by their name.
    """
    labels: list[str] = []
    left: dict[str, str] = {}
    said: dict[str, str] = {}
    for name in map(str, frame.columns):
        if name in skip:
            continue
        filled = int((frame[name].str.strip() != "").sum())
        bad = int(bad_cells(frame[name]).sum())
        if name in no_labels:
            left[name] = BY_NAME
        elif not filled:
            left[name] = BLANK
        elif bad == filled:
            left[name] = OTHER_VALUES
        elif (filled - bad) * _LABEL_OF[1] < filled * _LABEL_OF[0]:
            left[name] = f"{bad:,} of {filled:,} cells are no label values"
        else:
            labels.append(name)
            if bad:
                said[name] = f"{filled - bad:,} of its {filled:,} cells"
    return Columns(tuple(labels), left, said)


def sentences(left: Mapping[str, str]) -> Iterator[tuple[str, bool]]:
    """What to tell a person of columns that are no labels; True marks a warning.

    A warning is due where a column has the name of an observation and yet is none.
    """
    if left:
        yield f"not labels: {listed(left)}", False
    for name, why in left.items():
        if why not in (BLANK, BY_NAME, NOT_NAMED, BESIDE_CLASS) and is_observation(name):
            what = "no cell is 1, 0 or -1" if why == OTHER_VALUES else why
            yield (
                f"column {name!r} has the name of an observation and is not taken for a label: "
                f"{what}; write 1, 0, -1 or blank",
                True,
            )


def listed(left: Mapping[str, str]) -> str:
    """Columns that are no labels, by the reason."""
    reasons: dict[str, list[str]] = {}
    for name, why in left.items():
        reasons.setdefault(why, []).append(name)
    return "; ".join(f"{_some(names)} ({why})" for why, names in reasons.items())


def _some(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more:,} more" if more > 0 else "")
