"""Global directions: rows and directions against their slow definitions, one image a call."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from cxrtool.core.errors import InputError
from cxrtool.editing.relevance import (
    STEP,
    ChannelProbe,
    Channels,
    Relevance,
    channel_statistics,
    direction,
    editable,
    moved,
    relevance_of,
)
from cxrtool.generators.stylegan2.generator import Architecture, Generator
from cxrtool.generators.stylegan2.network import TrainedGenerator
from cxrtool.training.rng import torch_generator

IMAGES = 5


class _Tower:
    """A small random network that embeds images."""

    name = "tower"

    def __init__(self) -> None:
        rng = torch_generator("tower")
        self.weight = torch.randn(6, 1, 5, 5, generator=rng)
        self.out = torch.randn(9, 6 * 16, generator=rng)

    def embed_images(self, x: Tensor) -> Tensor:
        maps = functional.softplus(functional.conv2d(x, self.weight, padding=2))
        return functional.adaptive_avg_pool2d(maps, 4).flatten(1) @ self.out.T


@pytest.fixture(scope="module")
def generator() -> TrainedGenerator:
    arch = Architecture(
        size=16, labels=2, z_dim=8, w_dim=8, mapping_layers=2, channel_base=64, channel_max=8
    )
    network = Generator(arch, torch_generator("net"))
    shapes = {"vectors": (0, 2), "conditions": (0, 8), "center": (8,)}
    means = {name: torch.zeros(shape) for name, shape in shapes.items()}
    trained = TrainedGenerator(network, ("A", "B"), means, {"preprocessing": {}})
    return trained.eval().requires_grad_(False)


def _w(generator: TrainedGenerator, n: int, first: int = 0) -> Tensor:
    z = torch.randn(first + n, 8, generator=torch_generator("z"))[first:]
    return generator.mapping(z, torch.zeros(n, 2))


@pytest.fixture(scope="module")
def channels(generator: TrainedGenerator) -> Channels:
    z = _w(generator, 2500)
    return channel_statistics(generator, lambda first, count: z[first : first + count], 2500)


def test_statistics_are_those_of_all_latents(
    generator: TrainedGenerator, channels: Channels
) -> None:
    styles = generator.styles(_w(generator, 2500))
    for name in editable(generator):
        assert torch.allclose(channels.mean[name], styles[name].mean(dim=0), atol=1e-4)
        assert torch.allclose(channels.std[name], styles[name].std(dim=0), rtol=1e-3, atol=1e-5)


def test_color_layers_are_left_out(generator: TrainedGenerator) -> None:
    names = editable(generator)
    assert names == ["b4.conv1", "b8.conv0", "b8.conv1", "b16.conv0", "b16.conv1"]


def _slow_row(
    generator: TrainedGenerator, styles: dict[str, Tensor], channels: Channels, name: str, c: int
) -> np.ndarray:
    """One image a call, from the first layer, as StyleCLIP's own script does it."""
    total = np.zeros(9)
    for i in range(IMAGES):
        ends = []
        for sign in (1.0, -1.0):
            own = {k: s[i : i + 1].clone() for k, s in styles.items()}
            own[name][0, c] = channels.mean[name][c] + sign * STEP * channels.std[name][c]
            image = generator.synthesis_from_styles(own).clamp(-1, 1)
            vector = _Tower().embed_images(image)[0].double().numpy()
            ends.append(vector / np.linalg.norm(vector))
        change = ends[0] - ends[1]
        total += change / np.linalg.norm(change)
    return total / np.linalg.norm(total)


@pytest.mark.parametrize("batch", [2, 7, 40, 1000])
def test_batched_rows_are_the_slow_ones(
    generator: TrainedGenerator, channels: Channels, batch: int
) -> None:
    styles = dict(generator.styles(_w(generator, IMAGES)))
    for name in ("b4.conv1", "b8.conv0", "b16.conv1"):
        rows = ChannelProbe(generator, _Tower(), styles, channels).rows(name, batch=batch)
        for c in range(len(rows)):
            slow = _slow_row(generator, styles, channels, name, c)
            assert float(rows[c].double() @ torch.from_numpy(slow)) > 0.9999


def test_single_channels_are_the_same_rows(generator: TrainedGenerator, channels: Channels) -> None:
    styles = dict(generator.styles(_w(generator, IMAGES)))
    probe = ChannelProbe(generator, _Tower(), styles, channels)
    every = probe.rows("b8.conv1", batch=16)
    some = probe.rows("b8.conv1", batch=16, only=[5, 1])
    assert torch.allclose(some, every[[5, 1]], atol=1e-5)


def _toy() -> tuple[Channels, Relevance]:
    std = {"a": torch.tensor([2.0, 1.0]), "b": torch.tensor([3.0])}
    channels = Channels({k: torch.zeros_like(v) for k, v in std.items()}, std)
    rows = {"a": torch.tensor([[1.0, 0.0], [0.6, 0.8]]), "b": torch.tensor([[0.0, -1.0]])}
    return channels, Relevance(channels, rows)


def test_a_direction_by_hand() -> None:
    channels, found = _toy()
    relevance = relevance_of(found, torch.tensor([0.0, 1.0]))  # R = 0, 0.8, -1
    towards = direction(channels, relevance, beta=0.5)
    assert towards.count == 2
    assert towards.change["a"].tolist() == pytest.approx([0.0, 0.8])
    assert towards.change["b"].tolist() == pytest.approx([-3.0])
    assert direction(channels, relevance, beta=0.9).change["a"].tolist() == [0.0, 0.0]


def test_no_channel_at_all_names_the_highest() -> None:
    channels, found = _toy()
    relevance = relevance_of(found, torch.tensor([0.1, 0.0]))
    with pytest.raises(InputError, match=r"the highest is 0\.100") as caught:
        direction(channels, relevance, beta=0.2)
    assert caught.value.hint is not None
    assert "--beta 0.07" in caught.value.hint


def test_strength_nought_changes_nothing_and_signs_are_opposite(
    generator: TrainedGenerator, channels: Channels
) -> None:
    w = _w(generator, 3)
    rows = {
        name: torch.nn.functional.normalize(torch.randn(len(std), 9), dim=1)
        for name, std in channels.std.items()
    }
    text = functional.normalize(torch.randn(9), dim=0)
    towards = direction(channels, relevance_of(Relevance(channels, rows), text), beta=0.2)
    start = generator.synthesis(w).clamp(-1, 1)
    assert torch.equal(moved(generator, w, towards, 0.0), start)
    plus, minus = (moved(generator, w, towards, a) - start for a in (0.01, -0.01))
    assert float((plus * minus).sum()) < 0
    assert float(plus.abs().max()) > 0
