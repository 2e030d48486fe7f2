"""Tells whether a text holds a form; most hold none, and are told by a few looks."""

import re

from cxrtool.reports.forms.boxes import CROSS, TICK_OR_BOX
from cxrtool.reports.forms.words import NONE, FormWords, any_of

# A text without one of these, and without a short answer behind a common mark, holds no form.
_RARE = re.compile(r"[|\x1d^\[{<>+_=?\t]")
_SIGNS = re.compile(
    r"[|\x1d^]|\.{4}|[\[({<][ ]?[xX*vV?+\u2022_ .-]{0,3}[\])}>]|_[xX]_|(?:\A|\n)_{1,6}[ ]|[>=-]>"
    r"|[ ][/>~][ ]|\w\?[ ]+\w|(?<=\b[RL])[-+]|[\[(]0[\])]|<[\w ]{3,40}[:=]|==[ ]?\w"
    r"|\w_{2,}\w|(?<!\S)\?[ ]?\w"
    r"|(?:(?<=[ ,(\n])|\A)[+](?:ve\b|[-+/]{0,2}(?=[\s,;.]|\Z))|(?:\A|[\n,;])[ ]*\+[ ]?\w"
)
_MARKS = re.compile(
    f"[\u2370\u2753\u2754\u00b1]|\\w[ ]?\u2026+[ ]?\\w|{NONE}|{CROSS}|{TICK_OR_BOX}"
)


class FormRecognition:
    """Knows a form by its marks.

    Args:
        words: The words of forms.
    """

    def __init__(self, words: FormWords) -> None:
        self._headers = words.headers
        word, answer, capitals = words.word, words.answer, words.capitals
        long = [w for w in words.values if w.isalpha() and len(w) == 3]
        short = {*long, *words.loud, *map(str.title, long), *map(str.upper, long), *capitals}
        minus = any_of(w[1:] for w in words.values if w[0] == "-" and w[1:].isalpha()) + r"\b"
        mark, opens = r"[-+/]{0,2}(?:[\n,;.]|\Z)", rf"(?-i:[{capitals}0][ ])|{word}[ ]?:"
        end = r"[ \"]*(?=[;,/.(|}\x1d\x1e\t\n]|\Z|[ ]/|[ ]{2})"
        value = rf"[^\n;,:=|.?]{{1,60}}+[\n;,|]\s{{0,20}}\"?{words.one('value')}\"?[ ]?[:=|]"
        self._closer = re.compile(
            rf"[=?\t](?:[ \"]*{answer}(?:{end}|[ ]\#?\w[\w ]{{2,30}}=)|[ ]*{value})"
            rf"|[\[{{<][ ]?{word}[ ]?[\]}}>]",
            re.I,
        )
        self._begin = re.compile(rf"{opens}|-", re.I)
        self._answer = re.compile(
            rf":[ \"]*(?:(?P<answer>{answer})(?:{end}|(?=[ ]\w[\w ]{{2,30}}:))|{value})", re.I
        )
        # Patterns that begin with their mark are fast.
        hints = {
            "/": r"[ :]0/\d(?![\d/])",
            "]": rf"[\[(](?:{words.one('no-letter')}|{words.one('yes-letter')})\]",
            "--": rf"---[ ]?\w|\w--{word}",
            "(": rf"\([ ]?(?:{word}|[-+]{{1,3}}|[xX*v?_ .-]{{0,3}})[ ]?\)"
            rf"|\({words.one('kind')}\)[ ]*(?:[:=\t-]|(?-i:[LR]\b))"
            rf"|\((?-i:[A-Z\d])[ ]?[ =][ ]?{word}|\([^(),\n]{{3,40}},[ ]?{word}\)",
            "-": rf"-(?:{minus}|[ ]+{answer}{end}|(?<=[ ,\n]-){mark})",
            ",": rf",(?:[ ]?{words.one('side')}[ ])?{answer}{end}"
            rf"|,(?-i:(?<=[ ]{any_of(capitals.lower())},))",
            ";": rf";[ ]?{answer}{end}|;[^\s;][^;\n]{{1,60}}\n[^;\n.:]{{3,31}};[^\s;]",
            "..": rf"\.\.(?:\.\.|{word}[ ]*(?:\n|\Z)|\.(?<=[ ]\.\.\.)[ ])",
            "\n": rf"\n[ ]*(?:{answer}{end}|{opens}|[xX][ ]\w)",
            "  ": rf"[ ]{{2}}{any_of(words.levels)}(?=[ ]*\n|[ ]{{2}}|[ ]*\Z)",
            "\\ ": r"\w\\[ ]\w",
            ". ": rf"\.[ ]{word}[ ]?:",
            " ": rf"[ ](?:(?-i:{any_of(short)}|[0xX])(?=[;,\n]|\.?\Z|[ ]/|\.\s)|(?:/|--)[ ])",
        }
        self._hints = [(sign, re.compile(hint, re.I)) for sign, hint in hints.items()]

    def holds_form(self, text: str) -> bool:
        """Whether a text is worth a closer look."""
        if _RARE.search(text) and (_SIGNS.search(text) or self._closer.search(text)):
            return True
        if self._begin.match(text) or (not text.isascii() and _MARKS.search(text)):
            return True
        for sign, pattern in self._hints:
            if sign in text and pattern.search(text):
                return True
        for match in self._answer.finditer(text):  # but not "Comparison: none"
            row = text[text.rfind("\n", 0, match.start()) + 1 : match.start()]
            if not match["answer"] or row.strip().lower() not in self._headers:
                return True
        return False
