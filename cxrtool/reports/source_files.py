"""Reports in files: a folder or an archive of ``.txt`` and Open-i ``.xml``, or a single one.

In: a path. Out: a stream of `Report` whose id is the file's name without folder and ending. Nothing
is unpacked, no link is followed, and a member that would leave its folder is refused.
"""

from __future__ import annotations

import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from cxrtool.core.errors import InputError
from cxrtool.reports.openi import report_text
from cxrtool.reports.report import MAX_BYTES, TEXT_SUFFIXES, Reject, Report


def from_files(files: Iterator[tuple[str, str, bytes]], reject: Reject) -> Iterator[Report]:
    """Reports from (name inside the source, place for messages, content)."""
    for name, place, data in files:
        study = PurePosixPath(name).stem
        try:
            if name.lower().endswith(".xml"):
                text = report_text(data, place)
            else:
                text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            reject(InputError(f"line {line} is not UTF-8 text", file=place), study)
        except InputError as error:
            reject(error, study)
        else:
            yield Report(study, text, "", place)


def _wanted(name: str) -> bool:
    parts = PurePosixPath(name).parts
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts if part != "..")
    return name.lower().endswith(TEXT_SUFFIXES) and not hidden


def _below(folder: Path) -> Iterator[Path]:
    """All files, one folder at a time; folders behind links are not entered."""
    with os.scandir(folder) as entries:
        found = sorted((e.name, e.is_dir(follow_symlinks=False)) for e in entries)
    for name, is_folder in found:
        if is_folder:
            yield from _below(folder / name)
        else:
            yield folder / name


def in_folder(path: Path, reject: Reject) -> Iterator[tuple[str, str, bytes]]:
    """Files of a folder and the folders in it, by name."""
    root = path.resolve()
    for file in _below(path):
        name = file.relative_to(path).as_posix()
        if not _wanted(name):
            continue
        if not file.resolve().is_relative_to(root):
            reject(InputError("the link leaves the folder", file=file), PurePosixPath(name).stem)
            continue
        try:
            status = file.stat()
            if not stat.S_ISREG(status.st_mode):
                reject(InputError("is no file", file=file), PurePosixPath(name).stem)
                continue
            if status.st_size > MAX_BYTES:
                reject(_too_long(str(file)), PurePosixPath(name).stem)
                continue
            yield name, str(file), file.read_bytes()
        except OSError as error:
            problem = InputError(f"cannot be read: {error.strerror or error}", file=file)
            reject(problem, PurePosixPath(name).stem)


def _leaves(name: str) -> bool:
    path = PurePosixPath(name.replace("\\", "/"))
    return path.is_absolute() or ".." in path.parts or ":" in path.parts[0] if path.parts else False


def _too_long(place: str) -> InputError:
    return InputError(f"is longer than {MAX_BYTES // 2**20} MiB: no report", file=place)


def in_tar(path: Path, reject: Reject) -> Iterator[tuple[str, str, bytes]]:
    try:
        with tarfile.open(path, mode="r|*") as archive:
            while (member := archive.next()) is not None:
                archive.members = []  # type: ignore[attr-defined]  # else it remembers all of them
                place = f"{path}:{member.name}"
                if _leaves(member.name):
                    reject(InputError("the member leaves the archive's folder", file=place), "")
                elif not _wanted(member.name) or member.isdir():
                    continue
                elif not member.isreg():
                    reject(InputError("the member is a link, not a file", file=place), "")
                elif member.size > MAX_BYTES:
                    reject(_too_long(place), "")
                else:
                    stream = archive.extractfile(member)
                    yield member.name, place, stream.read() if stream else b""
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise InputError(f"damaged archive: {error}", file=path) from None


def in_zip(path: Path, reject: Reject) -> Iterator[tuple[str, str, bytes]]:
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                place = f"{path}:{member.filename}"
                if _leaves(member.filename):
                    reject(InputError("the member leaves the archive's folder", file=place), "")
                elif member.is_dir() or not _wanted(member.filename):
                    continue
                elif member.flag_bits & 1:
                    reject(InputError("the member is encrypted", file=place), "")
                elif member.file_size > MAX_BYTES:
                    reject(_too_long(place), "")
                else:
                    yield member.filename, place, archive.read(member)
    except (zipfile.BadZipFile, EOFError, OSError, zlib.error, NotImplementedError) as error:
        raise InputError(f"damaged archive: {error}", file=path) from None
