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
        self._cache: dict[
            tuple[tuple[int, ...], tuple[Span, ...]], tuple[tuple[AttributeSpan, ...], ...]
        ] = {}

    def find(
        self, words: Sequence[str], findings: Sequence[Span]
    ) -> tuple[tuple[AttributeSpan, ...], ...]:
        """The attributes of every finding, by position.

        Args:
            words: The sentence in lower case, no white space.
            findings: Spans of words; those that overlap or touch share their attributes.
        """
        tokens = [self._token(word) for word in words]
        kinds = tuple(kind for kind, _ in tokens)
        key = (kinds, tuple(findings))
        spans = self._cache.get(key)
        if spans is None:
            flags = [flag for _, flag in tokens]
            spans = Sentence(flags, self._matches(kinds)).attributes(findings)
            if len(self._cache) >= CACHE_LIMIT:
                self._cache.clear()
            self._cache[key] = spans
        return spans

    def _flagged(self, word: str) -> tuple[int, int]:
        """The kind of a word, and the flags of its classes."""
        automaton = self._rules.automaton
        kind = automaton.kind(NUMBER if _NUMBER.fullmatch(word) else word)
        flags = sum(1 << i for i, name in enumerate(CLASSES) if automaton.has(kind, name))
        if not flags and not automaton.is_word(kind):
            flags = COMMA if word in _BRACKETS else BARRIER
        return kind, flags

    def named(self, words: Sequence[str]) -> frozenset[str]:
        """Ids of the entries whose phrases stand in a sentence, none overruled by a longer one."""
        matches = self._longest([self._token(word)[0] for word in words])
        return frozenset(rule.id for match in matches for rule in match.rules)

    def _matches(self, kinds: Sequence[int]) -> list[Match]:
        """Leftmost-longest phrases; those that only look like an attribute are gone."""
        real = (
            Match(m.start, m.end, tuple(r for r in m.rules if r.attribute != NONE))
            for m in self._longest(kinds)
        )
        return [match for match in real if match.rules]

    def _longest(self, kinds: Sequence[int]) -> list[Match]:
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
