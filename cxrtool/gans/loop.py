"""The training loop: steps, ticks, snapshots, stopping and going on.

In: a `Trainer` and a run directory. Out: `metrics.jsonl`, `samples/`, `checkpoints/`. After a stop
or a kill the same call goes on from the last checkpoint and ends with the same weights, bit for bit
on the CPU with the same build and number of threads.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from cxrtool import console
from cxrtool.errors import GateError, InputError
from cxrtool.gans.trainer import Trainer
from cxrtool.training.checkpoints import load_checkpoint, save_checkpoint
from cxrtool.training.schedules import due

if TYPE_CHECKING:
    from cxrtool.runs import Run


def train(trainer: Trainer, run: Run, picture: Callable[[], bytes]) -> None:
    """Train to the end.

    Args:
        trainer: New; a checkpoint of the run is loaded into it.
        run: Where to write.
        picture: Makes the sample grid of the moment.

    Raises:
        GateError: the training diverged.
        InterruptedRunError: a stop signal came; a checkpoint is written.
        InputError: the checkpoint belongs to other networks.
    """
    choices = trainer.choices
    resume(trainer, run)
    clock = _Clock(trainer.nimg)
    with run.progress("training", choices.total_nimg / 1000, "kimg") as progress:
        progress.update(trainer.nimg / 1000)
        while trainer.nimg < choices.total_nimg:
            trainer.step()
            progress.update(trainer.nimg / 1000, clock.note)
            end = trainer.nimg >= choices.total_nimg
            if end or due(trainer.nimg, choices.batch, choices.tick_nimg):
                tick(trainer, run, clock)
            if not end and due(trainer.nimg, choices.batch, choices.snapshot_nimg):
                save(trainer, run)
                run.write_bytes(f"samples/fakes-{trainer.nimg:09d}.png", picture())
            if run.stopping:
                save(trainer, run)
                run.stop()
    save(trainer, run)


def resume(trainer: Trainer, run: Run) -> None:
    """Load the last checkpoint, if there is one, and drop the metrics past it.

    Raises:
        InputError: it belongs to other networks.
    """
    state = load_checkpoint(run)
    if state is not None:
        try:
            trainer.load_state_dict(state)
        except (ValueError, KeyError, RuntimeError) as error:
            raise InputError(
                str(error).splitlines()[0],
                file=run.path("checkpoints"),
                hint="start in another folder, or with --on-change rebuild",
            ) from error
        console.say(f"going on from {trainer.nimg / 1000:g} kimg")
    run.rewind_metrics(lambda row: row.get("nimg", 0) <= trainer.nimg)


def tick(trainer: Trainer, run: Run, clock: _Clock) -> None:
    """Write one line of metrics.

    Raises:
        GateError: a loss or a gradient is not finite.
    """
    means = trainer.means.read()
    _refuse_divergence(means, trainer.nimg)
    clock.tick(trainer.nimg, means)
    row = {"nimg": trainer.nimg, "kimg": trainer.nimg / 1000, **means}
    run.append_metrics({**row, "sec_per_kimg": clock.sec_per_kimg, "seconds": clock.seconds})


def save(trainer: Trainer, run: Run) -> None:
    """Write a checkpoint, unless the networks have diverged.

    Raises:
        GateError: a mean of the current tick or a weight is not finite; the last good checkpoint
            stays.
    """
    state = trainer.state_dict()
    sums = {name: float(value) for name, value in state["means"]["sums"].items()}
    for network in ("generator", "discriminator", "average"):
        weights = [value.abs().max() for value in state[network].values() if value.numel()]
        sums[f"{network} weights"] = float(torch.stack(weights).max())
    _refuse_divergence(sums, trainer.nimg)
    save_checkpoint(run, state, trainer.nimg)


def _refuse_divergence(means: dict[str, float], nimg: int) -> None:
    bad = [name for name, value in means.items() if not math.isfinite(value)]
    if bad:
        raise GateError(
            f"training diverged before {nimg / 1000:g} kimg: {', '.join(bad)} not finite",
            hint="start in another folder with a lower --lr or a higher --gamma",
        )


class _Clock:
    """Seconds since the start of this process and a thousand images."""

    def __init__(self, nimg: int) -> None:
        self._start = self._last = time.monotonic()
        self._nimg = nimg
        self.sec_per_kimg = self.seconds = math.nan
        self.note = ""

    def tick(self, nimg: int, means: dict[str, float]) -> None:
        now = time.monotonic()
        self.seconds = round(now - self._start, 3)
        self.sec_per_kimg = round((now - self._last) / max(1, nimg - self._nimg) * 1000, 3)
        self._last, self._nimg = now, nimg
        self.note = f"{self.sec_per_kimg:.1f} s/kimg, " + ", ".join(
            f"{name} {means[name]:.2f}" for name in ("g_loss", "d_loss", "r_t") if name in means
        )
