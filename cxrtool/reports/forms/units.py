"""Says which answer of a row belongs to which name.

An answer at the begin of a row belongs to the name that follows, any other to the name before.
"""

import re
from collections.abc import Iterator, Sequence

from cxrtool.reports.forms.boxes import TICK
from cxrtool.reports.forms.tokens import SAYING, Token
from cxrtool.reports.forms.words import FormWords, joint, plain
from cxrtool.reports.rewriting import Edit
from cxrtool.reports.text import HARD_BREAK

_BETWEEN = ("answer", "box", "table", "csv", "gap", "colon")  # of answers to one name


class UnitReader:
    """Reads rows, or their parts between stops.

    Args:
        words: The words of forms.
    """

    def __init__(self, words: FormWords) -> None:
        self._words, self._values, self._is_finding = words, words.values, words.is_finding
        self._grade = re.compile(words.grades, re.I)
        self._when = re.compile(rf"(?<=\w)[ ]+{words.one('when')}\b", re.I)

    def edits(self, unit: Sequence[Token], headed: bool) -> Iterator[Edit]:
        """A row, or a part of it between stops; begins with the stop.

        Args:
            unit: Its tokens.
            headed: Whether a header stands before it, which a name with a colon ends.
        """
        yield from ((t.start, t.end, " ") for t in unit if t.kind == "drop")
        for part, stroke in _parts([t for t in unit if t.kind != "drop"]):
            yield from stroke
            yield from self._of_part(part, headed)

    def _of_part(self, unit: Sequence[Token], headed: bool) -> Iterator[Edit]:
        kinds = [t.kind for t in unit if t.kind in SAYING]
        if "box" not in kinds and "answer" not in kinds:
            yield from self._questions(unit)
        elif kinds[0] != "name" or (
            "box" in kinds and kinds[-1] == "name" and not _is_remark(unit)
        ):
            yield from self._leading(unit)
        else:
            yield from self._trailing(unit, headed)

    def _questions(self, unit: Sequence[Token]) -> Iterator[Edit]:
        """ "Effusion? Small left." """
        for name, mark, answer in zip(unit, unit[1:], unit[2:]):
            asked = (name.kind, mark.kind, answer.kind) == ("name", "asked", "name")
            if asked and self._grade.match(answer.text) and self._is_finding(name.words):
                yield mark.start, mark.end, ":"

    def _leading(self, unit: Sequence[Token]) -> Iterator[Edit]:
        """Answers before their names."""
        answer: Token | None = None
        listed = False
        first = next(t.kind for t in unit if t.kind in SAYING)
        boxes = [t for t in unit if t.kind in ("box", "answer")]
        ticked = first == "name" and all(t.value for t in boxes)
        # "no PTX \u2713 small effusion \u2713 old CABG": these are bullets.
        ticked = ticked and not (len(boxes) > 1 and all(TICK.match(t.text) for t in boxes))
        for i, token in enumerate(unit):
            before = unit[i - 1]
            if token.kind in ("answer", "box"):
                answer, listed, after = token, False, before.kind == "colon" and i > 0
                opens = "" if after else " " if ticked else HARD_BREAK  # "heart [x] normal"
            elif token.kind == "colon" and answer and before is answer:
                listed = answer.kind == "answer"
            elif (
                token.kind == "name"
                and answer
                and (listed or before.kind not in ("comma", "asked"))
            ):
                no, unsure = self._words.no, self._words.unsure
                new = {1: opens, 0: f"{opens or ' '}{no} ", -1: f"{opens}{unsure} "}
                if before is answer or unit[i - 2] is answer:
                    if answer.value is None:
                        yield answer.start, token.end, HARD_BREAK
                    else:
                        # "[x] edema?"
                        doubted = [t.kind for t in unit[i + 1 : i + 2]] == ["asked"]
                        doubted = doubted and answer.kind == "box" and answer.value == 1
                        yield answer.start, token.start, new[-1 if doubted else answer.value]
                elif listed and answer.value != 1 and token.words.split(" ")[0] not in self._values:
                    yield token.start, token.start, new[answer.value or 0].lstrip(HARD_BREAK)
                answer = answer if listed else None

    def _trailing(self, unit: Sequence[Token], headed: bool) -> Iterator[Edit]:
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
            finding = self._is_finding(name.words)
            header = name.words in self._words.headers
            if not first or name.kind != "name" or (header and not finding):
                continue
            detail = at > 1 and before.kind in ("table", "csv") and unit[at - 2].kind == "name"
            if detail and not finding:
                yield name.end, end, ""  # "Opacity | lower lobe | none"
                continue
            value = joint([t.value for t in unit[first:i] if t.kind in ("answer", "box")])
            asked = unit[at + 1].kind in ("asked", "table")
            if asked and value != 1 and all(map(self._is_listed, unit[:at])):
                name = unit[0]  # "Edema, effusion? No"
            elif finding and before.text.strip() in (",", ";", "/"):
                yield before.start, before.end, HARD_BREAK
            if value is None:
                yield name.start, end, HARD_BREAK
            elif value != 1:
                # "Air in the pleural space (pneumothorax)": what is said of it is said of both.
                for bracket in re.finditer(r"[()]", name.text):
                    yield name.start + bracket.start(), name.start + bracket.end(), " "
                if header:  # "ICD: no", which opens no history
                    yield (
                        name.start,
                        name.start,
                        f"{self._words.no if value == 0 else self._words.unsure} ",
                    )
                    yield name.end, end, HARD_BREAK
                elif self._is_normal(name, unit[first]) or (
                    unit[first].text.strip() == "-" and self._words.is_part(name.words)
                ):
                    joined = name.words.rpartition(" ")[2] in self._words.joints  # "limits of N"
                    colon = "" if joined else ":"
                    yield name.end, end, f"{colon} {self._words.normal}{HARD_BREAK}"  # "Heart: N"
                elif name is not unit[at]:
                    either = next(iter(self._words.of["either"]), ",")
                    yield name.start, name.start, f"{self._words.before(value)} "
                    commas = (t for t in unit[:at] if t.kind == "comma")
                    yield from ((t.start, t.end, f" {either}") for t in commas)
                    yield unit[at].end, end, HARD_BREAK
                elif finding and (when := self._condition(name)):
                    device = self._is_finding(plain(name.text[when - name.start :]))
                    yield when, when if device else end, self._words.after(value)
                    if device:
                        yield name.end, end, HARD_BREAK
                elif finding:
                    yield name.end, end, self._words.after(value)
                else:
                    yield name.end, end, self._words.after(value).replace(":", " -")
            elif unit[first].text[:1] != "+" or not self._words.is_part(name.words):  # "heart ++"
                end, new = self._yes(end, unit[i:])
                yes = next(iter(self._words.of["yes"]))
                if header:  # "ICD: yes"
                    yield name.start, name.start, f"{yes} "
                yield name.end, end, f": {yes}{new}" if headed and finding else new

    def _is_listed(self, token: Token) -> bool:
        """Whether a token may stand before the last finding of a question."""
        return token.kind == "comma" or (token.kind == "name" and self._is_finding(token.words))

    def _condition(self, name: Token) -> int:
        """Where a name begins to say when its finding is meant: "Pneumothorax after line?"."""
        when = self._when.search(name.text)
        said = when is not None and self._is_finding(plain(name.text[: when.start()]))
        return name.start + when.start() if when is not None and said else 0

    def _is_normal(self, name: Token, answer: Token) -> bool:
        """Whether "N" says "normal" of a part of the body, and no "no"."""
        if answer.text != self._words.normal[:1].upper():
            return False
        if self._is_finding(name.words):
            return self._words.is_part(name.words)
        return " " not in name.words

    def _yes(self, end: int, rest: Sequence[Token]) -> tuple[int, str]:
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


def _parts(unit: Sequence[Token]) -> Iterator[tuple[Sequence[Token], list[Edit]]]:
    """A unit, divided where a sign before a name stands behind a comma: "clear, (-) ptx, (+) eff".

    Of each part also what stands for a stroke at its begin.
    """
    first, stroke = 0, list[Edit]()
    for i in range(1, len(unit) - 1):
        before, sign, after = unit[i - 1 : i + 2]
        signed = sign.kind == "answer" and not sign.text.strip("()[]{} +-")
        glued = before.kind == "name" and before.text[-1] == "/"
        if signed and after.kind == "name" and (glued or before.kind in ("comma", "csv")):
            yield unit[first:i], stroke
            first, stroke = i, [(before.end - 1, before.end, HARD_BREAK)] if glued else []
    yield unit[first:], stroke


def _is_remark(unit: Sequence[Token]) -> bool:
    """Whether a row ends in brackets behind its answer: "edema [x] (worse)"."""
    return unit[-1].kind == "name" and unit[-1].text[:1] == "("
