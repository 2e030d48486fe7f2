"""Synthetic images on disk: PNG files written by threads, and the rows that account for them.

In: uint8 images by slot. Out: ``images/.../<slot>.png`` with text chunks that say what they are,
and manifest rows with generator, seed, label row and truncation. Encoding runs in threads beside
the network; the number of blocks that wait is bounded, so memory does not grow with the plan.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxrtool.data.columns import IMAGE, SOURCE, SPLIT, VIEW, image_name
from cxrtool.data.manifest import Dataset, DatasetInfo
from cxrtool.data.writer import DatasetWriter
from cxrtool.synthesis.slots import slot_seed

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


@dataclass(frozen=True)
class Origin:
    """What all images of one run have in common.

    Attributes:
        generator: Fingerprint of the network.
        seed: Seed of the plan.
        truncation: psi.
    """

    generator: str
    seed: int
    truncation: float

    @property
    def truncation_text(self) -> str:
        """psi as the manifest has it; `float` of it gives psi back exactly."""
        return repr(self.truncation)

    def chunks(self, seed: int) -> dict[str, str]:
        """PNG text chunks of the image of one slot's seed."""
        return png_chunks(self.generator, seed)


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

    def __enter__(self) -> ImageWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            while self._waiting and error is None:
                self._waiting.popleft().result()
        finally:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def put(
        self,
        names: Sequence[str],
        images: npt.NDArray[np.uint8],
        chunks: Sequence[Mapping[str, str]],
    ) -> None:
        """Write images [n, H, W] under their names; returns as soon as they are queued."""
        if not names:
            return
        while len(self._waiting) >= self._most_waiting:
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(self._write, names, images, chunks))

    def _write(
        self,
        names: Sequence[str],
        images: npt.NDArray[np.uint8],
        chunks: Sequence[Mapping[str, str]],
    ) -> None:
        for name, image, text in zip(names, images, chunks, strict=True):
            self._writer.add_image(name, image, text=dict(text))


def manifest_rows(
    dataset: Dataset,
    slots: npt.NDArray[np.int64],
    source_rows: npt.NDArray[np.int64],
    values: npt.NDArray[np.uint8],
    claimed: tuple[bool, ...],
    origin: Origin,
    *,
    attempts: npt.NDArray[np.int64],
    filter_score: Sequence[str],
    nn_distance: Sequence[str],
    edit: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Manifest rows of some slots.

    Args:
        dataset: The real set.
        slots: Slot numbers [n].
        source_rows: Rows of the real set's manifest, from 0, whose labels they take [n].
        values: Labels of those rows under the policy [n, L].
        claimed: Whether an image can be said to have each label: the source covers it and the
            generator knows it. The others stay blank.
        origin: Generator, seed, truncation.
        attempts: Which try of each slot was kept, from 0 [n].
        filter_score: What meters said of each image [n].
        nn_distance: Distance of each to the nearest training image [n].
        edit: What each was pushed with [n]; None for nothing.

    Returns:
        A table of strings. Patient, study, sex and age are blank: the image shows nobody. The view
        is that of the row: rows of the selected views only were planned with.
    """
    columns: dict[str, Any] = {
        IMAGE: [slot_image(int(slot)) for slot in slots],
        VIEW: dataset.column(VIEW, source_rows),
        SPLIT: "train",
        SOURCE: "synthetic",
    }
    cells = np.array(["0", "1"], dtype=object)
    for i, label in enumerate(dataset.labels):
        columns[label] = cells[values[:, i]] if claimed[i] else ""
    columns["generator"] = origin.generator
    columns["seed"] = [
        str(slot_seed(origin.seed, slot, attempt))
        for slot, attempt in zip(slots.tolist(), attempts.tolist(), strict=True)
    ]
    columns["source_row"] = [str(row) for row in source_rows.tolist()]
    columns["truncation"] = origin.truncation_text
    columns["edit"] = "" if edit is None else list(edit)
    columns["filter_score"] = list(filter_score)
    columns["nn_distance"] = list(nn_distance)
    return pd.DataFrame(columns, index=np.arange(len(slots)), dtype=object)


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
        claimed: As in `manifest_rows`.
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
