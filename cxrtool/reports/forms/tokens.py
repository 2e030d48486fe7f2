"""Reads a row of a form as names, answers, boxes and separators, whatever separators they are."""

import re
from collections.abc import Iterator
from typing import NamedTuple, Self

from cxrtool.reports.forms.boxes import BLANK, CROSS, EMPTY, OFF, ON, TICK, TICKED_BLANK
from cxrtool.reports.forms.words import NONE, WORDS_OF_A_NAME, FormWords, any_of, plain

_PLUS = re.compile(r"(?:\A|[\n,;])[ ]*\+[ ]?(?=[^\W\d_])|(?<=[^\W\d_])[ ]\+(?=[\s,;.]|\Z)")
_WORDS_OF_A_FIELD = 2
_SCORE = re.compile(r"\d/\d\Z")
_ZERO = re.compile(r"[\[(]0[\])]")
#: The kinds of what is no separator.
SAYING = ("name", "answer", "box")
_BULLET = re.compile(
    r"[ ]*(?:(?:[*\u2022>]|-(?![-+\s]*(?:ve\b|\Z))|\(?\d{1,2}[.)])[ ]*)*"
    r"(?:\d{1,3}[ ]?\|(?=[^|\n]*[^\W\d_][^|\n]*\|[^|\n]*[^\W\d_]))?"
)


class Token(NamedTuple):
    """A part of a row: a ``name``, ``answer`` or ``box`` with its value, or a separator."""

    kind: str
    start: int
    end: int
    text: str = ""
    value: int | None = None

    @property
    def words(self) -> str:
        """What is written, in lower case."""
        return plain(self.text)


class Signs(NamedTuple):
    """What signs mean in a text.

    Attributes:
        plus: A plus answers, and so a minus does.
        crossed: A cross is a ticked box.
        blanks: "__" is an empty box, as one of them is ticked.
        graded: A number in brackets is a grade, as one of them is none.
    """

    plus: bool
    crossed: bool
    blanks: bool
    graded: bool

    @classmethod
    def of(cls, text: str) -> Self:
        crossed = not TICK.search(text) and EMPTY.search(text) is not None
        blanks = "_" in text and TICKED_BLANK.search(text) is not None
        return cls(_PLUS.search(text) is not None, crossed, blanks, _ZERO.search(text) is not None)


