"""The report page of `evaluate images`.

In: distances from `fidelity` and the images themselves. Out: a `Page` with numbers, the feature
space, n and kernel beside each of them, and real images beside synthetic ones of the same label.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from cxrtool.data.images import contact_sheet
from cxrtool.fidelity.distances import KernelDistance
from cxrtool.fidelity.manifolds import NEIGHBORS
from cxrtool.fidelity.measures import (
    COPY_PERCENTILE,
    LEAST_OF_LABEL,
    Conditional,
    Fidelity,
    LabelDistance,
    Nearness,
)
from cxrtool.pages import figures, page
from cxrtool.stats.wording import number
from cxrtool.training.rng import numpy_rng

SHOWN_LABELS = 8
PER_LABEL = 8
PAIRS = 6


@dataclass(frozen=True)
class ImageEvaluation:
    """Everything the page is made of.

    Attributes:
        source: Title of the real set.
        kernel: Resize kernel of both sets.
        size: Native size, px.
        fidelity: One entry a feature space, the first one leads.
        conditional: Whether a teacher reads the labels asked for; empty without one.
        membership: AUROC of the discriminator between training and held-out images, or None.
        probe: AUROC of the shortcut probe: synthetic against real, training against real.
        by_label: From `fidelity.by_label`.
        nearness: One entry a space; empty without training images.
        labels: L names.
        synthetic: [N, H, W] uint8.
        synthetic_labels: [N, L] bool.
        real: [M, H, W] uint8, the reference.
        real_labels: [M, L] bool.
        training: [T, H, W] uint8.
        reference: What the reference rows are ("test").
        cautions: Sentences a reader must see.
        seed: Of the images that are shown.
    """

    source: str
    kernel: str
    size: int
    fidelity: Sequence[Fidelity]
    by_label: Sequence[LabelDistance]
    nearness: Sequence[Nearness]
    labels: tuple[str, ...]
    synthetic: np.ndarray
    synthetic_labels: np.ndarray
    real: np.ndarray
    real_labels: np.ndarray
    training: np.ndarray
    reference: str
    conditional: Sequence[Conditional] = field(default_factory=list)
    membership: float | None = None
    probe: tuple[float, float] = (math.nan, math.nan)
    cautions: Sequence[str] = field(default_factory=list)
    seed: int = 0


def answer(e: ImageEvaluation) -> str:
    """The result in one sentence."""
    first = e.fidelity[0]
    return (
        f"The synthetic images are {first.ratio:.1f} times as far from real {e.reference} images as"
        f" those are from each other (Fréchet distance, {first.space}, n = {first.n:,} a side)."
    )


def build(e: ImageEvaluation) -> page.Page:
    """The whole page."""
    blocks: list[page.Block] = [
        page.Numbers(
            [
                (f"{len(e.synthetic):,}", "synthetic images"),
                (f"{len(e.real):,}", f"real {e.reference} images"),
                (f"{len(e.training):,}", "training images"),
                (f"{e.size} px", "native size"),
            ]
        )
    ]
    blocks += page.cautions(e.cautions)
    sections = [page.Section("", blocks), _pictures(e), _distances(e)]
    if e.conditional:
        sections.append(_conditional(e))
    if e.nearness:
        sections.append(_nearness(e))
    sections.append(_probe(e))
    return page.Page(f"Synthetic images for {e.source}", answer(e), sections)


def _distances(e: ImageEvaluation) -> page.Section:
    rows = [
        [
            f.space,
            str(f.dim),
            f"{f.n:,}",
            number(f.frechet, 4),
            number(f.frechet_real, 4),
            f"{number(f.ratio, 2)}×",
            _kid(f.kernel),
            number(1000 * f.kernel_real.mean, 3),
        ]
        for f in e.fidelity
    ]
    columns = [
        "feature space", "D", "n a side", "Fréchet", "real / real", "ratio", "KID × 1000",
        "real / real",
    ]  # fmt: skip
    blocks: list[page.Block] = [
        page.Table(
            columns,
            rows,
            "Smaller is closer. Fréchet (squared, as is usual): mean over random splits, n images a"
            " side, beside the same between two disjoint real halves. KID: unbiased, mean ± sd over"
            f" subsets of {e.fidelity[0].kernel.subset_size:,}, all images. Resize kernel of all:"
            f" {e.kernel}. {_what_they_are(e)}",
        )
    ]
    covers = [
        [f.space, f"{f.n:,}"]
        + [
            f"{number(getattr(f.cover, name))} ({number(getattr(f.cover_real, name))})"
            for name in ("precision", "recall", "density", "coverage")
        ]
        for f in e.fidelity
        if f.cover is not None and f.cover_real is not None
    ]
    if covers:
        blocks.append(
            page.Table(
                ["feature space", "n a side", "precision", "recall", "density", "coverage"],
                covers,
                f"Of synthetic images, and in parentheses of other real ones; {NEIGHBORS} nearest"
                " neighbors. Precision and density: do they look real; recall and coverage: is the"
                " variety of real ones there.",
            )
        )
    if any(d.kernel is not None for d in e.by_label):
        table = [
            [d.label, d.space, f"{d.n_synthetic:,}", f"{d.n_real:,}", _kid(d.kernel)]
            for d in e.by_label
            if d.kernel is not None
        ]
        blocks.append(
            page.Table(
                ["label", "feature space", "synthetic", "real", "KID × 1000"],
                table,
                f"Images of one label against real images of it (at least {LEAST_OF_LABEL} on both"
                " sides).",
                text_columns=2,
            )
        )
    return page.Section("Distance to real images", blocks)


def _kid(kernel: KernelDistance) -> str:
    return f"{number(1000 * kernel.mean, 3)} ± {number(1000 * kernel.sd, 3)}"


def _what_they_are(e: ImageEvaluation) -> str:
    if any(f.is_fid for f in e.fidelity):
        return (
            "In the space of the Inception network the Fréchet distance is the FID, in others not."
        )
    return "These are not FIDs: no Inception network is involved."


def _conditional(e: ImageEvaluation) -> page.Section:
    rows = [
        {
            "label": c.label,
            "asked for": f"{c.n_positive:,}",
            "AUROC, synthetic": number(c.synthetic),
            "real positives": f"{c.n_real_positive:,}",
            "AUROC, real": number(c.real),
            "teacher shift": number(c.shift),
        }
        for c in e.conditional
    ]
    table = page.Table.of(
        rows,
        "A classifier as teacher: how well it reads the label asked for on synthetic images, and"
        " the true one on held-out real images. Shift: its mean probability for positives,"
        " synthetic minus real; far above 0 means caricatures, far below 0 that the condition is"
        " not met.",
    )
    return page.Section("Is the condition met?", [table])


def _probe(e: ImageEvaluation) -> page.Section:
    synthetic, training = e.probe
    text = (
        "A linear model on spectrum, 8 × 8 block steps, gray levels and rim tells synthetic from"
        f" real images with AUROC {number(synthetic)}, and real training from real held-out images"
        f" with {number(training)}. Near 1 against near 0.5 means that the synthetic images carry a"
        " mark that a classifier may learn in place of a finding."
    )
    return page.Section("Shortcuts", [page.Text(text)])


def _nearness(e: ImageEvaluation) -> page.Section:
    rows = [
        {
            "space": near.space,
            "median, synthetic": number(float(np.median(near.synthetic)), 4),
            "median, held-out real": number(float(np.median(near.held_out)), 4),
            "ratio": number(near.ratio, 2),
            "nearer than any real": f"{near.copies:,} of {len(near.synthetic):,}",
        }
        for near in e.nearness
    ]
    blocks: list[page.Block] = [
        page.Table.of(
            rows,
            "Distance to the nearest training image. A generator that copies comes much nearer than"
            f" held-out real images do; the last column counts images below their"
            f" {COPY_PERCENTILE} percentile.",
        )
    ]
    first = e.nearness[0]
    sets = [("synthetic", first.synthetic), ("held-out real", first.held_out)]
    figure = figures.histogram_figure(
        sets, "nearest", xlabel=f"distance to the nearest training image ({first.space})",
        mark=first.limit, mark_name="limit",
    )  # fmt: skip
    blocks.append(page.Svg(figure))
    closest = np.argsort(first.synthetic, kind="stable")[:PAIRS]
    pairs = np.stack([e.synthetic[closest], e.training[first.match[closest]]], axis=1)
    sheet = contact_sheet(pairs.reshape(-1, *pairs.shape[2:]), columns=2 * PAIRS, scale=_scale(e))
    blocks.append(
        page.Picture(
            sheet,
            "Pairs of a synthetic image and the training image nearest to it",
            "The nearest pairs: each synthetic image, and to its right the training image that it"
            " comes nearest to.",
        )
    )
    if e.membership is not None:
        blocks.append(
            page.Text(
                "Membership: the discriminator's score tells training images from held-out ones"
                f" with AUROC {number(e.membership)}; 0.5 would mean that it remembers none."
            )
        )
    return page.Section("Nearness to training images", blocks)


def _scale(e: ImageEvaluation) -> int:
    return max(1, round(112 / e.size))


def _pictures(e: ImageEvaluation) -> page.Section:
    rng = numpy_rng("evaluate-images shown", e.seed)
    counts = e.synthetic_labels.sum(axis=0)
    order = [k for k in np.argsort(-counts, kind="stable") if counts[k] > 0][:SHOWN_LABELS]
    blocks: list[page.Block] = []
    for k in order:
        name = e.labels[k]
        sheets = {
            "real": _sheet(e, e.real, e.real_labels[:, k], rng),
            "synthetic": _sheet(e, e.synthetic, e.synthetic_labels[:, k], rng),
        }
        blocks.append(
            page.Row(
                [
                    page.Picture(sheet, f"{kind.title()} images of {name}", f"{name}: {kind}")
                    for kind, sheet in sheets.items()
                    if sheet is not None
                ]
            )
        )
    if not blocks:
        sheet = _sheet(e, e.synthetic, np.ones(len(e.synthetic), dtype=bool), rng)
        if sheet is not None:
            blocks.append(page.Picture(sheet, "Synthetic images", "Synthetic images"))
    return page.Section("Real beside synthetic", blocks)


def _sheet(
    e: ImageEvaluation, images: np.ndarray, chosen: np.ndarray, rng: np.random.Generator
) -> Image.Image | None:
    rows = np.flatnonzero(chosen)
    if not len(rows):
        return None
    drawn = np.sort(rng.choice(rows, min(PER_LABEL, len(rows)), replace=False))
    return contact_sheet(images[drawn], columns=PER_LABEL // 2, scale=_scale(e))
