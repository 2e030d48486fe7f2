"""Bytes on disk: atomic writes, hashes, and the one canonical form of JSON.

Every file appears whole or not at all: it is written beside its target, fsynced and renamed. Only
images, of which there are very many, are written in place (`write_once`).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cxrtool.core.errors import CxrError
from cxrtool.core.reading import open_file

TEMPORARY = ".tmp"


def sha256_bytes(data: bytes) -> str:
    """Hex SHA-256 of ``data``."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path | str) -> str:
    """Hex SHA-256 of a file's content, read in blocks."""
    with open_file(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def finite(value: Any) -> Any:
    """``value`` with NaN and infinities replaced by None, as JSON demands."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value


def pretty_json(value: Any) -> str:
    """JSON for people: indented, one final line break, no NaN."""
    return json.dumps(finite(value), indent=2, ensure_ascii=False) + "\n"


@contextlib.contextmanager
def atomic(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Give a temporary path beside ``path`` that replaces it when the block ends well.

    Args:
        path: The target; its folder is made.
        durable: Wait until the bytes are on the disk. False for one of very many files whose
            writer syncs them together.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY}")
    try:
        yield temporary
        if durable:
            _sync(temporary)
        os.replace(temporary, path)
        if durable:
            _sync(path.parent)
    except OSError as error:
        error.filename = error.filename or str(path)  # a full disk does not say which file it was
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Write ``data`` atomically."""
    with atomic(path, durable=durable) as temporary:
        temporary.write_bytes(data)


def write_once(path: Path, data: bytes) -> None:
    """Write a file that nobody believes before its hash is recorded elsewhere.

    A new file is not written beside itself and renamed, which for very many small files would cost
    as much as making them; but a write that fails leaves nothing behind. A file that is there is
    replaced whole, so that hard links to it keep what they had.
    """
    try:
        with open(path, "xb") as stream:
            stream.write(data)
    except FileExistsError:
        write_bytes(path, data, durable=False)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_once(path, data)
    except OSError as error:
        path.unlink(missing_ok=True)
        error.filename = error.filename or str(path)  # a full disk does not say which file it was
        raise


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    write_bytes(path, text.encode("utf-8"))


class HashedText(contextlib.AbstractContextManager["HashedText"]):
    """A text file that is hashed as it is written; closed when its ``with`` block ends.

    Attributes:
        size_bytes: How much was written so far.
    """

    def __init__(self, path: Path) -> None:
        self._stream = open(path, "wb")  # noqa: SIM115
        self._digest = hashlib.sha256()
        self.size_bytes = 0

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    @property
    def sha256(self) -> str:
        """Of all that was written so far, hex."""
        return self._digest.hexdigest()

    def write(self, text: str) -> None:
        """Append UTF-8 text."""
        data = text.encode("utf-8")
        self._digest.update(data)
        self._stream.write(data)
        self.size_bytes += len(data)


class FileIndex:
    """Size and SHA-256 of very many files by their relative names, noted from any thread.

    A dictionary of strings takes 370 bytes a file; one packed text a folder takes 60 to 90, so that
    a set may have as many images as it likes.
    """

    def __init__(self) -> None:
        self._folders: dict[str, bytearray] = {}
        self._open: tuple[str, int, dict[str, tuple[int, str]]] = ("", -1, {})

    def add(self, name: str, size_bytes: int, sha256: str) -> None:
        """Note one file; what is noted last of a name holds."""
        folder, _, base = name.rpartition("/")
        line = f"{base}\t{size_bytes}\t{sha256}\n".encode()
        self._folders.setdefault(folder, bytearray()).extend(line)

    def get(self, name: str) -> tuple[int, str] | None:
        """Bytes and SHA-256 of a file, or None. Quick where names of one folder are asked for."""
        folder, _, base = name.rpartition("/")
        packed = self._folders.get(folder, bytearray())
        if self._open[:2] != (folder, len(packed)):
            lines = (line.rsplit("\t", 2) for line in packed.decode().splitlines())
            entries = {name: (int(size), sha256) for name, size, sha256 in lines}
            self._open = (folder, len(packed), entries)
        return self._open[2].get(base)


def umask() -> int:
    """The permissions that new files of this process do not get."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def remove_temporaries(folder: Path) -> None:
    """Delete what writers that were killed left behind in ``folder`` and below."""
    for path in folder.rglob(f".*{TEMPORARY}"):
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def carried(name: str) -> Path:
    """A folder of the repository that the wheel carries along: ``examples``, ``completions``.

    In an installed package it lies inside, in a copy of the source beside it.

    Raises:
        CxrError: In neither.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / name, package.parent / name):
        if folder.is_dir():
            return folder
    raise CxrError(f"this installation has no folder {name}", hint="install cxrtool from its wheel")
