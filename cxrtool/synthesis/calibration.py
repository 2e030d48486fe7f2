"""Limits of the filters, fixed before the first image is made.

In: the plan, the generator, its judge, teachers, training images. Out: limits a class. They depend
on the plan and on fixed pilot images alone, never on the images of slots: every shard finds the
same ones, and no slot's fate depends on another slot.
"""

from dataclasses import replace

import numpy as np
import torch

from cxrtool.core.errors import GateError, InputError
from cxrtool.data.cache import resized
from cxrtool.data.images import to_float
from cxrtool.data.keys import Seen, seen_rows
from cxrtool.data.manifest import Dataset
from cxrtool.data.select import patient_groups
from cxrtool.synthesis.arrays import BoolArray, ByteArray, FloatArray, IntArray
from cxrtool.synthesis.descriptors import Gallery, usual_nearness
from cxrtool.synthesis.generate import Job
from cxrtool.synthesis.panel import Meter, Opinion, Panel, Realness, Teachers, rounded
from cxrtool.training.rng import plan_seed

PILOTS = 256  # unfiltered images a class that set the limit of the discriminator
MOST_REAL = 256  # real images a class that set the limit of the teachers
COPY_QUANTILE = 0.001  # part of real images that the memorized filter would refuse
LEAST_TRAINING = 10  # training images below which "usual" means nothing


def pilots(job: Job, meter: Meter) -> list[tuple[FloatArray, FloatArray]]:
    """`PILOTS` unfiltered images of each class that is to be made, which belong to no slot.

    They take the labels of the first rows of the class's stream, and seeds of their own. Edits do
    not push them, so a limit means the same with and without edits.

    Returns:
        Of each class [K] the scores of a meter [n], and label vectors in the generator's order
        [n, L].
    """
    sampler = replace(job, panel=Panel((meter,)), edits=None).sampler()
    request, vectors = job.plan.request, job.table.vectors(job.network.labels)
    images = []
    for k, label in enumerate(request.labels):
        rows = job.plan.rows[k]
        numbers = np.arange(PILOTS if len(rows) else 0)
        labels = vectors[rows[numbers % max(1, len(rows))]]
        scores = [np.zeros(0, np.float32)]
        for start in range(0, len(numbers), job.block):
            some = numbers[start : start + job.block]
            seeds = [plan_seed("pilot", job.seed, label, int(i)) for i in some]
            labels[some] = job.completed(labels[some], seeds)
            launched = sampler.launch(seeds, labels[some], some - start, streams=k)
            scores.append(launched.wait()[1][0])
        images.append((np.concatenate(scores), labels))
    return images


def label_effects(images: list[tuple[FloatArray, FloatArray]]) -> FloatArray:
    """What each label adds to a score, by ridge regression over all pilots: [L].

    Rows repeat in a stream, so that the labels of a rare class may be few and always the same
    ones: the penalty of one image keeps such effects finite.
    """
    scores, labels = (np.concatenate(part).astype(np.float64) for part in zip(*images, strict=True))
    if not len(scores):
        return rounded(np.zeros(labels.shape[1]).tolist())
    centered = labels - labels.mean(axis=0)
    normal = centered.T @ centered + np.eye(labels.shape[1])
    return rounded(np.linalg.solve(normal, centered.T @ (scores - scores.mean())).tolist())


def realness(job: Job, opinion: Opinion, keep: float) -> Realness:
    """The discriminator's filter, which keeps so many of the pilots of every class."""
    nothing = np.zeros(len(job.network.labels), np.float32)
    images = pilots(job, Realness(opinion, keep, rounded([]), nothing))
    effects = label_effects(images)
    own = [scores - labels @ effects for scores, labels in images]
    limits = [np.quantile(s, 1 - keep) if keep < 1 and len(s) else -np.inf for s in own]
    return Realness(opinion, keep, rounded(limits), effects)


