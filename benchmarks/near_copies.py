"""How many disguised copies are recognized, and how many images of clean sets are listed.

    python benchmarks/near_copies.py DATA SOURCE --images 60

In: a data set that was prepared with a test split of other patients, and the folder of its table
`labels.csv` with the originals. Out: rows of test that are listed as near copies of training rows
(on a clean set these are false), the share of disguised training images that is found, by disguise,
and the processor time an image. What is listed is also a sheet to look at (`--sheet FILE`).
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from cxrtool.data import near
from cxrtool.data.cache import pixels
from cxrtool.data.images import fit_image
from cxrtool.data.manifest import load_dataset
from cxrtool.data.near_rows import NearRows, picture
from cxrtool.training.rng import numpy_rng
from tests.disguises import DISGUISES


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("source", type=Path)
    parser.add_argument("--images", type=int, default=60, help="training images to disguise")
    parser.add_argument("--sheet", type=Path, help="where the pairs that are listed are drawn")
    options = parser.parse_args()

    data = load_dataset(options.data)
    size, images, split = int(data.info.size or 0), pixels(data), data.column("split")
    train, test = np.flatnonzero(split == "train"), np.flatnonzero(split == "test")
    start = time.process_time()
    pairs = near.near_copies(images, test, images, train)
    spent = (time.process_time() - start) / len(test) * 1e3
    print(
        f"{options.data.name}, {size} px: {len(pairs)} of {len(test):,} test images are listed"
        f" against {len(train):,} training images; {spent:.1f} ms an image"
    )
    listed = NearRows(data, data, pairs)
    if pairs and options.sheet:
        picture([listed]).save(options.sheet)

    rng = numpy_rng("benchmark near copies", 0)
    some = np.sort(rng.choice(train, min(options.images, len(train)), replace=False))
    originals = pd.read_csv(options.source / "labels.csv", dtype=str)["path"]
    grays = [Image.open(options.source / originals[row]).convert("L") for row in some.tolist()]
    for name, change in DISGUISES.items():
        planted = np.stack([fit_image(change(gray), size, str(data.info.fit)) for gray in grays])
        hits = near.near_copies(planted, np.arange(len(some)), images, train)
        lowest = min((pair.likeness for pair in hits), default=0.0)
        print(f"  {name}: {len(hits)} of {len(some)}, lowest likeness {lowest:.3f}")


if __name__ == "__main__":
    main()
