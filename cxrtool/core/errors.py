"""The expected errors of cxr and their exit codes (the reference: "Exit codes").

An expected error is one line that says what is wrong and, in ``hint``, what to do next. Everything
else that escapes is a bug and exits 1. Exceptions become exit codes in ``cli`` alone.
"""

import signal
from pathlib import Path

REASON_MOST = 160  # characters of a reason

#: Exit code -> what it means: the table of the reference and of ``cxr --help``.
EXIT_CODES = {
    0: "done, or already up to date",
    1: "a bug",
    2: "wrong options or configuration",
    3: "bad input: missing, unreadable, of the wrong form (file, row and column are named)",
    4: "the output folder belongs to other options or inputs",
    5: "a check failed: a leak, a divergence, --min-auroc not met",
    75: "another process holds the folder",
    129: "the terminal was closed; the same command goes on",
    130: "interrupted (Ctrl-C); the same command goes on",
    137: "a worker process was killed, mostly for want of memory",
    141: "the reader closed the pipe",
    143: "stopped (SIGTERM); the same command goes on",
}


class CxrError(Exception):
    """Base of all expected errors.

    Args:
        message: One line, without a final full stop where it ends in a path.
        hint: The next step for the user, or None.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message, self.hint = message, hint
        if hint:
            self.add_note(f"hint: {hint}")  # seen in the tracebacks of those who call from Python

    def __str__(self) -> str:
        return self.message


class UsageError(CxrError):
    """Wrong options or configuration."""

    exit_code = 2


class InputError(CxrError):
    """Input that is missing, unreadable or of the wrong form.

    Args:
        message: What is wrong.
        file: The file that is at fault.
        row: Line of the table as an editor counts records: the header is row 1.
        column: Name of the column.
        hint: The next step for the user.
    """

    exit_code = 3

    def __init__(
        self,
        message: str,
        *,
        file: Path | str | None = None,
        row: int | None = None,
        column: str | None = None,
        hint: str | None = None,
    ) -> None:
        places = ((file, f"{file}"), (row, f"row {row}"), (column, f"column {column!r}"))
        where = ", ".join(text for value, text in places if value is not None)
        super().__init__(f"{where}: {message}" if where else message, hint=hint)
        self.reason, self.file, self.row, self.column = message, file, row, column


class OutputMismatchError(CxrError):
    """The output folder belongs to other options or other inputs."""

    exit_code = 4


class GateError(CxrError):
    """A check that was asked for failed: a leak, a divergence, a required score not met."""

    exit_code = 5


class BusyError(CxrError):
    """Another process holds the output folder."""

    exit_code = 75


class WorkerDiedError(CxrError):
    """A worker process ended before its work was done, mostly killed for want of memory.

    Args:
        status: Its exit code, below zero for a signal.
    """

    exit_code = 128 + signal.SIGKILL

    def __init__(self, status: int | None) -> None:
        names = {-number.value: number.name for number in signal.Signals}
        how = f"was killed ({names[status]})" if status in names else f"ended with code {status}"
        super().__init__(
            f"a worker process {how}",
            hint="mostly the memory did not suffice: give the same command with fewer --workers, or"
            " more memory; --workers 1 shows whether one file is at fault",
        )


class InterruptedRunError(CxrError):
    """SIGINT, SIGTERM or SIGHUP arrived; what could be kept has been written."""

    def __init__(self, signum: int) -> None:
        super().__init__(
            f"interrupted by {signal.Signals(signum).name}; nothing finished is lost",
            hint="run the same command again to go on",
        )
        self.exit_code = 128 + signum


def reason_of(error: BaseException) -> str:
    """One line of a library's message, for a warning: the first of the innermost cause."""
    while (inner := error.__cause__ or getattr(error, "inner_exception", None)) is not None:
        error = inner
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__} {text}".strip()[:REASON_MOST]


def sentence_of(error: BaseException) -> str:
    """The first sentence of a library's message on a file that it cannot read.

    One that has no word, as of an unknown key, says nothing; one of torch on pickles says how to
    load them nevertheless, and is replaced.
    """
    line = str(error).strip().partition("\n")[0].partition(". ")[0][:REASON_MOST]
    if (
        "weights only" in line.lower().replace("_", " ")
        or type(error).__name__ == "UnpicklingError"
    ):
        return "it holds more than tensors, or is damaged"
    if not any(letter.isalpha() for letter in line):
        return f"it is damaged ({type(error).__name__})"
    return line
