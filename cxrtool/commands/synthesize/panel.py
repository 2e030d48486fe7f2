"""What looks at synthetic images: networks and limits, put together from the options.

In: the options of ``cxr synthesize``, the real set, the plan. Out: the panel of filters and meters
with limits that every shard finds the same, and what its networks have seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from cxrtool.core import console
from cxrtool.core.errors import InputError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from cxrtool.commands.synthesize.options import Config
    from cxrtool.data.keys import Seen
    from cxrtool.synthesis.generate import Job
    from cxrtool.synthesis.generators import GeneratorCard
    from cxrtool.synthesis.panel import Meter, Teachers


@dataclass(frozen=True)
class Looking:
    """What looks at the images of a run.

    Attributes:
        job: The job, with its panel.
        seen: What the generator and the teachers were trained on.
        duplicate_limit: Least accepted distance of two images; None where duplicates may stay.
    """

    job: Job
    seen: Seen
    duplicate_limit: float | None = None


def look(config: Config, job: Job, card: GeneratorCard) -> Looking:
    """Build the panel of a run.

    Raises:
        InputError: A filter has nothing to work with.
        GateError: A teacher has seen test patients, or every patient of a row.
    """
    from cxrtool import generators as gans
    from cxrtool.data.keys import Seen
    from cxrtool.synthesis import calibration, duplicates
    from cxrtool.synthesis.panel import Opinion, Panel, PredictedClass

    seen = Seen.load(card.folder)
    for folder in config.edit:
        seen = seen.merge(seen_by_helper(job, folder, "edit"))
    if not job.plan.n_synthetic:
        return Looking(job, seen)
    wanted = set(config.filter)
    meters: list[Meter] = []
    notes: dict[str, Any] = {}
    if wanted & {"discriminator", "class"}:
        opinion = Opinion(gans.load_judge(card.folder, job.device))
        if "discriminator" in wanted:
            meters.append(calibration.realness(job, opinion, config.keep_share))
        if "class" in wanted:
            meters.append(predicted_class(opinion, job, PredictedClass))
    if config.teacher:
        teacher, also = teachers_of(config, job, config.teacher)
        meters.append(teacher)
        seen = seen.merge(also)
    compared = {"memorized", "duplicate"} & wanted
    if config.nearest or compared:
        found = near_meters(config, job, Seen.load(card.folder))
        if found is None and compared:
            raise InputError(
                f"--filter {sorted(compared)[0]} needs the pixels of the real images",
                file=job.dataset.path,
                hint="prepare the data without --labels-only",
            )
        if found is not None:
            gallery, rows, near = found
            meters += near if config.nearest else []
            if "duplicate" in wanted:
                from cxrtool.data.select import patient_groups

                limit = duplicates.duplicate_limit(gallery, patient_groups(job.dataset, rows))
                notes["duplicate_limit"] = limit
    extra = ("duplicate",) if "duplicate" in wanted else ()
    panel = Panel(tuple(meters), extra, notes)
    return Looking(replace(job, panel=panel), seen, notes.get("duplicate_limit"))


def seen_by_helper(job: Job, folder: Path, who: str) -> Seen:
    """What a teacher or an edit has seen, refused where test patients are among it.

    Raises:
        GateError: It has seen test patients.
    """
    import numpy as np

    from cxrtool.data.columns import SPLIT
    from cxrtool.data.keys import Seen, refuse_overlap

    seen = Seen.load(folder)
    test = np.flatnonzero(job.dataset.column(SPLIT) == "test")
    refuse_overlap(seen, job.dataset, test, who=f"the {who} {folder}", what="test")
    return seen


def predicted_class(opinion: Any, job: Job, kind: type) -> Meter:
    """The class filter, for a judge that reads the target classes.

    Raises:
        InputError: It does not.
    """
    known = opinion.judge.labels
    for label in job.plan.request.labels:
        if label not in known:
            raise InputError(
                f"--filter class: the generator's discriminator does not read {label!r}",
                hint="train a conditional generator",
            )
    columns = tuple(known.index(label) for label in job.plan.request.labels)
    single = job.dataset.info.kind == "single" or opinion.judge.single
    meter: Meter = kind(opinion, columns, single and len(known) > 1)
    return meter


def teachers_of(config: Config, job: Job, folders: Sequence[Path]) -> tuple[Teachers, Seen]:
    """The teachers, each for the slots whose patient is new to it, and what they have seen.

    Raises:
        InputError: A teacher does not read a target class.
        UsageError: A teacher was trained with another label policy.
        GateError: A teacher has seen test rows, or every teacher the patient of a row.
    """
    import numpy as np

    from cxrtool import classifiers
    from cxrtool.data.cache import pixels
    from cxrtool.data.keys import Seen
    from cxrtool.synthesis import calibration
    from cxrtool.synthesis.panel import Teachers

    everything, seen, networks, columns = Seen(), [], [], []
    for folder in folders:
        seen.append(seen_by_helper(job, folder, "teacher"))
        everything = everything.merge(seen[-1])
        network = classifiers.load(folder, job.device)
        refuse_other_policy(config, network.description, folder, job)
        networks.append(network)
        columns.append([position(network.labels, c, folder) for c in job.plan.request.labels])
    names = [str(folder) for folder in folders]
    sources = job.plan.source_rows
    allowed = calibration.may_judge(job.dataset, job.table.rows[sources], seen, names)
    teachers = Teachers(tuple(networks), np.array(columns, dtype=np.int64), allowed)
    if "teacher" not in config.filter:
        return teachers, everything
    if job.dataset.info.size is None:
        raise InputError(
            "--filter teacher needs the pixels of the real images",
            file=job.dataset.path,
            hint="prepare the data without --labels-only",
        )
    new = calibration.new_to(job.dataset, job.table.rows, seen)
    real = pixels(job.dataset)
    limits = calibration.teacher_limits(job, teachers, real, new, config.teacher_quantile)
    return replace(teachers, limits=limits, quantile=config.teacher_quantile), everything


def position(labels: tuple[str, ...], wanted: str, folder: Path) -> int:
    """Where a teacher's labels have a class.

    Raises:
        InputError: Nowhere.
    """
    if wanted not in labels:
        raise InputError(
            f"the teacher does not read {wanted!r}",
            file=folder / "model.json",
            hint="its labels: " + ", ".join(labels),
        )
    return labels.index(wanted)


def refuse_other_policy(
    config: Config, description: dict[str, Any], folder: Path, job: Job
) -> None:
    """A teacher reads labels as the plan does, or its probabilities mean something else."""
    from cxrtool.data.labels import LabelPolicy

    recorded = description.get("policy")
    if recorded is None:
        return
    difference = job.table.policy.difference(LabelPolicy.from_json(recorded))
    if difference is not None:
        raise UsageError(
            f"the teacher {folder} was trained with another label policy: {difference}",
            hint="train it with the policy of the generator",
        )


def near_meters(config: Config, job: Job, seen: Seen) -> tuple[Any, np.ndarray, list[Meter]] | None:
    """Meters of the distance to the training images; None where the real set has no pixels."""
    from cxrtool.data.cache import pixels
    from cxrtool.synthesis import calibration
    from cxrtool.synthesis.panel import Memorized, Near, NearestDistance

    if job.dataset.info.size is None:
        console.say("the real set has no pixels: nn_distance stays blank")
        return None
    rows, known = calibration.training_rows(job.dataset, seen, job.table.rows)
    if not known:
        console.warn(
            "no image of the real set is known to be one that the generator was trained on: "
            "nn_distance is that to the nearest selected real image"
        )
    gallery = calibration.gallery_of(pixels(job.dataset), rows, job)
    near = Near(gallery, ratios="memorized" in config.filter)
    meters: list[Meter] = [NearestDistance(near)]
    if "memorized" in config.filter:
        limit, usual = calibration.copy_limit(gallery, job.dataset, rows)
        console.say(
            f"memorized: refused below {limit:g} of the usual distance (real images: {usual:.2f})"
        )
        meters.insert(0, Memorized(near, limit))
    return gallery, rows, meters
