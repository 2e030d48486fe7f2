"""The report page of `evaluate images`, and its tables for programs.

In: distances from `fidelity` and the images themselves. Out: a `Page` with numbers, the feature
space, n and kernel beside each of them, and real images beside synthetic ones of the same label;
records, in each of which extractor, n and kernel stand too.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cxrtool.data.images import contact_sheet
from cxrtool.data.near_rows import NearRows
from cxrtool.fidelity import measures
from cxrtool.fidelity.distances import NEIGHBORS, KernelDistance
from cxrtool.pages import figures, near, page
from cxrtool.stats.predictions import Records
from cxrtool.stats.wording import number
from cxrtool.training.rng import numpy_rng

SHOWN_LABELS = 8
PER_LABEL = 8
PAIRS = 6
COVERS = ("precision", "recall", "density", "coverage")


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
        variety: From `fidelity.variety`.
        patients: Training patients with each label, and all; None where they are not known.
        nearness: One entry a space; empty without training images.
        labels: L names.
        synthetic: [N, H, W] uint8.
        synthetic_labels: [N, L] bool.
        real: [M, H, W] uint8, the reference.
        real_labels: [M, L] bool.
        training: [T, H, W] uint8.
        reference: What the reference rows are ("test").
        near_copies: Synthetic images that are near copies of training images.
        cautions: Sentences a reader must see.
        seed: Of the images that are shown.
    """

    source: str
    kernel: str
    size: int
    fidelity: Sequence[measures.Fidelity]
    by_label: Sequence[measures.LabelDistance]
    nearness: Sequence[measures.Nearness]
    labels: tuple[str, ...]
    synthetic: np.ndarray
    synthetic_labels: np.ndarray
    real: np.ndarray
    real_labels: np.ndarray
    training: np.ndarray
    reference: str
    variety: Sequence[measures.LabelVariety] = field(default_factory=list)
    patients: tuple[Sequence[int], int] | None = None
    conditional: Sequence[measures.Conditional] = field(default_factory=list)
    membership: float | None = None
    probe: tuple[float, float] = (math.nan, math.nan)
    near_copies: Sequence[NearRows] = ()
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
    numbers = [
        (f"{len(e.synthetic):,}", "synthetic images"),
        (f"{len(e.real):,}", f"real {e.reference} images"),
        (f"{len(e.training):,}", "training images"),
        (f"{e.size} px", "native size"),
    ]
    head = page.Section("", [page.Numbers(numbers), *page.cautions(e.cautions)])
    sections = [head, _pictures(e), _distances(e)]
    if e.conditional:
        sections.append(_conditional(e))
    if e.nearness:
        sections.append(_nearness(e))
    sections += _near_copies(e)
    sections.append(_probe(e))
    return page.Page(f"Synthetic images for {e.source}", answer(e), sections)


def _distances(e: ImageEvaluation) -> page.Section:
    rows = [
        [
            *(f.space, str(f.dim), f"{f.n:,}"),
            *(number(f.frechet, 4), number(f.frechet_real, 4), f"{number(f.ratio, 2)}×"),
            *(_kid(f.kernel), number(1000 * f.kernel_real.mean, 3)),
        ]
        for f in e.fidelity
    ]
    columns = [
        "feature space", "D", "n a side", "Fréchet", "real / real", "ratio", "KID × 1000",
        "real / real",
    ]  # fmt: skip
    what = "These are not FIDs: no Inception network is involved."
    if any(f.is_fid for f in e.fidelity):
        what = "In the space of the Inception network the Fréchet distance is the FID, in others"
        what += " not."
    caption = (
        "Smaller is closer. Fréchet (squared, as is usual): mean over random splits, n images a"
        " side, beside the same between two disjoint real halves. KID: unbiased, mean ± sd over"
        f" subsets of {e.fidelity[0].kernel.subset_size:,}, all images. Resize kernel of all:"
        f" {e.kernel}. {what}"
    )
    blocks = [page.Table(columns, rows, caption)]
    covers = [
        [f.space, f"{f.n:,}"]
        + [f"{number(share)} ({number(of_real)})" for share, of_real in _covers(f).values()]
        for f in e.fidelity
        if f.cover is not None
    ]
    if covers:
        caption = (
            f"Of synthetic images, and in parentheses of other real ones; {NEIGHBORS} nearest"
            " neighbors. Precision and density: do they look real; recall and coverage: is the"
            " variety of real ones there."
        )
        blocks.append(page.Table(["feature space", "n a side", *COVERS], covers, caption))
    if e.by_label:
        table = [
            [d.label, d.space, f"{d.n_synthetic:,}", f"{d.n_real:,}", _kid(d.kernel)]
            for d in e.by_label
        ]
        columns = ["label", "feature space", "synthetic", "real", "KID × 1000"]
        least = f"at least {measures.LEAST_OF_LABEL} on both sides"
        caption = f"Images of one label against real images of it ({least})."
        blocks.append(page.Table(columns, table, caption, text_columns=2))
    if e.variety:
        blocks.append(_variety(e))
    return page.Section("Distance to real images", blocks)


