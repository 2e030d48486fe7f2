"""Rectified flow against cases whose answer is known: normal data, constant fields, copies."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cxrtool.core.errors import InputError, UsageError
from cxrtool.core.runs import Run
from cxrtool.generators.augment import TOLD
from cxrtool.generators.choices import Request
from cxrtool.generators.execution import Execution
from cxrtool.generators.feed import Feed
from cxrtool.generators.flow import finished
from cxrtool.generators.flow import trainer as flow
from cxrtool.generators.flow.network import Network, Sizes, read_sizes
from cxrtool.generators.flow.sampling import Sampling, sample
from cxrtool.generators.saved import SavedGenerator
from cxrtool.training.models import save_model

MEAN, SPREAD = 0.5, 0.2


def of_normal_data(x: Tensor, t: Tensor, y: Tensor, mask: Tensor) -> Tensor:
    """The exact velocity where all pixels are independent and normal: E[e - x | x_t]."""
    t = t[:, None, None, None]
    variance = (1 - t) ** 2 * SPREAD**2 + t**2
    away = (x - (1 - t) * MEAN) / variance
    return t * away - (MEAN + (1 - t) * SPREAD**2 * away)


def of_labels(x: Tensor, t: Tensor, y: Tensor, mask: Tensor) -> Tensor:
    """Minus the sum of the known labels everywhere: the image is the noise plus that sum."""
    return -(y * mask).sum(dim=1)[:, None, None, None].expand_as(x)


def network(labels: int = 2, size: int = 16, **sizes: Any) -> Network:
    arch = Sizes(size, labels, z_dim=size**2, **{"widths": (8, 16), "embedding": 16, **sizes})
    return Network(arch, torch.Generator().manual_seed(0))


def lively(net: Network) -> Network:
    """With other weights than zero at the ends."""
    rng = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=rng))
    return net


def noise(n: int, size: int = 16) -> Tensor:
    return torch.randn(n, 1, size, size, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("steps", range(1, 9))
def test_steps_go_from_noise_to_image_and_several_make_up_one_of_fewer(steps: int) -> None:
    times = Sampling(steps=steps).times
    assert (times[0], times[-1]) == (1.0, 0.0)
    assert all(after < before for before, after in pairwise(times))
    assert times == pytest.approx([1 - t for t in reversed(times)])
    assert times == pytest.approx(Sampling(steps=3 * steps).times[::3])


def test_the_flow_of_normal_data_ends_in_that_data() -> None:
    z = noise(8)
    exact = MEAN + SPREAD * z  # the straight map of one normal distribution to the other
    errors = {}
    for steps in (8, 16, 32):
        images = sample(of_normal_data, z, torch.zeros(8, 0), Sampling(steps=steps))
        errors[steps] = float((images - exact).abs().mean())
    assert errors[32] < 0.002
    assert errors[8] / errors[16] > 2.5  # of second order, nearly: the last step is Euler's
    assert errors[16] / errors[32] > 2.5


@pytest.mark.parametrize(
    ("guidance", "interval", "shift"),
    [
        (1.0, (0.0, 1.0), 1.0),
        (2.0, (0.0, 1.0), 2.0),
        (0.0, (0.0, 1.0), 0.0),
        (3.0, (0.0, 0.5), 2.0),  # half of the way at 3, half at 1
    ],
)
def test_guidance_goes_on_past_the_labels(
    guidance: float, interval: tuple[float, float], shift: float
) -> None:
    z, y = noise(3), torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
    how = Sampling(steps=64, guidance=guidance, interval=interval)
    moved = (sample(of_labels, z, y, how) - z).mean(dim=(1, 2, 3))
    torch.testing.assert_close(moved, shift * y.sum(dim=1), rtol=0.03, atol=1e-5)


STRENGTHS = torch.tensor([1.0, 10.0, 100.0])


def of_three_labels(x: Tensor, t: Tensor, y: Tensor, mask: Tensor) -> Tensor:
    """A linear network: the image is the noise plus the strength of every known label."""
    return -((y * mask) @ STRENGTHS)[:, None, None, None].expand_as(x)


@pytest.mark.parametrize(
    ("guidance", "single", "weights"),
    [
        (1.0, {"B": 3.0}, (1, 3, 1)),
        (1.5, {"B": 3.0}, (1.5, 3, 1.5)),
        (1.0, {"A": 0.0, "C": 2.0}, (0, 1, 2)),
        (0.0, {"C": 1.0}, (0, 0, 1)),
        (2.0, {"A": 2.0}, (2, 2, 2)),
        (2.0, {}, (2, 2, 2)),
    ],
)
@pytest.mark.parametrize("interval", [(0.0, 1.0), (0.0, 0.5)])
def test_every_label_has_its_own_weight(
    guidance: float,
    single: dict[str, float],
    weights: tuple[float, ...],
    interval: tuple[float, float],
) -> None:
    y = torch.cat([torch.eye(3), torch.ones(1, 3), torch.zeros(1, 3)])
    how = Sampling(steps=64, guidance=guidance, interval=interval, labels=single)
    moved = (sample(of_three_labels, noise(5), y, how, "ABC") - noise(5)).mean(dim=(1, 2, 3))
    share = interval[1]  # of the way; on the rest all labels have the weight 1
    effect = STRENGTHS * (share * torch.tensor(weights) + 1 - share)
    torch.testing.assert_close(moved, y @ effect, rtol=0.03, atol=2e-4)
    assert Sampling.from_json(how.to_json()) == how
    assert ("labels" in how.to_json()) == bool(single)


def test_a_weight_of_a_label_costs_a_call_and_an_unknown_one_is_an_error() -> None:
    rows = []

    def counted(x: Tensor, *rest: Tensor) -> Tensor:
        rows.append(len(x))
        return torch.zeros_like(x)

    y = torch.ones(2, 3)
    for guidance, single, times in (
        (1.0, {"A": 2.0}, 2),
        (2.0, {"A": 3.0, "B": 0.5}, 4),
        (2.0, {"A": 2.0}, 2),
    ):
        rows.clear()
        how = Sampling(steps=2, guidance=guidance, labels=single)
        sample(counted, noise(2), y, how, "ABC")
        assert rows == [2 * times] * how.calls
    with pytest.raises(ValueError, match="not in"):
        sample(counted, noise(2), y, Sampling(labels={"D": 2.0}), ("A", "B", "C"))


def test_without_guidance_the_network_is_asked_once_a_slope() -> None:
    calls = []

    def counted(x: Tensor, *rest: Tensor) -> Tensor:
        calls.append(len(x))
        return torch.zeros_like(x)

    how = Sampling(steps=5)
    sample(counted, noise(2), torch.ones(2, 1), how)
    assert calls == [2] * how.calls


@pytest.mark.parametrize(
    ("size", "patch", "widths", "labels"),
    [(16, 2, (8, 16), 2), (32, 4, (8, 16, 24), 0), (16, 1, (8,), 3), (64, 4, (8, 8), 1)],
)
def test_the_network_begins_with_no_velocity_and_keeps_the_shape(
    size: int, patch: int, widths: tuple[int, ...], labels: int
) -> None:
    net = network(labels, size, patch=patch, widths=widths)
    y = torch.ones(2, labels)
    x = net(noise(2, size), torch.tensor([0.2, 0.9]), y, y)
    assert x.shape == (2, 1, size, size)
    assert not x.any()
    assert lively(net)(noise(2, size), torch.tensor([0.2, 0.9]), y, y).any()


def test_an_unknown_label_has_no_value() -> None:
    net = lively(network())
    t, mask = torch.tensor([0.5]), torch.tensor([[True, False]])
    of = {value: net(noise(1), t, torch.tensor([[1.0, value]]), mask) for value in (0.0, 1.0)}
    assert torch.equal(of[0.0], of[1.0])
    known = net(noise(1), t, torch.tensor([[1.0, 0.0]]), torch.ones(1, 2))
    assert not torch.allclose(known, of[0.0])  # a denial is not silence


def test_an_image_does_not_depend_on_its_batch() -> None:
    net, y = lively(network()).eval(), torch.eye(2)
    both = sample(net, noise(2), y, Sampling(steps=3))
    alone = sample(net, noise(2)[1:], y[1:], Sampling(steps=3))
    torch.testing.assert_close(both[1:], alone, rtol=1e-4, atol=1e-5)


def test_the_loss_of_the_true_velocity_is_zero() -> None:
    x, e = 0.3 * noise(4), noise(4).flip(0)
    y = torch.zeros(4, 0)

    class Exact(nn.Module):
        def forward(self, *_: Tensor) -> Tensor:
            return e - x

    assert not flow.flow_loss(Exact(), x, e, torch.rand(4), y, y).any()
    assert flow.flow_loss(network(0), x, e, torch.rand(4), y, y).min() > 0.8


def make_trainer(
    images: np.ndarray, values: np.ndarray, patch: int = 4, **options: Any
) -> flow.FlowTrainer:
    mask = np.ones(values.shape, bool)
    request = Request(16, "tiny", len(images), values.shape[1], "x", 1, {"seed": 0, **options})
    choices = flow.choose(request)
    small = replace(choices.arch, widths=(16, 32), embedding=32, patch=patch)
    return flow.FlowTrainer(replace(choices, arch=small), Feed(images, values, mask, seed=0))


@pytest.fixture(scope="module")
def halves() -> tuple[np.ndarray, np.ndarray]:
    """Images bright on the left or on the right, with one label that says which."""
    rng = np.random.default_rng(0)
    side = rng.integers(0, 2, 64)
    images = rng.integers(30, 70, (64, 16, 16))
    for image, right in zip(images, side):
        image[:, 8 * right : 8 * right + 8] += 130
    return images.astype(np.uint8), side[:, None].astype(np.float32)


def test_it_learns_what_a_label_shows(halves: tuple[np.ndarray, np.ndarray]) -> None:
    trainer = make_trainer(*halves, kimg=7.0, lr=4e-3)
    while trainer.nimg < trainer.choices.total_nimg:
        trainer.step()
    z = torch.randn(16, trainer.z_dim, generator=torch.Generator().manual_seed(0))
    y = (torch.arange(16) % 2)[:, None].float()
    images = trainer.sample(z, y)
    right = images[..., 8:].mean(dim=(1, 2, 3)) - images[..., :8].mean(dim=(1, 2, 3))
    assert torch.equal(right > 0, y[:, 0] > 0)
    assert float(right.abs().mean()) == pytest.approx(130 / 127.5, abs=0.25)


def test_a_network_that_is_told_of_augmentation_makes_images_without(
    halves: tuple[np.ndarray, np.ndarray],
) -> None:
    plain = make_trainer(*halves)
    assert plain.generator.told is None
    assert "told" not in plain.choices.arch.to_json()
    assert "augment" not in plain.choices.to_json()
    for mirror in (False, True):
        trainer = make_trainer(*halves, augment="geometry", mirror=mirror)
        # Flips are told too: else half of the images would lie on the other side.
        assert trainer.choices.mirror is False
        assert ("mirror" in trainer.choices.augment) == mirror
        assert trainer.choices.arch.to_json()["told"] == len(TOLD)
    net, y = lively(trainer.average), torch.ones(1, 1)
    t, nothing = torch.tensor([0.4]), torch.zeros(1, len(TOLD))
    silent = net(noise(1), t, y, y)
    assert torch.equal(net(noise(1), t, y, y, None, nothing), silent)
    assert not torch.allclose(net(noise(1), t, y, y, None, nothing + 1), silent)
    assert saved_sizes(trainer) == trainer.choices.arch
    with pytest.raises(UsageError, match="knows geometry alone"):
        make_trainer(*halves, augment="ada")


def saved_sizes(trainer: flow.FlowTrainer) -> Sizes:
    return read_sizes(**trainer.choices.arch.to_json())


@pytest.mark.parametrize("augment", ["none", "geometry"])
@pytest.mark.parametrize("mirror", [False, True])
def test_the_network_is_told_what_was_done_to_its_images(
    halves: tuple[np.ndarray, np.ndarray], augment: str, mirror: bool
) -> None:
    images, sides = halves
    left = images[sides[:, 0] == 0][:16]  # bright on the left, all of them
    trainer = make_trainer(
        left, np.zeros((16, 0), np.float32), batch=16, augment=augment, mirror=mirror
    )
    asked: list[tuple[Tensor, Tensor | None]] = []

    def run(net: nn.Module, x: Tensor, *rest: Tensor, told: Tensor | None = None) -> Tensor:
        asked.append((x, told))
        return torch.zeros_like(x)

    trainer.execution.run = run  # type: ignore[assignment, method-assign]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "lerp", lambda x, noise, way: x)  # no noise on the way
        trainer._loss(trainer.reals())
    ((x, told),) = asked
    right = x[..., 8:].mean(dim=(1, 2, 3)) > x[..., :8].mean(dim=(1, 2, 3))
    if augment == "none":
        assert told is None
        assert bool(right.any()) == mirror
        return
    assert told is not None
    assert told.shape == (16, len(TOLD))
    assert torch.equal(told[:, -1].bool(), right)
    assert bool(right.any()) == mirror
    assert told[:, :-1].any()


def test_the_rate_rises_stays_and_falls(halves: tuple[np.ndarray, np.ndarray]) -> None:
    trainer = make_trainer(*halves, kimg=12.8, batch=32)
    rates = []
    for nimg in range(0, trainer.choices.total_nimg, 32):
        trainer.nimg = nimg
        rates.append(trainer.rate)
    assert rates[:3] == pytest.approx([0.01, 0.02, 0.03])
    assert set(rates[100:240]) == {1.0}
    assert rates[-1] == pytest.approx(1 / 160)
    assert rates == sorted(rates[:101]) + sorted(rates[101:], reverse=True)


def test_the_held_out_loss_is_the_same_every_time_and_falls(
    halves: tuple[np.ndarray, np.ndarray],
) -> None:
    trainer = make_trainer(*halves, kimg=1.0)
    loss = flow.HeldOutLoss(trainer.feed, seed=0)
    before = loss.measure(trainer)
    assert before == loss.measure(trainer)
    for _ in range(8):
        trainer.step()
    assert loss.measure(trainer)["held_out_loss"] < before["held_out_loss"]


def test_bfloat16_is_nearly_float32(halves: tuple[np.ndarray, np.ndarray]) -> None:
    losses = []
    for precision in ("float32", "bfloat16"):
        trainer = make_trainer(*halves, kimg=1.0)
        trainer.execution = Execution(trainer.device, 32, precision, "off")
        for _ in range(10):
            trainer.step()
        losses.append(trainer.means.read()["g_loss"])
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.01)


def saved_flow(trainer: flow.FlowTrainer, labels: tuple[str, ...], folder: Path) -> Path:
    """The trainer's network as a finished run of these labels."""
    meta = {
        "kind": "generator",
        "arch": "flow",
        "architecture": trainer.choices.arch.to_json(),
        "labels": list(labels),
        "preprocessing": {"size": 16},
    }
    save_model(Run.for_test(folder), trainer.export(np.zeros(0), np.zeros(0)), meta)
    return folder


