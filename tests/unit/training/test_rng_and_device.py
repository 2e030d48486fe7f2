"""Seeds from names, generator states, and the choice of device."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from cxrtool.core.cores import available_cores
from cxrtool.core.errors import UsageError
from cxrtool.training import device
from cxrtool.training.rng import (
    Part,
    numpy_rng,
    plan_seed,
    restore_rng,
    rng_state,
    seed_for,
    torch_generator,
)


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    threads = torch.get_num_threads()
    deterministic = torch.are_deterministic_algorithms_enabled()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)


def test_seeds_are_fixed_for_ever() -> None:
    # Other values here would change every trained network.
    assert seed_for("fakes", 0, 320) == 4539785584226239897
    assert seed_for() == 724655455495936113
    # And these, every plan and synthetic image.
    assert plan_seed("slot", 0, 0, 0) == 2933415243424122387
    assert plan_seed("rows", 7, "Pleural \u00d6dema") == 7441902468676473702


def test_parts_of_other_types_or_cuts_give_other_seeds() -> None:
    parts: list[tuple[Part, ...]] = [
        (1,),
        (1.0,),
        (True,),
        ("1",),
        (None,),
        ("ab", "c"),
        ("a", "bc"),
        ("abc",),
        (1, 1),
    ]
    assert len({seed_for(*part) for part in parts}) == len(parts)
    assert seed_for(np.int64(3)) == seed_for(3)
    plans: list[tuple[int | str, ...]] = [("a", "bc"), ("ab", "c"), (1,), ("1",), (1, 1), (11,)]
    assert len({plan_seed(*part) for part in plans}) == len(plans)
    assert all(0 <= seed_for("x", i) < 2**63 for i in range(200))


def test_generators_are_independent_of_global_state() -> None:
    draws = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        generator = torch_generator("a", 5)
        draws.append((torch.rand(3, generator=generator).tolist(), numpy_rng("a", 5).random()))
    assert draws[0] == draws[1]


def test_state_comes_back() -> None:
    torch.manual_seed(3)
    state = rng_state()
    first = torch.rand(4)
    restore_rng(state)
    assert torch.equal(torch.rand(4), first)


def test_cpu_is_deterministic_with_the_threads_asked_for() -> None:
    assert device.setup("cpu", 1) == torch.device("cpu")
    assert torch.get_num_threads() == 1
    assert torch.are_deterministic_algorithms_enabled()
    device.setup("cpu")
    assert 1 <= torch.get_num_threads() <= available_cores()


def test_auto_takes_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device.setup("auto", 1).type == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", lambda _: None)
    assert device.setup("auto", 1) == torch.device("cuda", 0)
    assert device.setup("cuda:1", 1) == torch.device("cuda", 1)
    with pytest.raises(UsageError, match="there are 2 CUDA devices"):
        device.setup("cuda:2", 1)


@pytest.mark.parametrize("name", ["gpu", "cpu:1", "cuda:", "cuda:x", "", "mps"])
def test_unknown_devices(name: str) -> None:
    with pytest.raises(UsageError, match="must be auto, cpu, cuda or cuda:i"):
        device.setup(name, 1)


def test_missing_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match="no CUDA device") as caught:
        device.setup("cuda", 1)
    assert caught.value.hint == "use --device cpu"


def test_no_threads() -> None:
    with pytest.raises(UsageError, match="--threads 0"):
        device.setup("cpu", 0)
