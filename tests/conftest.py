"""Fixtures that every test may use."""

from __future__ import annotations

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
