"""Through which chain a leak came: the runs that a run was made from, followed to who saw the rows.

In: the folder of a run and rows that it must not have seen. Out: a few words, such as "through its
synth SYNTH, its generator GAN". Only folders that still lie where `run.json` says can be followed;
the refusal itself needs none of them, because every `seen.json` holds what its inputs saw.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from cxrtool.core.errors import InputError
from cxrtool.data.keys import SEEN, Seen, find_overlap
from cxrtool.data.manifest import Dataset

_ROLES = {
    "synth": "synthetic set",
    "gan": "generator",
    "clip": "CLIP",
    "teacher": "teacher",
    "features": "feature extractor",
    "init": "starting weights",
    "init-from": "starting weights",
    "data": "data set",
}
_DEEPEST = 8


def chain(folder: Path, dataset: Dataset, rows: np.ndarray | None) -> str:
    """The inputs through which a run has seen any of the rows; "" where it saw them itself.

    Args:
        folder: A run directory with `seen.json`.
        dataset: The data set of the rows.
        rows: The rows; None for all.
    """
    steps = _follow(folder, dataset, rows, 0)
    return "through " + ", ".join(steps) if steps else ""


def _follow(folder: Path, dataset: Dataset, rows: np.ndarray | None, depth: int) -> list[str]:
    if depth >= _DEEPEST:
        return []
    for role, path in _inputs(folder):
        try:
            overlap = find_overlap(Seen.load(path), dataset, rows).images
        except InputError:
            continue
        if overlap:
            name = _ROLES.get(role, role)
            return [f"its {name} {path.name}", *_follow(path, dataset, rows, depth + 1)]
    return []


def _inputs(folder: Path) -> list[tuple[str, Path]]:
    """(role, path) of the inputs of a run that carry a `seen.json`."""
    try:
        record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        found = [(str(entry["role"]), Path(entry["path"])) for entry in record["inputs"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [(role, path) for role, path in found if (path / SEEN).is_file()]
