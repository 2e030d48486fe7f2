"""Saved generators: loading, truncation towards the condition's mean, style space."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from cxrtool import generators as gans
from cxrtool.core.errors import InputError
from cxrtool.core.runs import Run
from cxrtool.generators.conditions import frequent_conditions
from cxrtool.generators.saved import D_PREFIX, G_PREFIX
from cxrtool.generators.stylegan2.discriminator import Discriminator
from cxrtool.generators.stylegan2.generator import Generator
from cxrtool.generators.stylegan2.network import W_PREFIX, condition_mean, mean_latents
from cxrtool.training.models import save_model
from cxrtool.training.protocols import StyleSpace
from tests.unit.generators.conftest import micro

VALUES = np.array([[1, 0]] * 3 + [[0, 0]] * 5, np.float32)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A run directory with an untrained network of two labels."""
    arch = micro()
    generator = Generator(arch, torch.Generator().manual_seed(0))
    judge = Discriminator(arch, torch.Generator().manual_seed(1))
    vectors = torch.from_numpy(frequent_conditions(VALUES, VALUES >= 0, 8))
    means = mean_latents(generator, vectors, torch.from_numpy(VALUES).repeat(50, 1))
    state = {f"{G_PREFIX}{k}": v for k, v in generator.state_dict().items()}
    state |= {f"{D_PREFIX}{k}": v for k, v in judge.state_dict().items()}
    state |= {f"{W_PREFIX}{k}": v for k, v in means.items()}
    meta = {
        "kind": "generator",
        "arch": "stylegan2",
        "architecture": arch.to_json(),
        "labels": ["Large", "Left"],
        "preprocessing": {"size": 16},
    }
    save_model(Run.for_test(tmp_path / "gan"), state, meta)
    return tmp_path / "gan"


def test_a_loaded_generator_keeps_the_protocol(saved: Path) -> None:
    network = gans.load(saved)
    assert isinstance(network, StyleSpace)
    assert network.labels == ("Large", "Left")
    assert (network.size, network.channels, network.z_dim, network.num_ws) == (16, 1, 8, 6)
    z, y = torch.randn(3, 8) * 3, torch.tensor([[0.0, 1.0]]).expand(3, 2)
    image = network.generate(z, y)
    assert image.shape == (3, 1, 16, 16)
    assert not image.requires_grad
    assert float(image.abs().max()) <= 1
    assert torch.equal(image, network.generate(z, y))
    assert torch.equal(image, gans.load(saved).generate(z, y))
    with pytest.raises(ValueError, match="1 label values given, 2 needed"):
        network.generate(z, y[:, :1])


def test_gradients_reach_w(saved: Path) -> None:
    network = gans.load(saved)
    w = network.mapping(torch.randn(2, 8), torch.zeros(2, 2)).clone().requires_grad_(True)
    network.synthesis(w).sum().backward()
    assert w.grad is not None
    assert bool((w.grad.abs().sum(dim=2) > 0).all())


def test_truncation_pulls_towards_the_mean_of_the_condition(saved: Path) -> None:
    network = gans.load(saved)
    z = torch.randn(4, 8)
    y = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    full, none, half = (network.mapping(z, y, psi)[:, 0] for psi in (1.0, 0.0, 0.5))
    torch.testing.assert_close(half, (full + none) / 2)
    for row in range(4):  # the last one is not stored and computed when asked for
        torch.testing.assert_close(none[row], condition_mean(network.network, y[row]))
    assert len(network.vectors) == 3
    assert (none[0] - none[1]).abs().max() > 1e-4
    # The mean image of a condition is what psi = 0 gives, for any z.
    images = network.generate(torch.randn(2, 8), y[:1].expand(2, 2), truncation=0.0)
    torch.testing.assert_close(images[0], images[1])


def test_the_mean_of_a_rare_condition_is_taken_once(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = gans.load(saved)
    asked: list[list[float]] = []

    def counted(generator: Generator, condition: torch.Tensor) -> torch.Tensor:
        asked.append(condition.tolist())
        return condition_mean(generator, condition)

    monkeypatch.setattr("cxrtool.generators.stylegan2.network.condition_mean", counted)
    y = torch.tensor([[1.0, 1.0], [0.0, 0.0], [1.0, 1.0]])
    first = network.mean_w(y)
    for _ in range(3):
        torch.testing.assert_close(network.mean_w(y), first, rtol=0, atol=0)
    assert asked == [[1.0, 1.0]]  # the stored one is not computed at all
    torch.testing.assert_close(first[0], condition_mean(network.network, y[0]))
    torch.testing.assert_close(first[0], first[2], rtol=0, atol=0)
    assert (first[0] - first[1]).abs().max() > 1e-4


def test_center_is_the_mean_over_the_training_labels(saved: Path) -> None:
    network = gans.load(saved)
    stored = {tuple(v.tolist()): m for v, m in zip(network.vectors, network.means)}
    wanted = 3 / 8 * stored[1.0, 0.0] + 5 / 8 * stored[0.0, 0.0]
    spread = (stored[1.0, 0.0] - stored[0.0, 0.0]).norm()
    assert (network.w_center - wanted).norm() < 0.5 * spread


def test_style_space_can_be_read_and_set(saved: Path) -> None:
    network = gans.load(saved)
    w = network.mapping(torch.randn(2, 8), torch.zeros(2, 2))
    styles = network.styles(w)
    assert styles.keys() == network.style_layers.keys()
    for name, (channels, resolution, to_rgb) in network.style_layers.items():
        assert styles[name].shape == (2, channels)
        assert name.startswith(f"b{resolution}.")
        assert to_rgb == name.endswith("torgb")
    plain = network.synthesis_from_styles(styles)
    torch.testing.assert_close(plain, network.synthesis(w))
    styles["b8.conv0"][:, 0] += 5
    assert (network.synthesis_from_styles(styles) - plain).abs().max() > 1e-3


def test_the_discriminator_is_kept(saved: Path) -> None:
    judge = gans.load_judge(saved).network
    verdict = judge(torch.zeros(3, 1, 16, 16), torch.zeros(3, 2), torch.ones(3, 2).bool(), group=0)
    assert verdict.score.shape == (3,)


def test_what_is_no_generator_is_refused(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no finished generator"):
        gans.load(tmp_path / "nothing")
    weights = saved / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-5] ^= 1
    weights.write_bytes(bytes(data))
    with pytest.raises(InputError, match="damaged"):
        gans.load(saved)
