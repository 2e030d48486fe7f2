"""The table that extract-reports writes, row by row, and the counts over it.

In: reports and their labels. Out: lines of ``manifest.csv`` and ``evidence.jsonl``, and a summary.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from cxrtool.reports.labeler import Labels
from cxrtool.reports.prompts import texts
from cxrtool.reports.sources import PATIENT, REPORT, STUDY, Report

VALUES = ("1", "0", "-1", "")


def columns(observations: Sequence[str]) -> list[str]:
    """The columns of ``manifest.csv``; ``patient_id`` is blank where the source has none."""
    return [STUDY, PATIENT, *observations, REPORT, "findings", "impression", "rules"]


def cell(value: int | None) -> str:
    """A label as a cell."""
    return "" if value is None else str(value)


def row(report: Report, labels: Labels) -> list[str]:
    """A line of ``manifest.csv``; ``labels`` need their evidence."""
    strategies = texts(labels, report.text)
    values = [cell(value) for value in labels.values.values()]
    written = [strategies[name] for name in ("findings", "impression", "rules")]
    return [report.study, report.patient, *values, report.text, *written]


def evidence_lines(study: str, labels: Labels) -> str:
    """The lines of ``evidence.jsonl`` for one study."""
    return "".join(
        json.dumps({STUDY: study, **item.to_json()}, ensure_ascii=False) + "\n"
        for item in labels.evidence
    )


class Tally:
    """Counts over a set of reports.

    Args:
        observations: The labels.
    """

    def __init__(self, observations: Sequence[str]) -> None:
        self.reports = self.empty = self.silent = 0
        self.counts = {name: dict.fromkeys(VALUES, 0) for name in observations}

    def add(self, text: str, labels: Labels) -> None:
        """Counts one report."""
        self.reports += 1
        if not text.strip():
            self.empty += 1
        elif all(value is None for value in labels.values.values()):
            self.silent += 1
        for name, value in labels.values.items():
            self.counts[name][cell(value)] += 1

    @property
    def silent_frac(self) -> float:
        """Share of the reports with text in which nothing was found."""
        return self.silent / max(1, self.reports - self.empty)

    def summary(self) -> dict[str, Any]:
        """JSON-able form."""
        return {
            "reports": self.reports,
            "empty": self.empty,
            "nothing_found": self.silent,
            "labels": {
                name: {"1": c["1"], "0": c["0"], "-1": c["-1"], "blank": c[""]}
                for name, c in self.counts.items()
            },
        }

    def rows(self) -> list[list[object]]:
        """Rows of a table for people: label, 1, 0, -1, blank."""
        return [[name, c["1"], c["0"], c["-1"], c[""]] for name, c in self.counts.items()]
