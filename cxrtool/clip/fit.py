"""The training loop: steps, held-out evaluations, the best network so far, checkpoints.

In: a `ClipTrainer`, a function that measures its network on held-out patients, and the run. Out:
the best state. Checkpoints are written after evaluations and when time has passed; since every step is
a function of its number, the moments of saving leave no trace in the result.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from torch import Tensor

from cxrtool.clip.training import ClipTrainer
from cxrtool.core.errors import GateError
from cxrtool.training.checkpoints import load_checkpoint, save_checkpoint

if TYPE_CHECKING:
    from cxrtool.core.runs import Run

SAVE_EVERY_S = 20.0


@dataclass(frozen=True)
class Best:
    """The network with the highest score so far.

    Attributes:
        score: Its score.
        start: The score before the first step, which is measured and never chosen.
        step: After how many steps.
        network: Its state, on the CPU.
        trained: Steps that were trained in all.
    """

    score: float
    start: float
    step: int
    network: dict[str, Tensor]
    trained: int = 0


def fit(
    trainer: ClipTrainer,
    measure: Callable[[], dict[str, Any]],
    score: Callable[[dict[str, Any]], float],
    run: Run,
    *,
    evaluate_every: int,
    patience: int = 0,
) -> Best:
    """Train to the end of the recipe, resuming where a checkpoint is.

    Args:
        trainer: The training.
        measure: Held-out measures of the trainer's network, as it is now.
        score: The measure that picks the best; higher is better, the earlier wins a tie.
        run: Takes checkpoints, metrics and progress.
        evaluate_every: Steps between evaluations; there is one before the first step and one at the
            end as well.
        patience: Evaluations in a row without a better one after which training stops; 0: none.

    Raises:
        GateError: the loss is not a number any more.
        InterruptedRunError: SIGTERM or SIGINT, after a checkpoint.
    """
    best: Best | None = None
    start = -math.inf
    loss_sum, loss_count = 0.0, 0
    seconds, timed = 0.0, 0  # of the steps of this process since the last evaluation
    saved = load_checkpoint(run)
    if saved is not None:
        trainer.load_state_dict(saved["trainer"])
        best = Best(**saved["best"]) if saved["best"] is not None else None
        start, (loss_sum, loss_count) = saved["start"], saved["loss"]
    run.rewind_metrics(lambda row: saved is not None and row["nimg"] <= trainer.nimg)
    total = trainer.recipe.steps

    def save() -> None:
        state = {
            "trainer": trainer.state_dict(),
            "best": None if best is None else dict(vars(best)),
            "start": start,
            "loss": [loss_sum, loss_count],
        }
        save_checkpoint(run, state, trainer.nimg)

    def evaluate() -> None:
        nonlocal best, start, loss_sum, loss_count, seconds, timed
        measures = measure()
        value = score(measures)
        if trainer.step_number == 0:
            start = value
        elif best is None or value > best.score:
            state = copied(trainer.model.network.state_dict())
            best = Best(value, start, trainer.step_number, state)
        run.append_metrics(
            {
                "nimg": trainer.nimg,
                "step": trainer.step_number,
                "loss": loss_sum / loss_count if loss_count else None,
                "scale": float(trainer.model.network.logit_scale.detach().exp()),
                "best_step": best.step if best is not None else None,
                "pairs_per_s": round(timed * trainer.recipe.batch / seconds, 1) if timed else None,
                **measures,
            }
        )
        loss_sum, loss_count = 0.0, 0
        seconds, timed = 0.0, 0

    def exhausted() -> bool:
        """Enough evaluations in a row were no better (Prechelt 1998, early stopping)."""
        if not patience or best is None:
            return False
        return (trainer.step_number - best.step) // evaluate_every >= patience

    if saved is None:
        evaluate()
    world = trainer.world
    last_save = -math.inf  # the first one comes after one step: it shows that the disk takes it
    with run.progress("training CLIP", total=total, unit="steps") as bar:
        bar.update(trainer.step_number)
        while trainer.step_number < total and not world.any(exhausted()):
            started = time.monotonic()
            loss = trainer.step()  # waits for the device
            seconds, timed = seconds + time.monotonic() - started, timed + 1
            if not math.isfinite(loss):
                raise GateError(
                    f"the loss is {loss} at step {trainer.step_number}: training has diverged",
                    hint="lower --lr",
                )
            loss_sum, loss_count = loss_sum + loss, loss_count + 1
            done = trainer.step_number
            if done % evaluate_every == 0 or done == total:
                evaluate()
            best_score = best.score if best is not None else math.nan
            bar.update(done, note=f"loss {loss:.3f}, best held-out {best_score:.3f}")
            # After an evaluation that is due, never before it: a resumed run would miss it.
            stopping = world.any(run.stopping)
            if stopping or done == total or time.monotonic() - last_save > SAVE_EVERY_S:
                save()
                last_save = time.monotonic()
            if stopping:
                run.stop()
    assert best is not None
    return replace(best, trained=trainer.step_number)


def copied(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A copy on the CPU that later steps do not change."""
    return {name: value.detach().cpu().clone() for name, value in state.items()}
