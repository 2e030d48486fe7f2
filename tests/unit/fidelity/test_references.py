"""Distances and manifolds against the packages that others use, on identical features."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cxrtool.fidelity.distances import frechet_distance, kernel_distance, manifold, polynomial_mmd2


@pytest.fixture(scope="module")
def features() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(24, 24)) / 5
    real = rng.normal(size=(300, 24)) @ mix
    made = 1.2 * rng.normal(size=(260, 24)) @ mix + 0.3
    return real.astype(np.float32), made.astype(np.float32)


def test_frechet_is_torch_fidelitys(features: tuple[np.ndarray, np.ndarray]) -> None:
    metric = pytest.importorskip("torch_fidelity.metric_fid")
    real, made = features
    stats = [metric.fid_features_to_statistics(torch.from_numpy(x)) for x in (real, made)]
    found = metric.fid_statistics_to_metric(*stats, verbose=False)
    assert frechet_distance(real, made) == pytest.approx(
        float(found["frechet_inception_distance"]), rel=1e-6
    )


def test_frechet_is_torchmetrics_too(features: tuple[np.ndarray, np.ndarray]) -> None:
    fid = pytest.importorskip("torchmetrics.image.fid")
    real, made = (torch.from_numpy(x).double() for x in features)
    mu = [x.mean(dim=0) for x in (real, made)]
    cov = [torch.cov(x.T) for x in (real, made)]
    found = fid._compute_fid(mu[0], cov[0], mu[1], cov[1])
    assert frechet_distance(*features) == pytest.approx(float(found), rel=1e-5)


def test_kernel_distance_is_torch_fidelitys(features: tuple[np.ndarray, np.ndarray]) -> None:
    metric = pytest.importorskip("torch_fidelity.metric_kid")
    real, made = features
    n = min(len(real), len(made))  # theirs takes equal sizes
    options = {"kid_kernel": "poly", "kid_kernel_poly_degree": 3, "kid_kernel_poly_gamma": None}
    found = metric.kernel_mmd(real[:n], made[:n], **options, kid_kernel_poly_coef0=1)
    assert polynomial_mmd2(real[:n], made[:n]) == pytest.approx(float(found), rel=1e-5)
    mine = kernel_distance(real, made, np.random.default_rng(0), subsets=60, subset_size=100)
    theirs = metric.kid_features_to_metric(
        torch.from_numpy(real), torch.from_numpy(made), kid_subsets=60, kid_subset_size=100,
        verbose=False, rng_seed=3,
    )  # fmt: skip
    spread = mine.sd / 60**0.5
    assert mine.mean == pytest.approx(
        float(theirs["kernel_inception_distance_mean"]), abs=5 * spread
    )


@pytest.mark.parametrize("k", [1, 3, 5])
def test_manifolds_are_prdcs(features: tuple[np.ndarray, np.ndarray], k: int) -> None:
    prdc = pytest.importorskip("prdc")
    real, made = features
    theirs = prdc.compute_prdc(real_features=real, fake_features=made, nearest_k=k)
    mine = manifold(real, made, k)
    for name in ("precision", "recall", "density", "coverage"):
        assert getattr(mine, name) == pytest.approx(float(theirs[name]), abs=1e-9), name
