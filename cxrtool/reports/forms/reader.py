"""Reads the forms of a text, in the order in which their parts can be told."""

import re
from collections.abc import Callable, Mapping

from cxrtool.reports.forms.boxes import EMPTY, PAIRS
from cxrtool.reports.forms.fields import FieldReader
from cxrtool.reports.forms.pages import PageReader
from cxrtool.reports.forms.recognition import FormRecognition
from cxrtool.reports.forms.rows import RowReader
from cxrtool.reports.forms.tables import TableReader
from cxrtool.reports.forms.words import FormWords
from cxrtool.reports.rewriting import Draft
from cxrtool.reports.text import HARD_BREAK


class FormReader:
    """Finds what is a form in reports.

    Args:
        answers: What ``words.ANSWERS`` names -> words, in lower case.
        headers: Section headers in lower case, which no answer belongs to ("Comparison: none").
        joints: Words that end no name: "of", "are", "not".
        is_finding: Whether words in lower case name a finding: the head of a table does not.
        is_part: Whether they name a part of the body and nothing else.
    """

    def __init__(
        self,
        answers: Mapping[str, tuple[str, ...]],
        headers: frozenset[str],
        joints: frozenset[str],
        is_finding: Callable[[str], bool],
        is_part: Callable[[str], bool],
    ) -> None:
        words = FormWords(answers, headers, joints, is_finding, is_part)
        self._recognition = FormRecognition(words)
        self._fields, self._tables = FieldReader(words), TableReader(words)
        self._rows, self._pages = RowReader(words), PageReader(words)

    def join_pages(self, draft: Draft) -> None:
        """Takes out what stands between pages."""
        self._pages.read(draft)

    def read(self, draft: Draft) -> None:
        """Rewrites the marks of forms."""
        if not self._recognition.holds_form(draft.text):
            return
        if "\r" in draft.text:
            draft.sub(re.compile(r"\r\n?"), lambda m: "\n")
        for bullet, other in PAIRS:
            if bullet in draft.text and other not in draft.text and not EMPTY.search(draft.text):
                draft.sub(re.compile(bullet), lambda m: HARD_BREAK)
        self._fields.read(draft)
        draft.edit(self._tables.edits(draft.text))
        draft.edit(self._rows.edits(draft.text))
