"""The table of a source, checked and brought to the manifest's values in one place for all formats.

In: a `SourceTable` as its reader made it. Out: the same with label cells ``1``, ``0``, ``-1``,
blank, and a list of rows that cannot be used. Every complaint names file and row of the source.
"""

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from cxrtool.core.errors import InputError
from cxrtool.data import hierarchy
from cxrtool.data.columns import PATIENT, RESERVED, SPLITS, counts_of, each_value
from cxrtool.data.label_columns import (
    CORRECT,
    NO_VALUE,
    WORDS_NOTE,
    bad_cells,
    plain_value,
    words_of,
)
from cxrtool.data.maps import canonical
from cxrtool.data.repeated_rows import ROWS_NOTE, join_rows
from cxrtool.data.schema import path_faults, split_faults
from cxrtool.data.sources import details
from cxrtool.data.sources.base import Rejected, SourceTable


class Checker:
    """Finds the rows of a source that cannot be used.

    Args:
        source: The source.
        skip_bad: Collect bad rows instead of raising at the first.

    """

    def __init__(self, source: SourceTable, *, skip_bad: bool) -> None:
        self._skip = skip_bad
        self._look_at(source)
        self._bad: dict[int, Rejected] = {}
        self._earlier: list[Rejected] = []

    def reject(
        self,
        position: int,
        reason: str,
        *,
        column: str,
        file: str = "",
        hint: str | None = None,
    ) -> None:
        """Put a row on the list, or raise.

        Args:
            position: Row of the source's table.
            reason: What is wrong.
            column: The column at fault.
            file: The file at fault where it is not the table.
            hint: The next step for the user.

        Raises:
            InputError: Bad rows are not skipped.
        """
        cells = self._places.loc[position]
        table_file, row = cells["table_file"], cells["table_row"]
        row = int(row) if row.isdigit() else None
        if not self._skip:
            if file and table_file and file != table_file:
                reason = f"{reason} ({file})"
            place = table_file or file or None
            raise InputError(reason, file=place, row=row, column=column, hint=hint)
        error = InputError(reason, file=file or table_file, row=row, column=column)
        self._bad.setdefault(position, Rejected(cells["image_ref"], error))

    def go_on_with(self, source: SourceTable) -> None:
        """Take another table with other positions; what was rejected of the last one stays so."""
        self._earlier += [self._bad[i] for i in sorted(self._bad)]
        self._look_at(source)
        self._bad = {}

    def _look_at(self, source: SourceTable) -> None:
        """Keep of a source what says where its rows stand; its labels may go when others come."""
        self._refused = source.rejected
        self._places = source.table[["table_file", "table_row", "image_ref"]]

    @property
    def rejected(self) -> list[Rejected]:
        """What was found: first what the reader left out, then in the order of the table."""
        now = [self._bad[i] for i in sorted(self._bad)]
        return [*self._refused, *self._earlier, *now]

    @property
    def good(self) -> np.ndarray:
        """Positions that may be used, ascending."""
        return np.delete(np.arange(len(self._places)), sorted(self._bad))


