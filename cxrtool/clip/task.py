"""The training of a CLIP as the loop sees it: held-out evaluations, and the best network so far.

In: a `ClipTrainer`, and functions that measure and score its network on held-out patients. Out: the
best state, and lines of metrics. Checkpoints are written as time passes; since every step is a
function of its number, the moments of saving leave no trace in the result.
"""

import math
import time
from collections.abc import Callable, Iterable
from typing import Any

from cxrtool.clip.training import ClipTrainer
from cxrtool.core.errors import GateError
from cxrtool.training.loop import Best, Row, Task, copied


class ClipTask(Task):
    """A training that is evaluated before the first step, every so many steps, and at the end.

    Args:
        trainer: The training.
        measure: Held-out measures of the trainer's network, as it is now.
        score: The measure that picks the best; higher is better.
        every: Steps between evaluations.
        patience: Evaluations in a row without a better one after which training stops; 0: none.

    Attributes:
        best: The network with the highest score after the first step.
        start: The score before it, which is never chosen.
    """

    label = "training CLIP"
    save_every_s = 20.0

    def __init__(
        self,
        trainer: ClipTrainer,
        measure: Callable[[], dict[str, Any]],
        score: Callable[[dict[str, Any]], float],
        *,
        every: int,
        patience: int = 0,
    ) -> None:
        super().__init__(trainer, trainer.recipe.steps, trainer.recipe.batch)
        self.trainer, self.world = trainer, trainer.world
        self.measure, self.score, self.every, self.patience = measure, score, every, patience
        self.best: Best | None = None
        self.start = -math.inf
        self._loss_sum, self._loss_count = 0.0, 0
        self._seconds, self._timed = 0.0, 0  # of the steps here since the last evaluation

    @property
    def ended(self) -> bool:
        """Also where enough evaluations in a row were no better (Prechelt 1998)."""
        since = 0 if self.best is None else self.trainer.step_number - self.best.step
        exhausted = self.patience > 0 and since // self.every >= self.patience
        return super().ended or self.trainer.world.any(exhausted)

    @property
    def saves(self) -> bool:
        return super().ended

    def begin(self, resumed: bool) -> Iterable[Row]:
        return () if resumed else [self._line()]

    def step(self) -> None:
        started = time.monotonic()
        loss = self.trainer.step()  # waits for the device
        self._seconds, self._timed = self._seconds + time.monotonic() - started, self._timed + 1
        if not math.isfinite(loss):
            raise GateError(
                f"the loss is {loss} at step {self.trainer.step_number}: training has diverged",
                hint="lower --lr",
            )
        self._loss_sum, self._loss_count = self._loss_sum + loss, self._loss_count + 1

    def evaluate(self) -> Iterable[Row]:
        loss = self._loss_sum / self._loss_count
        if self.trainer.step_number % self.every == 0 or super().ended:
            yield self._line()
        score = self.best.score if self.best is not None else math.nan
        self.note = f"loss {loss:.3f}, best held-out {score:.3f}"

    def _line(self) -> Row:
        """Measure the network, keep it if it is the best, and start new means."""
        measures, network = self.measure(), self.trainer.model.network
        value, step = self.score(measures), self.trainer.step_number
        if step == 0:
            self.start = value
        elif self.best is None or value > self.best.score:
            self.best = Best(score=value, step=step, state=copied(network, "cpu"))
        rate = self._timed * self.trainer.recipe.batch / self._seconds if self._timed else None
        row = {
            "nimg": self.nimg,
            "step": step,
            "loss": self._loss_sum / self._loss_count if self._loss_count else None,
            "scale": float(network.logit_scale.detach().exp()),
            "best_step": self.best.step if self.best is not None else None,
            "pairs_per_s": None if rate is None else round(rate, 1),
            **measures,
        }
        self._loss_sum, self._loss_count = 0.0, 0
        self._seconds, self._timed = 0.0, 0
        return row

    def state_dict(self) -> dict[str, Any]:
        best = self.best
        return {
            "trainer": self.trainer.state_dict(),
            "best": best and {"score": best.score, "step": best.step, "network": best.state},
            "start": self.start,
            "loss": [self._loss_sum, self._loss_count],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.trainer.load_state_dict(state["trainer"])
        best = state["best"]
        self.best = best and Best(score=best["score"], step=best["step"], state=best["network"])
        self.start, (self._loss_sum, self._loss_count) = state["start"], state["loss"]
