"""Training on a CUDA device: no waiting in a step, resume to float order, precision, memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cxrtool.core.errors import UsageError
from cxrtool.core.runs import Run
from cxrtool.generators.augment import POLICIES
from cxrtool.generators.execution import Execution
from cxrtool.generators.feed import Feed
from cxrtool.generators.stylegan2.trainer import StyleGan2Trainer
from cxrtool.generators.task import GeneratorTask, Views
from cxrtool.training import device as devices
from tests.unit.generators.conftest import ellipses, micro, micro_choices

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here"),
]
N = 48


@pytest.fixture(scope="module")
def cuda() -> torch.device:
    """The device, prepared as the command prepares it."""
    return devices.setup("cuda")


def new(
    cuda: torch.device, precision: str = "float32", compile: str = "off", **changes: Any
) -> StyleGan2Trainer:
    torch.compiler.reset()  # what earlier tests compiled counts against a limit
    images, labels = ellipses(N, 16)
    mask = np.random.default_rng(1).random(labels.shape) < 0.9
    choices = micro_choices(**{"arch": micro(noise=True), **changes})
    feed = Feed(images, labels, mask, 0, cuda)
    return StyleGan2Trainer(choices, feed, None, Execution(cuda, 16, precision, compile))


def picture(trainer: StyleGan2Trainer) -> torch.Tensor:
    """What the averaged generator makes of fixed latents.

    (Weights are no measure: where a gradient is rounding alone, Adam makes whole steps of it.)
    """
    rng = torch.Generator().manual_seed(0)
    z = torch.randn(8, trainer.choices.arch.z_dim, generator=rng).to(trainer.device)
    with torch.no_grad():
        image: torch.Tensor = trainer.average(z, torch.zeros(8, 2, device=trainer.device))[0]
    return image


def apart(one: StyleGan2Trainer, other: StyleGan2Trainer) -> float:
    """The largest difference of their pictures, as a share of the largest value."""
    a, b = picture(one), picture(other)
    return float((a - b).abs().max() / a.abs().max())


@pytest.mark.parametrize(
    ("loss", "precision", "compile"),
    [
        ("ns-r1", "float32", "off"),
        ("ns-r1", "bfloat16", "on"),
        ("rp-r1r2", "float32", "off"),
        ("rp-r1r2", "bfloat16", "off"),
    ],
)
def test_no_step_waits_for_the_device(
    cuda: torch.device, loss: str, precision: str, compile: str
) -> None:
    changes = {"loss": loss, "augment": POLICIES, "augment_p": None, "mirror": True}
    trainer = new(cuda, precision, compile, **changes)
    for _ in range(4):  # plans of cuDNN, compiled kernels, counters of Adam
        trainer.step()
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(8):  # both regularizers, ADA's p, the weight average, the next epoch
            trainer.step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert trainer.nimg > N
    assert trainer.execution.compiles == (compile == "on")
    assert all(np.isfinite(value) for value in trainer.means.read().values())


def test_the_check_would_see_a_waiting_step(
    cuda: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = new(cuda)
    trainer.step()
    add = trainer.means.add

    def reading(**values: torch.Tensor) -> None:
        add(**values)
        for value in values.values():
            float(value.detach().mean())

    monkeypatch.setattr(trainer.means, "add", reading)
    torch.cuda.set_sync_debug_mode("error")
    try:
        with pytest.raises(RuntimeError, match="synchroniz"):
            trainer.step()
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_resume_to_float_order(cuda: torch.device) -> None:
    straight, rerun, half, again = (new(cuda, augment=()) for _ in range(4))
    for trainer, steps in ((straight, 6), (rerun, 6), (half, 3)):
        for _ in range(steps):
            trainer.step()
    again.load_state_dict(half.state_dict())
    for _ in range(3):
        again.step()
    assert again.nimg == straight.nimg
    # No further from the straight run than the same run a second time, but for rounding.
    assert apart(straight, again) < 10 * apart(straight, rerun) + 2e-3
    assert apart(straight, half) > 0.01


def test_compiled_steps_are_those_as_written(cuda: torch.device) -> None:
    plain, compiled = new(cuda, augment=()), new(cuda, compile="on", augment=())
    for trainer in (plain, compiled):
        for _ in range(3):
            trainer.step()
    assert compiled.execution.compiles
    assert apart(plain, compiled) < 0.02


def test_defaults_of_the_device_train(cuda: torch.device) -> None:
    defaults = Execution(cuda, 16)
    assert defaults.compiles
    assert defaults.low is None  # below 32 px bfloat16 wins nothing
    fast = torch.cuda.get_device_capability()[0] >= 8
    assert Execution(cuda, 64).low == (8 if fast else None)
    low, high = new(cuda, "bfloat16"), new(cuda)
    for trainer in (low, high):
        for _ in range(6):
            trainer.step()
    near, far = low.means.read(), high.means.read()
    for name in ("g_loss", "d_loss", "r1_penalty"):
        assert near[name] == pytest.approx(far[name], rel=0.15, abs=0.03), name


def test_too_little_memory_names_what_to_try(cuda: torch.device, tmp_path: Path) -> None:
    total = torch.cuda.get_device_properties(cuda).total_memory
    arch = micro(size=16, channel_base=16384, channel_max=256)
    trainer = new(cuda, arch=arch, batch=32)
    torch.cuda.empty_cache()
    held = torch.cuda.memory_reserved(cuda)
    torch.cuda.set_per_process_memory_fraction(min(1.0, (held + 8e6) / total), cuda)
    try:
        with pytest.raises(UsageError, match="not enough memory on cuda") as caught:
            run = Run.for_test(tmp_path / "run")
            GeneratorTask(trainer, run, Views(lambda: b"a picture")).train()
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, cuda)
    assert "--accumulate 2" in str(caught.value.hint)
