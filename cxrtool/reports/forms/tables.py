"""Reads tables with heads over their columns, of answers, sides or times, as a sentence a row.

In: the text of a form. Out: edits of its rows.
"""

import re
from collections.abc import Iterator, Sequence

from cxrtool.reports.forms.boxes import BLANK, OFF, ON
from cxrtool.reports.forms.words import FormWords, joint, plain
from cxrtool.reports.rewriting import Edit
from cxrtool.reports.text import HARD_BREAK

_GAP = re.compile(r"[ ]{2,}|(?<=[\])])[ ](?=[\[(])")
_RULE = re.compile(r"[ |:+=-]*\Z")
_EMPTY = re.compile(rf"(?:{OFF}|_+)\Z")
_BOXES = re.compile(rf"[ ]*((?:(?:{ON}|{OFF})[ ]*){{2,}})(?=[^\W\d_])")
_BOX = re.compile(f"(?P<on>{ON})|{OFF}")
_WORDS_OF_A_CELL = 4
_COLUMNS = ("|", "\x1d", "^", "\t", ";", ",", "  ", " / ")


class TableReader:
    """Reads rows by the heads of their columns.

    Args:
        words: The words of forms.
    """

    def __init__(self, words: FormWords) -> None:
        self._words, self._values = words, words.values
        self._levels, self._side = words.levels, frozenset(words.of["side"])
        self._remarks = frozenset(words.of["remark"])
        self._ticked = re.compile(rf"(?:{ON}|{BLANK})\Z|[xX]\Z")

    def edits(self, text: str) -> Iterator[Edit]:
        """What stands for the rows of tables, for those that say nothing, and for their rules."""
        head: list[tuple[int, str]] = []
        sign, grid, at = "", "", 0
        columns: list[str] = []
        lines = text.split("\n")
        for number, line in enumerate(lines):
            start, at = at, at + len(line) + 1
            if grid and _RULE.match(line):
                yield start, start + len(line), HARD_BREAK
                continue
            cells = _cells(line, grid)[1] if grid else []
            if grid and len(cells) == len(columns):
                yield start, start + len(line), HARD_BREAK + self._of_grid(columns, cells)
                continue
            grid, columns = self._grid(lines[number : number + 4]) if not head else ("", [])
            if grid:
                yield start, start + len(line), HARD_BREAK
                continue
            row = _cells(line, sign)[1] if head else []
            if head and not line.strip():
                continue
            if head and (read_boxes := self._row_of_boxes([name for _, name in head], line)):
                yield start + read_boxes[0], start + len(line), read_boxes[1]
            elif head and line.strip() and _RULE.match(line):
                yield start, start + len(line), HARD_BREAK
            elif len(row) > 1:
                if read := self._row(head, sign, row):
                    yield start + read[0], start + len(line), read[1]
            else:
                below = (
                    other for other in lines[number + 1 : number + 3] if not _RULE.match(other)
                )
                sign, row = _cells(line)
                titles = line.split()
                if not sign and len(titles) > 1 and self._values.keys() >= {*map(plain, titles)}:
                    sign, row = "  ", [(line.index(title), plain(title)) for title in titles]
                head = row if len(row) > 1 and self._is_head([name for _, name in row]) else []
                if head or (len(row) > 1 and self._is_title(sign, row, next(below, ""))):
                    yield start, start + len(line), HARD_BREAK

    def _grid(self, lines: Sequence[str]) -> tuple[str, list[str]]:
        """The separator and the names of a head of findings over answers; else "" and none."""
        sign, names = _cells(lines[0])
        if not sign and ", " in lines[0]:
            sign, names = _cells(lines[0], ", ")
        below = next((line for line in lines[1:] if not _RULE.match(line)), "")
        answers = [plain(cell) for _, cell in _cells(below, sign)[1]] if sign else []
        columns = [name if self._words.is_finding(name) else "" for _, name in names]
        found = sum(map(bool, columns))
        if ":" in lines[0] or len(names) != len(answers) or found < max(2, len(names) - 2):
            return "", []
        if self._values.keys() & {name for _, name in names} or any(map(self._is_said, columns)):
            return "", []
        under = [answer for answer, column in zip(answers, columns) if column]
        said = [answer for answer in under if self._is_said(answer)]
        texts = [answer for answer in under if not self._is_said(answer)]
        if not said or any(self._words.is_finding(text) for text in texts):
            return "", []
        return sign, columns

    def _is_said(self, cell: str) -> bool:
        return cell.partition(" (")[0] in self._values

    def _of_grid(self, columns: Sequence[str], row: Sequence[tuple[int, str]]) -> str:
        """A row under a head of findings as a sentence each."""
        sentences = []
        for name, (_, cell) in zip(columns, row):
            short = cell.partition(" (")[0]
            value = self._values.get(short, 1)
            if name and cell and value is not None and len(cell.split()) <= _WORDS_OF_A_CELL:
                said = (
                    self._words.after(value) if short in self._values else f": {cell}{HARD_BREAK}"
                )
                sentences.append(name + said)
        return "".join(sentences)

    def _is_head(self, names: Sequence[str]) -> bool:
        """Whether columns are headed by answers, sides or times."""
        answers = [n for n in names if n in self._levels]
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
            and not self._values.keys().isdisjoint(below[1:])
            and (names[0] not in self._words.headers or names[0] in self._words.of["question"])
            and self._values.keys().isdisjoint(names[1:])
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
            if not cell or _EMPTY.match(cell) or number >= len(head) or now not in (None, number):
                continue
            title = head[number][1]
            ticked = self._ticked.match(cell) is not None
            if title in self._values and title not in self._side:
                answers += [self._values[title]] if self._values.get(cell) != 0 else []
            elif ticked and title in self._levels:
                texts.append(title)
            elif cell in self._values:
                answers.append(self._values[cell])
            elif title not in self._words.of["head"] or (
                title in self._remarks and self._words.is_finding(cell)
            ):
                texts.append(cell)
        start, name = row[0]
        if not name or not (answers or texts):
            return None
        # What is said of the right says nothing of the left.
        between = HARD_BREAK if any(t in self._side for _, t in head) else ", "
        joined = f": {between.join(texts)}{HARD_BREAK}"
        return start + len(name), joined if texts else self._words.after(joint(answers))

    def _row_of_boxes(self, head: Sequence[str], line: str) -> tuple[int, str] | None:
        """The same for a row whose name stands behind its boxes."""
        boxes = _BOXES.match(line)
        titles = [self._values.get(title) for title in head if title]
        if boxes is None or len(titles) < 2 or not self._levels.issuperset(filter(None, head)):
            return None
        ticks = [match["on"] is not None for match in _BOX.finditer(boxes[1])]
        if len(ticks) != len(titles):
            return None
        value = joint([title for title, ticked in zip(titles, ticks) if ticked])
        name = line[boxes.end() :].strip()
        said = "" if value is None else f"{name}{self._words.after(value)}"
        return 0, HARD_BREAK + said


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
