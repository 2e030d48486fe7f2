"""Reports as strangers dictate and export them: the open half; the other is the benchmark's."""

import tomllib
from pathlib import Path

import pytest

from cxrtool.reports import Labeler

GOLDEN = Path(__file__).parents[2] / "golden"
REPORTS = {
    name: [
        report
        for report in tomllib.loads((GOLDEN / f"{name}.toml").read_text("utf-8"))["report"]
        if not report.get("sealed")
    ]
    for name in ("stranger_lines", "more_lines")
}
CASES = sorted({(name, r["style"]) for name, reports in REPORTS.items() for r in reports})
LABELER = Labeler()


@pytest.mark.parametrize(("name", "style"), CASES)
def test_reports_of_strangers(name: str, style: str) -> None:
    reports = [report for report in REPORTS[name] if report["style"] == style]
    wrong = []
    for report in reports:
        values = LABELER.label(report["text"], evidence=False).values
        if values != dict.fromkeys(values) | report["labels"]:
            wrong.append(report["id"])
    assert len(wrong) <= 0.05 * len(reports), f"{len(wrong)} of {len(reports)} wrong: {wrong}"
