"""Reports as strangers dictate and export them: the open half; the other is the benchmark's."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from cxrtool.reports import Labeler

LINES = Path(__file__).parents[2] / "golden" / "stranger_lines.toml"
REPORTS = [r for r in tomllib.loads(LINES.read_text("utf-8"))["report"] if not r.get("sealed")]
STYLES = tuple(dict.fromkeys(report["style"] for report in REPORTS))
LABELER = Labeler()


@pytest.mark.parametrize("style", STYLES)
def test_reports_of_strangers(style: str) -> None:
    reports = [report for report in REPORTS if report["style"] == style]
    wrong = []
    for report in reports:
        values = LABELER.label(report["text"], evidence=False).values
        if values != dict.fromkeys(values) | report["labels"]:
            wrong.append(report["id"])
    assert len(wrong) <= 0.05 * len(reports), f"{len(wrong)} of {len(reports)} wrong: {wrong}"
