"""`cxr synthesize` as a user runs it: real label table, a trained network, kills."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from cxrtool import cli
from cxrtool.core.config.values import resolve
from cxrtool.core.runs.execution import execute
from cxrtool.synthesis.writer import slot_image

merge = cli.stages()["merge"]
replay = cli.stages()["replay"]
synthesize = cli.stages()["synthesize"]

CXR = [sys.executable, "-m", "cxrtool"]
RECORDS = {"run.json", "result.json", "metrics.jsonl", "log.txt", "progress.json"}


def cxr(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*CXR, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == code, done.stderr
    return done


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and path.name not in RECORDS
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    }


@pytest.fixture(scope="module")
def label_table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CheXpert's label table as a dataset directory."""
    spec = find_spec("torchxrayvision")
    if spec is None or spec.origin is None:
        pytest.skip("the label table is in the wheel of torchxrayvision (extra xrv)")
    source = Path(spec.origin).parent / "data" / "chexpert_train.csv.gz"
    folder = tmp_path_factory.mktemp("chexpert")
    cxr("prepare", source, "--format", "chexpert", "--labels-only", "-q", "-o", folder / "D")
    return folder / "D"


@pytest.mark.parametrize(
    ("view", "n_real", "optimum"), [("all", 223414, 109651.0), ("frontal", 191027, 98270.4)]
)
def test_the_real_label_table(
    label_table: Path, tmp_path: Path, view: str, n_real: int, optimum: float
) -> None:
    """Published counts of the program, from the table itself."""
    done = cxr(
        *("synthesize", label_table, "--target-frac", "0.15", "--view", view, "--plan-only"),
        *("--classes", "Lung Lesion,Pleural Other,Fracture", "--json", "-o", tmp_path / "P"),
    )
    plan = json.loads(done.stdout)
    assert plan["n_real"] == n_real
    assert abs(plan["lp_optimum"] - optimum) <= 0.05
    assert abs(plan["gap"]) < 0.01
    assert plan["n_synthetic"] == sum(t["drawn"] for t in plan["targets"].values())
    assert all(t["share_after"] >= 0.15 > t["share_before"] for t in plan["targets"].values())
    assert len(plan["drift"]) == 11
    assert "gap" in done.stderr
    assert "Pleural Other" in done.stderr


def test_errors_have_their_codes(label_table: Path, tmp_path: Path) -> None:
    cases = (
        (("--target-frac", "1"), 2, "not between 0 and 1"),
        (("--target-frac", "0.15", "--classes", "Fractur"), 3, "did you mean 'Fracture'?"),
        (
            ("--target-frac", "0.4", "--classes", "Lung Lesion,Pleural Other,Fracture"),
            3,
            "highest feasible share is 0.371",
        ),
    )
    for i, (arguments, code, message) in enumerate(cases):
        out = tmp_path / f"o{i}"
        done = cxr("synthesize", label_table, *arguments, "--plan-only", "-o", out, code=code)
        assert message in done.stderr
        assert done.stdout == ""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Phantoms and a generator that has seen a few of them."""
    folder = tmp_path_factory.mktemp("chain")
    data, gan = folder / "data", folder / "gan"
    cxr("prepare", "--format", "phantom", "--n", 60, "--size", 16, "-q", "-o", data)
    cxr(
        *("train-gan", data, "--size", 16, "--preset", "tiny", "--batch", 8, "--kimg", 0.064),
        *("--threads", 1, "--device", "cpu", "-q", "-o", gan),
    )
    return data, gan


def in_process(out: Path, **options: Any) -> Path:
    config = resolve(synthesize.Config, {"device": "cpu", "threads": 1, **options})
    return execute(synthesize, config, out).folder


def test_a_killed_run_converges_to_the_same_bytes(
    trained: tuple[Path, Path], tmp_path: Path
) -> None:
    data, gan = trained
    options = {"data": data, "gan": gan, "counts": "Edema=400", "block": 16}
    whole = in_process(tmp_path / "whole", **options)
    command = [
        *CXR,
        *("synthesize", str(data), "--gan", str(gan), "--counts", "Edema=400", "--device", "cpu"),
        *("--block", "16"),
        *("--threads", "1", "--workers", "2", "-o", str(tmp_path / "killed")),
    ]
    kills = 0
    for slot in (20, 150):
        sign = tmp_path / "killed" / slot_image(slot)
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 240
        while not sign.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)
        process.kill()
        kills += process.wait() == -signal.SIGKILL
    assert kills > 0, "it ended before it could be killed"
    left = {
        path: path.stat().st_mtime_ns for path in (tmp_path / "killed").glob("images/*/[0-9]*.png")
    }
    done = cxr(*command[3:])
    assert done.stdout.strip() == str(tmp_path / "killed")
    assert content(tmp_path / "killed") == content(whole)
    made_again = sum(path.stat().st_mtime_ns != stamp for path, stamp in left.items())
    assert made_again <= 2 * 16  # of the blocks that two threads were writing, no complete ones


def test_shards_and_replay_with_a_trained_network(
    trained: tuple[Path, Path], tmp_path: Path
) -> None:
    data, gan = trained
    options = {"data": data, "gan": gan, "counts": "Edema=45,Pneumonia=20"}
    whole = in_process(tmp_path / "whole", **options)
    shards = tuple(in_process(tmp_path / f"s{i}", shard=f"{i}/3", **options) for i in range(1, 4))
    merged = execute(merge, resolve(merge.Config, {"shards": shards}), tmp_path / "merged").folder
    expected, got = content(whole), content(merged)
    assert {k: v for k, v in expected.items() if not k.startswith("samples/")} == {
        k: v for k, v in got.items() if not k.startswith("samples/")
    }
    assert (merged / "files.tsv").read_text().count("\n") == 65
    values = {"synth": whole / "manifest.csv", "gan": gan, "only": ("3", "18"), "threads": 1}
    replayed = execute(replay, resolve(replay.Config, values), tmp_path / "replay").folder
    for slot in (3, 18):
        name = f"images/00000/{slot:08d}.png"
        assert (replayed / name).read_bytes() == (whole / name).read_bytes()
