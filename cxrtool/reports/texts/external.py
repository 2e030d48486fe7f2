"""``external``: texts made elsewhere, joined by study.

In: a table with ``study_id`` and ``text`` (any form that reports come in, CSV first of all). Out:
the text of a study. The whole file is held in memory, unlike the reports.
"""

from pathlib import Path

from cxrtool.core.errors import InputError
from cxrtool.data.columns import STUDY
from cxrtool.reports.report import Rejected
from cxrtool.reports.sources import read_reports

TEXT = "text"
_HINT = f"write a row a study, with the columns {STUDY},{TEXT}"


class ExternalTexts:
    """The texts of a file.

    Args:
        path: The file.

    Raises:
        InputError: It is missing, malformed or empty, or a study occurs twice.
    """

    def __init__(self, path: Path) -> None:
        self._path, stop = path, Rejected(skip=False).add
        try:
            self._texts = {
                report.study: " ".join(report.text.split())
                for report in read_reports(path, stop, id_column=STUDY, text_column=TEXT)
            }
        except InputError as error:
            # The hints of the reader name options that are for the reports.
            error.hint = _HINT
            raise
        self._used: set[str] = set()

    def get(self, study: str) -> str:
        """The text of a study on one line, or ""."""
        text = self._texts.get(study, "")
        if study in self._texts:
            self._used.add(study)
        return text

    def unused(self) -> int:
        """How many texts belong to no study that was asked for.

        Raises:
            InputError: None was.
        """
        if not self._used:
            what = f"no {STUDY} is that of a report"
            hint = f"its ids look like {next(iter(self._texts))!r}"
            raise InputError(what, file=self._path, column=STUDY, hint=hint)
        return len(self._texts) - len(self._used)
