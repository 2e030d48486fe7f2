"""Reads tables with heads over their columns, of answers, sides or times, as a sentence a row.

In: the text of a form. Out: edits of its rows.
"""

import re
from collections.abc import Iterator, Sequence

from cxrtool.reports.forms.words import FormWords, joint, plain
from cxrtool.reports.rewriting import Edit
from cxrtool.reports.text import HARD_BREAK

_GAP = re.compile(r"[ ]{2,}")
_RULE = re.compile(r"[ |:+=-]*\Z")
_COLUMNS = ("|", "\x1d", "^", "\t", ";", ",", "  ", " / ")


class TableReader:
    """Reads rows by the heads of their columns.

    Args:
        words: The words of forms.
    """

    def __init__(self, words: FormWords) -> None:
        self._words, self._values = words, words.values

    def edits(self, text: str) -> Iterator[Edit]:
        """What stands for the rows of tables, for those that say nothing, and for their rules."""
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
            elif sentences := self._transposed(lines[number : number + 2]):
                yield start, at + len(lines[number + 1]), sentences
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
        names, answers = ([cell for _, cell in _cells(row)[1]] for row in (*rows, "", "")[:2])
        if len(names) < 2 or len(names) != len(answers) or not self._values.keys() >= {*answers}:
            return ""
        if not all(map(self._words.is_finding, names)):
            return ""
        pairs = ((n, self._values[a]) for n, a in zip(names, answers))
        return "".join(n + self._words.after(v) for n, v in pairs if v is not None)

    def _is_head(self, names: Sequence[str]) -> bool:
        """Whether columns are headed by answers, sides or times."""
        answers = [n for n in names if n in self._words.of["side"] or n in self._values]
        titles = {*self._words.of["head"], *self._words.of["now"]}
        titled = names[0] in titles or (not self._words.is_finding(names[0]) and len(names[0]) < 20)
        return (
            titled
            and titles.issuperset({*names[1:]} - {*answers, ""})
            and (len(answers) > 1 or not {*names}.isdisjoint(self._words.of["now"]))
        )

    def _is_title(self, sign: str, row: Sequence[tuple[int, str]], following: str) -> bool:
        """Whether a row, over one with an answer, says nothing: "Finding | Result"."""
        below = [name for _, name in _cells(following, sign)[1]]
        names = [name for _, name in row]
        return (
            sign in "|\x1d^\t"
            and len(below) > 1
            and below[1] in self._values
            and names[0] not in self._words.headers
            and self._values.keys().isdisjoint(names)
            and not self._words.is_finding(" ".join(names))
        )

    def _row(
        self, head: Sequence[tuple[int, str]], sign: str, row: Sequence[tuple[int, str]]
    ) -> tuple[int, str] | None:
        """Where the name of a row of a table ends, and what stands behind it."""
        answers: list[int | None] = []
        texts: list[str] = []
        now = next((n for n, (_, title) in enumerate(head) if title in self._words.of["now"]), None)
        for number, (start, cell) in enumerate(row[1:], 1):
            if sign == "  ":
                number = min(range(len(head)), key=lambda n: abs(head[n][0] - start))
            if not cell or number >= len(head) or now not in (None, number):
                continue
            title = head[number][1]
            if title in self._values and title not in self._words.of["side"]:
                answers += [self._values[title]] if self._values.get(cell) != 0 else []
            elif cell in self._values:
                answers.append(self._values[cell])
            elif title not in self._words.of["head"]:
                texts.append(cell)
        start, name = row[0]
        if not name or not (answers or texts):
            return None
        joined = f": {', '.join(texts)}{HARD_BREAK}"
        return start + len(name), joined if texts else self._words.after(joint(answers))


def _cells(line: str, sign: str = "") -> tuple[str, list[tuple[int, str]]]:
    """The separator of a row of a table, and its cells in lower case with their places."""
    inner = line.strip()
    sign = sign or next((s for s in _COLUMNS if s in inner), "")
    if not sign or (sign == "," and ", " in line):
        return "", []
    cells, at = [], 0
    for part in _GAP.split(line) if sign == "  " else line.split(sign):
        start = line.index(part.strip(), at)
        cells.append((start, plain(part)))
        at = max(at, start + len(part.strip()))
    return sign, cells[inner.startswith(sign) and sign == "|" :]
