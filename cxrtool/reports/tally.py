"""Counts over a set of reports, and whether they are of the kind that the rules can read.

In: texts and their labels. Out: a summary for ``result.json`` and for people. Counts of parts of a
set add up, so that processes can count on their own.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cxrtool.reports.labeler import Labels
from cxrtool.reports.ruleset import RuleSet
from cxrtool.reports.sections import REPORT, Section

_SOME_LENGTH = 40
_HEADERS_KEPT, _HEADERS_TOLD = 1000, 50
_SHOWN = 5


@dataclass(slots=True)
class Cases:
    """How many reports are of a kind, and the id of the first of them."""

    reports: int = 0
    example: str = ""

    def add(self, study: str, reports: int = 1) -> None:
        """Counts a report, or those of another part of the set."""
        if reports and not self.reports:
            self.example = study
        self.reports += reports

    def to_json(self) -> dict[str, Any]:
        """JSON-able form."""
        return {"reports": self.reports, "example": self.example}


class Tally:
    """Counts over a set of reports.

    Args:
        observations: The labels.
        rules: What reports are labeled with.

    Attributes:
        reports: All of them.
        empty: Those without text.
        silent: Those with text in which no section and no term was found.
        foreign: Those with text in which no everyday word of the language was found.
        wordless: Those with text of which no word counts.
        headers: Header in lower case -> the reports that have it, for headers that no rule knows.
        unreadable: Section -> the reports in which it counts and holds no such word.
    """

    def __init__(self, observations: Sequence[str], rules: RuleSet) -> None:
        # The rules themselves would go back with the counts of every chunk.
        self._counted, self._language = rules.counted, rules.wording.name
        words = "|".join(map(re.escape, sorted(rules.wording.everyday))) or r"\w+"
        self._everyday = re.compile(rf"\b(?:{words})\b", re.IGNORECASE)
        self.wordless = Cases()
        self.headers: dict[str, Cases] = {}
        self.unreadable: dict[str, Cases] = {}
        self.reports = self.empty = self.silent = self.foreign = 0
        self.counts: dict[str, Counter[str]] = {name: Counter() for name in observations}

    def add(self, text: str, labels: Labels, study: str = "") -> None:
        """Counts one report; ``labels`` need their evidence, ``study`` is its id."""
        self.reports += 1
        if not text.strip():
            self.empty += 1
        else:
            read = labels.evidence or any(s.name != REPORT for s in labels.sections)
            self.silent += not read
            self.foreign += len(text) >= _SOME_LENGTH and self._everyday.search(text) is None
            if not labels.sentences:
                self.wordless.add(study)
            for header in {" ".join(words.lower().split()) for words in labels.unknown}:
                if header in self.headers or len(self.headers) < _HEADERS_KEPT:
                    self.headers.setdefault(header, Cases()).add(study)
            for name in {s.name for s in labels.sections if self._is_unreadable(text, s, labels)}:
                self.unreadable.setdefault(name, Cases()).add(study)
        for name, value in labels.values.items():
            self.counts[name]["" if value is None else str(value)] += 1

    def _is_unreadable(self, text: str, section: Section, labels: Labels) -> bool:
        start, end = section.start, section.end
        if section.name not in self._counted or end - start < _SOME_LENGTH:
            return False
        understood = any(start <= e.start < end for e in labels.evidence)
        return not understood and self._everyday.search(text, start, end) is None

    def merge(self, other: Tally) -> None:
        """Adds the counts of another part of the set."""
        for kind in ("reports", "empty", "silent", "foreign"):
            setattr(self, kind, getattr(self, kind) + getattr(other, kind))
        self.wordless.add(other.wordless.example, other.wordless.reports)
        for own, new in ((self.headers, other.headers), (self.unreadable, other.unreadable)):
            for name, cases in new.items():
                if name in own or len(own) < _HEADERS_KEPT:
                    own.setdefault(name, Cases()).add(cases.example, cases.reports)
        for name, counts in other.counts.items():
            self.counts[name].update(counts)

    def doubts(self, above_frac: float) -> list[str]:
        """What speaks against these being reports of chest radiographs that can be read.

        Args:
            above_frac: Share of the reports with text above which something is said.
        """
        written = self.reports - self.empty
        doubts = (
            (self.silent, "nothing was found", "no section, no term"),
            (self.foreign, f"no {self._language} word was found", "whatever terms there are"),
        )
        return [
            f"{what} in {100 * n / written:.0f} % of the reports with text ({more}); "
            f"are they {self._language} reports of chest radiographs?"
            for n, what, more in doubts
            if n > max(1, above_frac * written)
        ]

    def unread(self) -> list[str]:
        """What of the reports was not read, with an example each, as sentences."""
        said = []
        if self.headers:
            n = len(self.headers)
            which = f"{n:,} headers are" if n > 1 else "1 header is"
            shown = ", ".join(
                f"{name} ({cases.reports:,}, as in {cases.example})"
                for name, cases in self._headers()[:_SHOWN]
            )
            said.append(f"{which} in no rule, with the number of reports: {shown}")
        for name, cases in sorted(self.unreadable.items()):
            said.append(
                f"{name} without a word of {self._language} in {_reports(cases.reports)}, "
                f"as in {cases.example}"
            )
        if self.wordless.reports:
            which = _reports(self.wordless.reports)
            said.append(f"no word counts in {which} with text, as in {self.wordless.example}")
        return said

    def _headers(self) -> list[tuple[str, Cases]]:
        """Unknown headers, the most frequent first."""
        return sorted(self.headers.items(), key=lambda item: (-item[1].reports, item[0]))

    def summary(self) -> dict[str, Any]:
        """JSON-able form."""
        return {
            "reports": self.reports,
            "empty": self.empty,
            "nothing_found": self.silent,
            "no_english": self.foreign,
            "no_counted_word": self.wordless.to_json(),
            "unknown_headers": {k: v.to_json() for k, v in self._headers()[:_HEADERS_TOLD]},
            "unreadable_sections": {k: v.to_json() for k, v in sorted(self.unreadable.items())},
            "labels": {
                name: {"1": c["1"], "0": c["0"], "-1": c["-1"], "blank": c[""]}
                for name, c in self.counts.items()
            },
        }

    def rows(self) -> list[list[object]]:
        """Rows of a table for people: label, 1, 0, -1, blank."""
        return [[name, c["1"], c["0"], c["-1"], c[""]] for name, c in self.counts.items()]


def _reports(n: int) -> str:
    return f"{n:,} reports" if n > 1 else "1 report"
