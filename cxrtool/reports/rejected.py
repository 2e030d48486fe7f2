"""What is done with a report that cannot be read: stop, or note it and go on.

In: errors with the ids of their reports. Out: the rows of ``rejected.csv``.
"""

import csv
import io
from pathlib import Path

from cxrtool.core.errors import InputError

COLUMNS = ("study_id", "file", "row", "column", "reason")


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
            writer.writerow((study, shown, row, column, reason))
        # Names of files need not be UTF-8.
        return text.getvalue().encode(errors="backslashreplace").decode()
