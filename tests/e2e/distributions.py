"""The sdist and the wheel, as a release has them, and an installation of the wheel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import REPOSITORY

BUILD = "import sys; from setuptools import build_meta as b; getattr(b, sys.argv[1])(sys.argv[2])"


def sources() -> list[str]:
    """The files of the repository: those that git knows, and new ones that it does not ignore."""
    words = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.splitlines() if (REPOSITORY / name).is_file()]


def build(kind: str, source: Path, out: Path) -> Path:
    """One distribution; nothing is downloaded."""
    words = [sys.executable, "-c", BUILD, f"build_{kind}", str(out)]
    done = subprocess.run(words, cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (file,) = (path for path in out.iterdir() if (path.suffix == ".whl") == (kind == "wheel"))
    return file


@dataclass(frozen=True)
class Distributions:
    """Both files, the wheel made from the sdist."""

    sdist: Path
    wheel: Path

    @classmethod
    def make(cls, folder: Path) -> Distributions:
        """Build them below a folder, from a copy: a build leaves files in its source."""
        for name in sources():
            (folder / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, folder / "copy" / name)
        (folder / "dist").mkdir()
        sdist = build("sdist", folder / "copy", folder / "dist")
        with tarfile.open(sdist) as archive:
            archive.extractall(folder / "unpacked", filter="data")
        (unpacked,) = (folder / "unpacked").iterdir()
        return cls(sdist, build("wheel", unpacked, folder / "dist"))

    def in_sdist(self) -> set[str]:
        """Its files, without its name."""
        with tarfile.open(self.sdist) as archive:
            return {m.name.partition("/")[2] for m in archive.getmembers() if m.isfile()}

    def in_wheel(self) -> set[str]:
        """Its files."""
        with zipfile.ZipFile(self.wheel) as archive:
            return set(archive.namelist())


@dataclass(frozen=True)
class Installed:
    """A wheel that was installed into a folder, without what it depends on."""

    site: Path

    @classmethod
    def of(cls, wheel: Path, site: Path) -> Installed:
        """Install it."""
        words = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
        subprocess.run([*words, "--target", str(site), str(wheel)], check=True)
        return cls(site)

    def cxr(self, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run its ``cxr``."""
        environment = {**os.environ, "PYTHONPATH": str(self.site)}
        command = [str(self.site / "bin" / "cxr"), *words]
        return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
