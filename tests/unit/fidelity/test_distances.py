"""Fréchet and kernel distances against plain definitions and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import linalg

from cxrtool.fidelity import distances


def features(seed: int, n: int, d: int, shift: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mix = np.random.default_rng(99).normal(size=(d, d))
    return rng.normal(size=(n, d)) @ mix + shift


@pytest.mark.parametrize(("n", "d"), [(200, 8), (30, 64)])
def test_frechet_agrees_with_the_matrix_square_root(n: int, d: int) -> None:
    a, b = features(0, n, d), features(1, n + 5, d, shift=0.3) * 1.2
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = linalg.sqrtm(cov_a @ cov_b + 1e-12 * np.eye(d)).real
    gap = a.mean(0) - b.mean(0)
    expected = gap @ gap + np.trace(cov_a + cov_b - 2 * root)
    assert distances.frechet_distance(a, b) == pytest.approx(expected, rel=1e-4)


def test_frechet_of_diagonal_gaussians_has_a_closed_form() -> None:
    rng = np.random.default_rng(3)
    a = rng.normal(size=(200_000, 2)) * [1, 2] + [0, 1]
    b = rng.normal(size=(200_000, 2)) * [3, 2] + [2, 1]
    assert distances.frechet_distance(a, b) == pytest.approx(2**2 + (3 - 1) ** 2, rel=0.02)


def test_frechet_of_a_set_with_itself_is_nothing() -> None:
    a = features(0, 20, 40)
    assert distances.frechet_distance(a, a) == pytest.approx(0, abs=1e-6 * np.cov(a.T).trace())


def test_mmd_is_the_unbiased_estimator() -> None:
    a, b = features(0, 7, 3), features(1, 5, 3, shift=0.5)

    def k(x: np.ndarray, y: np.ndarray) -> float:
        return float((x @ y / 3 + 1) ** 3)

    within_a = np.mean([k(a[i], a[j]) for i in range(7) for j in range(7) if i != j])
    within_b = np.mean([k(b[i], b[j]) for i in range(5) for j in range(5) if i != j])
    across = np.mean([k(x, y) for x in a for y in b])
    assert distances.polynomial_mmd2(a, b) == pytest.approx(within_a + within_b - 2 * across)


def test_kernel_distance_is_zero_on_average_for_one_population_whatever_n() -> None:
    rng = np.random.default_rng(0)
    for n in (20, 100):
        values = [
            distances.kernel_distance(
                rng.normal(size=(n, 4)), rng.normal(size=(n, 4)), rng, subsets=10
            ).mean
            for _ in range(60)
        ]
        assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(60)


def test_kernel_distance_grows_with_a_shift_and_says_its_subsets() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(300, 4)), rng.normal(size=(250, 4)) + 1
    found = distances.kernel_distance(a, b, rng, subsets=20, subset_size=1000)
    assert found.subset_size == 125
    assert found.mean > 5 * found.sd > 0
    with pytest.raises(ValueError, match="at least four"):
        distances.kernel_distance(a[:3], b, rng)


def test_nearest_finds_exact_copies() -> None:
    gallery = features(0, 50, 6) + 1000
    query = np.concatenate([gallery[[7, 31]], features(5, 4, 6)])
    distance, index = distances.nearest(query, gallery, chunk=4)
    assert index[:2].tolist() == [7, 31]
    assert distance[:2].tolist() == [0, 0]
    brute = np.linalg.norm(query[:, None] - gallery, axis=-1)
    np.testing.assert_allclose(distance, brute.min(axis=1), rtol=1e-9)


@pytest.mark.parametrize("n", [2, 3, 511, 513, 700])
def test_mean_pairwise_distance_is_that_of_all_pairs(n: int) -> None:
    x = np.random.default_rng(0).normal(size=(n, 5)) + 1000
    wanted = np.linalg.norm(x[:, None] - x[None], axis=2).sum() / (n * (n - 1))
    assert distances.mean_pairwise(x) == pytest.approx(wanted)
