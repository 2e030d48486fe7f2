"""Brings answers to their names: of options to choose from, of sides, of records, of the next line.

In: a draft. Out: the same draft in which every answer stands in the row of its name.
"""

import re

from cxrtool.reports.forms.words import WORDS_OF_A_NAME, FormWords, joint, plain
from cxrtool.reports.rewriting import Draft
from cxrtool.reports.text import HARD_BREAK

_BLANKS = re.compile(r"_[xX\u2713\u2714]_|(?:\A|\n)(?:[xX][ ]+[^\n]*\n_|_+[ ][^\n]*\n[xX][ ])")
_BLANK = re.compile(r"(?:(?<=\n)|\A|(?<=[ ]))(?:(?P<off>_+)|(?P<on>[xX]))(?=[ ]+[^\W\d_])")
_ASKED = re.compile(r"(?<!\S)\?[ ]?(?=[^\W\d_])")


class FieldReader:
    """Rewrites what is no row yet.

    Args:
        words: The words of forms.
    """

    def __init__(self, words: FormWords) -> None:
        self._words, self._values = words, words.values
        word, answer = words.word, words.answer
        field = r"\"?[ ]?[:=|][ ]*"
        self._sign = re.compile(
            rf"(?<![\w+-])(?P<answer>{words.signs})[ ]{words.one('for')}\b", re.I
        )
        self._record = re.compile(
            rf"(?:\A|(?<=[\n;,|\x1e:{{]))[ ]*\"?{words.one('key')}{field}"
            r"(?P<name>[^\n;,:=|.?]{1,60}?)"
            rf"[ ]{{0,20}}[\n;,|]\s{{0,20}}\"?{words.one('value')}{field}",
            re.I,
        )
        option = r"(?:[^\W\d_]{1,15}(?:[ ][^\W\d_]{1,15})?|\?)"
        option = rf"(?:\*\*{option}\*\*|\*{option}\*|_{option}_|\({option}\)|\[{option}\]|{option})"
        self._choice = re.compile(
            rf"(?<=[:?\[(])[ ]{{0,9}}{option}(?:[ ]?/[ ]?{option}){{1,5}}"
            r"(?:(?P<arrow>[ ]{0,9}[-=]{1,3}>)|(?![ ]?[:=\w]))"
        )
        of_side = rf"[ ]?{words.one('side')}[ ]?[-:=]?[ ]?{answer}(?![\w/+-])"
        self._sides = re.compile(rf"(?<=:){of_side}[,;]{of_side}", re.I)
        self._second = re.compile(
            rf"(?<=[:?])[ ]{{0,9}}{words.letters}[ ]{{1,9}}"
            rf"[(\[](?P<answer>{words.letters})[)\]](?=[ ]*(?:[\n,;.]|\Z))",
            re.I,
        )
        self._wrapped = re.compile(
            rf"(?:\A|(?<=\n))(?P<name>[^\n.;,|]{{3,60}}?)"
            rf"(?P<mark>:?[ ]{{0,20}}\n[ ]{{0,40}})(?={word}[ .]*(?:\n|\Z))",
            re.I,
        )

    def read(self, draft: Draft) -> None:
        """Rewrites the fields of a draft."""
        words = self._words
        draft.sub(self._sign, lambda m: "" if words.value(m["answer"]) else words.no)
        draft.sub(_ASKED, lambda m: f"{next(iter(words.of['ask']), '?')} ")
        draft.sub(self._choice, self._of_options)
        draft.sub(self._sides, self._of_sides)
        draft.sub(self._second, lambda m: f" {m['answer']}")
        draft.sub(self._record, lambda m: f"{HARD_BREAK}{m['name']}: ")
        draft.sub(self._wrapped, self._of_next_line, "mark")
        if _BLANKS.search(draft.text):
            draft.sub(_BLANK, lambda m: HARD_BREAK if m["on"] else f"{HARD_BREAK}{words.no}")

    def _of_options(self, match: re.Match[str]) -> str:
        """Of answers to choose from the one that is marked, or in capitals: "none / **mild**"."""
        row = match[0][: len(match[0]) - len(match["arrow"] or "")]
        options = [option.strip() for option in row.split("/")]
        choices = {option.strip("*_()[] ").lower() for option in options}
        of = self._words.of
        if choices.isdisjoint({*self._values, *of["well"], *of["grade"]}):
            return match[0]
        if match["arrow"]:
            return " "
        marked = [option for option in options if option[0] in "*_(["]
        loud = [option for option in options if option.isupper() and len(option) > 1]
        marked = marked or (loud if len(loud) < len(options) else [])
        return f" {marked[0].strip('*_()[]')}" if len(marked) == 1 else match[0]

    def _of_sides(self, match: re.Match[str]) -> str:
        """The answer for both sides: "R - no, L - yes"."""
        sides = [part.strip() for part in re.split("[,;]", match[0])]
        values = {
            answer: self._values.get(plain(answer))
            for answer in (re.split(r"[-:= ]+", side, maxsplit=1)[-1] for side in sides)
        }
        both = joint([*values.values()])
        return next((f" {answer}" for answer, value in values.items() if value == both), match[0])

    def _of_next_line(self, match: re.Match[str]) -> str:
        """An answer on the line after its name comes to it."""
        name = match["name"].lower().strip()
        # "Pneumonia cannot be" goes on with its next line, and waits for no answer.
        ends = name not in self._values and name.rpartition(" ")[2] not in self._words.joints
        short = ends and len(name.split()) <= WORDS_OF_A_NAME
        return ": " if short and self._words.is_finding(name) else match["mark"]