def new_to(dataset: Dataset, rows: IntArray, seen: list[Seen]) -> BoolArray:
    """Whether the patient of each row is new to each teacher: bool [n, T]."""
    return np.stack([~seen_rows(one, dataset, rows) for one in seen], axis=1)


def may_judge(dataset: Dataset, rows: IntArray, seen: list[Seen], names: list[str]) -> BoolArray:
    """Which teachers may judge an image that took the labels of a row: bool [n, T].

    A teacher that was trained on a patient likes what looks like that patient, and the generator
    has seen all training patients: only teachers to whom the row's patient is new may judge.

    Args:
        dataset: The real set.
        rows: Rows whose labels are taken [n].
        seen: What each teacher was trained on [T].
        names: What messages call the teachers.

    Raises:
        GateError: A row that every teacher has seen.
    """
    new = new_to(dataset, rows, seen)
    orphans = np.flatnonzero(~new.any(axis=1))
    if len(orphans):
        raise GateError(
            f"{len(orphans):,} of {len(rows):,} images took the labels of patients that every "
            f"teacher was trained on ({', '.join(names)}); the first is row "
            f"{int(rows[orphans[0]]) + 2} of the manifest",
            hint="give teachers of different patients, such as two runs of train-cls with "
            "--leave-out 1/2 and --leave-out 2/2",
        )
    return new


@torch.inference_mode()
def teacher_limits(
    job: Job, teachers: Teachers, pixels: ByteArray, new: BoolArray, quantile: float
) -> FloatArray:
    """The quantile of the teachers' scores on real images of every class.

    Args:
        job: Of the run.
        teachers: Without limits.
        pixels: Of the whole real set, uint8 [M, H, W].
        new: Whether a row's patient is new to each teacher [N, T].
        quantile: Part of the real images that lies below the limit.

    Raises:
        InputError: No real image of a class may be judged.
    """
    limits = []
    for k, column in enumerate(job.plan.request.columns):
        usable = np.flatnonzero((job.table.values[:, column] == 1) & new.any(axis=1))
        if not len(usable):
            raise InputError(
                f"no real image of {job.plan.request.labels[k]!r} is new to a teacher",
                hint="give teachers of different patients (train-cls --leave-out)",
            )
        some = usable[np.linspace(0, len(usable) - 1, min(len(usable), MOST_REAL)).astype(int)]
        scores = []
        for start in range(0, len(some), job.block):
            rows = some[start : start + job.block]
            padded = np.concatenate([rows, np.repeat(rows[-1:], job.block - len(rows))])
            shown = resized(np.array(pixels[job.table.rows[padded]]), job.network.size)
            x = to_float(torch.from_numpy(shown).to(job.device))
            streams = np.full(len(padded), k, dtype=np.int64)
            weight = torch.from_numpy(new[padded].astype(np.float32)).to(job.device)
            scores.append(teachers.probabilities(x, streams, weight)[: len(rows)].cpu().numpy())
        limits.append(np.quantile(np.concatenate(scores), quantile))
    return rounded(limits)


@torch.inference_mode()
def copy_limit(gallery: Gallery, dataset: Dataset, rows: IntArray) -> tuple[float, float]:
    """The ratio below which an image is too near to one training image, and the median ratio.

    Raises:
        InputError: Too few training images to say what is usual.
    """
    if len(gallery) < LEAST_TRAINING:
        raise InputError(
            f"--filter memorized compares with {len(gallery)} training images; at least "
            f"{LEAST_TRAINING} are needed",
            hint="give the data set that the generator was trained on",
        )
    _, ratios = usual_nearness(gallery, patient_groups(dataset, rows))
    if not len(ratios):
        raise InputError(
            "all training images are of one patient or the same picture: nothing is usual",
            hint="leave --filter memorized out",
        )
    limit = float(rounded([np.quantile(ratios, COPY_QUANTILE)])[0])
    return limit, float(np.median(ratios))
