"""What a report is to the readers of tables, folders and archives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cxrtool.core.errors import InputError

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


def is_text(text: str) -> bool:
    """Whether all of a text can be written as UTF-8.

    Bytes that are not UTF-8 are read as lone surrogates (PEP 383), and JSON can spell them.
    """
    return text.isascii() or not any("\ud800" <= c <= "\udfff" for c in text)
