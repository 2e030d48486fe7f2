"""Distances between two sets of images in a feature space, and how the sets cover each other.

In: features [N, D] of each set. Out: one number (lower is closer), or four shares. The feature
space, n and the resize kernel belong beside every number; only with the Inception network is a
Fréchet distance an FID, so nothing here is called that.

Fréchet distance: Heusel et al., NeurIPS 2017, eq. 6. Kernel distance (KID): Binkowski et al., ICLR
2018, the unbiased MMD^2 estimator with the cubic polynomial kernel (x.y/D + 1)^3. Precision and
recall (is what is made real, and is all that is real made?): Kynkaanniemi et al., NeurIPS 2019;
density and coverage: Naeem et al., ICML 2020. A set's manifold is the union of balls around its
images that reach to the k-th nearest neighbor in the same set.
"""

from dataclasses import dataclass

import numpy as np

NEIGHBORS = 5
_CHUNK = 512


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Squared Fréchet (2-Wasserstein) distance between Gaussians fitted to two sets of features.

    |mu_a - mu_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)), covariances with N - 1. The trace of the
    root comes from the eigenvalues of the symmetric S_a^(1/2) S_b S_a^(1/2), which stays real and
    stable where N < D makes the covariances singular.

    Args:
        a: [N, D] float features, N >= 2.
        b: [M, D] float features, M >= 2.

    Raises:
        ValueError: Fewer than two rows.
    """
    if len(a) < 2 or len(b) < 2:
        raise ValueError("a Fréchet distance needs at least two images on each side")
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    cov_a = np.atleast_2d(np.cov(a, rowvar=False))
    cov_b = np.atleast_2d(np.cov(b, rowvar=False))
    values, vectors = np.linalg.eigh(cov_a)
    root_a = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    product = root_a @ cov_b @ root_a
    eigen = np.linalg.eigvalsh((product + product.T) / 2)
    trace_root = np.sqrt(np.clip(eigen, 0, None)).sum()
    shift = a.mean(axis=0) - b.mean(axis=0)
    return float(shift @ shift + np.trace(cov_a) + np.trace(cov_b) - 2 * trace_root)


def polynomial_mmd2(a: np.ndarray, b: np.ndarray) -> float:
    """Unbiased MMD^2 with the kernel (x.y/D + 1)^3; can be slightly negative for equal sets.

    Args:
        a: [N, D] float features, N >= 2.
        b: [M, D] float features, M >= 2.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    n, m, d = len(a), len(b), a.shape[1]
    k_aa, k_bb, k_ab = ((x @ y.T / d + 1) ** 3 for x, y in ((a, a), (b, b), (a, b)))
    within_a = (k_aa.sum() - np.trace(k_aa)) / (n * (n - 1))
    within_b = (k_bb.sum() - np.trace(k_bb)) / (m * (m - 1))
    return float(within_a + within_b - 2 * k_ab.mean())


@dataclass(frozen=True)
class KernelDistance:
    """KID: mean and standard deviation of MMD^2 over subsets."""

    mean: float
    sd: float
    subsets: int
    subset_size: int


