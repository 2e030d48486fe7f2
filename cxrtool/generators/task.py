"""The training of a generator as the loop sees it: ticks, snapshots, the best network, collapse.

In: a `GeneratorTrainer` and a run directory. Out: lines of metrics, `samples/`, `curves.png`, and
the best network. A training that diverges goes back to its last checkpoint once, with other random
numbers and half the learning rate.
"""

import math
import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from cxrtool.core import console
from cxrtool.core.errors import UsageError
from cxrtool.core.runs import Run
from cxrtool.generators.base import BestGenerator, GeneratorTrainer
from cxrtool.generators.choices import GROUP
from cxrtool.generators.quality import COLLAPSED, Measure
from cxrtool.training import loop
from cxrtool.training.checkpoints import BEFORE_DECAY, save_checkpoint
from cxrtool.training.device import peak_memory_bytes
from cxrtool.training.loop import DivergedError, Row
from cxrtool.training.models import write_tensors
from cxrtool.training.schedules import due

BEST = "checkpoints/best.safetensors"
BEST_BEFORE_DECAY = "checkpoints/before-decay.safetensors"  # belongs to `BEFORE_DECAY`
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
        value: What tells the best network, measured as of the snapshots: see `quality.Measure`.
        name: Of that number.
        keeps: Whether it may be kept itself; not where it has labels to learn.
    """

    value: float
    name: str
    keeps: bool


class GeneratorTask(loop.Task):
    """A training with a line of metrics every tick, and a measurement every snapshot.

    Args:
        trainer: New; a checkpoint of the run is loaded into it.
        run: Where to write.
        views: Pictures of the moment, made at every snapshot.
        quality: Measures the averaged generator at every snapshot; None keeps the last one.
        start: What the trainer's weights are, where they are not new.
    """

    unit = "kimg"

    def __init__(
        self,
        trainer: GeneratorTrainer,
        run: Run,
        views: Views,
        quality: Measure | None = None,
        start: Start | None = None,
    ) -> None:
        super().__init__(trainer, trainer.choices.total_nimg / 1000, 1000)
        self.trainer, self.run, self.views = trainer, run, views
        self.quality, self.first = quality, start
        self.world = trainer.world

    def train(self) -> None:
        """Train to the end; the averaged generator is then the best one that was measured.

        Raises: see `training.loop.train`.
        """
        loop.train(self, self.run)
        self.draw_curves()
        best, path = self.trainer.best, self.run.dir / BEST
        if best is not None and path.exists() and self.quality is not None:
            self.trainer.average.load_state_dict(load_file(path))
            console.say(
                f"the network of {best.nimg / 1000:g} kimg is kept: its {self.quality.told} is "
                f"{best.value:.3g} (lowest of all: {best.lowest:.3g})"
            )

    @property
    def saves(self) -> bool:
        return self._due(self.trainer.choices.snapshot_nimg)

    @property
    def retries(self) -> bool:
        return self.trainer.reloads == 0

    def reload(self) -> None:
        self.trainer.reload()

    def begin(self, resumed: bool) -> Iterable[Row]:
        """Write down what the training starts from; it is the best so far, where it may be kept."""
        self._started = self._last_time = time.monotonic()
        self._last_nimg, self._waited_s = self.trainer.nimg, 0.0
        if self.first is not None and not resumed:
            self.run.write_bytes(f"samples/fakes-{0:09d}.png", self.views.grid())
            if self.quality is not None and self.first.keeps:
                self._keep(BestGenerator(0, self.first.value, self.first.value))
            yield {"nimg": 0, "kimg": 0.0, self.first.name: self.first.value}

    def step(self) -> None:
        """One step.

        Raises:
            UsageError: The device has too little memory.
        """
        try:
            super().step()
        except torch.OutOfMemoryError:
            choices = self.trainer.choices
            parts = choices.parts * 2
            if self.trainer.accumulates and choices.batch % (GROUP * parts) == 0:
                hint = f"try --accumulate {parts} (the same result, in smaller parts)"
            else:
                smaller = choices.batch // 2 // GROUP * GROUP or GROUP
                hint = f"try --batch {smaller}, or a smaller --size"
            raise UsageError(
                f"not enough memory on {self.trainer.device} for a batch of {choices.batch} at "
                f"{choices.arch.size} px in {choices.parts} part{'s' * (choices.parts > 1)}",
                hint=hint,
            ) from None

    def evaluate(self) -> Iterable[Row]:
        """A tick and a snapshot, where they are due.

        Raises:
            DivergedError: A number is not finite, or the images of a label are all alike.
        """
        decay, batch = self.trainer.decay_nimg, self.trainer.choices.batch
        if decay is not None and self.nimg <= decay < self.nimg + batch:
            save_checkpoint(self.run, self.state_dict(), self.nimg, BEFORE_DECAY)
            copy_best(self.run, self.run.dir / BEST, BEST_BEFORE_DECAY)
        if self._due(self.trainer.choices.tick_nimg):
            means = self.trainer.means.read(self.trainer.world.mean)
            self._refuse_divergence(means)
            self.note = ", ".join(
                f"{name} {means[name]:.2f}" for name in ("g_loss", "d_loss", "r_t") if name in means
            )
            yield {"nimg": self.nimg, "kimg": self.done, **means, **self._costs()}
        if self.saves and self.quality is not None and self.trainer.ready:
            yield from self._judge(self.quality)

    def show(self) -> None:
        if not self.ended:
            self.run.write_bytes(f"samples/fakes-{self.nimg:09d}.png", self.views.grid())
            self.draw_curves()

    def draw_curves(self) -> None:
        """Draw the metrics so far."""
        if self.views.curves is not None and not self.run.helps:
            best = None if self.trainer.best is None else self.trainer.best.nimg / 1000
            self.run.write_bytes("curves.png", self.views.curves(self.run.read_metrics(), best))

    def state_dict(self) -> dict[str, Any]:
        """The trainer's.

        Raises:
            DivergedError: A mean of the current tick or a weight is not finite; the last good
                checkpoint stays.
        """
        state = super().state_dict()
        sums = {name: float(value) for name, value in state["means"]["sums"].items()}
        for network in self.trainer.networks:
            weights = [value.abs().max() for value in state[network].values() if value.numel()]
            sums[f"{network} weights"] = float(torch.stack(weights).max())
        numbers = torch.tensor(list(sums.values()), device=self.trainer.device)
        together = self.trainer.world.mean(numbers).tolist()  # all processes refuse, or none
        self._refuse_divergence(dict(zip(sums, together, strict=True)))
        return state

    def _due(self, every_nimg: float) -> bool:
        return self.ended or due(self.nimg, self.trainer.choices.batch, every_nimg)

    def _judge(self, quality: Measure) -> Iterable[Row]:
        """Measure the averaged generator; keep a copy unless an earlier one was clearly better.

        The newest is kept whose number is within the measure's `tolerance` of the lowest. The
        network that a training started from has trained long already: another takes its place
        within `START_TOLERANCE`.

        Raises:
            DivergedError: The images of a label are all alike.
        """
        scores = measured(self.trainer, quality)
        yield {"nimg": self.nimg, "kimg": self.done, **scores}
        if self.trainer.varies and scores.get("spread", 1.0) < COLLAPSED:
            raise self._diverged(
                f"training collapsed before {self.done:g} kimg: images of one label vary "
                f"{scores['spread']:.1%} as much as real ones"
            )
        value, best, first = scores[quality.name], self.trainer.best, self.first
        if not math.isfinite(value):
            return
        lowest = value if best is None else min(value, best.lowest)
        worse = first is not None and first.keeps and value > START_TOLERANCE * first.value
        if value > quality.tolerance * lowest or worse:
            assert best is not None
            self.trainer.best = best._replace(lowest=lowest)
        else:
            self._keep(BestGenerator(self.nimg, value, lowest))

    def _keep(self, best: BestGenerator) -> None:
        self.trainer.best = best
        state = {
            name: value.cpu().contiguous()
            for name, value in self.trainer.average.state_dict().items()
        }
        with self.run.atomic(BEST) as path:
            write_tensors(state, path)

    def _refuse_divergence(self, means: dict[str, float]) -> None:
        bad = [name for name, value in means.items() if not math.isfinite(value)]
        if bad:
            what = f"training diverged before {self.done:g} kimg: {', '.join(bad)} not finite"
            raise self._diverged(what)

    def _diverged(self, message: str) -> DivergedError:
        return DivergedError(message, hint=f"start in another folder with {self.trainer.remedy}")

    def _costs(self) -> dict[str, float]:
        """`COSTS` since the tick before, and since the start of this process."""
        now, trainer = time.monotonic(), self.trainer
        kimg = max(1, trainer.nimg - self._last_nimg) / 1000
        waited, self._waited_s = trainer.data_wait_s - self._waited_s, trainer.data_wait_s
        costs = {
            "sec_per_kimg": round((now - self._last_time) / kimg, 3),
            "data_wait_sec_per_kimg": round(waited / kimg, 4),
            "memory_bytes": peak_memory_bytes(trainer.device),
            "seconds": round(now - self._started, 3),
        }
        self._last_time, self._last_nimg = now, trainer.nimg
        self.note = f"{costs['sec_per_kimg']:.1f} s/kimg, {self.note}"
        return costs


def copy_best(run: Run, source: Path, name: str) -> None:
    """Copy the best network so far under a name in the run's folder, where there is one."""
    if source.exists() and not run.helps:
        with run.atomic(name) as path:
            shutil.copyfile(source, path)


def measured(trainer: GeneratorTrainer, quality: Measure) -> dict[str, float]:
    """Measure the averaged generator, which is the better one from here on where there are two."""
    scores = quality.measure(trainer)
    if trainer.follower is None:
        return scores
    first = loop.copied(trainer.average)
    trainer.average.load_state_dict(trainer.follower.state_dict())
    others = quality.measure(trainer)
    name = quality.name
    if math.isfinite(others[name]) and not scores[name] <= others[name]:
        return others
    trainer.average.load_state_dict(first)
    return scores
