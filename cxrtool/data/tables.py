"""Reading tables: every cell a text, every damage a clear error.

In: a CSV or TSV file (``.gz`` too), UTF-8 with or without a byte order mark. Out: a DataFrame of
strings in which "NA" is the text NA, "007" keeps its zeros and a missing value is "".
"""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from cxrtool.core.errors import InputError


def read_table(path: Path, *, sep: str | None = None, check_width: bool = True) -> pd.DataFrame:
    """Read a table whose first record names the columns.

    Args:
        path: The file.
        sep: The separator; None takes a tab for ``.tsv`` and a comma otherwise.
        check_width: Also refuse records with too few fields (a second pass over the text).

    Returns:
        All cells `str`; record k of the file (header = 1) is position k - 2.

    Raises:
        InputError: Missing, not UTF-8, not a table, a record too long or too short (with its row),
            a column name twice.
    """
    name = path.name.removesuffix(".gz")
    sep = sep or ("\t" if name.endswith((".tsv", ".tab")) else ",")
    data = _bytes_of(path)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = data.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"line {row} is not UTF-8 text (byte 0x{data[error.start]:02x})",
            file=path,
            row=row,
            hint="convert it, for example: iconv -f latin1 -t utf-8",
        ) from None
    del data
    if "\0" in text:
        raise InputError(
            f"line {text.count(chr(10), 0, text.index(chr(0))) + 1} holds a NUL byte; "
            "this is no text table",
            file=path,
        )
    if not text.strip():
        raise InputError("the table is empty", file=path)
    try:
        # header=None: the first record fixes the number of fields, and no column becomes an index.
        table = pd.read_csv(
            io.StringIO(text),
            sep=sep,
            header=None,
            dtype=str,
            na_filter=False,
            skip_blank_lines=False,
        )
    except pd.errors.ParserError as error:
        found = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", str(error))
        if found:
            raise InputError(
                f"{found[3]} fields where the header has {found[1]}",
                file=path,
                row=int(found[2]),
                hint="a text with commas or line breaks must stand in double quotes",
            ) from None
        reason = str(error).removeprefix("Error tokenizing data. C error: ")
        raise InputError(f"not a readable table: {reason}", file=path) from None
    header = [str(cell).strip() for cell in table.iloc[0]]
    table = table.iloc[1:].reset_index(drop=True)
    table.columns = pd.Index(header)
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise InputError("the column stands twice in the header", file=path, column=twice[0])
    blank = (table == "").all(axis=1).to_numpy() if len(header) > 1 else None
    if blank is not None and blank.any():
        end = len(table)
        while end and blank[end - 1]:
            end -= 1
        table = table.iloc[:end]
    if check_width and len(header) > 1 and (table.iloc[:, -1] == "").any():
        _check_width(text, sep, len(header), path, len(table))
    return table


def _bytes_of(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise InputError("a directory where a table should be", file=path)
        data = path.read_bytes()
        return gzip.decompress(data) if path.suffix == ".gz" else data
    except FileNotFoundError:
        raise InputError("no such file", file=path) from None
    except (gzip.BadGzipFile, EOFError) as error:
        raise InputError(f"damaged gzip file: {error}", file=path) from None
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", file=path) from None


def _check_width(text: str, sep: str, width: int, path: Path, records: int) -> None:
    """Find a record that is too short; pandas fills such records up without a word."""
    csv.field_size_limit(1 << 30)
    for row, fields in enumerate(csv.reader(io.StringIO(text, newline=""), delimiter=sep), start=1):
        if row > records + 1:
            return
        if len(fields) != width and fields:
            raise InputError(
                f"{len(fields)} fields where the header has {width}", file=path, row=row
            )


def write_table(table: pd.DataFrame, *, header: bool = True) -> str:
    """The CSV text of a table: UTF-8, ``\\n``, quotes where needed; equal tables, equal text."""
    text = table.to_csv(index=False, header=header, lineterminator="\n")
    if "\r" in text:
        # pandas leaves a carriage return unquoted, which every reader takes for a line break.
        text = table.to_csv(index=False, header=header, lineterminator="\n", quoting=csv.QUOTE_ALL)
    return text


def require_columns(table: pd.DataFrame, columns: Iterable[str], path: Path) -> None:
    """Refuse a table that lacks a column.

    Raises:
        InputError: Names the column, and the ones that are there.
    """
    for name in columns:
        if name not in table.columns:
            shown = ", ".join(map(str, table.columns[:30]))
            raise InputError(
                "the column is missing", file=path, row=1, column=name, hint=f"columns: {shown}"
            )
