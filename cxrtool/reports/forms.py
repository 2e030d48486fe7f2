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
from typing import NamedTuple

from cxrtool.reports.rewriting import Draft, Edit
from cxrtool.reports.text import HARD_BREAK

#: What is told apart in the rules: answers, options of boxes, heads of columns, names of fields.
ANSWERS = (
    "no", "yes", "unsure", "blank", "well", "grade", "for", "side", "now", "head", "key", "value",
    "ask", "box",
)  # fmt: skip
_ON = (
    r"[\[({<][xX*vV\u2022\u2713\u2714\u2717\u2718][\])}>]|_+[xX]_+"
    "|[\u2611\u2612\u25a0\u25a3\u25cf\u25c9\u2713\u2714\u2705\u221a]"
)
_OFF = r"\[(?:[ .]{0,3}|_)\]|[({<](?:[ ]{1,3}|_)[)}>]" + "|[\u2610\u25a1\u25a2\u25cb\u25ef]"
_CROSS = "[\u2715-\u2718\u274c]"
_NONE = "[\u00d8\u2205\u2300]"  # the sign of the empty set, and what is written for it
_PLUS = re.compile(r"(?:\A|[\n,;])[ ]*\+[ ]?(?=[^\W\d_])|(?<=[^\W\d_])[ ]\+(?=[\s,;.]|\Z)")
_BLANKS = re.compile(r"_[xX]_|(?:\A|\n)(?:[xX][ ]+[^\n]*\n_|_+[ ][^\n]*\n[xX][ ])")
_BLANK = re.compile(r"(?:(?<=\n)|\A|(?<=[ ]))(?:(?P<off>_+)|(?P<on>[xX]))(?=[ ]+[^\W\d_])")
_TICK_OR_BOX = "[\u2610-\u2612\u25a0-\u25a3\u25cb\u25cf\u25c9\u25ef\u2705\u2713\u2714\u221a]"
_TICK, _EMPTY = re.compile("[\u2713\u2714\u2705]"), re.compile(_OFF)
_PAIRED = (("\u25cf", "\u25cb"), ("\u25a0", "\u25a1"))  # alone the first is a bullet
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
    value: int | None = None


