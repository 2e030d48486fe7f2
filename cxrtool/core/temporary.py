"""Folders for temporary files, which do not outlive what made them.

A process that is killed cannot tidy up. Each folder holds a file that is locked as long as its
process lives, however that ends, and whoever makes the next folder beside it removes those whose
lock is free. Other folders are never touched, whatever they are called.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

PREFIX = "cxr-"
LOCK = ".cxr-in-use"


def make(root: str | None = None, kind: str = "") -> tuple[str, int]:
    """A new folder of this user alone; its name, and the lock, which ends with the process.

    Args:
        root: Where; None for the system's folder for temporary files.
        kind: What it is for, a part of its name.

    Raises:
        OSError: There is no such place, or it cannot be written.
    """
    import fcntl

    root = root or tempfile.gettempdir()
    _sweep(root)
    folder = tempfile.mkdtemp(prefix=PREFIX + kind, dir=root)
    lock = os.path.join(folder, LOCK)
    handle = os.open(lock + "~", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(handle, fcntl.LOCK_EX)
    os.rename(lock + "~", lock)  # locked from the moment on which it is seen
    return folder, handle


@contextlib.contextmanager
def folder(kind: str) -> Iterator[Path]:
    """A folder while the block runs."""
    name, handle = make(kind=f"{kind}-")
    try:
        yield Path(name)
    finally:
        shutil.rmtree(name, ignore_errors=True)
        os.close(handle)


def _sweep(root: str) -> None:
    """Remove what processes that were killed have left."""
    import fcntl

    with contextlib.suppress(OSError), os.scandir(root) as entries:
        for entry in entries:
            if not entry.name.startswith(PREFIX) or not entry.is_dir(follow_symlinks=False):
                continue
            with contextlib.suppress(OSError):  # no lock: none of ours; or it is held
                handle = os.open(os.path.join(entry.path, LOCK), os.O_RDWR | os.O_NOFOLLOW)
                try:
                    if os.fstat(handle).st_uid == os.getuid():
                        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        shutil.rmtree(entry.path, ignore_errors=True)
                finally:
                    os.close(handle)
