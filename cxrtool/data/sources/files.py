"""Finding tables and images below a source, and taking bad rows out.

In: the path a person typed and what the format's files are called. Out: the table's path, the root
of the images, an index of image files by name. Nothing is decoded here.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from cxrtool.core.errors import InputError
from cxrtool.core.reading import read_bytes
from cxrtool.data.label_columns import CORRECT, NO_VALUE, Columns, bad_cells
from cxrtool.data.sources.base import Rejected, SourceOptions
from cxrtool.data.sources.tree import IMAGE_SUFFIXES, entries


def read_text(path: Path) -> str:
    """The content of a UTF-8 file.

    Raises:
        InputError: It cannot be read, or is not UTF-8.
    """
    try:
        return decode(read_bytes(path), path)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", file=path) from None


def decode(data: bytes, name: Path | str) -> str:
    """UTF-8 text of a file's bytes.

    Raises:
        InputError: Not UTF-8.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = data.count(b"\n", 0, error.start) + 1
        what = f"not UTF-8 text (byte 0x{data[error.start]:02x})"
        hint = "convert it, for example: iconv -f latin1 -t utf-8"
        raise InputError(what, file=name, row=row, hint=hint) from None


def find_tables(folder: Path, patterns: Iterable[str]) -> list[Path]:
    """Files that match a pattern, plain or gzipped, in a folder, else in its immediate subfolders.

    Returns:
        Sorted; those of the folder itself, or of the first subfolder that has any.
    """
    patterns = [pattern + end for pattern in patterns for end in ("", ".gz")]
    for place in (folder, *sorted(child for child in folder.iterdir() if child.is_dir())):
        paths = {path for pattern in patterns for path in place.glob(pattern) if path.is_file()}
        if paths:
            return sorted(paths)
    return []


def the_table(source: Path, form: str, pattern: str) -> Path:
    """The table of a format: the source itself, or the one below it.

    Raises:
        InputError: There is none, or there are several.
    """
    if not source.is_dir():
        return source
    paths = find_tables(source, [pattern])
    if not paths:
        raise nothing_found(source, form, pattern)
    if len(paths) > 1:
        names = " and ".join(path.name for path in paths)
        hint = f"give the one that is meant: cxr prepare {paths[-1]} --format {form}"
        raise InputError(f"there are several tables of labels, {names}", file=source, hint=hint)
    return paths[-1]


def nothing_found(source: Path, form: str, what: str, left: Iterable[str] = ()) -> InputError:
    """The error for a source that holds nothing of the format.

    Args:
        source: Where it was looked for.
        form: The format.
        what: What there should be.
        left: Why each file that was looked at is none.
    """
    reasons = ", ".join(f"{reason}: {n:,}" for reason, n in Counter(left).most_common())
    return InputError(
        f"nothing of the format {form} here: no {what}" + (f" ({reasons})" if reasons else ""),
        file=source,
        hint="give the folder that holds it, or another --format",
    )


def files_below(root: Path) -> Iterator[str]:
    """Files below a folder that may be read (see `entries`), relative with ``/``."""
    return (ref for ref, why in entries(root) if not why)


def images_below(root: Path, suffixes: tuple[str, ...] = IMAGE_SUFFIXES) -> Iterator[str]:
    """Those of `files_below` with one of some endings."""
    return (path for path in files_below(root) if path.lower().endswith(suffixes))


def look_up(
    column: pd.Series, table: Mapping[str, str], default: pd.Series | str = ""
) -> pd.Series:
    """What a mapping says about each cell.

    Args:
        column: Keys.
        table: The mapping.
        default: For cells that are no key: a text, or one for each row.
    """
    other = [default] * len(column) if isinstance(default, str) else default
    cells = [table.get(key, left) for key, left in zip(column.tolist(), other, strict=True)]
    return pd.Series(cells, index=column.index, dtype=str)


def rows(table: pd.DataFrame, path: Path) -> dict[str, object]:
    """The ``table_file`` and ``table_row`` columns of a table made by `read_table`."""
    return {"table_file": str(path), "table_row": pd.Series(table.index, table.index).astype(str)}


class Sieve:
    """Takes bad rows out of a table: an error for the first, or with ``skip_bad`` a record of each.

    Args:
        options: Says whether bad rows are skipped.
        file: The file of the table.
        ref: The column that names the image; "" where that is the column at fault.

    Attributes:
        rejected: What was taken out so far.
    """

    def __init__(self, options: SourceOptions, file: Path | str = "", ref: str = "") -> None:
        self._skip = options.skip_bad
        self.file, self.ref = file, ref
        self.rejected: list[Rejected] = []

    def drop(
        self,
        table: pd.DataFrame,
        bad: np.ndarray | pd.Series,
        column: str,
        reason: str,
        hint: str | None = None,
    ) -> pd.DataFrame:
        """The table without its bad rows.

        Args:
            table: Index = row numbers, as `read_table` gives them; where the sieve has no file, the
                columns ``table_file`` and ``table_row`` say where a row stands.
            bad: bool [N].
            column: The column at fault.
            reason: What is wrong; ``{value}`` stands for the cell.
            hint: The next step for the user.

        Raises:
            InputError: A row is bad and bad rows are not skipped.
        """
        bad = np.asarray(bad, dtype=bool)
        wrong = table[bad]
        places = not self.file and {"table_file", "table_row"} <= set(table.columns)
        files = wrong["table_file"] if places else [self.file] * len(wrong)
        numbers = wrong["table_row"] if places else wrong.index.astype(str)
        cells = zip(files, numbers, wrong[column], wrong[self.ref or column], strict=True)
        for file, row, cell, ref in cells:
            what = reason.format(value=repr(cell))
            number = int(row) if row.isdigit() else None
            error = InputError(what, file=file, row=number, column=column, hint=hint)
            self.reject(error, ref)
        return table[~bad] if bad.any() else table

    def labels(
        self, table: pd.DataFrame, labels: Sequence[str], columns: Columns | None = None
    ) -> pd.DataFrame:
        """The table without the rows in which a label is none of 1, 0, -1 and blank.

        Args:
            table: As for `drop`.
            labels: Its label columns.
            columns: How the labels were found, where nobody named them.

        Raises:
            InputError: There is such a cell, and bad rows are not skipped.
        """
        for name in labels:
            hint = columns.hint(name) if columns and name in columns.said else CORRECT
            table = self.drop(table, bad_cells(table[name]), name, f"{{value}} {NO_VALUE}", hint)
        return table

    def reject(self, error: InputError, ref: str) -> None:
        """Record what is bad, or complain about it.

        Raises:
            InputError: Bad entries are not skipped.
        """
        if not self._skip:
            raise error
        self.rejected.append(Rejected(ref, error))
