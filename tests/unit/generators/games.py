"""What the tests of the older architectures share: single-label ellipses, quick choices, kills."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cxrtool.core.errors import InterruptedRunError
from cxrtool.core.runs import Run
from cxrtool.generators.feed import Feed
from cxrtool.generators.task import COSTS, Views
from tests.unit.generators.conftest import ellipses, train
from tests.unit.generators.test_trainer import assert_same, pictures

COMMON: dict[str, Any] = {
    "preset": "tiny",
    "batch": 8,
    "total_nimg": 96,
    "lr": 0.0002,
    "snapshot_nimg": 24.0,
    "tick_nimg": 16.0,
}


def single_feed(n: int = 48, size: int = 16) -> Feed:
    """Ellipses of three classes: small right, small left, large."""
    images, labels = ellipses(n, size)
    classes = np.where(labels[:, 0] > 0, 2, labels[:, 1]).astype(int)
    classes[:3] = (0, 1, 2)
    values = np.eye(3, dtype=np.float32)[classes]
    return Feed(images, values, values >= 0, seed=0)


def assert_resumes(new: Callable[[], Any], tmp_path: Path) -> None:
    """Stopped once and killed once, a training ends with the bits of the straight one."""
    straight = new()
    train(straight, Run.for_test(tmp_path / "straight"), Views(pictures))

    broken = Run.for_test(tmp_path / "broken")

    def stop() -> bytes:
        broken._signal = signal.SIGTERM
        return b"a picture"

    with pytest.raises(InterruptedRunError):
        train(new(), broken, Views(stop))  # at the first snapshot
    killed, count = new(), 0

    def kill() -> bytes:
        nonlocal count
        count += 1
        if count == 2:  # the snapshot is written, the next steps are lost
            killed.step = fail
        return b"a picture"

    def fail() -> None:
        raise KeyboardInterrupt

    torch.manual_seed(99)  # global randomness must not matter
    with pytest.raises(KeyboardInterrupt):
        train(killed, Run.for_test(tmp_path / "broken"), Views(kill))
    last = new()
    train(last, Run.for_test(tmp_path / "broken"), Views(pictures))
    assert_same(straight.state_dict(), last.state_dict())
    rows = [Run.for_test(tmp_path / name).read_metrics() for name in ("straight", "broken")]
    clean = [[{k: v for k, v in row.items() if k not in COSTS} for row in part] for part in rows]
    assert clean[0] == clean[1]


def assert_all_move(trainer: Any, names: tuple[str, ...], steps: int = 2, but: str = "") -> None:
    """Every weight of these networks changes, but for one without a gradient."""
    before = {
        name: {k: v.clone() for k, v in trainer.members[name].named_parameters()} for name in names
    }
    for _ in range(steps):
        trainer.step()
    for name in names:
        for key, parameter in trainer.members[name].named_parameters():
            moved = not torch.equal(parameter, before[name][key])
            assert moved or f"{name}.{key}" == but, f"{name}.{key} did not move"


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's, over all values."""
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])
