"""Every command of the README is run, as it stands there, on a small folder of radiographs.

What a reader would wait for (kimg, steps) is made short by a ``--config`` that the test adds.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import REPOSITORY
from tests.e2e import preloaded
from tests.e2e.chain import run

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
SMALL = """
[prepare]
split_by = "0.6,0.15,0.25"
[train-gan]
preset = "tiny"
batch = 8
kimg = 0.1
[finetune-clip]
model = "tiny"
steps = 8
batch = 16
[train-cls]
arch = "small_cnn"
steps = 6
batch = 16
[evaluate.classifiers]
bootstrap = 100
[evaluate.images]
splits = 2
subsets = 5
"""


def commands() -> list[str]:
    """The lines of the README's bash blocks."""
    blocks = re.findall(r"^```bash\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the README assumes: radiographs/labels.csv, reports.csv, expert.csv."""
    folder = tmp_path_factory.mktemp("readme")
    raw = tmp_path_factory.mktemp("phantoms") / "raw"
    words = "prepare --format phantom --n 150 --size 16 --seed 3 --workers 2 -q -o"
    assert run(*words.split(), raw).returncode == 0
    table = pd.read_csv(raw / "manifest.csv", dtype=str, keep_default_na=False)
    shutil.copytree(raw / "images", folder / "radiographs" / "images")
    kept = ["image", "patient_id", "study_id", "view", "report"]
    table[kept].rename(columns={"image": "path"}).to_csv(
        folder / "radiographs" / "labels.csv", index=False
    )
    studies = table.drop_duplicates("study_id")
    studies[["study_id", "report"]].to_csv(folder / "reports.csv", index=False)
    studies[["study_id", "Cardiomegaly", "Edema"]].to_csv(folder / "expert.csv", index=False)
    (folder / "small.toml").write_text(SMALL)
    return folder


@pytest.fixture(scope="module")
def quick() -> Iterator[Path]:
    """A folder with a ``cxr`` that has imported torch already."""
    with preloaded.command() as folder:
        yield folder


def test_every_command_runs(folder: Path, quick: Path) -> None:
    lines = commands()
    assert len(lines) > 15
    path = f"{quick}:{Path(sys.executable).parent}:/usr/bin:/bin"
    for line in lines:
        short = re.sub(r"cxr (evaluate )?([a-z-]+)", add_config, line)
        short = short.replace("--size 64", "--size 16")
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", short.replace("| head -3", "| sed -n 1,3p")],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=300,
            env={"PATH": path, "HOME": str(folder), "OMP_NUM_THREADS": "1"},
        )
        assert done.returncode == 0, f"{line}\n{done.stderr}"
    assert (folder / "report" / "report.html").exists()


def add_config(found: re.Match[str]) -> str:
    """``cxr train-gan`` -> ``cxr train-gan --config small.toml`` where the command takes it."""
    return found[0] if found[2] == "status" else f"{found[0]} --config small.toml"


def test_real_and_synthetic_images_have_one_size() -> None:
    from cxrtool.generators.choices import choose_size

    (prepare,) = (line for line in commands() if line.startswith("cxr prepare "))
    size = int(prepare.partition("--size ")[2].split()[0])
    assert not any("--size" in line for line in commands() if line != prepare)
    assert {choose_size(None, size, "data", device) for device in ("cpu", "cuda")} == {size}


def test_the_table_names_every_command() -> None:
    from cxrtool import cli

    for words in cli.COMMANDS:
        assert f"| `cxr {' '.join(words)} " in README


def test_python_example() -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
