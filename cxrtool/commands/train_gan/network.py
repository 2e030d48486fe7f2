"""The part of ``train-gan`` that joins the network with what other runs know, and writes it down.

In: a trainer and its `Task`. Out: weights of another run to start from, the space in which the best
network is told, `model.json`, `model.safetensors`, `model_card.md`, `label_table.csv`, `seen.json`.
"""

import math
from collections.abc import Sequence
from dataclasses import MISSING, fields
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np

from cxrtool import classifiers
from cxrtool.commands.train_gan.task import Task
from cxrtool.core import console, runs
from cxrtool.core.config import shared_values
from cxrtool.core.errors import InputError, UsageError
from cxrtool.core.reading import read_json
from cxrtool.data.cache import pixels, resized
from cxrtool.data.keys import SEEN, Seen, unknown_history
from cxrtool.data.label_vectors import LabelVectors, common_rows
from cxrtool.data.labels import LabelPolicy
from cxrtool.data.options import SelectionOptions
from cxrtool.data.published import header_of
from cxrtool.data.select import patient_groups
from cxrtool.fidelity.distances import frechet_distance, kernel_distance
from cxrtool.fidelity.features import RandomFeatures
from cxrtool.generators.base import GeneratorTrainer
from cxrtool.generators.feed import Feed
from cxrtool.generators.flow.distillation import TeacherDistance
from cxrtool.generators.flow.finished import FlowGenerator
from cxrtool.generators.flow.trainer import MEASURED, FlowTrainer, HeldOutLoss
from cxrtool.generators.flow.trainer import init_from as flow_from
from cxrtool.generators.quality import MOST, Measure, Quality
from cxrtool.generators.stylegan2.trainer import StyleGan2Trainer
from cxrtool.generators.stylegan2.transfer import freeze, init_from
from cxrtool.generators.task import (
    BEST,
    BEST_BEFORE_DECAY,
    START_TOLERANCE,
    Start,
    copy_best,
    measured,
)
from cxrtool.pages.model_card import MODEL_CARD, CardFacts
from cxrtool.pages.model_card import build as build_card
from cxrtool.pages.render import markdown
from cxrtool.training import models, rng
from cxrtool.training.checkpoints import BEFORE_DECAY, FOLDER, adopt_checkpoint

MARKING = ("features", "init-from", "extend", "distill")  # inputs whose people a network knows of
#: `--sample` -> what the card says of it.
SHOWN = {
    "natural": "as often as they are",
    "sqrt": "those of rare labels more often (square root of the frequency)",
    "balanced": "those of rare labels as often as the others",
}
QUALITY_LEAST = 50  # images below which nothing tells the best network


def start_from(
    source: Path, trainer: GeneratorTrainer, task: Task, quality: Measure | None
) -> Start:
    """Load the weights of another run, measure them, and say what became of the labels."""
    names = task.conditioning.labels
    if isinstance(trainer, FlowTrainer):
        labels = flow_from(trainer, source, names)
    else:
        assert isinstance(trainer, StyleGan2Trainer)  # other architectures have no --init-from
        labels = init_from(trainer, source, names)
    notes = [f"{key} labels: {', '.join(names)}" for key, names in labels.items() if names]
    if isinstance(trainer, StyleGan2Trainer):
        frozen = freeze(trainer.discriminator, task.config.freeze_d)
        if frozen:
            notes.append(f"{frozen:,} weights of the discriminator frozen")
        if trainer.choices.augment and trainer.choices.augment_p is None:
            notes.append(f"augmentation goes on at p {float(trainer.controller.p):.2g}")
    value, name = math.nan, "fd"
    if quality is None:
        console.warn("too few images to measure whether the training makes its start worse")
    else:
        name = quality.name
        value = quality.measure(trainer)[name]
        notes.append(f"its {quality.told} here is {value:.3g}")
    console.say(f"starting from {source}" + "".join(f"; {text}" for text in notes))
    return Start(value, name, keeps=math.isfinite(value) and not labels["new"])


