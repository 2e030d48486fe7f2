"""Schedules, moving averages and running means."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cxrtool.generators.base import Means
from cxrtool.training.ema import ema_decay, update_ema
from cxrtool.training.schedules import due, lazy_correction, total_nimg


def test_total_is_whole_batches() -> None:
    assert total_nimg(1, 32) == 1024
    assert total_nimg(0.064, 32) == 64
    assert total_nimg(0.0001, 32) == 32
    assert total_nimg(0.3, 4) == 300  # 0.3 * 1000 is 300 exactly, not 300.00000000000006


def test_due_once_for_every_multiple() -> None:
    ends = range(32, 4000, 32)
    passed = [nimg for nimg in ends if due(nimg, 32, 1000)]
    assert passed == [1024, 2016, 3008]
    assert [nimg for nimg in range(8, 40, 8) if due(nimg, 8, 2.5)] == [8, 16, 24, 32]


def test_lazy_correction() -> None:
    assert lazy_correction(16) == 16 / 17
    assert 0.99 ** lazy_correction(16) == pytest.approx(0.9906, abs=5e-5)


def test_ema_has_its_half_life_after_the_ramp() -> None:
    decay = ema_decay(1_000_000, 32, 10_000)
    assert decay == 0.5 ** (32 / 10_000)
    assert decay ** (10_000 / 32) == pytest.approx(0.5)


def test_ema_ramps_up() -> None:
    assert ema_decay(0, 32, 10_000) == 0.0
    assert ema_decay(6400, 32, 10_000) == 0.5 ** (32 / 320)  # 5 % of the images seen
    assert ema_decay(200_000, 32, 10_000) == ema_decay(300_000, 32, 10_000)
    decays = [ema_decay(nimg, 32, 10_000) for nimg in range(0, 300_000, 32)]
    assert decays == sorted(decays)


def test_ema_of_a_network() -> None:
    average, network = nn.BatchNorm1d(2), nn.BatchNorm1d(2)
    with torch.no_grad():
        average.weight.fill_(1.0)
        network.weight.fill_(3.0)
        network.running_mean.fill_(7.0)  # type: ignore[union-attr]
    update_ema(average, network, 0.75)
    assert average.weight.tolist() == [1.5, 1.5]
    assert average.running_mean.tolist() == [7, 7]  # type: ignore[union-attr]
    assert network.weight.tolist() == [3, 3]
    with torch.no_grad():
        average.weight.fill_(float("nan"))
    update_ema(average, network, 0.0)
    assert average.weight.tolist() == [3, 3]


def test_means_since_the_last_reading() -> None:
    means = Means()
    assert means.read() == {}
    means.add(loss=torch.tensor([1.0, 3.0], requires_grad=True))
    means.add(loss=torch.tensor(5.0))
    means.add(rare=torch.tensor(1.0))
    assert means.read() == {"loss": 3.5, "rare": 1.0}
    assert means.read() == {}


def test_means_survive_a_checkpoint() -> None:
    means, other = Means(), Means()
    means.add(loss=torch.tensor(1.0))
    other.load_state_dict(means.state_dict())
    for part in (means, other):
        part.add(loss=torch.tensor(2.0))
    assert other.read() == means.read() == {"loss": 1.5}