def check_source(
    source: SourceTable,
    checker: Checker,
    *,
    labels_only: bool,
    own_split: bool = True,
    rows: str | None = None,
    file: Path | None = None,
) -> SourceTable:
    """Check labels, splits and references; bring label cells to the manifest's values.

    Several rows of one image become one, see `cxrtool.data.repeated_rows`.

    Args:
        source: As its reader made it.
        checker: Takes the bad rows.
        labels_only: No image is needed.
        own_split: The source's own split will be used, if it has one.
        rows: The rule for several rows of one image.
        file: What the source is called in errors on it as a whole.

    Raises:
        InputError: The source is empty or unfit as a whole, or a row is bad and not skipped.
    """
    table = source.table
    if not len(table):
        hint = "look at rejected.csv" if source.rejected else None
        raise InputError("holds no images", file=file or "the source", hint=hint)
    for clash in sorted(set(source.labels) & RESERVED):
        raise InputError(f"a label may not be called {clash!r}", hint="rename it: --map-labels")
    cleaned, words = {}, {}
    for name in source.labels:
        cells = table[name]
        counts = counts_of(cells)
        if of_words := words_of(counts):
            words[name] = of_words
        values = {cell: plain_value(cell) for cell in counts}
        if None in values.values():
            for position in np.flatnonzero(bad_cells(cells)):
                reason = f"{cells[position]!r} {NO_VALUE}"
                checker.reject(int(position), reason, column=name, hint=CORRECT)
        if any(cell != value for cell, value in values.items()):
            cells = each_value(cells, {cell: v or "" for cell, v in values.items()}.__getitem__)
        cleaned[name] = cells
    table = table.assign(**cleaned)
    nobody = (table[PATIENT] != "") & (table[PATIENT].str.strip() == "")
    if nobody.any():
        table[PATIENT] = table[PATIENT].mask(nobody, "")
    table, emptied = details.clean(table)
    emptied = details.added(source.notes.get(details.NOTE, {}), emptied)
    notes = {
        **source.notes,
        **({WORDS_NOTE: words} if words else {}),
        **({details.NOTE: emptied} if emptied else {}),
    }
    for position in np.flatnonzero(~table["split"].isin([*SPLITS, ""])):
        reason = f"{table['split'][position]!r} is not train, val or test"
        checker.reject(int(position), reason, column="split")
    patients = source.patients and bool((table[PATIENT] != "").any())
    source = dataclasses.replace(source, table=table, notes=notes, patients=patients)
    source = _one_row_each(source, checker, rows)
    table = source.table
    if own_split and source.official_split:
        hint = "make new splits with --split-by 0.8,0.1,0.1, or leave these rows out: --skip-bad"
        for row, what in split_faults(table):
            checker.reject(row, what, column="split", hint=hint)
    if not labels_only:

        def place(position: int) -> str:
            number = str(table["table_row"].iloc[position])
            return f"row {number}" if number.isdigit() else "the source"

        for row, what in path_faults(table["image_ref"], place):
            checker.reject(row, what, column=source.image_column)
    return source


def _one_row_each(source: SourceTable, checker: Checker, rule: str | None) -> SourceTable:
    """A source with one row for each image, and a note of what was joined."""
    if source.table["image_ref"].is_unique:
        return source
    table = source.table.iloc[checker.good]
    joined = join_rows(
        table,
        ["image_ref"],
        source.labels,
        rule,
        lambda row, reason, column, hint: checker.reject(row, reason, column=column, hint=hint),
    )
    if not joined.images:
        return source
    kind = source.kind
    if kind == "single" and ((joined.table[list(source.labels)] == "1").sum(axis=1) != 1).any():
        kind = "multilabel"
    source = dataclasses.replace(
        source,
        table=joined.table,
        kind=kind,
        notes={**source.notes, ROWS_NOTE: joined.to_json(rule)},
    )
    checker.go_on_with(source)
    return source


def rename_labels(source: SourceTable, mapping: Mapping[str, str]) -> SourceTable:
    """Give labels their new names; several old labels under one name are joined.

    The joined cell is the strongest of 1 > -1 > 0 > blank; the joined label is covered where any of
    its parts is. A label that becomes one of which it is a kind (`cxrtool.data.hierarchy`) says
    less where it is absent: its 0 neither fills a blank of the parent, nor counts where the parent
    has kinds without a label. Parents that come about so follow all of their kinds.

    Args:
        source: Checked by `check_source`.
        mapping: Old name -> new name; names that the source does not have are passed over.

    Raises:
        InputError: A new name is a column of the manifest.
    """
    parts: dict[str, list[str]] = {}
    for name in source.labels:
        parts.setdefault(mapping.get(name, name), []).append(name)
    if list(parts) == list(source.labels):
        return source
    for clash in sorted(set(parts) & RESERVED):
        raise InputError(f"a label may not be called {clash!r}")
    covered = dict(zip(source.labels, source.covered, strict=True))

    def part(name: str, new: str) -> pd.Series:
        cells = source.table[name]
        weak = hierarchy.is_kind(name, new) and (
            canonical(new) in hierarchy.OPEN or new in parts[new]
        )
        return cells.where(cells != "0", "") if weak else cells

    columns = {
        new: functools.reduce(hierarchy.stronger, (part(name, new) for name in names))
        for new, names in parts.items()
    }
    derived = {new for new, names in parts.items() if any(hierarchy.is_kind(n, new) for n in names)}
    cells = hierarchy.follow(pd.DataFrame(columns, index=source.table.index), derived)
    return dataclasses.replace(
        source,
        table=source.table.drop(columns=list(source.labels)).join(cells),
        labels=tuple(parts),
        covered=tuple(any(covered[name] for name in old) for old in parts.values()),
    )