def extend(source: Path, task: Task, run: runs.Run) -> None:
    """Begin with the state of a finished run, of the same data and options, and say from where.

    Raises:
        UsageError: Another option than --kimg differs, or that is not larger.
        InputError: Other data, or no checkpoint is left.
    """
    ours = read_json(run.path("resolved.json"))
    theirs, meta = read_json(source / "resolved.json"), read_json(source / "model.json")
    if meta["data"]["digest"] != task.dataset.info.digest:
        raise InputError(
            f"--extend goes on with the same data, and {source} was trained on other",
            file=task.dataset.path,
            hint="--init-from starts from its weights",
        )
    if ours["total_nimg"] <= theirs["total_nimg"]:
        raise UsageError(
            f"--kimg {ours['total_nimg'] / 1000:g} is not more than the"
            f" {theirs['total_nimg'] / 1000:g} of {source}",
            hint="--kimg is the length of the whole training, its own included",
        )
    # What a record does not name, as an option that is younger than that run, is at its default.
    usual = {f.name: f.default for f in fields(task.choices) if f.default is not MISSING}
    ours, theirs = usual | ours, usual | theirs
    names = sorted((ours.keys() | theirs.keys()) - {"total_nimg", "snapshot_nimg", "tick_nimg"})
    other = [name for name in names if ours.get(name) != theirs.get(name)]
    if other:
        name = other[0]
        raise UsageError(
            f"--extend goes on with the options of {source}, and {name} differs:"
            f" {theirs.get(name)} there, {ours.get(name)} here",
            hint="give its options again; only --kimg may be larger",
        )
    checkpoint = adopt_checkpoint(run, source)
    if checkpoint is None:
        return
    copy_best(run, source / (BEST_BEFORE_DECAY if checkpoint == BEFORE_DECAY else BEST), BEST)
    console.say(f"going on from {source}/{FOLDER}/{checkpoint}")


def compare(
    trainer: GeneratorTrainer, run: runs.Run, quality: Measure | None, start: Start
) -> dict[str, Any] | None:
    """Say whether a training has made better what it started from.

    Returns:
        For the summary: the distance of the start and the lowest of the training; None where
        nothing was measured.
    """
    if quality is None or not math.isfinite(start.value):
        return None
    name = quality.name
    values = [row[name] for row in run.read_metrics() if name in row and row["nimg"]]
    if trainer.best is None:  # the last one is kept, whatever it is
        values = [measured(trainer, quality)[name]]
    lowest = min((value for value in values if math.isfinite(value)), default=math.nan)
    before = f"{quality.told} {start.value:.3g} at the start, {lowest:.3g}"
    unchanged = trainer.best is not None and trainer.best.nimg == 0
    if unchanged:
        console.warn(
            f"no network of this training is as good as the one that it started from: {before} at"
            " best; that one is kept, unchanged (a lower --lr, or more --kimg, may do better)"
        )
    elif not lowest <= START_TOLERANCE * start.value:
        console.warn(f"the training made its start worse: {before} after it")
    return {name: start.value, f"lowest_{name}_after": lowest, "kept": unchanged}


def measure(
    run: runs.Run, feed: Feed, task: Task, best: bool, teacher: FlowGenerator | None = None
) -> Measure | None:
    """What tells the best network: distances to the training images in the space asked for, or,
    where the architecture has a loss that tells, that on patients of the validation split; of a
    student, the distance to its teacher's images.

    Args:
        run: With the input `features`, if there is one.
        feed: The training images.
        task: Size of the generator's images; seed of latents and the choice of real images.
        best: The best network is kept, which is said.
        teacher: Of a student.

    Returns:
        None where nothing is to be told, or too few images are there to tell by.

    Raises:
        InputError: the classifier for `--features` reads another image size.
    """
    if teacher is not None:
        return teacher_distance(task, feed, teacher) if best else None
    if task.arch.loss_tells:
        wanted = best or task.config.init_from is not None
        return held_out_loss(task, feed) if wanted else None
    if len(feed) < QUALITY_LEAST or not (best or task.config.init_from is not None):
        return None
    quality = distance(run, feed, task, "training images")
    if best:
        console.say(f"the best of all snapshots is kept, judged on {quality.n:,} {quality.on}")
    return quality


def distance(run: runs.Run, feed: Feed, task: Task, on: str) -> Quality:
    """Distances to real images, in the space asked for.

    Args:
        run: With the input `features`, if there is one.
        feed: The real images.
        task: Size of the generator's images; seed of latents and the choice of real images.
        on: Which images the feed holds.

    Raises:
        InputError: the classifier for `--features` reads another image size.
    """
    size, seed = task.choices.arch.size, task.config.seed
    extract: Any = RandomFeatures().to(feed.device).eval()
    space = extract.name
    for path in run.paths("features", "train-cls"):
        network = classifiers.load(path, feed.device)
        if network.size != size:
            raise InputError(
                f"the classifier reads {network.size} px, the generator makes {size} px",
                file=path,
                hint=f"train it on the data prepared with --size {size}",
            )
        extract, space = network.features, f"classifier at {network.size} px"

    def compare(fakes: np.ndarray, reals: np.ndarray) -> dict[str, float]:
        kid = kernel_distance(fakes, reals, rng.numpy_rng("kid", seed), subsets=20, subset_size=500)
        return {"fd": frechet_distance(fakes, reals), "kid": kid.mean}

    return Quality(feed, extract, compare, seed, space=space, on=on)


