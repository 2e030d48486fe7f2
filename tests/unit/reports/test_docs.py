"""The pages on the rules say what the rules are and do."""

from __future__ import annotations

import subprocess
import sys

import pytest

from cxrtool.reports import label
from tests.conftest import REPOSITORY


def test_the_page_of_the_rules_is_up_to_date() -> None:
    program = REPOSITORY / "docs" / "rules_page.py"
    done = subprocess.run([sys.executable, program, "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Stable.", {}),
        ("", {}),
        ("CHF.", {"Edema": 1}),
        ("CHF, heart size normal.", {"Edema": 1, "Cardiomegaly": 0}),
        ("Low lung volumes. No acute disease.", {}),
        ("Raised zebra pattern. No acute disease.", {}),
        ("Blunted costophrenic angle.", {"Pleural Effusion": -1}),
        ("History of pneumonia.", {}),
    ],
)
def test_what_differs_from_chexpert_on_purpose(text: str, expected: dict[str, int]) -> None:
    assert {k: v for k, v in label(text).values.items() if v is not None} == expected
