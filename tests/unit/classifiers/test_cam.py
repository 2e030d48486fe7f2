"""Activation maps point at what a network reads."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cxrtool.classifiers.architectures import TRUNKS, build
from cxrtool.classifiers.cam import LEAST_CELLS, activation_maps, deepest_grid, overlay
from tests.unit.classifiers.test_training import SETTINGS, blobs, phase, trainer


def test_a_trained_network_looks_at_the_blob() -> None:
    fit = trainer(SETTINGS, phase(steps=40))
    for _ in range(40):
        fit.step()
    pixels, values = blobs(60, seed=4)
    having = pixels[(values[:, 0] == 1) & (values[:, 1] == 0)]
    maps = activation_maps(fit.network.eval(), having, 0, "cpu")
    assert maps.shape == having.shape
    assert (maps.min(), maps.max()) == (0, 1)
    mean = maps.mean(axis=0)
    assert mean[4:10, 2:7].mean() > mean[:, 9:].mean()  # the blob lies at the left


@pytest.mark.parametrize("arch", sorted(TRUNKS))
def test_every_architecture_has_maps(arch: str) -> None:
    network = build(arch, ("A", "B"), 64).eval()
    pixels = np.random.default_rng(0).integers(0, 256, (2, 64, 64), dtype=np.uint8)
    assert activation_maps(network, pixels, 1, "cpu").shape == (2, 64, 64)
    grids = []
    layer = deepest_grid(network, torch.zeros(1, 1, 64, 64))
    layer.register_forward_hook(lambda m, i, o: grids.append(o.shape[-1]))
    network.logits(torch.zeros(1, 1, 64, 64))
    assert grids[0] >= LEAST_CELLS


def test_an_overlay_keeps_what_is_not_marked() -> None:
    pixels = np.full((1, 4, 4), 100, np.uint8)
    maps = np.zeros((1, 4, 4), np.float32)
    maps[0, 0, 0] = 1
    shown = overlay(pixels, maps)
    assert shown.shape == (1, 4, 4, 3)
    assert (shown[0, 1:] == 100).all()
    assert (shown[0, 0, 0] != 100).any()
