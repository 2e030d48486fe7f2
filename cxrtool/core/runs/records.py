"""The files of a run directory: their names, what an execution leaves, how metrics are read."""

import contextlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cxrtool.core import fingerprints

RUN_FORMAT = 1
RUN, RESULT, METRICS = "run.json", "result.json", "metrics.jsonl"
LOG, PROGRESS = "log.txt", "progress.json"
# What result.json does not list: records of one execution, and what a finished run can do without.
NOT_OUTPUTS = {RUN, RESULT, METRICS, LOG, PROGRESS}
NOT_OUTPUT_FOLDERS = {"checkpoints", "samples"}
# Whose versions are recorded.
LIBRARIES = [
    *("torch", "torchvision", "numpy", "pandas", "pillow", "scipy", "scikit-learn", "spacy"),
    "open_clip_torch",
]


@dataclass(frozen=True)
class Outcome:
    """How an execution ended.

    Args:
        folder: The run directory.
        state: ``done``, ``up-to-date`` or ``dry-run``.
        result: Content of ``result.json`` (for a dry run: the plan).
        gates: Checks that failed; the exit code is then 5.
    """

    folder: Path
    state: str
    result: dict[str, Any]
    gates: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """What ``--json`` prints: ``result.json``, or the file that the stage chose."""
        chosen = self.result.get("json")
        return fingerprints.read_json(self.folder / chosen) if chosen else self.result


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The rows of a run's ``metrics.jsonl``; a line that a kill cut short is left out."""
    rows = []
    with contextlib.suppress(FileNotFoundError):
        for line in (folder / METRICS).read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError):
                rows.append(json.loads(line))
    return rows
