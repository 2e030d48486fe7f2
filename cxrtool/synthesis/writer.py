"""Synthetic images on disk: PNG files written by threads, and contact sheets to look at.

In: uint8 images by slot. Out: ``images/.../<slot>.png`` with text chunks that say what they are,
and ``samples/<class>.png``. Encoding runs in threads beside the network; the number of blocks that
wait is bounded, so memory does not grow with the plan. A sheet shows for one class real images
beside the synthetic ones that took their labels: a person who looks at one sees at once whether the
class is there and whether blur or texture gives the synthetic ones away.
"""

import re
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Self

import numpy as np

from cxrtool.core.runs import Run
from cxrtool.data.cache import resized
from cxrtool.data.columns import image_name
from cxrtool.data.images import contact_sheet, read_png
from cxrtool.data.manifest import Dataset, DatasetInfo
from cxrtool.data.writer import DatasetWriter
from cxrtool.synthesis.arrays import ByteArray, IntArray

PAIRS = 16
COLUMNS = 8
TILE_PX = 128  # smaller images are enlarged to about this
STATEMENT = "made by a generative network; shows no person"


def slot_image(slot: int) -> str:
    """Path of a slot's image, the same in every shard."""
    return image_name(slot, digits=8)


def slot_of(name: str) -> int:
    """The slot of an image by its path; the inverse of `slot_image`.

    Raises:
        ValueError: The name is none that synthesize gives.
    """
    slot = int(name.rsplit("/", 1)[-1].removesuffix(".png"))
    if slot_image(slot) != name:
        raise ValueError(name)
    return slot


def png_chunks(generator: str, seed: int) -> dict[str, str]:
    """PNG text chunks: a file taken out of its folder still says that it is not real."""
    return {
        "synthetic": "true",
        "Comment": f"synthetic: true; {STATEMENT}; generator={generator}; seed={seed}",
    }


class ImageWriter:
    """Encodes and writes blocks of images in threads.

    Use as a context manager: leaving it waits for all images; a failed write is raised at the next
    call, so that a full disk stops the run at once.

    Args:
        writer: Writes the dataset directory.
        workers: Threads.
    """

    def __init__(self, writer: DatasetWriter, workers: int) -> None:
        self._writer = writer
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="encode")
        self._waiting: deque[Future[None]] = deque()
        self._most_waiting = 2 * workers

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        try:
            while self._waiting and error is None:
                self._waiting.popleft().result()
        finally:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def put(
        self, names: Sequence[str], images: ByteArray, chunks: Sequence[dict[str, str]]
    ) -> None:
        """Write images [n, H, W] under their names; returns as soon as they are queued."""

        def write() -> None:
            for name, image, text in zip(names, images, chunks, strict=True):
                self._writer.add_image(name, image, text=text)

        while len(self._waiting) >= self._most_waiting:
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(write))


def synthetic_info(
    real: DatasetInfo,
    *,
    claimed: tuple[bool, ...],
    preprocessing: Mapping[str, Any],
    notes: Mapping[str, Any],
) -> DatasetInfo:
    """``dataset.json`` of the synthetic set.

    Args:
        real: That of the real set.
        claimed: Whether an image can be said to have each label: the source covers it and the
            generator knows it.
        preprocessing: Of the generator: ``size``, and ``fit`` and ``kernel`` where known.
        notes: What else to record.
    """
    return DatasetInfo(
        labels=real.labels,
        covered=claimed,
        kind=real.kind,
        size=int(preprocessing["size"]),
        fit=preprocessing.get("fit") or real.fit,
        kernel=preprocessing.get("kernel") or real.kernel,
        namespace=real.namespace,
        patients=False,
        source=f"synthetic, after {real.source}",
        licence=real.licence,
        citation=real.citation,
        synthetic=True,
        notes={"synthetic": f"Every image here is {STATEMENT}.", **notes},
    )


def write_sheets(
    run: Run,
    labels: Sequence[str],
    streams: IntArray,
    slots: IntArray,
    source_rows: IntArray,
    real: Dataset | None,
    size: int,
) -> list[str]:
    """Write one sheet a class that has images.

    Args:
        run: The run whose images are shown.
        labels: The target classes [K].
        streams: Which of them every slot of the plan serves.
        slots: The slots that were made [n], ascending.
        source_rows: Row of the real set's manifest for every slot of the plan.
        real: The real set; without it or its pixels the sheet shows synthetic images alone.
        size: Side of the synthetic images, pixels.

    Returns:
        Names of the files.
    """
    written = []
    for k, label in enumerate(labels):
        images, captions = [], []
        for slot in slots[streams[slots] == k][:PAIRS].tolist():
            if real is not None and real.info.size is not None:
                pixels = read_png(real.image_path(int(source_rows[slot])), real.info.size)
                images.append(resized(pixels[np.newaxis], size)[0])
                captions.append("real")
            images.append(read_png(run.dir / slot_image(slot), size))
            captions.append(f"synthetic {slot}")
        if images:
            slug = re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-") or "class"
            written.append(f"samples/{slug}.png")
            sheet = contact_sheet(np.stack(images), COLUMNS, captions, max(1, TILE_PX // size))
            with run.atomic(written[-1]) as path:
                sheet.save(path, "PNG")
    return written
