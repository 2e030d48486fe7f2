"""What the rules say of forms: what an answer is, and what stands for it in a sentence."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache

from cxrtool.reports.text import HARD_BREAK

#: What is told apart in the rules: answers, options of boxes, heads of columns, names of fields.
ANSWERS = (
    "no", "yes", "unsure", "blank", "well", "grade", "for", "side", "now", "head", "key", "value",
    "ask", "box", "title", "score", "question", "reply", "page", "remark", "ill",
    "when", "kind", "either", "no-letter", "yes-letter",
)  # fmt: skip
#: The sign of the empty set, and what is written for it.
NONE = "[\u00d8\u2205\u2300]"
#: Most words of a name that an answer belongs to.
WORDS_OF_A_NAME = 6
_VALUES = {"blank": None, "yes": 1, "unsure": -1, "no": 0}


class FormWords:
    """The words of forms in one language.

    Args:
        answers: What `ANSWERS` names -> words, in lower case.
        headers: Section headers in lower case, which no answer belongs to ("Comparison: none").
        joints: Words that end no name: "of", "are", "not".
        is_finding: Whether words in lower case name a finding: the head of a table does not.
        is_part: Whether they name a part of the body and nothing else, which no answer denies.

    Attributes:
        of: What `ANSWERS` names -> words.
        values: Answer -> 1, 0, -1, or None for one that says nothing.
        no, unsure, normal: What denies, what doubts and what praises a name.
        loud: Short answers as they stand in the middle of a line: "No", "NO".
        capitals: Answers of one letter, in capitals.
    """

    def __init__(
        self,
        answers: Mapping[str, tuple[str, ...]],
        headers: frozenset[str],
        joints: frozenset[str],
        is_finding: Callable[[str], bool],
        is_part: Callable[[str], bool],
    ) -> None:
        self.headers, self.joints = headers, joints
        self.is_finding = lru_cache(10_000)(is_finding)
        self.is_part = lru_cache(10_000)(is_part)
        self.of = of = {name: answers.get(name, ()) for name in ANSWERS}
        self.values = {word: value for kind, value in _VALUES.items() for word in of[kind]}
        self.no, self.unsure = next(iter(of["no"]), ""), next(iter(of["unsure"]), "")
        self.normal = next(iter(of["well"]), "")
        titles = [word.title() for word in self.values if word.isalpha() and 1 < len(word) < 4]
        self.loud = [*titles, *map(str.upper, titles)]
        self.capitals = "".join(w.upper() for w in self.values if w.isalpha() and len(w) == 1)

    def one(self, kind: str) -> str:
        """A pattern of one of the words of a kind."""
        return any_of(self.of[kind])

    @property
    def grades(self) -> str:
        """A pattern of words of degree and side: "small left"."""
        return rf"(?:{self.one('grade')}\b[ ,]*)+"

    @property
    def levels(self) -> frozenset[str]:
        """What may stand over a column of ticks: answers, grades, sides, normal and abnormal."""
        of = self.of
        kinds = (self.values, of["grade"], of["side"], of["well"], of["ill"])
        return frozenset(word for kind in kinds for word in kind)

    @property
    def answer(self) -> str:
        """A pattern of any answer."""
        return any_of(self.values)

    @property
    def letters(self) -> str:
        """A pattern of an answer of letters alone."""
        return any_of(w for w in self.values if w.isalpha())

    @property
    def signs(self) -> str:
        """A pattern of an answer such as "-ve"."""
        return any_of(w for w in self.values if w[0] in "-+" and w[-1].isalpha())

    @property
    def word(self) -> str:
        """A pattern of an answer that begins with a letter."""
        return any_of(w for w in self.values if w[0].isalpha())

    def value(self, answer: str) -> int | None:
        """What an answer or a sign says."""
        answer = plain(answer)
        if answer[:1].isdigit() and "/" in answer:
            return int(answer[0] != "0")  # "0/4"
        return self.values.get(answer, int(answer[:1] not in "-\u00d8\u00f8\u2205\u2300"))

    def before(self, value: int) -> str:
        """What stands before a name for its answer, which is no yes."""
        return self.no if value == 0 else self.unsure

    def after(self, value: int | None) -> str:
        """What stands behind a name for its answer."""
        if value is None:
            return ""
        said = {0: f": {self.no}", -1: f": {self.unsure}", 1: ""}
        return said[value] + HARD_BREAK


def plain(text: str) -> str:
    """Words in lower case, one blank between them, without quotes and full stops around."""
    return " ".join(text.strip(' ".').lower().split())


def joint(values: Sequence[int | None]) -> int | None:
    """What several answers say together."""
    return next((v for v in (1, -1, 0) if v in values), None)


def any_of(words: Iterable[str]) -> str:
    """A pattern of one of some words, the longest first; by their first letters, which is fast."""
    groups: dict[str, list[str]] = {}
    for word in sorted(words, key=len, reverse=True):
        groups.setdefault(word[0], []).append(re.escape(word[1:]).replace(r"\ ", r"\s"))
    ends = (f"{re.escape(first)}(?:{'|'.join(rest)})" for first, rest in groups.items())
    return f"(?:{'|'.join(ends)})" if groups else "(?!)"
