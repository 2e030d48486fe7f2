"""Small sources for the tests of prepare, and a way to run it in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cxrtool import cli
from cxrtool.core.config.values import resolve
from cxrtool.core.runs.execution import execute
from cxrtool.data.manifest import Dataset, load_dataset

stage = cli.stages()["prepare"]


def drawing(seed: int, height: int = 40, width: int = 32) -> np.ndarray:
    """A smooth picture of its own: uint8 [height, width]."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 5), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def write_source(folder: Path, patients: int = 12, **columns: list[str]) -> Path:
    """Two images a patient and ``labels.csv``; ``columns`` add to it or replace columns."""
    (folder / "images").mkdir(parents=True)
    count = 2 * patients
    table: dict[str, list[str]] = {
        "path": [f"images/{i}.png" for i in range(count)],
        "patient_id": [f"p{i // 2}" for i in range(count)],
        "study_id": [f"s{i}" for i in range(count)],
        "Edema": [str(i % 2) for i in range(count)],
        "Fracture": ["", "1", "0", "-1"] * (count // 4),
    }
    table.update(columns)
    for i in range(count):
        Image.fromarray(drawing(i)).save(folder / f"images/{i}.png")
    write_table(folder, table)
    return folder


def write_table(folder: Path, table: dict[str, list[str]]) -> None:
    lines = [",".join(table), *(",".join(row) for row in zip(*table.values(), strict=True))]
    (folder / "labels.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def prepare(source: Path | None, out: Path, **options: Any) -> Dataset:
    """Run ``cxr prepare`` in this process and load what it wrote."""
    values = {"source": source, "format": "table", "size": 16, "workers": 1, **options}
    execute(stage, resolve(stage.Config, values), out)
    return load_dataset(out)