def held_out_feed(
    task: Task, part: str, training: Feed, most: int | None, least: int
) -> Feed | None:
    """Images of a split whom no network was trained on; None where they are too few.

    Args:
        task: What is trained.
        part: "val", by which a flow is chosen, or "test", which no choice touches.
        training: The training images.
        most: How many at most, at random; None for all.
        least: How few are too few otherwise.
    """
    rows, values, mask = task.held_out_rows(part)
    if most is not None:
        order = rng.numpy_rng("held-out rows", task.config.seed).permutation(len(rows))
        some = np.sort(order[:most])
        rows, values, mask = rows[some], values[some], mask[some]
    if len(rows) < least:
        return None
    images = resized(pixels(task.dataset, rows), task.choices.arch.size)
    return Feed(images, values, mask, task.config.seed, training.device)


def held_out(
    task: Task, part: str, training: Feed, teacher: FlowGenerator | None
) -> Measure | None:
    """What tells of a flow by patients whom it was not trained on; None where they are too few.

    Args:
        task: What is trained.
        part: See `held_out_feed`.
        training: The training images.
        teacher: Of a student, which is measured against its images and takes labels alone.
    """
    word, most = {"val": ("validation", None), "test": ("test", MEASURED)}[part]
    feed = held_out_feed(task, part, training, most, 1 if teacher else QUALITY_LEAST)
    if feed is None:
        return None
    if teacher is None:
        return HeldOutLoss(feed, task.config.seed, on=f"{word} images")
    assert task.teacher is not None
    how = task.teacher.distillation.sampling
    return TeacherDistance(feed, teacher, how, task.config.seed, f"the {word} split")


def held_out_loss(task: Task, training: Feed) -> Measure | None:
    """The loss on the validation split; None, which is said, where it has too few images."""
    loss = held_out(task, "val", training, None)
    if loss is None:
        console.warn(
            f"fewer than {QUALITY_LEAST} images in the validation split: too few to tell where the"
            " network begins to remember; the last one is kept"
        )
        return None
    console.say(
        f"the best of all snapshots is kept, judged by its loss on {loss.n:,} validation images"
    )
    return loss


def teacher_distance(task: Task, training: Feed, teacher: FlowGenerator) -> Measure:
    """The distance to the teacher's images, of labels of the validation split where it has any."""
    distance = held_out(task, "val", training, teacher)
    if distance is None:
        assert task.teacher is not None
        on, how = "the training rows (there is no validation split)", task.teacher.distillation
        distance = TeacherDistance(training, teacher, how.sampling, task.config.seed, on)
    console.say(
        f"the best of all snapshots is kept, judged by its distance to the teacher's images:"
        f" {distance.n:,} {distance.on}"
    )
    return distance


def published(
    trainer: GeneratorTrainer,
    task: Task,
    run: runs.Run,
    training: Feed,
    teacher: FlowGenerator | None = None,
) -> tuple[dict[str, Any] | None, list[str]]:
    """What is told of the finished network by test patients, whom no choice has touched.

    Of a flow its loss, or its distance to its teacher's images; of the others the distance to test
    images, beside that of real training images.

    Returns:
        For the summary, None where nobody is left; in sentences, which are said.
    """
    measure: Measure | None = None
    beside = ""
    more: dict[str, float] = {}
    if task.arch.loss_tells:
        measure = held_out(task, "test", training, teacher)
    elif (feed := held_out_feed(task, "test", training, MOST, QUALITY_LEAST)) is not None:
        measure = quality = distance(run, feed, task, "test images")
        more = {"real_fd": quality.measure_reals(training)["fd"]}
        beside = f" (real training images: {more['real_fd']:.3g})"
    if measure is None:
        return None, [
            "No number to publish: there are too few test images that neither the training nor the"
            " choice of the network has seen (`cxr prepare` keeps a test split)."
        ]
    value = measure.measure(trainer)[measure.name]
    sentence = (
        f"{measure.told[:1].upper()}{measure.told[1:]}, to publish: {value:.3g}{beside}, n ="
        f" {measure.n:,} {measure.on}; the test split had no part in training, nor in the choice of"
        " the network."
    )
    console.say(sentence)
    return {measure.name: value, **more, "n": measure.n, "on": measure.on}, [sentence]


