"""What an exception means at the end of a command: words on stderr and an exit code.

In: an exception. Out: the exit code; the message is said.
"""

import errno
import os
import signal
import traceback
from typing import Any

from cxrtool.core import console
from cxrtool.core.config.values import moved_option
from cxrtool.core.errors import CxrError, InputError, UsageError

# Failures that the system's own words and the file's name explain.
_NAMED = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EIO, errno.ENAMETOOLONG, errno.EFBIG)
INTERRUPTED = 128 + signal.SIGINT


def code_of(error: BaseException) -> int:
    """Say what went wrong, in a line; the exit code for it."""
    if isinstance(error, KeyboardInterrupt):
        console.error("interrupted", "run the same command again to go on")
        return INTERRUPTED
    if console.level() >= console.DEBUG:
        traceback.print_exception(error)
    expected = _expected(error)
    if expected is not None:
        console.error(expected.message, expected.hint)
        return expected.exit_code
    last = traceback.extract_tb(error.__traceback__)[-1]
    console.error(
        f"this is a bug: {type(error).__name__}: {error} "
        f"({os.path.basename(last.filename)}:{last.lineno})",
        "give the command again with --debug and report what it prints",
    )
    return 1


def _expected(error: BaseException) -> CxrError | None:
    if isinstance(error, OSError):
        return _disk_error(error)
    if isinstance(error, CxrError):
        return error
    return _usage_error(error) if hasattr(error, "format_message") else None


def _disk_error(error: OSError) -> InputError | None:
    """Put the failures of a disk in a user's words."""
    where = error.filename or "a file"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return InputError(
            f"no space left on the disk, writing {where}",
            hint="free some space and give the same command again; what is finished is kept",
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return InputError(f"no permission to use {where}", hint="choose another folder")
    if error.errno in _NAMED:
        return InputError(f"{error.strerror}: {where}")
    return None


def _usage_error(error: Any) -> CxrError:
    """An error of Typer's own parser; an option that moved is explained by its Config."""
    context = getattr(error, "ctx", None)
    path = getattr(context, "command_path", "cxr")
    key = getattr(error, "option_name", "").lstrip("-").removeprefix("no-").replace("-", "_")
    for declared in getattr(getattr(context, "command", None), "options", ()):
        if moved := moved_option(declared, key):
            return moved
    return UsageError(error.format_message(), hint=f"`{path} --help` lists what there is")
