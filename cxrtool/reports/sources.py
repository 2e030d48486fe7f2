"""Reads reports as they lie on disk, one after the other.

In: a table (CSV, TSV or JSON lines, also ``.gz``), a folder of ``.txt`` or Open-i ``.xml`` files,
an archive of them (``.tgz``, ``.tar``, ``.zip``), or a single such file. Out: a stream of `Report`;
at no time is more than one report in memory. What is wrong with one report is handed to ``reject``;
what is wrong with the whole source is raised.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from cxrtool.core.errors import InputError
from cxrtool.reports.report import (
    ARCHIVE_SUFFIXES,
    PATIENT,
    REPORT,
    STUDY,
    TABLE_SUFFIXES,
    TEXT_SUFFIXES,
    Reject,
    Report,
    is_text,
)
from cxrtool.reports.source_files import from_files, in_folder, in_tar, in_zip
from cxrtool.reports.source_tables import from_csv, from_json_lines

__all__ = ["PATIENT", "REPORT", "STUDY", "Reject", "Report", "read_reports"]


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
    bad = 0

    def named(error: InputError) -> InputError:
        """The error as the user knows its file."""
        if not stdin or str(error.file) != str(path):
            return error
        row, column = error.row, error.column
        return InputError(error.reason, file="stdin", row=row, column=column, hint=error.hint)

    def note(error: InputError, study: str) -> None:
        nonlocal bad
        bad += 1
        reject(named(error), study)

    try:
        yield from _counted(path, note, id_column, text_column, stdin, lambda: bad)
    except InputError as error:
        raise named(error) from error


def _counted(
    path: Path,
    note: Reject,
    id_column: str,
    text_column: str,
    stdin: bool,
    rejected: Callable[[], int],
) -> Iterator[Report]:
    """The reports; an error where there is none."""
    reports = _guard(_source(path, note, id_column, text_column, stdin), note)
    first = next(reports, None)
    bad = rejected()
    if first is None and bad:
        hint = "without --skip-bad the first one is shown"
        raise InputError(
            f"holds no report that can be read ({bad:,} are bad)", file=path, hint=hint
        )
    if first is None:
        raise InputError("holds no report", file=path)
    yield first
    yield from reports


def _source(
    path: Path, reject: Reject, id_column: str, text_column: str, stdin: bool
) -> Iterator[Report]:
    if path.is_dir():
        return from_files(in_folder(path, reject), reject)
    name = path.name.lower()
    if stdin:
        with open(path, "rb") as stream:
            start = stream.read(4096).lstrip(b"\xef\xbb\xbf \t\r\n")
        lines, sep = start.startswith(b"{"), ","
    elif name.endswith(ARCHIVE_SUFFIXES):
        members = in_zip(path, reject) if name.endswith(".zip") else in_tar(path, reject)
        return from_files(members, reject)
    elif name.endswith(TEXT_SUFFIXES):
        return from_files(iter([(path.name, str(path), path.read_bytes())]), reject)
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
    return from_json_lines(path, reject, columns) if lines else from_csv(path, sep, reject, columns)


def _guard(reports: Iterator[Report], reject: Reject) -> Iterator[Report]:
    """Rejects blank and repeated ids and texts that were not UTF-8."""
    seen: dict[str, str] = {}
    for report in reports:
        place = f"row {report.row}" if report.row else report.where
        problem: str
        column: str | None = None
        if not report.study.strip():
            problem, column = "the report has no id", STUDY
        elif report.study in seen:
            problem = f"the id {report.study!r} occurs twice, first in {seen[report.study]}"
        else:
            cells = ((REPORT, report.text), (STUDY, report.study), (PATIENT, report.patient))
            column = next((name for name, text in cells if not is_text(text)), None)
            problem = "the text is not UTF-8" if column else ""
        if problem:
            error = InputError(
                problem,
                file=report.where,
                row=report.row,
                column=column if report.row else None,
                hint="--skip-bad records such reports in rejected.csv and goes on",
            )
            reject(error, report.study if is_text(report.study) else "")
            continue
        seen[report.study] = place
        yield report
