"""The progressive GAN: growth, shapes at every stage, WGAN-GP in closed form, resume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from cxrtool.core.errors import UsageError
from cxrtool.generators.choices import Request
from cxrtool.generators.classic.acgan import (
    AcganChoices,
    AcganTrainer,
    Discriminator,
    Equal,
    Generator,
    Sizes,
    Stage,
    at_stage,
    choose,
    critic_loss,
    gradient_norms,
    grown_nimg,
    read,
    stage_at,
)
from cxrtool.generators.feed import Feed
from tests.unit.generators.games import COMMON, assert_all_move, assert_resumes

SIZES = Sizes(16, 2, z_dim=6, channel_base=64, channel_max=8)


def choices(**changes: Any) -> AcganChoices:
    base = {**COMMON, "arch": SIZES, "lr": 0.001, "phase_nimg": 16.0}
    return AcganChoices(**{**base, **changes})


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_growth_fades_in_and_stays() -> None:
    stages = [stage_at(nimg, 10, 2) for nimg in (0, 9, 10, 15, 20, 29, 30, 35, 40, 1000)]
    wanted = [(0, 1), (0, 1), (1, 0), (1, 0.5), (1, 1), (1, 1), (2, 0), (2, 0.5), (2, 1), (2, 1)]
    assert [s.level for s in stages] == [level for level, _ in wanted]
    assert [s.alpha for s in stages] == pytest.approx([alpha for _, alpha in wanted])
    assert grown_nimg(10, 2) == 40


@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("alpha", [0.0, 0.4, 1.0])
def test_shapes_at_every_stage(level: int, alpha: float) -> None:
    if level == 0 and alpha < 1:
        return
    stage, size = Stage(level, alpha), 4 << level
    x = Generator(SIZES, seeded())(torch.randn(4, 6), torch.zeros(4, 2), stage)
    assert x.shape == (4, 1, size, size)
    score, logits = Discriminator(SIZES, seeded())(x, stage)
    assert (score.shape, logits.shape) == ((4,), (4, 2))
    assert at_stage(torch.randn(4, 1, 16, 16), stage, 2).shape == x.shape


def test_nothing_jumps_where_a_resolution_begins() -> None:
    generator, judge = Generator(SIZES, seeded()), Discriminator(SIZES, seeded())
    z, y = torch.randn(4, 6), torch.rand(4, 2)
    before, after = generator(z, y, Stage(1, 1.0)), generator(z, y, Stage(2, 0.0))
    torch.testing.assert_close(F.interpolate(before, scale_factor=2), after)
    torch.testing.assert_close(judge(before, Stage(1, 1.0))[0], judge(after, Stage(2, 0.0))[0])
    real = torch.randn(4, 1, 16, 16)
    one, two = at_stage(real, Stage(1, 1.0), 2), at_stage(real, Stage(2, 0.0), 2)
    torch.testing.assert_close(F.interpolate(one, scale_factor=2), two)


def test_layers_keep_the_variance() -> None:
    x = torch.randn(4000, 50, generator=seeded())
    assert float(Equal(30, 50, rng=seeded(), gain=1.0)(x).detach().std()) == pytest.approx(
        1, rel=0.05
    )
    assert float(Equal(30, 50, rng=seeded())(x).detach().std()) == pytest.approx(2**0.5, rel=0.05)


def test_labels_enter_beside_z_and_leave_beside_the_score() -> None:
    sizes = Sizes(256, 14, z_dim=512)
    assert Sizes.width(sizes, 0) == 512
    generator = Generator(Sizes(16, 14, z_dim=6, channel_base=64), seeded())
    assert generator.dense.weight.shape[1] == 6 + 14
    # All labels together weigh as much as the whole of z.
    z, y = torch.randn(1, 6, generator=seeded()), torch.ones(1, 14)
    taken: list[torch.Tensor] = []
    generator.dense.register_forward_pre_hook(lambda _, inputs: taken.append(inputs[0]))
    generator(z, y)
    assert float(taken[0][0, :6].norm()) == pytest.approx(float(taken[0][0, 6:].norm()), rel=1e-4)
    judge = Discriminator(Sizes(16, 14, z_dim=6, channel_base=64), seeded())
    assert judge.out.weight.shape[0] == 1 + 14


def test_the_critics_loss_is_the_closed_form() -> None:
    rng = np.random.default_rng(0)
    real, fake, norms = (rng.normal(size=9) for _ in range(3))
    wanted = fake.mean() - real.mean() + 10 * ((norms - 1) ** 2).mean() + 0.001 * (real**2).mean()
    got = critic_loss(*(torch.from_numpy(a) for a in (real, fake, norms)))
    assert float(got) == pytest.approx(wanted, rel=1e-9)


def test_gradient_norms_of_a_known_function() -> None:
    x = torch.randn(5, 1, 4, 4, dtype=torch.float64, requires_grad=True)
    score = (x.square().flatten(1) * 3).sum(dim=1)  # gradient 6 x
    wanted = 6 * x.detach().flatten(1).norm(dim=1)
    torch.testing.assert_close(gradient_norms(score, x), wanted)


def test_label_loss_of_the_critic_sees_real_images_only(feed: Feed) -> None:
    trainer, twin = AcganTrainer(choices(), feed), AcganTrainer(choices(), feed)
    trainer.step()
    means, real, stage = trainer.means.read(), twin.reals(), twin.stage
    assert stage == (0, 1.0)
    with torch.no_grad():
        logits = twin.discriminator(at_stage(real.x, stage, 2), stage)[1].double().numpy()
    p, t, mask = 1 / (1 + np.exp(-logits)), real.y.numpy(), real.mask.numpy()
    cross = -(t * np.log(p) + (1 - t) * np.log(1 - p)) * mask
    wanted = (cross.sum(axis=0) / mask.sum(axis=0)).sum()
    assert means["d_label_loss"] == pytest.approx(wanted, rel=1e-4)


def test_steps_through_the_growth_train_all(feed: Feed) -> None:
    trainer = AcganTrainer(choices(), feed)
    assert not trainer.ready
    assert_all_move(trainer, ("generator", "discriminator"), steps=9)
    assert trainer.stage == (2, 1.0)
    assert trainer.ready
    names = {"g_loss", "d_loss", "gradient_norm", "g_label_loss", "d_label_loss"}
    assert names <= trainer.means.read().keys()


@pytest.mark.parametrize(
    "change",
    [{"label_weight": 0.0}, {"phase_nimg": 8.0}, {"mirror": True}, {"seed": 1}, {"lr": 0.01}],
    ids=lambda change: next(iter(change)),
)
def test_every_choice_has_an_effect(feed: Feed, change: dict[str, Any]) -> None:
    averages = []
    for numbers in (choices(), choices(**change)):
        trainer = AcganTrainer(numbers, feed)
        for _ in range(4):
            trainer.step()
        averages.append(torch.cat([p.flatten() for p in trainer.average.parameters()]))
    assert not torch.equal(*averages)


def test_stopped_and_killed_it_ends_with_the_same_bits(feed: Feed, tmp_path: Path) -> None:
    assert_resumes(lambda: AcganTrainer(choices(), feed), tmp_path)


def test_pictures_are_whole_while_it_grows(feed: Feed) -> None:
    trainer = AcganTrainer(choices(), feed)
    trainer.step()
    assert trainer.sample(torch.randn(3, 6), torch.zeros(3, 2)).shape == (3, 1, 16, 16)


def test_a_score_depends_on_no_batch_mate() -> None:
    network = Discriminator(SIZES, seeded())
    x = torch.randn(8, 1, 16, 16)
    network.set_reference(x)
    assert float(network.std_reference) > 0
    together, alone = read(network, x)[0][:1], read(network, x[:1])[0]
    torch.testing.assert_close(together, alone)
    assert not torch.allclose(network(x)[0][:1], together)


def test_phases_that_never_end_are_refused() -> None:
    options: dict[str, Any] = {
        "batch": 16, "kimg": 1.0, "lr": None, "snapshot_kimg": None, "tick_kimg": 1.0, "seed": 0,
        "label_weight": None, "mirror": False, "fade_kimg": None,
    }  # fmt: skip
    found = choose(Request(32, "tiny", 100, 2, "data", 1, options))
    assert found.phase_nimg == pytest.approx(found.total_nimg / 8)
    with pytest.raises(UsageError, match=r"--fade-kimg 0\.2: 32 px are reached after 1\.2 kimg"):
        choose(Request(32, "tiny", 100, 2, "data", 1, {**options, "fade_kimg": 0.2}))
