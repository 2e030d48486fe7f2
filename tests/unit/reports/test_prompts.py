"""Text columns for CLIP."""

from __future__ import annotations

import pytest

from cxrtool.reports import label
from cxrtool.reports.prompts import NORMAL, rules_text, texts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "Small left pleural effusion. Mild cardiomegaly.",
            "small left pleural effusion, mild cardiomegaly",
        ),
        ("The heart is enlarged. No effusion.", "cardiomegaly"),
        ("Effusion. Small left pleural effusion. Effusion.", "small left pleural effusion"),
        ("Possible pneumonia.", "possible pneumonia"),
        ("Pneumonia cannot be excluded. Lobar pneumonia.", "pneumonia"),
        ("The lungs are clear.", NORMAL),
        ("The lungs are clear. Severe scoliosis.", ""),
        ("", ""),
        ("FINDINGS: Clear.\nIMPRESSION: Edema.\nINDICATION: effusion", "edema"),
    ],
)
def test_rules(text: str, expected: str) -> None:
    assert rules_text(label(text)) == expected


def test_sections_are_on_one_line_each() -> None:
    text = "HISTORY: cough\nFINDINGS:\n  Clear\n  lungs.\nIMPRESSION:\n1. Normal.\n2. No change."
    found = texts(label(text), text)
    assert found["findings"] == "Clear lungs."
    assert found["impression"] == "1. Normal. 2. No change."


def test_a_report_without_headers_has_no_sections() -> None:
    text = "Small effusion."
    assert texts(label(text), text) == {"findings": "", "impression": "", "rules": "small effusion"}
