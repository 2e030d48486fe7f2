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

from cxrtool.classifiers import losses
from cxrtool.classifiers.architectures import ClassifierNet
from cxrtool.classifiers.batches import BalancedBatches, Batches, BothClasses, Part, Pool
from cxrtool.classifiers.prediction import (
    BLOCK,
    in_blocks,
    shares,
    smoothed_shares,
    without_prior,
)
from cxrtool.core.errors import GateError
from cxrtool.training.augment import augment
from cxrtool.training.device import has_fast_bfloat16
from cxrtool.training.loop import Best, copied
from cxrtool.training.replay import recorded
from cxrtool.training.rng import restore_rng, rng_state, seed_for, torch_generator
from cxrtool.training.schedules import late_tenth

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd-momentum": partial(torch.optim.SGD, momentum=0.9),
}


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
        sampling: "shuffled" (every row once an epoch) or "balanced" (every class equally often).
        focal_gamma: Of phases with focal loss.
        logit_adjust: How many times the log prior of the pool is added to the logits in the loss.
    """

    batch: int
    optimizer: str
    weight_decay: float
    augmentation: str
    seed: int
    kind: str = "multilabel"
    precision: str = "auto"
    sampling: str = "shuffled"
    focal_gamma: float = 2.0
    logit_adjust: float = 0.0


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
        bests: The best network of each phase that has had a validation, in order.
        start_score: Validation score before the first step, where the caller took it.
        history: One record per validation.
        precision: "float32" or "bfloat16", as chosen; a fit that goes on elsewhere keeps it.
        lr: Learning rate of the last step.
        wait_s: Seconds that steps waited for their batch, since `read_clock`.
    """

    def __init__(
        self,
        network: ClassifierNet,
        pools: dict[str, Pool],
        phases: Sequence[losses.Phase],
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
        self.bests: list[PhaseBest] = []
        self.start_score: float | None = None
        self.history: list[dict[str, Any]] = []
        self.wait_s = 0.0
        self._clock, self._clock_steps = 0.0, 0
        kinds = {type(module).__name__ for module in network.modules()}
        self._random = bool(kinds & {"Dropout", "StochasticDepth"})
        self._loss_sum, self._loss_steps = torch.zeros((), device=self.device), 0
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
    def phase(self) -> losses.Phase:
        """The phase of the next step."""
        return self.phases[self._index]

    @property
    def phase_ends(self) -> bool:
        """Whether the next step belongs to another phase, or the fit is over."""
        return self.step_number == self._start + self.phase.steps

    @property
    def best(self) -> PhaseBest | None:
        """The best network of this phase so far, None before the first validation."""
        return next((best for best in self.bests if best.phase == self._index), None)

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
        s, cells = self.settings, (pool.values.cpu().numpy(), pool.mask.cpu().numpy())
        order: Batches | BalancedBatches = Batches(len(pool), s.batch, seed)
        if s.sampling == "balanced":
            order = BalancedBatches(*cells, s.batch, seed)
        self._batches: Batches | BalancedBatches | BothClasses = order
        self._entropy = losses.loss_of(s.kind, phase.loss, s.focal_gamma)
        prior = s.logit_adjust * losses.log_prior(s.kind, smoothed_shares(s.kind, *cells))
        self._prior = torch.from_numpy(prior).to(self.device) if s.logit_adjust else None
        self.lr = phase.lr_at(0)
        parameters, decay = list(self.network.parameters()), self.settings.weight_decay
        self.optimizer: torch.optim.Optimizer | losses.Pesg
        if phase.loss == losses.AUC_MARGIN:
            self._batches = BothClasses(order, *cells, self.network.labels)
            counts = pool.mask.sum(dim=0).clamp(min=1)
            loss = losses.AucMargin((pool.values * pool.mask).sum(dim=0) / counts).to(self.device)
            self.optimizer = losses.Pesg(parameters, loss, phase.lr, decay)
            self._epoch_steps = max(1, len(pool) // self.settings.batch)
        else:
            fused = True if parameters[0].is_cuda else None  # a few launches in place of hundreds
            build = OPTIMIZERS[self.settings.optimizer]
            self.optimizer = build(parameters, lr=phase.lr, weight_decay=decay, fused=fused)

    def next_phase(self) -> None:
        """Go on to the next phase, from the best weights of this one."""
        if self.best is not None:
            self.network.load_state_dict(self.best.state)
            if not self._delivers(self._index):
                self.bests[-1] = replace(self.best, state={})
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
        self.network.train()
        if self._random:  # dropout draws from torch's own generator
            torch.manual_seed(seed_for("train-cls dropout", s.seed, self.step_number))
        logits, phase, optimizer = self._logits(x), self.phase, self.optimizer
        if not isinstance(optimizer, torch.optim.Optimizer):
            loss: Tensor = optimizer.loss(logits, values, mask)
            if inside and inside % self._epoch_steps == 0:
                optimizer.end_epoch()
            optimizer.lr = self.lr = late_tenth(phase.lr, inside, phase.steps, self._epoch_steps)
        else:
            adjusted = logits if self._prior is None else logits + self._prior
            loss, self.lr = self._entropy(adjusted, values, mask, self.weights), phase.lr_at(inside)
            for group in optimizer.param_groups:
                group["lr"] = self.lr
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
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
        adjusted = torch.from_numpy(logits)
        if self._prior is not None:
            adjusted = adjusted + self._prior.cpu()
        return logits, float(self._entropy(adjusted, values, mask, None))

    def seen_shares(self, index: int) -> np.ndarray | None:
        """Share of positives that a phase's network speaks for; None if its loss knows none.

        Args:
            index: Number of the phase.

        Returns:
            [L] float64: shares of the pool as rows and weights let the loss see them, with the
            prior taken out that logit adjustment put in.
        """
        phase, s = self.phases[index], self.settings
        if phase.loss != losses.CROSS_ENTROPY:
            return None
        pool = self.pools[phase.pool]
        values, mask = pool.values.cpu().numpy(), pool.mask.cpu().numpy()
        frequency = None
        if s.sampling == "balanced":
            frequency = BalancedBatches(values, mask, s.batch, s.seed).frequency
        weights = None if self.weights is None else self.weights.cpu().numpy()
        seen = shares(values, mask, weights, frequency)
        if not s.logit_adjust:
            return seen
        prior = s.logit_adjust * losses.log_prior(s.kind, smoothed_shares(s.kind, values, mask))
        return without_prior(s.kind, seen, prior)

    def record(self, score: float, entry: dict[str, Any]) -> bool:
        """Take note of a validation; keep the weights if they are the phase's best so far.

        Args:
            score: Validation score, larger is better.
            entry: Record for `history`.

        Returns:
            Whether this is the new best. An equal score keeps the earlier weights.
        """
        self.history.append(entry)
        before, index = self.best, self._index
        if before is not None and score <= before.score:
            return False
        step, state = self.step_number, copied(self.network)
        best = PhaseBest(phase=index, score=score, step=step, state=state)
        self.bests = [one for one in self.bests if one is not before] + [best]
        return True

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on, for a checkpoint."""
        return {
            "step": self.step_number,
            "precision": self.precision,
            "phase": self._index,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "bests": [dict(vars(best)) for best in self.bests],
            "start_score": self.start_score,
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
        self.optimizer.load_state_dict(state["optimizer"])
        self.bests = [PhaseBest(**record) for record in state["bests"]]
        self.start_score = state["start_score"]
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
