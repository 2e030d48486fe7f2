"""DCGAN: shapes for any channels and labels, what a step trains, resume, the saved networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from cxrtool.generators.classic.dcgan import DcganTrainer, Discriminator, Generator, Sizes
from cxrtool.generators.classic.game import GameChoices
from cxrtool.generators.feed import Feed
from tests.unit.generators.conftest import ellipses
from tests.unit.generators.games import COMMON, assert_all_move, assert_resumes

SIZES = Sizes(16, 2, z_dim=8, width=8, width_max=16)


def choices(**changes: Any) -> GameChoices:
    return GameChoices(**{**COMMON, "arch": SIZES, **changes})


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize(
    ("size", "channels", "labels"), [(16, 1, 0), (32, 3, 5), (64, 1, 14), (128, 4, 1)]
)
def test_any_size_channels_and_labels(size: int, channels: int, labels: int) -> None:
    sizes = Sizes(size, labels, channels=channels, z_dim=8, width=4, width_max=8)
    x = Generator(sizes, seeded())(torch.randn(2, 8), torch.zeros(2, labels))
    assert x.shape == (2, channels, size, size)
    assert float(x.detach().abs().max()) < 1
    score, logits = Discriminator(sizes, seeded())(x)
    assert (score.shape, logits.shape) == ((2,), (2, labels))


def test_the_papers_widths_and_weights() -> None:
    assert Sizes(64, 0, width=128).widths == [1024, 512, 256, 128]
    generator = Generator(Sizes(64, 0, width=32), seeded())
    for module in generator.modules():
        if isinstance(module, torch.nn.ConvTranspose2d):
            assert float(module.weight.detach().std()) == pytest.approx(0.02, rel=0.05)
    # Every layer that a normalization follows has no bias, the last one has.
    biases = [m.bias is not None for m in generator.modules() if hasattr(m, "output_padding")]
    assert biases == [False] * 4 + [True]


def test_a_step_trains_all_of_both_networks(feed: Feed) -> None:
    trainer = DcganTrainer(choices(), feed)
    assert_all_move(trainer, ("generator", "discriminator"))
    assert trainer.nimg == 16
    assert {"g_loss", "d_loss", "g_label_loss", "d_label_loss"} <= trainer.means.read().keys()


def test_losses_are_the_closed_forms(feed: Feed) -> None:
    """The numbers of the first step, computed again with NumPy from the networks' outputs."""
    trainer, twin = DcganTrainer(choices(), feed), DcganTrainer(choices(), feed)
    trainer.step()
    means = trainer.means.read()
    draws = twin.draws("D")
    z, y = draws.normal(8), twin.feed.fake_labels(draws)[0]
    real = twin.reals()
    with torch.no_grad():
        fake = twin.generator(z, y)
        score, logits = (part.double().numpy() for part in twin.discriminator(real.x))
        other = twin.discriminator(fake)[0].double().numpy()
    wanted = np.log1p(np.exp(-score)).mean() + np.log1p(np.exp(other)).mean()
    assert means["d_loss"] == pytest.approx(wanted, rel=1e-4)
    p, mask = 1 / (1 + np.exp(-logits)), real.mask.numpy()
    t = real.y.numpy()
    cross = -(t * np.log(p) + (1 - t) * np.log(1 - p)) * mask
    assert means["d_label_loss"] == pytest.approx(
        (cross.sum(axis=0) / mask.sum(axis=0)).sum(), rel=1e-4
    )


@pytest.mark.parametrize(
    "change",
    [{"label_weight": 0.0}, {"mirror": True}, {"seed": 1}, {"lr": 0.001}, {"ema_nimg": 0.1}],
    ids=lambda change: next(iter(change)),
)
def test_every_choice_has_an_effect(feed: Feed, change: dict[str, Any]) -> None:
    averages = []
    for numbers in (choices(), choices(**change)):
        trainer = DcganTrainer(numbers, feed)
        for _ in range(3):
            trainer.step()
        averages.append(torch.cat([p.flatten() for p in trainer.average.parameters()]))
    assert not torch.equal(*averages)


def test_stopped_and_killed_it_ends_with_the_same_bits(feed: Feed, tmp_path: Path) -> None:
    assert_resumes(lambda: DcganTrainer(choices(), feed), tmp_path)


def test_color_images_train_a_color_generator() -> None:
    images, labels = ellipses(24, 16)
    color = np.stack([images, 255 - images, images // 2], axis=1)
    feed = Feed(color, labels, labels >= 0, seed=0)
    trainer = DcganTrainer(choices(arch=Sizes(16, 2, channels=3, z_dim=8, width=8)), feed)
    trainer.step()
    made = trainer.sample(torch.randn(2, 8), torch.zeros(2, 2))
    assert made.shape == (2, 3, 16, 16)


def test_no_image_depends_on_its_batch(feed: Feed) -> None:
    trainer = DcganTrainer(choices(), feed)
    trainer.step()
    z, y = torch.randn(4, 8), torch.zeros(4, 2)
    together, alone = trainer.sample(z, y), trainer.sample(z[:1], y[:1])
    torch.testing.assert_close(together[:1], alone, rtol=1e-5, atol=1e-6)
    assert F.mse_loss(together[0], together[1]) > 0


def test_gray_images_at_the_start_are_no_collapse(feed: Feed) -> None:
    trainer = DcganTrainer(choices(), feed)
    trainer.step()
    assert not trainer.varies
    trainer.nimg = 5008
    assert trainer.varies
