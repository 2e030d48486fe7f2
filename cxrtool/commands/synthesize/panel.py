"""What looks at synthetic images: networks and limits, put together from the options.

In: the options of ``cxr synthesize``, the real set, the plan. Out: the panel of filters and meters
with limits that every shard finds the same, and what its networks have seen.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cxrtool import classifiers
from cxrtool import generators as gans
from cxrtool.classifiers.architectures import ClassifierNet
from cxrtool.commands.synthesize.options import Config
from cxrtool.core import console
from cxrtool.core.errors import InputError, UsageError
from cxrtool.data import cache, select
from cxrtool.data.columns import SPLIT
from cxrtool.data.keys import Seen, refuse_overlap, seen_images
from cxrtool.data.labels import LabelPolicy
from cxrtool.generators.registry import ARCHS
from cxrtool.synthesis import calibration, descriptors, duplicates, generators, panel
from cxrtool.synthesis.generate import Job


def look(config: Config, job: Job, card: generators.GeneratorCard) -> tuple[Job, Seen]:
    """The job with the panel of a run, and what the generator and its helpers have seen.

    Among the notes of the panel is "duplicate_limit", the least accepted distance of two images,
    where duplicates may not stay.

    Raises:
        InputError: A filter has nothing to work with.
        GateError: A teacher has seen test patients, or every patient of a row.
    """
    seen = Seen.load(card.folder)
    for folder in config.edit:
        seen = seen.merge(seen_by_helper(job, folder, "edit"))
    if not job.plan.n_synthetic:
        return job, seen
    filters = set(config.filter)
    meters: list[panel.Meter] = []
    notes: dict[str, Any] = {}
    asked = filters & {"discriminator", "class"}
    arch = ARCHS.get(card.meta["arch"])
    if asked and arch is not None and arch.loss_tells:
        raise InputError(
            f"--filter {min(asked)} needs a discriminator, and a generator of --arch"
            f" {card.meta['arch']} has none",
            file=card.folder,
            hint="--filter teacher asks classifiers instead; memorized and duplicate need neither",
        )
    if asked:
        opinion = panel.Opinion(gans.load_judge(card.folder, job.device))
        if "discriminator" in filters:
            meters.append(calibration.realness(job, opinion, config.keep_share))
        if "class" in filters:
            meters.append(predicted_class(opinion, job))
    if config.teacher:
        teacher, also = teachers_of(config, job)
        meters.append(teacher)
        seen = seen.merge(also)
    for name in sorted({"memorized", "duplicate"} & filters):
        require_pixels(job, name)
    if config.nearest and job.dataset.info.size is None:
        why = "the real set has no pixels" if config.data else "there is no DATA to compare with"
        console.say(f"{why}: nn_distance stays blank")
    elif config.nearest or "duplicate" in filters:
        gallery, rows, near = near_meters(config, job, Seen.load(card.folder))
        meters += near if config.nearest else []
        if "duplicate" in filters:
            limit = duplicates.duplicate_limit(gallery, select.patient_groups(job.dataset, rows))
            notes["duplicate_limit"] = limit
    extra = ("duplicate",) if "duplicate" in filters else ()
    return replace(job, panel=panel.Panel(tuple(meters), extra, notes)), seen


def require_pixels(job: Job, name: str) -> None:
    """A filter that looks at real images needs them.

    Raises:
        InputError: The real set holds labels alone.
    """
    if job.dataset.info.size is None:
        raise InputError(
            f"--filter {name} needs the pixels of the real images",
            file=job.dataset.path,
            hint="prepare the data without --labels-only",
        )


def seen_by_helper(job: Job, folder: Path, who: str) -> Seen:
    """What a teacher or an edit has seen, refused where test patients are among it.

    Raises:
        GateError: It has seen test patients.
    """
    seen = Seen.load(folder)
    test = np.flatnonzero(job.dataset.column(SPLIT) == "test")
    refuse_overlap(seen, job.dataset, test, who=f"the {who} {folder}", what="test")
    return seen


def predicted_class(opinion: panel.Opinion, job: Job) -> panel.PredictedClass:
    """The class filter, for a judge that reads the target classes.

    Raises:
        InputError: It does not.
    """
    labels = opinion.judge.labels
    for label in job.plan.request.labels:
        if label not in labels:
            raise InputError(
                f"--filter class: the generator's discriminator does not read {label!r}",
                hint="train a conditional generator",
            )
    columns = tuple(labels.index(label) for label in job.plan.request.labels)
    single = job.dataset.info.kind == "single" or opinion.judge.single
    return panel.PredictedClass(opinion, columns, single and len(labels) > 1)


def teachers_of(config: Config, job: Job) -> tuple[panel.Teachers, Seen]:
    """The teachers, each for the slots whose patient is new to it, and what they have seen.

    Raises:
        InputError: A teacher does not read a target class.
        UsageError: A teacher was trained with another label policy.
        GateError: A teacher has seen test rows, or every teacher the patient of a row.
    """
    everything, seen, networks, columns = Seen(), [], [], []
    for folder in config.teacher:
        seen.append(seen_by_helper(job, folder, "teacher"))
        everything = everything.merge(seen[-1])
        network = classifiers.load(folder, job.device)
        refuse_other_meaning(network, folder, job)
        networks.append(network)
        columns.append([network.labels.index(label) for label in job.plan.request.labels])
    names = [str(folder) for folder in config.teacher]
    sources = job.plan.source_rows
    allowed = calibration.may_judge(job.dataset, job.table.rows[sources], seen, names)
    teachers = panel.Teachers(tuple(networks), np.array(columns, dtype=np.int64), allowed)
    if "teacher" not in config.filter:
        return teachers, everything
    require_pixels(job, "teacher")
    new = calibration.new_to(job.dataset, job.table.rows, seen)
    real = cache.pixels(job.dataset)
    limits = calibration.teacher_limits(job, teachers, real, new, config.teacher_quantile)
    return replace(teachers, limits=limits, quantile=config.teacher_quantile), everything


def refuse_other_meaning(network: ClassifierNet, folder: Path, job: Job) -> None:
    """Refuse a teacher whose probabilities say nothing of the target classes.

    Raises:
        UsageError: It was trained with another label policy.
        InputError: It does not read a target class.
    """
    recorded = network.description.get("policy")
    policy = job.table.policy if recorded is None else LabelPolicy.from_json(recorded)
    difference = job.table.policy.difference(policy)
    if difference is not None:
        raise UsageError(
            f"the teacher {folder} was trained with another label policy: {difference}",
            hint="train it with the policy of the generator",
        )
    for label in job.plan.request.labels:
        if label not in network.labels:
            raise InputError(
                f"the teacher does not read {label!r}",
                file=folder / "model.json",
                hint="its labels: " + ", ".join(network.labels),
            )


def near_meters(
    config: Config, job: Job, seen: Seen
) -> tuple[descriptors.Gallery, np.ndarray, list[panel.Meter]]:
    """The training images of the real set, their rows, and meters of the distance to them."""
    rows = np.flatnonzero(seen_images(seen, job.dataset))
    if not len(rows):
        rows = job.table.rows
        console.warn(
            "no image of the real set is known to be one that the generator was trained on: "
            "nn_distance is that to the nearest selected real image"
        )
    gallery = descriptors.Gallery.of(cache.pixels(job.dataset), rows, job.network.size, job.device)
    near = panel.Near(gallery, ratios="memorized" in config.filter)
    meters: list[panel.Meter] = [panel.NearestDistance(near)]
    if "memorized" in config.filter:
        limit, usual = calibration.copy_limit(gallery, job.dataset, rows)
        console.say(
            f"memorized: refused below {limit:g} of the usual distance (real images: {usual:.2f})"
        )
        meters.insert(0, panel.Memorized(near, limit))
    return gallery, rows, meters
