"""Reads tables, check boxes and signs as the sentences that they stand for.

In: a draft whose text may hold "Effusion | No", "[ ] effusion", "Effusion: N", "effusion (-)". Out:
the same draft with "Effusion: no", "no effusion", each a sentence of its own. Names of findings
stay where they are; only the marks beside them are rewritten. A row is read as names, answers,
boxes and separators, whatever separators they are: an answer at its begin belongs to the name that
follows, any other to the name before. What is an answer stands in the rules.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from cxrtool.reports.rewriting import Draft, Edit
from cxrtool.reports.text import HARD_BREAK

#: What is told apart in the rules: answers, options of boxes, heads of columns, names of fields.
ANSWERS = (
    "no", "yes", "unsure", "blank", "well", "grade", "for", "side", "now", "head", "key", "value",
    "ask", "box",
)  # fmt: skip
_ON = (
    r"[\[({<][ ]?[xX*vV\u2022\u2713\u2714\u2717\u2718][ ]?[\])}>]|_+[xX\u2713\u2714]_+"
    "|[\u2611\u2612\u25a0\u25a3\u25cf\u25c9\u2713\u2714\u2705\u221a]"
)
_OFF = r"\[(?:[ .]{0,3}|_)\]|[({<](?:[ ]{1,3}|_)[)}>]" + "|[\u2610\u25a1\u25a2\u25cb\u25ef]"
_CROSS = "[\u2715-\u2718\u274c]"
_NONE = "[\u00d8\u2205\u2300]"  # the sign of the empty set, and what is written for it
_PLUS = re.compile(r"(?:\A|[\n,;])[ ]*\+[ ]?(?=[^\W\d_])|(?<=[^\W\d_])[ ]\+(?=[\s,;.]|\Z)")
_BLANKS = re.compile(r"_[xX\u2713\u2714]_|(?:\A|\n)(?:[xX][ ]+[^\n]*\n_|_+[ ][^\n]*\n[xX][ ])")
_BLANK = re.compile(r"(?:(?<=\n)|\A|(?<=[ ]))(?:(?P<off>_+)|(?P<on>[xX]))(?=[ ]+[^\W\d_])")
_TICK_OR_BOX = "[\u2610-\u2612\u25a0-\u25a3\u25cb\u25cf\u25c9\u25ef\u2705\u2713\u2714\u221a]"
_TICK, _EMPTY = re.compile("[\u2713\u2714\u2705]"), re.compile(_OFF)
_PAIRED = (("\u25cf", "\u25cb"), ("\u25a0", "\u25a1"))  # alone the first is a bullet
_VALUES = {"blank": None, "yes": 1, "unsure": -1, "no": 0}
_SAID = ("name", "answer", "box")
_WORDS_OF_A_NAME, _WORDS_OF_A_FIELD, _LONGEST_ROW = 6, 2, 20_000
_BULLET = re.compile(r"[ ]*(?:(?:[*\u2022>]|-(?![-+\s]*(?:ve\b|\Z))|\(?\d{1,2}[.)])[ ]*)*")
_ASKED = re.compile(r"(?<!\S)\?[ ]?(?=[^\W\d_])")
_GAP = re.compile(r"[ ]{2,}")
_RULE = re.compile(r"[ |:+=-]*\Z")
_NUMBER = re.compile(r"\s*\d{1,3}[.)]?\s*\Z")
_BETWEEN = ("answer", "box", "table", "csv", "gap", "colon")  # of answers to one name
_COLUMNS = ("|", "\x1d", "^", "\t", ";", ",", "  ", " / ")
# A text without one of these, and without a short answer behind a common mark, holds no form.
_RARE = re.compile(r"[|\x1d^\[{<>+_=?\t]")
_SIGNS = re.compile(
    r"[|\x1d^]|\.{4}|[\[({<][ ]?[xX*vV?+\u2022_ .-]{0,3}[\])}>]|_[xX]_|(?:\A|\n)_{1,6}[ ]|[>=-]>"
    r"|[ ]/[ ]|\w\?[ ]+\w|(?<!\S)\?[ ]?\w|(?:(?<=[ ,(\n])|\A)[+](?:ve\b|[-+/]{0,2}(?=[\s,;.]|\Z))"
    r"|(?:\A|[\n,;])[ ]*\+[ ]?\w"
)
_MARKS = re.compile(f"{_NONE}|{_CROSS}|{_TICK_OR_BOX}")


class _Token(NamedTuple):
    """A part of a row: a ``name``, ``answer`` or ``box`` with its value, or a separator."""

    kind: str
    start: int
    end: int
    text: str = ""
    value: int | None = None

    @property
    def words(self) -> str:
        """What is written, in lower case."""
        return _plain(self.text)


class FormReader:
    """Finds what is a form in reports.

    Args:
        answers: What `ANSWERS` names -> words, in lower case.
        headers: Section headers in lower case, which no answer belongs to ("Comparison: none").
        joints: Words that end no name: "of", "are", "not".
        is_finding: Whether words in lower case name a finding: the head of a table does not.
    """

    def __init__(
        self,
        answers: Mapping[str, tuple[str, ...]],
        headers: frozenset[str],
        joints: frozenset[str],
        is_finding: Callable[[str], bool],
    ) -> None:
        self._headers, self._joints = headers, joints
        self._is_finding = lru_cache(10_000)(is_finding)
        self._words = words = {name: answers.get(name, ()) for name in ANSWERS}
        self._values = {word: value for kind, value in _VALUES.items() for word in words[kind]}
        self._no, self._unsure = next(iter(words["no"]), ""), next(iter(words["unsure"]), "")
        letters = [w for w in self._values if w.isalpha()]
        loud = [w.title() for w in letters if 1 < len(w) < 4]
        loud += [w.upper() for w in loud]
        capitals = "".join(w.upper() for w in letters if len(w) == 1)
        self._learn_marks(loud, capitals)
        self._learn_hints(loud, capitals)

    def _learn_marks(self, loud: list[str], capitals: str) -> None:
        """What a form is rewritten by."""
        words = {name: _any(of) for name, of in self._words.items()}
        word, answer = _any(w for w in self._values if w[0].isalpha()), _any(self._values)
        signs = _any(w for w in self._values if w[0] in "-+" and w[-1].isalpha())
        short = _any(w for w in self._values if w.isalpha() and len(w) < 4)
        grades, field = rf"(?:{words['grade']}\b[ ,]*)+", r"\"?[ ]?[:=|][ ]*"
        self._side = re.compile(grades, re.I)
        self._option = re.compile(rf"{grades}\Z|.*\b{words['well']}\b", re.I)
        self._mark = re.compile(
            rf"(?P<on>{_ON})|(?P<off>{_OFF})|(?P<cross>{_CROSS})"
            rf"|[(\[{{<][ ]?(?P<answer>{word}|[-+]{{1,3}}|\+/-|(?<=\[)\?)[ ]?[)\]}}>]"
            rf"|(?P<drop>[ ]?[(\[](?:[01]/[01]|{short}[ ]?/[ ]?{short}|{words['box']})[)\]])"
            rf"|(?P<sign>(?<![\w+-])(?:{signs})\b|{_NONE})"
            rf"|(?P<table>(?<=\w)\.{{2,3}}(?={word}[ ]*\Z)|[|\x1d^\t]|(?<=[ ])\.{{2,}}(?=[ ])"
            rf"|[ ]--(?=[ ])|\.{{4,}}|[-=]>|>>)"
            r"|(?P<colon>[:=])|(?P<asked>\?)|(?P<dash>(?<=[^\s|:=])[ ]?-{1,2}(?=[ ]+[^\s|]))"
            rf"|(?P<csv>,(?=\S)|(?<=\S);(?=\S|\Z)|;(?=[ ]{answer}[ ]*(?:;|\Z)))|(?P<comma>,)"
            r"|(?P<gap>[ ]{2,})"
            r"|(?P<stop>\x1e|;|\.(?=\s|\Z)|[ ]/[ ])",
            re.I,
        )
        self._sign = re.compile(rf"(?<![\w+-])(?P<said>{signs})[ ]{words['for']}\b", re.I)
        self._tail = re.compile(
            rf"(?<=[\w)])[ ]+(?P<said>\+/-|[-+]{{1,3}}|0|{short})[ .]*\Z"
            r"|(?<=[^\W\d_])(?P<sign>[+])\Z",
            re.I,
        )
        self._inside = re.compile(rf"(?<=[^\W\d_])[ ]+(?P<said>{_any(loud)}|\+{{1,3}})(?=[ ]+\S)")
        self._lead = re.compile(rf"[{capitals}0](?=[ ]+[^\W\d_])|\+{{1,3}}(?=[ ]?[^\W\d_])")
        self._record = re.compile(
            rf"(?:\A|(?<=[\n;,|\x1e:{{]))[ ]*\"?{words['key']}{field}"
            r"(?P<name>[^\n;,:=|.?]{1,60}?)"
            rf"[ ]{{0,20}}[\n;,|]\s{{0,20}}\"?{words['value']}{field}",
            re.I,
        )
        option = r"(?:[^\W\d_]{1,15}(?:[ ][^\W\d_]{1,15})?|\?)"
        option = rf"(?:\*\*{option}\*\*|\*{option}\*|_{option}_|\({option}\)|\[{option}\]|{option})"
        self._choice = re.compile(
            rf"(?<=[:?\[(])[ ]{{0,9}}{option}(?:[ ]?/[ ]?{option}){{1,5}}"
            r"(?:(?P<arrow>[ ]{0,9}[-=]{1,3}>)|(?![ ]?[:=\w]))"
        )
        of_side = rf"[ ]?{words['side']}[ ]?[-:=]?[ ]?{_any(self._values)}(?![\w/+-])"
        self._sides = re.compile(rf"(?<=:){of_side}[,;]{of_side}", re.I)
        one = _any(w for w in self._values if w.isalpha())
        self._second = re.compile(
            rf"(?<=[:?])[ ]{{0,9}}{one}[ ]{{1,9}}[(\[](?P<said>{one})[)\]](?=[ ]*(?:[\n,;.]|\Z))",
            re.I,
        )
        self._wrapped = re.compile(
            rf"(?:\A|(?<=\n))(?P<name>[^\n.;,|]{{3,60}}?)"
            rf"(?P<mark>:?[ ]{{0,20}}\n[ ]{{0,40}})(?={word}[ .]*(?:\n|\Z))",
            re.I,
        )

    def _learn_hints(self, loud: list[str], capitals: str) -> None:
        """What a text is looked at for, to tell whether it holds a form."""
        word, answer = _any(w for w in self._values if w[0].isalpha()), _any(self._values)
        long = [w for w in self._values if w.isalpha() and len(w) == 3]
        forms = {*long, *loud, *map(str.title, long), *map(str.upper, long), *capitals}
        minus = _any(w[1:] for w in self._values if w[0] == "-" and w[1:].isalpha()) + r"\b"
        mark, opens = r"[-+/]{0,2}(?:[\n,;.]|\Z)", rf"(?-i:[{capitals}0][ ])|{word}[ ]?:"
        end = r"[ \"]*(?=[;,/.(|}\x1d\x1e\t\n]|\Z|[ ]/)"
        value = rf"[^\n:=]{{1,60}}[\n;,|]\s{{0,20}}\"?{_any(self._words['value'])}\"?[ ]?[:=|]"
        self._closer = re.compile(
            rf"[=?\t](?:[ \"]*{answer}{end}|[ ]*{value})|[\[{{<][ ]?{word}[ ]?[\]}}>]", re.I
        )
        self._begin = re.compile(rf"{opens}|-", re.I)
        self._answer = re.compile(rf":[ \"]*(?:(?P<said>{answer}){end}|{value})", re.I)
        # Patterns that begin with their mark are found fast.
        hints = {
            "(": rf"\([ ]?(?:{word}|[-+]{{1,3}}|[xX*v?_ .-]{{0,3}})[ ]?\)",
            "-": rf"-(?:{minus}|[ ]+{answer}{end}|(?<=[ ,\n]-){mark})",
            ",": rf",{answer}{end}",
            ";": rf";[ ]?{answer}{end}",
            "..": rf"\.\.(?:\.\.|{word}[ ]*(?:\n|\Z))",
            "\n": rf"\n[ ]*(?:{answer}{end}|{opens})",
            ". ": rf"\.[ ]{word}[ ]?:",
            " ": rf"[ ](?:(?-i:{_any(forms)}|[0xX])(?=[;,\n]|\.?\Z|[ ]/|\.\s)|(?:/|--)[ ])",
        }
        self._hints = [(sign, re.compile(hint, re.I)) for sign, hint in hints.items()]

    def read(self, draft: Draft) -> None:
        """Rewrites the marks of forms."""
        if not self._is_form(draft.text):
            return
        if "\r" in draft.text:
            draft.sub(re.compile(r"\r\n?"), lambda m: "\n")
        for bullet, other in _PAIRED:
            if bullet in draft.text and other not in draft.text and not _EMPTY.search(draft.text):
                draft.sub(re.compile(bullet), lambda m: HARD_BREAK)
        draft.sub(self._sign, lambda m: "" if self._value(m["said"]) else self._no)
        draft.sub(_ASKED, lambda m: f"{next(iter(self._words['ask']), '?')} ")
        draft.sub(self._choice, self._chosen)
        draft.sub(self._sides, self._of_sides)
        draft.sub(self._second, lambda m: f" {m['said']}")
        draft.sub(self._record, lambda m: f"{HARD_BREAK}{m['name']}: ")
        draft.sub(self._wrapped, self._joined, "mark")
        if _BLANKS.search(draft.text):
            draft.sub(_BLANK, lambda m: HARD_BREAK if m["on"] else f"{HARD_BREAK}{self._no}")
        draft.edit(self._tables(draft.text))
        draft.edit(self._rows(draft.text))

    def _is_form(self, text: str) -> bool:
        """Whether a text is worth a closer look; most are not."""
        if _RARE.search(text) and (_SIGNS.search(text) or self._closer.search(text)):
            return True
        if self._begin.match(text) or (not text.isascii() and _MARKS.search(text)):
            return True
        for sign, pattern in self._hints:
            if sign in text and pattern.search(text):
                return True
        for match in self._answer.finditer(text):  # but not "Comparison: none"
            row = text[text.rfind("\n", 0, match.start()) + 1 : match.start()]
            if not match["said"] or row.strip().lower() not in self._headers:
                return True
        return False

    def _chosen(self, match: re.Match[str]) -> str:
        """Of answers to choose from the one that is marked, or in capitals: "none / **mild**"."""
        options = [
            option.strip()
            for option in (
                match[0][: match.start("arrow") - match.start()] if match["arrow"] else match[0]
            ).split("/")
        ]
        plain = {option.strip("*_()[] ").lower() for option in options}
        if plain.isdisjoint({*self._values, *self._words["well"], *self._words["grade"]}):
            return match[0]
        if match["arrow"]:
            return " "
        marked = [option for option in options if option[0] in "*_(["]
        loud = [option for option in options if option.isupper() and len(option) > 1]
        marked = marked or (loud if len(loud) < len(options) else [])
        return f" {marked[0].strip('*_()[]')}" if len(marked) == 1 else match[0]

    def _of_sides(self, match: re.Match[str]) -> str:
        """The answer for both sides: "R - no, L - yes"."""
        said = [
            re.split(r"[-:= ]+", part.strip(), maxsplit=1)[-1]
            for part in re.split("[,;]", match[0])
        ]
        joint = _joint([self._values.get(_plain(answer)) for answer in said])
        of = [answer for answer in said if self._values.get(_plain(answer)) == joint]
        return f" {of[0]}" if of else match[0]

    def _joined(self, match: re.Match[str]) -> str:
        """An answer on the line after its name comes to it."""
        name = match["name"].lower().strip()
        # "Pneumonia cannot be" goes on with its next line, and waits for no answer.
        ends = name not in self._values and name.rpartition(" ")[2] not in self._joints
        short = ends and len(name.split()) <= _WORDS_OF_A_NAME
        return ": " if short and self._is_finding(name) else match["mark"]

    # ---- tables with heads over their columns

    def _tables(self, text: str) -> Iterator[Edit]:
        head: list[tuple[int, str]] = []
        sign, at = "", 0
        lines = text.split("\n")
        for number, line in enumerate(lines):
            start, at = at, at + len(line) + 1
            row = _cells(line, sign)[1] if head else []
            if head and line.strip() and _RULE.match(line):
                yield start, start + len(line), HARD_BREAK
            elif len(row) > 1:
                if read := self._row(head, sign, row):
                    yield start + read[0], start + len(line), read[1]
            elif said := self._transposed(lines[number : number + 2]):
                yield start, at + len(lines[number + 1]), said
            else:
                below = (
                    other for other in lines[number + 1 : number + 3] if not _RULE.match(other)
                )
                sign, row = _cells(line)
                head = row if len(row) > 1 and self._is_head([name for _, name in row]) else []
                if head or (len(row) > 1 and self._is_title(sign, row, next(below, ""))):
                    yield start, start + len(line), HARD_BREAK

    def _transposed(self, rows: Sequence[str]) -> str:
        """Names over their answers, as a sentence each; "" where two rows are none."""
        names, said = ([cell for _, cell in _cells(row)[1]] for row in (*rows, "", "")[:2])
        if len(names) < 2 or len(names) != len(said) or not self._values.keys() >= {*said}:
            return ""
        if not all(map(self._is_finding, names)):
            return ""
        pairs = ((n, self._values[s]) for n, s in zip(names, said))
        return "".join(n + self._after(v) for n, v in pairs if v is not None)

    def _is_head(self, names: Sequence[str]) -> bool:
        """Whether columns are headed by answers, sides or times."""
        said = [n for n in names if n in self._words["side"] or n in self._values]
        titles = {*self._words["head"], *self._words["now"]}
        plain = names[0] in titles or (not self._is_finding(names[0]) and len(names[0]) < 20)
        return (
            plain
            and titles.issuperset({*names[1:]} - {*said, ""})
            and (len(said) > 1 or not {*names}.isdisjoint(self._words["now"]))
        )

    def _is_title(self, sign: str, row: Sequence[tuple[int, str]], following: str) -> bool:
        """Whether a row, over one with an answer, says nothing: "Finding | Result"."""
        below = [name for _, name in _cells(following, sign)[1]]
        names = [name for _, name in row]
        return (
            sign in "|\x1d^\t"
            and len(below) > 1
            and below[1] in self._values
            and names[0] not in self._headers
            and self._values.keys().isdisjoint(names)
            and not self._is_finding(" ".join(names))
        )

    def _row(
        self, head: Sequence[tuple[int, str]], sign: str, row: Sequence[tuple[int, str]]
    ) -> tuple[int, str] | None:
        """Where the name of a row of a table ends, and what stands behind it."""
        said: list[int | None] = []
        texts: list[str] = []
        now = next((n for n, (_, title) in enumerate(head) if title in self._words["now"]), None)
        for number, (start, cell) in enumerate(row[1:], 1):
            if sign == "  ":
                number = min(range(len(head)), key=lambda n: abs(head[n][0] - start))
            if not cell or number >= len(head) or now not in (None, number):
                continue
            title = head[number][1]
            if title in self._values and title not in self._words["side"]:
                said += [self._values[title]] if self._values.get(cell) != 0 else []
            elif cell in self._values:
                said.append(self._values[cell])
            elif title not in self._words["head"]:
                texts.append(cell)
        start, name = row[0]
        if not name or not (said or texts):
            return None
        joined = f": {', '.join(texts)}{HARD_BREAK}"
        return start + len(name), joined if texts else self._after(_joint(said))

    # ---- rows

    def _rows(self, text: str) -> Iterator[Edit]:
        plus, at = _PLUS.search(text) is not None, 0
        crossed = not _TICK.search(text) and _EMPTY.search(text) is not None
        for line in text.split("\n"):
            after = text[at + len(line) : at + len(line) + 60].lstrip("\n ").split("\n")[0]
            wraps = after[:1].islower() and not re.search(r"[:=|?^\t+-]", after)
            if self._is_title_of_boxes(line, after):
                yield at, at + len(line), HARD_BREAK
            elif len(line) <= _LONGEST_ROW:
                tokens = list(self._tokens(line, plus, crossed, wraps))
                for start, end, new in sorted(self._row_edits(line, tokens), key=_longest):
                    yield at + start, at + end, new
            at += len(line) + 1

    def _is_title_of_boxes(self, line: str, after: str) -> bool:
        """Whether a line says nothing but what the boxes below are of: "Devices"."""
        box, name = self._mark.match(after), _plain(line)
        return (
            box is not None
            and box.lastgroup in ("on", "off")
            and 0 < len(name.split()) < _WORDS_OF_A_NAME
            and name.replace(" ", "").isalpha()
            and name not in self._headers
            and self._is_finding(_plain(after[box.end() :]))
        )

    def _row_edits(self, line: str, tokens: Sequence[_Token]) -> list[Edit]:
        edits: list[Edit] = []
        # "... [ ] Comment: ..." is a field of its own.
        fields = ((i, t.kind, u.kind, t.text) for i, (t, u) in enumerate(pairwise(tokens)))
        stops = [i for i, token in enumerate(tokens) if token.kind == "stop"] + [
            i
            for i, *kinds, text in fields
            if kinds == ["name", "colon"] and _plain(text) in self._headers
        ]
        for first, last in pairwise([0, *sorted(stops), len(tokens)]):
            edits += self._unit(self._options(tokens[first:last]))
        edits += self._columns(line, tokens, edits)
        slashes = [t for t in tokens if t.text == " / "]
        for mark in slashes:
            said = _plain(line[mark.end : mark.end + 30]).split()
            if len(slashes) > 1 or (said and self._values.get(said[0]) == 0):
                edits.append((mark.start, mark.end, HARD_BREAK))
        return edits

    def _tokens(self, line: str, plus: bool, crossed: bool, wraps: bool) -> Iterator[_Token]:
        bullet = _BULLET.match(line)
        at = bullet.end() if bullet else 0
        if plus and line[:at].strip() == "-":
            yield _Token("answer", 0, at, line[:at], 0)
        last = ""
        for match in self._mark.finditer(line, at):
            yield from self._cell(line, at, match.start(), last, plus, False)
            last, (start, at) = match.lastgroup or "", match.span()
            kind, value = last, None
            if last in ("on", "off", "cross"):
                kind, value = "box", int(last == "on" or (last == "cross" and crossed))
            elif last in ("answer", "sign"):
                kind, value = "answer", self._value(match[last])
            elif last == "dash" and plus:
                kind, value = "answer", 0
            yield _Token(kind, start, at, match[0], value)
        yield from self._cell(line, at, len(line), last, plus, wraps)

    def _cell(
        self, line: str, start: int, end: int, last: str, plus: bool, wraps: bool
    ) -> Iterator[_Token]:
        """What stands between two marks: a name, an answer, or one and the other."""
        text = line[start:end].strip(' "')
        if not text:
            return
        start = line.index(text, start)
        end, words = start + len(text), _plain(text)
        if words in self._values and not (wraps and words == self._no):
            # Behind a comma and a blank an answer may be the begin of anything.
            ends = not line[end:].strip(' ".')
            kind = "answer" if last != "comma" or (ends and text.istitle()) else "name"
            yield _Token(kind, start, end, text, self._values[words])
            return
        said = ""
        if last in ("", "stop", "comma", "csv", "colon"):
            lead = self._lead.match(text)
            if lead and (text[0] == "+" or self._is_finding(words)):
                said = lead[0]
            elif plus and text[0] == "-":
                said = "-"
        name, at = "", 0
        for match in () if said else (self._tail.search(text), self._inside.search(text)):
            if match and not (wraps and match.end() == len(text) and match["said"] == self._no):
                at = match.start(match.lastgroup or 0)
                if self._is_answered(text, match):
                    name, said = text[: match.start()].rstrip(), match[match.lastgroup or 0]
                    break
        if not said:
            yield _Token("name", start, end, text)
            return
        if name:
            yield _Token("name", start, start + len(name), name)
        cut = start + at + len(said)
        yield _Token("answer", start + at, cut, said, self._value(said))
        yield from self._cell(line, cut, end, "", plus, wraps)

    def _is_answered(self, text: str, match: re.Match[str]) -> bool:
        """Whether what is found behind a name, or in the middle of a text, is its answer."""
        said, name = match[match.lastgroup or 0], _plain(text[: match.start()])
        limit = _WORDS_OF_A_FIELD if said == "0" else _WORDS_OF_A_NAME
        return (
            (len(said) > 1 or said.isupper() or not said.isalpha())
            and len(name.split()) <= limit
            and self._is_finding(name)
            and (said[0] == "+" or not self._is_finding(_plain(text[match.end() :])))
        )

    def _options(self, unit: Sequence[_Token]) -> list[_Token]:
        """Boxes with answers ("Yes [ ] No [x]") to the answer that is ticked; others fall out."""
        colon = next((i for i, t in enumerate(unit) if t.kind == "colon"), -1)
        first = next((t for t in unit[colon + 1 :] if t.kind in _SAID), None)
        behind = first is not None and (
            first.kind == "answer"
            or (colon >= 0 and first.kind == "name" and self._is_grade(first))
        )
        folded: list[_Token] = []
        ticked = asked = graded = False
        i = 0
        while i < len(unit):
            one, two = unit[i], unit[i + 1] if i + 1 < len(unit) else _Token("", 0, 0)
            pair, i = (one.kind, two.kind), i + 1
            dropped = _Token("drop", one.start, two.end)
            if pair == (("answer", "box") if behind else ("box", "answer")):
                box, said = (two, one) if behind else (one, two)
                folded.append(
                    dropped._replace(kind="answer", value=said.value) if box.value else dropped
                )
                i, ticked, asked = i + 1, ticked or bool(box.value), True
            elif pair == ("box", "name") and not behind:
                side = self._is_grade(two)
                ticked, graded = ticked or bool(one.value), graded or side
                if one.value:
                    folded.append(one._replace(kind="drop") if side else one)
                elif self._option.match(two.text) or not self._is_finding(two.words):
                    folded.append(dropped)
                    i += 1
                else:
                    folded.append(one)
            elif behind and pair == ("name", "box") and self._is_grade(one):
                ticked, graded = ticked or bool(two.value), True
                folded += (one, two._replace(kind="drop")) if two.value else (dropped,)
                i += 1
            else:
                folded.append(one)
        kinds = [t.kind for t in folded]
        if (asked or graded) and not ticked and kinds.count("name") == 1 and "box" not in kinds:
            end = folded[-1].end
            rest = [t for t in folded if t.kind not in ("drop", "answer")]
            return [*rest, _Token("answer", end, end, "", None if asked else 0)]
        return folded

    def _is_grade(self, name: _Token) -> bool:
        return self._side.fullmatch(name.text) is not None

    def _unit(self, unit: Sequence[_Token]) -> Iterator[Edit]:
        """A row, or a part of it between stops; begins with the stop."""
        yield from ((t.start, t.end, " ") for t in unit if t.kind == "drop")
        unit = [t for t in unit if t.kind != "drop"]
        kinds = [t.kind for t in unit if t.kind in _SAID]
        if "box" not in kinds and "answer" not in kinds:
            yield from self._questions(unit)
        elif kinds[0] != "name" or ("box" in kinds and kinds[-1] == "name"):
            yield from self._leading(unit)
        else:
            yield from self._trailing(unit)

    def _questions(self, unit: Sequence[_Token]) -> Iterator[Edit]:
        """ "Effusion? Small left." """
        for name, mark, said in zip(unit, unit[1:], unit[2:]):
            asked = (name.kind, mark.kind, said.kind) == ("name", "asked", "name")
            if asked and self._side.match(said.text) and self._is_finding(name.words):
                yield mark.start, mark.end, ":"

    def _leading(self, unit: Sequence[_Token]) -> Iterator[Edit]:
        """Answers before their names."""
        said: _Token | None = None
        listed = False
        first = next(t.kind for t in unit if t.kind in _SAID)
        ticked = first == "name" and all(t.value for t in unit if t.kind in ("box", "answer"))
        for i, token in enumerate(unit):
            before = unit[i - 1]
            if token.kind in ("answer", "box"):
                said, listed, after = token, False, before.kind == "colon" and i > 0
                opens = "" if after else " " if ticked else HARD_BREAK  # "heart [x] normal"
            elif token.kind == "colon" and said and before is said:
                listed = said.kind == "answer"
            elif (
                token.kind == "name" and said and (listed or before.kind not in ("comma", "asked"))
            ):
                new = {1: opens, 0: f"{opens or ' '}{self._no} ", -1: f"{opens}{self._unsure} "}
                if before is said or unit[i - 2] is said:
                    if said.value is None:
                        yield said.start, token.end, HARD_BREAK
                    else:
                        yield said.start, token.start, new[said.value]
                elif listed and said.value != 1 and token.words.split(" ")[0] not in self._values:
                    yield token.start, token.start, new[said.value or 0].lstrip(HARD_BREAK)
                said = said if listed else None

    def _trailing(self, unit: Sequence[_Token]) -> Iterator[Edit]:
        """Answers behind their names."""
        i = 0
        while i < len(unit):
            first = last = i
            if unit[i].kind not in ("answer", "box"):
                i += 1
                continue
            while i < len(unit) and unit[i].kind in _BETWEEN:
                last = i if unit[i].kind in ("answer", "box") else last
                i += 1
            i, end = last + 1, unit[last].end
            at = next((n for n in range(first - 1, 0, -1) if unit[n].kind in ("name", "answer")), 0)
            name, before = unit[at], unit[max(0, at - 1)]
            if not first or name.kind != "name" or name.words in self._headers:
                continue
            finding = self._is_finding(name.words)
            detail = at > 1 and before.kind in ("table", "csv") and unit[at - 2].kind == "name"
            if detail and not finding:
                yield name.end, end, ""  # "Opacity | lower lobe | none"
                continue
            if finding and before.text.strip() in (",", ";", "/"):
                yield before.start, before.end, HARD_BREAK
            value = _joint([t.value for t in unit[first:i] if t.kind in ("answer", "box")])
            if value is None:
                yield name.start, end, HARD_BREAK
            elif value != 1:
                # "Air in the pleural space (pneumothorax)": what is said of it is said of both.
                for bracket in re.finditer(r"[()]", name.text):
                    yield name.start + bracket.start(), name.start + bracket.end(), " "
                yield name.end, end, self._after(value)
            else:
                yield name.end, *self._affirmed(end, unit[i:])

    def _affirmed(self, end: int, rest: Sequence[_Token]) -> tuple[int, str]:
        """What stands for a yes, and up to where: what follows it describes the finding."""
        mark = rest[0].kind if rest else ""
        following = next((t for t in rest if t.kind == "name"), None)
        if mark == "comma":
            return end, ""
        if (
            following is None
            or mark in ("dash", "colon", "asked")
            or self._is_finding(following.words)
        ):
            return end, HARD_BREAK
        return following.start, " " if following.text[0] == "(" else ", "

    def _columns(
        self, line: str, tokens: Sequence[_Token], edits: Sequence[Edit]
    ) -> Iterator[Edit]:
        """The separators of a table: a colon after the first cell of a row, commas after others."""
        cells = [_plain(c) for c in re.split(r"[|\x1d^]", line) if c.strip()]
        values = self._values.keys()
        pairs = len(cells) > 3 and len(cells) % 2 == 0 and values.isdisjoint(cells[1:3])
        row = 0
        for mark in (t for t in tokens if t.kind == "table" and t.text != "\t"):
            before, after = line[: mark.start].strip(" |^\x1d"), line[mark.end :].strip(" |^\x1d")
            row += bool(before and after and not _NUMBER.match(before))
            dots = mark.text[-1] in ".-" and (row > 1 or len(before.split()) > _WORDS_OF_A_NAME)
            if dots or any(start < mark.end and end > mark.start for start, end, _ in edits):
                continue
            cell = re.split(r"[|\x1d^]", after)[0]
            if not before or not after:
                new = " "
            elif _NUMBER.match(before) or (row == 1 and _plain(before).partition(" ")[0] in values):
                new = HARD_BREAK
            elif row == 1:
                new = " " if before.endswith(":") else ": "
            elif pairs:
                new = HARD_BREAK if row % 2 == 0 else ": "
            else:
                new = HARD_BREAK if ":" in cell or self._is_finding(_plain(cell)) else ", "
            yield mark.start - (line[mark.start - 1] == " "), mark.end, new

    def _after(self, value: int | None) -> str:
        said = {0: f": {self._no}{HARD_BREAK}", -1: f": {self._unsure}{HARD_BREAK}", 1: HARD_BREAK}
        return said[value] if value is not None else ""

    def _value(self, said: str) -> int | None:
        said = _plain(said)
        return self._values.get(said, int(said[:1] not in "-\u00d8\u00f8\u2205\u2300"))


def _longest(edit: Edit) -> tuple[int, int]:
    return edit[0], -edit[1]


def _plain(text: str) -> str:
    return " ".join(text.strip(' ".').lower().split())


def _joint(values: Sequence[int | None]) -> int | None:
    """What several columns say together."""
    said = [v for v in values if v is not None]
    return next((v for v in (1, -1, 0) if v in said), None)


def _cells(line: str, sign: str = "") -> tuple[str, list[tuple[int, str]]]:
    """The separator of a row of a table, and its cells in lower case with their places."""
    inner = line.strip()
    sign = sign or next((s for s in _COLUMNS if s in inner), "")
    if not sign or (sign == "," and ", " in line):
        return "", []
    cells, at = [], 0
    for part in _GAP.split(line) if sign == "  " else line.split(sign):
        start = line.index(part.strip(), at)
        cells.append((start, _plain(part)))
        at = max(at, start + len(part.strip()))
    return sign, cells[inner.startswith(sign) and sign == "|" :]


def _any(words: Iterable[str]) -> str:
    """One of some words, the longest first; by their first letters, which is fast."""
    groups: dict[str, list[str]] = {}
    for word in sorted(words, key=len, reverse=True):
        groups.setdefault(word[0], []).append(re.escape(word[1:]).replace(r"\ ", r"\s"))
    ends = (f"{re.escape(first)}(?:{'|'.join(rest)})" for first, rest in groups.items())
    return f"(?:{'|'.join(ends)})" if groups else "(?!)"
