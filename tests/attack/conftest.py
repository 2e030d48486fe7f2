"""Small finished runs to attack, each made once, when a test first asks for it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.attack.attempt import cxr

_LAST = "--threads 1 --device cpu"
COMMANDS = {
    "raw": "prepare --format phantom --n 64 --size 16 --workers 1 --seed 3",
    "data": "extract-reports raw --workers 1",
    "gan": "train-gan data --preset tiny --size 16 --batch 8 --kimg 0.008"
    f" --checkpoint last {_LAST}",
    "clip": f"finetune-clip data --text rules --model tiny --steps 2 --batch 16 {_LAST}",
    "cls": f"train-cls data --arch small_cnn --steps 4 --batch 16 --eval-every 4 {_LAST}",
    "synth": f"synthesize data --gan gan --counts Edema=4 {_LAST}",
}
NEEDS = {
    "data": ("raw",), "gan": ("data",), "clip": ("data",), "cls": ("data",),
    "synth": ("data", "gan"),
}  # fmt: skip


class Runs:
    """Finished runs side by side in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, name: str) -> Path:
        """The folder of a run, which is not to be changed."""
        out = self.folder / name
        if not (out / "result.json").exists():
            for other in NEEDS.get(name, ()):
                self(other)
            ending = cxr(*COMMANDS[name].split(), "-q", "-o", name, folder=self.folder)
            assert ending.code == 0, ending.err
        return out


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def copy_of(runs: Runs, tmp_path: Path) -> Callable[[str], Path]:
    """A copy of a run that may be changed, of the same name in `tmp_path`."""

    def copy(name: str) -> Path:
        return Path(shutil.copytree(runs(name), tmp_path / name))

    return copy
