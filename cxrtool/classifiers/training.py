"""Fit one classifier: the optimizer steps, the best checkpoint, and everything needed to resume.

In: a network, a pool of training images for each phase, settings. Out: the network at the step
whose validation score was best, of all phases on the last one's images. The loop and the disk are
`training.loop`'s; the next step of a `ClassifierTrainer` depends on its state alone, so that N
steps equal N/2 steps, a checkpoint and the rest, bit for bit on the CPU.

A fit has one phase or more (`phases`): synthetic images then real ones, cross-entropy then
AUC-margin. A phase starts from the best weights of the one before and has its own schedule. What
it makes worse is not delivered: the best of an earlier phase on the same images stays a candidate.
That of a phase on other images (pretraining) does not: its arm is what ends on the real ones.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cxrtool.classifiers.architectures import ClassifierNet
from cxrtool.classifiers.auc_margin import AucMargin, Pesg
from cxrtool.classifiers.batches import Batches, BothClasses
from cxrtool.classifiers.losses import class_cross_entropy, masked_bce
from cxrtool.classifiers.phases import AUC_MARGIN, Phase
from cxrtool.classifiers.pool import Part, Pool
from cxrtool.classifiers.prediction import BLOCK, in_blocks
from cxrtool.core.errors import GateError
from cxrtool.training.augment import augment
from cxrtool.training.device import has_fast_bfloat16
from cxrtool.training.loop import Best, copied
from cxrtool.training.replay import recorded
from cxrtool.training.rng import restore_rng, rng_state, seed_for, torch_generator
from cxrtool.training.schedules import late_tenth

_OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd-momentum": partial(torch.optim.SGD, momentum=0.9),
}
OPTIMIZERS = tuple(_OPTIMIZERS)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to fit.

    Attributes:
        batch: Images per step.
        optimizer: One of `OPTIMIZERS`.
        weight_decay: L2 (adam, sgd-momentum) or decoupled (adamw).
        augmentation: Of `training.augment`.
        seed: Seeds initial weights, order of rows and augmentation.
        kind: "multilabel" or "single".
        precision: Of the network in a step: "float32", "bfloat16" (autocast; losses stay float32),
            or "auto" for bfloat16 on devices where it is faster.
    """

    batch: int
    optimizer: str
    weight_decay: float
    augmentation: str
    seed: int
    kind: str = "multilabel"
    precision: str = "auto"


@dataclass(frozen=True, kw_only=True)
class PhaseBest(Best):
    """The best network of a phase.

    Attributes:
        phase: Number of the phase, from 0.
    """

    phase: int


