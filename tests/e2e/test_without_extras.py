"""What a bare install has: the whole chain without any package of an extra."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.conftest import REPOSITORY

#: Names under which packages of the extras are imported, where they are others.
MODULES = {"python-gdcm": "gdcm", "protobuf": "google.protobuf", "torch-fidelity": "torch_fidelity"}
BLOCKED = """
import sys
names = set(sys.argv.pop(1).split(","))
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name in names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
from cxrtool.__main__ import main
sys.exit(main())
"""
CHAIN = [
    "prepare --format phantom --n 60 --size 16 --seed 3 --workers 1 -o raw",
    "prepare again.csv --format table --images raw/images --size 16 --workers 1 -o again",
    "extract-reports raw --workers 1 -o data",
    "train-gan data --arch flow --preset tiny --kimg 0.016 --batch 8 -o gan",
    "finetune-clip data --model tiny --steps 2 --batch 16 --select-by last -o clip",
    "edit gan --target edema --judge clip --n 2 -o edits",
    "synthesize data --gan gan --counts Edema=2 -o synth",
    "train-cls data --arch small_cnn --steps 2 --batch 8 --eval-every 2 -o none",
    "train-cls data synth --arch small_cnn --steps 2 --batch 8 --eval-every 2 -o more",
    "evaluate classifiers none more --data data --bootstrap 100 -o report",
    "predict none raw/images -o said",
    "status raw data gan clip edits synth none more report said",
]


def extras() -> set[str]:
    """Modules of packages that an extra alone installs."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = project["optional-dependencies"]
    packages = {
        p for extra, listed in named.items() if extra not in ("test", "docs") for p in listed
    }
    names = {re.split(r"[<>=\[]", package)[0] for package in packages}
    # open_clip itself needs timm.
    return {MODULES.get(name, name.replace("-", "_")) for name in names - {"timm"}}


def test_the_chain_needs_no_extra(tmp_path: Path) -> None:
    blocked = extras()
    assert {"pyarrow", "pydicom", "transformers", "snakemake"} <= blocked
    for line in CHAIN:
        if line.startswith("prepare again.csv"):
            table = (tmp_path / "raw" / "manifest.csv").read_text(encoding="utf-8")
            (tmp_path / "again.csv").write_text(table.replace("images/", ""), encoding="utf-8")
        command = [sys.executable, "-c", BLOCKED, ",".join(sorted(blocked)), *line.split(), "-q"]
        ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert ended.returncode == 0, f"{line}: {ended.stderr}"
