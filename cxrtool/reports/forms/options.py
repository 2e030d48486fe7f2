"""Boxes with answers, "Yes [ ] No [x]", to the answer that is ticked; the others fall out."""

import re
from collections.abc import Sequence

from cxrtool.reports.forms.tokens import SAYING, Token
from cxrtool.reports.forms.words import FormWords

_FIRST = ("colon", "answer", "box")
_NOTHING = Token("", 0, 0)


class OptionReader:
    """Reads the options of a name.

    Args:
        words: The words of forms.
    """

    def __init__(self, words: FormWords) -> None:
        self._words, self._is_finding = words, words.is_finding
        self._grade = re.compile(words.grades, re.I)
        self._last_grade = re.compile(rf"(?<=\w)[ ]+(?P<grade>{words.grades})\Z", re.I)
        self._option = re.compile(rf"{words.grades}\Z|.*\b{words.one('well')}\b", re.I)

    def read(self, unit: Sequence[Token]) -> list[Token]:
        """A part of a row in which the options that are not ticked have the kind ``drop``."""
        if not any(t.kind == "box" for t in unit):
            return list(unit)
        unit = self._untitled(self._parted(unit))
        heading, first = self._begin(unit)
        behind = first.kind == "answer" or (
            heading and first.kind == "name" and self._is_grade(first)
        )
        tokens: list[Token] = []
        bare: list[int] = []  # answers without a box
        ticked = asked = graded = False
        i = 0
        while i < len(unit):
            one, two = unit[i], unit[i + 1] if i + 1 < len(unit) else _NOTHING
            pair, i = (one.kind, two.kind), i + 1
            drop = Token("drop", one.start, two.end)
            if pair == (("answer", "box") if behind else ("box", "answer")):
                box, answer = (two, one) if behind else (one, two)
                tokens.append(
                    drop._replace(kind="answer", value=answer.value) if box.value else drop
                )
                i, ticked, asked = i + 1, ticked or bool(box.value), True
            elif pair == ("box", "name") and not behind:
                side = self._is_grade(two)
                ticked, graded = ticked or bool(one.value), graded or side
                if one.value:
                    tokens.append(one._replace(kind="drop") if side else one)
                elif self._option.match(two.text) or not self._is_finding(two.words):
                    i += 1
                    while [t.kind for t in unit[i : i + 2]] == ["comma", "name"]:
                        i += 2  # "[ ] abnormal, see below"
                    tokens.append(drop._replace(end=unit[i - 1].end))
                else:
                    tokens.append(one)
            elif behind and pair == ("name", "box") and self._is_grade(one):
                ticked, graded = ticked or bool(two.value), True
                tokens += (one, two._replace(kind="drop")) if two.value else (drop,)
                i += 1
            else:
                bare += [len(tokens)] if one.kind == "answer" else []
                tokens.append(one)
        for n in bare if asked and ticked else ():
            tokens[n] = tokens[n]._replace(kind="drop")
        kinds = [t.kind for t in tokens]
        if (asked or graded) and not ticked and kinds.count("name") == 1 and "box" not in kinds:
            end = tokens[-1].end
            rest = [t for t in tokens if t.kind not in ("drop", "answer")]
            return [*rest, Token("answer", end, end, "", None if asked else 0)]
        return tokens

    def _begin(self, unit: Sequence[Token]) -> tuple[bool, Token]:
        """Whether a part begins with the name of its options, and the first that is said of it."""
        signs = (t.kind for t in unit)
        first = next(((i, kind) for i, kind in enumerate(signs) if kind in _FIRST), (-1, ""))
        colon = first[0] if first[1] == "colon" else -1
        said = [t for t in unit[colon + 1 :] if t.kind in SAYING] or [_NOTHING]
        option = next((t for t in said if t.kind != "name" or self._is_grade(t)), said[0])
        return colon >= 0 or option is not said[0], option

    def _untitled(self, unit: Sequence[Token]) -> Sequence[Token]:
        """A part without a finding before boxes of others: "Active TB: [ ] effusion [ ] nodule"."""
        said = [t for t in unit if t.kind in SAYING]
        box = next(i for i, t in enumerate(unit) if t.kind == "box")
        if [t.kind for t in unit[max(0, box - 2) : box]] == ["name", "asked"]:
            rest = [t.kind for t in unit[box:] if t.kind in SAYING]
            if len(rest) > 3 and rest == ["box", "name"] * (len(rest) // 2):
                title = unit[box - 2]  # "Overload? [ ] edema [ ] effusion"
                drop = title._replace(kind="drop", end=unit[box - 1].end)
                return [*unit[: box - 2], drop, *unit[box:]]
        boxes, names = said[1::2], said[2::2]
        titled = said[0].kind == "name" and len(boxes) == len(names) > 1
        if not titled or any(t.kind != "box" for t in boxes):
            return unit
        if not all(t.kind == "name" and self._is_finding(t.words) for t in [said[0], *names]):
            return unit
        at = unit.index(said[0])
        if [t.kind for t in unit[at + 1 : at + 2]] != ["colon"]:
            return unit
        return [*unit[:at], said[0]._replace(kind="drop", end=unit[at + 1].end), *unit[at + 2 :]]

    def _parted(self, unit: Sequence[Token]) -> list[Token]:
        """A part in which sides and answers stand apart from names: "Effusion R[x] L[ ]"."""
        tokens: list[Token] = []
        answered = False
        for i, token in enumerate(unit):
            before, after = unit[i - 1] if i else _NOTHING, unit[i + 1 : i + 2] or (_NOTHING,)
            grade = self._last_grade.search(token.text) if token.kind == "name" else None
            answered = answered or (before.kind, token.kind) == ("box", "answer")
            first, _, rest = token.text.partition(" ")
            if grade and after[0].kind == "box" and any(map(self._is_grade, unit[i + 1 :])):
                at = token.start + grade.start("grade")
                name = token.text[: grade.start()]
                tokens.append(token._replace(text=name, end=token.start + len(name)))
                tokens.append(token._replace(text=grade["grade"], start=at))
            elif (
                token.kind == "name"
                and before.kind == "box"
                and answered
                and first.lower() in self._words.values
                and self._is_finding(rest.lower())
            ):
                at = token.start + len(first)
                value = self._words.value(first)
                tokens.append(token._replace(kind="answer", text=first, end=at, value=value))
                tokens.append(token._replace(text=rest.strip(), start=token.end - len(rest)))
            else:
                tokens.append(token)
        return tokens

    def _is_grade(self, token: Token) -> bool:
        return token.kind == "name" and (
            self._grade.fullmatch(token.text) is not None or token.text.isdigit()
        )
