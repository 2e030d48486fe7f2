"""BAGAN: latents of classes, the hand-over of weights, K + 1 classes, resume across both stages."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cxrtool.generators.classic.bagan import (
    BaganChoices,
    BaganTrainer,
    ClassLatents,
    Decoder,
    Discriminator,
    Encoder,
    Sizes,
    fakes_a_batch,
    fit,
    realness,
    shrinkage,
)
from cxrtool.generators.classic.layers import dropout
from cxrtool.training.rng import Draws, torch_generator
from tests.unit.generators.games import COMMON, assert_all_move, assert_resumes, single_feed

SIZES = Sizes(16, 3, z_dim=6, hidden=16, width=4)


def choices(**changes: Any) -> BaganChoices:
    base = {**COMMON, "arch": SIZES, "pretrain_nimg": 32, "pretrain_lr": 1e-3}
    return BaganChoices(**{**base, **changes})


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("upsampling", ["transposed", "nearest"])
@pytest.mark.parametrize(("size", "channels"), [(16, 1), (32, 3), (64, 1), (128, 1)])
def test_shapes(size: int, channels: int, upsampling: str) -> None:
    sizes = Sizes(size, 5, channels=channels, z_dim=6, hidden=8, width=2, upsampling=upsampling)
    x = Decoder(sizes, seeded())(torch.randn(2, 6))
    assert x.shape == (2, channels, size, size)
    assert Encoder(sizes, seeded())(x).shape == (2, 6)
    assert Discriminator(sizes, seeded())(x).shape == (2, 6)


def test_fakes_are_a_classs_share_of_the_batch() -> None:
    assert [fakes_a_batch(32, k) for k in (2, 5, 31, 40)] == [16, 7, 2, 1]


def test_dropout_keeps_the_mean_and_follows_its_draws() -> None:
    x = torch.ones(4, 2000)
    one, two = (dropout(x, 0.3, Draws(torch_generator("d"), 4)) for _ in range(2))
    assert torch.equal(one, two)
    assert float((one == 0).float().mean()) == pytest.approx(0.3, abs=0.02)
    assert float(one.mean()) == pytest.approx(1, abs=0.03)
    assert dropout(x, 0.3, None) is x


def test_realness_is_the_log_odds_against_fake() -> None:
    logits = torch.randn(5, 4, dtype=torch.float64)
    p = np.exp(logits.numpy()) / np.exp(logits.numpy()).sum(axis=1, keepdims=True)
    wanted = np.log((1 - p[:, -1]) / p[:, -1])
    np.testing.assert_allclose(realness(logits).numpy(), wanted, rtol=1e-9)


def test_a_large_class_has_the_covariance_of_its_codes() -> None:
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(60_000, 4)) @ rng.normal(size=(4, 4))
    classes = np.arange(60_000) % 2
    codes[classes == 1] *= 3
    means, covariances = fit(torch.from_numpy(codes), torch.from_numpy(classes), 2)
    for k in range(2):
        own = codes[classes == k]
        np.testing.assert_allclose(means[k], own.mean(axis=0), rtol=1e-9)
        np.testing.assert_allclose(covariances[k], np.cov(own.T), rtol=1e-2, atol=1e-2)
    assert shrinkage(30_000, 4) < 2e-4


def test_the_shared_part_falls_without_a_jump() -> None:
    shares = [shrinkage(n, 100) for n in range(1, 400)]
    assert shares[0] == 1
    assert all(0 < a - b < 0.011 for a, b in itertools.pairwise(shares))
    assert shares[200] == pytest.approx(1 / 3)


def test_a_small_class_is_shrunk_towards_the_shared_covariance() -> None:
    rng = np.random.default_rng(1)
    codes, classes = rng.normal(size=(43, 4)), np.array([0] * 40 + [1] * 3)
    _, covariances = fit(torch.from_numpy(codes), torch.from_numpy(classes), 2)
    own = [codes[classes == k] - codes[classes == k].mean(axis=0) for k in range(2)]
    shared = sum(part.T @ part for part in own) / (43 - 2)
    share = 4 / (4 + 3 - 1)
    wanted = (1 - share) * np.cov(codes[classes == 1].T) + share * shared
    np.testing.assert_allclose(covariances[1], wanted, rtol=1e-9)
    assert [shrinkage(n, 4) for n in (40, 3)] == pytest.approx([4 / (4 + 40 - 1), share])
    assert np.linalg.matrix_rank(covariances[1].numpy()) == 4
    # One image: its own covariance is unknown, and the shared one stands for it.
    _, alone = fit(torch.from_numpy(codes[:41]), torch.from_numpy(np.array([0] * 40 + [1])), 2)
    torch.testing.assert_close(alone[1], alone[0] * 39 / 39)
    with pytest.raises(ValueError, match="no code of class 1"):
        fit(torch.from_numpy(codes[:40]), torch.zeros(40), 2)


def test_codes_drawn_for_a_class_have_its_moments() -> None:
    rng = np.random.default_rng(2)
    codes = rng.normal(size=(200, 3)) @ rng.normal(size=(3, 3)) + np.array([1.0, 2.0, 3.0])
    found = fit(torch.from_numpy(codes), torch.zeros(200, dtype=torch.int64), 1)
    module = ClassLatents(1, 3)
    module.set(*found)
    z = torch.randn(40_000, 3, generator=seeded())
    drawn = module(z, torch.zeros(40_000, dtype=torch.int64)).double()
    np.testing.assert_allclose(drawn.mean(dim=0), codes.mean(axis=0), atol=0.05)
    # (One class: the shared covariance is its own.)
    np.testing.assert_allclose(np.cov(drawn.numpy().T), np.cov(codes.T), rtol=0.05, atol=0.03)
    # psi = 0, that is z = 0, gives the mean code.
    torch.testing.assert_close(module(z[:1] * 0, torch.tensor([0]))[0], module.means[0])


def test_the_autoencoder_hands_its_weights_over() -> None:
    feed = single_feed()
    trainer = BaganTrainer(choices(), feed)
    assert not trainer.ready
    for _ in range(3):
        trainer.step()
    assert trainer.means.read()["autoencoder_loss"] > 0
    untouched = BaganTrainer(choices(), feed).discriminator.state_dict()["trunk.convs.0.weight"]
    assert torch.equal(trainer.discriminator.state_dict()["trunk.convs.0.weight"], untouched)
    trainer.step()  # the last of four
    assert not trainer.ready
    for name, value in trainer.encoder.trunk.state_dict().items():
        assert torch.equal(trainer.discriminator.state_dict()[f"trunk.{name}"], value), name
    for name, value in trainer.generator.state_dict().items():
        assert torch.equal(trainer.average.state_dict()[name], value), name
    with torch.no_grad():
        codes = trainer.encoder(feed.pixels / 127.5 - 1)
    means = trainer.generator.state_dict()["latents.means"]
    for k in range(3):
        own = codes[feed.values[:, k] == 1]
        torch.testing.assert_close(means[k], own.mean(dim=0), rtol=1e-3, atol=1e-4)
    before = {k: v.clone() for k, v in trainer.encoder.state_dict().items()}
    trainer.step()
    assert trainer.ready
    for name, value in trainer.encoder.state_dict().items():
        assert torch.equal(before[name], value), f"the game trained the encoder's {name}"


def test_the_autoencoder_learns_and_the_game_trains_all() -> None:
    trainer = BaganTrainer(choices(pretrain_nimg=480), single_feed())
    losses = []
    for _ in range(60):
        trainer.step()
        losses.append(trainer.means.read()["autoencoder_loss"])
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])
    assert_all_move(trainer, ("discriminator",))
    assert {"g_loss", "d_loss", "score_real", "score_fake"} <= trainer.means.read().keys()


def test_losses_are_the_closed_forms() -> None:
    trainer, twin = (BaganTrainer(choices(pretrain_nimg=8), single_feed()) for _ in range(2))
    for one in (trainer, twin):
        one.step()
        one.means.read()
    trainer.step()
    means = trainer.means.read()
    real, draws = twin.reals(), twin.draws("D fakes", 3)  # ceil(8 / 3)
    z, y = draws.normal(6), torch.eye(3)[draws.integers(0, 3)]
    with torch.no_grad():
        fake = twin.generator(z, y)
        both = torch.cat([real.x, fake])
        logits = twin.discriminator(both, twin.draws("D", 11)).double().numpy()
    wanted = np.concatenate([real.y.numpy().argmax(axis=1), [3, 3, 3]])
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    assert means["d_loss"] == pytest.approx(-log_p[np.arange(11), wanted].mean(), rel=1e-4)


@pytest.mark.parametrize("pretrain", [32, 56])  # a snapshot after, and before the hand-over
def test_stopped_and_killed_it_ends_with_the_same_bits(pretrain: int, tmp_path: Path) -> None:
    assert_resumes(lambda: BaganTrainer(choices(pretrain_nimg=pretrain), single_feed()), tmp_path)


def test_a_class_is_asked_for_by_its_label() -> None:
    trainer = BaganTrainer(choices(pretrain_nimg=8), single_feed())
    for _ in range(2):
        trainer.step()
    z = torch.randn(1, 6).expand(3, -1)
    images = trainer.sample(z, torch.eye(3))
    assert (images[0] - images[1]).abs().max() > 1e-4
    assert (images[1] - images[2]).abs().max() > 1e-4
