"""Files of a folder or an archive, one after the other, by their ending.

In: a folder, a ``.tar`` (in any compression) or a ``.zip``. Out: name inside it, place for
messages, content. Nothing is unpacked to the disk, no link is followed, a member that would leave
its folder is refused, and no more than one file is in memory.
"""

import bz2
import gzip
import lzma
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from cxrtool.core.errors import InputError
from cxrtool.core.reading import Bounded, is_text, open_file, read_bytes, require_file

MAX_BYTES = 64 * 2**20  # of one file
ARCHIVES = (".tgz", ".tar.gz", ".tar", ".tar.bz2", ".tar.xz", ".zip")

#: (name, place, content) of a file.
Document = tuple[str, str, bytes]
#: Takes what is wrong with one file, and its name without folder and ending ("" in an archive).
Reject = Callable[[InputError, str], None]
#: Name, whether it is a folder, bytes, why it cannot be read ("" if it can), what opens it.
_Member = tuple[str, bool, int, str, Callable[[], Any]]
DAMAGE = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, NotImplementedError, ValueError, OverflowError),
)
_OPENERS: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open, b"\xfd7": lzma.open}


def documents(path: Path, suffixes: tuple[str, ...], reject: Reject) -> Iterator[Document]:
    """The files of a folder and the folders in it, by name, or of an archive, in its order.

    Args:
        path: The folder or the archive.
        suffixes: Endings of the files, lower case; hidden files are passed over.
        reject: Called with the error of a file that cannot be read; may raise it.

    Raises:
        InputError: The archive is damaged.
    """
    return (_in_folder if path.is_dir() else _in_archive)(path, suffixes, reject)


def _wanted(name: str, suffixes: tuple[str, ...]) -> bool:
    parts = PurePosixPath(name).parts
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts if part != "..")
    return name.lower().endswith(suffixes) and not hidden


def _below(folder: Path) -> Iterator[Path]:
    """All files, one folder at a time; folders behind links are not entered."""
    with os.scandir(folder) as scan:
        entries = sorted((e.name, e.is_dir(follow_symlinks=False)) for e in scan)
    for name, is_folder in entries:
        if is_folder:
            yield from _below(folder / name)
        else:
            yield folder / name


def _in_folder(path: Path, suffixes: tuple[str, ...], reject: Reject) -> Iterator[Document]:
    root = path.resolve()
    for file in _below(path):
        name = file.relative_to(path).as_posix()
        if not _wanted(name, suffixes):
            continue
        try:
            if not is_text(name):
                raise InputError("the file's name is not UTF-8 text", file=ascii(str(file))[1:-1])
            if not file.resolve().is_relative_to(root):
                raise InputError("the link leaves the folder", file=file)
            status = file.stat()
            if not stat.S_ISREG(status.st_mode):
                raise InputError("is no file", file=file)
            if status.st_size > MAX_BYTES:
                raise _too_long(str(file))
            data = read_bytes(file)
        except InputError as error:
            reject(error, file.stem)
        except OSError as error:
            reject(InputError(f"cannot be read: {error.strerror or error}", file=file), file.stem)
        else:
            yield name, str(file), data


def _leaves(name: str) -> bool:
    path = PurePosixPath(name.replace("\\", "/"))
    return path.is_absolute() or ".." in path.parts or ":" in path.parts[0] if path.parts else False


def _too_long(place: str) -> InputError:
    return InputError(f"is longer than {MAX_BYTES // 2**20} MiB: no report", file=place)


def _in_archive(path: Path, suffixes: tuple[str, ...], reject: Reject) -> Iterator[Document]:
    members = _zip_members if path.name.lower().endswith(".zip") else _tar_members
    try:
        for name, is_folder, size, problem, stream_of in members(path):
            place = f"{path}:{name}"
            if _leaves(name):
                reject(InputError("the member leaves the archive's folder", file=place), "")
            elif is_folder or not _wanted(name, suffixes):
                continue
            elif problem:
                reject(InputError(problem, file=place), "")
            elif size > MAX_BYTES:
                reject(_too_long(place), "")
            else:
                with stream_of() as stream:
                    yield name, place, stream.read()
    except InputError:
        raise
    except (*DAMAGE, OSError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or error
        raise InputError(f"damaged archive: {reason}", file=path) from None


def _tar_members(path: Path) -> Iterator[_Member]:
    with open_file(path) as stream:
        opener: Callable[[Path], Any] = _OPENERS.get(stream.read(2), open_file)
    # The header of a member is held as a whole, whatever length it says that it has.
    bounded: Any = Bounded(opener(path), MAX_BYTES)
    with bounded, tarfile.open(fileobj=bounded, mode="r|") as archive:
        while (member := archive.next()) is not None:
            bounded.fresh = -member.size
            archive.members = []  # type: ignore[attr-defined]  # else it remembers all of them
            problem = "" if member.isreg() else "the member is a link, not a file"
            stream_of = partial(archive.extractfile, member)
            yield member.name, member.isdir(), member.size, problem, stream_of


def _zip_members(path: Path) -> Iterator[_Member]:
    require_file(path)
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            problem = "the member is encrypted" if member.flag_bits & 1 else ""
            stream_of = partial(archive.open, member)
            yield member.filename, member.is_dir(), member.file_size, problem, stream_of
