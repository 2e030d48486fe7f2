"""What `cxr finetune-clip` trains on: rows, their texts, what these claim, and the recipe.

In: a dataset directory and the options. Out: rows and texts to train on and to hold out; and, for
the text strategy `original`, no rows to train on.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from cxrtool.clip.losses import OPEN
from cxrtool.clip.templates import Templates
from cxrtool.clip.texts import Composer, PairTexts, reference_column
from cxrtool.clip.training import Recipe
from cxrtool.commands.finetune_clip.options import EPOCHS, ORIGINAL, Config
from cxrtool.core.errors import InputError, UsageError
from cxrtool.data.labels import LabelPolicy, label_arrays
from cxrtool.data.manifest import Dataset
from cxrtool.data.maps import canonical
from cxrtool.data.select import select_rows
from cxrtool.reports import Labeler
from cxrtool.training.device import has_fast_bfloat16
from cxrtool.training.rng import numpy_rng

VAL_ROWS = 2000  # held-out pairs that are used, at most


def pairs_of(
    dataset: Dataset, config: Config, templates: Templates, *, held_out: bool
) -> tuple[np.ndarray, PairTexts]:
    """The rows to train on, or those to choose the network by, and their texts.

    Raises:
        InputError: no rows, no texts, or one text for all of them.
    """
    original = config.text == ORIGINAL
    rows = select_rows(dataset, config, split="val")
    if held_out:
        if len(rows) > VAL_ROWS:
            chosen = numpy_rng("val rows", config.seed).choice(len(rows), VAL_ROWS, replace=False)
            rows = rows[np.sort(chosen)]
    elif original:
        return rows[:0], PairTexts(rows[:0], [], rows[:0], ORIGINAL)
    else:
        rows = np.setdiff1d(select_rows(dataset, config), rows)
    values, mask = label_arrays(dataset, rows, LabelPolicy.from_options(config))
    table = dataset.table.iloc[rows]
    strategy = reference_column(table) if original else config.text
    composer = Composer(table, dataset.labels, values, mask, templates, config.seed)
    texts = composer.pair_texts(strategy, config.wordings)
    if not held_out and texts.distinct() < 2:
        raise InputError(
            f"all {len(texts.positions)} chosen images have the same text: nothing to contrast",
            file=dataset.path,
            hint="choose another column with --text",
        )
    return rows[texts.positions], texts


def said_in(texts: Sequence[str], labels: Sequence[str]) -> list[Mapping[str, int]]:
    """What each text says of the labels: 1, 0, or -1 (open).

    Labels that `extract-reports` does not know are open: it looks for none of them, so that a list
    of its findings does not deny them. So is No Finding where devices are all that is named.
    """
    labeler = Labeler()
    rules = labeler.rules
    statements: list[Mapping[str, int]] = []
    for read in labeler.label_all(texts, evidence=False):
        values = {k: v for k, v in read.values.items() if v is not None}
        if values and values.keys() <= {rules.devices}:
            values[rules.no_finding] = OPEN
        said = {label: values.get(canonical(label)) for label in labels}
        unknown = {label for label in labels if canonical(label) not in rules.observations}
        statements.append(
            dict.fromkeys(unknown, OPEN) | {k: v for k, v in said.items() if v is not None}
        )
    return statements


def recipe_of(
    config: Config, pairs: int, device: torch.device | None = None, processes: int = 1
) -> Recipe:
    """The recipe for so many pairs.

    Raises:
        InputError: fewer than two pairs.
        UsageError: a batch that the processes cannot share.
    """
    if pairs < 2:
        raise InputError("one pair alone: nothing to contrast", file=config.data)
    batch = min(config.batch, pairs)
    if batch % processes:
        raise UsageError(
            f"a batch of {batch} pairs cannot be shared by {processes} processes",
            hint=f"use --batch {max(processes, batch // processes * processes)}",
        )
    on_cuda = device is not None and device.type == "cuda" and has_fast_bfloat16(device)
    fast = config.precision == "auto" and on_cuda
    epochs = EPOCHS if config.epochs is None else config.epochs
    return Recipe(
        batch=batch,
        steps=epochs * (pairs // batch) if config.steps is None else config.steps,
        lr=config.peak_lr,
        seed=config.seed,
        augment=config.augment,
        lock=config.locked,
        negation_weight=config.negation_weight,
        bfloat16=fast or config.precision == "bfloat16",
    )
