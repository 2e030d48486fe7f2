"""From a plan to a synthetic dataset directory.

In: a plan, the real set, a generator. Out: images, manifest and ``dataset.json`` of the slots of
one shard. Blocks whose images are all there, from a run that was interrupted, are left as they are;
the others are made again, to the same bytes.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from cxrtool.data.manifest import Dataset, DatasetInfo
from cxrtool.data.writer import DatasetWriter
from cxrtool.synthesis.planner import Plan
from cxrtool.synthesis.pools import LabelTable
from cxrtool.synthesis.sampler import BlockSampler, finish, one_ahead
from cxrtool.synthesis.slots import Block, LabelVectors, block_of, slot_seed
from cxrtool.synthesis.writer import ImageWriter, Origin, image_name, manifest_rows
from cxrtool.training.protocols import Generator

if TYPE_CHECKING:
    from cxrtool.runs import Run


@dataclass(frozen=True)
class Made:
    """What one shard holds when it is done.

    Attributes:
        slots: Its slots, ascending [n].
        new: Images made by this process; the rest was there.
        seconds: Time from the first block to the last file.
    """

    slots: npt.NDArray[np.int64]
    new: int
    seconds: float


def make_images(
    run: Run,
    dataset: Dataset,
    table: LabelTable,
    plan: Plan,
    network: Generator,
    info: DatasetInfo,
    origin: Origin,
    *,
    block: int,
    shard: int = 0,
    n_shards: int = 1,
    device: torch.device,
    workers: int,
) -> Made:
    """Make the images of one shard and write its dataset directory.

    Args:
        run: The run to write into.
        dataset: The real set.
        table: Labels of its selected rows.
        plan: Which of them lend their labels.
        network: The generator, on `device`.
        info: ``dataset.json`` of the result.
        origin: Generator, seed and truncation.
        block: Images a batch; part of what fixes the bits of an image.
        shard: Which part, from 0.
        n_shards: Of how many.
        device: Where the network is.
        workers: Threads that encode.
    """
    sampler = BlockSampler(network, block=block, truncation=origin.truncation, device=device)
    vectors = LabelVectors(table.values, table.labels, table.usable, network.labels)
    writer = DatasetWriter(run, info)
    sources = plan.source_rows
    slots = np.arange(len(sources), dtype=np.int64)
    slots = slots[(slots // block) % n_shards == shard]

    def missing(b: Block) -> bool:
        return not all(writer.have(image_name(slot)) for slot in b.slots.tolist())

    def start(b: Block) -> tuple[list[int], torch.Tensor]:
        seeds = [slot_seed(origin.seed, slot) for slot in b.slots.tolist()]
        return seeds, sampler.launch(seeds, vectors.rows(sources[b.slots]), b.places)

    new = 0
    started = time.monotonic()
    blocks = (block_of(b, block, len(sources)) for b in sorted({*(slots // block).tolist()}))
    if run.resumed:
        blocks = (b for b in blocks if missing(b))
    with (
        run.progress("making images", total=len(slots)) as bar,
        ImageWriter(writer, workers) as images,
    ):
        for b, (seeds, batch) in one_ahead(blocks, start):
            names = [image_name(slot) for slot in b.slots.tolist()]
            images.put(names, finish(batch), [origin.chunks(seed) for seed in seeds])
            new += len(b.slots)
            bar.advance(len(b.slots))
            run.check_stop()
    seconds = time.monotonic() - started
    rows = manifest_rows(
        dataset,
        slots,
        table.rows[sources[slots]],
        table.values[sources[slots]],
        claimed_labels(table, network.labels),
        origin,
    )
    writer.finish(rows, info)
    return Made(slots, new, seconds)


def claimed_labels(table: LabelTable, known: tuple[str, ...]) -> tuple[bool, ...]:
    """Which labels an image can be said to have: covered by the source, known to the generator."""
    return tuple(
        usable and name in known for name, usable in zip(table.labels, table.usable, strict=True)
    )
