"""Names of the files of a run directory, and how its metrics are read."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

RUN_FORMAT = 1
RUN, RESULT, METRICS, LOG, PROGRESS = (
    "run.json",
    "result.json",
    "metrics.jsonl",
    "log.txt",
    "progress.json",
)
# What result.json does not list: records of one execution, and what a finished run can do without.
NOT_OUTPUTS = {RUN, RESULT, METRICS, LOG, PROGRESS}
NOT_OUTPUT_FOLDERS = {"checkpoints", "samples"}
LIBRARIES = (  # whose versions are recorded
    "torch",
    "torchvision",
    "numpy",
    "pandas",
    "pillow",
    "scipy",
    "scikit-learn",
    "spacy",
    "open_clip_torch",
)


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The rows of a run's ``metrics.jsonl``; a line that a kill cut short is left out."""
    rows = []
    with contextlib.suppress(FileNotFoundError):
        for line in (folder / METRICS).read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError):
                rows.append(json.loads(line))
    return rows
