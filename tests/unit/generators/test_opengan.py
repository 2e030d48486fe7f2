"""OpenGAN: kernels, features of classes, conditioned blocks, spectral norm, a held-out class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cxrtool.generators.classic.layers import conv, linear
from cxrtool.generators.classic.opengan.metric import (
    FEATURES,
    Bank,
    Kernels,
    MetricNetwork,
    Sizes,
    choose_centers,
    log_probabilities,
)
from cxrtool.generators.classic.opengan.networks import (
    Discriminator,
    FeatureNorm,
    Generator,
    Spectral,
)
from cxrtool.generators.classic.opengan.trainer import OpenganChoices, OpenganTrainer, hinge_loss
from cxrtool.generators.feed import Feed
from tests.unit.generators.games import COMMON, assert_all_move, assert_resumes, single_feed

SIZES = Sizes(16, 3, z_dim=7, width=4, width_max=8, metric_width=4)


def choices(**changes: Any) -> OpenganChoices:
    base = {**COMMON, "arch": SIZES, "pretrain_nimg": 32, "pretrain_lr": 1e-3}
    return OpenganChoices(**{**base, **changes})


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize(("size", "channels"), [(16, 1), (32, 3), (64, 1), (128, 1)])
def test_shapes(size: int, channels: int) -> None:
    sizes = Sizes(size, 3, channels=channels, z_dim=7, width=4, width_max=8, metric_width=4)
    feature = torch.randn(2, FEATURES)
    x = Generator(sizes, seeded())(torch.randn(2, 6), feature)
    assert x.shape == (2, channels, size, size)
    assert Discriminator(sizes, seeded())(x, feature).shape == (2,)
    assert MetricNetwork(sizes, seeded())(x).shape == (2, 512)


def test_kernel_probabilities_are_the_closed_form() -> None:
    rng = np.random.default_rng(0)
    f, centers = rng.normal(size=(4, 5)), rng.normal(size=(7, 5))
    classes, sigma = np.array([0, 0, 1, 1, 1, 2, 2]), 1.7
    k = np.exp(-((f[:, None] - centers[None]) ** 2).sum(axis=2) / (2 * sigma**2))
    k[0, 2] = 0  # the first image is the third center
    wanted = np.stack([k[:, classes == c].sum(axis=1) for c in range(3)], axis=1)
    wanted /= wanted.sum(axis=1, keepdims=True)
    own = torch.zeros(4, 7, dtype=torch.bool)
    own[0, 2] = True
    found = log_probabilities(
        torch.from_numpy(f), torch.from_numpy(centers), torch.from_numpy(classes), 3, sigma, own
    )
    np.testing.assert_allclose(found.exp(), wanted, rtol=1e-6, atol=1e-9)
    # A class without a center: a bounded log, and finite gradients.
    f_ = torch.from_numpy(f).requires_grad_(True)
    lacking = log_probabilities(f_, torch.from_numpy(centers), torch.from_numpy(classes), 4, sigma)
    F.nll_loss(lacking, torch.tensor([3, 0, 1, 2])).backward()
    assert f_.grad is not None
    assert bool(f_.grad.isfinite().all())


def test_an_image_is_no_center_of_its_own() -> None:
    features = torch.randn(4, FEATURES)
    classes, rows = torch.tensor([0, 1, 1, 2]), torch.tensor([10, 11, 12, 13])
    kernels = Kernels(classes, rows, 3)
    kernels.centers.copy_(features)
    mask, unknown = kernels(features, rows), kernels(features)
    assert bool((unknown.argmax(dim=1) == classes).all())
    assert float(mask[0, 0].detach()) < -20  # class 0 has no other center


def test_centers_are_dealt_to_the_classes() -> None:
    classes = torch.tensor([0] * 50 + [1] * 3 + [2] * 20)
    rows = choose_centers(classes, 3, 30, seeded())
    assert torch.bincount(classes[rows]).tolist() == [10, 3, 10]
    assert torch.equal(rows, choose_centers(classes, 3, 30, seeded()))


def test_the_metric_network_learns_the_classes() -> None:
    trainer = OpenganTrainer(choices(pretrain_nimg=8 * 120), single_feed())
    accuracy = []
    for _ in range(120):
        trainer.step()
        accuracy.append(trainer.means.read()["metric_accuracy"])
    assert np.mean(accuracy[-20:]) > 0.9
    assert np.mean(accuracy[-20:]) > np.mean(accuracy[:5])
    # And features of a class lie nearer to each other than to those of another.
    distances = torch.cdist(trainer.features, trainer.features)
    same = trainer.feed.values @ trainer.feed.values.T > 0
    assert distances[same & (distances > 0)].mean() < distances[~same].mean()


def test_normalization_is_scaled_and_shifted_by_the_feature() -> None:
    layer, x = FeatureNorm(3, seeded()), torch.randn(8, 3, 4, 4) * 5 + 2
    feature = torch.randn(8, FEATURES)
    mean, var = x.mean(dim=(0, 2, 3)), x.var(dim=(0, 2, 3), unbiased=False)
    plain = (x - mean[None, :, None, None]) / (var + 1e-5).sqrt()[None, :, None, None]
    scale = 1 + feature @ layer.scale.weight.T + layer.scale.bias
    shift = feature @ layer.shift.weight.T + layer.shift.bias
    wanted = plain * scale[:, :, None, None] + shift[:, :, None, None]
    torch.testing.assert_close(layer(x, feature), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["conv", "dense"])
def test_spectral_normalization_finds_the_largest_singular_value(kind: str) -> None:
    layer: Any = conv(3, 5, 3, rng=seeded()) if kind == "conv" else linear(6, 4, rng=seeded())
    spectral = Spectral(layer, seeded())
    for _ in range(100):
        spectral.weight()
    matrix = spectral.weight().detach().flatten(1)
    assert float(torch.linalg.svdvals(matrix)[0]) == pytest.approx(1, rel=1e-3)
    spectral.eval()
    u = spectral.u.clone()
    spectral.weight()
    assert torch.equal(spectral.u, u)  # a judge stays as it is


def test_hinge_is_the_closed_form() -> None:
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=20) * 2, rng.normal(size=20) * 2
    wanted = np.maximum(0, 1 - real).mean() + np.maximum(0, 1 + fake).mean()
    got = hinge_loss(torch.from_numpy(real), torch.from_numpy(fake))
    assert float(got) == pytest.approx(wanted, rel=1e-9)


def test_the_bank_lends_features_of_the_class() -> None:
    classes = torch.tensor([0, 1, 0, 2, 1, 0, 2])
    features = torch.arange(7.0)[:, None].expand(7, 2)
    bank = Bank.of(features, classes, 3, most=2)
    assert bank.classes.tolist() == [0, 0, 1, 1, 2, 2]
    z = torch.tensor([-9.0, 9.0, -0.5, 0.5])
    lent = bank(z, torch.tensor([0, 0, 1, 2]))
    assert lent[:, 0].tolist() == [0.0, 2.0, 1.0, 6.0]  # the first two of each class
    assert bank(z, torch.tensor([0, 0, 1, 2]), 0.0)[:, 0].tolist() == [1.0, 1.0, 2.5, 4.5]


def test_the_metric_network_is_fixed_in_the_game_and_all_else_moves() -> None:
    trainer = OpenganTrainer(choices(), single_feed())
    for _ in range(4):
        trainer.step()
    assert not trainer.ready
    assert "metric_loss" in trainer.means.read()
    before = {k: v.clone() for k, v in trainer.metric.state_dict().items()}
    # A bias adds as much to real as to generated scores while all are within the hinge.
    assert_all_move(trainer, ("generator", "discriminator"), but="discriminator.out.layer.bias")
    assert trainer.ready
    for name, value in trainer.metric.state_dict().items():
        assert torch.equal(before[name], value), name
    means = trainer.means.read()
    assert {"g_loss", "d_loss", "feature_loss", "score_real", "score_fake"} <= means.keys()


def test_losses_of_the_game_are_the_closed_forms() -> None:
    trainer, twin = (OpenganTrainer(choices(pretrain_nimg=8), single_feed()) for _ in range(2))
    for one in (trainer, twin):
        one.step()
        one.means.read()
    with torch.no_grad():
        draws, real = twin.draws("D"), twin.reals()
        noise, rows = draws.normal(6), draws.integers(0, 48)
        asked = twin.features[rows]
        fake = twin.generator(noise, asked)
        score = twin.discriminator(real.x, twin.metric(real.x)).double().numpy()
        other = twin.discriminator(fake, asked).double().numpy()
    trainer.step()
    means = trainer.means.read()
    wanted = np.maximum(0, 1 - score).mean() + np.maximum(0, 1 + other).mean()
    assert means["d_loss"] == pytest.approx(wanted, rel=1e-3)


@pytest.mark.parametrize("pretrain", [32, 56])  # a snapshot after, and before the features
def test_stopped_and_killed_it_ends_with_the_same_bits(pretrain: int, tmp_path: Path) -> None:
    assert_resumes(lambda: OpenganTrainer(choices(pretrain_nimg=pretrain), single_feed()), tmp_path)


def test_a_class_held_out_of_both_stages_can_be_generated() -> None:
    whole = single_feed()
    out = whole.values[:, 2] > 0
    pixels, values = whole.pixels[:, 0].numpy(), whole.values.numpy()
    seen, unseen = (
        Feed(pixels[rows], values[rows], values[rows] >= 0, seed=0)
        for rows in (~out.numpy(), out.numpy())
    )
    trainer = OpenganTrainer(choices(pretrain_nimg=160), seen, unseen=unseen)
    for _ in range(22):
        trainer.step()
    assert not bool((trainer.kernels.classes == 2).any())
    assert trainer.bank is not None
    assert int(trainer.bank.counts[2]) == int(out.sum())
    with torch.no_grad():
        wanted = trainer.metric(unseen.pixels / 127.5 - 1)
    torch.testing.assert_close(trainer.bank.features[trainer.bank.classes == 2], wanted)
    z = torch.randn(16, 7)
    images = [trainer.sample(z, torch.eye(3)[k].expand(16, -1)) for k in (0, 2)]
    assert (images[0] - images[1]).abs().max() > 1e-3
    # The training never saw them: without them its networks are the same, bit for bit.
    alone = OpenganTrainer(choices(pretrain_nimg=160), seen)
    for _ in range(20):
        alone.step()
    again = OpenganTrainer(choices(pretrain_nimg=160), seen, unseen=unseen)
    for _ in range(20):
        again.step()
    for a, b in zip(alone.metric.parameters(), again.metric.parameters(), strict=True):
        assert torch.equal(a, b)


def test_no_weight_comes_from_the_global_stream() -> None:
    def weights() -> list[torch.Tensor]:
        networks: list[nn.Module] = [
            Generator(SIZES, seeded()),
            Discriminator(SIZES, seeded()),
            MetricNetwork(SIZES, seeded()),
        ]
        return [value.clone() for n in networks for value in n.state_dict().values()]

    torch.manual_seed(1)
    one = weights()
    state = torch.get_rng_state()
    two = weights()
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
