"""train-cls on a CUDA device: recorded steps are those as written, and none waits."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cxrtool.classifiers import training
from cxrtool.classifiers.architectures import build
from cxrtool.classifiers.batches import Part, Pool
from cxrtool.classifiers.losses import Phase
from cxrtool.classifiers.training import ClassifierTrainer, Settings
from cxrtool.training import device as devices

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here"),
]
LABELS = ("A", "B", "C")


def new(arch: str, precision: str = "float32", augmentation: str = "safe") -> ClassifierTrainer:
    cuda = devices.setup("cuda")
    rng = np.random.default_rng(0)
    values = (rng.random((64, 3)) < 0.5).astype(np.float32)
    pixels = rng.integers(0, 200, (64, 32, 32), dtype=np.uint8)
    pixels[:, :16] += (50 * values[:, :1, None]).astype(np.uint8)
    part = Part(pixels, np.arange(64), values, np.ones_like(values, bool))
    phases = [
        Phase(name="one", pool="train", steps=6, loss="bce", lr=1e-3, schedule="cosine"),
        Phase(name="two", pool="train", steps=6, loss="bce", lr=1e-4, schedule="cosine"),
    ]
    settings = Settings(
        batch=16, optimizer="adam", weight_decay=1e-5, augmentation=augmentation, seed=1,
        precision=precision,
    )  # fmt: skip
    torch.manual_seed(0)
    network = build(arch, LABELS, 32).to(cuda)
    return ClassifierTrainer(network, {"train": Pool([part], cuda)}, phases, settings)


def fitted(trainer: ClassifierTrainer) -> tuple[float, dict[str, torch.Tensor]]:
    """Both phases; the mean loss and the state at the end."""
    for _ in range(6):
        trainer.step()
    trainer.record(1.0, {})
    trainer.predict(trainer.pools["train"]._parts[0])  # a pass in evaluation between the steps
    trainer.next_phase()
    for _ in range(6):
        trainer.step()
    return trainer.mean_loss(), {k: v.float() for k, v in trainer.network.state_dict().items()}


@pytest.mark.parametrize(
    ("arch", "precision"),
    [
        ("small_cnn", "float32"),
        ("small_cnn", "bfloat16"),
        ("densenet121", "float32"),
        ("vgg16_bn", "float32"),
        ("efficientnet_v2_s", "float32"),
    ],
)
def test_recorded_steps_are_those_as_written(
    arch: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = new(arch, precision)
    loss, state = fitted(recorded)
    assert recorded._replay is not None
    assert recorded._replay[1] is not None
    monkeypatch.setattr(training, "recorded", lambda *_, **__: None)
    (plain, written), (again, rerun) = fitted(new(arch, precision)), fitted(new(arch, precision))
    # No further apart than the same fit a second time, but for rounding.
    assert loss == pytest.approx(plain, abs=10 * abs(plain - again) + 2e-2)
    for name, value in written.items():
        own = (value - rerun[name]).abs().max()
        assert (state[name] - value).abs().max() <= 10 * own + 2e-2 * value.abs().max() + 2e-2, name
    counts = [v for k, v in state.items() if k.endswith("num_batches_tracked")]
    assert all(int(v) == 12 for v in counts), "recording must not move the running statistics"


def test_recorded_steps_learn() -> None:
    trainer = new("small_cnn", augmentation="none")
    trainer.phases[0] = Phase(
        name="one", pool="train", steps=120, loss="bce", lr=3e-3, schedule="cosine"
    )
    trainer._enter(0)
    for _ in range(20):
        trainer.step()
    first = trainer.mean_loss()
    for _ in range(100):
        trainer.step()
    assert trainer.mean_loss() < 0.7 * first


def test_no_step_waits_for_the_device() -> None:
    trainer = new("small_cnn")
    for _ in range(2):
        trainer.step()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(3):
            trainer.step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
