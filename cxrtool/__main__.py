"""``python -m cxrtool`` is ``cxr``; this is also what torchrun starts."""

import atexit
import contextlib
import gc
import os
import sys
import threading

from cxrtool.core import streams

#: New objects between looks for garbage. Imports make very many objects and hardly any garbage.
_GC_THRESHOLD = 200_000


def main() -> None:
    """Entry point of the ``cxr`` script; does not return."""
    gc.set_threshold(_GC_THRESHOLD)
    streams.guard()
    from cxrtool.cli import main as run

    code = run()
    threading.excepthook = lambda _: None  # threads that are still at work have nothing to say
    # The interpreter would take its modules apart one by one, a tenth of a second for pandas and
    # more for torch. Every file is closed by now, so the process may simply end.
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
