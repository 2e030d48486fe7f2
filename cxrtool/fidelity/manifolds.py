"""Precision, recall, density and coverage: is what is made real, and is all that is real made?

In: features of real and of synthetic images. Out: four shares. A set's manifold is the union of
balls around its images that reach to the k-th nearest neighbor in the same set. Precision and
recall: Kynkaanniemi et al., NeurIPS 2019; density and coverage: Naeem et al., ICML 2020.
"""

from dataclasses import dataclass

import numpy as np

NEIGHBORS = 5
_CHUNK = 512


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
        distance = _distances(synthetic[block], real)
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


def _distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    squared = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
    return np.asarray(np.sqrt(np.clip(squared, 0, None)))


def _radii(x: np.ndarray, k: int) -> np.ndarray:
    out = np.empty(len(x))
    for start in range(0, len(x), _CHUNK):
        block = _distances(x[start : start + _CHUNK], x)
        # The nearest of all is the image itself.
        out[start : start + _CHUNK] = np.partition(block, k, axis=1)[:, k]
    return out
