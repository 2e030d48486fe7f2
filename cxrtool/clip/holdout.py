"""How well a CLIP reads patients that it was not trained on.

In: held-out pairs with their labels. Out: retrieval both ways, zero-shot AUROC per label, and the
mean cosine between different images, which goes to 1 where the embedding collapses.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cxrtool.clip.model import ClipModel
from cxrtool.clip.retrieval import mean_recall, retrieval
from cxrtool.clip.templates import Templates
from cxrtool.clip.training import Pairs
from cxrtool.clip.zeroshot import (
    auroc,
    label_vectors,
    mean_defined,
    negation_test,
    share_above_half,
    zero_shot_scores,
)
from cxrtool.data.images import to_float

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
def evaluate(model: ClipModel, held: HeldOut, templates: Templates) -> dict[str, Any]:
    """Measure a CLIP; the network is left in evaluation mode.

    Returns:
        `recall` (mean over both ways and ranks), `retrieval`, `auroc` per label (NaN where
        undefined), `auroc_mean` over those defined, `negation` per label and `negation_passed`
        (see `zeroshot.negation_test`), `prompt_cosine` (mean over labels of the cosine between what
        says a label and what denies it), `image_cosine`.
    """
    model.network.eval()
    images = embed_all(model, held.pairs.images)
    recalls = pair_retrieval(model, images, held.pairs)
    vectors = label_vectors(model, templates, held.labels)
    scores = zero_shot_scores(images, vectors).cpu().numpy()
    areas = auroc(scores, held.values, held.mask, held.labels)
    nearer = negation_test(scores, held.values, held.mask, held.labels)
    return {
        "recall": mean_recall(recalls),
        "retrieval": recalls,
        "auroc": areas,
        "auroc_mean": mean_defined(areas),
        "negation": nearer,
        "negation_passed": share_above_half(nearer),
        "prompt_cosine": prompt_cosine(vectors),
        "image_cosine": image_cosine(images),
    }


@torch.no_grad()
def pair_retrieval(model: ClipModel, images: Tensor, pairs: Pairs) -> dict[str, float]:
    """Recall of N pairs both ways, see `retrieval.retrieval`; `images` are their unit vectors."""
    tokens = pairs.tokens.to(model.device)
    different = torch.cat([model.embed_tokens(part) for part in tokens.split(_BLOCK)])
    texts = different[torch.from_numpy(pairs.texts[:, 0]).to(model.device)]
    return retrieval(images, texts, pairs.groups.to(model.device))


def prompt_cosine(vectors: Tensor) -> float:
    """Mean over labels of the cosine between what says a label and what denies it: [L, 2, D]."""
    return float((vectors[:, 0] * vectors[:, 1]).sum(dim=1).mean())


def image_cosine(images: Tensor) -> float:
    """Mean cosine between different images, [N, D] unit; 1 where the embedding has collapsed."""
    n, total = len(images), images.sum(dim=0)
    return float((total @ total - n) / max(1, n * (n - 1)))
