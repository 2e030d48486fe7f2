"""Reads options that a letter, a number or a cross behind them chooses, and answers of one letter.

In: a draft. Out: the same draft with what is chosen behind the name: "Heart: enlarged".
"""

import re
from collections.abc import Iterator

from cxrtool.reports.forms.words import FormWords, any_of
from cxrtool.reports.rewriting import Draft, Edit

# "a) normal  b) enlarged ........ b", "1. none 2. small => 2"
_END = r"[ ]*(?:[=-]>|=|:|\.{3,})[ ]*"
_CHOICE = re.compile(
    "|".join(
        rf"(?:(?:[ ]*{sign}[).][ ]?[^\W\d_][^\n).:=]{{0,30}}?(?=[ ]{sign}[).]|{_END})){{2,6}})"
        rf"{_END}{sign}(?=[ .;]*(?:\n|\Z))"
        for sign in ("[a-e]", "[1-9]")
    )
)
_OF_CHOICE = re.compile(rf"([a-e1-9])[).][ ]?([^\W\d_].*?)[ ]*(?=[ ][a-e1-9][).]|{_END}[a-e1-9]\Z)")
# "Nodules? [none] [one]X"
_CROSSED = re.compile(r"\??[ ]*(?P<options>(?:\[[^\[\]\n]{1,20}\][xX]?[ ]*){2,6})(?=\n|\Z|;)")
_CROSS = re.compile(r"\[[ >]*([^\[\]\n]{1,20}?)[ ]*\][xX]")
_ASKING_BOX = re.compile(r"(?:\A|(?<=\n))[ ]*\(\?\)(?=[ ]?[^\W\d_])|[\u2370\u2753\u2754]")
_ROUND = re.compile(r"\([oO]\)")


class MarkedOptions:
    """Rewrites what is chosen.

    Args:
        words: The words of forms.
    """

    def __init__(self, words: FormWords) -> None:
        self._words = words
        no, yes = any_of(words.of["no-letter"]), any_of(words.of["yes-letter"])
        self._letters = re.compile(rf"[\[(](?:(?P<no>{no})|(?P<yes>{yes}))[\])]", re.I)
        self._legend = re.compile(
            rf"(?:\A|(?<=\n))[ ]*(?:{yes}[ ]?/[ ]?{no}|{no}[ ]?/[ ]?{yes})[ ]*(?=\n)", re.I
        )
        self._row = re.compile(
            rf"(?:\A|(?<=\n))[ ]*(?:(?P<no>{no.upper()})|(?P<yes>{yes.upper()}))(?=[ ]+[^\W\d_])"
        )
        self._denying = re.compile(rf"[ ]*(?<!\w)[xX][ ]?=[ ]?{any_of(words.of['no'])}\b")
        self._answers = {
            "no": next(iter(words.of["no"]), ""),
            "yes": next(iter(words.of["yes"]), ""),
        }

    def read(self, draft: Draft) -> None:
        """Rewrites a draft."""
        text = draft.text
        if "(o)" in text.lower() and "( )" in text:
            draft.sub(_ROUND, lambda m: "(x)")
        draft.sub(_ASKING_BOX, lambda m: "[?]")
        if "=" in text and self._denying.search(text):
            draft.sub(re.compile(r"\([xX]\)"), lambda m: "( )")
            draft.sub(self._denying, lambda m: "")
        draft.edit(self._choices(draft.text))
        draft.sub(_CROSSED, self._crossed)
        if len(self._letters.findall(text)) > 1:
            draft.sub(self._letters, lambda m: f"[{self._answers[m.lastgroup or 'no']}]")
        if self._legend.search(text):
            draft.sub(self._legend, lambda m: "")
            draft.sub(self._row, lambda m: f"{self._answers[m.lastgroup or 'no']}:")

    def _choices(self, text: str) -> Iterator[Edit]:
        for match in _CHOICE.finditer(text):
            options = dict(_OF_CHOICE.findall(match[0].strip()))
            if chosen := options.get(match[0].strip()[-1]):
                yield *match.span(), f": {chosen}"

    def _crossed(self, match: re.Match[str]) -> str:
        """Of options in brackets the one with a cross behind it."""
        crossed = _CROSS.findall(match["options"])
        return f": {crossed[0]}" if len(crossed) == 1 else match[0]