class ClassifierTrainer:
    """The fit of one network.

    Args:
        network: The network, already on its device.
        pools: Training images by name, on the same device; a phase names one of them.
        phases: What happens after what.
        settings: How to fit.
        weights: [L] factor on the loss of positives (of a class, for single-label sets), or None.

    Attributes:
        step_number: Optimizer steps done.
        best_score: Best validation score of this phase so far, None before the first.
        best_step: After how many steps it was reached.
        start_score: Validation score before the first step, where the caller took it.
        ended: The best networks of the phases before this one.
        history: One record per validation.
        precision: "float32" or "bfloat16", as chosen; a fit that goes on elsewhere keeps it.
        wait_s: Seconds that steps waited for their batch, since `read_clock`.
    """

    def __init__(
        self,
        network: ClassifierNet,
        pools: dict[str, Pool],
        phases: Sequence[Phase],
        settings: Settings,
        weights: np.ndarray | None = None,
    ) -> None:
        # Channels last: 1.4 times as fast for the small network on a CPU, and for tensor cores.
        self.network = network.to(memory_format=torch.channels_last)
        self.pools = pools
        self.phases = list(phases)
        self.settings = settings
        self.device = next(iter(pools.values())).device
        self.precision = settings.precision
        if self.precision == "auto":
            self.precision = "bfloat16" if has_fast_bfloat16(self.device) else "float32"
        self.weights = None if weights is None else torch.from_numpy(weights).to(self.device)
        self.step_number = 0
        self.best_score: float | None = None
        self.best_step = 0
        self.best_state: dict[str, Tensor] = {}
        self.ended: list[PhaseBest] = []
        self.start_score: float | None = None
        self.history: list[dict[str, Any]] = []
        self.wait_s = 0.0
        self._clock, self._clock_steps = 0.0, 0
        kinds = {type(module).__name__ for module in network.modules()}
        self._random = bool(kinds & {"Dropout", "StochasticDepth"})
        self._loss_sum = torch.zeros((), device=self.device)
        self._loss_steps = 0
        self._replay: tuple[torch.Size, Callable[[Tensor], Tensor] | None] | None = None
        self._enter(0)

    @property
    def nimg(self) -> int:
        """Images seen."""
        return self.step_number * self.settings.batch

    @property
    def steps(self) -> int:
        """Optimizer steps of all phases."""
        return sum(phase.steps for phase in self.phases)

    @property
    def phase(self) -> Phase:
        """The phase of the next step."""
        return self.phases[self._index]

    @property
    def phase_ends(self) -> bool:
        """Whether the next step belongs to another phase, or the fit is over."""
        return self.step_number == self._start + self.phase.steps

    @property
    def lr(self) -> float:
        """Learning rate of the last step."""
        return self._lr

    @property
    def bests(self) -> list[PhaseBest]:
        """The best network of each phase that has had a validation, in order."""
        if self.best_score is None:
            return self.ended
        score, step, state = self.best_score, self.best_step, self.best_state
        return [*self.ended, PhaseBest(phase=self._index, score=score, step=step, state=state)]

    @property
    def chosen(self) -> PhaseBest:
        """The network to deliver: the best on the last phase's images; of equals the later."""
        rivals = [best for best in self.bests if self._delivers(best.phase)]
        return max(reversed(rivals), key=lambda best: best.score)

    def _delivers(self, index: int) -> bool:
        return self.phases[index].pool == self.phases[-1].pool

    # --- phases ---

    def _enter(self, index: int) -> None:
        """Set up a phase: its order of rows, its optimizer."""
        self._index = index
        self._start = sum(phase.steps for phase in self.phases[:index])
        phase, pool = self.phase, self.pools[self.phase.pool]
        seed = self.settings.seed if index == 0 else seed_for(self.settings.seed, index)
        order = Batches(len(pool), self.settings.batch, seed)
        self._batches: Batches | BothClasses = order
        self._lr = phase.lr_at(0)
        if phase.loss == AUC_MARGIN:
            self._batches = BothClasses(
                order, pool.values.cpu().numpy(), pool.mask.cpu().numpy(), self.network.labels
            )
            counts = pool.mask.sum(dim=0).clamp(min=1)
            loss = AucMargin((pool.values * pool.mask).sum(dim=0) / counts).to(self.device)
            self._pesg: Pesg | None = Pesg(
                self.network.parameters(), loss, phase.lr, self.settings.weight_decay
            )
            self._epoch_steps = max(1, len(pool) // self.settings.batch)
        else:
            self._pesg = None
            self.optimizer = _optimizer(self.network, self.settings, phase.lr)

    def next_phase(self) -> None:
        """Go on to the next phase, from the best weights of this one."""
        if self.best_state:
            self.network.load_state_dict(self.best_state)
        self.ended = self.bests
        if self.ended and not self._delivers(self._index):
            self.ended[-1] = replace(self.ended[-1], state={})
        self.best_score, self.best_step, self.best_state = None, 0, {}
        self._enter(self._index + 1)

    # --- steps ---

    def step(self) -> None:
        """One optimizer step."""
        s, inside = self.settings, self.step_number - self._start
        started = time.perf_counter()
        if not self._clock_steps:  # validation and checkpoints are no part of a step
            self._clock = started
        x, values, mask = self.pools[self.phase.pool].batch(self._batches.rows(inside))
        self.wait_s += time.perf_counter() - started
        x = augment(
            x, s.augmentation, torch_generator("train-cls augment", s.seed, self.step_number)
        )
        x = x.contiguous(memory_format=torch.channels_last)
        self._lr = self.phase.lr_at(inside)
        self.network.train()
        if self._random:  # dropout draws from torch's own generator
            torch.manual_seed(seed_for("train-cls dropout", s.seed, self.step_number))
        loss = self._loss(self._logits(x), values, mask)
        if self._pesg is None:
            self._descend(loss)
        else:
            self._margin_step(loss, inside)
        # Summed on the device: reading it every step would make the host wait for it.
        self._loss_sum += loss.detach()
        self._loss_steps += 1
        self._clock_steps += 1
        self.step_number += 1

    def _logits(self, x: Tensor) -> Tensor:
        """[B, L] float32 of a batch in training; on CUDA by replay of the first one's passes."""
        low = self.precision == "bfloat16"
        if self.device.type == "cuda":
            if self._replay is None or self._replay[0] != x.shape:
                self._replay = (x.shape, recorded(self.network, x, low=low))
            run = self._replay[1]
            if run is not None:
                return run(x)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=low):
            logits: Tensor = self.network(x)
        return logits.float()

    def _loss(self, logits: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        if self._pesg is not None:
            loss: Tensor = self._pesg.loss(logits, values, mask)
            return loss
        how = class_cross_entropy if self.settings.kind == "single" else masked_bce
        return how(logits, values, mask, self.weights)

    def _descend(self, loss: Tensor) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self._lr
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()

    def _margin_step(self, loss: Tensor, inside: int) -> None:
        pesg = self._pesg
        assert pesg is not None
        if inside and inside % self._epoch_steps == 0:
            pesg.end_epoch()
        self._lr = late_tenth(self.phase.lr, inside, self.phase.steps, self._epoch_steps)
        pesg.lr = self._lr
        pesg.zero_grad()
        loss.backward()
        pesg.step()

    def mean_loss(self) -> float:
        """Mean training loss since the last call.

        Raises:
            GateError: It is not finite: the fit diverged.
        """
        loss = float(self._loss_sum) / max(1, self._loss_steps)
        self._loss_sum.zero_()
        self._loss_steps = 0
        if not np.isfinite(loss):
            raise GateError(
                f"training diverged: the loss is {loss} at step {self.step_number}",
                hint="use a smaller --lr",
            )
        return loss

    def read_clock(self) -> dict[str, float]:
        """Images a second, and the share of the time that waited for batches, since last read."""
        now = time.perf_counter()
        passed = max(now - self._clock, 1e-9)
        speed = {
            "img_per_s": round(self._clock_steps * self.settings.batch / passed, 1),
            "data_wait_frac": round(self.wait_s / passed, 5),
        }
        self._clock_steps, self.wait_s = 0, 0.0
        return speed

    def predict(self, part: Part) -> tuple[np.ndarray, float]:
        """Logits [N, L] of a part and its mean loss, with the network as it is now."""
        logits = in_blocks(self.network.eval(), part.pixels, self.device, rows=part.rows)
        values, mask = torch.from_numpy(part.values), torch.from_numpy(part.mask)
        how = class_cross_entropy if self.settings.kind == "single" else masked_bce
        return logits, float(how(torch.from_numpy(logits), values, mask))

    def record(self, score: float, entry: dict[str, Any]) -> bool:
        """Take note of a validation; keep the weights if they are the phase's best so far.

        Args:
            score: Validation score, larger is better.
            entry: Record for `history`.

        Returns:
            Whether this is the new best. An equal score keeps the earlier weights.
        """
        self.history.append(entry)
        if self.best_score is not None and score <= self.best_score:
            return False
        self.best_score, self.best_step = score, self.step_number
        self.best_state = copied(self.network)
        return True

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on, for a checkpoint."""
        optimizer = self.optimizer if self._pesg is None else self._pesg
        return {
            "step": self.step_number,
            "precision": self.precision,
            "phase": self._index,
            "network": self.network.state_dict(),
            "optimizer": optimizer.state_dict(),
            "best": self.best_state,
            "best_score": self.best_score,
            "best_step": self.best_step,
            "start_score": self.start_score,
            "ended": [dict(vars(best)) for best in self.ended],
            "history": self.history,
            "loss_sum": self._loss_sum,
            "loss_steps": self._loss_steps,
            "rng": rng_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict`."""
        self.step_number, self.precision = state["step"], state["precision"]
        self.network.load_state_dict(state["network"])
        self._enter(state["phase"])
        optimizer = self.optimizer if self._pesg is None else self._pesg
        optimizer.load_state_dict(state["optimizer"])

        def here(weights: dict[str, Tensor]) -> dict[str, Tensor]:
            return {name: value.to(self.device) for name, value in weights.items()}

        self.best_state = here(state["best"])
        self.best_score, self.best_step = state["best_score"], state["best_step"]
        self.start_score = state["start_score"]
        self.ended = [PhaseBest(**best | {"state": here(best["state"])}) for best in state["ended"]]
        self.history = list(state["history"])
        self._loss_sum = state["loss_sum"].to(self.device)
        self._loss_steps = state["loss_steps"]
        restore_rng(state["rng"])


@torch.no_grad()
def reestimate_batchnorm(network: ClassifierNet, part: Part, device: torch.device) -> int:
    """Replace running means and variances of BatchNorm by those of real images, in place.

    With many synthetic images in training the running statistics are of a mixture that no real
    image comes from. All images of the part count alike (a cumulative mean over blocks).

    Args:
        network: The network.
        part: Real training images.
        device: Where the network is.

    Returns:
        How many layers were set.
    """
    layers = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    network.eval()
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # a cumulative mean
        layer.train()
    # Whole blocks alone: a padded one would count its last image many times.
    rows = part.rows[: len(part) // BLOCK * BLOCK] if len(part) >= BLOCK else part.rows
    in_blocks(network, part.pixels, device, rows=np.resize(rows, max(len(rows), BLOCK)))
    for layer in layers:
        layer.momentum = 0.1
        layer.eval()
    return len(layers)


def _optimizer(network: nn.Module, settings: Settings, lr: float) -> torch.optim.Optimizer:
    parameters = list(network.parameters())
    fused = True if parameters[0].is_cuda else None  # a few launches in place of hundreds
    build = _OPTIMIZERS[settings.optimizer]
    return build(parameters, lr=lr, weight_decay=settings.weight_decay, fused=fused)
