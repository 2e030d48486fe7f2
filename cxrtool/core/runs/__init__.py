"""The run directory: a folder with ``run.json`` at its start and ``result.json`` at its end.

From this one rule come up-to-date reruns (same fingerprint and complete: nothing is done), resume
(same fingerprint and incomplete: the stage goes on from its checkpoint), refusal (another
fingerprint: exit 4 with the keys that differ), provenance and safety in cron (`lock`).
"""

from cxrtool.core.fingerprints import InputRef, require_complete
from cxrtool.core.runs.execution import Attempt, execute
from cxrtool.core.runs.identity import Stage, differing_keys, identity, recorded_identity
from cxrtool.core.runs.lock import is_locked
from cxrtool.core.runs.records import LOG, METRICS, PROGRESS, RESULT, RUN, Outcome, read_metrics
from cxrtool.core.runs.run import Run

load_result = require_complete

__all__ = [
    "LOG",
    "METRICS",
    "PROGRESS",
    "RESULT",
    "RUN",
    "Attempt",
    "InputRef",
    "Outcome",
    "Run",
    "Stage",
    "differing_keys",
    "execute",
    "identity",
    "is_locked",
    "load_result",
    "read_metrics",
    "recorded_identity",
    "require_complete",
]