def training_share(e: ImageEvaluation, label: str) -> float:
    """Share of the training patients that have a label; NaN where they are not known."""
    if e.patients is None or not e.patients[1]:
        return math.nan
    return e.patients[0][e.labels.index(label)] / e.patients[1]


def _variety(e: ImageEvaluation) -> page.Table:
    """Rare labels first, since these are what the table is for."""
    shares = {label: training_share(e, label) for label in e.labels}

    def patients(label: str) -> str:
        if math.isnan(shares[label]) or e.patients is None:
            return ""
        rare = ", rare" if shares[label] < measures.RARE else ""
        return f"{e.patients[0][e.labels.index(label)]:,} ({shares[label]:.2%}{rare})"

    rows = [
        {
            "label": v.label,
            "feature space": v.space,
            "training patients": patients(v.label),
            "synthetic": f"{v.n_synthetic:,}",
            "real": f"{v.n_real:,}",
            "n": f"{v.n:,}",
            "recall": number(v.recall),
            "of training images": number(v.recall_real),
            "spread": number(v.spread, 2),
        }
        for v in sorted(e.variety, key=lambda v: (np.nan_to_num(shares[v.label]), v.label))
    ]
    return page.Table.of(
        rows,
        "Variety of single labels. Recall: share of the real images inside the manifold of n"
        " synthetic ones, and of n training images. Spread: mean distance between two synthetic"
        " images over that between two real ones; below 1 they are more alike. Rare: fewer than"
        f" {measures.RARE:.0%} of the training patients. –: fewer than"
        f" {measures.LEAST_OF_LABEL} images on a side ({measures.LEAST} for the spread).",
        text_columns=3,
    )


def _covers(f: measures.Fidelity) -> dict[str, tuple[float, float]]:
    """Each of `COVERS` of synthetic images and of other real ones; nothing where n is too small."""
    if f.cover is None or f.cover_real is None:
        return {}
    return {name: (getattr(f.cover, name), getattr(f.cover_real, name)) for name in COVERS}


def _kid(kernel: KernelDistance) -> str:
    return f"{number(1000 * kernel.mean, 3)} ± {number(1000 * kernel.sd, 3)}"


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
            "space": space.space,
            "median, synthetic": number(float(np.median(space.synthetic)), 4),
            "median, held-out real": number(float(np.median(space.held_out)), 4),
            "ratio": number(space.ratio, 2),
            "nearer than any real": f"{space.copies:,} of {len(space.synthetic):,}",
        }
        for space in e.nearness
    ]
    caption = (
        "Distance to the nearest training image. A generator that copies comes much nearer than"
        f" held-out real images do; the last column counts images below their"
        f" {measures.COPY_PERCENTILE} percentile."
    )
    blocks: list[page.Block] = [page.Table.of(rows, caption)]
    first = e.nearness[0]
    sets = {"synthetic": first.synthetic, "held-out real": first.held_out}
    xlabel = f"distance to the nearest training image ({first.space})"
    figure = figures.histogram_figure(sets, "nearest", xlabel, first.limit)
    alt = (
        f"Median distance {number(float(np.median(first.synthetic)), 4)} of synthetic images,"
        f" {number(float(np.median(first.held_out)), 4)} of held-out real ones; limit"
        f" {number(first.limit, 4)}."
    )
    title = "Distances to the nearest training image."
    blocks.append(page.Svg(figure, title, alt, "Share of the images; dashed: limit of a copy."))
    closest = np.argsort(first.synthetic, kind="stable")[:PAIRS]
    pairs = np.stack([e.synthetic[closest], e.training[first.match[closest]]], axis=1)
    sheet = contact_sheet(pairs.reshape(-1, *pairs.shape[2:]), columns=2 * PAIRS, scale=_scale(e))
    alt = "Pairs of a synthetic image and the training image nearest to it"
    caption = "The nearest pairs: each synthetic image, and to its right the training image that it"
    blocks.append(page.Picture(sheet, alt, f"{caption} comes nearest to."))
    if e.membership is not None:
        text = (
            "Membership: the generator's own network tells training images from held-out ones with"
        )
        remembers = f"AUROC {number(e.membership)}; 0.5 would mean that it remembers none."
        blocks.append(page.Text(f"{text} {remembers}"))
    return page.Section("Nearness to training images", blocks)


