"""What an input is, by content: equal content gives an equal fingerprint wherever it lies.

A file is its SHA-256; a folder is the sorted list of its files and their SHA-256, or, where the
stage notes itself what it reads of it, their names and sizes; the output of another run is the
hashes that its ``result.json`` recorded. Hashes are not taken twice: as in git's
index, a file whose size and modification time are as they were keeps its recorded hash.
"""

import contextlib
import errno
import hashlib
import io
import os
import select
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxrtool.core import console, files
from cxrtool.core.config.records import input_paths, listed_roles, secret_roles
from cxrtool.core.errors import InputError
from cxrtool.core.progress import progress
from cxrtool.core.reading import is_text, open_file, read_bytes, read_json, require_file

INDEX = "files.tsv"  # path, bytes, sha256 of each file in a large tree of outputs
CACHE = ".cache"


@dataclass(frozen=True)
class InputRef:
    """An input of a run: where it lies and what it is."""

    role: str
    path: Path
    fingerprint: str


@dataclass(frozen=True)
class Known:
    """What was once read of a file."""

    size: int
    mtime_ns: int
    sha256: str


class StatCache:
    """Remembered hashes of files, valid while size and time stay the same.

    The file's first lines, marked ``#``, remember whole folders: the signature of the folder's
    names, sizes and times, and what was found when it was last read. A folder whose signature is
    as it was needs no look at its single files.

    Args:
        path: A TSV file (path, size, mtime_ns, sha256). Missing or damaged means empty.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.folders: dict[str, tuple[str, str]] = {}
        self.changed = False
        self._entries: dict[str, Known] | None = None
        self._text = bytearray()
        if path is not None:
            try:
                with io.TextIOWrapper(open_file(path), "utf-8") as stream:
                    while (line := stream.readline()).startswith("#"):
                        name, known, finding = line[1:].rstrip("\n").split("\t")
                        self.folders[name] = (known, finding)
                    self._text.extend((line + stream.read()).encode())
            except (OSError, ValueError):
                self.folders, self._text = {}, bytearray()

    @property
    def entries(self) -> dict[str, Known]:
        """What is remembered of single files."""
        if self._entries is None:
            try:
                lines = [line.split("\t") for line in self._text.decode().splitlines()]
                self._entries = {n: Known(int(b), int(t), sha256) for n, b, t, sha256 in lines}
            except ValueError:
                self._entries = {}
        return self._entries

    def lines(self) -> Iterator[list[str]]:
        """Name, size, time and hash of each file as they stand in the file, for a quick look."""
        lines = (line.split("\t") for line in self._text.decode().splitlines())
        return (cells for cells in lines if len(cells) == 4)

    def remember(self, name: str, signature: str, finding: str) -> None:
        """Remember what was found in a folder of this signature."""
        if self.folders.get(name) != (signature, finding):
            self.folders[name] = (signature, finding)
            self.changed = True

    def sha256_of(
        self, entries: Iterable[tuple[str, str, os.stat_result]], *, verify: bool, label: str
    ) -> dict[str, str]:
        """Hashes of files by name, read only where size or time differ.

        Args:
            entries: (name, path, stat) of each file.
            verify: Read every file whatever its time says.
            label: What to call the work if it is long.
        """
        hashes: dict[str, str] = {}
        unread: list[tuple[str, str, os.stat_result]] = []
        for name, path, stat in entries:
            entry = self.entries.get(name)
            as_before = entry and (entry.size, entry.mtime_ns) == (stat.st_size, stat.st_mtime_ns)
            if entry and as_before and not verify:
                hashes[name] = entry.sha256
            else:
                unread.append((name, path, stat))
        if unread:
            total = sum(stat.st_size for _, _, stat in unread) / 2**20
            with (
                ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool,
                progress(label, total=round(total, 1), unit="MiB") as bar,
            ):
                digests = pool.map(files.sha256_file, [path for _, path, _ in unread])
                for (name, _, stat), digest in zip(unread, digests, strict=True):
                    hashes[name] = digest
                    self.entries[name] = Known(stat.st_size, stat.st_mtime_ns, digest)
                    bar.advance(stat.st_size / 2**20)
            self.changed = True
        return hashes

    def append(self, name: str, known: Known) -> None:
        """Note one of very many files, in little memory."""
        if self._entries is not None:
            self._entries[name] = known
        elif "\t" not in name and "\n" not in name and is_text(name):
            line = f"{name}\t{known.size}\t{known.mtime_ns}\t{known.sha256}\n"
            self._text.extend(line.encode())

    def save(self, path: Path | None = None) -> None:
        """Write the cache; a folder that cannot be written is no error."""
        target = path or self.path
        if target is None:
            return
        if self._entries is not None:
            entries, self._entries, self._text = self._entries, None, bytearray()
            for name, known in entries.items():
                self.append(name, known)
        head = "".join(f"#{name}\t{one}\t{two}\n" for name, (one, two) in self.folders.items())
        try:
            with files.atomic(target, durable=False) as path, open(path, "wb") as stream:
                stream.write(head.encode("utf-8"))
                stream.write(self._text)
        except OSError:
            console.debug(f"cannot write {target}; hashes will be taken again next time")


def _visible(folder: str) -> list[os.DirEntry[str]]:
    try:
        return [entry for entry in os.scandir(folder) if entry.name[0] != "."]
    except OSError as error:
        raise InputError(f"cannot list the folder: {error.strerror}", file=folder) from None


def walk(folder: Path) -> Iterator[tuple[str, str, os.stat_result]]:
    """(relative name, path, stat) of every visible file below ``folder``, in sorted order."""
    stack = [("", str(folder))]
    while stack:
        prefix, path = stack.pop()
        folders = []
        for entry in sorted(_visible(path), key=lambda entry: entry.name):
            if entry.is_dir():
                folders.append((f"{prefix}{entry.name}/", entry.path))
            elif entry.is_file():
                yield prefix + entry.name, entry.path, entry.stat()
        stack.extend(reversed(folders))


def signature(folder: Path) -> str:
    """A hash of the names, sizes and times of all visible files below ``folder``.

    Written for speed, which is that of every rerun: over `walk` it would take half as long again.
    """
    digest = hashlib.sha256()
    stack = [("", str(folder))]
    while stack:
        prefix, path = stack.pop()
        lines = []
        for entry in _visible(path):
            if entry.is_dir():
                stack.append((f"{prefix}{entry.name}/", entry.path))
            else:
                stat = entry.stat()
                lines.append(f"{entry.name}\t{stat.st_size}\t{stat.st_mtime_ns}\n")
        lines.sort()
        stack.sort(reverse=True)
        digest.update(f"{prefix}\n{''.join(lines)}".encode(errors="surrogateescape"))
    return digest.hexdigest()


def listing(
    folder: Path,
    without: tuple[str, ...] = (),
    apart: Path | None = None,
    deepest: int | None = None,
) -> str:
    """A hash of the names and sizes of all visible files below a folder.

    Links to folders are followed once, inside the folder.

    Args:
        folder: The folder.
        without: Endings of files that do not matter, lower case.
        apart: A folder in it that is left out.
        deepest: Levels of folders below it in which files matter; None = all.

    Raises:
        InputError: A folder cannot be listed.
    """
    root, out = os.path.realpath(folder), apart and os.path.realpath(apart)
    digest, seen, stack = hashlib.sha256(), {root}, [("", str(folder))]
    while stack:
        prefix, path = stack.pop()
        lines, folders = [], []
        for entry in sorted(_visible(path), key=lambda entry: entry.name):
            if entry.is_dir():
                if entry.is_symlink():
                    real = os.path.realpath(entry.path)
                    if real in seen or not real.startswith(root + os.sep):
                        continue
                    seen.add(real)
                # The path is resolved for folders of this name alone, since there may be many.
                if out and out.endswith(f"/{entry.name}") and os.path.realpath(entry.path) == out:
                    continue
                folders.append((f"{prefix}{entry.name}/", entry.path))
            elif not (without and entry.name.lower().endswith(without)):
                with contextlib.suppress(OSError):  # a broken link holds nothing to read
                    lines.append(f"{entry.name}\t{entry.stat().st_size}\n")
        if deepest is None or prefix.count("/") < deepest:
            stack.extend(reversed(folders))
        if lines:
            digest.update(f"{prefix}\n{''.join(lines)}".encode(errors="surrogateescape"))
    return digest.hexdigest()


def input_refs(
    config: Any,
    cache: StatCache,
    out: Path,
    *,
    verify: bool = False,
    stdin: Mapping[str, str] | None = None,
) -> list[InputRef]:
    """Identify every input that a Config names.

    Args:
        config: A Config. Where it has methods `unread` and `deepest`, files with these endings and
            in deeper folders do not matter in folders that are listed.
        cache: As for `fingerprint_input`, as is `verify`.
        out: The run directory, which may lie in a folder that is listed.
        verify: Read everything again.
        stdin: Role -> fingerprint of what was read from stdin before; None reads it.
    """
    listed, unread = listed_roles(config), getattr(config, "unread", tuple)
    secret = secret_roles(config)
    deepest = getattr(config, "deepest", lambda: None)

    def identify(role: str, path: Path) -> InputRef:
        if str(path) == "-" and stdin is not None:
            return InputRef(role, path, stdin[role])
        if role in secret:
            return InputRef(role, path, "secret:" + slow_hash(path))
        if role in listed and path.is_dir() and not _is_run(path):
            return InputRef(role, path, "listing:" + listing(path, unread(), out, deepest()))
        return fingerprint_input(role, path, cache, verify=verify)

    return [identify(role, path) for role, path in input_paths(config)]


def slow_hash(path: Path) -> str:
    """Hash of a secret's file, of which a guess costs a twentieth of a second (scrypt).

    Raises:
        InputError: It cannot be read.
    """
    try:
        content = read_bytes(path)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", file=path) from None
    return hashlib.scrypt(content, salt=b"cxr id-key", n=2**14, r=8, p=1, dklen=16).hex()


def _is_run(path: Path) -> bool:
    return (path / "run.json").exists() or (path / "result.json").exists()


def fingerprint_input(role: str, path: Path, cache: StatCache, *, verify: bool = False) -> InputRef:
    """Identify an input.

    Args:
        role: Its name in the record, such as ``"data"``.
        path: A file, a folder, the output folder of another run, or ``-`` for stdin, which is read
            to its end into a temporary file (`spool`).
        cache: Remembered hashes of files and folders that are no runs.
        verify: Read everything again.

    Raises:
        InputError: It is missing, cannot be read, or is a run that is not complete.
    """
    if str(path) == "-":
        return spool(role)
    label = f"hashing {path.name}"
    try:
        if not path.is_dir():
            require_file(path)
            entries = [(f"{role}:{path.name}", str(path), path.stat())]
            (sha256,) = cache.sha256_of(entries, verify=verify, label=label).values()
            return InputRef(role, path, f"file:{sha256}")
        if _is_run(path):
            return InputRef(role, path, _of_run(path, verify=verify))
        now = signature(path)
        before, finding = cache.folders.get(role, ("", ""))
        if now == before and not verify:
            return InputRef(role, path, finding)
        entries = [(f"{role}/{name}", full, stat) for name, full, stat in walk(path)]
        if not entries:
            raise InputError("the folder is empty", file=path)
        hashes = sorted(cache.sha256_of(entries, verify=verify, label=label).items())
        lines = "".join(f"{name.removeprefix(f'{role}/')}\t{sha}\n" for name, sha in hashes)
        ref = InputRef(role, path, "folder:" + files.sha256_bytes(os.fsencode(lines)))
        cache.remember(role, now, ref.fingerprint)
        return ref
    except FileNotFoundError:
        raise InputError("no such file or folder", file=path) from None
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", file=path) from None


def spool(role: str) -> InputRef:
    """Keep stdin, to its end, in a temporary file that has no name: `release` it after use.

    The file is this user's alone and is gone with the process, however that ends. Its path leads
    through the descriptor, which this process has open and its workers do not.

    Raises:
        InputError: There is no room for it.
    """
    digest = hashlib.sha256()
    try:
        with tempfile.TemporaryFile(prefix="cxr-stdin-", buffering=0) as file:
            for block in _stdin():
                digest.update(block)
                while block:
                    block = block[file.write(block) :]
            handle = os.dup(file.fileno())
    except OSError as error:
        raise InputError(
            f"cannot be read into a temporary file: {error.strerror or error}",
            file="stdin",
            hint="let TMPDIR name a folder with room for it, or give a file instead of -",
        ) from None
    return InputRef(role, Path(f"/dev/fd/{handle}"), "stdin:" + digest.hexdigest())


def _stdin() -> Iterator[bytes]:
    """What stands in stdin, as it comes.

    Looks up twice a second: a signal that comes just before a read that waits would not be noticed
    until there is more to read.
    """
    stream: Any = sys.stdin.buffer  # a BufferedReader, or what stands for it
    try:
        number = stream.fileno()
    except OSError:  # no file, but something that stands for it
        number = None
    while True:
        while number is not None and not select.select([number], [], [], 0.5)[0]:
            pass
        try:
            block = stream.read1(1 << 20)
        except OSError as error:
            what = "it is closed" if error.errno == errno.EBADF else error.strerror
            hint = "give a file instead of -, or let one flow in: < FILE"
            raise InputError(f"cannot be read: {what}", file="stdin", hint=hint) from None
        if not block:
            return
        yield block


def release(ref: InputRef) -> None:
    """Let the temporary copy of an input that came from stdin go."""
    if ref.fingerprint.startswith("stdin:"):
        os.close(int(ref.path.name))


def require_complete(folder: Path, stages: tuple[str, ...] | None = None) -> dict[str, Any]:
    """The ``result.json`` of a finished run.

    Args:
        folder: A run directory.
        stages: The stages whose output will do; None for any.

    Raises:
        InputError: The run is not complete, or of another stage.
    """
    if not folder.is_dir():
        raise InputError("no such folder", file=folder)
    if not (folder / "run.json").exists():
        raise InputError(
            "is not the output folder of a cxr command",
            file=folder,
            hint=f"it should come from `cxr {stages[0]}`" if stages else None,
        )
    record = read_json(folder / "run.json")
    stage = record.get("stage")
    if stages is not None and stage not in stages:
        raise InputError(
            f"comes from `cxr {stage}`; wanted: the output of {' or '.join(stages)}", file=folder
        )
    if not (folder / "result.json").exists():
        raise InputError(
            f"the run of `cxr {stage}` is not complete",
            file=folder,
            hint=f"look with `cxr status {folder}` and give its command again to finish it",
        )
    return read_json(folder / "result.json")


def _of_run(folder: Path, *, verify: bool) -> str:
    result = require_complete(folder)
    problem = changed_output(folder, result, verify=verify)
    if problem is not None:
        hint = "make it again with --on-change rebuild"
        if problem.startswith("manifest.csv was changed"):
            edited = f"cxr prepare {folder}/manifest.csv --format dataset -o NEW"
            hint = f"if it was edited on purpose: {edited}; else {hint}"
        raise InputError(f"{problem} since the run that wrote it", file=folder, hint=hint)
    hashes = {name: entry["sha256"] for name, entry in result["outputs"].items()}
    return "run:" + files.sha256_bytes(files.canonical_json(hashes).encode())


def read_index(folder: Path) -> dict[str, tuple[int, str]]:
    """``{path: (bytes, sha256)}`` of the files that ``files.tsv`` lists; empty without one."""
    return {name: (size, sha256) for name, size, sha256 in _index_lines(folder)}


def packed_index(folder: Path) -> files.FileIndex:
    """The same in little memory."""
    index = files.FileIndex()
    for entry in _index_lines(folder):
        index.add(*entry)
    return index


def _index_lines(folder: Path) -> Iterator[tuple[str, int, str]]:
    index = folder / INDEX
    try:
        with contextlib.suppress(FileNotFoundError), open_file(index) as stream:
            lines = io.TextIOWrapper(stream, "utf-8")
            for line in lines:
                name, size, sha256 = line.rstrip("\n").split("\t")
                yield name, int(size), sha256
    except ValueError:
        raise InputError("is damaged", file=index) from None


def changed_output(folder: Path, result: dict[str, Any], *, verify: bool = False) -> str | None:
    """Say which output of a complete run is not what the run wrote, or None.

    Sizes and times tell whether to believe the recorded hashes; ``verify`` reads everything.
    """
    cache = StatCache(folder / CACHE / "stat.tsv")
    now = signature(folder)
    recorded = _recorded(result)
    if not verify and cache.folders.get("outputs") == (now, recorded):
        return None
    expected = {
        name: (entry["bytes"], entry["sha256"]) for name, entry in result["outputs"].items()
    }
    problem = None
    if INDEX in expected:
        problem = _compare(folder, {INDEX: expected[INDEX]}, cache, verify)
        if problem is None:
            expected.update(read_index(folder))
    problem = problem or _compare(folder, expected, cache, verify)
    if problem is None:
        cache.remember("outputs", now, recorded)
    if cache.changed:
        cache.save()
    return problem


def remember_outputs(folder: Path, result: dict[str, Any], cache: StatCache) -> None:
    """Note that a folder holds now what its ``result.json`` says, so that it need not be read."""
    cache.remember("outputs", signature(folder), _recorded(result))
    cache.save(folder / CACHE / "stat.tsv")


def _recorded(result: dict[str, Any]) -> str:
    return files.sha256_bytes(files.canonical_json(result["outputs"]).encode())


def _compare(
    folder: Path, expected: dict[str, tuple[int, str]], cache: StatCache, verify: bool
) -> str | None:
    present = {}
    for parent in sorted({os.path.dirname(name) for name in expected}):
        with contextlib.suppress(OSError), os.scandir(folder / parent) as entries:
            for entry in entries:
                name = f"{parent}/{entry.name}" if parent else entry.name
                if name in expected:
                    present[name] = (name, entry.path, entry.stat())
    for name, (size, _) in expected.items():
        if name not in present:
            return f"{name} is missing"
        if present[name][2].st_size != size:
            return f"{name} was changed"
    hashes = cache.sha256_of(present.values(), verify=verify, label=f"hashing {folder.name}")
    for name, (_, sha256) in expected.items():
        if hashes[name] != sha256:
            return f"{name} was changed"
    return None
