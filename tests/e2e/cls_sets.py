"""Small real and synthetic dataset directories for the tests of train-cls and evaluate.

Label A is a bright blob on the left, label B a dark lower half; C never occurs. Nothing here is a
radiograph: these tests are about the stages, not about pictures.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cxrtool.core.runs import Run
from cxrtool.data.images import KERNEL
from cxrtool.data.keys import Seen
from cxrtool.data.manifest import DatasetInfo, load_dataset
from cxrtool.data.writer import DatasetWriter

SIZE = 24
LABELS = ("A", "B", "C")


def draw(labels: np.ndarray, rng: np.random.Generator, size: int = SIZE) -> np.ndarray:
    """[N, 2] labels -> [N, size, size] uint8; one in ten shows the opposite, as in real labels."""
    labels = np.where(rng.random(labels.shape) < 0.1, 1 - labels, labels)
    x = rng.normal(120, 18, (len(labels), size, size))
    x[:, size // 4 : size // 2, 2 : size // 3] += 45 * labels[:, 0, None, None]
    x[:, 2 * size // 3 :] -= 35 * labels[:, 1, None, None]
    return x.clip(0, 255).astype(np.uint8)


def write(
    folder: Path, table: pd.DataFrame, images: np.ndarray, *, synthetic: bool = False, **info: Any
) -> Path:
    """Write a dataset directory with these rows and images."""
    values: dict[str, Any] = {
        "labels": LABELS,
        "covered": (True,) * len(LABELS),
        "size": images.shape[1],
        "fit": "crop",
        "kernel": KERNEL,
        "namespace": "test",
        "patients": not synthetic,
        "source": "Blobs <test>",
        "synthetic": synthetic,
        **info,
    }
    run = Run.for_test(folder)
    writer = DatasetWriter(run, DatasetInfo(**values))
    names = [f"images/{i:05d}.png" for i in range(len(table))]
    for name, image in zip(names, images):
        writer.add_image(name, image)
    writer.finish(table.assign(image=names))
    return folder


def real(folder: Path, n: int = 160, seed: int = 0, **info: Any) -> Path:
    """A real set: two images a patient, splits 60/20/20 by patient, all cells 1 or 0."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((n, 2)) < [0.4, 0.3]).astype(int)
    patient = np.arange(n) // 2
    split = np.array(["train", "train", "train", "val", "test"])[patient % 5]
    table = pd.DataFrame(
        {
            "patient_id": [f"p{seed}-{k:04d}" for k in patient],
            "split": split,
            "source": "real",
            "sex": np.where(patient % 3 == 0, "F", "M"),
            "age": [str(20 + 7 * (k % 10)) for k in patient],
            "report": "a <secret> report text",
            "A": labels[:, 0].astype(str),
            "B": labels[:, 1].astype(str),
            "C": "0",
            "pixel_key": [f"{seed:04x}{k:012x}" for k in range(n)],
        }
    )
    size = info.pop("size", SIZE)
    return write(folder, table, draw(labels, rng, size), **info)


def synth(
    folder: Path, data: Path, n: int = 40, seed: int = 7, generator: str = "f" * 12, **info: Any
) -> Path:
    """A synthetic set whose labels come from train rows of `data` that carry A."""
    rng = np.random.default_rng(seed)
    real_set = load_dataset(data)
    train = np.flatnonzero(real_set.column("split") == "train")
    pool = train[real_set.column("A", train) == "1"]
    rows = rng.choice(pool, n)
    labels = np.stack([real_set.column(k, rows).astype(int) for k in ("A", "B")], axis=1)
    table = pd.DataFrame(
        {
            "source": "synthetic",
            "A": labels[:, 0].astype(str),
            "B": labels[:, 1].astype(str),
            "C": "0",
            "generator": generator,
            "source_row": rows.astype(str),
        }
    )
    notes = {"data": real_set.info.digest}
    made = write(folder, table, draw(labels, rng), synthetic=True, notes=notes, **info)
    Seen.of(real_set, train).save(Run.for_test(folder))
    return made
