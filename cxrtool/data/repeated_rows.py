"""Several rows of one image (readers, boxes, a table joined twice) as one, by a named rule.

In: a table, what its rows are joined by, its label columns. Out: one row for each image, and what
was joined: how many rows, and in how many images each label differs. Without a rule only rows whose
labels agree are one image; which of two readers is right is for the user to say.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from cxrtool.data.columns import PATIENT, SPLIT, STUDY

#: Note of ``dataset.json``, see `JoinedRows.to_json`.
ROWS_NOTE = "rows_joined"
HINT = "say how rows of one image become one: --rows any, majority or first"
#: An image has one of each, whatever the rule.
_ONE_EACH = (PATIENT, STUDY, SPLIT)
ONE_EACH_HINT = "an image has one; correct the table, or leave such images out with --skip-bad"
#: Where a row stands; of joined rows the first place is kept.
_PLACES = ("table_file", "table_row")
_VALUES = np.array(["", "0", "-1", "1"], dtype=object)  # by their rank
_RANK = {value: rank for rank, value in enumerate(_VALUES)}

#: Takes the index of a row that cannot be used, the reason, its column and a hint.
Reject = Callable[[int, str, str, str | None], None]


@dataclass(frozen=True)
class JoinedRows:
    """A table with one row for each key.

    Attributes:
        table: In the order of the first rows, with their index.
        images: Keys that had several rows.
        rows: Rows of these.
        disagreements: Label -> images in which its cells differ; only labels with any.
        first_kept: Other column -> images in which its cells differ, so that the first one that is
            not blank stands for all.
    """

    table: pd.DataFrame
    images: int = 0
    rows: int = 0
    disagreements: Mapping[str, int] = field(default_factory=dict)
    first_kept: Mapping[str, int] = field(default_factory=dict)

    def to_json(self, rule: str | None) -> dict[str, Any]:
        """A note for ``dataset.json``."""
        return {
            "rule": rule,
            "images": self.images,
            "rows": self.rows,
            "disagreements": dict(self.disagreements),
            "first_kept": dict(self.first_kept),
        }


def join_rows(
    table: pd.DataFrame,
    keys: Sequence[str],
    labels: Sequence[str],
    rule: str | None,
    reject: Reject,
) -> JoinedRows:
    """Join the rows of one image.

    Args:
        table: All cells `str`; labels are ``1``, ``0``, ``-1`` or blank. Columns ``table_file`` and
            ``table_row``, where there are any, say where a row stands.
        keys: Columns that name an image together; rows in which all are blank stand for themselves.
        labels: Label columns.
        rule: ``any`` (the strongest cell, 1 > -1 > 0 > blank), ``majority`` (what more than half of
            the cells that are not blank say, else -1) or ``first`` (the cells of the first row);
            None = labels must agree.
        reject: Takes every row of an image that cannot be joined; may raise.

    Returns:
        The table; rows that were rejected are not in it.
    """
    code = table.groupby(list(keys), sort=False).ngroup().to_numpy()
    named = (table[list(keys)] != "").any(axis=1).to_numpy(bool)
    several = named & (np.bincount(code, minlength=1)[code] > 1)
    if not several.any():
        return JoinedRows(table)
    positions = np.flatnonzero(several)
    positions = positions[np.argsort(code[positions], kind="stable")]
    groups = _Groups(table.iloc[positions], code[positions])
    ones = [name for name in _ONE_EACH if name in table]
    differ = {name: groups.differ(groups.ranks(name)) for name in labels}
    faults = {name: groups.differ(groups.codes(name)) for name in ones}
    faults |= differ if rule is None else {}
    bad = np.any([*faults.values(), np.zeros(groups.count, bool)], axis=0)
    for group in np.flatnonzero(bad).tolist():
        column = next(name for name, faulty in faults.items() if faulty[group])
        hint = ONE_EACH_HINT if column in ones else HINT
        for row, reason in groups.complaints(group, column, keys):
            reject(row, reason, column, hint)

    first = positions[groups.starts]
    cells = {name: _VALUES[groups.joined(name, rule or "first")] for name in labels}
    first_kept: dict[str, int] = {}
    for name in map(str, table.columns.difference([*labels, *keys, *_PLACES], sort=False)):
        codes = groups.codes(name)
        cells[name] = groups.part[name].to_numpy(dtype=object)[groups.first_filled(codes)]
        if count := int((groups.differ(codes) & ~bad).sum()):
            first_kept[name] = count
    keep = ~several
    keep[first[~bad]] = True
    joined = {name: table[name].to_numpy(dtype=object).copy() for name in cells}
    for name, values in cells.items():
        joined[name][first] = values
    disagreements = {name: int((rows & ~bad).sum()) for name, rows in differ.items()}
    return JoinedRows(
        table.assign(**joined)[keep],
        images=int((~bad).sum()),
        rows=int(groups.sizes[~bad].sum()),
        disagreements={name: count for name, count in disagreements.items() if count},
        first_kept=first_kept,
    )


class _Groups:
    """The rows of G images, image by image.

    Args:
        part: The rows [M], sorted by image.
        image: Number of the image of each row [M].
    """

    def __init__(self, part: pd.DataFrame, image: np.ndarray) -> None:
        self.part = part
        self.starts = np.flatnonzero(np.diff(image, prepend=-1))
        self.sizes = np.diff(self.starts, append=len(image))
        self.count = len(self.starts)

    def ranks(self, label: str) -> np.ndarray:
        """The strength of label cells: int64 [M]."""
        return np.asarray(self.part[label].map(_RANK), np.int64)

    def codes(self, name: str) -> np.ndarray:
        """Equal numbers for equal cells: int64 [M], -1 = blank."""
        cells = self.part[name].str.strip()
        return np.asarray(pd.factorize(cells.where(cells != ""))[0], np.int64)

    def differ(self, codes: np.ndarray) -> np.ndarray:
        """Images with two different codes, where -1 is none: bool [G]."""
        lowest = np.where(codes < 0, np.iinfo(np.int64).max, codes)
        high = np.maximum.reduceat(codes, self.starts)
        return np.asarray((high >= 0) & (np.minimum.reduceat(lowest, self.starts) != high))

    def first_filled(self, codes: np.ndarray) -> np.ndarray:
        """Positions of the first code of each image that is not -1, else of its first row: [G]."""
        order = np.arange(len(codes)) + np.where(codes < 0, len(codes), 0)
        return np.asarray(np.minimum.reduceat(order, self.starts) % len(codes))

    def joined(self, label: str, rule: str) -> np.ndarray:
        """The rank of the joined cell of each image: int64 [G]."""
        ranks = self.ranks(label)
        if rule == "first":
            return np.asarray(ranks[self.starts])
        if rule == "any":
            return np.asarray(np.maximum.reduceat(ranks, self.starts))
        votes = np.stack(
            [np.add.reduceat((ranks == r).astype(int), self.starts) for r in (1, 2, 3)]
        )
        most = votes.argmax(axis=0) + 1
        strict = 2 * votes.max(axis=0) > votes.sum(axis=0)
        return np.where(votes.any(axis=0), np.where(strict, most, _RANK["-1"]), _RANK[""])

    def complaints(self, group: int, column: str, keys: Sequence[str]) -> Iterator[tuple[int, str]]:
        """Rows of an image that disagree in a column: index and reason, the fault itself first."""
        start, size = self.starts[group], self.sizes[group]
        rows = self.part.iloc[start : start + size]
        filled = rows[rows[column] != ""] if column in _ONE_EACH else rows
        here = filled.index[(filled[column] != filled[column].iloc[0]).to_numpy()][0]
        before = filled.index[0]
        row = rows["table_row"][before] if "table_row" in rows else str(before)
        place = f"in row {row}" if row.isdigit() else "before"
        name = "/".join(rows.loc[before, list(keys)])
        one, other = (
            repr(cell) if cell else "blank" for cell in filled.loc[[here, before], column]
        )
        yield int(here), f"the image {name!r} has {one} here and {other} {place}"
        for index in rows.index.drop(here):
            yield int(index), f"rows of the image {name!r} disagree"