class FormReader:
    """Finds what is a form in reports.

    Args:
        answers: What `ANSWERS` names -> words, in lower case.
        headers: Section headers in lower case, which no answer belongs to ("Comparison: none").
        is_finding: Whether words in lower case name a finding: the head of a table does not.
    """

    def __init__(
        self,
        answers: Mapping[str, tuple[str, ...]],
        headers: Iterable[str],
        is_finding: Callable[[str], bool] = lambda words: False,
    ) -> None:
        self._headers, self._is_finding = frozenset(headers), lru_cache(10_000)(is_finding)
        words = {name: answers.get(name, ()) for name in ANSWERS}
        self._words = {name: frozenset(of) for name, of in words.items()}
        self._no, self._unsure = (words["no"] or ("",))[0], (words["unsure"] or ("",))[0]
        self._ask = (words["ask"] or ("?",))[0]
        self._values: dict[str, int | None] = {
            **dict.fromkeys(words["blank"]),
            **dict.fromkeys(words["yes"], 1),
            **dict.fromkeys(words["unsure"], -1),
            **dict.fromkeys(words["no"], 0),
        }
        word, answer = _any(w for w in self._values if w[0].isalpha()), _any(self._values)
        signs = _any(w for w in self._values if w[0] in "-+" and w[-1].isalpha())
        short = _any(w for w in self._values if w.isalpha() and len(w) < 4)
        grades = rf"(?:{_any(words['grade'])}\b[ ,]*)+"
        self._side = re.compile(grades, re.I)
        self._option = re.compile(rf"{grades}\Z|.*\b{_any(words['well'])}\b", re.I)
        self._mark = re.compile(
            rf"(?P<on>{_ON})|(?P<off>{_OFF})|(?P<cross>{_CROSS})"
            rf"|[(\[{{<][ ]?(?P<answer>{word}|[-+]{{1,3}}|\+/-|(?<=\[)\?)[ ]?[)\]}}>]"
            rf"|(?P<drop>[ ]?[(\[](?:[01]/[01]|{short}[ ]?/[ ]?{short}|{_any(words['box'])})[)\]])"
            rf"|(?P<sign>(?<![\w+-])(?:{signs})\b|{_NONE})"
            rf"|(?P<table>(?<=\w)\.{{2,3}}(?={word}[ ]*\Z)|[|\x1d^\t]|(?<=[ ])\.{{2,}}(?=[ ])"
            rf"|[ ]--(?=[ ])|\.{{4,}}|[-=]>|>>)"
            r"|(?P<colon>[:=])|(?P<asked>\?)|(?P<dash>(?<=[^\s|:=])[ ]?-{1,2}(?=[ ]+[^\s|]))"
            rf"|(?P<csv>,(?=\S)|(?<=\S);(?=\S|\Z)|;(?=[ ]{answer}[ ]*(?:;|\Z)))|(?P<comma>,)"
            r"|(?P<gap>[ ]{2,})"
            r"|(?P<stop>\x1e|;|\.(?=\s|\Z)|[ ]/[ ])",
            re.I,
        )
        self._sign = re.compile(rf"(?<![\w+-])(?P<said>{signs})[ ]{_any(words['for'])}\b", re.I)
        self._tail = re.compile(
            rf"(?<=[\w)])[ ]+(?P<said>\+/-|[-+]{{1,3}}|0|{short})[ .]*\Z"
            r"|(?<=[^\W\d_])(?P<sign>[+])\Z",
            re.I,
        )
        letters = "".join(w.upper() for w in self._values if w.isalpha() and len(w) == 1)
        loud = [w.title() for w in self._values if w.isalpha() and 1 < len(w) < 4]
        loud += [w.upper() for w in loud]
        self._inside = re.compile(rf"(?<=[^\W\d_])[ ]+(?P<said>{_any(loud)}|\+{{1,3}})(?=[ ]+\S)")
        self._lead = re.compile(
            rf"(?P<said>[{letters}0](?=[ ]+[^\W\d_])|\+{{1,3}}(?=[ ]?[^\W\d_]))"
        )
        field = r"\"?[ ]?[:=|][ ]*"
        self._record = re.compile(
            rf"(?:\A|(?<=[\n;,|\x1e:{{]))[ ]*\"?{_any(words['key'])}{field}"
            r"(?P<name>[^\n;,:=|.?]{1,60}?)"
            rf"[ ]{{0,20}}[\n;,|]\s{{0,20}}\"?{_any(words['value'])}{field}",
            re.I,
        )
        self._wrapped = re.compile(
            rf"(?:\A|(?<=\n))(?P<name>[^\n.;,|]{{3,60}}?)"
            rf"(?P<mark>:?[ ]{{0,20}}\n[ ]{{0,40}})(?={word}[ .]*(?:\n|\Z))",
            re.I,
        )
        self._learn_hints(words["value"], word, answer, loud, letters)

    def _learn_hints(
        self, values: Iterable[str], word: str, answer: str, loud: list[str], letters: str
    ) -> None:
        """What a text is looked at for, to tell whether it holds a form."""
        long = [w for w in self._values if w.isalpha() and len(w) == 3]
        forms = {*long, *loud, *map(str.title, long), *map(str.upper, long), *letters}
        end = r"[ \"]*(?=[;,/.(|}\x1d\x1e\t\n]|\Z|[ ]/)"
        value = rf"[^\n:=]{{1,60}}[\n;,|]\s{{0,20}}\"?{_any(values)}\"?[ ]?[:=|]"
        self._closer = re.compile(
            rf"[=?\t](?:[ \"]*{answer}{end}|[ ]*{value})|[\[{{<][ ]?{word}[ ]?[\]}}>]", re.I
        )
        minus = _any(f"{w[1:]}" for w in self._values if w[0] == "-" and w[1:].isalpha()) + r"\b"
        mark = r"[-+/]{0,2}(?:[\n,;.]|\Z)"
        # Patterns that begin with their mark are found fast.
        self._hints = [
            ("(", re.compile(rf"\([ ]?(?:{word}|[-+]{{1,3}}|[xX*v?_ .-]{{0,3}})[ ]?\)", re.I)),
            ("-", re.compile(rf"-(?:{minus}|[ ]+{answer}{end}|(?<=[ ,\n]-){mark})", re.I)),
            (",", re.compile(rf",{answer}{end}", re.I)),
            (";", re.compile(rf";[ ]?{answer}{end}", re.I)),
            ("..", re.compile(rf"\.\.{word}[ ]*(?:\n|\Z)", re.I)),
            ("\n", re.compile(rf"\n[ ]*(?:{answer}{end}|(?-i:[{letters}0][ ])|{word}[ ]?:)", re.I)),
            (". ", re.compile(rf"\.[ ]{word}[ ]?:", re.I)),
            (" ", re.compile(rf"[ ](?:{_any(forms)}|[0xX])(?=[;,\n]|\.?\Z|[ ]/|\.\s)")),
        ]
        self._begin = re.compile(rf"(?-i:[{letters}0][ ])|{word}[ ]?:|-", re.I)
        self._answer = re.compile(rf":[ \"]*(?:(?P<said>{answer}){end}|{value})", re.I)

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
        draft.sub(_ASKED, lambda m: f"{self._ask} ")
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
        if "...." in text or " / " in text or " -- " in text:
            return True
        for sign, pattern in self._hints:
            if sign in text and pattern.search(text):
                return True
        for match in self._answer.finditer(text):  # but not "Comparison: none"
            row = text[text.rfind("\n", 0, match.start()) + 1 : match.start()]
            if not match["said"] or row.strip().lower() not in self._headers:
                return True
        return False

    def _joined(self, match: re.Match[str]) -> str:
        """An answer on the line after its name comes to it."""
        name = match["name"].lower().strip()
        short = len(name.split()) <= _WORDS_OF_A_NAME and name not in self._values
        return ": " if short and self._is_finding(name) else match["mark"]

    # ---- tables with heads over their columns

    def _tables(self, text: str) -> Iterator[Edit]:
        head: list[tuple[int, str]] = []
        sign, at = "", 0
        lines = text.split("\n")
        for number, line in enumerate(lines):
            start, at = at, at + len(line) + 1
            if head and line.strip() and _RULE.match(line):
                yield start, start + len(line), HARD_BREAK
                continue
            row = _cells(line, sign)[1] if head else []
            if head and len(row) > 1:
                if read := self._row(head, sign, row):
                    yield start + read[0], start + len(line), read[1]
                continue
            if said := self._transposed(lines[number : number + 2]):
                yield start, at + len(lines[number + 1]), said
                continue
            following = next(
                (other for other in lines[number + 1 : number + 3] if not _RULE.match(other)), ""
            )
            sign, row = _cells(line)
            head = row if len(row) > 1 and self._is_head(row) else []
            if head or (len(row) > 1 and self._is_title(sign, row, following)):
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

    def _is_head(self, row: Sequence[tuple[int, str]]) -> bool:
        """Whether columns are headed by answers, sides or times."""
        names = [name for _, name in row]
        said = [n for n in names if n in self._words["side"] or n in self._values]
        titles = self._words["head"] | self._words["now"]
        plain = names[0] in titles or (not self._is_finding(names[0]) and len(names[0]) < 20)
        return (
            plain
            and all(not n or n in said or n in titles for n in names[1:])
            and (len(said) > 1 or not self._words["now"].isdisjoint(names))
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
        now = [n for n, (_, title) in enumerate(head) if title in self._words["now"]]
        for number, (start, cell) in enumerate(row[1:], 1):
            if sign == "  ":
                number = min(range(len(head)), key=lambda n: abs(head[n][0] - start))
            if not cell or number >= len(head) or (now and number != now[0]):
                continue
            title = head[number][1]
            if title in self._values and title not in self._words["side"]:
                said += [self._values[title]] if self._values.get(cell) != 0 else []
            elif cell in self._values:
                said.append(self._values[cell])
            elif title not in self._words["head"]:
                texts.append(cell)
        if not row[0][1] or not (said or texts):
            return None
        joined = f": {', '.join(texts)}{HARD_BREAK}"
        return row[0][0] + len(row[0][1]), joined if texts else self._after(_joint(said))

    # ---- rows

    def _rows(self, text: str) -> Iterator[Edit]:
        plus, at = _PLUS.search(text) is not None, 0
        crossed = not _TICK.search(text) and _EMPTY.search(text) is not None
        for line in text.split("\n"):
            after = text[at + len(line) : at + len(line) + 60].lstrip("\n ").split("\n")[0]
            if len(line) > _LONGEST_ROW:
                at += len(line) + 1
                continue
            wraps = after[:1].islower() and not re.search(r"[:=|?^\t+-]", after)
            tokens = list(self._tokens(line, plus, crossed, wraps))
            edits: list[Edit] = []
            unit: list[_Token] = []
            for token in (*tokens, _Token("stop", len(line), len(line))):
                if token.kind == "stop":
                    edits += self._unit(line, self._options(line, unit))
                    unit = [token]
                else:
                    unit.append(token)
            edits += self._columns(line, tokens, edits)
            slashes = [t for t in tokens if line[t.start : t.end] == " / "]
            for mark in slashes:
                said = _plain(line[mark.end : mark.end + 30]).split()
                if len(slashes) > 1 or (said and self._values.get(said[0]) == 0):
                    edits.append((mark.start, mark.end, HARD_BREAK))
            yield from (
                (at + start, at + end, new) for start, end, new in sorted(edits, key=_longest)
            )
            at += len(line) + 1

    def _tokens(self, line: str, plus: bool, crossed: bool, wraps: bool) -> Iterator[_Token]:
        bullet = _BULLET.match(line)
        at = bullet.end() if bullet else 0
        if plus and line[:at].strip() == "-":
            yield _Token("answer", 0, at, 0)
        last = ""
        for match in self._mark.finditer(line, at):
            yield from self._cell(line, at, match.start(), last, plus, False)
            last, (start, at) = match.lastgroup or "", match.span()
            if last in ("on", "off", "cross"):
                ticked = last == "on" or (last == "cross" and crossed)
                yield _Token("box", start, at, int(ticked))
            elif last in ("answer", "sign"):
                yield _Token("answer", start, at, self._value(match[last]))
            elif last == "dash" and plus:
                yield _Token("answer", start, at, 0)
            else:
                yield _Token(last, start, at)
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
            known = last != "comma" or (ends and text.istitle())
            yield _Token("answer" if known else "name", start, end, self._values[words])
            return
        if last in ("", "stop", "comma", "csv", "colon"):
            lead = self._lead.match(text)
            if lead and (lead["said"][0] == "+" or self._is_finding(words)):
                cut = start + lead.end()
                yield _Token("answer", start, cut, self._value(lead["said"]))
                yield from self._cell(line, cut, end, "", plus, wraps)
                return
            if plus and text[0] == "-":
                yield _Token("answer", start, start + 1, 0)
                yield from self._cell(line, start + 1, end, "", plus, wraps)
                return
        for match in (self._tail.search(text), self._inside.search(text)):
            if match and not (wraps and match.end() == len(text) and match["said"] == self._no):
                said, name = match[match.lastgroup or 0], _plain(text[: match.start()])
                rest = _plain(text[match.end() :])
                limit = _WORDS_OF_A_FIELD if said == "0" else _WORDS_OF_A_NAME
                whole = len(said) > 1 or said.isupper() or not said.isalpha()
                if (
                    whole
                    and len(name.split()) <= limit
                    and self._is_finding(name)
                    and (said[0] == "+" or not self._is_finding(rest))
                ):
                    cut = start + match.start(match.lastgroup or 0)
                    yield _Token("name", start, start + len(text[: match.start()].rstrip()))
                    yield _Token("answer", cut, cut + len(said), self._value(said))
                    yield from self._cell(line, cut + len(said), end, "", plus, wraps)
                    return
        yield _Token("name", start, end)

    def _options(self, line: str, unit: list[_Token]) -> list[_Token]:
        """Boxes with answers ("Yes [ ] No [x]") to the answer that is ticked; others fall out."""
        colon = next((i for i, t in enumerate(unit) if t.kind == "colon"), -1)
        options = [t for t in unit[colon + 1 :] if t.kind in ("box", "answer", "name")]
        behind = options[:1] != [] and (
            options[0].kind == "answer"
            or (colon >= 0 and options[0].kind == "name" and self._is_grade(line, options[0]))
        )
        folded: list[_Token] = []
        ticked = asked = graded = False
        i = 0
        while i < len(unit):
            one, two = unit[i], unit[i + 1] if i + 1 < len(unit) else None
            i += 1
            if two and {one.kind, two.kind} == {"box", "answer"} and (one.kind == "box") != behind:
                box, said = (two, one) if behind else (one, two)
                kind = "answer" if box.value else "drop"
                folded.append(_Token(kind, one.start, two.end, said.value))
                i, ticked, asked = i + 1, ticked or bool(box.value), True
            elif one.kind == "box" and two and two.kind == "name" and not behind:
                text = line[two.start : two.end]
                side = self._side.fullmatch(text) is not None
                ticked, graded = ticked or bool(one.value), graded or side
                if one.value or not (
                    self._option.match(text) or not self._is_finding(_plain(text))
                ):
                    folded.append(one._replace(kind="drop") if one.value and side else one)
                else:
                    folded.append(_Token("drop", one.start, two.end, 0))
                    i += 1
            elif (
                two
                and behind
                and (one.kind, two.kind) == ("name", "box")
                and self._is_grade(line, one)
            ):
                ticked, graded = ticked or bool(two.value), True
                if two.value:
                    folded += (one, two._replace(kind="drop"))
                else:
                    folded.append(_Token("drop", one.start, two.end, 0))
                i += 1
            else:
                folded.append(one)
        names = [t for t in folded if t.kind == "name"]
        if (
            (asked or graded)
            and not ticked
            and len(names) == 1
            and "box" not in {t.kind for t in folded}
        ):
            end = folded[-1].end
            kept = [t for t in folded if t.kind not in ("drop", "answer")]
            return [*kept, _Token("answer", end, end, None if asked else 0)]
        return folded

    def _is_grade(self, line: str, name: _Token) -> bool:
        return self._side.fullmatch(line[name.start : name.end]) is not None

    def _unit(self, line: str, unit: Sequence[_Token]) -> Iterator[Edit]:
        """A row, or a part of it between stops; begins with the stop."""
        yield from ((t.start, t.end, " ") for t in unit if t.kind == "drop")
        unit = [t for t in unit if t.kind != "drop"]
        kinds = [t.kind for t in unit if t.kind in ("name", "answer", "box")]
        if "box" not in kinds and "answer" not in kinds:
            yield from self._questions(line, unit)
        elif kinds[0] != "name" or ("box" in kinds and kinds[-1] == "name"):
            yield from self._leading(line, unit)
        else:
            yield from self._trailing(line, unit)

    def _questions(self, line: str, unit: Sequence[_Token]) -> Iterator[Edit]:
        """ "Effusion? Small left." """
        for name, mark, said in zip(unit, unit[1:], unit[2:]):
            if (name.kind, mark.kind, said.kind) == ("name", "asked", "name"):
                words = _plain(line[name.start : name.end])
                if self._side.match(line[said.start : said.end]) and self._is_finding(words):
                    yield mark.start, mark.end, ":"

    def _leading(self, line: str, unit: Sequence[_Token]) -> Iterator[Edit]:
        """Answers before their names."""
        said: _Token | None = None
        listed = False
        first = next(t.kind for t in unit if t.kind in ("name", "answer", "box"))
        ticked = first == "name" and all(t.value for t in unit if t.kind in ("box", "answer"))
        for i, token in enumerate(unit):
            if token.kind in ("answer", "box"):
                said, listed, after = token, False, unit[i - 1].kind == "colon" and i > 0
                opens = "" if after else HARD_BREAK
                if ticked and not after:
                    opens = " "  # "heart [x] normal"
            elif token.kind == "colon" and said and unit[i - 1] is said:
                listed = said.kind == "answer"
            elif token.kind == "name" and said:
                before = unit[i - 1]
                if before.kind in ("comma", "asked") and not listed:
                    continue
                text = line[token.start : token.end]
                new = {1: opens, 0: f"{opens or ' '}{self._no} ", -1: f"{opens}{self._unsure} "}
                if before is said or unit[i - 2] is said:
                    if said.value is None:
                        yield said.start, token.end, HARD_BREAK
                    else:
                        yield said.start, token.start, new[said.value]
                elif listed and said.value != 1 and _plain(text).split()[0] not in self._values:
                    yield token.start, token.start, new[said.value or 0].lstrip(HARD_BREAK)
                if not listed:
                    said = None

    def _trailing(self, line: str, unit: Sequence[_Token]) -> Iterator[Edit]:
        """Answers behind their names."""
        i = 0
        while i < len(unit):
            if unit[i].kind not in ("answer", "box"):
                i += 1
                continue
            first = last = i
            while i < len(unit) and unit[i].kind in _BETWEEN:
                last = i if unit[i].kind in ("answer", "box") else last
                i += 1
            i = last + 1
            at = first - 1
            while at > 0 and unit[at].kind not in ("name", "answer"):
                at -= 1
            if at < 0 or unit[at].kind != "name":
                continue
            name = unit[at]
            words = _plain(line[name.start : name.end])
            if words in self._headers:
                continue
            detail = (
                at > 1 and unit[at - 1].kind in ("table", "csv") and unit[at - 2].kind == "name"
            )
            if detail and not self._is_finding(words):
                yield name.end, unit[last].end, ""  # "Opacity | lower lobe | none"
                continue
            value = _joint([t.value for t in unit[first : last + 1] if t.kind in ("answer", "box")])
            before = unit[max(0, at - 1)]
            apart = line[before.start : before.end].strip() in (",", ";", "/")
            if apart and self._is_finding(words):
                yield before.start, before.end, HARD_BREAK
            end = unit[last].end
            if value is None:
                yield name.start, end, HARD_BREAK
            elif value != 1:
                yield from _opened(line, name)
                yield name.end, end, self._after(value)
            else:
                yield name.end, *self._affirmed(line, end, unit[last + 1 :])

    def _affirmed(self, line: str, end: int, rest: Sequence[_Token]) -> tuple[int, str]:
        """What stands for a yes, and up to where: what follows it describes the finding."""
        following = next((t for t in rest if t.kind == "name"), None)
        if not rest or following is None or rest[0].kind in ("comma",):
            return end, "" if rest and rest[0].kind == "comma" else HARD_BREAK
        text = line[following.start : following.end]
        if self._is_finding(_plain(text)) or rest[0].kind in ("dash", "colon", "asked"):
            return end, HARD_BREAK
        return following.start, " " if text[0] == "(" else ", "

    def _columns(
        self, line: str, tokens: Sequence[_Token], edits: Sequence[Edit]
    ) -> Iterator[Edit]:
        """The separators of a table: a colon after the first cell of a row, commas after others."""
        marks = [t for t in tokens if t.kind == "table" and line[t.start] != "\t"]
        cells = [_plain(c) for c in re.split(r"[|\x1d^]", line) if c.strip()]
        values = self._values.keys()
        pairs = len(cells) > 3 and len(cells) % 2 == 0 and values.isdisjoint(cells[1:3])
        row = 0
        for mark in marks:
            before, after = line[: mark.start].strip(" |^\x1d"), line[mark.end :].strip(" |^\x1d")
            row += bool(before and after and not _NUMBER.match(before))
            if any(start < mark.end and end > mark.start for start, end, _ in edits):
                continue
            dots = line[mark.end - 1] in ".-"
            if dots and (row > 1 or len(before.split()) > _WORDS_OF_A_NAME):
                continue
            cell = re.split(r"[|\x1d^]", after)[0]
            if not before or not after:
                new = " "
            elif _NUMBER.match(before) or (row == 1 and _plain(before).split()[0] in values):
                new = HARD_BREAK
            elif row == 1:
                new = " " if before.endswith(":") else ": "
            elif pairs:
                new = HARD_BREAK if row % 2 == 0 else ": "
            else:
                new = HARD_BREAK if ":" in cell or self._is_finding(_plain(cell)) else ", "
            yield mark.start - (line[mark.start - 1] == " "), mark.end, new

    def _after(self, value: int | None) -> str:
        return {1: HARD_BREAK, None: ""}.get(
            value, f": {self._no if value == 0 else self._unsure}{HARD_BREAK}"
        )

    def _value(self, said: str) -> int | None:
        said = _plain(said)
        if said in self._values:
            return self._values[said]
        return 0 if said[0] in "-\u00d8\u00f8\u2205\u2300" else 1


def _longest(edit: Edit) -> tuple[int, int]:
    return edit[0], -edit[1]


def _plain(text: str) -> str:
    return " ".join(text.strip(' ".').lower().split())


def _joint(values: Sequence[int | None]) -> int | None:
    """What several columns say together."""
    said = [v for v in values if v is not None]
    return next((v for v in (1, -1, 0) if v in said), None)


def _opened(line: str, name: _Token) -> Iterator[Edit]:
    """ "Air in the pleural space (pneumothorax)": what is said of it is said of both."""
    for i in range(name.start, name.end):
        if line[i] in "()":
            yield i, i + 1, " "


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
