"""Small data sets to test the data package on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cxrtool.core.runs import Run
from cxrtool.data.images import FITS, KERNEL, pixel_key
from cxrtool.data.manifest import DatasetInfo, DatasetWriter

Make = Callable[..., Path]


@pytest.fixture
def make_dataset(tmp_path: Path) -> Make:
    """A function that writes a dataset directory from columns and returns its path."""
    from PIL import Image

    def make(
        columns: dict[str, list[str]],
        labels: tuple[str, ...] = ("Edema",),
        size: int | None = 8,
        name: str = "data",
        **info: Any,
    ) -> Path:
        table = pd.DataFrame(columns, dtype=str)
        for label in labels:
            if label not in table:
                table[label] = "0"
        if "source" not in table:
            table["source"] = "real"
        run = Run.for_test(tmp_path / name)
        values: dict[str, Any] = {
            "labels": labels,
            "covered": (True,) * len(labels),
            "size": size,
            "fit": FITS[0] if size else None,
            "kernel": KERNEL if size else None,
            "namespace": "test",
            "patients": True,
            "source": "made for a test",
        }
        writer = DatasetWriter(run, DatasetInfo(**{**values, **info}))
        if size is not None:
            names = [f"images/{i:03d}.png" for i in range(len(table))]
            if "image" not in table:
                table["image"] = names
            keys = []
            for index, image in enumerate(table["image"]):
                pixels = np.random.default_rng(index).integers(0, 256, (size, size), np.uint8)
                writer.add_image(image, pixels)
                keys.append(pixel_key(Image.fromarray(pixels)))
            if "pixel_key" not in table:
                table["pixel_key"] = keys
        writer.finish(table)
        return run.dir

    return make