class TokenReader:
    """Divides rows.

    Args:
        words: The words of forms.

    Attributes:
        mark: Finds boxes, separators and answers with marks of their own.
    """

    def __init__(self, words: FormWords) -> None:
        self._words, self._values = words, words.values
        word, answer = words.word, words.answer
        short = any_of(w for w in words.values if w.isalpha() and len(w) < 4)
        self.mark = re.compile(
            rf"(?P<on>{ON})|(?P<off>{OFF})|(?P<cross>{CROSS})|(?P<blank>{BLANK})"
            r"|[\[(](?P<grade>\d)[\])]"
            rf"|[(\[{{<][ ]?(?P<answer>{word}|[-+]{{1,3}}|\+/-|\u00b1|(?<=\[)\?)[ ]?[)\]}}>]"
            rf"|(?P<drop>[ ]?[(\[](?:[01]/[01]|{short}[ ]?/[ ]?{short}|{words.one('box')})[)\]])"
            rf"|(?P<sign>(?<![\w+-])(?:{words.signs})\b|{NONE}"
            r"|(?:(?<=[|\t])|(?<=[|\t][ ]))\?(?=[ ]*(?:[|\t]|\Z)))"
            rf"|(?P<table>(?<=\w)\.{{2,3}}(?={word}[ ]*\Z)|[|\x1d^\t]|(?<=[ ])\.{{2,}}(?=[ ])"
            rf"|[ ]--(?=[ ])|\.{{4,}}|[-=]>|>>"
            rf"|(?<=\w)(?:[ ][>~]|[ ]?\\)(?=[ ]{any_of(words.levels)}[ ]*\Z))"
            r"|(?P<colon>[:=])|(?P<asked>\?)|(?P<dash>(?<=[^\s|:=])[ ]?-{1,2}(?=[ ]+[^\s|]))"
            rf"|(?P<csv>,(?=\S)|(?<=\S);(?=\S|\Z)|;(?=[ ]{answer}[ ]*(?:;|\Z)))|(?P<comma>,)"
            r"|(?P<gap>[ ]{2,})"
            r"|(?P<stop>\x1e|;|\.(?=\s|\Z)|[ ]/[ ])",
            re.I,
        )
        self._tail = re.compile(
            rf"(?<=[\w)])[ ]+(?P<answer>\+/-|[-+]{{1,3}}|0|\d/\d|{short})[ .]*\Z"
            r"|(?<=[^\W\d_])(?P<sign>[+])\Z",
            re.I,
        )
        self._inside = re.compile(
            rf"(?<=[^\W\d_])[ ]+(?P<answer>{any_of(words.loud)}|\+{{1,3}})(?=[ ]+\S)"
        )
        self._lead = re.compile(rf"[{words.capitals}0](?=[ ]+[^\W\d_])|\+{{1,3}}(?=[ ]?[^\W\d_])")

        self._score = re.compile(rf"{words.one('score')}[ ]?\d\Z", re.I)
        # "Y (left, small)", "0 - none"
        self._detailed = re.compile(rf"(?:{word}|0)(?=[ ]*[(\[])", re.I)

    def read(self, line: str, signs: Signs, wraps: bool) -> Iterator[Token]:
        """The parts of a row.

        Args:
            line: The row.
            signs: What signs mean in the text.
            wraps: Whether the line goes on with the next one, so that "no" may begin anything.
        """
        bullet = _BULLET.match(line)
        at = bullet.end() if bullet else 0
        if line[at - 1 : at] == "|":  # the number of a row of a table
            yield Token("drop", 0, at)
        if signs.plus and line[:at].strip() == "-":
            yield Token("answer", 0, at, line[:at], 0)
        last = ""
        for match in self.mark.finditer(line, at):
            if (match.lastgroup == "blank" and not signs.blanks) or (
                match.lastgroup == "grade" and not signs.graded
            ):
                continue
            yield from self._cell(line, at, match.start(), last, signs.plus, False)
            last, (start, at) = match.lastgroup or "", match.span()
            kind, value = last, None
            if last in ("on", "off", "cross"):
                kind, value = "box", int(last == "on" or (last == "cross" and signs.crossed))
            elif last == "blank":
                kind, value = "box", int(match[0].strip("_") != "")
            elif last == "grade":
                kind, value = "answer", int(match[last] != "0")
            elif last in ("answer", "sign"):
                kind, value = "answer", self._words.value(match[last])
            elif last == "dash" and signs.plus:
                kind, value = "answer", 0
            yield Token(kind, start, at, match[0], value)
        yield from self._cell(line, at, len(line), last, signs.plus, wraps)

    def _cell(
        self, line: str, start: int, end: int, last: str, plus: bool, wraps: bool
    ) -> Iterator[Token]:
        """What stands between two marks: a name, an answer, or one and the other."""
        text = line[start:end].strip(' "')
        if not text:
            return
        start = line.index(text, start)
        end, words = start + len(text), plain(text)
        if _SCORE.match(text) or (last in ("colon", "table") and self._score.match(text)):
            digit = next(filter(str.isdigit, text))
            yield Token("answer", start, end, text, int(digit != "0"))
            return
        if not text.strip("_"):
            yield Token("answer", start, end, text, None)
            return
        if words in self._values and not (wraps and words == self._words.no):
            # Behind a comma and a blank an answer may be the begin of anything.
            ends = not line[end:].strip(' ".')
            kind = "answer" if last != "comma" or (ends and text.istitle()) else "name"
            yield Token(kind, start, end, text, self._values[words])
            return
        answer = ""
        if last in ("", "stop", "comma", "csv", "colon", "table"):
            lead = self._lead.match(text)
            detailed = self._detailed.match(text) if last in ("colon", "table") else None
            if lead and (text[0] == "+" or self._words.is_finding(words)):
                answer = lead[0]
            elif detailed:
                answer = detailed[0]
            elif plus and text[0] == "-":
                answer = "-"
        name, at = "", 0
        for match in () if answer else (self._tail.search(text), self._inside.search(text)):
            if match and not (
                wraps and match.end() == len(text) and match["answer"] == self._words.no
            ):
                at = match.start(match.lastgroup or 0)
                if self._is_answered(text, match):
                    name, answer = text[: match.start()].rstrip(), match[match.lastgroup or 0]
                    break
        if not answer:
            yield Token("name", start, end, text)
            return
        if name:
            yield from self._cell(line, start, start + len(name), last, plus, False)
        cut = start + at + len(answer)
        yield Token("answer", start + at, cut, answer, self._words.value(answer))
        yield from self._cell(line, cut, end, "", plus, wraps)

    def _is_answered(self, text: str, match: re.Match[str]) -> bool:
        """Whether what is found behind a name, or in the middle of a text, is its answer."""
        answer, name = match[match.lastgroup or 0], plain(text[: match.start()])
        limit = _WORDS_OF_A_FIELD if answer[0].isdigit() else WORDS_OF_A_NAME
        return (
            (len(answer) > 1 or answer.isupper() or not answer.isalpha())
            and len(name.split()) <= limit
            and self._words.is_finding(name)
            and (answer[0] == "+" or not self._words.is_finding(plain(text[match.end() :])))
        )
