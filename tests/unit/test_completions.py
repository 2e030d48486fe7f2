"""The completion scripts are those of the program, and a shell that reads them completes."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY

FOLDER = REPOSITORY / "completions"


def test_scripts_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, FOLDER / "generate.py", "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def complete(*words: str) -> set[str]:
    script = f"""
    source {FOLDER / "cxr.bash"}
    COMP_WORDS=({" ".join(f"'{word}'" for word in words)})
    COMP_CWORD={len(words) - 1}
    _cxr
    printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_completes_commands_options_and_choices() -> None:
    assert complete("cxr", "st") == {"status"}
    assert {"train-gan", "train-cls"} <= complete("cxr", "train")
    assert complete("cxr", "evaluate", "cl") == {"classifiers", "clip"}
    assert "--target-frac" in complete("cxr", "synthesize", "DATA", "--ta")
    assert complete("cxr", "prepare", "x", "--on-change", "") == {"fail", "rebuild"}
    assert "--data" in complete("cxr", "evaluate", "classifiers", "run", "--d")


@pytest.mark.parametrize(("shell", "script"), [("zsh", "_cxr"), ("fish", "cxr.fish")])
def test_other_shells_parse_theirs(shell: str, script: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    subprocess.run([shell, "-n", FOLDER / script], check=True)
