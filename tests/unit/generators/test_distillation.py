"""Students of few calls against teachers whose ways are known: normal data, straight lines."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cxrtool.core.errors import InputError, UsageError
from cxrtool.generators.choices import Request
from cxrtool.generators.feed import Feed
from cxrtool.generators.flow import trainer as flow
from cxrtool.generators.flow.architecture import build
from cxrtool.generators.flow.distillation import StudentTrainer, TeacherDistance
from cxrtool.generators.flow.finished import FlowGenerator, FlowJudge
from cxrtool.generators.flow.network import Network, Sizes
from cxrtool.generators.flow.sampling import Distillation, Sampling, sample, way
from cxrtool.generators.saved import SavedGenerator

ARCH = Sizes(16, 1, z_dim=256, patch=4, widths=(16, 32), embedding=32)
EULER = Sampling(steps=4, solver="euler")


def noise(n: int) -> Tensor:
    return torch.randn(n, 1, 16, 16, generator=torch.Generator().manual_seed(2))


def bent(x: Tensor, t: Tensor, y: Tensor, mask: Tensor) -> Tensor:
    """A field whose ways are curves: x' = x, and 2 y t for each label that is known."""
    drift = (2 * t[:, None] * y * mask).sum(dim=1)
    return x + drift[:, None, None, None]


def teacher(net: nn.Module | None = None) -> FlowGenerator:
    """A finished flow of some network."""
    if net is None:
        net = Network(ARCH, torch.Generator().manual_seed(0))
        with torch.no_grad():
            for parameter in net.parameters():
                rng = torch.Generator().manual_seed(parameter.numel())
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=rng))
    return FlowGenerator(net, SavedGenerator({"labels": ["A"]}, {}, Path("gan")))  # type: ignore[arg-type]


def student(
    of: FlowGenerator, calls: int = 4, how: Sampling | None = None, **options: Any
) -> StudentTrainer:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (32, 16, 16)).astype(np.uint8)
    values = (np.arange(32) % 2)[:, None].astype(np.float32)
    feed = Feed(images, values, np.ones((32, 1), bool), seed=0)
    distillation = Distillation("abc", calls, how or Sampling())
    table = {"seed": 0, "kimg": 1.0, "distillation": distillation, "architecture": ARCH.to_json()}
    choices = flow.choose(Request(16, "tiny", 32, 1, "x", 1, {**table, **options}))
    assert choices.arch == ARCH
    trainer = build(choices, feed, teacher=of)
    assert isinstance(trainer, StudentTrainer)
    return trainer


@pytest.mark.parametrize("calls", [1, 2, 4])
@pytest.mark.parametrize("guidance", [0.0, 1.0, 2.0])
def test_steps_of_the_mean_velocities_are_the_teachers_way(calls: int, guidance: float) -> None:
    how = Sampling(guidance=guidance, interval=(0.0, 0.6))
    trainer = student(teacher(), calls, how)
    trainer.teacher = bent  # type: ignore[assignment]
    trainer.execution.run = lambda net, *inputs: net(*inputs)  # type: ignore[method-assign]
    z, y = noise(6), torch.tensor([[0.0], [1.0]]).repeat(3, 1)
    x, t, labels, velocity = trainer.stretches(z, y)
    times = trainer.distillation.own.times
    assert t.tolist() == pytest.approx([time for time in times[:-1] for _ in range(6)])
    assert torch.equal(labels, y.repeat(calls, 1))
    table = {float(time): velocity[t == time] for time in t.unique()}
    told = sample(lambda x, t, y, mask: table[float(t[0])], z, y, trainer.distillation.own)
    wanted = sample(bent, z, y, how)
    torch.testing.assert_close(told, wanted, rtol=1e-4, atol=1e-5)
    assert torch.equal(x[:6], z)


