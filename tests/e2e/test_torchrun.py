"""Two processes train as one: the same network, one writer, the same reruns and stops."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.unit.generators.conftest import make_dataset

__all__ = ["make_dataset"]

MakeDataset = Callable[..., Path]
OPTIONS = "--size 16 --preset tiny --batch 16 --kimg 0.16 --snapshot-kimg 0.08 --tick-kimg 0.04"


def start(data: Path, out: Path, processes: int) -> list[subprocess.Popen[str]]:
    """``torchrun --nproc-per-node N -m cxrtool train-gan``."""
    words = ["train-gan", str(data), "-o", str(out), "--threads", "1", *OPTIONS.split()]
    return spawn([sys.executable, "-m", "cxrtool", *words], processes)


def spawn(words: list[str], processes: int) -> list[subprocess.Popen[str]]:
    """What ``torchrun --nproc-per-node`` starts."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = []
    for rank in range(processes):
        env = os.environ.copy()
        if processes > 1:
            env |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(processes)}
            env |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        started.append(
            subprocess.Popen(
                words,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=env,
            )
        )
    return started


def finish(processes: list[subprocess.Popen[str]]) -> list[tuple[int, str, str]]:
    ends = []
    for process in processes:
        out, err = process.communicate(timeout=300)
        ends.append((process.returncode, out, err))
    return ends


@pytest.mark.parametrize("loss", ["ns-r1", "rp-r1r2", "balanced", "flow", "told flow", "student"])
def test_steps_of_two_processes_are_those_of_one(tmp_path: Path, loss: str) -> None:
    found = []
    for processes in (1, 2):
        path = tmp_path / f"{processes}.safetensors"
        words = [sys.executable, "-m", "tests.unit.generators.two_ranks", str(path), loss]
        ends = finish(spawn(words, processes))
        assert [code for code, _, _ in ends] == [0] * processes, ends
        found.append(load_file(path))
    one, two = found
    for name, value in one.items():
        if (name, loss) != (
            "discriminator.out.bias",
            "rp-r1r2",
        ):  # which has no gradient but rounding
            torch.testing.assert_close(two[name], value, rtol=1e-4, atol=1e-4, msg=name)


def test_two_processes_are_one(make_dataset: MakeDataset, tmp_path: Path) -> None:
    data = make_dataset(n=80)
    (alone,) = finish(start(data, tmp_path / "one", 1))
    assert alone[0] == 0, alone[2]
    two = finish(start(data, tmp_path / "two", 2))
    assert [code for code, _, _ in two] == [0, 0], two
    assert two[0][1].strip() == str(tmp_path / "two")  # one of them speaks
    assert two[1][1] == ""
    rows = [
        [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").open()]
        for name in ("one", "two")
    ]
    assert [row["nimg"] for row in rows[0]] == [row["nimg"] for row in rows[1]]
    first, second = (part[0] for part in rows)
    for name in ("g_loss", "d_loss", "r1_penalty", "r_t"):  # later ones drift apart by rounding
        assert second[name] == pytest.approx(first[name], rel=0.01, abs=0.01), name
    again = finish(start(data, tmp_path / "two", 2))
    assert [code for code, _, _ in again] == [0, 0]
    assert "up to date" in again[0][2]


@pytest.mark.slow
def test_one_signal_stops_both_and_the_rest_follows(
    make_dataset: MakeDataset, tmp_path: Path
) -> None:
    data, out = make_dataset(n=80), tmp_path / "out"
    whole = finish(start(data, tmp_path / "whole", 2))
    assert [code for code, _, _ in whole] == [0, 0]
    processes = start(data, out, 2)
    deadline = time.monotonic() + 120
    while not (out / "checkpoints" / "latest.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    processes[0].send_signal(signal.SIGTERM)
    ends = finish(processes)
    if [code for code, _, _ in ends] != [0, 0]:  # it may have been at its end
        assert [code for code, _, _ in ends] == [143, 143], ends
    assert [code for code, _, _ in finish(start(data, out, 2))] == [0, 0]
    first, second = (
        load_file(folder / "model.safetensors") for folder in (tmp_path / "whole", out)
    )
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def test_other_stages_say_that_they_do_not(tmp_path: Path) -> None:
    env = os.environ | {"RANK": "0", "WORLD_SIZE": "2"}
    words = [sys.executable, "-m", "cxrtool", "prepare", "--format", "phantom", "--n", "4"]
    done = subprocess.run(
        [*words, "-o", str(tmp_path / "out")], capture_output=True, text=True, env=env
    )
    assert done.returncode == 2
    assert "does not work under torchrun" in done.stderr
