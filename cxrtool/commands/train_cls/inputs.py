"""What `cxr train-cls` reads: the real set, the synthetic ones, and the weights to start from.

In: dataset directories and an arm. Out: pixels and labels to train on and to validate with, the
labels that cannot be learned, by name, and what reports say of the sources.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cxrtool.classifiers import guard, inputs, pretrained
from cxrtool.classifiers.arms import (
    Reader,
    compose,
    refuse_made_rows,
    refuse_unjoinable,
    refuse_unpoolable,
)
from cxrtool.classifiers.batches import Part
from cxrtool.classifiers.pretrained import Start
from cxrtool.commands.train_cls import alone
from cxrtool.commands.train_cls.options import POOLED, Config
from cxrtool.core import console
from cxrtool.core.errors import InputError, UsageError
from cxrtool.core.reading import read_json
from cxrtool.core.runs import Run
from cxrtool.data import near_rows
from cxrtool.data.columns import SPLIT
from cxrtool.data.keys import DEEPEST, Seen, published_history, unknown_history
from cxrtool.data.labels import LabelPolicy, require_labels
from cxrtool.data.manifest import Dataset, load_dataset
from cxrtool.data.options import SelectionOptions
from cxrtool.data.select import select_rows
from cxrtool.stats.predictions import csv_text

#: Another real set, and which of its rows are trained on.
Other = tuple[Dataset, np.ndarray]


def load_inputs(config: Config, policy: LabelPolicy) -> tuple[Dataset, list[Dataset], list[Other]]:
    """The real set, the synthetic ones and other real ones that are trained on with it.

    Raises:
        InputError: They cannot be trained on together.
    """
    if alone.is_alone(config):
        return alone.load_alone(config, policy), [], []
    data = load_dataset(config.data)
    require_labels(data, "a classifier")
    refuse_made_rows(data, "validation and test are real, always")
    if data.info.kind == "single" and config.loss == "auc-margin":
        raise UsageError(
            "--loss auc-margin is for multi-label sets; this one has one class per image",
            hint="use --loss bce or focal, which are over the classes here",
        )
    sets = [load_dataset(path) for path in config.synth]
    if config.chosen_arm == POOLED:
        for other in sets:
            refuse_unpoolable(data, other)
        chosen = SelectionOptions(view=config.view)
        return data, [], [(other, select_rows(other, chosen)) for other in sets]
    for synth in sets:
        refuse_unjoinable(data, synth, policy)
    return data, sets, []


def warn_of_unfairness(extra: dict[str, int]) -> None:
    """Say how much more a generator, or the run to start from, has seen than the classifier."""
    for who, n in (("generator", extra["generator"]), ("run that it starts from", extra["start"])):
        if n:
            console.warn(
                f"the {who} was trained on {n:,} patients or images that this classifier is"
                " not: no fair comparison with arms without it"
            )


def warn_of_histories(seen: Seen, data: Dataset) -> list[str]:
    """Say once what is not known of generators and of weights to start from; the sentences."""
    sentences = [unknown_history(seen), *published_history([seen], [data])]
    sentences = [sentence for sentence in sentences if sentence]
    for sentence in sentences:
        console.warn(sentence)
    return sentences


def list_near_copies(
    run: Run, data: Dataset, train: np.ndarray, synths: list[Dataset], others: list[Other]
) -> dict[str, int]:
    """Say which validation and test rows are nearly training images, and write ``near_copies.csv``.

    Here, before hours of training, since here it is known for the first time what is trained on
    what. Nothing is refused: whether two films are one is for people to see.

    Returns:
        How many rows, by part; parts without one are left out.
    """
    counts: dict[str, int] = {}
    near, split = guard.near_held_out(data, train, synths, others), data.column(SPLIT)
    for part in ("val", "test"):
        own = [each.among(split == part) for each in near]
        if caution := near_rows.sentence(own, int((split == part).sum()), part, "training images"):
            counts[part] = len({pair.row for each in own for pair in each.pairs})
            console.warn(f"{caution} {near_rows.examples(own)}")
    if records := [record for each in near for record in each.records(names=True)]:
        cells = [list(record.values()) for record in records]
        run.write_text(near_rows.TABLE, csv_text(list(records[0]), cells))
    return counts


def load_start(config: Config, labels: tuple[str, ...]) -> Start | None:
    """The weights to start from."""
    if config.init_from is None:
        return pretrained.by_name(config.weights, config.arch)
    return pretrained.from_path(config.init_from, config.arch, labels)


def training_parts(
    config: Config,
    data: Dataset,
    rows: np.ndarray,
    synths: list[Dataset],
    labels: tuple[str, ...],
    read: Reader,
    others: Sequence[Other] = (),
) -> tuple[dict[str, Part], dict[str, str], list[int]]:
    """The arm's images; the labels they cannot teach, with the reason; positions of the others."""
    if alone.is_alone(config):
        parts = alone.parts_alone(data, rows, read)
    else:
        parts = compose(config.chosen_arm, data, rows, synths, read, others)
    # What is learned last must be learnable.
    last = ["real"] if config.chosen_arm == "pretrain-finetune" else list(parts)
    taught = joined([parts[name] for name in last])
    positions, unlearned = inputs.learnable(labels, *taught, where="the training images")
    parts = {name: part.columns(positions) for name, part in parts.items()}
    if data.info.kind == "single":
        for name, part in parts.items():
            parts[name] = part.with_class()
            lost = len(part) - len(parts[name])
            if lost:
                console.warn(f"{lost:,} {name} images are of none of the classes: left out")
    return parts, unlearned, positions


