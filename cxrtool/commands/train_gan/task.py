"""The part of ``train-gan`` that decides: rows, labels, and every number, from data and device.

In: the Config. Out: a `Task`, printed, and saved as `resolved.json`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cxrtool.commands.train_gan.options import Config
from cxrtool.commands.train_gan.teacher import Teacher
from cxrtool.core import console
from cxrtool.core.config.records import to_record
from cxrtool.core.config.values import names_of
from cxrtool.core.errors import InputError, UsageError
from cxrtool.core.reading import read_json
from cxrtool.data.labels import LabelPolicy, label_arrays
from cxrtool.data.manifest import Dataset, load_dataset
from cxrtool.data.select import select_rows
from cxrtool.generators import conditions
from cxrtool.generators.choices import Request, choose_preset, choose_size
from cxrtool.generators.conditions import Conditioning, SingleLabels, choose_labels
from cxrtool.generators.registry import ARCHS, Arch, Choices

OFTEN = 10  # repeats of an image in the time of all, from which it may be learned by heart


@dataclass(frozen=True)
class Task:
    """The data to train on and every choice made for it.

    Attributes:
        config: As asked.
        dataset: The data set.
        rows: `[N]` positions of the training rows.
        conditioning: Labels in and out of the condition.
        values: `[N, L]` values of those labels.
        mask: `[N, L]` bool.
        choices: Every number.
        arch: The architecture.
        held: `[N]` bool, rows that no network is trained on.
        singles: What became of a multi-label set, where the architecture takes single labels.
        teacher: Of a student of few calls.
    """

    config: Config
    dataset: Dataset
    rows: np.ndarray
    conditioning: Conditioning
    values: np.ndarray
    mask: np.ndarray
    choices: Choices
    arch: Arch
    held: np.ndarray
    singles: SingleLabels | None = None
    teacher: Teacher | None = None

    def weights(self) -> np.ndarray | None:
        """`[N']` how often the rows that are not held back are shown, of mean 1; None for alike."""
        values, mask = self.values[~self.held], self.mask[~self.held]
        return conditions.row_weights(values, mask, self.choices.sample)

    @property
    def single(self) -> bool:
        """Whether an image has exactly one of the labels."""
        return self.arch.single or self.dataset.info.kind == "single"

    def held_out_rows(self, part: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows of a split that no training row is among, with labels as the training has them.

        Where classes exclude each other, rows of a class that the network is not trained on stay
        out.

        Returns:
            `[M]` positions, `[M, L]` values, `[M, L]` bool mask.
        """
        dataset, conditioning = self.dataset, self.conditioning
        rows = select_rows(dataset, self.config, part, allow_empty=True)
        rows = np.setdiff1d(rows, self.rows)  # of --split all nobody is left
        values, mask = label_arrays(dataset, rows, LabelPolicy.from_options(self.config))
        columns = list(conditioning.columns)
        if self.singles is not None:
            single = conditions.reduce_labels(
                values * mask, conditioning.labels, conditioning.columns, self.singles.rule, None
            )
            new = ~held_out(self.config, conditioning.labels, single.values)
            values = single.values[new]
            return rows[single.rows][new], values, np.ones_like(values, dtype=bool)
        values, mask = values[:, columns], mask[:, columns]
        some = "not asked for" in conditioning.left_out.values() and len(columns) > 1
        if dataset.info.kind == "single" and some:
            here = (values * mask).any(axis=1)
            rows, values, mask = rows[here], values[here], mask[here]
        return rows, values, mask

    def to_json(self) -> dict[str, Any]:
        """For `resolved.json` and `--dry-run`."""
        choices = self.choices.to_json()
        for name in ("snapshot_nimg", "tick_nimg"):  # they change no result
            del choices[name]
        single = {} if self.singles is None else {"left_out_rows": self.singles.dropped}
        return {
            **choices,
            **single,
            "images": len(self.rows),
            **({"held_out_images": int(self.held.sum())} if self.held.any() else {}),
            "labels": list(self.conditioning.labels),
            "labels_left_out": self.conditioning.left_out,
            "prevalence": self.prevalence(),
        }

    def prevalence(self) -> dict[str, float]:
        """Share of positives among the known values, by label."""
        counts = self.mask.sum(axis=0)
        shares = (self.values * self.mask).sum(axis=0) / counts
        return {
            name: round(float(share), 6) for name, share in zip(self.conditioning.labels, shares)
        }


def recorded(folder: Path) -> dict[str, Any]:
    """What an earlier execution chose in a folder; empty at the start.

    A run that goes on keeps its size, preset and precision, on whatever device.
    """
    try:
        record = read_json(folder / "resolved.json")
        low = record["bfloat16_from_px"]
        return {
            "preset": record["preset"],
            "size": record["arch"]["size"],
            "precision": "float32" if low is None else "bfloat16",
        }
    except (InputError, KeyError, TypeError):
        return {}


