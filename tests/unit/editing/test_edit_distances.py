"""Feature distances against slow definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cxrtool.editing.guide import map_distance, pyramid_distance, tower_distance


def _images(seed: int, n: int = 3) -> torch.Tensor:
    return torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_the_pyramid_is_its_definition() -> None:
    a, b = _images(0), _images(1)
    total = np.zeros(3)
    x, y = a.numpy()[:, 0], b.numpy()[:, 0]
    for _ in range(4):
        total += ((x - y) ** 2).mean(axis=(1, 2))
        n, h = len(x), x.shape[1] // 2
        if h == 0:
            break
        x, y = (v.reshape(n, h, 2, h, 2).mean(axis=(2, 4)) for v in (x, y))
    assert pyramid_distance(a)(b).tolist() == pytest.approx((total / 4).tolist(), rel=1e-5)


def test_maps_are_compared_at_unit_length() -> None:
    a, b = torch.randn(2, 5, 3, 3), torch.randn(2, 5, 3, 3)
    wanted = []
    for i in range(2):
        total = 0.0
        for r in range(3):
            for c in range(3):
                u, v = a[i, :, r, c], b[i, :, r, c]
                total += float(((u / u.norm() - v / v.norm()) ** 2).sum())
        wanted.append(total / 9)
    assert map_distance([a], [b]).tolist() == pytest.approx(wanted, rel=1e-4)
    assert map_distance([a, a], [b, a]).tolist() == pytest.approx([w / 2 for w in wanted], rel=1e-4)


def test_equal_images_are_at_no_distance() -> None:
    a = _images(0)
    assert float(pyramid_distance(a)(a).max()) == 0.0
    distance = tower_distance(lambda x: [x, x * 2, -x])
    assert float(distance(a)(a).max()) == 0.0


def test_the_tower_is_measured_on_its_maps_and_the_anchor_once() -> None:
    a, b = _images(0), _images(1)
    weight, calls = torch.randn(1, 4, 1, 1), []

    def features(x: torch.Tensor) -> list[torch.Tensor]:
        calls.append(len(x))
        return [x * weight, x.abs() + weight]

    measure = tower_distance(features)(a)
    wanted = map_distance([b * weight, b.abs() + weight], [a * weight, a.abs() + weight])
    assert torch.allclose(measure(b), wanted)
    measure(b)
    assert len(calls) == 3


def test_no_image_is_measured_by_another() -> None:
    a, b = _images(0), _images(1)
    whole = pyramid_distance(a)(b)
    assert torch.allclose(whole[1:2], pyramid_distance(a[1:2])(b[1:2]))
