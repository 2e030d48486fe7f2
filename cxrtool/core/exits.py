"""What an exception means at the end of a command: words on stderr and an exit code.

In: an exception. Out: the exit code; the message is said.
"""

import errno
import os
import signal
import traceback

from cxrtool.core import console
from cxrtool.core.config.values import moved_option
from cxrtool.core.errors import CxrError, InputError

INTERRUPTED = 128 + signal.SIGINT


def code_of(error: BaseException) -> int:
    """Say what went wrong, in a line; the exit code for it."""
    if isinstance(error, KeyboardInterrupt):
        console.error("interrupted", "run the same command again to go on")
        return INTERRUPTED
    expected = _disk_error(error) if isinstance(error, OSError) else error
    if isinstance(expected, CxrError):
        if console.level() >= console.DEBUG:
            traceback.print_exception(error)
        console.error(expected.message, expected.hint)
        return expected.exit_code
    usage = _usage_error(error)
    return usage if usage is not None else _bug(error)


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
    other = (errno.ENOTDIR, errno.EISDIR, errno.EIO, errno.ENAMETOOLONG, errno.EFBIG)
    if error.errno in (errno.ENOENT, *other):
        return InputError(f"{error.strerror}: {where}")
    return None


def _usage_error(error: BaseException) -> int | None:
    """Show an error of Typer's own parser; None if ``error`` is none."""
    message = getattr(error, "format_message", None)
    if message is None:
        return None
    context = getattr(error, "ctx", None)
    path = getattr(context, "command_path", "cxr")
    key = getattr(error, "option_name", "").lstrip("-").removeprefix("no-").replace("-", "_")
    for declared in getattr(getattr(context, "command", None), "options", ()):
        moved = moved_option(declared, key)
        if moved is not None:
            console.error(moved.message, moved.hint)
            return moved.exit_code
    console.error(message(), f"`{path} --help` lists what there is")
    return 2


def _bug(error: BaseException) -> int:
    if console.level() >= console.DEBUG:
        traceback.print_exception(error)
    last = traceback.extract_tb(error.__traceback__)[-1]
    console.error(
        f"this is a bug: {type(error).__name__}: {error} "
        f"({os.path.basename(last.filename)}:{last.lineno})",
        "give the command again with --debug and report what it prints",
    )
    return 1
