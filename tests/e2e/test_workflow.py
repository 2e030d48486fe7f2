"""The Snakemake workflow: what it would run, killed half way and run again, changed options."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY

pytest.importorskip("snakemake", reason="the extra `workflow` is not installed")
FOLDER = REPOSITORY / "examples" / "workflow"
STUDY: dict[str, Any] = {
    "source": "",
    "prepare": "--format phantom --n 100 --size 16",
    "folds": 0,
    "regimens": [1.0],
    "seeds": [0],
    "arms": {"none": "--arm none", "gan": "--arm gan"},
    "gan": "--arch acgan --size 16 --kimg 0.1",
    "synthesize": '--target-frac 0.15 --classes "Edema,Consolidation,Pneumothorax"',
    "classifier": "--arch small_cnn --steps 10",
    "grid": {"lr": [0.001, 0.005], "batch": [16], "optimizer": ["adam"]},
    "images": False,
    "report": "--bootstrap 100 --strict-regimen",
    "run": "--device cpu -q",
    "threads": 1,
    "resources": {"mem_mb": 1000},
}


def command(configuration: Path, work: Path, *words: str) -> list[str]:
    """Snakemake with this interpreter."""
    return [
        *(sys.executable, "-m", "snakemake", "--snakefile", str(FOLDER / "Snakefile")),
        *("--configfile", str(configuration), "--directory", str(work), *words),
    ]


def environment(home: Path) -> dict[str, str]:
    """With this interpreter's ``cxr``."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {"HOME": str(home), "PATH": path, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}


def snakemake(configuration: Path, work: Path, *words: str) -> tuple[int, str]:
    """Exit code, and all that it said."""
    done = subprocess.run(
        command(configuration, work, *words),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
        env=environment(work.parent),
    )
    return done.returncode, done.stdout


def jobs(said: str) -> dict[str, int]:
    """Rule -> jobs of it that are planned."""
    table = said.split("Job stats:")[1].split("total")[0]
    return {rule: int(n) for rule, n in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)}


def made(work: Path) -> dict[str, int]:
    """When each finished run was finished."""
    found = work.glob("*/result.json")
    return {path.parent.name: path.stat().st_mtime_ns for path in found}


def test_what_would_be_run(tmp_path: Path) -> None:
    code, said = snakemake(FOLDER / "config.yaml", tmp_path / "b", "-n", "--cores", "2")
    assert code == 0, said
    one = {"all": 1, "prepare": 1, "images": 1, "report": 1}
    a_regimen = {"choice": 2, "generator": 2, "synthetic": 2, "grid_point": 4}
    assert jobs(said) == {**one, **a_regimen, "classifier": 2 * 5 * 5}
    assert not made(tmp_path / "b")


def test_what_would_be_run_in_folds(tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    with table.open("w", newline="") as stream:
        csv.writer(stream).writerows([["path", "patient_id", "Mass"], ["1.png", "1", "0"]])
    study = FOLDER / "did_it_help.yaml"
    words = ("-n", "--cores", "2", "--config", f"source={table}")
    code, said = snakemake(study, tmp_path / "a", *words)
    assert code == 0, said
    one = {"all": 1, "folds": 1, "prepare_fold": 5, "images": 1, "report": 1}
    a_cell = {"choice": 15, "generator": 15, "synthetic": 15}
    assert jobs(said) == {**one, **a_cell, "classifier": 15 * 5 * 5}

    code, said = snakemake(study, tmp_path / "a", "-n", "--cores", "2")
    assert code != 0
    assert "folds need a table as source" in said


def test_what_would_be_run_of_a_folder_of_images(tmp_path: Path) -> None:
    words = ("-n", "--cores", "2", "--config", f"source={tmp_path}")
    code, said = snakemake(FOLDER / "cross_modality.yaml", tmp_path / "a", *words)
    assert code == 0, said
    one = dict.fromkeys(
        ("all", "prepare", "choice", "generator", "synthetic", "images", "report"), 1
    )
    assert jobs(said) == {**one, "classifier": 3 * 5}


def contents(work: Path) -> dict[Path, bytes]:
    """All results: Snakemake puts one back with a new time where a rerun of it was refused."""
    return {path: path.read_bytes() for path in work.glob("*/result.json")}


def stopped(configuration: Path, work: Path, runs: int, number: signal.Signals) -> None:
    """Start it, and stop it once so many runs are finished and the next one has begun."""
    words = command(configuration, work, "--cores", "1", "--executor", "local")
    process = subprocess.Popen(
        words,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(work.parent),
        start_new_session=True,
    )
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline and process.poll() is None:
        if len(made(work)) >= runs and len(list(work.glob("*/run.json"))) > runs:
            break
        time.sleep(0.05)
    assert process.poll() is None, "it ended before it could be stopped"
    os.killpg(process.pid, number)
    assert process.wait(timeout=120) != 0


@pytest.mark.slow
def test_goes_on_where_it_was_killed(tmp_path: Path) -> None:
    work, study = tmp_path / "work", tmp_path / "study.json"
    study.write_text(json.dumps(STUDY))
    words = ("--cores", "1", "--executor", "local")
    stopped(study, work, 2, signal.SIGKILL)
    first = made(work)
    assert first
    stopped(study, work, len(first) + 2, signal.SIGTERM)
    second = made(work)
    assert first.items() <= second.items()
    assert len(second) > len(first)

    code, said = snakemake(study, work, *words)
    assert code == 0, said
    whole = made(work)
    assert second.items() <= whole.items()
    grid = {"f1.0-grid-0.001-16-adam", "f1.0-grid-0.005-16-adam"}
    arms = {"f1.0-none-0", "f1.0-gan-0"}
    assert whole.keys() == {"data", "f1.0-gan", "f1.0-synth", "report"} | grid | arms
    rest = sum(n for rule, n in jobs(said).items() if rule not in ("all", "choice"))
    assert rest == len(whole) - len(second)
    assert "Nothing to be done" in snakemake(study, work, *words)[1]

    # Other options: refused by cxr, and nothing that is finished is lost.
    before = contents(work)
    study.write_text(json.dumps({**STUDY, "gan": "--arch acgan --size 16 --kimg 0.2"}))
    code, said = snakemake(study, work, *words)
    assert code != 0
    assert "kimg" in said
    assert contents(work) == before
    study.write_text(json.dumps(STUDY))
    code, said = snakemake(study, work, *words)
    assert code == 0, said
    assert contents(work) == before
    assert "Nothing to be done" in snakemake(study, work, *words)[1]
