"""Reads tables, check boxes and signs as the sentences that they stand for.

In: a draft whose text may hold "Effusion | No", "[ ] effusion", "Effusion: N", "effusion (-)". Out:
the same draft with "Effusion: no", "no effusion", each a sentence of its own. Names of findings
stay where they are; only the marks beside them are rewritten. What is an answer stands in the
rules.
"""

import re
from collections.abc import Callable, Iterable, Mapping

from cxrtool.reports.rewriting import Draft
from cxrtool.reports.text import HARD_BREAK

#: What answers are told apart in the rules.
ANSWERS = ("no", "yes", "unsure", "well", "for")
_TICKED, _UNTICKED = (
    "\u2611\u2612\u25a0\u25a3\u25cf\u25c9\u2713\u2714",
    "\u2610\u25a1\u25a2\u25cb\u25ef",
)
_BOX_SIGNS = re.compile(f"[{_TICKED}{_UNTICKED}]")
_PAIRED = (("\u25cf", "\u25cb"), ("\u25a0", "\u25a1"))  # alone the first is a bullet
_ON = rf"(?:\[[xX*\u2713\u2714]\]|\([xX\u2713\u2714]\)|\{{[xX]\}}|[{_TICKED}])"
_OFF = rf"(?:\[[ ]{{0,3}}\]|\([ ]{{1,3}}\)|\{{[ ]{{1,3}}\}}|[{_UNTICKED}])"
_BOX = rf"(?:(?P<on>{_ON})|(?P<off>{_OFF}))"
_HAS_BOX = re.compile(_BOX)
_ENDS_IN_BOX = re.compile(rf"(?:{_ON}|{_OFF})[ .]*\Z")
_NONE = "\u00d8\u2205\u2300"  # the sign of the empty set, and what is written for it
_CELL = re.compile(r"\n|[ ]*(?:[|\x1d]|\.{4,})[ |\x1d]*(?:\.{4,}[ ]*)?")
_NAME = r"[^\W\d_][^\n:=;|.?^\t\x1d\x1e]{0,60}?"
_SEPARATOR = r"\"?(?:[ ]?\(\d/\d\))?(?:[ ]?[:=^\t][ ]*|[ ]+-+[ ]+)\"?"
_FEW_WORDS = 6
_ROW = re.compile(r"[^\n]*")
_WORDS_OF_A_FIELD = 2  # before a bare "0": "pleural effusion 0"
_NUMBER = re.compile(r"\s*\d{1,3}[.)]?\s*\Z")


