"""The phases of a fit: which images, which loss, how many steps and at what rate.

In: arm, loss and the budget of steps. Out: phases whose steps add up to the budget, so that every
arm has the same number of optimizer steps. `pretrain-finetune` spends a share of them on synthetic
images and the rest on real ones; `auc-margin` spends a share of what trains on the final images on
cross-entropy and the rest on the AUC-margin loss.
"""

from dataclasses import dataclass

from cxrtool.core.errors import UsageError
from cxrtool.training.schedules import SCHEDULES as SCHEDULES
from cxrtool.training.schedules import short_warmup

CROSS_ENTROPY, AUC_MARGIN = "bce", "auc-margin"
LOSSES = (CROSS_ENTROPY, AUC_MARGIN)


@dataclass(frozen=True)
class Phase:
    """One part of a fit.

    Attributes:
        name: For reports: "pretraining", "training", "AUC-margin".
        pool: Name of the pool of images.
        steps: Optimizer steps.
        loss: One of `LOSSES`.
        lr: Peak learning rate.
        schedule: One of `SCHEDULES`; AUC-margin has its own (a tenth after the first epoch).
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
        schedule: One of `SCHEDULES`.
        loss: One of `LOSSES`.
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
    stages = (
        ("pretraining", "synthetic", pretraining, CROSS_ENTROPY, lr, schedule),
        ("training", "train", training, CROSS_ENTROPY, rate, schedule),
        ("AUC-margin", "train", margin, AUC_MARGIN, auc_lr, "constant"),
    )
    return [Phase(*stage) for stage in stages if stage[2]]
