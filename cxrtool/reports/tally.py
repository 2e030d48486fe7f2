"""Counts over a set of reports, and whether they are of the kind that the rules can read.

In: texts and their labels. Out: a summary for ``result.json`` and for people. Counts of parts of a
set add up, so that processes can count on their own.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from cxrtool.reports.labeler import Labels
from cxrtool.reports.sections import REPORT

# Words that hardly an English report of some length does without, and other languages do not have.
# Terms alone do not tell: "pneumothorax" is the same word in a dozen languages.
_ENGLISH = re.compile(
    r"\b(?:the|there|and|with|without|this|which|from|seen|clear|size|heart|lungs?|chest|right|left"
    r"|within|limits|disease|evidence|unremarkable|enlarged|small|mild|no acute)\b",
    re.IGNORECASE,
)
_SOME_LENGTH = 40


class Tally:
    """Counts over a set of reports.

    Args:
        observations: The labels.

    Attributes:
        reports: All of them.
        empty: Those without text.
        silent: Those with text in which no section and no term was found.
        foreign: Those with text in which no English word was found, silent or not.
    """

    def __init__(self, observations: Sequence[str]) -> None:
        self.reports = self.empty = self.silent = self.foreign = 0
        self.counts: dict[str, Counter[str]] = {name: Counter() for name in observations}

    def add(self, text: str, labels: Labels) -> None:
        """Counts one report; ``labels`` need their evidence."""
        self.reports += 1
        if not text.strip():
            self.empty += 1
        else:
            read = labels.evidence or any(s.name != REPORT for s in labels.sections)
            self.silent += not read
            self.foreign += len(text) >= _SOME_LENGTH and _ENGLISH.search(text) is None
        for name, value in labels.values.items():
            self.counts[name]["" if value is None else str(value)] += 1

    def merge(self, other: Tally) -> None:
        """Adds the counts of another part of the set."""
        for kind in ("reports", "empty", "silent", "foreign"):
            setattr(self, kind, getattr(self, kind) + getattr(other, kind))
        for name, counts in other.counts.items():
            self.counts[name].update(counts)

    def doubts(self, above_frac: float) -> list[str]:
        """What speaks against these being English reports of chest radiographs, as sentences.

        Args:
            above_frac: Share of the reports with text above which something is said.
        """
        written = self.reports - self.empty
        doubts = (
            (self.silent, "nothing was found", "no section, no term"),
            (self.foreign, "no English word was found", "whatever terms there are"),
        )
        return [
            f"{what} in {100 * n / written:.0f} % of the reports with text ({more}); "
            "are they English reports of chest radiographs?"
            for n, what, more in doubts
            if n > max(1, above_frac * written)
        ]

    def summary(self) -> dict[str, Any]:
        """JSON-able form."""
        return {
            "reports": self.reports,
            "empty": self.empty,
            "nothing_found": self.silent,
            "no_english": self.foreign,
            "labels": {
                name: {"1": c["1"], "0": c["0"], "-1": c["-1"], "blank": c[""]}
                for name, c in self.counts.items()
            },
        }

    def rows(self) -> list[list[object]]:
        """Rows of a table for people: label, 1, 0, -1, blank."""
        return [[name, c["1"], c["0"], c["-1"], c[""]] for name, c in self.counts.items()]
