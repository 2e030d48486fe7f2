"""Distances between two sets of images in a feature space.

In: features [N, D] of each set. Out: one number (lower is closer). The feature space, n and the
resize kernel belong beside every number; only with the Inception network is a Fréchet distance an
FID, so nothing here is called that.

Fréchet distance: Heusel et al., NeurIPS 2017, eq. 6. Kernel distance (KID): Binkowski et al., ICLR
2018, the unbiased MMD^2 estimator with the cubic polynomial kernel (x.y/D + 1)^3.
"""

from dataclasses import dataclass

import numpy as np


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
