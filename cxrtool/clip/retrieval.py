"""Retrieval between held-out images and their texts.

In: unit embeddings of N pairs and their group numbers. Out: the share of queries for which one of
the k nearest answers belongs to the query's group. Pairs that say the same are one group, so that
finding an equal text of another patient is right, and not an error by chance.
"""

import torch
from torch import Tensor

RANKS = (1, 5, 10)


def retrieval(images: Tensor, texts: Tensor, groups: Tensor) -> dict[str, float]:
    """Recall at 1, 5 and 10, both ways.

    Equal texts are one answer: an image asks among the different texts. A text asks among all
    images. With fewer answers than k, recall at k is 1.

    Args:
        images: [N, D] unit.
        texts: [N, D] unit; row i belongs to image i.
        groups: [N] integer.

    Returns:
        `image_to_text@k` and `text_to_image@k`.
    """
    distinct, first = _first_of_each(groups)
    similarity = images @ texts[first].T  # [N, G]
    recalls = {}
    for k in RANKS:
        near = similarity.topk(min(k, len(distinct)), dim=1).indices
        hits = (distinct[near] == groups[:, None]).any(dim=1)
        recalls[f"image_to_text@{k}"] = float(hits.float().mean())
    for k in RANKS:
        near = similarity.T.topk(min(k, len(images)), dim=1).indices
        hits = (groups[near] == distinct[:, None]).any(dim=1)
        recalls[f"text_to_image@{k}"] = float(hits.float().mean())
    return recalls


def mean_recall(recalls: dict[str, float]) -> float:
    """Mean over both ways and all ranks: the number that checkpoints are chosen by."""
    return sum(recalls.values()) / len(recalls)


def chance(groups: Tensor) -> dict[str, float]:
    """What random embeddings would reach, by drawing answers without replacement."""
    n = len(groups)
    distinct, _ = _first_of_each(groups)
    sizes = torch.bincount(torch.searchsorted(distinct, groups)).double()
    recalls = {f"image_to_text@{k}": min(1.0, k / len(distinct)) for k in RANKS}
    for k in RANKS:
        missed = torch.ones_like(sizes)
        for drawn in range(min(k, n)):
            missed *= ((n - sizes - drawn) / (n - drawn)).clamp_min(0.0)
        recalls[f"text_to_image@{k}"] = float((1.0 - missed).mean())
    return recalls


def _first_of_each(groups: Tensor) -> tuple[Tensor, Tensor]:
    """The group numbers in ascending order, and where each stands first."""
    distinct, inverse = torch.unique(groups, return_inverse=True)
    positions = torch.arange(len(groups), device=groups.device)
    first = torch.full_like(distinct, len(groups)).scatter_reduce(
        0, inverse, positions, reduce="amin"
    )
    return distinct, first
