"""Reads punctuation that is spoken: "no effusion comma heart normal period new paragraph".

In: a draft, and the words for signs. Out: the same draft with the signs. A text without one of the
words that end a clause ("comma"), or two that end a line, comes out as it is.
"""

import re
from collections.abc import Iterator, Mapping

from cxrtool.reports.forms.words import any_of
from cxrtool.reports.rewriting import Draft, Edit
from cxrtool.reports.text import HARD_BREAK

#: What the table of the rules holds beside signs: words that may mean something else, and the words
#: behind and before which they do.
DOUBTFUL, BEHIND, BEFORE = "doubtful", "doubtful-behind", "doubtful-before"
_STOPS, _LINE, _COLON = (",", ".", ";"), "\n", ":"
_WORD_BEFORE, _WORD_BEHIND = re.compile(r"[^\W_]+(?=\W*\Z)"), re.compile(r"\W*([^\W_]+)")
_WORDS_OF_A_HEADER = 3
_REACH = 30  # characters in which the word beside another is


class DictationReader:
    """Rewrites spoken punctuation.

    Args:
        spoken: Sign -> what is said for it, in lower case; and the lists above.
        headers: Section headers in lower case: a colon is read behind them alone.
    """

    def __init__(self, spoken: Mapping[str, tuple[str, ...]], headers: frozenset[str]) -> None:
        of = dict(spoken)
        self._doubtful, self._behind, self._before = (
            frozenset(of.pop(key, ())) for key in (DOUBTFUL, BEHIND, BEFORE)
        )
        self._signs = {said: sign for sign, words in of.items() for said in words}
        self._headers = headers
        self._mark = re.compile(rf"(?<![\w-]){any_of(self._signs)}(?![\w-])", re.I)
        # All but the first letter, which may be a capital.
        ends = {said[1:][-7:] for said, sign in self._signs.items() if sign in (*_STOPS, _LINE)}
        ends = {end for end in ends if not any(one in end for one in ends - {end})}
        self._hints = [hint for end in sorted(ends) for hint in (end, end.upper())]

    def read(self, draft: Draft) -> None:
        """Rewrites what a draft says of its punctuation."""
        text = draft.text
        if not any(map(text.__contains__, self._hints)):
            return
        marks = [m for m in self._mark.finditer(text) if self._is_mark(m)]
        signs = [self._signs[_said(m)] for m in marks]
        if not {*_STOPS}.isdisjoint(signs) or (signs.count(_LINE) > 1 and "." not in text):
            draft.edit(self._edits(marks))

    def _is_mark(self, match: re.Match[str]) -> bool:
        """Whether words mean a sign: "the interim period" is a time, "a new line" a catheter."""
        if _said(match) not in self._doubtful:
            return True
        text, start, end = match.string, *match.span()
        behind = _WORD_BEFORE.search(text[max(0, start - _REACH) : start])
        before = _WORD_BEHIND.match(text[end : end + _REACH])
        return not (
            (behind is not None and behind[0].lower() in self._behind)
            or (before is not None and before[1].lower() in self._before)
        )

    def _edits(self, marks: list[re.Match[str]]) -> Iterator[Edit]:
        for match in marks:
            sign, (start, end) = self._signs[_said(match)], match.span()
            if sign == _COLON:
                header = self._header(match.string, start)
                if header is None:
                    continue
                yield header, header, HARD_BREAK
            yield start, end, HARD_BREAK if sign == _LINE else sign

    def _header(self, text: str, end: int) -> int | None:
        """Where a header begins that ends before a place; None where none does."""
        words = [*re.finditer(r"\S+", text[max(0, end - 3 * _REACH) : end])][-_WORDS_OF_A_HEADER:]
        base = max(0, end - 3 * _REACH)
        starts = (base + word.start() for word in words)
        return next((s for s in starts if text[s:end].strip().lower() in self._headers), None)


def _said(match: re.Match[str]) -> str:
    return " ".join(match[0].lower().split())
