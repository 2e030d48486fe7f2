"""Parameters of the presets against the published networks.

Compared are trainable parameters: of configuration F at 1024 px as trained in Karras et al. 2020
(arXiv 1912.04958), of the 256 px network of Karras et al. 2020 (arXiv 2006.06676), which has half
of its channels (table of settings: "channel multiplier 1/2 at 256 px"), layer by layer and in all,
as the authors' programs list them for color images without labels. Ours differ by image channels
and labels alone, and by how much is said below as a sum of its own.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from torch import nn

from cxrtool.generators.stylegan2.choices import choose
from cxrtool.generators.stylegan2.discriminator import Discriminator
from cxrtool.generators.stylegan2.generator import Architecture, Generator
from tests.unit.generators.conftest import request_of

#: Published counts of one layer by its channels (in, out).
STYLED = {
    (512, 512): 2_622_465,
    (512, 256): 1_442_561,
    (256, 256): 721_409,
    (256, 128): 426_369,
    (128, 128): 213_249,
    (128, 64): 139_457,
}
TO_COLOR = {512: 264_195, 256: 132_099, 128: 66_051}
PUBLISHED = {(1024, 32768): (30_370_060, 29_012_513), (256, 16384): (24_767_458, 24_001_089)}
W = Z = 512


def widths(size: int, base: int) -> list[int]:
    """Feature channels at 4, 8, ... pixels: inversely proportional to the side, at most 512."""
    return [min(base // 2**k, 512) for k in range(2, size.bit_length())]


def generator_sum(size: int, base: int, image_channels: int, labels: int = 0) -> int:
    """The generator by the paper's text, from widths alone."""
    channels = widths(size, base)
    total = 8 * (Z * W + W)  # mapping
    total += channels[0] * 4 * 4  # constant input
    pairs = list(itertools.pairwise(channels)) + [(c, c) for c in channels]
    for inputs, outputs in pairs:  # weights, bias, style from w with bias, strength of the noise
        total += 9 * inputs * outputs + outputs + W * inputs + inputs + 1
    for c in channels:  # a 1x1 convolution to the image, with a style
        total += c * image_channels + image_channels + W * c + c
    return total + (labels * Z + Z + Z * W if labels else 0)


def discriminator_sum(size: int, base: int, image_channels: int, labels: int = 0) -> int:
    """The discriminator likewise."""
    channels = widths(size, base)[::-1]
    total = image_channels * channels[0] + channels[0]
    for c, below in itertools.pairwise(channels):
        total += 9 * c * c + c + 9 * c * below + below + c * below
    last = channels[-1]
    total += 9 * (last + 1) * last + last  # one channel more: the minibatch statistic
    total += last * 16 * last + last + last + 1
    return total + (labels * last + last * 16 * labels + labels if labels else 0)


def counts(arch: Architecture) -> tuple[int, int]:
    networks = Generator(arch, torch.Generator()), Discriminator(arch, torch.Generator())
    ours = [sum(p.numel() for p in network.parameters()) for network in networks]
    return ours[0], ours[1]


def size_of(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(("size", "base"), sorted(PUBLISHED))
def test_color_networks_have_the_published_totals(size: int, base: int) -> None:
    published = PUBLISHED[size, base]
    assert (generator_sum(size, base, 3), discriminator_sum(size, base, 3)) == published
    assert counts(Architecture(size=size, labels=0, channels=3, channel_base=base)) == published


def test_layers_have_the_published_counts() -> None:
    arch = Architecture(size=256, labels=0, channels=3, channel_base=16384)
    generator = Generator(arch, torch.Generator())
    widest = dict(zip(arch.resolutions, widths(256, 16384), strict=True))
    assert widest == {4: 512, 8: 512, 16: 512, 32: 512, 64: 256, 128: 128, 256: 64}
    seen = set()
    for name, layer, _, resolution in generator.layers():
        c = widest[resolution]
        if name.endswith("torgb"):
            assert c == 64 or size_of(layer) == TO_COLOR[c], name
        elif (pair := (widest[resolution // 2] if "conv0" in name else c, c)) in STYLED:
            assert size_of(layer) == STYLED[pair], name
            seen.add(pair)
    assert seen == set(STYLED)
    assert all(size_of(layer) == 262_656 for layer in generator.mapping.layers)


def test_the_256_px_preset_is_the_published_network_in_gray() -> None:
    arch = choose(request_of(size=256, preset="full", images=10_000, labels=0)).arch
    g, d = counts(arch)
    color_g, color_d = PUBLISHED[256, 16384]
    # Two image channels fewer: their weights and biases of seven layers, and their weights of one.
    assert color_g - g == 2 * (sum(widths(256, 16384)) + 7)
    assert color_d - d == 2 * 64
    assert (g, d) == (generator_sum(256, 16384, 1), discriminator_sum(256, 16384, 1))
    labelled = replace(arch, labels=14)
    more_g, more_d = counts(labelled)
    assert (more_g, more_d) == (
        generator_sum(256, 16384, 1, 14),
        discriminator_sum(256, 16384, 1, 14),
    )
    assert more_g - g == 15 * 512 + 512 * 512  # embedding with bias, wider first mapping layer
    assert more_d - d == 14 * 512 + 14 * (512 * 16 + 1)  # projection, and the label head


def test_the_512_px_preset_has_all_the_channels() -> None:
    arch = choose(request_of(size=512, preset="full", images=10_000, labels=0)).arch
    assert counts(arch) == (generator_sum(512, 32768, 1), discriminator_sum(512, 32768, 1))