class FormReader:
    """Finds what is a form in reports.

    Args:
        answers: ``no``, ``yes``, ``unsure``, ``well``, ``for`` -> words, in lower case.
        headers: Section headers in lower case, which no answer belongs to ("Comparison: none").
        is_finding: Whether words in lower case name a finding: the head of a table does not.
    """

    def __init__(
        self,
        answers: Mapping[str, tuple[str, ...]],
        headers: Iterable[str],
        is_finding: Callable[[str], bool] = lambda words: False,
    ) -> None:
        self._headers, self._is_finding = frozenset(headers), is_finding
        no, yes, unsure = (answers.get(key, ()) for key in ("no", "yes", "unsure"))
        self._no, self._unsure = (no or ("",))[0], (unsure or ("",))[0]
        self._values = {
            **dict.fromkeys(yes, 1),
            **dict.fromkeys(unsure, -1),
            **dict.fromkeys(no, 0),
        }
        words = (w for w in (*no, *yes) if not w.isdigit())
        longer = _any(w for w in (*no, *yes) if len(w) > 3 and not w.startswith(("-", "+")))
        answer, word = _any((*no, *yes)), _any(words)
        # The next line is no end of a wrapped "no": it opens with no small letter, or is a field.
        line = r"\n\s*(?:\Z|(?-i:[^a-z\s])|[^\n:=|]{1,60}[:=|?^\t])"
        end = rf"(?=[ \"]*(?:\Z|[;,/.(|}}\x1d\x1e\t]|{line}))"
        pair = f"{_NAME}{_SEPARATOR}{answer}{end}"
        flags = re.IGNORECASE

        def compiled(pattern: str) -> re.Pattern[str]:
            return re.compile(pattern, flags)

        # After a colon too: "FINDINGS: Effusion: no".
        begin = r"(?:\A|(?<=[\n;:,/.\x1e]))[ ]*(?:[-*\u2022][ ]*)?"
        self._apart = compiled(rf"(?P<mark>[ ]*[;,/][ ]*)(?={pair})")
        self._head = compiled(
            rf"(?:\A|(?<=\n))(?P<mark>[ |]*[^\W\d_][^\n|^\t]{{0,40}}[ ]*[|^\t][^\n]{{1,60}})(?=\n"
            rf"(?:[|\s:-]*\n)?[ |]*{_NAME}[ ]*[|^\t][ ]*{answer}[ ]*(?:[|^\t]|\n|\Z))"
        )
        self._pair = compiled(
            rf"{begin}(?P<name>{_NAME})(?P<mark>{_SEPARATOR}(?P<answer>{answer})\"?){end}"
        )
        self._comma = compiled(
            rf"(?:\A|(?<=\n))(?P<name>[^\W\d_][\w ()/-]{{1,40}})(?P<mark>,(?P<answer>{answer}))"
            rf"(?=\Z|,|{line})"
        )
        self._asked = compiled(rf"(?<=\w)(?P<mark>[ ]?\?[ ]*(?P<answer>{answer})){end}")
        self._listed = compiled(
            rf"(?:\A|(?<=[.;\n\x1e]))[ ]*(?P<mark>(?P<answer>{longer})[ ]*:[ ]*)(?=[^\W\d_])"
        )
        self._bracket = compiled(
            rf"(?P<mark>[(\[{{<][ ]?(?P<answer>{word}|[-+]{{1,3}}|(?<=\[)\?)[ ]?[)\]}}>])"
        )
        follows = _any(answers.get("for", ()))
        signs = _any(w for w in (*no, *yes) if w.startswith(("-", "+")))
        self._sign = compiled(rf"(?P<mark>(?<![\w+-])(?P<answer>{signs})\b)(?![ ]{follows}\b)")
        # "Air in the pleural space (pneumothorax): no" denies both.
        self._aside = compiled(
            rf"[ ]\((?=[^()\n]{{1,40}}\):[ ]{self._no}\x1e)"
            rf"|\)(?=:[ ]{self._no}\x1e)"
        )
        self._empty = compiled(
            rf"(?P<mark>[{_NONE}][ ]*)(?P<before>(?=[^\W\d_]))?"
            r"|(?<=[A-Za-z]{3})(?P<zero>[ ]0)(?=[ ]*(?:\Z|[\n,;]|\.(?!\d)))"
        )
        well = _any(answers.get("well", ()))
        self._blank_box = compiled(
            rf"(?P<mark>{_OFF}[ ]*(?:{word}(?=[ ]*(?:\Z|\n|[,;.]|{_ON}|{_OFF}))"
            rf"|{well}\b(?:(?!{_ON}|{_OFF})[^\n])*))"
        )
        self._answer_box = compiled(
            rf"(?P<mark>[ :]*{_ON}[ ]*(?P<answer>{word})(?=[ ]*(?:\Z|\n|[,;.]|{_ON}|{_OFF})))"
        )
        self._box_after = compiled(rf"(?P<mark>[ :]*(?P<answer>\b{word})?[ ]*{_BOX})")
        self._box = compiled(rf"(?P<mark>{_BOX}[ ]*)")
        listed = "|".join(f"(?<={re.escape(w)}:)" for w in (*no, *yes) if len(w) > 3)
        # A class of signs first, which is found fast: most reports end here.
        self._hint = compiled(
            rf"[:=?\t,(\[{{<+0{_NONE}-](?:(?<=[:=?\t])[ ]*\"?(?P<answer>{answer}){end}"
            rf"|(?<=[ ]-)[ ]{answer}{end}|(?<=,){answer}{end}|(?<=[-+])ve\b|(?<=[{_NONE}])"
            rf"|(?<=[(\[{{<])[ ]{{0,3}}(?:{word}|[-+xX?]{{1,3}})?[ ]?[)\]}}>]"
            rf"|(?<=[A-Za-z][ ]0)(?=[ ]*(?:\Z|[\n,;]|\.(?!\d)))|{listed or '(?!)'})"
        )

    def read(self, draft: Draft) -> None:
        """Rewrites the marks of forms."""
        text = draft.text
        table = "|" in text or "^" in text or "\x1d" in text or "...." in text
        if not table and (text.isascii() or not _BOX_SIGNS.search(text)) and not self._hinted(text):
            return
        if "\r" in text:
            draft.sub(re.compile(r"\r\n?"), lambda m: "\n")
        if table or "\t" in text:
            draft.sub(self._head, self._named, "mark")
        if table:
            self._cells(draft)
        if _HAS_BOX.search(draft.text):
            self._boxes(draft)
        draft.sub(self._bracket, self._bracketed, "mark")
        draft.sub(self._sign, self._said, "mark")
        draft.sub(self._empty, self._none)
        draft.sub(self._asked, self._said, "mark")
        draft.sub(self._apart, lambda m: HARD_BREAK, "mark")
        draft.sub(self._pair, self._paired, "mark")
        draft.sub(self._comma, self._paired, "mark")
        draft.sub(self._aside, lambda m: " ")
        draft.sub(self._listed, lambda m: "" if self._value(m) else f"{self._no} ", "mark")

    def _hinted(self, text: str) -> bool:
        """Whether something may be an answer that is not one to a header ("Comparison: none")."""
        for match in self._hint.finditer(text):
            if not match["answer"]:
                return True
            row = text[text.rfind("\n", 0, match.start()) + 1 : match.start()]
            if row.strip().lower() not in self._headers:
                return True
        return False

    def _named(self, match: re.Match[str]) -> str:
        """The head of a table, which says nothing; a row that names a finding stays."""
        row = match.group("mark").lower()
        headed = row.strip(" |").split("|")[0].strip() in self._headers
        cells = {cell.strip() for cell in re.split(r"[|^\t]", row)}
        stays = headed or self._is_finding(row) or not cells.isdisjoint(self._values)
        return match.group("mark") if stays else HARD_BREAK

    def _cells(self, draft: Draft) -> None:
        """The separators of a table: a colon after the first cell of a row, commas after others."""
        text = draft.text
        row = 0  # separators of the row so far
        pairs = False

        def mark(match: re.Match[str]) -> str:
            nonlocal row, pairs
            found = match.group()
            if found == "\n":
                row = 0
                return found
            begin, end = text.rfind("\n", 0, match.start()) + 1, text.find("\n", match.end())
            end = len(text) if end < 0 else end
            before, after = text[begin : match.start()], text[match.end() : end]
            if "." in found and (row or len(before.split()) > _FEW_WORDS):
                return found
            if not before.strip() or not after.strip():
                return " "
            if _NUMBER.fullmatch(before):
                return HARD_BREAK
            row += 1
            if row == 1:
                cells = [c.strip().lower() for c in _CELL.split(f"{before}|{after}") if c.strip()]
                pairs = (
                    len(cells) > 3
                    and len(cells) % 2 == 0
                    and not (set(cells[1:3]) & self._values.keys())
                )
                return " " if before.rstrip().endswith(":") else ": "
            if pairs:
                return ": " if row % 2 else HARD_BREAK
            cell = _CELL.split(after, maxsplit=1)[0]
            return HARD_BREAK if ":" in cell else ", "

        draft.sub(_CELL, mark)

    def _boxes(self, draft: Draft) -> None:
        text = draft.text
        for bullet, other in _PAIRED:
            if bullet in text and other not in text and not re.search(_OFF, text):
                draft.sub(re.compile(bullet), lambda m: HARD_BREAK)
        # A box after its name is the last of its line.
        after = [
            m.span()
            for m in _ROW.finditer(draft.text)
            if m.group() and _ENDS_IN_BOX.search(m.group())
        ]
        if after:
            draft.sub(self._box_after, lambda m: self._boxed(m, after), "mark")
        draft.sub(self._blank_box, lambda m: " ", "mark")
        draft.sub(self._answer_box, self._said, "mark")
        draft.sub(self._box, self._before, "mark")

    def _boxed(self, match: re.Match[str], rows: list[tuple[int, int]]) -> str:
        start, end = match.span("mark")
        if not any(first <= start and end <= stop for first, stop in rows):
            return match.group("mark")
        if match.group("answer"):
            return self._said(match) if match.group("on") else ""
        return HARD_BREAK if match.group("on") else f": {self._no}{HARD_BREAK}"

    def _before(self, match: re.Match[str]) -> str:
        opens = "" if match.string[: match.start()].rstrip().endswith(":") else HARD_BREAK
        return opens if match.group("on") else f"{opens or ' '}{self._no} "

    def _bracketed(self, match: re.Match[str]) -> str:
        """An answer in brackets, before its name where a row or a sentence begins with it."""
        text, start = match.string, match.start()
        row = text[max(text.rfind("\n", 0, start), text.rfind(HARD_BREAK, 0, start)) + 1 : start]
        value = self._value(match)
        leading = row.lstrip(" -*\u2022")
        first = not leading or self._bracket.match(leading)
        if not first and not leading.rstrip().endswith((".", ";")):
            return match.group() if value < 0 else self._said(match)
        return HARD_BREAK + {1: "", 0: f"{self._no} ", -1: f"{self._unsure} "}[value]

    def _none(self, match: re.Match[str]) -> str:
        if match.group("zero"):
            field = re.split(r"[\n,;.\x1e]", match.string[: match.start()])[-1]
            if len(field.split()) > _WORDS_OF_A_FIELD:  # "effusion on the day 0" is prose
                return match.group()
        if match.group("zero") or match.group("before") is None:
            return f": {self._no}{HARD_BREAK}"
        return f"{self._no} "

    def _paired(self, match: re.Match[str]) -> str:
        name = " ".join(match.group("name").lower().split())
        return match.group("mark") if name in self._headers else self._said(match)

    def _said(self, match: re.Match[str]) -> str:
        """An answer after its name; what follows a yes in its sentence describes the finding."""
        if self._value(match):
            rest = match.string[match.end("mark") :].lstrip(" ")[:1]
            return {",": "", "(": "", "\t": ","}.get(rest, HARD_BREAK)
        return f": {self._no}{HARD_BREAK}"

    def _value(self, match: re.Match[str]) -> int:
        said = " ".join(match.group("answer").lower().split())
        return self._values.get(said, 0 if said.startswith("-") else 1)


def _any(words: Iterable[str]) -> str:
    """One of some words; the longest first."""
    ordered = sorted(words, key=len, reverse=True)
    return (
        "(?:" + "|".join(re.escape(w).replace(r"\ ", r"\s") for w in ordered) + ")"
        if ordered
        else "(?!)"
    )
