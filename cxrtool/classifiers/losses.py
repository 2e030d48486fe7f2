"""Losses over several labels at once, with cells left out, and the phases of a fit that use them.

In: logits, values and a mask that is False for cells without information (label policies). Out: a
scalar, the mean over the cells that count.

Phases say which images, which loss, how many steps and at what rate; their steps add up to the
budget, so that every arm has the same number of optimizer steps. `pretrain-finetune` spends a share
of them on synthetic images and the rest on real ones; `auc-margin` spends a share of what trains on
the final images on cross-entropy and the rest on the AUC-margin loss.

Two losses are for rare classes. Focal loss (Lin et al., ICCV 2017, eq. 4) multiplies the
cross-entropy of a cell by (1 - p)^gamma, p being the probability of the truth, so that the many
easy negatives add little. Logit adjustment (Menon et al., ICLR 2021, eq. 10) adds tau log(prior) to
the logits in the loss alone: the network learns what is left to know beside the prior. With one
sigmoid a label the prior is its log odds.

AUC-margin trains for the area under the ROC curve as a min-max problem, by the loss F of Yuan et
al. (ICCV 2021, eq. 3 with margin m), and updates of network, a, b and alpha by PESG (proximal epoch
stochastic gradient; Guo et al., arXiv 2006.06889, algorithm 1). With h in [0, 1] the sigmoid of a
logit and p the share of positives in the training set, a cell adds

    F = (1-p)(h-a)^2 [y=1] + p(h-b)^2 [y=0]
        + 2 alpha (p(1-p)m + p h [y=0] - (1-p) h [y=1]) - p(1-p) alpha^2

minimized over the network, a and b, maximized over alpha >= 0. Each label has its own a, b and
alpha. Starting from scratch it stays at an AUROC of 0.5: first cross-entropy, then this one. The
paper gives the network a new head in between. Here it keeps the one that it has: a cell of a rare
label moves it by p(1-p) alone, and a set of a few thousand images ends before a new one has learned
as much (benchmarks/auc_margin.py).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cxrtool.core.errors import UsageError
from cxrtool.training.schedules import short_warmup

MARGIN = 1.0  # m
PROXIMAL = 0.002  # 1 / gamma, the pull towards the mean of the epoch before
CLIP = 1.0  # bound of a gradient's entries
# Weight of the new gradient in its running mean; torch's momentum of 0.9 is another thing.
NEW = 0.9
CROSS_ENTROPY, FOCAL, AUC_MARGIN = "bce", "focal", "auc-margin"
#: Logits, values, mask [N, L] and a weight of each label (or None) -> a scalar.
Loss = Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor]


def masked_bce(
    logits: Tensor, values: Tensor, mask: Tensor, pos_weight: Tensor | None = None
) -> Tensor:
    """Binary cross-entropy, mean over the cells that count; 0 where none does.

    Args:
        logits: [N, L] float.
        values: [N, L] float in {0, 1}; its value does not matter where the mask is False.
        mask: [N, L] bool.
        pos_weight: [L] factor on the loss of positives, or None.
    """
    # An ignored cell may hold anything, NaN included, which would come back through the gradient.
    targets = torch.where(mask, values, torch.zeros_like(values))
    cells = F.binary_cross_entropy_with_logits(
        logits, targets, pos_weight=pos_weight, reduction="none"
    )
    return (cells * mask).sum() / mask.sum().clamp(min=1)


def balancing_weights(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Negatives over positives of each label, the weight that balances both classes: [L] float32.

    Args:
        values: [N, L] in {0, 1}; every label has a positive.
        mask: [N, L] bool.
    """
    positive = (values * mask).sum(axis=0)
    negative = ((1 - values) * mask).sum(axis=0)
    return np.asarray(negative / positive, np.float32)


def class_cross_entropy(
    logits: Tensor, values: Tensor, mask: Tensor, weight: Tensor | None = None
) -> Tensor:
    """Cross-entropy of single-label rows, mean over the rows with a class; 0 where none has.

    Args:
        logits: [N, L] float.
        values: [N, L] float in {0, 1}, at most one 1 a row.
        mask: [N, L] bool; a row counts if the cell that is 1 is known.
        weight: [L] factor on the loss of each class, or None.
    """
    target = torch.where(mask, values, torch.zeros_like(values))
    if weight is not None:
        target = target * weight
    rows = -(target * F.log_softmax(logits, dim=1)).sum(dim=1)
    return rows.sum() / target.sum().clamp(min=1e-12)


