"""The page of `evaluate images` where no real image was given.

In: a synthetic set's images, labels and what a classifier read. Out: a `Page` that says first what
it cannot tell.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cxrtool.data.images import contact_sheet
from cxrtool.pages import page
from cxrtool.stats.wording import counted, number
from cxrtool.training.rng import numpy_rng

SHOWN_LABELS, PER_LABEL, LEAST_PX = 8, 8, 64
WITHOUT_REAL = (
    "No real image was given (--real DATA): how near the images are to real ones, what they leave"
    " out, and whether they are copies of people is not measured."
)


@dataclass(frozen=True)
class LabelAlone:
    """One label of a synthetic set.

    Attributes:
        label: Its name.
        images: That have it.
        spread: Mean distance between two of them over that between any two of the set (pixels at
            32 px); NaN of fewer than two.
        auroc: Of the classifier's reading, images with it against those without; NaN without one.
    """

    label: str
    images: int
    spread: float
    auroc: float


@dataclass(frozen=True)
class SetAlone:
    """Everything the page is made of.

    Attributes:
        size: Native size, px.
        images: [N, H, W] uint8.
        has: [N, L] bool.
        labels: L of them.
        identical: Images that repeat another one.
        reader: Whether a classifier read them.
        unknown: Sentence on generators of unknown history, "" without.
        seed: Of the images that are shown.
    """

    size: int
    images: np.ndarray
    has: np.ndarray
    labels: Sequence[LabelAlone]
    identical: int
    reader: bool
    unknown: str
    seed: int


def answer(e: SetAlone) -> str:
    """What the set is, in a sentence."""
    having = sum(label.images > 0 for label in e.labels)
    repeats = "none of them twice" if not e.identical else f"{e.identical:,} of them repeat another"
    return f"{counted(len(e.images), 'synthetic image')} of {counted(having, 'label')}, {repeats}."


def build(e: SetAlone) -> page.Page:
    """The whole page."""
    cautions = [WITHOUT_REAL, *([e.unknown] if e.unknown else [])]
    rows = [
        [
            *(label.label, f"{label.images:,}", number(label.spread, 2)),
            *([number(label.auroc)] if e.reader else []),
        ]
        for label in e.labels
    ]
    columns = ["label", "images", "spread", *(["AUROC of the reading"] if e.reader else [])]
    caption = (
        "Spread: mean distance between two images of the label over that between any two of the set"
        " (pixels at 32 px); far below 1 they are much alike."
    )
    if e.reader:
        caption += (
            " AUROC: how often the classifier of --features ranks an image with the label above one"
            " without it; if it learned from images of this generator it reads what these have in"
            " common."
        )
    numbers = [(f"{len(e.images):,}", "synthetic images"), (f"{e.size} px", "native size")]
    head = page.Section("", [page.Numbers(numbers), *page.cautions(cautions)])
    table = page.Section("Labels", [page.Table(columns, rows, caption)])
    return page.Page("Synthetic images by themselves", answer(e), [head, _pictures(e), table])


def _pictures(e: SetAlone) -> page.Section:
    rng = numpy_rng("evaluate-images shown", e.seed)
    order = np.argsort([-label.images for label in e.labels], kind="stable")[:SHOWN_LABELS]
    blocks: list[page.Block] = []
    for k in order.tolist():
        rows = np.flatnonzero(e.has[:, k])
        if len(rows):
            drawn = np.sort(rng.choice(rows, min(PER_LABEL, len(rows)), replace=False))
            scale = max(1, LEAST_PX // max(1, e.size))
            sheet = contact_sheet(e.images[drawn], columns=PER_LABEL, scale=scale)
            name = e.labels[k].label
            blocks.append(page.Picture(sheet, f"Synthetic images of {name}", name))
    return page.Section("Images", blocks)
