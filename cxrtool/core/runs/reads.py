"""Files that an input only names or holds, such as the images of a table: noticed when they change.

What a run is said to be made from (its inputs) is known before it starts. What a table points to,
and which files of a folder are read, is known once it has been read; like the dependency files of a
compiler, the list of those files and their hashes is kept beside the run and looked at again before
it is called up to date. Names are relative to the folder of the input, so that both may move
together. Very many files are hashed while the stage reads them, so that no one waits.
"""

import contextlib
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from cxrtool.core import files
from cxrtool.core.fingerprints import CACHE, InputRef, Known, StatCache

READS = f"{CACHE}/reads.tsv"  # role:name, bytes, time, sha256
_MISSING = Known(-1, 0, "missing")
_LABEL = "hashing the files that are read"
#: Hash of a file that was not hashed yet: its size and time must tell.
_PENDING = "pending"
#: Hash of a file that was changed while it was read, which no content has.
_CHANGED = "changed"

Entry = tuple[str, str, os.stat_result]


class Reads:
    """The list of one run.

    Args:
        folder: The run directory.
        resumed: The list of its beginning goes on; else it begins anew, and that of an earlier run
            only saves hashing again.
    """

    def __init__(self, folder: Path, *, resumed: bool) -> None:
        self._cache = StatCache(folder / READS)
        self._earlier = dict(self._cache.entries)
        if not resumed:
            self._cache.entries.clear()

    def note(self, refs: Sequence[InputRef], paths: Iterable[Path]) -> None:
        """Hash files now; those that are missing are noted as such.

        Args:
            refs: The inputs, of one role, that name or hold them.
            paths: The files, before they are read.
        """
        self._cache.sha256_of(self._present(refs, paths), verify=False, label=_LABEL)
        self._cache.save()

    @contextlib.contextmanager
    def noting(self, refs: Sequence[InputRef], paths: Iterable[Path]) -> Iterator[None]:
        """Hash files while the block reads them, in their order.

        Until then their sizes and times stand in the list: a run that is killed can be resumed. A
        file that is changed meanwhile makes the run another one.
        """
        unread = []
        for name, path, stat in self._present(refs, paths):
            entry = self._cache.entries.get(name)
            if entry is None or not _as_before(entry, stat) or entry.sha256 == _PENDING:
                self._cache.entries[name] = Known(stat.st_size, stat.st_mtime_ns, _PENDING)
                unread.append((name, path, stat))
        self._cache.save()
        stop = threading.Event()
        thread = threading.Thread(target=self._hash, args=(unread, stop), daemon=True)
        thread.start()
        try:
            yield
        except BaseException:
            stop.set()
            raise
        finally:
            thread.join()
            self._cache.save()

    def _hash(self, unread: Sequence[Entry], stop: threading.Event) -> None:
        for name, path, stat in unread:
            if stop.is_set():
                return
            with contextlib.suppress(OSError):  # the stage says so where it reads the file
                sha256 = files.sha256_file(path)
                known = Known(stat.st_size, stat.st_mtime_ns, sha256)
                if not _as_before(known, os.stat(path)):
                    known = Known(stat.st_size, stat.st_mtime_ns, _CHANGED)
                self._cache.entries[name] = known

    def _present(self, refs: Sequence[InputRef], paths: Iterable[Path]) -> list[Entry]:
        bases = _bases(refs)
        present = []
        for path in dict.fromkeys(os.path.abspath(path) for path in paths):
            inside = [key for key, base in bases.items() if path.startswith(base + os.sep)]
            key = (inside or list(bases))[0]
            name = f"{key}:{os.path.relpath(path, bases[key])}"
            try:
                present.append((name, path, os.stat(path)))
            except OSError:
                self._cache.entries[name] = _MISSING
                continue
            if name in self._earlier:
                self._cache.entries.setdefault(name, self._earlier[name])
        return present


def _as_before(entry: Known, stat: os.stat_result) -> bool:
    return (entry.size, entry.mtime_ns) == (stat.st_size, stat.st_mtime_ns)


def _bases(refs: Iterable[InputRef]) -> dict[str, str]:
    """Role (with a number where there are several) -> the folder that names are relative to."""
    bases: dict[str, str] = {}
    counts: dict[str, int] = {}
    for ref in refs:
        number = counts[ref.role] = counts.get(ref.role, 0) + 1
        path = os.path.abspath(ref.path)
        key = ref.role if number == 1 else f"{ref.role}#{number}"
        bases[key] = path if os.path.isdir(path) else os.path.dirname(path)
    return bases


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
    bases = _bases(inputs)
    suspects: list[Entry] = []
    for name, size, time, sha256 in cache.lines():
        role, _, relative = name.partition(":")
        path = f"{bases.get(role, '')}/{relative}"
        if relative.startswith(".."):
            path = os.path.normpath(path)
        try:
            stat = os.stat(path)
        except OSError:
            if sha256 != _MISSING.sha256:
                return f"{path}, which it read, is missing"
            continue
        as_before = (size, time) == (str(stat.st_size), str(stat.st_mtime_ns))
        if as_before and sha256 != _CHANGED and (sha256 == _PENDING or not verify):
            continue
        if sha256 == _MISSING.sha256:
            return f"{path}, which was missing, is there now"
        if sha256 == _CHANGED:
            return f"{path} was changed while it was read"
        if size != str(stat.st_size) or sha256 == _PENDING:
            return f"{path}, which it read, was changed"
        suspects.append((name, path, stat))
    if not suspects:
        return None
    before = {name: cache.entries[name].sha256 for name, _, _ in suspects}
    for name, sha256 in cache.sha256_of(suspects, verify=verify, label=_LABEL).items():
        if sha256 != before[name]:
            return f"{name.partition(':')[2]}, which it read, was changed"
    if cache.changed:
        cache.save()
    return None
