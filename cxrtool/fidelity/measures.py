"""How far synthetic images are from real ones, beside how far real ones are from each other.

In: features of synthetic images, of held-out real images (the reference) and of training images.
Out: Fréchet and kernel distances with n beside them, the same between disjoint halves of the
reference, and how near synthetic images come to training images.

A distance depends on n and on the feature space, so a number alone says nothing: it is read against
the real/real distance of the same n in the same space.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cxrtool.core.errors import InputError
from cxrtool.fidelity import distances
from cxrtool.fidelity.distances import KernelDistance, Manifold, kernel_distance
from cxrtool.stats.curves import auroc

LEAST = 8  # images on a side, below which no distance is given
LEAST_OF_LABEL = 20
SPREAD_MOST = 2000  # images of a label whose distances from one another are taken
RARE = 0.01  # share of the training patients below which a label is called rare
COPY_PERCENTILE = 0.1


@dataclass(frozen=True)
class Fidelity:
    """Distances in one feature space.

    Attributes:
        space: Name of the feature space.
        dim: D.
        n: Images on each side of the comparable pair of distances.
        frechet: Synthetic to real, n each, mean over the splits.
        frechet_real: Real to real, n each, mean over the same splits.
        n_synthetic: All synthetic images.
        n_real: All reference images.
        frechet_all: Synthetic to real with all images (biased by n, for the record).
        kernel: KID of all images.
        kernel_real: KID between halves of the reference.
        cover: Precision, recall, density and coverage, n each side; None where n is too small.
        cover_real: The same of one half of the reference against the other.
        is_fid: The space is the Inception network's.
    """

    space: str
    dim: int
    n: int
    frechet: float
    frechet_real: float
    n_synthetic: int
    n_real: int
    frechet_all: float
    kernel: KernelDistance
    kernel_real: KernelDistance
    cover: Manifold | None = None
    cover_real: Manifold | None = None
    is_fid: bool = False

    @property
    def ratio(self) -> float:
        """How many times the real/real distance the synthetic/real one is."""
        return self.frechet / self.frechet_real if self.frechet_real > 0 else float("nan")


def fidelity(
    space: str,
    synthetic: np.ndarray,
    real: np.ndarray,
    rng: np.random.Generator,
    *,
    splits: int = 10,
    subsets: int = 100,
) -> Fidelity:
    """Both distances of a set, relative to a real/real split of the same n.

    Args:
        space: Name of the feature space.
        synthetic: [N, D] features.
        real: [M, D] features of held-out real images.
        rng: Draws splits and subsets.
        splits: Random splits of the reference that are averaged over.
        subsets: Subsets of a kernel distance.

    Raises:
        InputError: Too few images on a side.
    """
    n = min(len(synthetic), len(real) // 2)
    if n < LEAST:
        raise InputError(
            f"{len(synthetic)} synthetic and {len(real)} real images are too few for a distance",
            hint=f"at least {LEAST} synthetic and {2 * LEAST} real ones",
        )
    to_real, between_real = [], []
    for _ in range(splits):
        order = rng.permutation(len(real))
        first, second = real[order[:n]], real[order[n : 2 * n]]
        drawn = synthetic[rng.choice(len(synthetic), n, replace=False)]
        to_real.append(distances.frechet_distance(drawn, first))
        between_real.append(distances.frechet_distance(second, first))
    order = rng.permutation(len(real))
    half = len(real) // 2
    cover = cover_real = None
    if n > distances.NEIGHBORS:
        drawn = synthetic[rng.choice(len(synthetic), n, replace=False)]
        first, second = real[order[:n]], real[order[n : 2 * n]]
        cover, cover_real = distances.manifold(first, drawn), distances.manifold(first, second)
    return Fidelity(
        space=space,
        dim=synthetic.shape[1],
        n=n,
        frechet=float(np.mean(to_real)),
        frechet_real=float(np.mean(between_real)),
        n_synthetic=len(synthetic),
        n_real=len(real),
        frechet_all=distances.frechet_distance(synthetic, real),
        kernel=kernel_distance(synthetic, real, rng, subsets=subsets),
        kernel_real=kernel_distance(real[order[:half]], real[order[half:]], rng, subsets=subsets),
        cover=cover,
        cover_real=cover_real,
    )


@dataclass(frozen=True)
class LabelDistance:
    """KID between the synthetic and the real images of one label."""

    space: str
    label: str
    n_synthetic: int
    n_real: int
    kernel: KernelDistance


def by_label(
    space: str,
    labels: tuple[str, ...],
    synthetic: np.ndarray,
    synthetic_labels: np.ndarray,
    real: np.ndarray,
    real_labels: np.ndarray,
    rng: np.random.Generator,
    *,
    subsets: int = 100,
) -> list[LabelDistance]:
    """KID of each label's images, which unlike a Fréchet distance is not biased by a small n.

    A label with fewer than `LEAST_OF_LABEL` images on a side is left out.

    Args:
        space: Name of the feature space.
        labels: L names.
        synthetic: [N, D] features.
        synthetic_labels: [N, L] bool, the labels asked for.
        real: [M, D] features.
        real_labels: [M, L] bool.
        rng: Draws the subsets.
        subsets: How many.
    """
    out = []
    for k, label in enumerate(labels):
        mine, theirs = synthetic[synthetic_labels[:, k]], real[real_labels[:, k]]
        if min(len(mine), len(theirs)) >= LEAST_OF_LABEL:
            kernel = kernel_distance(mine, theirs, rng, subsets=subsets)
            out.append(LabelDistance(space, label, len(mine), len(theirs), kernel))
    return out


@dataclass(frozen=True)
class LabelVariety:
    """How much of the variety of a label's real images the synthetic ones of it have.

    Attributes:
        space: Name of the feature space.
        label: Its name.
        n_synthetic: Synthetic images of it.
        n_real: Held-out real ones.
        n: Images whose manifold the recall is of, on both sides.
        recall: Share of the real images inside the manifold of n synthetic ones; NaN where fewer
            than `LEAST_OF_LABEL` stand on a side.
        recall_real: The same of n training images; NaN where they are too few.
        spread: Mean distance between two synthetic images over that between two real ones; NaN
            where fewer than `LEAST` stand on a side.
    """

    space: str
    label: str
    n_synthetic: int
    n_real: int
    n: int
    recall: float
    recall_real: float
    spread: float


def variety(
    space: str,
    labels: tuple[str, ...],
    synthetic: tuple[np.ndarray, np.ndarray],
    real: tuple[np.ndarray, np.ndarray],
    training: tuple[np.ndarray, np.ndarray],
    rng: np.random.Generator,
) -> list[LabelVariety]:
    """Recall and spread of every label that an image has.

    A recall grows with the number of images whose manifold it is of, so that of training images is
    taken with as many as there are synthetic ones, or both with fewer.

    Args:
        space: Name of the feature space.
        labels: L names.
        synthetic: [N, D] features and [N, L] bool, the labels asked for.
        real: The same of held-out images.
        training: The same of training images, perhaps none.
        rng: Draws the images.
    """

    def drawn(x: np.ndarray, n: int) -> np.ndarray:
        return x if len(x) <= n else x[np.sort(rng.choice(len(x), n, replace=False))]

    out = []
    for k, label in enumerate(labels):
        made, held, seen = (x[has[:, k]] for x, has in (synthetic, real, training))
        if not len(made) + len(held) + len(seen):
            continue
        n = min(len(made), len(seen)) if len(seen) >= LEAST_OF_LABEL else len(made)
        recall = recall_real = spread = float("nan")
        if min(n, len(held)) >= LEAST_OF_LABEL:
            recall = distances.manifold(held, drawn(made, n)).recall
            if len(seen) >= n:
                recall_real = distances.manifold(held, drawn(seen, n)).recall
        if min(len(made), len(held)) >= LEAST:
            between = distances.mean_pairwise(drawn(held, SPREAD_MOST))
            if between > 0:
                spread = distances.mean_pairwise(drawn(made, SPREAD_MOST)) / between
        found = (len(made), len(held), n, recall, recall_real, spread)
        out.append(LabelVariety(space, label, *found))
    return out


@dataclass(frozen=True)
class Nearness:
    """How near synthetic and held-out real images come to training images in one space.

    Attributes:
        space: Name of the space.
        synthetic: [N] distance of each synthetic image to its nearest training image.
        held_out: [M] the same of held-out real images.
        match: [N] which training image that is.
        limit: The `COPY_PERCENTILE` percentile of `held_out`.
        copies: Synthetic images nearer than `limit`.
    """

    space: str
    synthetic: np.ndarray
    held_out: np.ndarray
    match: np.ndarray
    limit: float
    copies: int

    @property
    def ratio(self) -> float:
        """Median distance of synthetic over that of held-out images; far below 1 is copying."""
        return float(np.median(self.synthetic) / max(np.median(self.held_out), 1e-12))


def nearness(
    space: str, synthetic: np.ndarray, held_out: np.ndarray, training: np.ndarray
) -> Nearness:
    """Compare nearest-neighbour distances to the training images.

    Args:
        space: Name of the space.
        synthetic: [N, D].
        held_out: [M, D], real images that the generator has not seen.
        training: [T, D], T >= 1.
    """
    distance, match = distances.nearest(synthetic, training)
    usual, _ = distances.nearest(held_out, training)
    limit = float(np.percentile(usual, COPY_PERCENTILE))
    return Nearness(space, distance, usual, match, limit, int((distance < limit).sum()))


@dataclass(frozen=True)
class Conditional:
    """Whether a teacher reads the label that was asked for.

    Attributes:
        label: Its name.
        synthetic: Teacher's AUROC on synthetic images against the label asked for; NaN where a
            class is missing.
        real: The same on real reference images against their own label.
        n_positive: Synthetic images asked to have the label.
        n_real_positive: Real ones that have it.
        shift: Mean probability that the teacher gives to positives, synthetic minus real.
    """

    label: str
    synthetic: float
    real: float
    n_positive: int
    n_real_positive: int
    shift: float


def conditional(
    labels: Sequence[str],
    synthetic: np.ndarray,
    asked: np.ndarray,
    real: np.ndarray,
    truth: np.ndarray,
) -> list[Conditional]:
    """Conditional fidelity of each label.

    Args:
        labels: L names.
        synthetic: [N, L] teacher's probabilities.
        asked: [N, L] bool.
        real: [M, L] teacher's probabilities.
        truth: [M, L] bool.
    """
    out = []
    for k, label in enumerate(labels):
        yes, have = asked[:, k], truth[:, k]
        areas = auroc(yes, synthetic[:, k]), auroc(have, real[:, k])
        shift = float("nan")
        if yes.any() and have.any():
            shift = float(synthetic[yes, k].mean() - real[have, k].mean())
        out.append(Conditional(label, *areas, int(yes.sum()), int(have.sum()), shift))
    return out
