"""Reading labels from images with texts alone.

In: unit embeddings of images, and prompts in pairs: a label is there, it is not. Out: a score a
label and its AUROC. The score is cos(image, positive) - cos(image, negative), each text vector the
unit mean of the unit vectors of its prompts (Radford et al. 2021, prompt ensembling; paired prompts
as in CheXzero, Tiu et al. 2022).
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.nn import functional

from cxrtool.clip.model import ClipModel
from cxrtool.clip.templates import Templates


def mean_direction(vectors: Tensor) -> Tensor:
    """[K, D] unit vectors -> their unit mean [D]."""
    return functional.normalize(vectors.mean(dim=0), dim=0)


@torch.no_grad()
def label_vectors(model: ClipModel, templates: Templates, labels: Sequence[str]) -> Tensor:
    """Text vectors of every label, [L, 2, D]: it is there, it is not."""
    pairs = [
        torch.stack(
            [mean_direction(model.embed_texts(templates.prompts(label, p))) for p in (True, False)]
        )
        for label in labels
    ]
    return torch.stack(pairs)


def zero_shot_scores(images: Tensor, vectors: Tensor) -> Tensor:
    """[N, D] unit and [L, 2, D] -> scores [N, L]; higher means that the label is there."""
    return images @ (vectors[:, 0] - vectors[:, 1]).T


def auroc(
    scores: np.ndarray, values: np.ndarray, mask: np.ndarray, labels: Sequence[str]
) -> dict[str, float]:
    """AUROC of every label, NaN where only one class is there.

    Args:
        scores: [N, L].
        values: [N, L] in {0, 1}.
        mask: [N, L]; False leaves a row out for that label.
        labels: L names.
    """
    areas = {}
    for k, label in enumerate(labels):
        keep = mask[:, k].astype(bool)
        truth = values[keep, k]
        one_class = len(np.unique(truth)) < 2
        areas[label] = float("nan") if one_class else float(roc_auc_score(truth, scores[keep, k]))
    return areas


def negation_test(
    scores: np.ndarray, values: np.ndarray, mask: np.ndarray, labels: Sequence[str]
) -> dict[str, float]:
    """Share of each label's positive images that are nearer to its prompt than to its negation.

    Without regard to word order or to "no" it is 1 for some labels and 0 for others by chance.

    Args:
        scores: [N, L], positive where the prompt is nearer than its negation.
        values: [N, L] in {0, 1}.
        mask: [N, L]; False leaves a row out for that label.
        labels: L names.

    Returns:
        NaN for a label without a positive image.
    """
    positive = mask.astype(bool) & (values > 0.5)
    return {
        label: float((scores[positive[:, k], k] > 0).mean()) if positive[:, k].any() else math.nan
        for k, label in enumerate(labels)
    }


def share_above_half(values: dict[str, float]) -> float:
    """Share of the defined values above one half; NaN if none is defined."""
    defined = [value for value in values.values() if not math.isnan(value)]
    return float(np.mean([value > 0.5 for value in defined])) if defined else math.nan


def mean_defined(values: dict[str, float]) -> float:
    """Mean of those that are not NaN; NaN if none is."""
    defined = [value for value in values.values() if not np.isnan(value)]
    return float(np.mean(defined)) if defined else float("nan")
