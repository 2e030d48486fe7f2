"""Files that an input only names, such as the images of a table: noticed when they change.

What a run is said to be made from (its inputs) is known before it starts. What a table points to is
known once it has been read; like the dependency files of a compiler, the list of those files and
their hashes is kept beside the run and looked at again before it is called up to date. Names are
relative to the folder of the input, so that both may move together.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from cxrtool.core.fingerprints import CACHE, InputRef, Known, StatCache

READS = f"{CACHE}/reads.tsv"  # role:name, bytes, time, sha256
_MISSING = Known(-1, 0, "missing")
_LABEL = "hashing the files that the table names"


def record(folder: Path, ref: InputRef, paths: Iterable[Path]) -> None:
    """Hash files and keep the list; those that are missing are noted as such.

    Args:
        folder: The run directory.
        ref: The input, a file, that names them.
        paths: The files, before they are read.
    """
    cache = StatCache(folder / READS)
    base = ref.path.absolute().parent
    present = []
    for path in sorted({str(path.absolute()) for path in paths}):
        name = f"{ref.role}:{os.path.relpath(path, base)}"
        try:
            present.append((name, path, os.stat(path)))
        except OSError:
            cache.entries[name] = _MISSING
    cache.sha256_of(present, verify=False, label=_LABEL)
    cache.save()


def changed(folder: Path, inputs: Iterable[InputRef], *, verify: bool = False) -> str | None:
    """Say which of the files has other content than when the run read it, or None.

    Args:
        folder: The run directory.
        inputs: The inputs where they lie now.
        verify: Read every file whatever its size and time say.
    """
    if not (folder / READS).exists():
        return None
    cache = StatCache(folder / READS)
    bases = {ref.role: str(ref.path.absolute().parent) for ref in inputs}
    before, now = dict(cache.entries), []
    for name, entry in before.items():
        role, _, relative = name.partition(":")
        path = os.path.normpath(os.path.join(bases.get(role, ""), relative))
        try:
            stat = os.stat(path)
        except OSError:
            if entry != _MISSING:
                return f"{path}, which it read, is missing"
            continue
        if entry == _MISSING:
            return f"{path}, which was missing, is there now"
        if stat.st_size != entry.size:
            return f"{path}, which it read, was changed"
        now.append((name, path, stat))
    for name, sha256 in cache.sha256_of(now, verify=verify, label=_LABEL).items():
        if sha256 != before[name].sha256:
            return f"{name.partition(':')[2]}, which it read, was changed"
    if cache.changed:
        cache.save()
    return None
