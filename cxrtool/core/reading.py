"""What is opened for reading is a file, and what a record holds has the form of that record.

In: a path. Out: an open file, its bytes, its text, the JSON object in it. A pipe that nobody writes
to, a terminal or a device would hold a command for ever: they are refused before anything waits.
A record is a file that a command wrote and that others may have edited since: what its readers rely
on is checked here, once, by its name; a key that it lacks is its error and not the program's.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import stat
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any, NoReturn

from cxrtool.core.errors import InputError

_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}
#: Of a compressed file that is held as a whole: bytes that it may always unfold to, and how many
#: times its size. Tables of labels come to thirty times.
UNFOLDED_LEAST, UNFOLDED_TIMES = 2**29, 60
#: Names of what a shell has opened for a command.
_OPENED = ("/dev/fd/", "/dev/stdin", "/proc/self/fd/")


def require_file(path: Path | str) -> None:
    """See that a path leads to a file, for libraries that open it themselves.

    Raises:
        OSError: It leads to something else, or nowhere.
    """
    _check(os.stat(path).st_mode, path)


def open_file(path: Path | str, *, once: bool = False) -> BufferedReader:
    """Open a file for reading.

    Args:
        path: The file.
        once: It is read once: what a shell gives in place of a file, `<(...)`, will do.

    Raises:
        OSError: It is none, or cannot be opened.
    """
    # Without O_NONBLOCK to open a pipe would wait for somebody who writes to it.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if once and str(path).startswith(_OPENED):
            os.set_blocking(handle, True)
        else:
            _check(os.fstat(handle).st_mode, path)
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def _check(mode: int, path: Path | str) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "something else")
        raise OSError(errno.EINVAL, f"not a file but {kind}", str(path))


def read_bytes(path: Path | str, *, once: bool = False) -> bytes:
    """All of a file, as `open_file` opens it."""
    with open_file(path, once=once) as stream:
        return stream.read()


def read_text(path: Path | str, *, once: bool = False) -> str:
    """All of a UTF-8 text file, its line breaks as ``\\n``.

    Raises:
        OSError: As `open_file`.
        UnicodeDecodeError: It is no UTF-8.
    """
    text = read_bytes(path, once=once).decode("utf-8")
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


class Bounded(io.BufferedIOBase):
    """A stream that ends with an error where one record, or all of it, is longer than may be.

    What is compressed unfolds to a thousand times its size: a line without an end would fill the
    memory before anything is known of it.

    Args:
        stream: What is read.
        record_most: Bytes of a record; its reader sets `fresh` to 0 after each.
        most: Bytes of the whole; None for any number.

    Attributes:
        fresh: Bytes that were read since the last record.
    """

    def __init__(self, stream: Any, record_most: int, most: int | None = None) -> None:
        self._stream, self._record_most, self._most = stream, record_most, most
        self.fresh = self._all = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        return self._counted(self._stream.read(size))

    def read1(self, size: int = -1, /) -> bytes:
        return self._counted(self._stream.read1(size))

    def _counted(self, data: bytes) -> bytes:
        self.fresh += len(data)
        self._all += len(data)
        if self.fresh > self._record_most or (self._most is not None and self._all > self._most):
            over = self._record_most if self.fresh > self._record_most else self._most
            what = "a record" if self.fresh > self._record_most else "all of it"
            raise OSError(errno.EFBIG, f"{what} is longer than {over:,} bytes")
        return data

    def close(self) -> None:
        self._stream.close()
        super().close()


def unfolded_most(path: Path | str) -> int:
    """Bytes that a compressed file may unfold to: many times its size, and never few."""
    return max(UNFOLDED_LEAST, UNFOLDED_TIMES * os.stat(path).st_size)


def is_text(text: str) -> bool:
    """Whether all of a text can be written as UTF-8.

    Bytes that are not UTF-8 are read as lone surrogates (PEP 383), and JSON can spell them.
    """
    return text.isascii() or not any("\ud800" <= c <= "\udfff" for c in text)


# --- records --------------------------------------------------------------------------------------

Number = (int, float)
_HASHED: Any = {"bytes": int, "sha256": str}
#: What readers rely on, by the name of a record: for a key its type (of several: one of them), in
#: a list the form of all items, under "*" that of all values. A key may be missing.
FORMS: dict[str, Any] = {
    "run.json": {
        "format": int,
        "stage": str,
        "fingerprint": str,
        "identity": {"stage": str, "options": dict, "inputs": {"*": [str]}},
        "config": dict,
        "inputs": [{"role": str, "path": str, "fingerprint": str}],
        "provenance": dict,
    },
    "result.json": {
        "format": int,
        "stage": str,
        "fingerprint": str,
        "outputs": {"*": _HASHED},
        "summary": dict,
        "counts": {"*": int},
        "gates": [str],
        "json": (str, type(None)),
        "seconds": Number,
    },
    "model.json": {
        "format": int,
        "kind": str,
        "arch": str,
        "architecture": dict,
        "labels": [str],
        "preprocessing": dict,
        "policy": dict,
        "selection": dict,
        "weights": {"file": str, "sha256": str, "tensors": int, "parameters": int},
    },
}
_HINT = "copy the folder again, or give its command again with --on-change rebuild"


class RecordError(InputError, KeyError):
    """A record lacks a key; also a KeyError, for readers that can do without it."""

    __str__ = InputError.__str__


class Record(dict[str, Any]):
    """A JSON object that says which file it stands in when a key is missing."""

    file: Path | str | None = None

    def __missing__(self, key: str) -> NoReturn:
        raise RecordError(f"lacks {key!r}", file=self.file, hint=_HINT)


def read_json(path: Path, *, form: str | None = None) -> dict[str, Any]:
    """A JSON object from a file.

    Args:
        path: The file.
        form: Of which record (`FORMS`); by default the name of the file.

    Raises:
        InputError: It cannot be read, is no JSON object, or not what a record of this name holds.
    """
    try:
        value = parse_json(read_bytes(path), path)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", file=path) from None
    name = form or path.name
    if name in FORMS:
        check_form(value, FORMS[name], path)
    return value


def parse_json(content: bytes | str, path: Path | str) -> dict[str, Any]:
    """A JSON object from the content of a file.

    Raises:
        InputError: It is none; names the file.
    """

    def record(pairs: list[tuple[str, Any]]) -> Record:
        made = Record(pairs)
        made.file = path
        return made

    try:
        value = json.loads(content, object_pairs_hook=record)
    except RecursionError:
        raise InputError("is not valid JSON (nested too deeply)", file=path) from None
    except ValueError as error:
        raise InputError(f"is not valid JSON ({error})", file=path) from None
    if not isinstance(value, dict):
        raise InputError("is not a JSON object", file=path)
    return value


def check_form(value: Any, form: Any, path: Path | str, where: str = "") -> None:
    """Hold a value against a form (`FORMS`).

    Raises:
        InputError: Names the file and the key that is of another type.
    """
    if isinstance(form, dict):
        _check_type(value, dict, path, where)
        for key, inner in form.items():
            if key == "*":
                for name, item in value.items():
                    check_form(item, inner, path, f"{where}.{name}" if where else name)
            elif key in value:
                check_form(value[key], inner, path, f"{where}.{key}" if where else key)
    elif isinstance(form, list):
        _check_type(value, list, path, where)
        for number, item in enumerate(value):
            check_form(item, form[0], path, f"{where}[{number}]")
    else:
        _check_type(value, form, path, where)


_NAMES = {
    dict: "an object",
    list: "a list",
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
}


def _check_type(value: Any, kind: Any, path: Path | str, where: str) -> None:
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        wanted = next(name for one, name in _NAMES.items() if one in kinds)
        what = _NAMES[dict if isinstance(value, dict) else type(value)]
        raise InputError(f"{where!r} is {what} where {wanted} belongs", file=path, hint=_HINT)


@contextlib.contextmanager
def meaning_of(path: Path | str) -> Iterator[None]:
    """Errors of whoever makes sense of a record's values are errors of the record.

    Raises:
        InputError: In place of an error that wrong values lead to.
    """
    try:
        yield
    except (InputError, OSError, MemoryError):
        raise
    except (
        *(KeyError, IndexError, TypeError, AttributeError, ValueError, AssertionError),
        *(ArithmeticError, RecursionError),
    ) as error:
        reason = str(error).strip().partition("\n")[0][:120]
        what = f"holds what this version cannot use ({type(error).__name__}: {reason})"
        raise InputError(what, file=path, hint=_HINT) from error


def require_inside(name: Any, folder: Path, record: Path) -> Path:
    """The file that a record names, which lies in the record's own folder.

    Raises:
        InputError: It is no name of a file there: absolute, above it, or behind a link that leaves.
    """
    if not isinstance(name, str) or not name or "\0" in name:
        raise InputError(f"{name!r} is no name of a file", file=record)
    path = folder / name
    inside = not os.path.isabs(name) and ".." not in Path(name).parts
    return path if inside else _outside(name, record)


def _outside(name: str, record: Path) -> NoReturn:
    raise InputError(
        f"names the file {name!r}, which is not in its folder",
        file=record,
        hint="a folder that was made elsewhere holds all of its files: copy it again",
    )
