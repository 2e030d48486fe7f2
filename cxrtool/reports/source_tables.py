"""Reports in a table: CSV, TSV or JSON lines, plain or gzipped.

In: a file whose records hold an id and a text. Out: a stream of `Report`. Records are counted as an
editor of tables counts them: the header is row 1, a text with line breaks is one row.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from cxrtool.core.errors import InputError
from cxrtool.reports.report import (
    FINDINGS,
    IMPRESSION,
    MAX_BYTES,
    PATIENT,
    REPORT,
    Reject,
    Report,
    is_text,
)


def _open_text(path: Path) -> IO[str]:
    try:
        # Closed by the caller, with the text layer around it.
        raw: Any = (gzip.open if path.name.lower().endswith(".gz") else open)(path, "rb")
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", file=path) from None
    return io.TextIOWrapper(raw, encoding="utf-8-sig", errors="surrogateescape", newline="")


def from_csv(path: Path, sep: str, reject: Reject, columns: tuple[str, str]) -> Iterator[Report]:
    csv.field_size_limit(MAX_BYTES)
    with _open_text(path) as stream:
        reader = csv.reader(stream, delimiter=sep, strict=True)
        header: list[str] | None = None
        row = 0
        while True:
            row += 1
            try:
                fields = next(reader)
            except StopIteration:
                break
            except (csv.Error, EOFError, zlib.error, OSError) as error:
                problem = InputError(f"damaged table: {error}", file=path, row=row)
                if header is None or not isinstance(error, csv.Error):
                    raise problem from None
                reject(problem, "")
                continue
            if header is None:
                header = [name.strip() for name in fields]
                if not is_text("".join(header)):
                    raise InputError(
                        "the header is not UTF-8 text",
                        file=path,
                        row=1,
                        hint="convert it, for example: iconv -f utf-16 -t utf-8",
                    )
                pick = _picker(header, columns, path)
                continue
            if not any(fields):
                continue
            if len(fields) != len(header):
                reject(
                    InputError(
                        f"{len(fields)} fields where the header has {len(header)}",
                        file=path,
                        row=row,
                        hint="a report with commas or line breaks must stand in double quotes",
                    ),
                    "",
                )
                continue
            yield pick(dict(zip(header, fields)), row)
        if header is None:
            raise InputError("the table is empty", file=path)


def from_json_lines(path: Path, reject: Reject, columns: tuple[str, str]) -> Iterator[Report]:
    with _open_text(path) as stream:
        for row, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
                if not isinstance(record, dict):
                    raise ValueError(f"a {type(record).__name__}")
                cells = {str(k): _cell(v) for k, v in record.items()}
                report = _picker(list(cells), columns, path, row)(cells, row)
            except InputError as error:
                reject(error, "")
            except (ValueError, RecursionError) as error:
                reason = str(error).partition(";")[0]
                reject(InputError(f"not a JSON object: {reason}", file=path, row=row), "")
            else:
                yield report


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"a value is {type(value).__name__} where text belongs")
    return str(value)


def _picker(
    header: list[str], columns: tuple[str, str], path: Path, row: int = 1
) -> Callable[[dict[str, str], int], Report]:
    """A function from a record to its report; refuses a table without the columns."""
    study, text = columns
    shown = ", ".join(header[:20])
    for name in header:
        if header.count(name) > 1:
            raise InputError("the column occurs twice", file=path, row=row, column=name)
    if len(header) == 1 and (found := next((c for c in ";\t|" if c in header[0]), "")):
        raise InputError(
            f"the columns are separated by {found!r}",
            file=path,
            row=row,
            hint="write the table with commas, or name a table with tabs .tsv",
        )
    if study not in header:
        raise InputError(
            "the column is missing",
            file=path,
            row=row,
            column=study,
            hint=f"name it with --id-column; columns: {shown}",
        )
    parts = [name for name in (FINDINGS, IMPRESSION) if name in header]
    if text not in header and (text != REPORT or not parts):
        raise InputError(
            "the column is missing",
            file=path,
            row=row,
            column=text,
            hint=f"name it with --text-column; columns: {shown}",
        )

    def pick(cells: dict[str, str], row: int) -> Report:
        if text in cells:
            body = cells[text]
        else:
            body = "\n".join(f"{p.upper()}: {cells[p]}" for p in parts if cells[p].strip())
        return Report(cells[study], body, cells.get(PATIENT, ""), str(path), row)

    return pick
