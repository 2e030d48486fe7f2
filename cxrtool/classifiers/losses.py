"""Losses over several labels at once, with cells left out.

In: logits, values and a mask that is False for cells without information (label
policies). Out: a scalar, the mean over the cells that count.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


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
