"""How well a CLIP reads patients that it was not trained on.

In: held-out pairs with their labels. Out: retrieval both ways, zero-shot AUROC per label, the mean
cosine between different images, which goes to 1 where the embedding collapses, and the loss.

Retrieval is the share of queries for which one of the k nearest answers belongs to the query's
group. Pairs that say the same are one group, so that finding an equal text of another patient is
right, and not an error by chance.

The zero-shot score of a label is cos(image, positive) - cos(image, negative), each text vector the
unit mean of the unit vectors of its prompts (Radford et al. 2021, prompt ensembling; paired prompts
as in CheXzero, Tiu et al. 2022).
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.nn import functional

from cxrtool.clip.model import ClipModel
from cxrtool.clip.templates import Templates
from cxrtool.clip.training import Pairs
from cxrtool.data.images import to_float

Loss = Callable[[Tensor, Tensor, Pairs], float]
"""Unit vectors of N images and of their texts, and the pairs, to a loss."""
RANKS = (1, 5, 10)
_BLOCK = 64


@dataclass(frozen=True)
class HeldOut:
    """Held-out pairs.

    Attributes:
        pairs: Images, texts and groups; the first wording of each row is used.
        labels: L names.
        values: [N, L] in {0, 1}.
        mask: [N, L]; False where unknown.
    """

    pairs: Pairs
    labels: Sequence[str]
    values: np.ndarray
    mask: np.ndarray


@torch.no_grad()
def embed_all(model: ClipModel, images: np.ndarray) -> Tensor:
    """uint8 [N, H, W] -> unit vectors [N, D], in blocks."""
    blocks = [
        model.embed_images(to_float(images[start : start + _BLOCK]).to(model.device))
        for start in range(0, len(images), _BLOCK)
    ]
    return torch.cat(blocks)


@torch.no_grad()
def evaluate(
    model: ClipModel, held: HeldOut, templates: Templates, loss: Loss | None = None
) -> dict[str, Any]:
    """Measure a CLIP; the network is left in evaluation mode.

    Returns:
        `val_loss` (by `loss`, if there is one), `recall` (mean over both ways and ranks),
        `retrieval`, `auroc` per label (NaN where undefined), `auroc_mean` over those defined,
        `negation` per label and `negation_passed` (see `negation_test`), `prompt_cosine` (mean
        over labels of the cosine between what says a label and what denies it), `image_cosine`.
    """
    model.network.eval()
    images = embed_all(model, held.pairs.images)
    texts = text_vectors(model, held.pairs)
    recalls = retrieval(images, texts, held.pairs.groups.to(model.device))
    vectors = label_vectors(model, templates, held.labels)
    scores = zero_shot_scores(images, vectors).cpu().numpy()
    areas = auroc(scores, held.values, held.mask, held.labels)
    nearer = negation_test(scores, held.values, held.mask, held.labels)
    return {
        **({"val_loss": loss(images, texts, held.pairs)} if loss is not None else {}),
        "recall": mean_recall(recalls),
        "retrieval": recalls,
        "auroc": areas,
        "auroc_mean": mean_defined(areas.values()),
        "negation": nearer,
        "negation_passed": mean_defined(v if math.isnan(v) else v > 0.5 for v in nearer.values()),
        "prompt_cosine": prompt_cosine(vectors),
        "image_cosine": image_cosine(images),
    }


@torch.no_grad()
def text_vectors(model: ClipModel, pairs: Pairs) -> Tensor:
    """Unit vectors of the first wordings of N pairs: [N, D]."""
    tokens = pairs.tokens.to(model.device)
    different = torch.cat([model.embed_tokens(part) for part in tokens.split(_BLOCK)])
    return different[torch.from_numpy(pairs.texts[:, 0]).to(model.device)]


def pair_retrieval(model: ClipModel, images: Tensor, pairs: Pairs) -> dict[str, float]:
    """Recall of N pairs both ways, see `retrieval`; `images` are their unit vectors."""
    return retrieval(images, text_vectors(model, pairs), pairs.groups.to(model.device))


def prompt_cosine(vectors: Tensor) -> float:
    """Mean over labels of the cosine between what says a label and what denies it: [L, 2, D]."""
    return float((vectors[:, 0] * vectors[:, 1]).sum(dim=1).mean())


def image_cosine(images: Tensor) -> float:
    """Mean cosine between different images, [N, D] unit; 1 where the embedding has collapsed."""
    n, total = len(images), images.sum(dim=0)
    return float((total @ total - n) / max(1, n * (n - 1)))


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
    distinct, inverse = torch.unique(groups, return_inverse=True)
    positions = torch.arange(len(groups), device=groups.device)
    none = torch.full_like(distinct, len(groups))
    first = none.scatter_reduce(0, inverse, positions, reduce="amin")  # where each stands first
    similarity = images @ texts[first].T  # [N, G]
    ways = {
        "image_to_text": (similarity, groups, distinct),
        "text_to_image": (similarity.T, distinct, groups),
    }
    recalls = {}
    for way, (scores, queries, answers) in ways.items():
        for k in RANKS:
            near = scores.topk(min(k, len(answers)), dim=1).indices
            hits = (answers[near] == queries[:, None]).any(dim=1)
            recalls[f"{way}@{k}"] = float(hits.float().mean())
    return recalls


def mean_recall(recalls: dict[str, float]) -> float:
    """Mean over both ways and all ranks: the number that checkpoints are chosen by."""
    return sum(recalls.values()) / len(recalls)


def chance(groups: Tensor) -> dict[str, float]:
    """What random embeddings would reach, by drawing answers without replacement."""
    n, sizes = len(groups), torch.unique(groups, return_counts=True)[1].double()
    recalls = {f"image_to_text@{k}": min(1.0, k / len(sizes)) for k in RANKS}
    for k in RANKS:
        missed = torch.ones_like(sizes)
        for drawn in range(min(k, n)):
            missed *= ((n - sizes - drawn) / (n - drawn)).clamp_min(0.0)
        recalls[f"text_to_image@{k}"] = float((1.0 - missed).mean())
    return recalls


@torch.no_grad()
def label_vectors(model: ClipModel, templates: Templates, labels: Sequence[str]) -> Tensor:
    """Text vectors of every label, [L, 2, D]: it is there, it is not."""
    sides = [templates.prompts(label, there) for label in labels for there in (True, False)]
    means = [functional.normalize(model.embed_texts(s).mean(dim=0), dim=0) for s in sides]
    return torch.stack(means).view(len(labels), 2, -1)


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
        rows = mask[:, k].astype(bool)
        truth = values[rows, k]
        both = len(np.unique(truth)) > 1
        areas[label] = float(roc_auc_score(truth, scores[rows, k])) if both else math.nan
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


def mean_defined(values: Iterable[float]) -> float:
    """Mean of those that are not NaN; NaN if none is."""
    defined = [value for value in values if not math.isnan(value)]
    return float(np.mean(defined)) if defined else math.nan
