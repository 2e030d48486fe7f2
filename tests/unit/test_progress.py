"""Progress: the rate of late, the time that is left, and no silence."""

from __future__ import annotations

import io
import re
import time
from typing import Any

import pytest

from cxrtool.core import console, progress


def test_the_rate_is_that_of_late() -> None:
    rate = progress.Rate(0.0, done=40)
    assert rate.at(1.0) == 0.0
    for k in range(1, 101):  # quick at first
        rate.update(k * 0.1, 40 + k)
    assert rate.at(10.0) == pytest.approx(10)
    for k in range(1, 101):
        rate.update(10 + k, 140 + k)
    assert rate.at(110.0) == pytest.approx(1)
    assert rate.at(300.0) < 0.3  # a step that does not end


def test_the_rate_of_slow_steps_is_of_the_last_ones() -> None:
    rate = progress.Rate(0.0)
    for k in range(1, 11):
        rate.update(100.0 * k, k)
    assert rate.at(1000.0) == pytest.approx(0.01)


def test_what_was_done_before_is_no_work_of_now() -> None:
    with progress.progress("training", 1000, "steps", done=900) as bar:
        time.sleep(0.02)
        bar.update(901)
        left = re.search(r"(\d+):(\d+) left", bar.line())
    assert left
    assert int(left[1]) * 60 + int(left[2]) <= 60


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0:00"), (65, "1:05"), (3600, "1:00:00"), (-3, "0:00")]
)
def test_times_have_one_form(seconds: float, text: str) -> None:
    assert progress.duration(seconds) == text


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FIRST_S", "DRAWN_AFTER_S", "_TICK_S"):
        monkeypatch.setattr(progress, name, 0.05)
    monkeypatch.setattr(progress, "EVERY_S", 0.4)


def test_work_that_says_nothing_is_named_in_a_log(quick: None, capsys: Any) -> None:
    with progress.watching("at work"):
        time.sleep(0.2)
        with progress.progress("measuring", unit=""):
            time.sleep(0.2)
        with progress.progress("training", 10, "steps", done=2):  # a step that does not end
            time.sleep(0.2)
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["at work: 0:00", "measuring: 0:00", "training: 2/10 steps (20 %), 0:00"]


def test_quick_work_is_not_named(quick: None, capsys: Any) -> None:
    with progress.watching("at work"), progress.progress("measuring", unit=""):
        console.say("a word")
    assert capsys.readouterr().err == "a word\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("inner", [True, False])
def test_a_terminal_of_80_columns_shows_the_time(
    inner: bool, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    with progress.watching("at work"):
        if inner:
            label = "training the network of the discriminator"
            with progress.progress(label, 200_000, "images", done=100) as bar:
                time.sleep(0.02)
                bar.update(1000, "a loss and other words " * 9)
                time.sleep(0.3)
        else:
            with progress.progress("measuring", unit=""):
                time.sleep(0.3)
    frames = re.split(r"[\r\n]|\x1b\[2K|\x1b\[1A", terminal.getvalue())
    lines = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", frame) for frame in frames]
    assert max(map(len, lines)) <= 80
    assert any(("left" if inner else "measuring") in line for line in lines)
