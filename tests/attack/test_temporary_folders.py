"""Folders for temporary files: gone with their process, however that ends; no one else's is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cxrtool.core import temporary
from tests.conftest import REPOSITORY


def killed(root: Path) -> Path:
    """A folder whose process was killed, and all of its group."""
    code = "import os, sys; from cxrtool.core import temporary\n"
    code += "print(temporary.make(sys.argv[1])[0], flush=True); os.kill(0, 9)"
    words = [sys.executable, "-c", code, str(root)]
    done = subprocess.run(words, capture_output=True, text=True, start_new_session=True)
    assert done.returncode == -9
    return Path(done.stdout.strip())


def test_the_next_one_removes_what_a_kill_has_left(tmp_path: Path) -> None:
    left = killed(tmp_path)
    assert left.is_dir()
    alive, lock = temporary.make(str(tmp_path))
    assert not left.exists()
    second, other = temporary.make(str(tmp_path))
    assert sorted(map(str, tmp_path.iterdir())) == sorted([alive, second])
    for handle in (lock, other):
        os.close(handle)
    temporary.make(str(tmp_path))
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("kind", ["folder", "file", "link", "with files", "lock is a link"])
def test_what_is_called_like_it_stays(kind: str, tmp_path: Path) -> None:
    root, mine = tmp_path / "tmp", tmp_path / "mine"
    root.mkdir()
    mine.mkdir()
    path = root / f"{temporary.PREFIX}mine"
    if kind == "file":
        path.touch()
    elif kind == "link":
        (mine / temporary.LOCK).touch()
        path.symlink_to(mine)
    else:
        path.mkdir()
    if kind == "with files":
        (path / "manifest.csv").touch()
    if kind == "lock is a link":
        (mine / "lock").touch()
        (path / temporary.LOCK).symlink_to(mine / "lock")
    temporary.make(str(root))
    assert path.exists()
    assert mine.exists()


def test_a_folder_is_this_users_alone_and_goes_with_its_block() -> None:
    with temporary.folder("test") as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "file").touch()
    assert not folder.exists()


def test_there_is_no_other_place_that_makes_them() -> None:
    """Files without a name need no tidying; all else goes through `temporary`."""
    for path in (REPOSITORY / "cxrtool").rglob("*.py"):
        if path.name != "temporary.py":
            code = path.read_text("utf-8")
            assert not re.findall(r"mkdtemp|mkstemp|NamedTemporary|TemporaryDirectory|mktemp", code)
