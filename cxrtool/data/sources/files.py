"""Finding tables and images below a source, and taking bad rows out.

In: the path a person typed and what the format's files are called. Out: the table's path, the root
of the images, an index of image files by name. Nothing is decoded here.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from cxrtool.core.errors import InputError
from cxrtool.data.label_columns import CORRECT, NO_VALUE, Columns, bad_cells
from cxrtool.data.sources.base import Rejected, SourceOptions

#: What counts as an image file, lower case.
IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".gif", ".webp", ".pgm", ".ppm"}
)


def need_source(source: Path | None, form: str) -> Path:
    """The source, which must exist.

    Raises:
        InputError: No source was given, or there is no such file or folder.
    """
    if source is None:
        raise InputError(f"the format {form} needs a source folder or file")
    if not source.exists():
        raise InputError("no such file or folder", file=source)
    return source


def read_text(path: Path) -> str:
    """The content of a UTF-8 file.

    Raises:
        InputError: It cannot be read, or is not UTF-8.
    """
    try:
        return decode(path.read_bytes(), path)
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
        raise InputError(
            f"not UTF-8 text (byte 0x{data[error.start]:02x})",
            file=name,
            row=data.count(b"\n", 0, error.start) + 1,
            hint="convert it, for example: iconv -f latin1 -t utf-8",
        ) from None


def find_tables(folder: Path, patterns: Sequence[str]) -> list[Path]:
    """Files that match a pattern in a folder, else in its immediate subfolders.

    Returns:
        Sorted; those of the folder itself, or of the first subfolder that has any.
    """
    places = [folder, *sorted(child for child in folder.iterdir() if child.is_dir())]
    for place in places:
        found = sorted({path for pattern in patterns for path in place.glob(pattern)})
        found = [path for path in found if path.is_file()]
        if found:
            return found
    return []


def nothing_found(source: Path, form: str, wanted: str) -> InputError:
    """The error for a source that holds nothing of the format."""
    return InputError(
        f"nothing of the format {form} here: no {wanted}",
        file=source,
        hint="give the folder that holds it, or another --format",
    )


def index_images(
    root: Path, suffixes: Iterable[str] = IMAGE_SUFFIXES, *, skip: frozenset[str] = frozenset()
) -> dict[str, str]:
    """Image files below a folder by their name.

    Args:
        root: Folder, searched recursively; hidden folders are left out.
        suffixes: What counts as an image, lower case with the dot.
        skip: Names of folders not to enter.

    Returns:
        Name -> path relative to ``root`` with ``/``. Where a name occurs twice the first in sorted
        order stands.
    """
    wanted = tuple(suffixes)
    found: dict[str, str] = {}
    for folder, names, files in os.walk(root):
        names[:] = sorted(name for name in names if not name.startswith(".") and name not in skip)
        base = os.path.relpath(folder, root).replace(os.sep, "/")
        prefix = "" if base == "." else base + "/"
        for file in sorted(files):
            if file.lower().endswith(wanted) and not file.startswith("."):
                found.setdefault(file, prefix + file)
    return found


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
    found = [table.get(key, left) for key, left in zip(column.tolist(), other, strict=True)]
    return pd.Series(found, index=column.index, dtype=str)


def rows(table: pd.DataFrame, path: Path) -> dict[str, object]:
    """The ``table_file`` and ``table_row`` columns of a table made by `read_table`."""
    return {"table_file": str(path), "table_row": pd.Series(table.index, table.index).astype(str)}


class Sieve:
    """Takes bad rows out of a table: an error for the first, or with ``skip_bad`` a record of each.

    Args:
        options: Says whether bad rows are skipped.

    Attributes:
        rejected: What was taken out so far.
    """

    def __init__(self, options: SourceOptions) -> None:
        self._skip = options.skip_bad
        self.rejected: list[Rejected] = []

    def drop(
        self,
        table: pd.DataFrame,
        bad: np.ndarray | pd.Series,
        reason: str,
        *,
        file: Path,
        column: str,
        ref: str | None = None,
        hint: str | None = None,
    ) -> pd.DataFrame:
        """The table without its bad rows.

        Args:
            table: Index = row numbers, as `read_table` gives them.
            bad: bool [N].
            reason: What is wrong; ``{value}`` stands for the cell.
            file: The table's file.
            column: The column at fault.
            ref: The column that names the image; None = ``column``.
            hint: The next step for the user.

        Raises:
            InputError: A row is bad and bad rows are not skipped.
        """
        bad = np.asarray(bad, dtype=bool)
        if not bad.any():
            return table
        for row, cell, name in zip(
            table.index[bad], table[column][bad], table[ref or column][bad], strict=True
        ):
            text = reason.format(value=repr(cell))
            if not self._skip:
                raise InputError(text, file=file, row=int(row), column=column, hint=hint)
            self.rejected.append(
                Rejected(ref=name, reason=text, file=str(file), row=int(row), column=column)
            )
        return table[~bad]

    def labels(
        self,
        table: pd.DataFrame,
        labels: Sequence[str],
        *,
        file: Path,
        ref: str | None = None,
        found: Columns | None = None,
    ) -> pd.DataFrame:
        """The table without the rows in which a label is none of 1, 0, -1 and blank.

        Args:
            table: As for `drop`.
            labels: Its label columns.
            file: The table's file.
            ref: The column that names the image.
            found: How the labels were found, where nobody named them.

        Raises:
            InputError: There is such a cell, and bad rows are not skipped.
        """
        for name in labels:
            hint = found.hint(name) if found and name in found.said else CORRECT
            bad, reason = bad_cells(table[name]), f"{{value}} {NO_VALUE}"
            table = self.drop(table, bad, reason, file=file, column=name, ref=ref, hint=hint)
        return table

    def reject(
        self,
        reason: str,
        *,
        ref: str,
        file: Path | str,
        hint: str | None = None,
    ) -> None:
        """Record a bad file, or complain about it.

        Raises:
            InputError: Bad entries are not skipped.
        """
        if not self._skip:
            raise InputError(reason, file=file, hint=hint)
        self.rejected.append(Rejected(ref=ref, reason=reason, file=str(file)))
