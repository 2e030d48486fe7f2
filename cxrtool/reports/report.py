"""What a report is to the readers of tables, folders and archives, and what becomes of some.

`Report` is one of them; `Rejected` are those that cannot be read, the rows of ``rejected.csv``;
`Sample` is a few of many, each as likely as any other, in one pass and constant memory (Vitter, ACM
TOMS 11(1), 1985, algorithm R).
"""

import csv
import io
import random
from dataclasses import dataclass
from pathlib import Path

from cxrtool.core.errors import InputError
from cxrtool.data.tables import for_people

COLUMNS = ("study_id", "file", "row", "column", "reason")


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


class Rejected:
    """The reports that were left out.

    Args:
        skip: Note a bad report and go on; otherwise the first one stops the work.
    """

    def __init__(self, skip: bool) -> None:
        self.skip = skip
        self.rows: list[tuple[str, str, str, str, str]] = []

    def add(self, error: InputError, study: str) -> None:
        """Raises the error, or notes it.

        Raises:
            InputError: ``skip`` is False.
        """
        if not self.skip:
            error.hint = error.hint or "--skip-bad records bad reports and goes on"
            raise error
        row = "" if error.row is None else str(error.row)
        where = "" if error.file is None else str(error.file)
        self.rows.append((study, where, row, error.column or "", error.reason))

    def csv(self, source: Path) -> str:
        """The table; files are named without the folder of the source, for equal bytes."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        for study, where, row, column, reason in self.rows:
            shown = where.replace(str(source), source.name if row == "" else "reports", 1)
            writer.writerow(map(for_people, (study, shown, row, column, reason)))
        # Names of files need not be UTF-8.
        return text.getvalue().encode(errors="backslashreplace").decode()


class Sample:
    """A random sample of a stream of reports.

    Args:
        size: How many to keep.
        seed: Fixes the draw.

    Attributes:
        seen: How many reports the stream had.
    """

    def __init__(self, size: int, seed: int) -> None:
        self.seen = 0
        self._size = size
        self._random = random.Random(seed)
        self._kept: list[tuple[int, Report]] = []

    def add(self, report: Report) -> None:
        """Takes the next report of the stream."""
        self.seen += 1
        if len(self._kept) < self._size:
            self._kept.append((self.seen, report))
            return
        place = self._random.randrange(self.seen)
        if place < self._size:
            self._kept[place] = (self.seen, report)

    def reports(self) -> list[Report]:
        """The sample, in the order of the stream."""
        return [report for _, report in sorted(self._kept, key=lambda item: item[0])]
