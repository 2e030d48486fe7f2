"""One process a run directory: an OS lock, which a killed process does not leave behind.

Where a file system has no locks that is said, and the work goes on. On NFS they may be there and
hold on one machine alone; the holder's name, which `BusyError` tells, says which.
"""

import contextlib
import errno
import json
import os
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from cxrtool.core import console, files
from cxrtool.core.errors import BusyError, InputError
from cxrtool.core.reading import read_json
from cxrtool.core.runs import LOG

#: What a file system without locks answers.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
LOCK, HOLDER = ".lock", ".holder.json"


@contextlib.contextmanager
def hold(out: Path) -> Iterator[None]:
    """Hold the folder's OS lock, or say who does.

    A folder that is made for it goes away again where the block fails and leaves nothing but a log.
    """
    made = [folder for folder in (out, *out.parents) if not os.path.lexists(folder)]
    try:
        with _held(out):
            try:
                yield
            except BaseException:
                if made and {name for name in os.listdir(out) if name[0] != "."} <= {LOG}:
                    shutil.rmtree(out, ignore_errors=True)
                raise
    except BaseException:
        for folder in made:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise


@contextlib.contextmanager
def _held(out: Path) -> Iterator[None]:
    import filelock

    out.mkdir(parents=True, exist_ok=True)
    # Not zero: who looks whether the folder is locked holds it, too, for a moment.
    lock = filelock.FileLock(out / LOCK, timeout=0.3)
    try:
        lock.acquire()
        if not (out / LOCK).exists():  # who held it has failed and taken the folder away
            lock.release()
            out.mkdir(parents=True, exist_ok=True)
            lock.acquire()
    except filelock.Timeout:
        raise BusyError(
            f"{out} is held by {_holder(out)}", hint="wait for it; `cxr status` shows how far it is"
        ) from None
    except (NotImplementedError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in _NO_LOCKS:
            raise
        console.warn(
            f"the file system of {out} has no locks: give no second command for this folder until"
            " this one has ended"
        )
    holder = {"pid": os.getpid(), "host": socket.gethostname()}
    try:
        files.write_bytes(out / HOLDER, json.dumps(holder).encode(), durable=False)
        yield
    finally:
        with contextlib.suppress(OSError):
            (out / HOLDER).unlink()
        lock.release()


def _holder(out: Path, patience: float = 2.0) -> str:
    """Who holds the folder, in words; the name is written just after the lock is taken."""
    end = time.monotonic() + patience
    while True:
        try:
            holder = read_json(out / HOLDER)
            return f"process {holder['pid']} on {holder['host']}"
        except (InputError, KeyError):
            if time.monotonic() >= end:
                return "another process"
            time.sleep(0.05)


def is_locked(folder: Path) -> bool:
    """Whether some process works in the folder now. Writes nothing."""
    import fcntl

    try:
        handle = os.open(folder / LOCK, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False
