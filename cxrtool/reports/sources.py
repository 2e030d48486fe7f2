"""Reads reports as they lie on disk, one after the other.

In: a table (CSV, TSV or JSON lines, also ``.gz``), a folder of ``.txt`` or Open-i ``.xml`` files,
an archive of them (``.tgz``, ``.tar``, ``.zip``), or a single such file. Out: a stream of `Report`;
at no time is more than one report in memory. What is wrong with one report is handed to ``reject``;
what is wrong with the whole source is raised.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from cxrtool.errors import InputError
from cxrtool.reports.openi import report_text

STUDY, PATIENT, REPORT, FINDINGS, IMPRESSION = (
    "study_id",
    "patient_id",
    "report",
    "findings",
    "impression",
)
MAX_BYTES = 64 * 2**20  # of one report
TEXT_SUFFIXES = (".txt", ".xml")
TABLE_SUFFIXES = (".csv", ".tsv", ".tab", ".jsonl", ".ndjson")
ARCHIVE_SUFFIXES = (".tgz", ".tar.gz", ".tar", ".tar.bz2", ".tar.xz", ".zip")

Reject = Callable[[InputError, str], None]


@dataclass(frozen=True, slots=True)
class Report:
    """One report.

    Attributes:
        study: Its id, as text.
        text: As it was written.
        patient: Id of the patient, or "".
        where: File or archive member, for messages.
        row: Row of the table (the header is 1), or None.
    """

    study: str
    text: str
    patient: str = ""
    where: str = ""
    row: int | None = None


def read_reports(
    path: Path,
    reject: Reject,
    *,
    id_column: str = STUDY,
    text_column: str = REPORT,
    stdin: bool = False,
) -> Iterator[Report]:
    """The reports of a source, in its order (folders: by name).

    Args:
        path: The source.
        reject: Called with the error and the id (or "") of a report that cannot be read; it may
            raise the error, or note it and return.
        id_column: Column with the ids of a table.
        text_column: Column with the reports of a table. Where it is missing, ``findings`` and
            ``impression`` are joined under their headers.
        stdin: ``path`` is a copy of stdin: its form is told from its first character, ``{`` for
            JSON lines, anything else for CSV with a header.

    Raises:
        InputError: The source is missing, of no known form, damaged, or holds no report.
    """
    reports = _guard(_source(path, reject, id_column, text_column, stdin), reject)
    first = next(reports, None)
    if first is None:
        raise InputError("holds no report", file=path)
    yield first
    yield from reports


def _source(
    path: Path, reject: Reject, id_column: str, text_column: str, stdin: bool
) -> Iterator[Report]:
    if path.is_dir():
        return _from_files(_folder(path, reject), reject)
    name = path.name.lower()
    if stdin:
        with open(path, "rb") as stream:
            start = stream.read(4096).lstrip(b"\xef\xbb\xbf \t\r\n")
        lines, sep = start.startswith(b"{"), ","
    elif name.endswith(ARCHIVE_SUFFIXES):
        members = _zip(path, reject) if name.endswith(".zip") else _tar(path, reject)
        return _from_files(members, reject)
    elif name.endswith(TEXT_SUFFIXES):
        return _from_files(iter([(path.name, str(path), path.read_bytes())]), reject)
    else:
        plain = name.removesuffix(".gz")
        if not plain.endswith(TABLE_SUFFIXES):
            raise InputError(
                "is no table, folder or archive of reports by its name",
                file=path,
                hint="known endings: " + " ".join(TABLE_SUFFIXES + ARCHIVE_SUFFIXES),
            )
        lines = plain.endswith((".jsonl", ".ndjson"))
        sep = "," if plain.endswith(".csv") else "\t"
    columns = (id_column, text_column)
    return _json_lines(path, reject, columns) if lines else _csv(path, sep, reject, columns)


def _guard(reports: Iterator[Report], reject: Reject) -> Iterator[Report]:
    """Rejects blank and repeated ids and texts that were not UTF-8."""
    seen: dict[str, str] = {}
    for report in reports:
        place = f"row {report.row}" if report.row else report.where
        problem, column = "", None
        if not report.study.strip():
            problem, column = "the report has no id", STUDY
        elif report.study in seen:
            problem = f"the id {report.study!r} occurs twice, first in {seen[report.study]}"
        elif not _is_text(report.text) or not _is_text(report.study):
            problem, column = "the text is not UTF-8", REPORT
        if problem:
            error = InputError(
                problem,
                file=report.where,
                row=report.row,
                column=column if report.row else None,
                hint="--skip-bad records such reports in rejected.csv and goes on",
            )
            reject(error, report.study if _is_text(report.study) else "")
            continue
        seen[report.study] = place
        yield report


def _is_text(text: str) -> bool:
    # Bytes that are not UTF-8 arrive as lone surrogates (PEP 383).
    return not any("\udc80" <= c <= "\udcff" for c in text) if not text.isascii() else True


# ---- tables


def _open_text(path: Path) -> IO[str]:
    try:
        # Closed by the caller, with the text layer around it.
        raw: Any = (gzip.open if path.name.lower().endswith(".gz") else open)(path, "rb")
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", file=path) from None
    return io.TextIOWrapper(raw, encoding="utf-8-sig", errors="surrogateescape", newline="")


def _csv(path: Path, sep: str, reject: Reject, columns: tuple[str, str]) -> Iterator[Report]:
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


def _json_lines(path: Path, reject: Reject, columns: tuple[str, str]) -> Iterator[Report]:
    with _open_text(path) as stream:
        for row, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
                if not isinstance(record, dict):
                    raise ValueError("not an object")
                cells = {str(k): _cell(v) for k, v in record.items()}
                report = _picker(list(cells), columns, path, row)(cells, row)
            except InputError as error:
                reject(error, "")
            except ValueError as error:
                reject(InputError(f"not a JSON object: {error}", file=path, row=row), "")
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


# ---- files


def _from_files(files: Iterator[tuple[str, str, bytes]], reject: Reject) -> Iterator[Report]:
    """Reports from (name inside the source, place for messages, content)."""
    for name, place, data in files:
        study = PurePosixPath(name).stem
        try:
            if name.lower().endswith(".xml"):
                text = report_text(data, place)
            else:
                text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            reject(InputError(f"line {line} is not UTF-8 text", file=place), study)
        except InputError as error:
            reject(error, study)
        else:
            yield Report(study, text, "", place)


def _wanted(name: str) -> bool:
    parts = PurePosixPath(name).parts
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts if part != "..")
    return name.lower().endswith(TEXT_SUFFIXES) and not hidden


def _folder(path: Path, reject: Reject) -> Iterator[tuple[str, str, bytes]]:
    root = path.resolve()
    for file in sorted(p for p in path.rglob("*") if _wanted(p.relative_to(path).as_posix())):
        name = file.relative_to(path).as_posix()
        if not file.resolve().is_relative_to(root):
            reject(InputError("the link leaves the folder", file=file), PurePosixPath(name).stem)
            continue
        try:
            if file.stat().st_size > MAX_BYTES:
                reject(_too_long(str(file)), PurePosixPath(name).stem)
                continue
            yield name, str(file), file.read_bytes()
        except OSError as error:
            problem = InputError(f"cannot be read: {error.strerror or error}", file=file)
            reject(problem, PurePosixPath(name).stem)


def _leaves(name: str) -> bool:
    path = PurePosixPath(name.replace("\\", "/"))
    return path.is_absolute() or ".." in path.parts or ":" in path.parts[0] if path.parts else False


def _too_long(place: str) -> InputError:
    return InputError(f"is longer than {MAX_BYTES // 2**20} MiB: no report", file=place)


def _tar(path: Path, reject: Reject) -> Iterator[tuple[str, str, bytes]]:
    try:
        with tarfile.open(path, mode="r|*") as archive:
            for member in archive:
                place = f"{path}:{member.name}"
                if _leaves(member.name):
                    reject(InputError("the member leaves the archive's folder", file=place), "")
                elif not _wanted(member.name) or member.isdir():
                    continue
                elif not member.isreg():
                    reject(InputError("the member is a link, not a file", file=place), "")
                elif member.size > MAX_BYTES:
                    reject(_too_long(place), "")
                else:
                    stream = archive.extractfile(member)
                    yield member.name, place, stream.read() if stream else b""
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise InputError(f"damaged archive: {error}", file=path) from None


def _zip(path: Path, reject: Reject) -> Iterator[tuple[str, str, bytes]]:
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                place = f"{path}:{member.filename}"
                if _leaves(member.filename):
                    reject(InputError("the member leaves the archive's folder", file=place), "")
                elif member.is_dir() or not _wanted(member.filename):
                    continue
                elif member.flag_bits & 1:
                    reject(InputError("the member is encrypted", file=place), "")
                elif member.file_size > MAX_BYTES:
                    reject(_too_long(place), "")
                else:
                    yield member.filename, place, archive.read(member)
    except (zipfile.BadZipFile, EOFError, OSError, zlib.error, NotImplementedError) as error:
        raise InputError(f"damaged archive: {error}", file=path) from None