def kernel_distance(
    a: np.ndarray,
    b: np.ndarray,
    rng: np.random.Generator,
    *,
    subsets: int = 100,
    subset_size: int = 1000,
) -> KernelDistance:
    """KID over random subsets drawn without replacement from each side.

    Args:
        a: [N, D] float features.
        b: [M, D] float features.
        rng: Draws the subsets.
        subsets: How many subsets.
        subset_size: Images of each side in a subset; at most half of the smaller side, so that the
            subsets differ and their deviation says something.

    Raises:
        ValueError: Fewer than four images on a side.
    """
    size = min(subset_size, min(len(a), len(b)) // 2)
    if size < 2:
        raise ValueError("a kernel distance needs at least four images on each side")
    values = [
        polynomial_mmd2(
            a[rng.choice(len(a), size, replace=False)], b[rng.choice(len(b), size, replace=False)]
        )
        for _ in range(subsets)
    ]
    return KernelDistance(float(np.mean(values)), float(np.std(values)), subsets, size)


def nearest(
    query: np.ndarray, gallery: np.ndarray, chunk: int = 512
) -> tuple[np.ndarray, np.ndarray]:
    """Euclidean distance from each query row to its nearest gallery row, and which row that is.

    Args:
        query: [N, D] float.
        gallery: [M, D] float, M >= 1.
        chunk: Query rows a block, which bounds memory at chunk x M.

    Returns:
        ``(distance [N] float64, index [N] int64)``.
    """
    query, gallery = np.asarray(query, np.float64), np.asarray(gallery, np.float64)
    distance, index = np.empty(len(query)), np.empty(len(query), dtype=np.int64)
    norms = np.einsum("md,md->m", gallery, gallery)
    for start in range(0, len(query), chunk):
        block = query[start : start + chunk]
        squared = np.einsum("nd,nd->n", block, block)[:, None] + norms - 2 * block @ gallery.T
        best = squared.argmin(axis=1)
        index[start : start + chunk] = best
        # The expansion above cancels badly for copies: take the chosen pair's distance directly.
        distance[start : start + chunk] = np.linalg.norm(block - gallery[best], axis=1)
    return distance, index


@dataclass(frozen=True)
class Manifold:
    """How two sets cover each other.

    Attributes:
        precision: Share of synthetic images inside the manifold of the real ones.
        recall: Share of real images inside the manifold of the synthetic ones.
        density: Mean number of real balls that a synthetic image lies in, over k; may exceed 1.
        coverage: Share of real images whose ball holds a synthetic image.
        k: Neighbors.
    """

    precision: float
    recall: float
    density: float
    coverage: float
    k: int


def manifold(real: np.ndarray, synthetic: np.ndarray, k: int = NEIGHBORS) -> Manifold:
    """Compare two sets of features.

    Args:
        real: [M, D] float, M > k.
        synthetic: [N, D] float, N > k.
        k: Neighbors that give a ball its radius.

    Raises:
        ValueError: A set is not larger than k.
    """
    if min(len(real), len(synthetic)) <= k:
        raise ValueError(f"each set needs more than {k} images")
    real, synthetic = np.asarray(real, np.float64), np.asarray(synthetic, np.float64)
    real_radius = _radii(real, k)
    own_radius = _radii(synthetic, k)
    inside_real = np.zeros(len(synthetic), dtype=np.int64)
    nearest = np.full(len(real), np.inf)
    in_synthetic = np.zeros(len(real), dtype=bool)
    for start in range(0, len(synthetic), _CHUNK):
        block = slice(start, start + _CHUNK)
        distance = _pairwise(synthetic[block], real)
        inside_real[block] = (distance < real_radius).sum(axis=1)
        nearest = np.minimum(nearest, distance.min(axis=0))
        in_synthetic |= (distance < own_radius[block, None]).any(axis=0)
    return Manifold(
        precision=float((inside_real > 0).mean()),
        recall=float(in_synthetic.mean()),
        density=float(inside_real.mean() / k),
        coverage=float((nearest < real_radius).mean()),
        k=k,
    )


def mean_pairwise(x: np.ndarray) -> float:
    """Mean Euclidean distance between two different rows, which no number of rows biases.

    Args:
        x: [N, D] float, N >= 2.

    Raises:
        ValueError: Fewer than two rows.
    """
    if len(x) < 2:
        raise ValueError("a distance needs at least two images")
    x = np.asarray(x, np.float64)
    x = x - x.mean(axis=0)  # far from 0, differences of squares would be rounding alone
    total = 0.0
    for start in range(0, len(x), _CHUNK):
        distance = _pairwise(x[start : start + _CHUNK], x)
        distance[np.arange(len(distance)), start + np.arange(len(distance))] = 0  # of itself
        total += float(distance.sum())
    return total / (len(x) * (len(x) - 1))


def _pairwise(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    squared = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
    return np.asarray(np.sqrt(np.clip(squared, 0, None)))


def _radii(x: np.ndarray, k: int) -> np.ndarray:
    out = np.empty(len(x))
    for start in range(0, len(x), _CHUNK):
        block = _pairwise(x[start : start + _CHUNK], x)
        # The nearest of all is the image itself.
        out[start : start + _CHUNK] = np.partition(block, k, axis=1)[:, k]
    return out
