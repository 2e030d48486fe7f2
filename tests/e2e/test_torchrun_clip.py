"""`finetune-clip` in two processes: the same weights as in one, one writer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.e2e.test_torchrun import finish, spawn
from tests.unit.clip.conftest import write_dataset

OPTIONS = "--steps 6 --batch 16 --lr 0.003 --threads 1 --model tiny"


def start(data: Path, out: Path, processes: int) -> list[subprocess.Popen[str]]:
    """``torchrun --nproc-per-node N -m cxrtool finetune-clip``."""
    words = ["finetune-clip", str(data), "-o", str(out), *OPTIONS.split()]
    return spawn([sys.executable, "-m", "cxrtool", *words], processes)


def test_steps_of_two_processes_are_those_of_one(tmp_path: Path) -> None:
    found = []
    for processes in (1, 2):
        path = tmp_path / f"{processes}.safetensors"
        words = [sys.executable, "-m", "tests.unit.clip.two_ranks", str(path)]
        ends = finish(spawn(words, processes))
        assert [code for code, _, _ in ends] == [0] * processes, ends
        found.append(load_file(path))
    one, two = found
    assert len(set(one["losses"].tolist())) == 4
    for name, value in one.items():
        mine = two[name]
        if name.endswith("in_proj_bias"):  # that of the keys has no gradient but rounding
            value, mine = (x.view(3, -1)[[0, 2]] for x in (value, mine))
        torch.testing.assert_close(mine, value, rtol=0, atol=1e-5, msg=name)


def test_two_processes_are_one(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data")
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
    assert [row["step"] for row in rows[0]] == [row["step"] for row in rows[1]]
    for a, b in zip(*rows, strict=True):
        assert b["loss"] == pytest.approx(a["loss"], abs=1e-3), a["step"]
