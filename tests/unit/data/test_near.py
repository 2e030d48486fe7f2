"""Near copies: disguises are seen through, other pictures are left alone, at any size."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cxrtool.data import near
from cxrtool.data.columns import SIMULATED
from cxrtool.data.images import fit_image
from cxrtool.data.near_rows import near_rows
from tests.disguises import DISGUISES
from tests.e2e.prepare_sources import drawing

N, SIDE = 12, 128


def pictures(first: int, size: int, change: str | None = None, n: int = N) -> np.ndarray:
    """Drawings with fine detail, brought to a size: uint8 [n, size, size]."""
    out = []
    for seed in range(first, first + n):
        grain = np.random.default_rng(seed).normal(0, 12, (32, 32))
        fine = Image.fromarray((grain + 128).clip(0, 255).astype(np.uint8))
        detail = np.asarray(fine.resize((SIDE, SIDE), Image.Resampling.BICUBIC), np.float64)
        gray = 0.7 * drawing(seed, SIDE, SIDE) + detail - 90
        image = Image.fromarray(gray.clip(0, 255).astype(np.uint8))
        out.append(fit_image(image if change is None else DISGUISES[change](image), size))
    return np.stack(out)


@pytest.mark.parametrize("size", [32, 64, 100])
@pytest.mark.parametrize("change", DISGUISES)
def test_a_disguise_is_seen_through(change: str, size: int) -> None:
    rows = np.arange(N)
    gallery = pictures(-N + 100, size, n=2 * N)
    pairs = near.near_copies(pictures(100, size, change), rows, gallery, np.arange(2 * N))
    assert [(pair.row, pair.other) for pair in pairs] == [(k, k + N) for k in range(N)]
    assert {pair.mirrored for pair in pairs} == {"flip" in change}


@pytest.mark.parametrize("size", [16, 24, 32, 64])
def test_other_pictures_are_no_copies(size: int) -> None:
    images = pictures(0, size, n=4 * N)
    assert not near.near_copies(images, np.arange(N), images, np.arange(N, 4 * N))


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((3, 64, 64), np.uint8),
        np.full((3, 64, 64), 255, np.uint8),
        np.tile(np.arange(64, dtype=np.uint8), (3, 64, 1)),
    ],
    ids=["black", "white", "ramp"],
)
def test_images_without_structure_are_copies_of_nothing(images: np.ndarray) -> None:
    assert not near.near_copies(images, np.arange(1), pictures(0, 64), np.arange(N))


def test_sets_of_two_sizes_are_compared() -> None:
    pairs = near.near_copies(pictures(0, 48), np.arange(N), pictures(0, 96), np.arange(N))
    assert [(pair.row, pair.other) for pair in pairs] == [(k, k) for k in range(N)]


def test_phantoms_are_not_looked_at() -> None:
    """All are drawn after one anatomy: another person's is as near as a copy."""
    phantoms: Any = SimpleNamespace(info=SimpleNamespace(source=SIMULATED))
    rows = np.arange(N)
    assert not near_rows(phantoms, rows, phantoms, rows).pairs


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer does not depend on how much is held at once."""
    images = np.concatenate([pictures(0, 64), pictures(0, 64, "flip"), pictures(50, 64)])
    asked, others = np.arange(0, 3 * N, 2), np.arange(1, 3 * N, 2)
    whole = near.near_copies(images, asked, images, others, likeness=0.5)
    for name, value in {"QUERIES": 5, "GALLERY": 4, "PAIRS": 3, "_PIXELS": 2 * 64 * 64}.items():
        monkeypatch.setattr(near, name, value)
    parts = near.near_copies(images, asked, images, others, likeness=0.5)
    assert [pair[:2] for pair in map(_places, parts)] == [pair[:2] for pair in map(_places, whole)]
    likeness = [pair.likeness for pair in whole]
    assert np.allclose([pair.likeness for pair in parts], likeness, atol=1e-4)


def _places(pair: near.Pair) -> tuple[int, int, bool]:
    return pair.row, pair.other, pair.mirrored


@pytest.mark.parametrize("n", [19, 20])
def test_halves_give_both_correlations(n: int) -> None:
    images = np.random.default_rng(0).normal(120, 40, (6, n, n)).astype(np.float32)
    even, odd = near._halves(images)
    whole = near._unit(near._relief(images, 0.45, 1.9))
    mirrored = near._unit(near._relief(images[:, :, ::-1], 0.45, 1.9))
    assert np.allclose(even @ even.T + odd @ odd.T, whole @ whole.T, atol=1e-5)
    assert np.allclose(even @ even.T - odd @ odd.T, mirrored @ whole.T, atol=1e-5)
