"""Boxes with answers, "Yes [ ] No [x]", to the answer that is ticked; the others fall out."""

import re
from collections.abc import Sequence

from cxrtool.reports.forms.tokens import SAYING, Token
from cxrtool.reports.forms.words import FormWords


class OptionReader:
    """Reads the options of a name.

    Args:
        words: The words of forms.
    """

    def __init__(self, words: FormWords) -> None:
        self._is_finding = words.is_finding
        self._grade = re.compile(words.grades, re.I)
        self._option = re.compile(rf"{words.grades}\Z|.*\b{words.one('well')}\b", re.I)

    def read(self, unit: Sequence[Token]) -> list[Token]:
        """A part of a row in which the options that are not ticked have the kind ``drop``."""
        colon = next((i for i, t in enumerate(unit) if t.kind == "colon"), -1)
        first = next((t for t in unit[colon + 1 :] if t.kind in SAYING), None)
        behind = first is not None and (
            first.kind == "answer"
            or (colon >= 0 and first.kind == "name" and self._is_grade(first))
        )
        tokens: list[Token] = []
        ticked = asked = graded = False
        i = 0
        while i < len(unit):
            one, two = unit[i], unit[i + 1] if i + 1 < len(unit) else Token("", 0, 0)
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
                    tokens.append(drop)
                    i += 1
                else:
                    tokens.append(one)
            elif behind and pair == ("name", "box") and self._is_grade(one):
                ticked, graded = ticked or bool(two.value), True
                tokens += (one, two._replace(kind="drop")) if two.value else (drop,)
                i += 1
            else:
                tokens.append(one)
        kinds = [t.kind for t in tokens]
        if (asked or graded) and not ticked and kinds.count("name") == 1 and "box" not in kinds:
            end = tokens[-1].end
            rest = [t for t in tokens if t.kind not in ("drop", "answer")]
            return [*rest, Token("answer", end, end, "", None if asked else 0)]
        return tokens

    def _is_grade(self, name: Token) -> bool:
        return self._grade.fullmatch(name.text) is not None
