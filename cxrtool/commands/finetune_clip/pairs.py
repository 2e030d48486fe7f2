"""What `cxr finetune-clip` trains on: rows, their texts, what these claim, and the recipe.

In: a dataset directory and the options. Out: rows and texts to train on and to hold out, and for
the text strategy `original` no rows to train on; lines on stderr; what the network has seen.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from open_clip import SimpleTokenizer

from cxrtool.clip import architecture, losses, training, weights
from cxrtool.clip.templates import Templates
from cxrtool.clip.texts import Composer, PairTexts, reference_column
from cxrtool.commands.finetune_clip.options import EPOCHS, ORIGINAL, Config
from cxrtool.core import console
from cxrtool.core.errors import InputError, UsageError
from cxrtool.data import cache, manifest, maps, select
from cxrtool.data.keys import SEEN, Seen
from cxrtool.data.labels import LabelPolicy, label_arrays
from cxrtool.reports import Labeler
from cxrtool.training.device import has_fast_bfloat16
from cxrtool.training.rng import numpy_rng

COMMON_TEXT_FRAC = 0.9  # of one text, from which a warning is given
VAL_ROWS = 2000  # held-out pairs that are used, at most


@dataclass(frozen=True)
class Part:
    """Rows of a data set, with their texts.

    Attributes:
        dataset: The data set.
        rows: [N] into it.
        texts: Their texts.
        values: [N, L] in {0, 1}.
        mask: [N, L]; False where the label is unknown.
    """

    dataset: manifest.Dataset
    rows: np.ndarray
    texts: PairTexts
    values: np.ndarray
    mask: np.ndarray

    def pairs(
        self, templates: Templates, tokenizer: SimpleTokenizer, groups: np.ndarray | None = None
    ) -> training.Pairs:
        """Images, tokens and claims; `groups` [N] in place of those of the texts."""
        labels = self.dataset.labels
        label_values = np.where(self.mask, self.values > 0.5, losses.OPEN).astype(np.int8)
        read = partial(said_in, labels=labels)
        claims = losses.claims_of(self.texts, labels, label_values, templates, tokenizer, read)
        pixels = cache.pixels(self.dataset, self.rows)
        groups = self.texts.groups if groups is None else groups
        return training.make_pairs(pixels, self.texts.wordings, groups, tokenizer, claims)


def part_of(
    dataset: manifest.Dataset, config: Config, templates: Templates, *, held_out: bool
) -> Part:
    """The rows to train on, or those to choose the network by, and their texts.

    Raises:
        InputError: no rows, no texts, or one text for all of them.
    """
    original = config.text == ORIGINAL
    rows = select.select_rows(dataset, config, split="val")
    if not held_out:
        rows = rows[:0] if original else np.setdiff1d(select.select_rows(dataset, config), rows)
    elif len(rows) > VAL_ROWS:
        draw = numpy_rng("val rows", config.seed).choice(len(rows), VAL_ROWS, replace=False)
        rows = rows[np.sort(draw)]
    values, mask = label_arrays(dataset, rows, LabelPolicy.from_options(config))
    if not len(rows):
        return Part(dataset, rows, PairTexts(rows, [], rows, ORIGINAL), values, mask)
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
    own = texts.positions
    return Part(dataset, rows[own], texts, values[own], mask[own])


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
            values[rules.no_finding] = losses.OPEN
        said = {label: values.get(maps.canonical(label)) for label in labels}
        unknown = {label for label in labels if maps.canonical(label) not in rules.observations}
        statements.append(
            dict.fromkeys(unknown, losses.OPEN) | {k: v for k, v in said.items() if v is not None}
        )
    return statements


def recipe_of(
    config: Config, pairs: int, device: torch.device | None = None, processes: int = 1
) -> training.Recipe:
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
    return training.Recipe(
        batch=batch,
        steps=epochs * (pairs // batch) if config.steps is None else config.steps,
        lr=config.peak_lr,
        seed=config.seed,
        augment=config.augment,
        lock=config.locked,
        negation_weight=config.negation_weight,
        bfloat16=fast or config.precision == "bfloat16",
    )


def explain(train: Part, val: Part, cut: int, chosen: architecture.Architecture) -> None:
    """Say what is trained on what, and warn where it cannot become good."""
    texts, pairs, val_pairs = train.texts, len(train.rows), len(val.rows)
    settings = weights.describe(chosen.quick_gelu, chosen.preprocess_cfg)
    console.say(f"{chosen.name}: {settings} ({chosen.origin})")
    if chosen.assumed:
        console.warn(chosen.assumed)
    if texts.origin == ORIGINAL:
        console.say(
            f"nothing is trained; {val_pairs} pairs held out; model {chosen.name} at "
            f"{chosen.size} px"
        )
        if chosen.weights is None:
            console.warn("no --pretrained and no --tag: this is an untrained network")
        return
    if texts.origin == "labels":
        console.say("no texts: prompts are composed from the labels, in varied wording")
    console.say(
        f"{pairs} pairs ({texts.origin}, {texts.distinct()} different), {val_pairs} held out; "
        f"model {chosen.name} at {chosen.size} px"
    )
    if texts.spellings > texts.distinct():
        console.say(
            f"{texts.spellings} spellings of these {texts.distinct()} texts: those that differ by a"
            " full stop, case or white space alone are one text"
        )
    share = float(np.bincount(texts.groups).max()) / len(texts.groups)
    if share > COMMON_TEXT_FRAC:
        console.warn(f"{share:.0%} of the pairs have one and the same text: little to contrast")
    if cut:
        console.warn(f"{cut} texts are longer than {chosen.context} tokens; their ends are cut")


def seen_of(train: Part, val: Part, config: Config) -> Seen:
    """Everything that shaped the network: both parts, and what its first weights had seen."""
    seen, sources = Seen(), [config.pretrained]
    if config.text != ORIGINAL:
        seen = Seen.of(train.dataset, train.rows).merge(Seen.choosing(val.dataset, val.rows))
        sources.append(config.data)
    for source in sources:
        if source is not None and (source / SEEN).is_file():
            seen = seen.merge(Seen.load(source))
    return seen
