"""From a plan to the images of its slots.

In: a plan, a generator, what looks at its images. Out: an image for every slot of a shard, and the
accounts of all tries. A slot is tried with the seeds H(seed, slot, 0), H(seed, slot, 1), ... until
no filter refuses, whatever becomes of other slots. Images that are there and accounted for, from a
run that was interrupted, are left as they are.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, TextIO

import numpy as np
import pandas as pd
import torch

from cxrtool.core.errors import GateError
from cxrtool.core.runs import Run
from cxrtool.data.columns import IMAGE, SOURCE, SPLIT, VIEW
from cxrtool.data.manifest import Dataset, DatasetInfo
from cxrtool.data.writer import DatasetWriter
from cxrtool.synthesis.accounts import JOURNAL, Accounts
from cxrtool.synthesis.arrays import FloatArray, IntArray
from cxrtool.synthesis.edits import Edits
from cxrtool.synthesis.panel import NEAREST, Panel
from cxrtool.synthesis.planner import Plan
from cxrtool.synthesis.sampler import BlockSampler, Launched, one_ahead
from cxrtool.synthesis.slots import Batch, Lanes, completed, in_parts, slot_seed
from cxrtool.synthesis.targets import LabelTable
from cxrtool.synthesis.writer import ImageWriter, png_chunks, slot_image
from cxrtool.training.protocols import Generator

MOST_TRIES = 100


@dataclass(frozen=True)
class Job:
    """All that a slot's image depends on.

    Attributes:
        dataset: The real set; without one the label vectors.
        table: Labels of its selected rows.
        plan: Which of them lend their labels.
        network: The generator, on `device`.
        info: ``dataset.json`` of the result.
        generator: Fingerprint of the network.
        seed: Seed of the plan.
        truncation: psi.
        block: Images a batch; part of what fixes the bits of an image.
        device: Where the network is.
        panel: What looks at the images.
        edits: What images are pushed along; None for the network as it is.
        most_tries: Tries of a slot before the run gives up.
        workers: Threads that encode.
    """

    dataset: Dataset
    table: LabelTable
    plan: Plan
    network: Generator
    info: DatasetInfo
    generator: str
    seed: int
    truncation: float
    block: int
    device: torch.device
    panel: Panel = field(default_factory=Panel)
    edits: Edits | None = None
    most_tries: int = MOST_TRIES
    workers: int = 1

    def sampler(self) -> BlockSampler:
        """The network in blocks, with the panel."""
        psi, edits = self.truncation, self.edits
        render = None if edits is None else edits.render(self.network, psi, self.device)
        return BlockSampler(self.network, self.block, psi, self.device, self.panel, render)

    def accounts(self) -> Accounts:
        """Empty accounts for all slots."""
        return Accounts(self.plan.n_synthetic, self.panel.filters, self.panel.names)

    def launcher(self) -> Callable[[Batch], Launched]:
        """Starts batches of slots."""
        sampler, sources, streams = self.sampler(), self.plan.source_rows, self.plan.stream_of
        vectors = self.table.vectors(self.network.labels)

        def launch(batch: Batch) -> Launched:
            seeds = self.seeds(batch.slots, batch.attempts)
            return sampler.launch(
                seeds,
                self.completed(vectors[sources[batch.slots]], seeds),
                batch.places,
                slots=batch.slots,
                streams=streams[batch.slots],
            )

        return launch

    def completed(self, vectors: FloatArray, seeds: Sequence[int]) -> FloatArray:
        """Label vectors without unknown ones; see `completed`."""
        return completed(vectors, seeds, self.network.labels, self.table.shares())

    def seeds(self, slots: IntArray, attempts: IntArray) -> list[int]:
        """Seed of every image of some tries of slots."""
        pairs = zip(slots.tolist(), attempts.tolist(), strict=True)
        return [slot_seed(self.seed, slot, attempt) for slot, attempt in pairs]

    def give_up(self, accounts: Accounts, slot: int) -> GateError:
        """The error for a slot that no try has filled."""
        label = self.plan.request.labels[int(self.plan.stream_of[slot])]
        counts = zip(accounts.filters, accounts.rejected[slot].tolist(), strict=True)
        refusals = ", ".join(f"{name} refused {n}" for name, n in counts if n)
        mine = (self.plan.stream_of == self.plan.stream_of[slot]) & (accounts.tries > 0)
        images, tries = int(mine.sum()), int(accounts.tries[mine].sum())
        so_far = (
            f"{images:,} images of it took {tries:,} tries" if images else "no image of it passed"
        )
        return GateError(
            f"no acceptable image of {label!r} in {self.most_tries} tries of slot {slot} "
            f"({refusals}); {so_far}",
            hint="the same command with a higher --max-tries goes on; else loosen the filter, or "
            "train the generator longer",
        )


def slots_of(plan: Plan, block: int, shard: int = 0, n_shards: int = 1) -> IntArray:
    """The slots of one shard (from 0): whole blocks, dealt out in turn."""
    slots = np.arange(plan.n_synthetic, dtype=np.int64)
    return np.asarray(slots[(slots // block) % n_shards == shard])


def fill(
    run: Run, job: Job, writer: DatasetWriter, accounts: Accounts, slots: IntArray
) -> dict[str, float]:
    """Make the images of some slots; those that are there and accounted for are kept.

    Returns:
        ``images`` that this process wrote, ``tries`` that went through the network, and ``seconds``
        from the first block to the last file.

    Raises:
        GateError: A slot found no acceptable image.
    """
    if run.resumed and accounts.silent:
        accounts.tries[slots] = [writer.have(slot_image(slot)) for slot in slots.tolist()]
    elif run.resumed:
        accounts.take_over(run, writer)
    open_slots = slots[accounts.tries[slots] == 0]
    lanes, launch, streams = Lanes(open_slots, job.block), job.launcher(), job.plan.stream_of
    done, tried = 0, 0
    started = time.monotonic()
    with (
        run.progress("making images", total=len(open_slots)) as bar,
        journal(run, accounts) as stream,
        ImageWriter(writer, job.workers) as images,
    ):
        # lanes that are empty now may be given slots back
        for batch, launched in one_ahead(lanes.take, launch):
            pixels, scores = launched.wait()
            refused = job.panel.refused_by(scores, streams[batch.slots])
            seeds, passed = job.seeds(batch.slots, batch.attempts), []
            for i, slot in enumerate(batch.slots.tolist()):
                attempt = int(batch.attempts[i])
                if not refused[i]:
                    accounts.accept(slot, attempt, scores[:, i])
                    passed.append(i)
                    continue
                accounts.reject(slot, attempt, scores[:, i], refused[i])
                if attempt + 1 >= job.most_tries:
                    raise job.give_up(accounts, slot)
                lanes.again(slot, attempt + 1)
            tried += len(refused)
            done += len(passed)
            here = batch.slots[passed].tolist()
            images.put(
                [slot_image(slot) for slot in here],
                pixels[passed],
                [png_chunks(job.generator, seeds[i]) for i in passed],
            )
            if stream is not None:
                accounts.write_journal(stream, here)
            note = f"{100 * done / tried:.0f} % accepted" if accounts.filters else ""
            bar.update(done, note)
            run.check_stop()
    passed_s = time.monotonic() - started
    return {"images": len(open_slots), "tries": tried, "seconds": passed_s}


def journal(run: Run, accounts: Accounts) -> AbstractContextManager[TextIO | None]:
    """The journal, open for appending; None where there is nothing to account for."""
    if accounts.silent:
        return nullcontext()
    return open(run.path(JOURNAL), "a", encoding="utf-8")


def close_journal(run: Run) -> None:
    """Drop the journal once everything else is written: ``filters.csv`` says the same."""
    (run.dir / JOURNAL).unlink(missing_ok=True)


def write_set(
    run: Run, job: Job, writer: DatasetWriter, accounts: Accounts, slots: IntArray
) -> None:
    """Manifest, index and ``dataset.json`` of some slots, and what the filters said.

    All of it in parts: the texts of a large set would take more memory than its network.
    """
    if not accounts.silent:
        accounts.write_table(run, slots, job.plan.stream_of, job.plan.request.labels)
    rows = (manifest_rows(job, accounts, some) for some in in_parts(slots))
    writer.finish_parts(rows, job.info)


def manifest_rows(job: Job, accounts: Accounts, slots: IntArray) -> pd.DataFrame:
    """Manifest rows of some slots, a table of strings.

    Patient, study, sex and age are blank: the image shows nobody. The view is that of the row whose
    labels it took; labels that an image cannot be said to have are blank too.
    """
    sources = job.plan.source_rows[slots]
    cells, rows = job.table.cells(sources), job.table.rows[sources]
    attempts = np.maximum(accounts.tries[slots] - 1, 0)
    columns: dict[str, Any] = {
        IMAGE: [slot_image(slot) for slot in slots.tolist()],
        VIEW: job.dataset.column(VIEW, rows),
        SPLIT: "train",
        SOURCE: "synthetic",
    }
    for i, (label, claimed) in enumerate(zip(job.dataset.labels, job.info.covered, strict=True)):
        columns[label] = cells[:, i] if claimed else ""
    columns |= {
        "generator": job.generator,
        "seed": [str(seed) for seed in job.seeds(slots, attempts)],
        # Without DATA the labels are those of a vector, of which slots.csv tells the row.
        "source_row": "" if job.info.notes.get("labels_from") else [str(r) for r in rows.tolist()],
        "truncation": repr(job.truncation),  # `float` of it gives psi back exactly
        "edit": "" if job.edits is None else job.edits.cells(slots),
        "filter_score": accounts.score_cells(slots, without=NEAREST),
        "nn_distance": accounts.cells(slots, NEAREST),
    }
    return pd.DataFrame(columns, index=np.arange(len(slots)), dtype=object)
