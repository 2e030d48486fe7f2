"""Fit one classifier: the optimizer steps, the best checkpoint, and everything needed to resume.

In: a network, a pool of training images, settings. Out: the network at the step whose validation
score was best. The caller owns the loop, the validation set and the disk; a `Trainer` is a state
machine whose next step depends on its state alone, so that N steps equal N/2 steps, a checkpoint
and the rest, bit for bit on the CPU.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cxrtool.classifiers.architectures import ClassifierNet
from cxrtool.classifiers.augment import augment
from cxrtool.classifiers.batches import Batches
from cxrtool.classifiers.losses import masked_bce
from cxrtool.classifiers.pool import Part, Pool
from cxrtool.classifiers.prediction import in_blocks
from cxrtool.errors import GateError
from cxrtool.training.rng import restore_rng, rng_state, torch_generator

OPTIMIZERS = ("adam", "adamw", "sgd-momentum")
SCHEDULES = ("cosine", "constant")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to fit.

    Attributes:
        steps: Optimizer steps in all.
        batch: Images a step.
        lr: Peak learning rate.
        optimizer: One of `OPTIMIZERS`.
        schedule: One of `SCHEDULES`.
        weight_decay: L2 (adam, sgd-momentum) or decoupled (adamw).
        augmentation: One of `augment.AUGMENTATIONS`.
        seed: Seeds initial weights, order of rows and augmentation.
    """

    steps: int
    batch: int
    lr: float
    optimizer: str
    schedule: str
    weight_decay: float
    augmentation: str
    seed: int

    def lr_at(self, step: int) -> float:
        """Learning rate of a step: a short linear warm-up, then the schedule down to zero."""
        warm = max(1, self.steps // 20)
        rate = self.lr * min(1.0, (step + 1) / warm)
        if self.schedule == "cosine":
            rate *= 0.5 * (1 + math.cos(math.pi * step / self.steps))
        return rate


class Trainer:
    """The fit of one network.

    Args:
        network: The network, already on its device.
        pool: Training images on the same device.
        settings: How to fit.
        pos_weight: [L] factor on the loss of positives, or None.

    Attributes:
        step: Optimizer steps done.
        best_score: Best validation score so far, None before the first.
        best_step: After how many steps it was reached.
        history: One record a validation.
    """

    def __init__(
        self,
        network: ClassifierNet,
        pool: Pool,
        settings: Settings,
        pos_weight: np.ndarray | None = None,
    ) -> None:
        # Channels last: 1.4 times as fast for the small network on a CPU, and for tensor cores.
        self.network = network.to(memory_format=torch.channels_last)
        self.pool = pool
        self.settings = settings
        self.batches = Batches(len(pool), settings.batch, settings.seed)
        self.optimizer = _optimizer(network, settings)
        self.pos_weight = (
            None if pos_weight is None else torch.from_numpy(pos_weight).to(pool.device)
        )
        self.step = 0
        self.best_score: float | None = None
        self.best_step = 0
        self.best_state: dict[str, Tensor] = {}
        self.history: list[dict[str, Any]] = []
        self._loss_sum = torch.zeros((), device=pool.device)
        self._loss_steps = 0

    def train_step(self) -> None:
        """One optimizer step."""
        s = self.settings
        x, values, mask = self.pool.batch(self.batches.rows(self.step))
        x = augment(x, s.augmentation, torch_generator("train-cls augment", s.seed, self.step))
        x = x.contiguous(memory_format=torch.channels_last)
        for group in self.optimizer.param_groups:
            group["lr"] = s.lr_at(self.step)
        self.network.train()
        loss = masked_bce(self.network(x), values, mask, self.pos_weight)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        # Summed on the device: reading it every step would make the host wait for it.
        self._loss_sum += loss.detach()
        self._loss_steps += 1
        self.step += 1

    def mean_loss(self) -> float:
        """Mean training loss since the last call.

        Raises:
            GateError: It is not finite: the fit diverged.
        """
        loss = float(self._loss_sum) / max(1, self._loss_steps)
        self._loss_sum.zero_()
        self._loss_steps = 0
        if not math.isfinite(loss):
            raise GateError(
                f"training diverged: the loss is {loss} at step {self.step}",
                hint="use a smaller --lr",
            )
        return loss

    def predict(self, part: Part) -> tuple[np.ndarray, float]:
        """Logits [N, L] of a part and its mean loss, with the network as it is now."""
        logits = in_blocks(self.network.eval(), part.pixels, self.pool.device, rows=part.rows)
        values, mask = torch.from_numpy(part.values), torch.from_numpy(part.mask)
        return logits, float(masked_bce(torch.from_numpy(logits), values, mask))

    def record(self, score: float, entry: dict[str, Any]) -> bool:
        """Take note of a validation; keep the weights if they are the best so far.

        Args:
            score: Validation score, larger is better.
            entry: Record for `history`.

        Returns:
            Whether this is the new best. An equal score keeps the earlier weights.
        """
        self.history.append(entry)
        if self.best_score is not None and score <= self.best_score:
            return False
        self.best_score, self.best_step = score, self.step
        self.best_state = {k: v.detach().clone() for k, v in self.network.state_dict().items()}
        return True

    def state(self) -> dict[str, Any]:
        """All that the next step depends on, for a checkpoint."""
        return {
            "step": self.step,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "best": self.best_state,
            "best_score": self.best_score,
            "best_step": self.best_step,
            "history": self.history,
            "loss_sum": self._loss_sum,
            "loss_steps": self._loss_steps,
            "rng": rng_state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.step = state["step"]
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        device = self.pool.device
        self.best_state = {k: v.to(device) for k, v in state["best"].items()}
        self.best_score, self.best_step = state["best_score"], state["best_step"]
        self.history = list(state["history"])
        self._loss_sum = state["loss_sum"].to(device)
        self._loss_steps = state["loss_steps"]
        restore_rng(state["rng"])


def _optimizer(network: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    parameters = list(network.parameters())
    lr, decay = settings.lr, settings.weight_decay
    if settings.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=lr, weight_decay=decay)
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(parameters, lr=lr, weight_decay=decay)
    if settings.optimizer == "sgd-momentum":
        return torch.optim.SGD(parameters, lr=lr, momentum=0.9, weight_decay=decay)
    raise ValueError(f"unknown optimizer {settings.optimizer!r}")