def prepare(
    config: Config, device: str, processes: int = 1, before: dict[str, Any] | None = None
) -> Task:
    """Read the table, select rows and labels, and make every choice.

    Args:
        config: As asked.
        device: "cpu" or "cuda".
        processes: That share each batch.
        before: From `recorded`.

    Raises:
        InputError: no images, too few, or too small ones; no row of a class.
        UsageError: an option that cannot be met; single labels are needed, and no rule makes them.
    """
    dataset = load_dataset(config.data)
    where = str(config.data)
    before = before or {}
    arch = ARCHS[config.arch]
    teacher: Teacher | None = None
    wanted: str | tuple[str, ...] = config.labels
    options: dict[str, Any] = to_record(config)
    if config.distill is not None:
        teacher = Teacher.of(config.distill, config)
        teacher.require_same_data(config, dataset)
        before = {**before, "size": teacher.size, "preset": teacher.preset}
        wanted, options = teacher.card.labels, options | teacher.options
    requested = config.size or before.get("size")
    size = choose_size(requested, dataset.info.size, where, device)
    if requested is None:
        size = min(size, arch.sizes[-1])
    rows = select_rows(dataset, config)
    values, mask = label_arrays(dataset, rows, LabelPolicy.from_options(config))
    conditioning = choose_labels(dataset.labels, values, mask, wanted)
    weighs = {
        "--label-weight weighs a label loss": config.label_weight is not None,
        "--d-label-weight weighs a label loss": config.d_label_weight is not None,
        f"--sample {config.sample} counts rows by their labels": config.sample != "natural",
    }
    for what in (text for text, asked in weighs.items() if asked and not conditioning.labels):
        raise UsageError(
            f"{what}, and there is no label to condition on",
            hint="leave it out, or name labels with --labels",
        )
    some = wanted != "all" and len(conditioning.labels) > 1
    if dataset.info.kind == "single" and some:
        # As in train-cls: an image of another class is none of a class asked for.
        here = (values * mask)[:, list(conditioning.columns)].sum(axis=1) > 0
        rows, values, mask = rows[here], values[here], mask[here]
    columns, singles, held = list(conditioning.columns), None, np.zeros(len(rows), bool)
    if arch.single:
        kind, rule = dataset.info.kind, config.single_label
        conditions.require_single(kind, values[:, columns], mask[:, columns], rule, config.arch)
        if len(columns) < 2:
            raise UsageError(
                f"--arch {config.arch} tells classes apart, and there are {len(columns)}",
                hint="give at least two --labels that training rows have",
            )
        singles = conditions.reduce_labels(
            values * mask, conditioning.labels, conditioning.columns, rule or "one-of-chosen", where
        )
        rows, values, mask = rows[singles.rows], singles.values, singles.values >= 0
        held = held_out(config, conditioning.labels, values)
    else:
        values, mask = values[:, columns], mask[:, columns]
    choices = arch.choose(
        Request(
            size=size,
            preset=choose_preset(config.preset or before.get("preset"), size, device),
            images=int((~held).sum()),
            labels=len(columns),
            where=where,
            processes=processes,
            options=options,
        )
    )
    return Task(
        config, dataset, rows, conditioning, values, mask, choices, arch, held, singles, teacher
    )


def held_out(config: Config, labels: tuple[str, ...], values: np.ndarray) -> np.ndarray:
    """Rows of the classes that no network is trained on: bool `[N]`.

    Raises:
        UsageError: a class that is not there, or fewer than two that remain.
    """
    if config.hold_out is None:
        return np.zeros(len(values), bool)
    whole = config.hold_out in labels
    names = [config.hold_out] if whole else list(names_of(config.hold_out, "--hold-out"))
    unknown = [name for name in names if name not in labels]
    if unknown or len(labels) - len(set(names)) < 2:
        raise UsageError(
            f"--hold-out {config.hold_out}: "
            + (f"no label {unknown[0]!r}" if unknown else "fewer than two classes remain"),
            hint="the classes are " + ", ".join(labels),
        )
    columns = [labels.index(name) for name in names]
    held: np.ndarray = values[:, columns].sum(axis=1) > 0
    return held


def explain(task: Task) -> None:
    """Say what will be trained, and warn about labels that cannot be conditions."""
    choices, arch = task.choices, task.choices.arch
    reasons = {name: why for name, why in task.conditioning.left_out.items() if "asked" not in why}
    for name, why in reasons.items():
        console.warn(f"label {name!r} is left out of the condition: {why}")
    if task.singles is not None and task.singles.dropped:
        console.say(
            f"--single-label {task.singles.rule}: {task.singles.dropped:,} rows are left out"
        )
    weights = task.weights()
    if weights is not None:
        _tell_repeats(task, weights)
    if not task.conditioning.labels:
        console.say("no label to condition on: the generator is unconditional")
    native = task.dataset.info.size
    if native != arch.size:
        console.warn(
            f"train-cls will not join images of {arch.size} px with data of {native} px: to use"
            f" both, prepare the data with --size {arch.size}"
        )
    console.say(
        f"{int((~task.held).sum()):,} images at {arch.size} px, {arch.labels} labels, "
        f"{task.arch.name}, preset {choices.preset}, batch {choices.batch}, "
        f"lr {choices.lr:g}, {choices.described}, {choices.total_nimg / 1000:g} kimg"
    )


def _tell_repeats(task: Task, weights: np.ndarray) -> None:
    """Say whose rows come most often, and warn where they may be learned by heart."""
    values = (task.values * task.mask)[~task.held]
    most = int(weights.argmax())
    counts = values.sum(axis=0)
    rarest = int(np.where(values[most] > 0, counts, np.inf).argmin())
    what, rows = "no label", int((values.sum(axis=1) == 0).sum())
    if values[most].any():
        what, rows = repr(task.conditioning.labels[rarest]), int(counts[rarest])
    text = (
        f"--sample {task.choices.sample}: rows of {what} ({rows:,}) come {weights[most]:.3g} times"
        f" as often as they are, the commonest {weights.min():.2g} times"
    )
    if weights[most] > OFTEN:
        hint = "look for copies of them with `cxr evaluate privacy`"
        console.warn(f"{text}; a network may learn so few by heart: {hint}")
    else:
        console.say(text)
