"""``duplicate``: no image of a set may be nearly the same as an earlier one.

In: a set whose slots are all filled, of one process or of all shards. Out: the same set, where
every image that is too near to the image of a lower slot was replaced by its slot's next try that
all filters accept. Slots are settled in ascending order, so the outcome is the same however they
were made. Too near means: less than half as far as the nearest two real images of different people.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from cxrtool.core.runs import Run
from cxrtool.data.images import read_png
from cxrtool.data.writer import DatasetWriter
from cxrtool.synthesis.accounts import Accounts
from cxrtool.synthesis.arrays import ByteArray, IntArray
from cxrtool.synthesis.descriptors import CHUNK, Gallery, describe, distance_of, usual_nearness
from cxrtool.synthesis.generate import Job, journal
from cxrtool.synthesis.sampler import Launched
from cxrtool.synthesis.slots import Batch, slot_seed
from cxrtool.synthesis.writer import png_chunks, slot_image

NAME = "duplicate"
PART = 0.5


def duplicate_limit(gallery: Gallery, people: IntArray) -> float:
    """The least accepted distance of two images of one set; 0.02 where nothing can be compared."""
    distances, _ = usual_nearness(gallery, people)
    nearest = float(distances.min()) if len(distances) else 0.04
    return float(f"{PART * nearest:.4g}")


@torch.inference_mode()
def replace_duplicates(
    run: Run, job: Job, writer: DatasetWriter, accounts: Accounts, limit: float
) -> int:
    """Settle all slots of a set.

    Args:
        run: The run that holds the set.
        job: How its images are made.
        writer: Writes them.
        accounts: Of all slots, all filled.
        limit: Least accepted distance.

    Returns:
        How many images were replaced.

    Raises:
        GateError: A slot found no image that is accepted and new.
    """
    n = job.plan.n_synthetic
    if n < 2:
        return 0
    descriptors = _described(run, job, n)
    replaced = 0
    launch = job.launcher()
    with run.progress("looking for duplicates", total=n) as bar, journal(run, accounts) as stream:
        for start in range(0, n, CHUNK):
            end, before = min(start + CHUNK, n), replaced
            distance = distance_of(descriptors[start:end] @ descriptors[:end].T)
            earlier = torch.ones_like(distance).tril(start - 1) > 0
            suspects = ((distance < limit) & earlier).any(dim=1).tolist()
            for slot in range(start, end):
                # what was replaced may be near to a slot that was no suspect
                if not suspects[slot - start] and replaced == before:
                    continue
                if not _near(descriptors, slot, limit):
                    continue
                # the image goes first: a run that is killed here makes the slot anew
                (run.dir / slot_image(slot)).unlink()
                pixels = _next_image(job, accounts, launch, descriptors, slot, limit)
                if stream is not None:
                    accounts.write_journal(stream, [slot])
                seed = slot_seed(job.seed, slot, int(accounts.tries[slot]) - 1)
                chunks = png_chunks(job.generator, seed)
                writer.add_image(slot_image(slot), pixels, text=chunks)
                replaced += 1
                run.check_stop()
            bar.update(end, f"{replaced} replaced")
    return replaced


def _described(run: Run, job: Job, n: int) -> Tensor:
    parts = []
    for start in range(0, n, CHUNK):
        names = [slot_image(slot) for slot in range(start, min(start + CHUNK, n))]
        images = np.stack([read_png(run.dir / name, job.network.size) for name in names])
        parts.append(describe(torch.from_numpy(images).to(job.device)))
    return torch.cat(parts)


def _near(descriptors: Tensor, slot: int, limit: float) -> bool:
    distance = distance_of(descriptors[:slot] @ descriptors[slot])
    return bool((distance < limit).any())


def _next_image(
    job: Job,
    accounts: Accounts,
    launch: Callable[[Batch], Launched],
    descriptors: Tensor,
    slot: int,
    limit: float,
) -> ByteArray:
    """The next try of a slot that all filters accept and that is new; its account is brought up."""
    first = accounts.first[slot].copy()
    accounts.reject(slot, int(accounts.tries[slot]) - 1, first, [NAME])
    for attempt in range(int(accounts.tries[slot]), job.most_tries):
        batch = Batch(np.array([slot]), np.array([attempt]), np.array([slot % job.block]))
        pixels, scores = launch(batch).wait()
        (refused,) = job.panel.refused_by(scores, job.plan.stream_of[batch.slots])
        if not refused:
            descriptors[slot] = describe(torch.from_numpy(pixels).to(job.device))[0]
            if not _near(descriptors, slot, limit):
                accounts.accept(slot, attempt, scores[:, 0])
                return np.asarray(pixels[0])
            refused = [NAME]
        accounts.reject(slot, attempt, scores[:, 0], refused)
    raise job.give_up(accounts, slot)
