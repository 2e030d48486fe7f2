"""Fixtures that every test may use."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from cxrtool.core import console

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def _talk_as_usual() -> Iterator[None]:
    """A command that a test ran in this process with ``-q`` silences no other test."""
    yield
    console.configure(console.NORMAL)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real images and reference labels beside the repository, if it is there."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the development data folder ../shared/data is not beside this checkout")
    return folder


@pytest.fixture
def entry_points(tmp_path: Path) -> dict[str, str]:
    """An environment with the entry points of pyproject.toml, however the package is installed."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    info = tmp_path / "site" / "cxrtool-0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: cxrtool\nVersion: 0\n", "utf-8")
    lines = []
    for group, points in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {where}" for name, where in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")
    path = os.pathsep.join(map(str, (info.parent, REPOSITORY)))
    return {**os.environ, "PYTHONPATH": path}
