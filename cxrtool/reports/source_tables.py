"""Reports in a table: which of its columns hold the ids, the patients and the texts.

In: a table of any form that `cxrtool.data.tables` reads. Out: a stream of `Report`.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from cxrtool.core.errors import InputError
from cxrtool.data.archives import Reject
from cxrtool.data.columns import FINDINGS, IMPRESSION, PATIENT, REPORT
from cxrtool.data.tables import read_rows
from cxrtool.reports.report import Report


def from_table(
    path: Path, form: str | None, reject: Reject, columns: tuple[str, str]
) -> Iterator[Report]:
    """The reports of a table.

    Args:
        path: The file.
        form: Its form, where the name does not tell (`cxrtool.data.tables.form_of`).
        reject: Takes what is wrong with a single row.
        columns: Those of the ids and of the texts. Where there is no column ``report``,
            ``findings`` and ``impression`` are joined under their headers.

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
        for column, option in ((study, "--id-column"), (text, "--text-column")):
            if column not in names and not (column == text and sections):
                hint = f"name it with {option}; columns: {', '.join(names[:20])}"
                what = "the column is missing"
                raise InputError(what, file=path, row=row, column=column, hint=hint)

    rows = read_rows(path, form, bad=lambda error: reject(error, ""), check=check)
    for row, cells in rows:
        body = cells[text] if text in cells else under_headers(cells)
        yield Report(cells[study], body, cells.get(PATIENT, ""), str(path), row)


def under_headers(cells: dict[str, str]) -> str:
    """Findings and impression as one text, each under its header; "" where both are blank."""
    parts = ((name, cells.get(name, "")) for name in (FINDINGS, IMPRESSION))
    return "\n".join(f"{name.upper()}: {part}" for name, part in parts if part.strip())