def save(
    trainer: GeneratorTrainer,
    task: Task,
    run: runs.Run,
    measures: Sequence[str],
    sampling: dict[str, int],
) -> LabelVectors:
    """Write the finished networks, their card and label table, and what they were trained on.

    Args:
        trainer: With the network to deliver.
        task: What was trained.
        run: Where to write.
        measures: What the training measured, in sentences.
        sampling: From `ways.choose_sampling`.

    Returns:
        The label table.
    """
    config, info, choices = task.config, task.dataset.info, task.choices
    least, units = config.min_patients, patient_groups(task.dataset, task.rows)
    labels = task.conditioning.labels
    vectors = LabelVectors.of(labels, task.values, task.mask, units, least)
    # A mean latent is stored beside its vector, and made anew for a vector that has none.
    common = common_rows(task.values * task.mask, units, least)
    meta = {
        "kind": "generator",
        "arch": config.arch,
        "architecture": choices.arch.to_json(),
        "labels": list(task.conditioning.labels),
        "label_kind": "single" if task.single else info.kind,
        "labels_left_out": task.conditioning.left_out,
        "prevalence": task.prevalence(),
        "policy": LabelPolicy.from_options(config).to_json(),
        "selection": shared_values(SelectionOptions, config),
        "preprocessing": {
            "size": choices.arch.size,
            "channels": choices.arch.channels,
            "data_size": info.size,
            "fit": info.fit,
            "kernel": info.kernel,
        },
        "data": {"source": info.source, "namespace": info.namespace, "digest": info.digest},
        "images": len(task.rows),
        "nimg": trainer.nimg,
        "label_table": {
            "vectors": len(vectors.counts),
            "images": vectors.images,
            "min_patients": least,
            "images_of_rare_vectors": vectors.rare,
            "images_of_unknown_labels": vectors.unknown,
        },
    }
    if sampling:
        meta["sampling"] = sampling
    if task.teacher is not None:
        meta["distillation"] = task.teacher.distillation.to_json()
    if choices.sample != "natural":
        shown = zip(labels, trainer.feed.prevalence.tolist(), strict=True)
        meta["sample"] = choices.sample
        meta["shown_prevalence"] = {name: round(share, 6) for name, share in shown}
    if isinstance(trainer, StyleGan2Trainer) and trainer.choices.augment:  # for --init-from
        p = trainer.choices.augment_p
        p = float(trainer.controller.p) if p is None else p
        meta["augment"] = {"policies": list(trainer.choices.augment), "p": round(p, 6)}
    if task.singles is not None:
        meta["single_label"] = task.singles.rule
    facts = CardFacts(
        meta, info, task.values, task.mask, units, vectors, least, sizes_of(trainer, task), measures
    )
    run.write_text(MODEL_CARD, markdown(build_card(facts)))
    vectors.write(run)
    marks = [path for role in MARKING for path in run.paths(role)]
    if (task.dataset.path / SEEN).is_file():  # synthetic rows carry what their generator saw
        marks.append(task.dataset.path)
    seen = reduce(Seen.merge, map(Seen.load, marks), Seen.of(task.dataset, task.rows))
    if caution := unknown_history(seen):
        console.warn(caution)
    seen.save(run)
    state = trainer.export(task.values[common], task.mask[common])
    models.save_model(run, state, meta, header_of(run.path(SEEN)))
    if vectors.rare or vectors.unknown:
        console.say(
            f"label_table.csv leaves out {vectors.rare:,} images whose label vector fewer than"
            f" {least} patients have"
            + (f", and {vectors.unknown:,} with an unknown label" if vectors.unknown else "")
        )
    return vectors


def sizes_of(trainer: GeneratorTrainer, task: Task) -> list[tuple[str, str]]:
    """How the network was trained, for its card."""
    choices = task.choices
    more: list[tuple[str, str]] = []
    if task.teacher is not None:
        more.append(("Student", f"{task.teacher.distillation.described}; it saw no image itself"))
    if isinstance(trainer, FlowTrainer) and trainer.choices.augment:
        what = " and ".join(trainer.choices.augment)
        more.append(("Told of", f"{what} of training images, which its images are without"))
    return [
        *more,
        ("Preset", f"{choices.preset}, batch {choices.batch}, learning rate {choices.lr:g}"),
        ("Images shown", SHOWN[choices.sample]),
        *(
            (f"Weights of the {name}", f"{sum(p.numel() for p in network.parameters()):,}")
            for name in ("generator", "discriminator")
            if (network := trainer.members.get(name)) is not None
        ),
    ]


def told_by(trainer: GeneratorTrainer, quality: Measure | None) -> list[str]:
    """What the training measured of the network that it delivers, in sentences with n."""
    best = trainer.best
    if quality is None or best is None:
        return ["Not measured: too few images, or no best network was asked for."]
    choice = ", which chose the network" if isinstance(trainer, FlowTrainer) else ""
    return [
        f"{quality.told[:1].upper()}{quality.told[1:]}: {best.value:.3g} (lowest of all snapshots:"
        f" {best.lowest:.3g}), n = {quality.n:,} {quality.on}{choice}.",
        "Distances to people whom it has not seen, and whether a classifier reads its labels, are"
        " measured by `cxr evaluate images`.",
    ]
