"""The training loop: steps, ticks, snapshots, the best network, stopping and going on.

In: a `GeneratorTrainer` and a run directory. Out: `metrics.jsonl`, `samples/`, `checkpoints/`.
After a stop or a kill the same call goes on from the last checkpoint and ends with the same weights, bit for bit
on the CPU with the same build and number of threads. A training that diverges goes back to its last
checkpoint once, with other random numbers and half the learning rate.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file

from cxrtool.core import console
from cxrtool.core.errors import GateError, InputError, UsageError
from cxrtool.generators.protocol import GeneratorTrainer, Kept
from cxrtool.generators.quality import COLLAPSED, Quality
from cxrtool.generators.stylegan2.choices import GROUP
from cxrtool.training.checkpoints import load_checkpoint, save_checkpoint
from cxrtool.training.device import peak_memory_bytes
from cxrtool.training.models import write_tensors
from cxrtool.training.schedules import due

if TYPE_CHECKING:
    from cxrtool.core.runs import Run


BEST = "checkpoints/best.safetensors"
TOLERANCE = 1.25  # of the lowest Fréchet distance; see `_judge`
START_TOLERANCE = 1.05  # of that of the network which a training started from
COSTS = ("sec_per_kimg", "data_wait_sec_per_kimg", "memory_bytes", "seconds")


@dataclass(frozen=True)
class Views:
    """What a person looks at while it trains.

    Attributes:
        grid: Makes the sample grid of the moment: PNG.
        curves: Makes a picture of the rows of `metrics.jsonl` and the thousand images of the best
            network so far: PNG; None for no picture.
    """

    grid: Callable[[], bytes]
    curves: Callable[[list[dict[str, Any]], float | None], bytes] | None = None


@dataclass(frozen=True)
class Start:
    """The trained network that a training starts from.

    Attributes:
        fd: Its Fréchet distance, measured as those of the snapshots are.
        keeps: Whether it may be kept itself; not where it has labels to learn.
    """

    fd: float
    keeps: bool


def train(
    trainer: GeneratorTrainer,
    run: Run,
    views: Views,
    quality: Quality | None = None,
    start: Start | None = None,
) -> None:
    """Train to the end; the averaged generator is then the best one that was measured.

    Args:
        trainer: New; a checkpoint of the run is loaded into it.
        run: Where to write.
        views: Pictures of the moment, made at every snapshot.
        quality: Measures the averaged generator at every snapshot; None keeps the last one.
        start: What the trainer's weights are, where they are not new.

    Raises:
        GateError: the training diverged.
        InterruptedRunError: a stop signal came; a checkpoint is written.
        InputError: the checkpoint belongs to other networks.
    """
    choices = trainer.choices
    resume(trainer, run)
    if start is not None and trainer.nimg == 0:
        _begin(trainer, run, views, quality, start)
    clock = _Clock(trainer.nimg)
    with run.progress("training", choices.total_nimg / 1000, "kimg") as progress:
        progress.update(trainer.nimg / 1000)
        while trainer.nimg < choices.total_nimg:
            try:
                _advance(trainer, run, clock, views, quality, start)
            except DivergedError as error:
                _go_back(trainer, run, error)
            progress.update(trainer.nimg / 1000, clock.note)
            if trainer.world.any(run.stopping):
                save(trainer, run)
                run.stop()
    _draw_curves(trainer, run, views)
    if trainer.best is not None and (run.dir / BEST).exists():
        trainer.average.load_state_dict(load_file(run.dir / BEST))
        kept = trainer.best
        console.say(
            f"the network of {kept.nimg / 1000:g} kimg is kept: its Fréchet distance is "
            f"{kept.fd:.3g} (lowest of all: {kept.lowest:.3g})"
        )


def _advance(
    trainer: GeneratorTrainer,
    run: Run,
    clock: _Clock,
    views: Views,
    quality: Quality | None,
    start: Start | None,
) -> None:
    """One step, and what is due after it.

    Raises:
        DivergedError: a number is not finite, or the images of a label are all alike.
        UsageError: the device has too little memory.
    """
    choices = trainer.choices
    try:
        trainer.step()
    except torch.OutOfMemoryError:
        parts = choices.parts * 2
        can = trainer.accumulates and choices.batch % (GROUP * parts) == 0
        raise UsageError(
            f"not enough memory on {trainer.device} for a batch of {choices.batch} at "
            f"{choices.arch.size} px in {choices.parts} part{'s' * (choices.parts > 1)}",
            hint=f"try --accumulate {parts} (the same result, in smaller parts)"
            if can
            else f"try --batch {choices.batch // 2 // GROUP * GROUP or GROUP}, or a smaller --size",
        ) from None
    end = trainer.nimg >= choices.total_nimg
    if end or due(trainer.nimg, choices.batch, choices.tick_nimg):
        tick(trainer, run, clock)
    if end or due(trainer.nimg, choices.batch, choices.snapshot_nimg):
        if quality is not None and trainer.ready:
            _judge(trainer, run, quality, start)
        save(trainer, run)
        if not end:
            run.write_bytes(f"samples/fakes-{trainer.nimg:09d}.png", views.grid())
            _draw_curves(trainer, run, views)


def _draw_curves(trainer: GeneratorTrainer, run: Run, views: Views) -> None:
    if views.curves is not None and not run.helps:
        best = None if trainer.best is None else trainer.best.nimg / 1000
        run.write_bytes("curves.png", views.curves(run.read_metrics(), best))


def _begin(
    trainer: GeneratorTrainer, run: Run, views: Views, quality: Quality | None, start: Start
) -> None:
    """Write down what the training starts from; it is the best so far, where it may be kept."""
    run.rewind_metrics(lambda row: False)  # of an execution that ended before its first checkpoint
    run.append_metrics({"nimg": 0, "kimg": 0.0, "fd": start.fd})
    run.write_bytes(f"samples/fakes-{0:09d}.png", views.grid())
    if quality is not None and start.keeps:
        trainer.best = Kept(0, start.fd, start.fd)
        _write_best(trainer, run)


def _judge(trainer: GeneratorTrainer, run: Run, quality: Quality, start: Start | None) -> None:
    """Measure the averaged generator; keep a copy unless an earlier one was clearly better.

    A distance over 2,000 images is itself uncertain, and of several networks about as good the one
    that has trained longest follows its labels best. So the newest is kept whose distance is within
    `TOLERANCE` of the lowest. The network that a training started from has trained long already:
    another takes its place within `START_TOLERANCE`.

    Raises:
        DivergedError: the images of a label are all alike.
    """
    found = measured(trainer, quality)
    run.append_metrics({"nimg": trainer.nimg, "kimg": trainer.nimg / 1000, **found})
    if trainer.varies and found.get("spread", 1.0) < COLLAPSED:
        raise DivergedError(
            f"training collapsed before {trainer.nimg / 1000:g} kimg: images of one label vary "
            f"{found['spread']:.1%} as much as real ones",
            trainer.remedy,
        )
    fd = found["fd"]
    if not math.isfinite(fd):
        return
    lowest = fd if trainer.best is None else min(fd, trainer.best.lowest)
    worse = start is not None and start.keeps and fd > START_TOLERANCE * start.fd
    if fd > TOLERANCE * lowest or worse:
        assert trainer.best is not None
        trainer.best = trainer.best._replace(lowest=lowest)
    else:
        trainer.best = Kept(trainer.nimg, fd, lowest)
        _write_best(trainer, run)


def measured(trainer: GeneratorTrainer, quality: Quality) -> dict[str, float]:
    """Measure the averaged generator, which is the better one from here on where there are two."""
    found = quality.measure(trainer)
    if trainer.follower is None:
        return found
    one = {name: value.clone() for name, value in trainer.average.state_dict().items()}
    trainer.average.load_state_dict(trainer.follower.state_dict())
    other = quality.measure(trainer)
    if math.isfinite(other["fd"]) and not found["fd"] <= other["fd"]:
        return other
    trainer.average.load_state_dict(one)
    return found


def _write_best(trainer: GeneratorTrainer, run: Run) -> None:
    state = {name: value.cpu() for name, value in trainer.average.state_dict().items()}
    with run.atomic(BEST) as path:
        write_tensors(state, path)


def _go_back(trainer: GeneratorTrainer, run: Run, error: DivergedError) -> None:
    """Load the last checkpoint, the first time; from then on the training is another one.

    Raises:
        GateError: it has gone back before, or has no checkpoint.
    """
    state = load_checkpoint(run) if trainer.reloads == 0 else None
    if state is None:
        raise GateError(error.message, hint=error.hint)
    trainer.load_state_dict(state)
    trainer.reload()
    run.rewind_metrics(lambda row: row.get("nimg", 0) <= trainer.nimg)
    save(trainer, run)
    console.warn(
        f"{error.message}; going back to {trainer.nimg / 1000:g} kimg with half the learning rate"
    )


def resume(trainer: GeneratorTrainer, run: Run) -> None:
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


def tick(trainer: GeneratorTrainer, run: Run, clock: _Clock) -> None:
    """Write one line of metrics.

    Raises:
        DivergedError: a loss or a gradient is not finite.
    """
    means = trainer.means.read(trainer.world.mean)
    _refuse_divergence(means, trainer)
    row = {"nimg": trainer.nimg, "kimg": trainer.nimg / 1000, **means}
    run.append_metrics({**row, **clock.tick(trainer, means)})


def save(trainer: GeneratorTrainer, run: Run) -> None:
    """Write a checkpoint, unless the networks have diverged.

    Raises:
        DivergedError: a mean of the current tick or a weight is not finite; the last good
            checkpoint stays.
    """
    state = trainer.state_dict()
    sums = {name: float(value) for name, value in state["means"]["sums"].items()}
    for network in ("generator", "discriminator", "average"):
        weights = [value.abs().max() for value in state[network].values() if value.numel()]
        sums[f"{network} weights"] = float(torch.stack(weights).max())
    numbers = torch.tensor(list(sums.values()), device=trainer.device)
    together = trainer.world.mean(numbers).tolist()  # all processes refuse, or none
    _refuse_divergence(dict(zip(sums, together, strict=True)), trainer)
    save_checkpoint(run, state, trainer.nimg)
    trainer.world.wait()


def _refuse_divergence(means: dict[str, float], trainer: GeneratorTrainer) -> None:
    bad = [name for name, value in means.items() if not math.isfinite(value)]
    if bad:
        raise DivergedError(
            f"training diverged before {trainer.nimg / 1000:g} kimg: {', '.join(bad)} not finite",
            trainer.remedy,
        )


class DivergedError(GateError):
    """The training cannot go on from here."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message, hint=f"start in another folder with {remedy}")


class _Clock:
    """What a tick cost: `COSTS` of the training in this process, which no resume brings back."""

    def __init__(self, nimg: int) -> None:
        self._start = self._last = time.monotonic()
        self._nimg, self._waited = nimg, 0.0
        self.note = ""

    def tick(self, trainer: GeneratorTrainer, means: dict[str, float]) -> dict[str, float]:
        """Costs since the tick before, and the seconds since the start of this process."""
        now = time.monotonic()
        kimg = max(1, trainer.nimg - self._nimg) / 1000
        waited, self._waited = trainer.data_wait_s - self._waited, trainer.data_wait_s
        costs = {
            "sec_per_kimg": round((now - self._last) / kimg, 3),
            "data_wait_sec_per_kimg": round(waited / kimg, 4),
            "memory_bytes": peak_memory_bytes(trainer.device),
            "seconds": round(now - self._start, 3),
        }
        self._last, self._nimg = now, trainer.nimg
        self.note = f"{costs['sec_per_kimg']:.1f} s/kimg, " + ", ".join(
            f"{name} {means[name]:.2f}" for name in ("g_loss", "d_loss", "r_t") if name in means
        )
        return costs
