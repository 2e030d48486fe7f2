"""The contrastive loss between images and texts, with soft targets for duplicates.

In: unit embeddings of the pairs of one batch, [N, D] each, and a group number per pair. Out: a
scalar. Reports repeat themselves ("no acute cardiopulmonary process"), and InfoNCE (Radford et al.
2021, CLIP, figure 3) calls every other pair of the batch a negative, also one that says the
same. Here all pairs of one group share the target mass:

    P[i, j] = [g_i = g_j] / #{k : g_k = g_i},
    L = 1/2 (CE(s A B^T, P) + CE(s B A^T, P)),   s = exp(logit_scale) <= 100.

With N different groups this is InfoNCE itself.
"""

import math
from collections.abc import Hashable, Iterable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

MAX_SCALE = 100.0
"""Upper end of exp(logit_scale), from the CLIP paper, section 2.5."""


def group_numbers(keys: Iterable[Hashable]) -> np.ndarray:
    """Number equal keys equally, in order of first appearance: [N] int64."""
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)


def soft_targets(groups: Tensor) -> Tensor:
    """Target distribution over the batch for every pair.

    Args:
        groups: [N] integer; pairs of one number say the same.

    Returns:
        [N, N] float32, symmetric; every row sums to 1.
    """
    same = (groups[:, None] == groups[None, :]).float()
    return same / same.sum(dim=1, keepdim=True)


def contrastive_loss(images: Tensor, texts: Tensor, scale: Tensor, groups: Tensor) -> Tensor:
    """Symmetric cross-entropy between the similarities of a batch and its soft targets.

    Args:
        images: [N, D] unit embeddings.
        texts: [N, D] unit embeddings; row i belongs to image i.
        scale: Scalar, the inverse temperature exp(logit_scale).
        groups: [N] integer group numbers (see the module).
    """
    logits = scale * images @ texts.T
    targets = soft_targets(groups).to(logits.dtype)
    return 0.5 * (
        functional.cross_entropy(logits, targets) + functional.cross_entropy(logits.T, targets)
    )


def clamp_temperature(logit_scale: Tensor, maximum: float = MAX_SCALE) -> None:
    """Keep exp(logit_scale) in [1, maximum], in place; call it after every optimizer step."""
    with torch.no_grad():
        logit_scale.clamp_(0.0, math.log(maximum))
