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
    "generators": {"acgan": "--arch acgan --size 16 --kimg 0.1"},
    "sets": {
        "trio": {
            "generator": "acgan",
            "options": '--target-frac 0.15 --classes "Edema,Consolidation,Pneumothorax"',
        }
    },
    "arms": {"none": "--arm none", "gan": {"set": "trio", "options": "--arm gan"}},
    "classifier": "--arch small_cnn --steps 10",
    "grid": {"lr": [0.001, 0.005], "batch": [16], "optimizer": ["adam"]},
    "reports": {"report": "--bootstrap 100 --strict-regimen"},
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


ONE_OF_EACH = {"all": 1, "prepare": 1, "choice": 1, "generator": 1, "synthetic": 1, "report": 1}
PLANS = {
    "config": {
        "all": 1,
        "prepare": 1,
        "images": 1,
        "report": 1,
        "tables": 1,
        "choice": 2,
        "generator": 2 * 5,
        "synthetic": 2 * 5,
        "grid_point": 4,
        "classifier": 2 * 5 * 5,
    },
    "did_it_help": {
        "all": 1,
        "folds": 1,
        "prepare": 5,
        "images": 1,
        "report": 1,
        "choice": 15,
        "generator": 15 * 5,
        "synthetic": 15 * 5,
        "classifier": 15 * 6 * 5,
    },
    "cross_modality": {**ONE_OF_EACH, "images": 1, "tables": 1, "classifier": 3 * 5},
    "medmnist": {**ONE_OF_EACH, "clip": 1, "edit": 1, "images": 1, "classifier": 4 * 5},
    "bagan_opengan": {
        **ONE_OF_EACH,
        "generator": 2,
        "synthetic": 4,
        "classifier": 6 * 5,
        "single_label": 1,
        "prepare_single": 1,
        "tables": 1,
    },
    "tb_smgan": {
        **ONE_OF_EACH,
        "clip": 7,
        "edit": 14,
        "synthetic": 19,
        "classifier": 40 * 5,
        "extract_reports": 1,
        "report": 2,
        "tables": 1,
    },
}


def test_every_study_has_a_plan() -> None:
    assert {path.stem for path in FOLDER.glob("*.yaml")} == PLANS.keys()


