"""Finds what a sentence says of its findings: side, place, severity, size, change.

In: the words of a sentence, and where its findings stand. Out: for each finding the attributes that
belong to it. Every attribute belongs to one finding: each finding first takes what stands in it and
before it, as far as its noun phrase reaches ("small left pleural effusion", "in the left base there
is an opacity"), then what follows it up to the next one ("opacity in the left base, increased").
The classes of words that a phrase goes over or ends at are ``[classes]`` of
``rules/attributes.toml``.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from cxrtool.reports.attribute_rules import (
    AFTER,
    BEFORE,
    LATERALITY,
    LOCATION,
    NONE,
    NUMBER,
    TEMPORAL,
    AttributeRule,
    AttributeRules,
)

Span = tuple[int, int]

BE, LINK, FILLER, COMMA, AND, BARRIER, PLURAL = (1 << i for i in range(7))
# In the order of the flags.
CLASSES = ("be", "link", "filler", "comma", "and", "barrier", "plural")
_SMALL = LINK | FILLER | BE
_ADJECTIVES = 2  # words of no class that may stand between "mild" and its finding
_NOUNS = 6  # words of no class that may stand between a finding and what follows it
CACHE_LIMIT = 50_000
_PLACES = frozenset({LATERALITY, LOCATION})
_FLAGS = (1 << len(CLASSES)) - 1
_BRACKETS = ("(", ")", "[", "]", '"')
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*(?:x\d+(?:[.,]\d+)*)*")


class AttributeSpan(NamedTuple):
    """The words of a sentence that say an attribute: ``start`` to ``end``, exclusive."""

    rule: AttributeRule
    start: int
    end: int


class Match(NamedTuple):
    """A phrase of the file in a sentence; phrases of equal words count together."""

    start: int
    end: int
    rules: tuple[AttributeRule, ...]

    @property
    def places(self) -> bool:
        """Whether it only says where."""
        return all(rule.attribute in _PLACES for rule in self.rules)

    def names(self) -> set[str]:
        return {rule.attribute for rule in self.rules}


class Sentence:
    """The words of a sentence as the walks from its findings see them.

    Args:
        flags: Classes of the words.
        matches: Phrases, from left to right, none overlapping another.
    """

    def __init__(self, flags: Sequence[int], matches: Sequence[Match]) -> None:
        self._flags = flags
        self._matches = matches
        self._from = {match.start: match for match in matches}
        self._to = {match.end: match for match in matches}
        self._bare = list(flags)  # without those of words that say an attribute
        for match in matches:
            self._bare[match.start : match.end] = [0] * (match.end - match.start)

    def attributes(self, findings: Sequence[Span]) -> tuple[tuple[AttributeSpan, ...], ...]:
        """As ``AttributeFinder.find``."""
        units = _joined(findings)
        matches_of: dict[Span, list[Match]] = {}
        claims: dict[Span, int] = {}  # the first word that belongs to a unit
        left = 0
        for unit in units:
            inside = [m for m in self._matches if unit[0] < m.end <= unit[1] and _is_in(m, unit)]
            before = self._before(unit[0], left)
            matches_of[unit] = [m for m in (*before, *inside) if _stands(m, BEFORE)]
            claims[unit] = min((m.start for m in before), default=unit[0])
            left = unit[1]
        for unit, following in zip(units, [*units[1:], None]):
            right = claims[following] if following else len(self._flags)
            matches_of[unit] += [m for m in self._after(unit[1], right) if _stands(m, AFTER)]
        self._share(units, matches_of)
        return tuple(
            _listed(next(matches_of[u] for u in units if u[0] <= start and end <= u[1]))
            for start, end in findings
        )

    # ---- what is said of several

    def _share(self, units: Sequence[Span], matches_of: dict[Span, list[Match]]) -> None:
        """Gives "a and b are unchanged" to both: a change after a verb in the plural."""
        for i in range(len(units) - 1, 0, -1):
            first, last = units[i - 1], units[i]
            if self._one_subject(first[1], last[0]) and not _changes(matches_of[first]):
                matches_of[first] += [
                    m for m in matches_of[last] if _changes([m]) and self._is_plural(last[1], m.end)
                ]

    def _one_subject(self, left: int, right: int) -> bool:
        """Whether two findings with these words between them are the subject of one verb.

        "No pneumothorax and effusions are stable" and "there is edema and effusions are stable"
        have two clauses.
        """
        joined = self._crosses(left, right, AND | COMMA)
        return joined and not self._crosses(0, right, BE | BARRIER)

    def _is_plural(self, left: int, right: int) -> bool:
        verbs = [flag for flag in self._flags[left:right] if flag & (BE | PLURAL)]
        return bool(verbs) and bool(verbs[0] & PLURAL)

    # ---- leftwards

    def _before(self, start: int, left: int) -> list[Match]:
        """What belongs to a finding that starts here and stands between it and ``left``."""
        matches: list[Match] = []
        free = not left or self._crosses(left, start, COMMA | AND | BARRIER)
        adjectives = True
        strange = 0
        i = start
        while i > left:
            match, flag = self._to.get(i), self._flags[i - 1]
            if match and match.start >= left:
                if match.places or adjectives:
                    matches.append(match)
                i = match.start
            elif flag & (COMMA | AND):
                if not self._joins_adjectives(i - 1, left, matches, adjectives):
                    matches.extend(self._fronted(i - 1, left) if flag & COMMA else ())
                    break
                i -= 1
            elif flag & BARRIER:
                break
            elif flag & FILLER and not flag & BE:
                i -= 1
            else:
                strange += not flag
                adjectives = adjectives and not flag and strange <= _ADJECTIVES
                if not free:
                    break
                i -= 1
        return matches

    def _joins_adjectives(
        self, i: int, left: int, matches: Sequence[Match], adjectives: bool
    ) -> bool:
        """Whether the comma or "and" at ``i`` stands inside one noun phrase."""
        match = self._to.get(i)
        if not adjectives or not matches or match is None or match.start < left:
            return False
        if self._crosses(left, match.start, BE):
            return False
        same = any(match.names() & other.names() for other in matches)
        return same or (not left and matches[-1].start == i + 1)

    def _fronted(self, i: int, left: int) -> list[Match]:
        """The places of "in the left lower lobe, there is ..."; the comma stands at ``i``."""
        matches: list[Match] = []
        while i > left:
            match = self._to.get(i)
            if match and match.start >= left and match.places:
                matches.append(match)
                i = match.start
            elif self._flags[i - 1] & (LINK | FILLER):
                i -= 1
            else:
                return []
        return matches if self._flags[left] & LINK else []

    # ---- rightwards

    def _after(self, end: int, right: int) -> list[Match]:
        """What belongs to a finding that ends here and stands between it and ``right``."""
        matches: list[Match] = []
        strange, fresh, i = 0, True, end  # fresh: a predicate may begin here
        crossed = False
        while i < right:
            match, flag = self._from.get(i), self._flags[i]
            if match and match.end <= right:
                if crossed and not self._closed(match.end, right):
                    break
                if match.places or fresh or self._predicate(i, end):
                    matches.append(match)
                i, strange = match.end, 0
            elif flag & BARRIER:
                if not self._resumes(i, right, flag):
                    break
                i += 1
            elif flag & (COMMA | AND):
                if not self._resumes(i, right, flag):
                    break
                crossed, fresh = True, True
                i += 1
            elif flag & _SMALL:
                fresh = bool(flag & BE) or (fresh and bool(flag & FILLER))
                i += 1
            else:
                strange += 1
                if crossed or strange > _NOUNS:
                    break
                fresh = False
                i += 1
        return matches

    def _resumes(self, i: int, right: int, flag: int) -> bool:
        """Whether what follows the mark at ``i`` still speaks of the finding before it."""
        j = i + 1
        while j < right and self._flags[j] & (_SMALL | COMMA) and j not in self._from:
            j += 1
        match = self._from.get(j)
        if match is None or match.end > right or not self._closed(match.end, right):
            return False
        return not flag & BARRIER or bool(match.names() & {"temporal", "size"})

    def _closed(self, end: int, right: int) -> bool:
        """Whether an attribute that ends here describes nothing that follows it."""
        while end < right and end in self._from:
            end = self._from[end].end
        return end >= right or bool(self._flags[end])

    def _predicate(self, i: int, end: int) -> bool:
        """Whether the attribute at ``i`` is said by a verb: "is again small"."""
        while i > end:
            match, flag = self._to.get(i), self._flags[i - 1]
            if match:
                i = match.start
                continue
            if flag & (BE | COMMA):
                return True
            if not flag & (FILLER | AND):
                return False
            i -= 1
        return True

    def _crosses(self, left: int, right: int, flags: int) -> bool:
        return any(flag & flags for flag in self._bare[left:right])


def _is_in(match: Match, unit: Span) -> bool:
    """Whether an attribute that ends in the finding is said by words of it.

    A change that begins it is the finding itself ("enlargement of the heart"), unless the change
    began before ("interval enlargement of the heart").
    """
    if match.start < unit[0]:
        return True
    return match.start > unit[0] or not _changes([match])


def _stands(match: Match, side: str) -> bool:
    other = AFTER if side == BEFORE else BEFORE
    return any(rule.side != other for rule in match.rules)


def _changes(matches: Sequence[Match]) -> bool:
    """Whether one of the attributes is a change over time."""
    return any(rule.attribute == TEMPORAL for match in matches for rule in match.rules)


def _joined(findings: Sequence[Span]) -> list[Span]:
    """Spans that overlap or touch ("calcified granuloma") as one."""
    units: list[Span] = []
    for start, end in sorted(findings):
        if units and start <= units[-1][1]:
            units[-1] = (units[-1][0], max(end, units[-1][1]))
        else:
            units.append((start, end))
    return units


def _listed(matches: Sequence[Match]) -> tuple[AttributeSpan, ...]:
    if not matches:
        return ()
    match_at = {match.start: match for match in matches}
    return tuple(
        AttributeSpan(rule, match.start, match.end)
        for _, match in sorted(match_at.items())
        for rule in match.rules
    )


class Attribute(NamedTuple):
    """One attribute of a finding.

    Attributes:
        name: "laterality", "location", "severity", "size" or "temporal".
        value: In canonical words, or the words of the report where those are the value.
        start, end: Offsets in the text of the report.
        rule: Id of the entry in ``rules/attributes.toml``.
    """

    name: str
    value: str
    start: int
    end: int
    rule: str


class AttributeFinder:
    """Binds attributes to findings.

    Args:
        rules: The attributes.
    """

    def __init__(self, rules: AttributeRules) -> None:
        self._rules = rules
        self._token = lru_cache(CACHE_LIMIT)(self._flagged)
        self._spans = lru_cache(CACHE_LIMIT)(self._find)

    def find(
        self, words: Sequence[str], findings: Sequence[Span]
    ) -> tuple[tuple[AttributeSpan, ...], ...]:
        """The attributes of every finding, by position.

        Args:
            words: The sentence in lower case, no white space.
            findings: Spans of words; those that overlap or touch share their attributes.
        """
        return self._spans(tuple(map(self._token, words)), tuple(findings))

    def _find(
        self, tokens: Sequence[int], findings: Sequence[Span]
    ) -> tuple[tuple[AttributeSpan, ...], ...]:
        flags = [token & _FLAGS for token in tokens]
        return Sentence(flags, self._matches(tokens)).attributes(findings)

    def _flagged(self, word: str) -> int:
        """The kind of a word and, in the lowest bits, the flags of its classes."""
        automaton = self._rules.automaton
        kind = automaton.kind(NUMBER if _NUMBER.fullmatch(word) else word)
        flags = sum(1 << i for i, name in enumerate(CLASSES) if automaton.has(kind, name))
        if not flags and not automaton.is_word(kind):
            flags = COMMA if word in _BRACKETS else BARRIER
        return kind << len(CLASSES) | flags

    def named(self, words: Sequence[str]) -> frozenset[str]:
        """Ids of the entries whose phrases stand in a sentence, none overruled by a longer one."""
        matches = self._longest([self._token(word) for word in words])
        return frozenset(rule.id for match in matches for rule in match.rules)

    def _matches(self, tokens: Sequence[int]) -> list[Match]:
        """Leftmost-longest phrases; those that only look like an attribute are gone."""
        real: list[Match] = []
        for match in self._longest(tokens):
            rules = [rule for rule in match.rules if rule.attribute != NONE]
            if len(rules) == len(match.rules):
                real.append(match)
            elif rules:
                real.append(match._replace(rules=tuple(rules)))
        return real

    def _longest(self, tokens: Sequence[int]) -> list[Match]:
        kinds = [token >> len(CLASSES) for token in tokens]
        spans: dict[Span, list[AttributeRule]] = {}
        for start, end, number in self._rules.automaton.find(kinds, 0, len(kinds)):
            owner, owners = self._rules.owners[number], spans.setdefault((start, end), [])
            if owner not in owners:
                owners.append(owner)
        matches: list[Match] = []
        for (start, end), rules in sorted(spans.items(), key=lambda s: (s[0][0], -s[0][1])):
            if matches and start < matches[-1].end:
                continue
            matches.append(Match(start, end, tuple(rules)))
        return matches
