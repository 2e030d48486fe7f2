"""Reads reports as they lie on disk, one after the other.

In: a table (CSV, TSV, JSON lines or JSON, also ``.gz``, or Parquet), a folder of ``.txt`` or Open-i
``.xml`` files, an archive of them (``.tgz``, ``.tar``, ``.zip``), or a single such file. Out: a
stream of `Report`; at no time is more than one report in memory. What is wrong with one report is
handed to ``reject``; what is wrong with the whole source is raised.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from cxrtool.core.errors import InputError
from cxrtool.core.reading import is_text, open_file, read_bytes
from cxrtool.data.archives import ARCHIVES, Document, Reject, documents
from cxrtool.data.columns import FINDINGS, IMPRESSION, PATIENT, REPORT, STUDY
from cxrtool.data.sources.openi import parse_report
from cxrtool.data.tables import JSON, JSON_LINES, SUFFIXES, read_rows
from cxrtool.reports.report import Report

_TEXTS = (".txt", ".xml")
#: What MIMIC-CXR's table of sections has instead of ``study_id``, and for reports without headers.
_STUDY, _LAST = "study", "last_paragraph"


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
            JSON lines, ``[`` for a JSON array, anything else for CSV with a header.

    Raises:
        InputError: The source is missing, of no known form, damaged, or holds no report.
    """
    good = bad = 0

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
        for report in _guard(_source(path, note, (id_column, text_column), stdin), note):
            good += 1
            yield report
        if not good and bad:
            what = f"holds no report that can be read ({bad:,} are bad)"
            hint = "without --skip-bad the first one is shown"
            raise InputError(what, file=path, hint=hint)
        if not good:
            raise InputError("holds no report", file=path)
    except InputError as error:
        raise named(error) from error


def _source(path: Path, reject: Reject, columns: tuple[str, str], stdin: bool) -> Iterator[Report]:
    name = path.name.lower()
    if stdin:
        with open_file(path) as stream:
            start = stream.read(4096).lstrip(b"\xef\xbb\xbf \t\r\n")
        form = {b"{": JSON_LINES, b"[": JSON}.get(start[:1], ",")
        return _from_table(path, form, reject, columns)
    if path.is_dir() or name.endswith(ARCHIVES):
        return _from_files(documents(path, _TEXTS, reject), reject)
    if name.endswith(_TEXTS):
        return _from_files(iter([(path.name, str(path), read_bytes(path))]), reject)
    if name.removesuffix(".gz").endswith(SUFFIXES):
        return _from_table(path, None, reject, columns)
    hint = "known endings: " + " ".join(SUFFIXES + ARCHIVES)
    raise InputError("is no table, folder or archive of reports by its name", file=path, hint=hint)


def _from_files(files: Iterator[Document], reject: Reject) -> Iterator[Report]:
    """Reports whose id is the name of their file without folder and ending."""
    for name, place, data in files:
        study = PurePosixPath(name).stem
        try:
            if name.lower().endswith(".xml"):
                report = parse_report(data, place)
                if not report.sections:
                    raise InputError("no AbstractText: this is no Open-i report", file=place)
                text = report.text
            else:
                text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            reject(InputError(f"line {line} is not UTF-8 text", file=place), study)
        except InputError as error:
            reject(error, study)
        else:
            yield Report(study, text, "", place)


def _guard(reports: Iterator[Report], reject: Reject) -> Iterator[Report]:
    """Rejects blank and repeated ids and texts that were not UTF-8."""
    places: dict[str, int | str] = {}  # the row of a table, or a file
    for report in reports:
        problem: str
        column: str | None = None
        if not report.study.strip():
            problem, column = "the report has no id", STUDY
        elif report.study in places:
            first = places[report.study]
            where = f"row {first}" if report.row else first
            problem = f"the id {report.study!r} occurs twice, first in {where}"
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
        places[report.study] = report.row or report.where
        yield report


def _from_table(
    path: Path, form: str | None, reject: Reject, columns: tuple[str, str]
) -> Iterator[Report]:
    """The reports of a table.

    Args:
        path: The file.
        form: Its form, where the name does not tell (`cxrtool.data.tables.form_of`).
        reject: Takes what is wrong with a single row.
        columns: Those of the ids and of the texts. Where there is no column ``report``,
            ``findings`` and ``impression`` are joined under their headers. Where there is no
            column ``study_id``, ``study`` is taken, as MIMIC-CXR's table of sections calls it,
            and its ``last_paragraph`` stands for a report without headers.

    Raises:
        InputError: The table lacks a column, or is damaged as a whole.
    """
    study, text = columns

    def check(names: Sequence[str], row: int) -> None:
        if len(names) == 1 and (mark := next((c for c in ";\t|" if c in names[0]), "")):
            hint = "write the table with commas, or name a table with tabs .tsv"
            raise InputError(
                f"the columns are separated by {mark!r}", file=path, row=row, hint=hint
            )
        sections = text == REPORT and not {FINDINGS, IMPRESSION}.isdisjoint(names)
        other_id = study == STUDY and _STUDY in names
        instead = ((study, "--id-column", other_id), (text, "--text-column", sections))
        for column, option, other in instead:
            if column not in names and not other:
                hint = f"name it with {option}; columns: {', '.join(names[:20])}"
                what = "the column is missing"
                raise InputError(what, file=path, row=row, column=column, hint=hint)

    rows = read_rows(path, form, bad=lambda error: reject(error, ""), check=check)
    for row, cells in rows:
        body = cells[text] if text in cells else under_headers(cells) or cells.get(_LAST, "")
        name = cells[study if study in cells else _STUDY]
        yield Report(name, body, cells.get(PATIENT, ""), str(path), row)


def under_headers(cells: dict[str, str]) -> str:
    """Findings and impression as one text, each under its header; "" where both are blank."""
    parts = ((name, cells.get(name, "")) for name in (FINDINGS, IMPRESSION))
    return "\n".join(f"{name.upper()}: {part}" for name, part in parts if part.strip())
