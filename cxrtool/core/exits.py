"""What an exception means at the end of a command: words on stderr and an exit code.

In: an exception. Out: the exit code; the message is said.
"""

import errno
import os
import re
import signal
import traceback
from typing import Any

from cxrtool.core import console, streams
from cxrtool.core.config import fields_of
from cxrtool.core.config.values import closest, moved_option
from cxrtool.core.errors import REASON_MOST, CxrError, InputError, UsageError
from cxrtool.core.reading import is_text

# Failures that the system's own words and the file's name explain.
_NAMED = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EIO, errno.ENAMETOOLONG, errno.EFBIG)
#: What torch and NumPy say of memory that cannot be had, in errors that have no type of their own.
_NO_MEMORY = re.compile(
    r"not enough memory|out of memory|can't allocate memory|can't start new thread|bad_alloc"
    r"|size calculation overflowed|multiplication overflow|Maximum allowed (size|dimension)"
    r"|array is too big"
)
INTERRUPTED = 128 + signal.SIGINT


def code_of(error: BaseException) -> int:
    """Say what went wrong, in a line; the exit code for it."""
    if console.level() >= console.DEBUG and not isinstance(error, KeyboardInterrupt):
        for text in traceback.format_exception(error):
            console.stderr_text(text)
    code, message, hint = explained(error)
    console.error(message, hint)
    return code


def explained(error: BaseException) -> tuple[int, str, str | None]:
    """The exit code of an exception, what went wrong in a line, and what to do next."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED, "interrupted", "run the same command again to go on"
    expected = _expected(error)
    if expected is not None:
        return expected.exit_code, expected.message, expected.hint
    last = traceback.extract_tb(error.__traceback__)[-1]
    what = f"this is a bug: {type(error).__name__}: {error}"
    return (
        1,
        f"{what} ({os.path.basename(last.filename)}:{last.lineno})",
        "give the command again with --debug and report what it prints",
    )


def _expected(error: BaseException) -> CxrError | None:
    if isinstance(error, OSError):
        return _disk_error(error)
    if isinstance(error, CxrError):
        return error
    if isinstance(error, UnicodeEncodeError) and error.encoding != "utf-8":
        return InputError(
            f"stdout cannot be written: {error.encoding} has no "
            f"{error.object[error.start : error.end]!a}",
            hint="set PYTHONIOENCODING=utf-8, or write to a folder with -o FOLDER",
        )
    text = str(error)
    if isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError | ValueError) and _NO_MEMORY.search(text)
    ):
        return _memory_error(text)
    if isinstance(error, UnicodeEncodeError) and not is_text(error.object):
        name = ascii(error.object[max(0, error.start - 40) : error.end + 20])
        return InputError(f"{name} is not UTF-8 text", hint="rename what is called so")
    return _usage_error(error) if hasattr(error, "format_message") else None


def _disk_error(error: OSError) -> InputError | None:
    """Put the failures of a disk in a user's words."""
    if error.errno == errno.ENOMEM:
        return _memory_error(str(error.strerror))
    where = error.filename or "a file"
    if where == streams.STDOUT:
        why = "it is closed" if error.errno == errno.EBADF else error.strerror
        return InputError(
            f"stdout cannot be written: {why}",
            hint="let stdout lead to a file or a pipe; a folder that was finished is kept",
        )
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return InputError(
            f"no space left on the disk, writing {where}",
            hint="free some space and give the same command again; what is finished is kept",
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return InputError(f"no permission to use {where}", hint="choose another folder")
    if error.errno in _NAMED or (error.filename and error.strerror):
        hint = "give a shorter name" if error.errno == errno.ENAMETOOLONG else None
        return InputError(f"{error.strerror}: {where}", hint=hint)
    return None


def _memory_error(text: str) -> InputError:
    reason = text.strip().partition("\n")[0].partition(". ")[0][:REASON_MOST]
    return InputError(
        f"not enough memory{f' ({reason})' if reason else ''}",
        hint="give smaller numbers (--batch, --block, --n, --size, --workers), see whether an"
        " input is as large as it should be, or use a machine with more memory",
    )


def _usage_error(error: Any) -> CxrError:
    """An error of Typer's own parser in our words; an option that moved is explained by its Config.

    What Typer says of a kind that is not told apart here is not shown.
    """
    context = getattr(error, "ctx", None)
    path = getattr(context, "command_path", "cxr")
    command = getattr(context, "command", None)
    help_of_it = f"`{path} --help` lists what there is"
    flag, kind = getattr(error, "option_name", ""), type(error).__name__
    key = flag.lstrip("-").removeprefix("no-").replace("-", "_")
    declared = getattr(command, "options", ())
    for config in declared:
        if moved := moved_option(config, key):
            return moved
    fields = [field for config in declared for field in fields_of(config)]
    if kind == "NoSuchOption":
        params = getattr(command, "params", ())
        known = [name for one in params for name in (*one.opts, *one.secondary_opts)]
        known = [name for name in [*known, "--help"] if name[:2] == "--"]
        meant = closest(flag, known, otherwise="") if flag[:2] == "--" else None
        return UsageError(f"{path} has no option {flag!r}", hint=meant or help_of_it)
    if kind == "BadOptionUsage":
        of_it = [f.meta.help for f in fields if flag in (f.flag, f.meta.short)]
        takes = "takes no value" if "not take" in error.message else "needs a value"
        return UsageError(f"{flag} {takes}", hint=next(iter(of_it), help_of_it))
    if extra := _EXTRA.search(error.message):
        names = [field.shown for field in fields if field.meta.positional]
        takes = f"it takes {' and '.join(names) or 'no arguments'}"
        return UsageError(f"{extra[1]!r} is more than {path} takes", hint=f"{takes}; {help_of_it}")
    return UsageError(f"the words after {path} are not understood", hint=help_of_it)


#: What Typer says of words after the last argument.
_EXTRA = re.compile(r"unexpected extra arguments?(?:\(s\))? \((.*)\)", re.DOTALL)
