"""The examples of the page on reports run, in a process of their own as users of spaCy have it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.conftest import REPOSITORY

PAGE = REPOSITORY / "docs" / "reports.md"


def test_the_page_on_reports_is_true(entry_points: dict[str, str], tmp_path: Path) -> None:
    options = ("-o", "NORMALIZE_WHITESPACE", "-v", str(PAGE))
    done = subprocess.run(
        [sys.executable, "-m", "doctest", *options],
        capture_output=True,
        text=True,
        env=entry_points,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout
    assert "Test passed." in done.stdout