def _near_copies(e: ImageEvaluation) -> list[page.Section]:
    text = (
        "Distances between whole images do not see a copy that is mirrored, cropped or of other"
        " contrast. These pairs are one picture after such a change, or nearly so."
    )
    blocks = near.blocks(e.near_copies, text, "synthetic images", "training images")
    return [page.Section("Near copies", blocks)] if blocks else []


def _scale(e: ImageEvaluation) -> int:
    return max(1, round(112 / e.size))


def _pictures(e: ImageEvaluation) -> page.Section:
    rng = numpy_rng("evaluate-images shown", e.seed)
    counts = e.synthetic_labels.sum(axis=0)
    order = [k for k in np.argsort(-counts, kind="stable") if counts[k] > 0][:SHOWN_LABELS]

    def sheet(images: np.ndarray, rows: np.ndarray, alt: str, caption: str) -> list[page.Block]:
        if not len(rows):
            return []
        drawn = np.sort(rng.choice(rows, min(PER_LABEL, len(rows)), replace=False))
        grid = contact_sheet(images[drawn], columns=PER_LABEL // 2, scale=_scale(e))
        return [page.Picture(grid, alt, caption)]

    sets = {"real": (e.real, e.real_labels), "synthetic": (e.synthetic, e.synthetic_labels)}
    blocks: list[page.Block] = []
    for k in order:
        name, sides = e.labels[k], []
        for kind, (images, labels) in sets.items():
            alt, caption = f"{kind.title()} images of {name}", f"{name}: {kind}"
            sides += sheet(images, np.flatnonzero(labels[:, k]), alt, caption)
        blocks.append(page.Row(sides))
    alt = "Synthetic images"
    blocks = blocks or sheet(e.synthetic, np.arange(len(e.synthetic)), alt, alt)
    return page.Section("Real beside synthetic", blocks)


# --- tables ---------------------------------------------------------------------------------------


def records(e: ImageEvaluation) -> Records:
    """One record a feature space, distance and label."""
    out: list[dict[str, Any]] = []

    def add(
        space: str,
        metric: str,
        n: tuple[int, int],
        value: float,
        sd: float | None = None,
        real_real: float | None = None,
        ratio: float | None = None,
        label: str = "all images",
    ) -> None:
        share = None if label not in e.labels else training_share(e, label)
        names = {"extractor": space, "kernel": e.kernel, "metric": metric, "label": label}
        sides = {"n_synthetic": n[0], "n_real": n[1]}
        numbers = {"value": value, "sd": sd, "real_real": real_real, "ratio": ratio}
        out.append({**names, "training_share": share, **sides, **numbers})

    for f in e.fidelity:
        alike, every = (f.n, f.n), (f.n_synthetic, f.n_real)
        add(f.space, "frechet", alike, f.frechet, None, f.frechet_real, f.ratio)
        add(f.space, "frechet, all images", every, f.frechet_all)
        add(f.space, "kid", every, f.kernel.mean, f.kernel.sd, f.kernel_real.mean)
        for name, (share, of_real) in _covers(f).items():
            add(f.space, name, alike, share, real_real=of_real)
    for d in e.by_label:
        n = d.n_synthetic, d.n_real
        add(d.space, "kid", n, d.kernel.mean, d.kernel.sd, label=d.label)
    for v in e.variety:
        if not math.isnan(v.recall):
            add(v.space, "recall", (v.n, v.n_real), v.recall, None, v.recall_real, label=v.label)
        if not math.isnan(v.spread):
            add(v.space, "spread", (v.n_synthetic, v.n_real), v.spread, label=v.label)
    return Records(out)


def nearness_records(e: ImageEvaluation) -> list[dict[str, Any]]:
    """One record a space: medians, their ratio, and how many images come too space."""
    return [
        {
            "space": space.space,
            "median_synthetic": float(np.median(space.synthetic)),
            "median_held_out": float(np.median(space.held_out)),
            "ratio": space.ratio,
            "limit": space.limit,
            "copies": space.copies,
            "copy_rate": space.copies / len(space.synthetic),
        }
        for space in e.nearness
    ]
