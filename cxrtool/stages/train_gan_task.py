"""The part of ``train-gan`` that decides: rows, labels, and every number, from data and device.

In: the Config. Out: a `Task`, printed, and saved as `resolved.json`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cxrtool import console

if TYPE_CHECKING:
    import numpy as np

    from cxrtool.data.manifest import Dataset
    from cxrtool.gans.choices import Choices
    from cxrtool.gans.conditions import Conditioning
    from cxrtool.runs import Run
    from cxrtool.stages.train_gan import Config


@dataclass(frozen=True)
class Task:
    """The data to train on and every choice made for it.

    Attributes:
        config: As asked.
        dataset: The data set.
        rows: `[N]` positions of the training rows.
        conditioning: Labels in and out of the condition.
        values: `[N, L]` values of those labels.
        known: `[N, L]` bool.
        choices: Every number.
    """

    config: Config
    dataset: Dataset
    rows: np.ndarray
    conditioning: Conditioning
    values: np.ndarray
    known: np.ndarray
    choices: Choices

    def to_json(self) -> dict[str, Any]:
        """For `resolved.json` and `--dry-run`."""
        choices = self.choices.to_json()
        for name in ("snapshot_nimg", "tick_nimg"):  # they change no result
            del choices[name]
        return {
            **choices,
            "images": len(self.rows),
            "labels": list(self.conditioning.labels),
            "labels_left_out": self.conditioning.left_out,
            "prevalence": self.prevalence(),
        }

    def prevalence(self) -> dict[str, float]:
        """Share of positives among the known values, by label."""
        counts = self.known.sum(axis=0)
        shares = (self.values * self.known).sum(axis=0) / counts
        return {
            name: round(float(share), 6) for name, share in zip(self.conditioning.labels, shares)
        }


def recorded(run: Run) -> dict[str, Any]:
    """What an earlier execution of this run chose; empty at the start.

    A run that goes on keeps its size, preset and precision, on whatever device.
    """
    try:
        found: dict[str, Any] = json.loads((run.shared / "resolved.json").read_text("utf-8"))
        low = found["bfloat16_from_px"]
        return {
            "preset": found["preset"],
            "size": found["arch"]["size"],
            "precision": "float32" if low is None else "bfloat16",
        }
    except (OSError, ValueError, KeyError, TypeError):
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
        InputError: no images, too few, or too small ones.
        UsageError: an option that cannot be met.
    """
    from cxrtool.data.labels import LabelPolicy, label_arrays
    from cxrtool.data.manifest import load_dataset
    from cxrtool.data.select import select_rows
    from cxrtool.gans.choices import choose, choose_preset, choose_size
    from cxrtool.gans.conditions import choose_labels

    dataset = load_dataset(config.data)
    where = str(config.data)
    before = before or {}
    size = choose_size(config.size or before.get("size"), dataset.info.size, where, device)
    rows = select_rows(dataset, config)
    values, known = label_arrays(dataset, rows, LabelPolicy.from_options(config))
    conditioning = choose_labels(dataset.labels, values, known, config.labels)
    columns = list(conditioning.columns)
    choices = choose(
        size=size,
        preset=choose_preset(config.preset or before.get("preset"), size, device),
        images=len(rows),
        labels=len(columns),
        where=where,
        batch=config.batch,
        parts=config.accumulate * processes,
        kimg=config.kimg,
        lr=config.lr,
        gamma=config.gamma,
        loss=config.loss,
        ramp_kimg=config.label_ramp,
        augment=config.augment,
        augment_p=config.augment_p,
        mirror=config.mirror,
        style_mixing=config.style_mixing,
        label_weight=config.label_weight,
        noise=None if config.noise is None else config.noise == "on",
        seed=config.seed,
        snapshot_kimg=config.snapshot_kimg,
        tick_kimg=config.tick_kimg,
    )
    return Task(config, dataset, rows, conditioning, values[:, columns], known[:, columns], choices)


def explain(task: Task) -> None:
    """Say what will be trained, and warn about labels that cannot be conditions."""
    choices, arch = task.choices, task.choices.arch
    asked = {name: why for name, why in task.conditioning.left_out.items() if "asked" not in why}
    for name, why in asked.items():
        console.warn(f"label {name!r} is left out of the condition: {why}")
    if not task.conditioning.labels:
        console.say("no label to condition on: the generator is unconditional")
    console.say(
        f"{len(task.rows):,} images at {arch.size} px, {arch.labels} labels, preset "
        f"{choices.preset}, batch {choices.batch}, lr {choices.lr:g}, gamma {choices.r1_gamma:g}, "
        f"augment {','.join(choices.augment) or 'none'}"
        f"{'' if choices.augment_p is None else f' (p {choices.augment_p:g})'}, "
        f"{choices.total_nimg / 1000:g} kimg"
    )
