"""Rewrites the rows of forms by what their marks say."""

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise

from cxrtool.reports.forms.options import OptionReader
from cxrtool.reports.forms.tokens import Signs, Token, TokenReader
from cxrtool.reports.forms.units import UnitReader
from cxrtool.reports.forms.words import WORDS_OF_A_NAME, FormWords, any_of, plain
from cxrtool.reports.rewriting import Edit
from cxrtool.reports.text import HARD_BREAK

_LONGEST = 20_000  # row that is read
_FIELD = re.compile(r"[:=|?\t\[]")
_RULED = re.compile(r"\s*([-=*#~_])\1+[^\n]*\1\1+\s*\Z")  # "=== FINDINGS ==="
_NUMBER = re.compile(r"\s*\d{1,3}[.)]?\s*\Z")


class RowReader:
    """Reads the rows of a text.

    Args:
        words: The words of forms.
    """

    def __init__(self, words: FormWords) -> None:
        self._words, self._values = words, words.values
        self._tokens, self._options = TokenReader(words), OptionReader(words)
        self._units = UnitReader(words)

    def edits(self, text: str) -> Iterator[Edit]:
        """What stands for the marks of all rows."""
        signs, at, headed, before = Signs.of(text), 0, False, ""
        for line in text.split("\n"):
            after = text[at + len(line) : at + len(line) + 60].lstrip("\n ").split("\n")[0]
            wraps = after[:1].islower() and not re.search(r"[:=|?^\t+-]", after)
            if self._is_title_of_boxes(line, after) or self._is_title(line, after):
                yield at, at + len(line), HARD_BREAK
            elif len(line) <= _LONGEST and not _RULED.match(line):
                tokens = list(self._tokens.read(line, signs, wraps))
                if self._is_empty(tokens) and (
                    self._is_answered_field(after)
                    or (not after and self._is_answered_field(before))
                ):
                    yield at, at + len(line), HARD_BREAK
                    tokens = []
                headed = headed or any(
                    (one.kind, two.kind) == ("name", "colon") and self._is_header(one)
                    for one, two in pairwise(tokens)
                )
                for start, end, new in sorted(self._row_edits(line, tokens, headed), key=_order):
                    yield at + start, at + end, new
                if not wraps and _FIELD.search(line) and self._is_answered_field(after):
                    yield at + len(line), at + len(line), HARD_BREAK
            at, before = at + len(line) + 1, line

    def _is_title_of_boxes(self, line: str, after: str) -> bool:
        """Whether a line says nothing but what the boxes below are of: "Devices"."""
        box, name = self._tokens.mark.match(after), plain(line)
        return (
            box is not None
            and box.lastgroup in ("on", "off")
            and 0 < len(name.split()) < WORDS_OF_A_NAME
            and name.replace(" ", "").isalpha()
            and name not in self._words.headers
            and self._words.is_finding(plain(after[box.end() :]))
        )

    def _is_title(self, line: str, after: str) -> bool:
        """Whether a line names the form: "PNEUMONIA CHECKLIST"."""
        words = plain(re.split(r"[ ][-(]", line)[0]).split()
        named = not {*words[-2:]}.isdisjoint(self._words.of["title"])
        return named and len(words) <= WORDS_OF_A_NAME and _FIELD.search(after) is not None

    def _is_empty(self, tokens: Sequence[Token]) -> bool:
        """Whether a row is a finding that nothing is said of: "Effusion:"."""
        kinds = {t.kind for t in tokens}
        return (
            len(kinds) > 1
            and kinds <= {"name", "colon", "table", "gap"}
            and sum(t.kind == "name" for t in tokens) == 1
            and self._is_field(tokens[0])
        )

    def _is_answered_field(self, line: str) -> bool:
        """Whether a line is a finding and what is said of it: "Effusion: small"."""
        name = re.match(r"([^:|=\t]+)[:|=\t]", line)
        return name is not None and self._words.is_finding(plain(name[1]))

    def _is_field(self, name: Token) -> bool:
        finding = name.kind == "name" and self._words.is_finding(name.words)
        return finding and name.words not in self._words.headers

    def _is_header(self, name: Token) -> bool:
        return name.words in self._words.headers and not self._words.is_finding(name.words)

    def _row_edits(self, line: str, tokens: Sequence[Token], headed: bool) -> list[Edit]:
        tokens = _without_keys(tokens)
        edits: list[Edit] = []
        # "... [ ] Comment: ..." is a field of its own.
        fields = ((i, t.kind, u.kind, t.text) for i, (t, u) in enumerate(pairwise(tokens)))
        stops = [i for i, token in enumerate(tokens) if token.kind == "stop"] + [
            i
            for i, *kinds, text in fields
            if kinds == ["name", "colon"] and plain(text) in self._words.headers
        ]
        boxes = [i for i, t in enumerate(tokens) if t.kind == "box"][:1]
        led = any(i == 0 or tokens[i - 1].kind == "colon" for i in boxes)  # "Cause: [x] edema?"
        # "Effusion: Y     Edema: N"
        stops += [
            i
            for i, (before, name, mark) in enumerate(zip(tokens, tokens[1:], tokens[2:]), 1)
            if before.kind in ("gap", "box", "answer", "table")
            and (name.kind, mark.kind) in (("name", "colon"), ("name", "asked"))
            and not (led and (before.kind, mark.kind) == ("box", "asked"))
            and i > 1
            and (self._is_field(name) or (i + 2 < len(tokens) and tokens[i + 2].kind == "answer"))
        ]
        stops = [i for i in sorted({*stops}) if not _goes_on(tokens, i)]
        for first, last in pairwise([0, *stops, len(tokens)]):
            edits += self._units.edits(self._options.read(tokens[first:last]), headed)
        edits += self._columns(line, tokens, edits)
        slashes = [t for t in tokens if t.text == " / "]
        if slashes and self._is_denied_list(tokens):
            either = next(iter(self._words.of["either"]), ",")
            return [*edits, *((mark.start, mark.end, f" {either} ") for mark in slashes)]
        for mark in slashes:
            answer = plain(line[mark.end : mark.end + 30]).split()
            if len(slashes) > 1 or (answer and self._values.get(answer[0]) == 0):
                edits.append((mark.start, mark.end, HARD_BREAK))
        return edits

    def _is_denied_list(self, tokens: Sequence[Token]) -> bool:
        """Whether one word denies all that strokes part: "no CHF / pna / ptx"."""
        names = [t.words for t in tokens if t.text != " / "]
        first, _, rest = names[0].partition(" ")
        opens = any_of(self._words.of["for"])
        bare = [re.sub(rf"^{opens} ", "", rest), *names[1:]]
        return (
            self._values.get(first) == 0
            and len(tokens) == 2 * len(names) - 1
            and all(len(name.split()) == 1 and self._words.is_finding(name) for name in bare)
        )

    def _columns(self, line: str, tokens: Sequence[Token], edits: Sequence[Edit]) -> Iterator[Edit]:
        """The separators of a table: a colon after the first cell of a row, commas after others."""
        cells = [plain(c) for c in re.split(r"[|\x1d^]", line) if c.strip()]
        values = self._values.keys()
        pairs = len(cells) > 3 and len(cells) % 2 == 0 and values.isdisjoint(cells[1:3])
        busy = sorted((start, end) for start, end, _ in edits)
        starts, ends = [start for start, _ in busy], [*accumulate((e for _, e in busy), max)]
        row = 0
        for mark in (t for t in tokens if t.kind == "table" and t.text != "\t"):
            before, after = line[: mark.start].strip(" |^\x1d"), line[mark.end :].strip(" |^\x1d")
            row += bool(before and after and not _NUMBER.match(before))
            dots = mark.text[-1] in ".-" and (row > 1 or len(before.split()) > WORDS_OF_A_NAME)
            earlier = bisect_left(starts, mark.end)
            if dots or (earlier and ends[earlier - 1] > mark.start):
                continue
            cell = re.split(r"[|\x1d^]", after, maxsplit=1)[0]
            if not before or not after:
                new = " "
            elif _NUMBER.match(before) or (
                row == 1
                and (
                    plain(before).partition(" ")[0] in values
                    or ":" in before.rstrip(":")
                    or any(t.kind == "answer" and t.end <= mark.start for t in tokens)
                )
            ):
                new = HARD_BREAK
            elif row == 1:
                new = " " if before.endswith(":") else ": "
            elif pairs:
                new = HARD_BREAK if row % 2 == 0 else ": "
            else:
                new = HARD_BREAK if ":" in cell or self._words.is_finding(plain(cell)) else ", "
            yield mark.start - (line[mark.start - 1] == " "), mark.end, new


def _order(edit: Edit) -> tuple[int, int]:
    """By the start, of several the longest first."""
    return edit[0], -edit[1]


def _without_keys(tokens: Sequence[Token]) -> Sequence[Token]:
    """A row without answers that are keys: "effusion: {present: no}"."""
    kinds = [token.kind for token in tokens]
    keys = {
        i
        for i in range(1, len(kinds) - 2)
        if kinds[i : i + 3] == ["answer", "colon", "answer"] and kinds[i - 1] == "colon"
    }
    return [
        token._replace(kind="drop") if i in keys or i - 1 in keys else token
        for i, token in enumerate(tokens)
    ]


def _goes_on(tokens: Sequence[Token], stop: int) -> bool:
    """Whether a list goes on behind a semicolon: "Absent: effusion; fracture"."""
    if tokens[stop].text != ";" or [t.kind for t in tokens[stop + 1 : stop + 2]] != ["name"]:
        return False
    if stop + 2 < len(tokens) and tokens[stop + 2].kind != "stop":
        return False
    begins = [i for i, t in enumerate(tokens[:stop]) if t.kind == "stop" and t.text != ";"]
    first = begins[-1] + 1 if begins else 0
    return [t.kind for t in tokens[first : first + 2]] == ["answer", "colon"]
