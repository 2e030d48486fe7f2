"""A data set of phantoms as a file of the form that ChestMNIST has, to try without a network.

    python examples/as_medmnist.py DATA OUT.npz

Writes train_images [N, H, W] uint8 and train_labels [N, 14] uint8, and the same of val and test.
Findings that phantoms lack are stood in for by others: the form is that of ChestMNIST, not what
the images show. An OUT that is there is left as it is.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

STAND_INS = (
    "Atelectasis", "Cardiomegaly", "Pleural Effusion", "Lung Opacity", "Lung Lesion", "Fracture",
    "Pneumonia", "Pneumothorax", "Consolidation", "Edema", "Support Devices", "Pleural Other",
    "Pleural Other", "Enlarged Cardiomediastinum",
)  # fmt: skip


def main() -> None:
    """Write the file."""
    data, out = map(Path, sys.argv[1:])
    if out.exists():
        return
    with (data / "manifest.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    arrays: dict[str, Any] = {}
    for split in ("train", "val", "test"):
        own = [row for row in rows if row["split"] == split]
        images = [np.asarray(Image.open(data / row["image"])) for row in own]
        labels = [[int(row[name] == "1") for name in STAND_INS] for row in own]
        arrays[f"{split}_images"] = np.stack(images).astype(np.uint8)
        arrays[f"{split}_labels"] = np.array(labels, dtype=np.uint8)
    part = out.with_suffix(".part")
    with part.open("wb") as stream:
        np.savez_compressed(stream, **arrays)
    part.replace(out)


if __name__ == "__main__":
    main()
