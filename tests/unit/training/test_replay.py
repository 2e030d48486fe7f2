"""Recording leaves a network as it was, and a failure is said and survived."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cxrtool.training.replay import recorded


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 2))


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """Puts a function in the place of CUDA's recording; the rest runs on the CPU."""

    def put(record: Any) -> None:
        monkeypatch.setattr(torch.cuda, "make_graphed_callables", record)
        monkeypatch.setattr(torch.cuda, "get_rng_state", lambda _: torch.random.get_rng_state())
        monkeypatch.setattr(torch.cuda, "set_rng_state", lambda *_: None)

    return put


def warming_up(whole: nn.Module, example: tuple[Tensor]) -> nn.Module:
    """What CUDA's does before it records: passes that move statistics and leave gradients."""
    for _ in range(3):
        whole(*example).sum().backward()
    torch.rand(5)
    return whole


@pytest.mark.parametrize("low", [False, True])
def test_the_network_is_left_as_it_was(
    network: nn.Module, driver: Callable[[Any], None], low: bool
) -> None:
    driver(warming_up)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    rng = torch.random.get_rng_state()
    x = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    run = recorded(network, x, low=low)
    assert run is not None
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert all(parameter.grad is None for parameter in network.parameters())
    assert torch.equal(torch.random.get_rng_state(), rng)
    found, wanted = run(x), network(x)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, wanted, rtol=2e-2 if low else 1e-6, atol=2e-2 if low else 0)


def test_a_failure_is_said_and_nothing_is_recorded(
    network: nn.Module, driver: Callable[[Any], None], capsys: pytest.CaptureFixture[str]
) -> None:
    def failing(whole: nn.Module, example: tuple[Tensor]) -> nn.Module:
        warming_up(whole, example)
        raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nmore")

    driver(failing)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert recorded(network, torch.randn(3, 1, 8, 8), low=False) is None
    assert "without recorded steps: RuntimeError CUDA error" in capsys.readouterr().err
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name