def test_a_student_begins_as_its_teacher_and_comes_nearer() -> None:
    of = teacher()
    how = Sampling(steps=4)
    trainer = student(of, 2, how, batch=16, lr=1e-3, kimg=0.32)
    z, y = torch.randn(2, 256, generator=torch.Generator().manual_seed(1)), torch.ones(2, 1)
    distance = TeacherDistance(trainer.feed, of, how, 0, "some rows", n=16)
    for name, value in of.network.state_dict().items():
        assert torch.equal(trainer.generator.state_dict()[name], value)
    straight = sample(of.network, z.view(2, 1, 16, 16), y, replace(EULER, steps=2))
    torch.testing.assert_close(trainer.sample(z, y), straight)
    before = distance.measure(trainer)
    assert before == distance.measure(trainer)
    while trainer.nimg < trainer.choices.total_nimg:
        trainer.step()
    after = distance.measure(trainer)["teacher_distance"]
    assert after < 0.85 * before["teacher_distance"]


def test_the_distance_is_in_gray_levels() -> None:
    of = teacher()
    trainer = student(of, 4)
    trainer.sample = lambda z, y, how=None: of.generate(z, y) + 2 / 127.5  # type: ignore[method-assign]
    of_clamped = TeacherDistance(trainer.feed, of, Sampling(), 0, "some rows", n=8)
    assert 0 < of_clamped.measure(trainer)["teacher_distance"] <= 2.0001


def test_the_real_images_of_a_step_change_nothing() -> None:
    losses = []
    for pixels in (0, 255):
        trainer = student(teacher())
        trainer.feed.pixels.fill_(pixels)
        trainer.step()
        losses.append(trainer.means.read()["g_loss"])
    assert losses[0] == losses[1]


def test_calls_are_counted_and_recorded() -> None:
    assert (Sampling().calls, EULER.calls) == (15, 4)
    assert len(list(way(bent, noise(1), torch.ones(1, 1), EULER))) == 5
    for how in (Sampling(), EULER, Sampling(steps=3, guidance=2.0, interval=(0.1, 0.7))):
        assert Sampling.from_json(how.to_json()) == how
        one = Distillation("abc", 2, how)
        for distillation in (one, Distillation("def", 1, EULER, one.to_json())):
            assert Distillation.from_json(distillation.to_json()) == distillation
    assert "solver" not in Sampling().to_json()  # records of earlier versions have none


def test_a_batch_is_shared_by_whole_ways() -> None:
    options = {
        "distillation": Distillation("abc", 4, Sampling()),
        "architecture": ARCH.to_json(),
        "batch": 12,
    }
    flow.choose(Request(16, "tiny", 32, 1, "x", 3, options))
    with pytest.raises(UsageError, match="batch of 12 cannot be shared by 2 processes") as caught:
        flow.choose(Request(16, "tiny", 32, 1, "x", 2, options))
    assert "multiple of 8" in str(caught.value.hint)


@pytest.mark.parametrize(("calls", "times"), [(2, (0.5,)), (4, (0.8536, 0.5, 0.1464))])
def test_a_student_is_asked_about_members_at_its_own_times(
    calls: int, times: tuple[float, ...]
) -> None:
    record = Distillation("abc", calls, Sampling()).to_json()
    saved = SavedGenerator({"labels": [], "distillation": record}, {}, Path("gan"))
    judge = FlowJudge(Network(replace(ARCH, labels=0), torch.Generator()), saved)
    assert judge.times == pytest.approx(times, abs=1e-4)
    # A network that says nothing errs by as much as noise and image lie apart.
    x, y = noise(5), torch.zeros(5, 0)
    wanted = torch.stack([(e - x).square().mean(dim=(1, 2, 3)) for e in judge.noise]).mean(dim=0)
    torch.testing.assert_close(judge.judge(x, y)[0], -wanted)


def test_one_call_tells_nothing_of_members() -> None:
    record = Distillation("abc", 1, Sampling()).to_json()
    saved = SavedGenerator({"labels": [], "distillation": record}, {}, Path("gan"))
    with pytest.raises(InputError, match="distilled to one call") as caught:
        FlowJudge(Network(replace(ARCH, labels=0), torch.Generator()), saved)
    assert "teacher" in str(caught.value.hint)
