"""The training loop of generators, CLIPs and classifiers.

In: a `Task`, which says how to take a step, how to evaluate and what its state is, and a run
directory. Out: `checkpoints/`, `metrics.jsonl` and lines of progress. After a stop or a kill the
same call goes on from the last checkpoint and ends with the same weights: bit for bit on the CPU
with the same build and number of threads, since a step is a pure function of the state before it.
A training that diverges goes back to its last checkpoint, if its task can go on otherwise from
there.
"""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn

from cxrtool.core import console
from cxrtool.core.errors import GateError, InputError, sentence_of
from cxrtool.core.progress import progress
from cxrtool.core.runs import Run
from cxrtool.training.checkpoints import load_checkpoint, save_checkpoint
from cxrtool.training.events import Events, events_of
from cxrtool.training.world import World

Row = dict[str, Any]


class DivergedError(GateError):
    """The training cannot go on from here; from an earlier checkpoint perhaps it can."""


@dataclass(frozen=True, kw_only=True)
class Best:
    """The network with the highest score so far; the earlier one wins a tie.

    Attributes:
        score: Its validation score.
        step: After how many steps it was reached.
        state: Its weights; empty where they cannot be delivered.
    """

    score: float
    step: int
    state: dict[str, Tensor]


def copied(network: nn.Module, device: str | None = None) -> dict[str, Tensor]:
    """A network's state that later steps do not change, where it is or on another device."""
    state = network.state_dict().items()
    return {name: value.detach().to(device or value.device, copy=True) for name, value in state}


class Trainer(Protocol):
    """Networks and optimizers of a training.

    A step must be a pure function of the state before it: every random draw comes from a generator
    seeded by (seed, purpose, steps or images seen), so that `state_dict` is all that a resume
    needs.
    """

    @property
    def nimg(self) -> int:
        """Images seen."""

    def step(self) -> object:
        """Train on the next batch."""

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict`.

        Raises:
            ValueError, KeyError, RuntimeError: The state belongs to another training.
        """


class Task(ABC):
    """A training in progress: when it is measured and saved, and what is best.

    Args:
        trainer: What takes the steps.
        total: Where it ends, in `unit`.
        unit_nimg: Images of a unit.

    Attributes:
        label: What the progress bar calls it.
        unit: Of progress.
        world: The processes that train together; None for one process.
        save_every_s: A checkpoint is written after so many seconds too, the first one after one
            step, which shows that the disk takes it.
        note: A few words beside the bar.
    """

    label = "training"
    unit = "steps"
    world: World | None = None
    save_every_s = math.inf
    note = ""

    def __init__(self, trainer: Trainer, total: float, unit_nimg: int) -> None:
        self._trainer, self.total, self._unit_nimg = trainer, total, unit_nimg

    @property
    def nimg(self) -> int:
        """Images seen: what checkpoints and metrics are counted by."""
        return self._trainer.nimg

    @property
    def done(self) -> float:
        """How far the training is, in its unit."""
        return self._trainer.nimg / self._unit_nimg

    @property
    def ended(self) -> bool:
        """Whether there is no further step."""
        return self.done >= self.total

    @property
    @abstractmethod
    def saves(self) -> bool:
        """Whether a checkpoint is due after this step."""

    def begin(self, resumed: bool) -> Iterable[Row]:
        """What is measured before the first step of this process, as lines of metrics."""
        return ()

    def step(self) -> None:
        """Train on the next batch."""
        self._trainer.step()

    @abstractmethod
    def evaluate(self) -> Iterable[Row]:
        """Measure what is due after this step, and keep the best; lines of metrics."""

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on.

        Raises:
            DivergedError: The state is not worth keeping.
        """
        return self._trainer.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict`; see `Trainer.load_state_dict`."""
        self._trainer.load_state_dict(state)

    def show(self) -> None:  # noqa: B027 (most have no pictures)
        """Make the pictures that go with a checkpoint."""

    @property
    def retries(self) -> bool:
        """Whether a training that diverged may go on from its last checkpoint."""
        return False

    def reload(self) -> None:  # noqa: B027 (see `retries`)
        """Make what follows differ from what diverged: other random numbers, half the rates."""


def train(task: Task, run: Run) -> None:
    """Train to the end, from the last checkpoint where there is one.

    Raises:
        GateError: The training diverged.
        InterruptedRunError: SIGTERM or Ctrl-C, after a checkpoint.
        InputError: The checkpoint belongs to another training.
    """
    with events_of(run) as events:
        _train(task, run, events)


def _train(task: Task, run: Run, events: Events) -> None:
    def note(rows: Iterable[Row]) -> None:
        for row in rows:
            run.append_metrics(row)
            events.add(row)

    checkpoints = _Checkpoints(task, run)
    resumed = checkpoints.load()
    if resumed:
        console.say(f"resuming after {task.done:g} {task.unit}")
    else:
        run.rewind_metrics(lambda _: False)
    events.begin(task.nimg)
    with run.phase("measuring before the first step"):
        note(task.begin(resumed))
    with run.progress(task.label, total=task.total, unit=task.unit, done=task.done) as bar:
        bar.note = task.note
        while not task.ended:
            try:
                task.step()
                with progress("measuring", unit=""):
                    note(task.evaluate())
                if task.saves:
                    with progress("writing a checkpoint", unit=""):
                        checkpoints.save()
                        task.show()
            except DivergedError as error:
                checkpoints.go_back(error)
                events.begin(task.nimg)
            bar.update(task.done, task.note)
            # After an evaluation that is due, never before it: a resumed run would miss it.
            stopping = task.world.any(run.stopping) if task.world else run.stopping
            if stopping:
                checkpoints.save()
                run.stop()
            if checkpoints.overdue:
                checkpoints.save(together=False)


class _Checkpoints:
    """Those of one training, written and read."""

    def __init__(self, task: Task, run: Run) -> None:
        self.task, self.run = task, run
        self._last = -math.inf

    @property
    def overdue(self) -> bool:
        """Whether the last one is `save_every_s` old."""
        return time.monotonic() - self._last > self.task.save_every_s

    def save(self, together: bool = True) -> None:
        """Write one; `together` where all processes come here after the same step."""
        save_checkpoint(self.run, self.task.state_dict(), self.task.nimg)
        self._last = time.monotonic()
        if together and self.task.world is not None:
            self.task.world.wait()

    def load(self) -> bool:
        """Load the last one, and drop the metrics past it; False where there is none.

        Raises:
            InputError: It belongs to another training.
        """
        state = load_checkpoint(self.run)
        if state is None:
            return False
        try:
            self.task.load_state_dict(state)
        except (ValueError, KeyError, RuntimeError) as error:
            lacks = "a checkpoint of another version: it lacks " * isinstance(error, KeyError)
            what = lacks + sentence_of(error)
            hint = "start in another folder, or with --on-change rebuild"
            raise InputError(what, file=self.run.path("checkpoints"), hint=hint) from error
        nimg = self.task.nimg
        self.run.rewind_metrics(lambda row: row.get("nimg", 0) <= nimg)
        return True

    def go_back(self, error: DivergedError) -> None:
        """Load the last one, and go on otherwise from there.

        Raises:
            DivergedError: There is none, or the training may not go back again.
        """
        if not self.task.retries or not self.load():
            raise error
        self.task.reload()
        self.save()
        console.warn(
            f"{error.message}; going back to {self.task.done:g} {self.task.unit} with half the"
            " learning rate"
        )
