"""What the labels of a report rest on: its text in pieces that look alike.

In: a text and its labels with evidence. Out: stretches, each with what it is (a mention with its
value, a section name, text that does not count) and the cues in it, and the labels by value.
`terminal` draws them.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Literal, NamedTuple

from cxrtool.reports.context import NEGATIVE, POSITIVE, UNCERTAIN
from cxrtool.reports.labeler import Evidence, Labels
from cxrtool.reports.report import Report
from cxrtool.reports.ruleset import RuleSet
from cxrtool.reports.sections import Section

Kind = Literal["positive", "uncertain", "negative", "normal", "other"]
Part = Literal["header", "unread", "body"]
#: Strongest first: what a stretch of text is shown as that several mentions share.
KINDS: tuple[Kind, ...] = ("positive", "uncertain", "negative", "normal", "other")
MEANING: dict[Kind, str] = {
    "positive": "present",
    "uncertain": "uncertain",
    "negative": "absent",
    "normal": "says that all is well",
    "other": "outside the labels",
}
_VALUES: dict[int, Kind] = {POSITIVE: "positive", UNCERTAIN: "uncertain", NEGATIVE: "negative"}
# Control characters could command a terminal, marks of writing direction could reorder the text.
_UNSHOWN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


class Piece(NamedTuple):
    """A stretch of text that looks alike.

    Attributes:
        text: As written, without what cannot be shown.
        cue: The kind of the mention that it decides, or None.
        notes: What a reader may want to know of it, a line each.
    """

    text: str
    cue: Kind | None
    notes: tuple[str, ...]


class Stretch(NamedTuple):
    """Pieces in a row that are one thing to the eye.

    Attributes:
        kind: The mention that they are, or None.
        part: ``header``: name of a section; ``unread``: does not count; ``body``: counts.
        pieces: At least one.
    """

    kind: Kind | None
    part: Part
    pieces: tuple[Piece, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """The notes of all pieces, each once."""
        return tuple(dict.fromkeys(note for piece in self.pieces for note in piece.notes))


class Line(NamedTuple):
    """One line of evidence as a person reads it."""

    observation: str
    kind: Kind
    text: str
    cue: str
    rule: str
    cue_rule: str


@dataclass(frozen=True)
class Explained:
    """A report, ready to be drawn.

    Attributes:
        study: Its id.
        stretches: The whole text.
        labels: Kind -> the observations with that value; without the blank ones.
        lines: All evidence in the order of the text.
    """

    study: str
    stretches: tuple[Stretch, ...]
    labels: dict[Kind, tuple[str, ...]]
    lines: tuple[Line, ...]


def explain(report: Report, labels: Labels, rules: RuleSet) -> Explained:
    """Takes a report apart.

    Args:
        report: The report.
        labels: Its labels, with evidence.
        rules: The rules that gave them.
    """
    by_value: dict[Kind, tuple[str, ...]] = {}
    for value, kind in _VALUES.items():
        names = tuple(n for n, v in labels.values.items() if v == value and n != rules.no_finding)
        if names:
            by_value[kind] = names
    if labels.values.get(rules.no_finding) == POSITIVE:
        by_value["normal"] = (rules.no_finding,)
    return Explained(
        study=shown(report.study),
        stretches=tuple(_stretches(report.text, labels, rules)),
        labels=by_value,
        lines=tuple(_line(item, rules) for item in labels.evidence),
    )


def shown(text: str) -> str:
    """A text without the characters that would do something instead of being seen."""
    return _UNSHOWN.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))


def _kind(item: Evidence, rules: RuleSet) -> Kind:
    if not item.observation:
        return "other"
    return "normal" if item.observation == rules.no_finding else _VALUES[item.value]


def _line(item: Evidence, rules: RuleSet) -> Line:
    return Line(
        item.observation or f"another abnormality, {MEANING[_VALUES[item.value]]}",
        _kind(item, rules),
        shown(item.text),
        shown(item.cue),
        item.rule,
        item.cue_rule,
    )


def _stretches(text: str, labels: Labels, rules: RuleSet) -> Iterator[Stretch]:
    pieces = _pieces(text, labels, rules)
    for (kind, part), group in groupby(pieces, key=lambda item: item[:2]):
        yield Stretch(kind, part, tuple(piece for _, _, piece in group))


def _pieces(text: str, labels: Labels, rules: RuleSet) -> Iterator[tuple[Kind | None, Part, Piece]]:
    """The text, cut wherever a section, a mention or a cue begins or ends."""
    marks = [(e.start, e.end, e, False) for e in labels.evidence]
    marks += [(e.cue_start, e.cue_end, e, True) for e in labels.evidence if e.cue]
    edges = {0, len(text)}
    edges.update(edge for start, end, _, _ in marks for edge in (start, end))
    edges.update(edge for section in labels.sections for edge in (section.start, section.end))
    cuts = sorted(edges)
    place = {cut: i for i, cut in enumerate(cuts)}
    over: list[list[tuple[Evidence, bool]]] = [[] for _ in cuts]
    for start, end, item, is_cue in marks:
        for i in range(place[start], place[end]):
            over[i].append((item, is_cue))
    starts = [section.start for section in labels.sections]
    for i, (start, end) in enumerate(pairwise(cuts)):
        kind = _strongest(_kind(item, rules) for item, is_cue in over[i] if not is_cue)
        cue = _strongest(_kind(item, rules) for item, is_cue in over[i] if is_cue)
        notes = dict.fromkeys(_note(item, is_cue, rules) for item, is_cue in over[i])
        part = _part(start, starts, labels.sections, rules)
        yield kind, part, Piece(shown(text[start:end]), cue, tuple(notes))


def _strongest(kinds: Iterable[Kind]) -> Kind | None:
    return min(kinds, key=KINDS.index, default=None)


def _part(position: int, starts: list[int], sections: tuple[Section, ...], rules: RuleSet) -> Part:
    index = bisect_right(starts, position) - 1
    if index < 0 or position >= sections[index].end:
        return "header" if sections else "body"
    return "body" if sections[index].name in rules.counted else "unread"


def _note(item: Evidence, is_cue: bool, rules: RuleSet) -> str:
    name, meaning = item.observation, MEANING[_VALUES[item.value]]
    what = f"{name}: {meaning}" if name else f"another abnormality: {meaning}"
    if name == rules.no_finding:
        what = f"{name}: {MEANING['normal']}"
    if is_cue:
        return f"{what}, because of {shown(item.cue)!r} ({item.cue_rule})"
    return f"{what} (rule {item.rule})"
