"""What the fork server of `pool` imports so that its socket goes when it goes.

The server ends when no process that uses it is left, also where they were killed and could not tidy
up. Workers end without these handlers. Signals to the whole group (a terminal that closes, a
scheduler) leave it to the process that it serves.
"""

import atexit
import os
import shutil
import signal
from multiprocessing import forkserver

for _signum in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(_signum, signal.SIG_IGN)


@atexit.register
def _remove() -> None:
    address = getattr(forkserver._forkserver, "_forkserver_address", None)
    if isinstance(address, str) and os.path.basename(os.path.dirname(address)).startswith("cxr-"):
        shutil.rmtree(os.path.dirname(address), ignore_errors=True)
