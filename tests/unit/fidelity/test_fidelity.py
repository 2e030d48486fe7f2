"""Fidelity relative to real/real splits, nearness, and the random feature space."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cxrtool.core.errors import InputError
from cxrtool.fidelity import measures as fidelity
from cxrtool.fidelity.features import RandomFeatures


def test_the_same_population_has_a_ratio_of_one() -> None:
    rng = np.random.default_rng(0)
    found = fidelity.fidelity("x", rng.normal(size=(150, 8)), rng.normal(size=(300, 8)), rng)
    assert (found.n, found.n_synthetic, found.n_real) == (150, 150, 300)
    assert found.ratio == pytest.approx(1, abs=0.25)
    assert abs(found.kernel.mean) < 3 * found.kernel.sd
    shifted = fidelity.fidelity("x", rng.normal(size=(150, 8)) + 1, rng.normal(size=(300, 8)), rng)
    assert shifted.ratio > 5
    assert shifted.kernel.mean > 10 * abs(shifted.kernel_real.mean)


def test_both_sides_of_the_ratio_have_the_same_n() -> None:
    """With few synthetic images the real/real distance is taken with as few."""
    rng = np.random.default_rng(1)
    few = fidelity.fidelity("x", rng.normal(size=(20, 8)), rng.normal(size=(400, 8)), rng)
    many = fidelity.fidelity("x", rng.normal(size=(200, 8)), rng.normal(size=(400, 8)), rng)
    assert (few.n, many.n) == (20, 200)
    assert few.frechet_real > 4 * many.frechet_real  # the bias of a small n, on both sides
    assert few.ratio == pytest.approx(1, abs=0.35)


def test_too_few_images_are_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="too few for a distance"):
        fidelity.fidelity("x", rng.normal(size=(5, 3)), rng.normal(size=(100, 3)), rng)


def test_labels_with_few_images_have_no_distance() -> None:
    rng = np.random.default_rng(0)
    synthetic, real = rng.normal(size=(60, 4)), rng.normal(size=(60, 4))
    labels = np.zeros((60, 2), bool)
    labels[:, 0] = True
    labels[:10, 1] = True
    synthetic[:, 1] += 2
    found = fidelity.by_label("x", ("A", "B"), synthetic, labels, real, labels, rng, subsets=5)
    (distance,) = found
    assert (distance.label, distance.n_synthetic) == ("A", 60)
    assert distance.kernel.mean > 0.1


@pytest.mark.parametrize(
    ("kind", "recall", "spread"),
    [("the same", (0.8, 1.0), (0.9, 1.1)), ("half as wide", (0.0, 0.6), (0.45, 0.55)),
     ("one image", (0.0, 0.05), (0.0, 0.05)), ("two modes of one", (0.8, 1.0), (0.9, 1.1))],
)  # fmt: skip
def test_variety_of_a_label_is_told(
    kind: str, recall: tuple[float, float], spread: tuple[float, float]
) -> None:
    rng = np.random.default_rng(0)
    real, training = rng.normal(size=(300, 4)) + 50, rng.normal(size=(400, 4)) + 50
    made = rng.normal(size=(200, 4))
    made = {"half as wide": made * 0.5, "one image": made * 1e-3}.get(kind, made) + 50
    if kind == "two modes of one":  # images of another label do not count
        made = np.concatenate([made, rng.normal(size=(100, 4)) + 70])
    has = np.ones((len(made), 1), bool)
    has[200:] = False
    held, seen = ((x, np.ones((len(x), 1), bool)) for x in (real, training))
    (found,) = fidelity.variety("x", ("A",), (made, has), held, seen, rng)
    assert (found.n_synthetic, found.n_real, found.n) == (200, 300, 200)
    assert recall[0] <= found.recall <= recall[1]
    assert found.recall_real > 0.8
    assert spread[0] <= found.spread <= spread[1]


@pytest.mark.parametrize(
    ("made", "held", "seen", "n", "numbers"),
    [
        (30, 30, 40, 30, (True, True, True)),
        (40, 30, 25, 25, (True, True, True)),  # as many as there are training images
        (30, 30, 19, 30, (True, False, True)),  # too few to compare with
        (30, 30, 0, 30, (True, False, True)),
        (19, 30, 40, 19, (False, False, True)),
        (30, 19, 40, 30, (False, False, True)),
        (30, 7, 40, 30, (False, False, False)),
        (7, 30, 40, 7, (False, False, False)),
        (0, 1, 0, 0, (False, False, False)),
    ],
)
def test_too_few_images_of_a_label_leave_a_blank(
    made: int, held: int, seen: int, n: int, numbers: tuple[bool, bool, bool]
) -> None:
    rng = np.random.default_rng(0)
    sets = []
    for count in (made, held, seen):
        has = np.zeros((50, 1), bool)
        has[:count] = True
        sets.append((rng.normal(size=(50, 3)), has))
    synthetic, real, training = sets
    (found,) = fidelity.variety("x", ("A",), synthetic, real, training, rng)
    assert (found.n_synthetic, found.n_real, found.n) == (made, held, n)
    figures = (found.recall, found.recall_real, found.spread)
    assert tuple(not np.isnan(value) for value in figures) == numbers


def test_copies_come_nearer_than_held_out_images_do() -> None:
    rng = np.random.default_rng(0)
    training, held_out = rng.normal(size=(200, 6)), rng.normal(size=(100, 6))
    copies = training[:30] + 1e-4
    near = fidelity.nearness(
        "x", np.concatenate([copies, rng.normal(size=(30, 6))]), held_out, training
    )
    assert near.copies >= 30
    assert near.copies <= 33
    assert near.match[:30].tolist() == list(range(30))
    fresh = fidelity.nearness("x", rng.normal(size=(200, 6)), held_out, training)
    assert fresh.ratio == pytest.approx(1, abs=0.15)


def test_random_features_are_seeded_and_order_degradations() -> None:
    net = RandomFeatures(0)
    x = torch.rand(40, 1, 48, 48, generator=torch.Generator().manual_seed(0)) * 2 - 1
    smooth = torch.nn.functional.avg_pool2d(x, 9, stride=1, padding=4)
    with torch.no_grad():
        base = net(smooth).numpy()
        assert base.shape == (40, net.dim)
        np.testing.assert_array_equal(base, RandomFeatures(0)(smooth).numpy())
        assert (base != RandomFeatures(1)(smooth).numpy()).any()
        noisy = [net(smooth + s * x).numpy() for s in (0.02, 0.1, 0.5)]
    from cxrtool.fidelity.distances import frechet_distance

    distances = [frechet_distance(base, other) for other in noisy]
    assert distances == sorted(distances)
    assert not any(p.requires_grad for p in net.parameters())