def class_weights(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Weights under which every class counts the same, their mean over rows 1: [L] float32.

    Args:
        values: [N, L] in {0, 1}; every class has a row.
        mask: [N, L] bool.
    """
    counts = (values * mask).sum(axis=0)
    return np.asarray(counts.sum() / (len(counts) * counts), np.float32)


def focal(
    logits: Tensor, values: Tensor, mask: Tensor, pos_weight: Tensor | None = None, *, gamma: float
) -> Tensor:
    """Focal loss of several labels, mean over the cells that count; 0 where none does.

    Args:
        logits: [N, L] float.
        values: [N, L] float in {0, 1}; its value does not matter where the mask is False.
        mask: [N, L] bool.
        pos_weight: [L] factor on the loss of positives (what the paper's alpha does), or None.
        gamma: 0 or more; 0 is cross-entropy.
    """
    targets = torch.where(mask, values, torch.zeros_like(values))
    signed = torch.where(targets > 0.5, logits, -logits)  # log odds of the truth
    cells = -F.logsigmoid(signed) * torch.sigmoid(-signed) ** gamma
    if pos_weight is not None:
        cells = torch.where(targets > 0.5, cells * pos_weight, cells)
    return (cells * mask).sum() / mask.sum().clamp(min=1)


def class_focal(
    logits: Tensor, values: Tensor, mask: Tensor, weight: Tensor | None = None, *, gamma: float
) -> Tensor:
    """Focal loss of single-label rows: arguments as for `class_cross_entropy`, gamma as above."""
    target = torch.where(mask, values, torch.zeros_like(values))
    log_p = F.log_softmax(logits, dim=1)
    if weight is not None:
        target = target * weight
    rows = -(target * log_p * (-torch.expm1(log_p)) ** gamma).sum(dim=1)
    return rows.sum() / target.sum().clamp(min=1e-12)


def loss_of(kind: str, name: str, gamma: float) -> Loss:
    """The loss of a phase that is not AUC-margin's own; beside that one, cross-entropy.

    Args:
        kind: "multilabel" or "single".
        name: `CROSS_ENTROPY`, `FOCAL` or `AUC_MARGIN`.
        gamma: Of the focal loss.
    """
    single = kind == "single"
    if name == FOCAL:
        return partial(class_focal if single else focal, gamma=gamma)
    return class_cross_entropy if single else masked_bce


def log_prior(kind: str, shares: np.ndarray) -> np.ndarray:
    """What a prior adds to the logits: log odds of labels, logs of classes: [L] float32.

    Args:
        kind: "multilabel" or "single".
        shares: [L] of positives, within (0, 1).
    """
    others = 1.0 if kind == "single" else 1 - shares
    return np.asarray(np.log(shares / others), np.float32)


class AucMargin(nn.Module):
    """The loss, with its own a, b and alpha.

    Args:
        prevalence: [L] share of positives among the known cells of the training set.
    """

    prevalence: Tensor

    def __init__(self, prevalence: Tensor) -> None:
        super().__init__()
        self.register_buffer("prevalence", prevalence.float())
        self.a = nn.Parameter(torch.zeros_like(self.prevalence))
        self.b = nn.Parameter(torch.zeros_like(self.prevalence))
        self.alpha = nn.Parameter(torch.zeros_like(self.prevalence))

    def forward(self, logits: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        """Mean of F over the known cells of a label, then over the labels that have any.

        Args:
            logits: [N, L] float.
            values: [N, L] float in {0, 1}; its value does not matter where the mask is False.
            mask: [N, L] bool.
        """
        h, p = torch.sigmoid(logits.float()), self.prevalence
        yes = (mask & (values == 1)).float()
        no = (mask & (values == 0)).float()
        cells = (
            (1 - p) * (h - self.a) ** 2 * yes
            + p * (h - self.b) ** 2 * no
            + 2 * self.alpha * (p * h * no - (1 - p) * h * yes)
        )
        counts = mask.sum(dim=0)
        constant = 2 * self.alpha * p * (1 - p) * MARGIN - p * (1 - p) * self.alpha**2
        label = cells.sum(dim=0) / counts.clamp(min=1) + constant
        has = (counts > 0).float()
        return (label * has).sum() / has.sum().clamp(min=1)


class Pesg:
    """Proximal epoch stochastic gradient: descent in the network, a and b, ascent in alpha.

    For a weight of the network (decayed), a and b (not), with g its gradient, clipped:

        buf <- 0.1 buf + 0.9 (g + (w - w_ref) / gamma + decay w), at first without the factors
        w <- w - lr buf

    and then, with the new a and b, alpha <- max(0, alpha + 2 lr (m + b - a - alpha)).

    That is the direction of dF/d alpha with a and b for the means of h, without its factor p(1-p):
    as LibAUC does it (2.0.1). With the factor alpha stays near 0 for a rare label, nothing parts
    the classes, and the network forgets what cross-entropy taught it. `end_epoch` sets w_ref to
    the mean of w over the epoch.

    Args:
        parameters: Of the network.
        loss: Holds a, b and alpha.
        lr: Learning rate.
        weight_decay: L2 on the network.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], loss: AucMargin, lr: float, weight_decay: float
    ) -> None:
        self.loss, self.lr, self.weight_decay = loss, lr, weight_decay
        self.network = list(parameters)
        self.descend = [*self.network, loss.a, loss.b]
        self.reference = [w.detach().clone() for w in self.descend]
        self.sums = [torch.zeros_like(w) for w in self.descend]
        self.buffers = [torch.zeros_like(w) for w in self.descend]
        self.fresh = True
        self.counted = 0

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for w in (*self.descend, self.loss.alpha):
            w.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """One update from the gradients at hand."""
        own = len(self.network)
        new = 1.0 if self.fresh else NEW  # the buffer starts as the first gradient
        self.fresh = False
        for k, w in enumerate(self.descend):
            if w.grad is not None:
                g = w.grad.clamp(-CLIP, CLIP) + PROXIMAL * (w - self.reference[k])
                if k < own:
                    g = g + self.weight_decay * w
                self.buffers[k].mul_(1 - new).add_(g, alpha=new)
                w.sub_(self.buffers[k], alpha=self.lr)
            self.sums[k] += w
        a, b, alpha = self.loss.a, self.loss.b, self.loss.alpha
        alpha.add_(2 * (MARGIN + b - a - alpha), alpha=self.lr).clamp_(min=0)
        self.counted += 1

    @torch.no_grad()
    def end_epoch(self) -> None:
        """The mean weights of this epoch become the reference of the next."""
        if self.counted:
            for reference, total in zip(self.reference, self.sums):
                reference.copy_(total / self.counted)
                total.zero_()
        self.counted = 0

    def state_dict(self) -> dict[str, Any]:
        """Everything the next step depends on beside the network's weights."""
        names = "reference", "sums", "buffers", "fresh", "counted", "lr"
        return {"loss": self.loss.state_dict(), **{name: getattr(self, name) for name in names}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self.loss.load_state_dict(state["loss"])
        for name in ("reference", "sums", "buffers"):
            for tensor, saved in zip(getattr(self, name), state[name], strict=True):
                tensor.copy_(saved)
        self.fresh = bool(state["fresh"])
        self.counted, self.lr = int(state["counted"]), float(state["lr"])


@dataclass(frozen=True)
class Phase:
    """One part of a fit.

    Attributes:
        name: For reports: "pretraining", "training", "AUC-margin".
        pool: Name of the pool of images.
        steps: Optimizer steps.
        loss: "bce", "focal" or "auc-margin".
        lr: Peak learning rate.
        schedule: "cosine" or "constant"; AUC-margin has its own (a tenth after the first epoch).
    """

    name: str
    pool: str
    steps: int
    loss: str
    lr: float
    schedule: str

    def lr_at(self, step: int) -> float:
        """Learning rate of a step of this phase: a short linear warm-up, then the schedule."""
        return short_warmup(self.lr, self.schedule, step, self.steps)


def plan_phases(
    *,
    steps: int,
    lr: float,
    schedule: str,
    loss: str,
    pretrain_frac: float,
    finetune_lr: float,
    auc_frac: float,
    auc_lr: float,
) -> list[Phase]:
    """The phases of a fit.

    Args:
        steps: The budget.
        lr: Peak learning rate from scratch.
        schedule: "cosine" or "constant".
        loss: "bce", "focal", or "auc-margin", which comes after "bce".
        pretrain_frac: Share of the steps on the pool "synthetic" first; 0 for none.
        finetune_lr: Peak learning rate after such a pretraining.
        auc_frac: Share of the remaining steps that AUC-margin gets, the last ones.
        auc_lr: Learning rate of AUC-margin.

    Raises:
        UsageError: The budget is too small for the phases asked for.
    """
    pretraining = round(pretrain_frac * steps)
    margin = round(auc_frac * (steps - pretraining)) if loss == AUC_MARGIN else 0
    training = steps - pretraining - margin
    if training < 1 or (pretrain_frac and pretraining < 1) or (loss == AUC_MARGIN and margin < 1):
        raise UsageError(f"{steps} steps are too few for the phases asked for", hint="more --steps")
    rate = finetune_lr if pretraining else lr
    first = CROSS_ENTROPY if loss == AUC_MARGIN else loss
    stages = (
        ("pretraining", "synthetic", pretraining, first, lr, schedule),
        ("training", "train", training, first, rate, schedule),
        ("AUC-margin", "train", margin, AUC_MARGIN, auc_lr, "constant"),
    )
    return [Phase(*stage) for stage in stages if stage[2]]
