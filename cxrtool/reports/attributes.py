"""Finds what a sentence says of its findings: side, place, severity, size, change.

In: the words of a sentence, and where its findings stand. Out: for each finding the attributes that
belong to it. Every attribute belongs to one finding: each finding first takes what stands in it and
before it, as far as its noun phrase reaches ("small left pleural effusion", "in the left base there
is an opacity"), then what follows it up to the next one ("opacity in the left base, increased").
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from cxrtool.reports.attribute_rules import (
    NONE,
    NUMBER,
    AttributeRule,
    AttributeRules,
    default_attributes,
)
from cxrtool.reports.attribute_scope import (
    BARRIER,
    CLASSES,
    COMMA,
    AttributeSpan,
    Match,
    Sentence,
    Span,
)

CACHE_LIMIT = 50_000
_FLAGS = (1 << len(CLASSES)) - 1
_BRACKETS = ("(", ")", "[", "]", '"')
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*(?:x\d+(?:[.,]\d+)*)*")


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
        rules: The attributes; default: those of the package.
    """

    def __init__(self, rules: AttributeRules | None = None) -> None:
        self._rules = rules or default_attributes()
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
        real = (
            Match(m.start, m.end, tuple(r for r in m.rules if r.attribute != NONE))
            for m in self._longest(tokens)
        )
        return [match for match in real if match.rules]

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
