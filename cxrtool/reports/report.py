"""What a report is to the readers of tables, folders and archives."""

from dataclasses import dataclass


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
