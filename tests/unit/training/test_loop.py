"""The training loop, with a task that counts: going on, stopping, diverging, refusing."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch

from cxrtool.core import console
from cxrtool.core.errors import GateError, InputError, InterruptedRunError
from cxrtool.core.runs import EVENTS, Run
from cxrtool.training.events import scalars
from cxrtool.training.loop import DivergedError, Row, Task, train


class Counter:
    """A trainer of one number, which a step doubles and adds to."""

    def __init__(self) -> None:
        self.value, self.nimg, self.reloads = torch.ones(()), 0, 0

    def step(self) -> None:
        self.value = self.value * 2 + 1
        self.nimg += 4

    def state_dict(self) -> dict[str, Any]:
        return {"value": self.value, "images": self.nimg, "reloads": self.reloads}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.value, self.nimg, self.reloads = state["value"], state["images"], state["reloads"]


class Counting(Task):
    """Eight steps of four images; a line and a checkpoint after every third step and the last."""

    def __init__(self, stop_at: int = -1, diverge_at: int = -1, run: Run | None = None) -> None:
        self.counter = Counter()
        super().__init__(self.counter, 8, 4)
        self.stop_at, self.diverge_at, self.run = stop_at, diverge_at, run
        self.shown: list[int] = []

    @property
    def saves(self) -> bool:
        return self.done % 3 == 0 or self.ended

    @property
    def retries(self) -> bool:
        return self.counter.reloads == 0

    def reload(self) -> None:
        self.counter.reloads += 1

    def begin(self, resumed: bool) -> Iterable[Row]:
        return () if resumed else [{"nimg": 0, "value": 1.0}]

    def step(self) -> None:
        super().step()
        if self.done == self.stop_at and self.run is not None:
            self.run._signal = signal.SIGTERM

    def evaluate(self) -> Iterable[Row]:
        if self.done == self.diverge_at:
            raise DivergedError("it diverged", hint="less")
        if self.saves:
            yield {"nimg": self.nimg, "value": float(self.counter.value)}

    def show(self) -> None:
        self.shown.append(self.nimg)


def rows(folder: Path) -> list[tuple[int, float]]:
    return [(row["nimg"], row["value"]) for row in Run.for_test(folder).read_metrics()]


@pytest.mark.parametrize("stop_at", [1, 3, 4, 7])
def test_stopped_and_resumed_is_the_whole(tmp_path: Path, stop_at: int) -> None:
    whole = Counting()
    train(whole, Run.for_test(tmp_path / "whole"))
    assert whole.shown == [12, 24, 32]
    run = Run.for_test(tmp_path / "halves")
    with pytest.raises(InterruptedRunError):
        train(Counting(stop_at, run=run), run)
    rest = Counting()
    train(rest, Run.for_test(tmp_path / "halves"))
    assert torch.equal(rest.counter.value, whole.counter.value)
    assert rows(tmp_path / "halves") == rows(tmp_path / "whole")


def test_a_kill_goes_back_to_the_last_checkpoint(tmp_path: Path) -> None:
    killed = Counting(diverge_at=8)
    killed.counter.reloads = 1  # it may not go back: as good as a kill
    with pytest.raises(GateError):
        train(killed, Run.for_test(tmp_path / "run"))
    assert rows(tmp_path / "run")[-1][0] == 24
    rest, whole = Counting(), Counting()
    train(rest, Run.for_test(tmp_path / "run"))
    train(whole, Run.for_test(tmp_path / "whole"))
    assert rows(tmp_path / "run") == rows(tmp_path / "whole")


def test_what_diverges_goes_back_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(console, "warn", said.append)
    task = Counting(diverge_at=5)
    with pytest.raises(GateError, match="it diverged"):
        train(task, Run.for_test(tmp_path / "run"))
    assert said == ["it diverged; going back to 3 steps with half the learning rate"]
    assert task.counter.reloads == 1
    assert rows(tmp_path / "run")[-1][0] == 12


def test_a_divergence_before_any_checkpoint_ends_it(tmp_path: Path) -> None:
    with pytest.raises(GateError) as caught:
        train(Counting(diverge_at=2), Run.for_test(tmp_path / "run"))
    assert (caught.value.exit_code, caught.value.hint) == (5, "less")


def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    run = Run.for_test(tmp_path / "run")
    train(Counting(), run)
    other = Counting()
    monkey = pytest.MonkeyPatch()
    with monkey.context() as patch, pytest.raises(InputError, match="lacks 'weights'") as caught:
        patch.setattr(other.counter, "load_state_dict", lambda state: state["weights"])
        train(other, Run.for_test(tmp_path / "run"))
    assert "--on-change rebuild" in str(caught.value.hint)


def test_checkpoints_as_time_passes(tmp_path: Path) -> None:
    task = Counting(diverge_at=2)
    task.save_every_s = 0.0  # after every step
    run = Run.for_test(tmp_path / "run")
    with pytest.raises(GateError):
        train(task, run)
    rest = Counting()
    train(rest, Run.for_test(tmp_path / "run"))
    assert rest.counter.reloads == 1  # the first process had gone back to one step


def test_tensorboard_is_told_what_metrics_hold(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = Run.for_test(tmp_path)
    with pytest.raises(InterruptedRunError):
        train(Counting(stop_at=4, run=run), run)
    train(Counting(), Run.for_test(tmp_path))
    shown = EventAccumulator(str(tmp_path / EVENTS)).Reload()
    assert [(e.step, e.value) for e in shown.Scalars("value")] == rows(tmp_path)


@pytest.mark.parametrize("why", ["not installed", "helps"])
def test_no_tensorboard_no_files(why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run.for_test(tmp_path / "out")
    if why == "helps":
        run.helping = tmp_path / "other"
    else:
        for name in ("tensorboard", "torch.utils.tensorboard"):
            monkeypatch.setitem(sys.modules, name, None)
    train(Counting(), run)
    assert not (run.dir / EVENTS).exists()


def test_numbers_of_labels_stand_below_their_measure() -> None:
    row = {"nimg": 8, "auroc": {"Edema": 0.5, "Mass": None}, "loss": 2, "kept": True, "of": "val"}
    assert dict(scalars(row)) == {"auroc/Edema": 0.5, "loss": 2.0}
