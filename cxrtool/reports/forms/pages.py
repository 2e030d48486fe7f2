"""Takes out what stands between two pages of a report, so that a sentence goes on over them."""

import re

from cxrtool.reports.forms.words import FormWords
from cxrtool.reports.rewriting import Draft

_NUMBER = re.compile(r"\n[^\w\n]+\d+[ ]?(?:[^\W\d_]{2}|/)[ ]?\d")
_ENDS = (".", ":", ";", "!", "?")


class PageReader:
    """Finds marks of pages: "Page 1 of 2", "-- 2 of 3 --", and a patient's name between two.

    Args:
        words: The words of forms.
    """

    def __init__(self, words: FormWords) -> None:
        page = words.one("page")
        of = r"\d{1,3}(?:[ ]?(?:[^\W\d_]{2}|/)[ ]?\d{1,3})?"
        mark = (
            rf"(?:[^\w\n]*{page}[.:]?[ ]?{of}[^\w\n]*|[^\w\n.,(]+[ ]?{of}[ ]?[^\w\n.,)]+"
            rf"|[^\w\n]*{page}(?:[ ][^\W\d_]+){{0,3}}[^\w\n]*"
            rf"|[^\n.]{{3,60}}\b{page}[.:]?[ ]?{of}[ ]*)(?=\n|\Z)"
        )
        head = r"\n(?-i:(?=[^\n]*\d|[^a-z\n]*\n))[^\n.]{0,80}"  # capitals, or with a number
        self._marks = re.compile(rf"(?:\A|\n)[ ]*{mark}(?:(?:{head}){{0,2}}?\n[ ]*{mark})?", re.I)
        self._names = words.of["page"]

    def read(self, draft: Draft) -> None:
        """Takes the marks out of a draft."""
        if "\n" not in draft.text:
            return
        text = draft.text.lower()
        if any(map(text.__contains__, self._names)) or _NUMBER.search(text):
            draft.sub(self._marks, _between)


def _between(match: re.Match[str]) -> str:
    before = match.string[: match.start()].rstrip()
    return " " if before and not before.endswith(_ENDS) else "\n"
