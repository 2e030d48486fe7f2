"""The table that extract-reports writes, row by row.

In: reports and their labels. Out: lines of ``manifest.csv`` and ``evidence.jsonl``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from cxrtool.reports.labeler import Labels
from cxrtool.reports.prompts import texts
from cxrtool.reports.sources import PATIENT, REPORT, STUDY, Report


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