def validation_part(part: Part, kind: str) -> Part:
    """The validation rows; those of no class say nothing in a single-label set."""
    none = ~((part.values == 1) & part.mask).any(axis=1)
    if kind == "single" and none.any():
        part.mask[none] = False
        console.warn(f"{int(none.sum()):,} validation images are of none of the classes")
    return part


def joined(parts: Sequence[Part]) -> tuple[np.ndarray, np.ndarray]:
    """Values and mask of all parts."""
    return np.concatenate([p.values for p in parts]), np.concatenate([p.mask for p in parts])


def helpers_of(folder: Path, deepest: int = DEEPEST) -> set[str]:
    """Networks beside the generator that a set was made with, such as "teacher 0123abcd".

    They chose images (the teacher of a filter) or changed them (the CLIP of an edit).
    """
    helpers = set[str]()
    for entry in _inputs_of(folder):
        role, path = str(entry["role"]), Path(entry["path"])
        if role in ("teacher", "clip"):
            helpers.add(f"{role} {str(entry['fingerprint']).rpartition(':')[2][:8]}")
        elif role in ("edit", "shard") and deepest:
            helpers |= helpers_of(path, deepest - 1)
    return helpers


def _inputs_of(folder: Path) -> list[dict[str, Any]]:
    """The inputs in the record of a run; none where it has no record or lies elsewhere now."""
    try:
        return list(read_json(folder / "run.json")["inputs"])
    except (InputError, OSError):
        return []


def source_record(synth: Dataset) -> dict[str, Any]:
    """What reports say of where synthetic images come from: no path, no id."""
    generators = sorted(set(synth.column("generator")) - {""})
    helpers = sorted(helpers_of(synth.path))
    return {
        "images": len(synth),
        "generators": generators,
        "digest": synth.info.digest[:12],
        **({"helpers": helpers} if helpers else {}),
    }


def announce(
    config: Config,
    parts: dict[str, Part],
    val: Part,
    labels: tuple[str, ...],
    unlearned: dict[str, str],
    unjudged: dict[str, str],
) -> None:
    """Say what is trained on what, and which labels are left out and why."""
    for name, reason in unlearned.items():
        console.warn(f"label {name!r} is not learned: {reason} in the training images")
    for name, reason in unjudged.items():
        console.warn(f"label {name!r} does not choose the checkpoint: {reason} in validation")
    for number, part in enumerate(parts.values()):
        unknown = [name for k, name in enumerate(labels) if number and not part.mask[:, k].any()]
        if unknown:
            who = "the other set" if config.chosen_arm == POOLED else "SYNTH"
            console.warn(f"{who} says nothing about {', '.join(unknown)}: masked there")
    images = ", ".join(f"{len(part):,} {name}" for name, part in parts.items())
    kind = "synthetic" if alone.is_alone(config) else "real"
    console.say(
        f"arm {config.chosen_arm}, {config.arch}: {images} images to train on, {len(val):,} {kind}"
        f" ones to validate, {len(labels)} label{'s' if len(labels) > 1 else ''}"
    )
