"""Processes beside the first one of ``torchrun``: they compute with it and leave no trace.

In: the environment that ``torchrun`` sets. The process of rank 0 holds the folder and writes; the
others run the same stage on a folder of their own that is thrown away.
"""

import os
import tempfile
import time
from pathlib import Path
from typing import Any

from cxrtool.core import config as configs
from cxrtool.core import console, fingerprints
from cxrtool.core.errors import CxrError
from cxrtool.core.fingerprints import InputRef
from cxrtool.core.runs.identity import Stage, digest, identity, recorded_identity
from cxrtool.core.runs.lock import is_locked
from cxrtool.core.runs.records import RESULT, RUN, Outcome
from cxrtool.core.runs.run import Run

_PATIENCE_S = 600.0


def several() -> bool:
    """Whether ``torchrun`` has started more than one process."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def rank() -> int:
    """Number of this process among them."""
    return int(os.environ.get("RANK", "0"))


def help_out(stage: Stage, config: Any, out: Path) -> Outcome:
    """Work with the process that holds ``out``, or find that nothing is left to do.

    Raises:
        CxrError: That process did not start.
    """
    console.configure(console.QUIET)
    cache = fingerprints.StatCache(None)
    inputs = [fingerprints.fingerprint_input(r, p, cache) for r, p in configs.input_paths(config)]
    record, complete = _wait_for(stage, config, inputs, out)
    if complete:
        return Outcome(out, "helped", {})
    with tempfile.TemporaryDirectory(prefix="cxr-helper-") as folder:
        run = Run(Path(folder), stage.NAME, config, inputs, record["fingerprint"], helping=out)
        with run.heed_signals():
            stage.run(config, run)
    return Outcome(out, "helped", {})


def _wait_for(
    stage: Stage, config: Any, inputs: list[InputRef], out: Path
) -> tuple[dict[str, Any], bool]:
    """The record of the run, once its process is at work, and whether it is complete already."""
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        if (out / RUN).exists():
            record = fingerprints.read_json(out / RUN)
            own = identity(stage, config, inputs, recorded_identity(record))
            if record.get("fingerprint") == digest(own):
                if is_locked(out):
                    return record, False
                if (out / RESULT).exists():
                    return record, True
        time.sleep(0.1)
    raise CxrError(f"the first process did not begin with {out}")
