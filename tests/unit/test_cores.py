"""Threads by the cores that others leave free, and the time that is left at the rate of late."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from cxrtool.core import cores, progress
from cxrtool.core.cores import Look, Share
from cxrtool.training import device


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    progress.watch_progress(None)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """A machine of eight cores; `others` is how many of them others take. Ten seconds a look."""
    state = {"others": 0.0, "own": 2.0}
    clock = {"at": 0.0, "own": 0.0, "all": 0.0}

    def now() -> Look:
        clock["at"] += 10
        clock["own"] += 10 * state["own"]
        clock["all"] += 10 * (state["own"] + state["others"])
        return Look(**clock)

    monkeypatch.setattr(cores.Look, "now", now)
    monkeypatch.setattr(cores, "available_cores", lambda: 8)
    monkeypatch.setattr(cores, "_AGAIN_S", -1e9)
    return state


@pytest.mark.parametrize(
    ("others", "free"), [(0, 8), (0.4, 8), (1, 7), (3.6, 4), (7.9, 1), (8, 1), (20, 1), (-1, 8)]
)
def test_free_cores(
    machine: dict[str, float], monkeypatch: pytest.MonkeyPatch, others: float, free: int
) -> None:
    monkeypatch.setattr(cores, "_START", Look.now())
    machine["others"] = others
    assert cores.free_cores() == free


def test_where_nothing_tells_all_cores_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "_CLOCKS", Path("/nowhere"))
    monkeypatch.setattr(cores, "_START", Look.now())
    assert cores.free_cores() == cores.available_cores()
    assert Share(2).look() is None


def test_others_get_what_they_need_and_it_is_taken_back(machine: dict[str, float]) -> None:
    share, taken = Share(8), []
    for others in (0, 3, 3, 4, 3, 2, 0, 3, 2, 2, 1, 0, 2, 2):
        machine["others"] = others
        share.look()
        taken.append(share.threads)
    # Taken back is what five looks in a row have found, and not less than half again.
    assert taken == [8, 5, 5, *[4] * 8, *[4], 6, 6]


def test_two_that_watch_each_other_do_not_swing(machine: dict[str, float]) -> None:
    one, other = Share(8), Share(8)
    taken = []
    for _ in range(40):
        for mine, its in ((one, other), (other, one)):
            machine["others"] = min(its.threads, 8)
            mine.look()
        taken.append((one.threads, other.threads))
    assert len(set(taken[20:])) == 1, taken


def test_given_numbers_are_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    monkeypatch.setattr(Share, "look", lambda _: looks.append(1))
    for given, environment, threads in [(3, "2", 3), (None, "2", 2), (None, "4,2", 4)]:
        monkeypatch.setenv("OMP_NUM_THREADS", environment)
        device.setup("cpu", given)
        assert torch.get_num_threads() == threads
        with progress.progress("working", total=1) as bar:
            bar.advance()
    assert not looks


def test_a_change_is_said(
    machine: dict[str, float], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "")
    monkeypatch.setattr(device, "available_cores", lambda: 8)
    monkeypatch.setattr(cores, "_START", Look.now())
    machine["others"] = 4
    device.setup("cpu")
    assert "4 threads: other work keeps the rest of 8 cores busy" in capsys.readouterr().err
    with progress.progress("working", total=2) as bar:
        machine["others"] = 7
        bar.advance()
        assert torch.get_num_threads() == 1
        assert "1 thread from here on: other work needs cores" in capsys.readouterr().err
        machine["others"] = 6
        for _ in range(cores._PATIENCE):
            bar.advance(0.1)
    assert "2 threads from here on: cores are free again" in capsys.readouterr().err


def test_the_time_left_is_that_of_the_recent_rate(
    monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    seconds = itertools.count(0.0, 5.0)
    now = [next(seconds)]
    monkeypatch.setattr("cxrtool.core.progress.time.monotonic", lambda: now[0])
    monkeypatch.setattr(progress, "EVERY_S", 0.0)
    with progress.progress("training", total=1000, unit="steps", done=400) as bar:
        for rate, steps in ((10, 20), (1, 80)):  # ten a second, then one
            for _ in range(steps // 5):
                now[0] = next(seconds)
                bar.advance(5 * rate)
    last = capsys.readouterr().err.splitlines()[-1]
    assert "680/1,000 steps (68 %), 1 steps/s, 5:20 left" in last