def test_labels_of_equal_names_keep_their_meaning(tmp_path: Path) -> None:
    images = np.zeros((8, 16, 16), np.uint8)
    old = make_trainer(images, np.zeros((8, 2), np.float32))
    lively(old.average)
    source = saved_flow(old, ("A", "B"), tmp_path)
    new = make_trainer(images, np.zeros((8, 3), np.float32), init_from=tmp_path)
    assert new.choices.ema_ramp is None
    became = flow.init_from(new, source, ("C", "B", "D"))
    assert became == {"kept": ["B"], "new": ["C", "D"], "gone": ["A"]}
    x, t = noise(2), torch.tensor([0.3, 0.8])
    for b in (0.0, 1.0):
        for known in (0.0, 1.0):
            before = old.average(
                x, t, torch.tensor([[1.0, b]] * 2), torch.tensor([[0.0, known]] * 2)
            )
            y = torch.tensor([[0.0, b, 1.0], [1.0, b, 0.0]])  # whatever the new ones say
            mask = torch.tensor([[1.0, known, 0.0], [1.0, known, 1.0]])
            for network in (new.generator, new.average):
                torch.testing.assert_close(network(x, t, y, mask), before)
    unconditional = make_trainer(images, np.zeros((8, 0), np.float32))
    flow.init_from(unconditional, source, ())
    nothing = torch.zeros(2, 2)
    torch.testing.assert_close(
        unconditional.average(x, t, x.new_zeros(2, 0), x.new_zeros(2, 0)),
        old.average(x, t, nothing, nothing),
    )
    for options, reason in (
        ({"patch": 2}, "patch 4 not 2"),
        ({"augment": "geometry"}, "told 0 not 6"),
    ):
        other = make_trainer(images, np.zeros((8, 2), np.float32), **options)
        with pytest.raises(InputError, match=reason):
            flow.init_from(other, source, ("A", "B"))


def test_members_are_told_by_their_loss() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (16, 16, 16)).astype(np.uint8)
    trainer = make_trainer(images[:8], np.zeros((8, 0), np.float32), kimg=2.0, batch=8, lr=4e-3)
    while trainer.nimg < trainer.choices.total_nimg:
        trainer.step()
    judge = finished.FlowJudge(trainer.average, SAVED)
    feed = Feed(images, np.zeros((16, 0), np.float32), np.zeros((16, 0), bool), 0)
    batch = feed.batch(torch.arange(16))
    score, labels = judge.judge(batch.x, batch.y)
    assert labels.shape == (16, 0)
    assert float(score[:8].min()) > float(score[8:].max())


SAVED = SavedGenerator({"labels": []}, {}, Path("gan"))
