"""Tables as readers need them: rows keep their number in the file, whatever is taken out later.

In: a CSV or TSV file, plain or gzipped. Out: the strings of `cxrtool.data.tables.read_table`, with
the row number (header = row 1) as the index, so that any later complaint can name the row.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from cxrtool.core.errors import InputError
from cxrtool.data import tables


def read_bytes(path: Path) -> bytes:
    """The content of a file.

    Raises:
        InputError: It cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", file=path) from None


def read_text(path: Path) -> str:
    """The content of a UTF-8 file.

    Raises:
        InputError: It cannot be read, or is not UTF-8.
    """
    return decode(read_bytes(path), path)


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


def read_table(path: Path, required: Sequence[str] = ()) -> pd.DataFrame:
    """Read a CSV or TSV file.

    Args:
        path: File, plain or ``.gz``. Commas, tabs (``.tsv``), or semicolons as some spreadsheets
            write.
        required: Columns that must be there.

    Returns:
        All cells `str`, "" = blank; index = row number, first data row 2. Columns without a name (a
        trailing comma, a saved index) and blank rows are left out.

    Raises:
        InputError: As `cxrtool.data.tables.read_table`; or a required column is missing.
    """
    frame = tables.read_table(path, sep=";" if _semicolons(path) else None)
    frame.index = pd.RangeIndex(2, len(frame) + 2)
    frame = frame.loc[:, [bool(name) for name in frame.columns]]
    tables.require_columns(frame, required, path)
    blank = np.flatnonzero(frame.iloc[:, 0] == "") if frame.shape[1] else np.array([], int)
    if len(blank):
        empty = (frame.iloc[blank] == "").all(axis=1).to_numpy()
        frame = frame.drop(frame.index[blank[empty]])
    return frame


def _semicolons(path: Path) -> bool:
    """Whether the header is separated by semicolons."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            header = stream.readline(1 << 16)
    except (OSError, EOFError, zlib.error):
        return False  # what is wrong is said by the real reading
    return header.count(b";") > max(header.count(b","), header.count(b"\t"))
