"""The model card of a generator: what it is, what it was trained on, what is known and what not.

In: facts of a finished training. Out: a page, which ``train-gan`` writes as ``model_card.md``, and
the same card with another section on privacy or licence, for the copy that leaves the house. Form:
Mitchell et al. 2019, "Model Cards for Model Reporting". Of labels that fewer patients have than a
label table shows, the card gives no number.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cxrtool.data import keys
from cxrtool.data.label_vectors import LabelVectors
from cxrtool.data.manifest import DatasetInfo
from cxrtool.pages.page import Bullets, Page, Section, Table, Text
from cxrtool.version import __version__

MODEL_CARD = "model_card.md"
PRIVACY, LICENCE = "Privacy", "Licence"
UNMEASURED = "Privacy: not measured."


@dataclass(frozen=True)
class CardFacts:
    """What a card is written from.

    Attributes:
        meta: Content of ``model.json``.
        info: ``dataset.json`` of the training data.
        values: [N, L] labels of the training images in {0, 1}.
        mask: [N, L] bool, which of them are known.
        units: int64 [N], whose images they are: a number a patient.
        vectors: The label table.
        min_patients: Patients that a vector of it needs.
        training: Preset, batch and the like, as (what, value).
        measures: Sentences on what the training measured, each with its n.
    """

    meta: Mapping[str, Any]
    info: DatasetInfo
    values: np.ndarray
    mask: np.ndarray
    units: np.ndarray
    vectors: LabelVectors
    min_patients: int
    training: Sequence[tuple[str, str]]
    measures: Sequence[str]

    @property
    def people(self) -> str:
        """Whose images they are, with their number."""
        n = len(np.unique(self.units))
        if self.info.patients:
            return f"{n:,} patients"
        return f"{n:,} studies or single images (the set has no patient ids)"


def build(facts: CardFacts) -> Page:
    """The card as a page."""
    meta, info, n = facts.meta, facts.info, len(facts.values)
    labels = f"{len(meta['labels'])} labels" if meta["labels"] else "no labels"
    answer = (
        f"A generator ({meta['arch']}) of images of {meta['preprocessing']['size']} px by"
        f" {labels}, trained on {n:,} images of {facts.people}. {UNMEASURED} For research, not for"
        " diagnosis."
    )
    return Page(
        "Model card of a generator of medical images",
        answer,
        [
            _what(facts),
            _data(facts),
            _labels(facts),
            Section("Measures of the training", [Bullets(facts.measures)]),
            Section(PRIVACY, [Bullets(_privacy(facts))]),
            Section("Intended use", [Text(_USE)]),
            Section(LICENCE, [Text(_licence(info))]),
            Section("Limits", [Bullets(_limits(facts))]),
        ],
        f"Written by cxr {__version__}.",
    )


_USE = (
    "Research: images beside real ones in the training of classifiers, studies of generators and of"
    " edits, data to test software on. Whether it helps is to be measured on real images of people"
    " whom it was not trained on. Not for diagnosis, not as evidence of what anybody has, and its"
    " images are not to be passed on without a word that they are synthetic."
)


def _what(facts: CardFacts) -> Section:
    meta, form = facts.meta, facts.meta["preprocessing"]
    rows = [
        ("Architecture", str(meta["arch"])),
        ("Images", f"{form['size']} px, {form['channels']} channel, {meta['label_kind']}"),
        ("Made from", f"{form['data_size']} px, fit {form['fit']}, kernel {form['kernel']}"),
        ("Length", f"{meta['nimg'] / 1000:g} thousand images shown"),
        *facts.training,
    ]
    return Section("What it is", [Table(("what", "value"), rows, text_last=True)])


def _data(facts: CardFacts) -> Section:
    info, policy = facts.info, facts.meta["policy"]
    rows = [
        ("Source", info.source),
        ("Namespace of its ids", info.namespace),
        ("Images", f"{len(facts.values):,} of {facts.people}"),
        ("Rows", ", ".join(f"{k} {_brief(v)}" for k, v in facts.meta["selection"].items() if v)),
        ("Uncertain labels", _policy(policy["uncertain"])),
        ("Blank labels", str(policy["blank"])),
    ]
    return Section("What it was trained on", [Table(("what", "value"), rows, text_last=True)])


def _brief(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _policy(uncertain: str | Mapping[str, str]) -> str:
    if isinstance(uncertain, str):
        return uncertain
    return ", ".join(f"{'others' if k == '*' else k}: {v}" for k, v in uncertain.items())


def _labels(facts: CardFacts) -> Section:
    rows = []
    for k, name in enumerate(facts.meta["labels"]):
        positive = (facts.values[:, k] > 0) & facts.mask[:, k]
        if len(np.unique(facts.units[positive])) < facts.min_patients:
            few = f"of fewer than {facts.min_patients} patients"
            rows.append((name, few, ""))
        else:
            share = positive.sum() / facts.mask[:, k].sum()
            rows.append((name, f"{int(positive.sum()):,}", f"{100 * share:.2f} %"))
    left_out = [f"{name}: {why}" for name, why in facts.meta["labels_left_out"].items()]
    blocks = [Table(("label", "images", "share of known"), rows)] if rows else []
    words = [Text("Not among its labels:"), Bullets(left_out)] if left_out else []
    return Section("Labels", [*blocks, *words] or [Text("It knows no labels.")])


def _privacy(facts: CardFacts) -> list[str]:
    vectors, least = facts.vectors, facts.min_patients
    caution = keys.reversible_keys([facts.info.namespace] if facts.info.patients else [])
    sentences = [
        *([f"{caution} `cxr share` leaves them out."] if caution else []),
        "Not measured: whether its images copy training images, and whether a person's image can"
        " be told to have been among them, has not been tested (`cxr evaluate privacy` does).",
        f"label_table.csv holds {len(vectors.counts):,} label vectors of {vectors.images:,}"
        f" training images. {vectors.rare:,} images are left out whose vector fewer than"
        f" {least} patients have"
        + (f", and {vectors.unknown:,} of which a label is unknown." if vectors.unknown else "."),
    ]
    if facts.meta["arch"] == "opengan":
        sentences.append(
            "The weights hold a vector of features of training images, one an image: do not hand"
            " them over."
        )
    elif facts.meta["arch"] != "flow":
        sentences.append(
            "The weights hold the discriminator too, which filters use. It has been shown each"
            " training image, and tells them from others more easily than the generator does."
        )
    return sentences


def _limits(facts: CardFacts) -> list[str]:
    return [
        "An image has the labels that were asked for; nobody has read it to see whether it shows"
        " them.",
        "It repeats what the training data hold: their hospitals, machines, views and people, and"
        " the errors of their labels. How it does for others is not known.",
        "Labels and combinations that few training images have are learned poorly.",
        "Files of a training (model.json, resolved.json) hold the share of every label among the"
        " training images.",
    ]


def _licence(info: DatasetInfo) -> str:
    terms = f"{info.licence.rstrip('.')}." if info.licence else "no licence on record."
    cite = f" To be cited: {info.citation}" if info.citation else ""
    return (
        "None is given here: whoever owns the training data decides, and may be bound by their"
        f" terms. The training data: {terms}{cite}"
    )


def with_section(card: str, title: str, text: str) -> str:
    """A card in which one section says something else.

    Args:
        card: A written card.
        title: Of the section.
        text: Markdown.

    Raises:
        ValueError: The card has no such section.
    """
    changed, n = re.subn(
        rf"(?ms)^## {re.escape(title)}\n\n.*?(?=^## |\Z)",
        lambda _: f"## {title}\n\n{text.strip()}\n\n",
        card,
        count=1,
    )
    if not n:
        raise ValueError(f"no section {title!r}")
    return changed
