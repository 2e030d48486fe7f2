"""The examples of the page on reports run, in a process of their own as users of spaCy have it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.conftest import REPOSITORY

PAGE = REPOSITORY / "docs" / "how-to" / "reports.md"


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


def test_its_commands_print_what_it_shows(entry_points: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "tests").symlink_to(REPOSITORY / "tests")
    program = tmp_path / "cxr"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m cxrtool "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    path = f"{tmp_path}:{entry_points['PATH']}"
    blocks = re.findall(r"```console\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 3
    for block in blocks:
        for command, shown in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE):
            if command.startswith("cat "):
                (tmp_path / command[4:]).write_text(shown, encoding="utf-8")
            done = subprocess.run(
                ["bash", "-c", command],
                capture_output=True,
                text=True,
                env={**entry_points, "PATH": path},
                cwd=tmp_path,
            )
            assert (done.stdout, done.stderr) == (shown, ""), command
