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
from typing import Any

from cxrtool.data.columns import image_name
from cxrtool.data.manifest import DatasetInfo
from cxrtool.data.writer import DatasetWriter
from cxrtool.synthesis.arrays import ByteArray

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

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        try:
            while self._waiting and error is None:
                self._waiting.popleft().result()
        finally:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def put(
        self,
        names: Sequence[str],
        images: ByteArray,
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
        images: ByteArray,
        chunks: Sequence[Mapping[str, str]],
    ) -> None:
        for name, image, text in zip(names, images, chunks, strict=True):
            self._writer.add_image(name, image, text=dict(text))


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
