"""Contact sheets: for every class real images beside synthetic ones that took their labels.

In: a finished synthetic set and the real set. Out: ``samples/<class>.png``. A person who looks at
one sees at once whether the class is there and whether blur or texture gives the synthetic ones
away.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cxrtool.data.cache import resized
from cxrtool.data.images import contact_sheet, read_png
from cxrtool.data.manifest import Dataset
from cxrtool.synthesis.arrays import IntArray
from cxrtool.synthesis.writer import slot_image

if TYPE_CHECKING:
    from cxrtool.core.runs import Run


PAIRS = 16
COLUMNS = 8
TILE_PX = 128  # smaller images are enlarged to about this


def write_sheets(
    run: Run,
    labels: Sequence[str],
    streams: IntArray,
    slots: IntArray,
    source_rows: IntArray,
    real: Dataset,
    size: int,
) -> list[str]:
    """Write one sheet a class that has images.

    Args:
        run: The run whose images are shown.
        labels: The target classes [K].
        streams: Which of them every slot of the plan serves.
        slots: The slots that were made [n], ascending.
        source_rows: Row of the real set's manifest for every slot of the plan.
        real: The real set; without pixels the sheet shows synthetic images alone.
        size: Side of the synthetic images, pixels.

    Returns:
        Names of the files.
    """
    written = []
    for k, label in enumerate(labels):
        shown = slots[streams[slots] == k][:PAIRS]
        if not len(shown):
            continue
        images, captions = [], []
        for slot in shown.tolist():
            row = int(source_rows[slot])
            if real.info.size is not None:
                pixels = read_png(real.image_path(row), real.info.size)[np.newaxis]
                images.append(resized(pixels, size)[0])
                captions.append("real")
            images.append(read_png(run.dir / slot_image(slot), size))
            captions.append(f"synthetic {slot}")
        scale = max(1, TILE_PX // size)
        name = f"samples/{_slug(label)}.png"
        sheet = contact_sheet(np.stack(images), COLUMNS, captions, scale)
        with run.atomic(name) as path:
            sheet.save(path, "PNG")
        written.append(name)
    return written


def _slug(label: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-") or "class"