@pytest.mark.parametrize("study", PLANS)
def test_what_would_be_run(study: str, tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    with table.open("w", newline="") as stream:
        csv.writer(stream).writerows([["path", "patient_id", "Mass"], ["1.png", "1", "0"]])
    words = () if study == "config" else ("--config", f"source={table}")
    configuration = FOLDER / f"{study}.yaml"
    code, said = snakemake(configuration, tmp_path / "a", "-n", "--cores", "2", *words)
    assert code == 0, said
    assert jobs(said) == PLANS[study]
    assert not made(tmp_path / "a")


def test_a_wrong_configuration(tmp_path: Path) -> None:
    code, said = snakemake(FOLDER / "did_it_help.yaml", tmp_path / "a", "-n", "--cores", "2")
    assert code != 0
    assert "folds need a table as source" in said


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
    images = {"f1.0-gan-acgan-0", "f1.0-synth-trio-0"}
    assert whole.keys() == {"data", "report"} | images | grid | arms
    rest = sum(n for rule, n in jobs(said).items() if rule not in ("all", "choice"))
    assert rest == len(whole) - len(second)
    assert "Nothing to be done" in snakemake(study, work, *words)[1]

    # Other options: refused by cxr, and nothing that is finished is lost.
    before = contents(work)
    other = {"generators": {"acgan": "--arch acgan --size 16 --kimg 0.2"}}
    study.write_text(json.dumps({**STUDY, **other}))
    code, said = snakemake(study, work, *words)
    assert code != 0
    assert "kimg" in said
    assert contents(work) == before
    study.write_text(json.dumps(STUDY))
    code, said = snakemake(study, work, *words)
    assert code == 0, said
    assert contents(work) == before
    assert "Nothing to be done" in snakemake(study, work, *words)[1]


STEERED: dict[str, Any] = {
    **STUDY,
    "prepare": "--format phantom --n 200 --size 16",
    "texts": "--texts rules,random",
    "one_generator": True,
    "generators": {"style": "--size 16 --kimg 0.1"},
    "clips": {
        name: f"--text {name} --model tiny --steps 4 --batch 16" for name in ("rules", "random")
    },
    "edits": {
        "{clip}+": {
            "generator": "style",
            "clip": "{clip}",
            "options": "--sign + --target edema --method global --n 16 --relevance-images 4",
        }
    },
    "sets": {
        "plain": {"generator": "style", "options": "--balance 8 --classes Edema,Consolidation"},
        "{edit}": {
            "generator": "style",
            "edits": ["{edit}"],
            "options": "--balance 8 --classes Edema,Consolidation",
        },
    },
    "arms": {"none": "--arm none", "with-{set}": {"set": "{set}", "options": "--arm gan"}},
    "grid": {"lr": [0.001], "batch": [16], "optimizer": ["adam"]},
    "images": "rules+",
    "reports": {"report": "--bootstrap 100", "edited": {"arms": ["none", "with-r*"]}},
    "tables": [
        "pr_auc_table.py edited none rules+ random+ --printed printed/tb_smgan.csv --title 2:"
    ],
}
SINGLE: dict[str, Any] = {
    **STUDY,
    "single_label": '--classes "No Finding,Edema,Pleural Effusion" --rule one-of-chosen',
    "prepare_single": "--size 16",
    "generators": {
        arch: f"--arch {arch} --size 16 --kimg 0.1 --pretrain-kimg 0.1"
        for arch in ("bagan", "opengan")
    },
    "sets": {arch: {"generator": arch, "options": "--balance 4"} for arch in ("bagan", "opengan")},
    "arms": {"none": "--arm none", "{set}": {"set": "{set}", "options": "--arm gan"}},
    "grid": {"lr": [0.001], "batch": [16], "optimizer": ["adam"]},
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("study", "runs", "sets"),
    [
        pytest.param(
            STEERED,
            {
                *("raw", "data", "images", "report", "edited", "f1.0-gan-style"),
                *("f1.0-clip-rules", "f1.0-clip-random", "f1.0-edit-rules+", "f1.0-edit-random+"),
                *("f1.0-none-0", "f1.0-with-plain-0", "f1.0-with-rules+-0", "f1.0-with-random+-0"),
            },
            {"f1.0-synth-plain", "f1.0-synth-rules+", "f1.0-synth-random+"},
            id="edits",
        ),
        pytest.param(
            SINGLE,
            {
                *("all", "data", "report", "f1.0-gan-bagan-0", "f1.0-gan-opengan-0"),
                *("f1.0-none-0", "f1.0-bagan-0", "f1.0-opengan-0"),
            },
            {"f1.0-synth-bagan-0", "f1.0-synth-opengan-0"},
            id="generators",
        ),
    ],
)
def test_edits_and_several_generators(
    study: dict[str, Any], runs: set[str], sets: set[str], tmp_path: Path
) -> None:
    work, configuration = tmp_path / "work", tmp_path / "study.json"
    configuration.write_text(json.dumps(study))
    words = ("--cores", "2", "--executor", "local")
    code, said = snakemake(configuration, work, *words)
    assert code == 0, said
    assert made(work).keys() == runs | sets
    page = (work / "report" / "report.md").read_text()
    names = {name.removeprefix("f1.0-synth-").removesuffix("-0") for name in sets}
    assert all(f"gan ({name})" in page for name in names)
    if study is STEERED:
        recorded = json.loads((work / "f1.0-synth-rules+" / "run.json").read_text())
        assert "f1.0-edit-rules+" in json.dumps(recorded)
        table = (work / "tables.md").read_text()
        assert "| rules+ |" in table
    assert "Nothing to be done" in snakemake(configuration, work, *words)[1]
