"""What a CLIP is trained by: image and text of a pair, and what a text says about every label.

In: unit embeddings of the pairs of one batch, [N, D] each, and a group number per pair. Out: a
scalar. Reports repeat themselves ("no acute cardiopulmonary process"), and InfoNCE (Radford et al.
2021, CLIP, figure 3) calls every other pair of the batch a negative, also one that says the
same. Here all pairs of one group share the target mass:

    P[i, j] = [g_i = g_j] / #{k : g_k = g_i},
    L = 1/2 (CE(s A B^T, P) + CE(s B A^T, P)),   s = exp(logit_scale) <= 100.

With N different groups this is InfoNCE itself. A network with a `logit_bias` b (SigLIP, Zhai et al.
2023) is trained as it was before, every pair of the batch by itself:

    L = -1/N sum_ij log sigmoid(z_ij (s a_i . b_j + b)),   z_ij = 1 if g_i = g_j else -1.

So that a CLIP learns "no effusion" from "effusion", a second loss goes by `Claims`, made from the
texts of the pairs, a reader that finds labels in a text, and prompt templates: for every pair and
label whether its text says that the label is there, denies it, or leaves it open, and the prompts
that say so or deny it. To a contrastive loss over whole texts a negation is one word among many,
and pre-trained CLIPs hardly notice it (Yuksekgonul et al. 2023, "When and why vision-language
models behave like bags-of-words"); here the denial of what a text says is its hard negative. Claims
come from the text that the pair was given, never from other labels: a text that is wrong on purpose
makes wrong claims.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from open_clip import SimpleTokenizer
from torch import Tensor
from torch.nn import functional

from cxrtool.clip.templates import Templates
from cxrtool.clip.texts import LABELS, PairTexts

MAX_SCALE = 100.0
"""Upper end of exp(logit_scale), from the CLIP paper, section 2.5."""
HEAVIEST = 10.0
OPEN = -1
Reader = Callable[[Sequence[str]], list[Mapping[str, int]]]
"""Texts to what each says: label -> 1 (there), 0 (denied) or -1 (open)."""


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


def sigmoid_loss(
    images: Tensor, texts: Tensor, scale: Tensor, bias: Tensor, groups: Tensor
) -> Tensor:
    """Whether each image and each text of a batch belong together, N^2 binary questions.

    Args:
        images: [N, D] unit embeddings.
        texts: [N, D] unit embeddings; row i belongs to image i.
        scale: Scalar, the inverse temperature exp(logit_scale).
        bias: Scalar, logit_bias.
        groups: [N] integer group numbers (see the module).
    """
    logits = scale * images @ texts.T + bias
    same = groups[:, None] == groups[None, :]
    return -functional.logsigmoid(torch.where(same, logits, -logits)).sum() / len(images)


def clamp_temperature(logit_scale: Tensor) -> None:
    """Keep exp(logit_scale) in [1, `MAX_SCALE`], in place; call it after every optimizer step."""
    with torch.no_grad():
        logit_scale.clamp_(0.0, math.log(MAX_SCALE))


@dataclass(frozen=True)
class Claims:
    """What texts say about labels, and how it is put into words.

    Attributes:
        values: [N, L] int8: 1 said to be there, 0 denied, -1 open.
        tokens: [P, context] int64, every prompt once.
        prompts: 2 L index arrays into `tokens`: prompts that say each label, then those that deny
            each.
    """

    values: np.ndarray
    tokens: Tensor
    prompts: Sequence[np.ndarray]

    @cached_property
    def weights(self) -> Tensor:
        """What a denial and what a claim of each label weighs: [2, L] float32.

        Both sides of a label weigh half of it over all texts; no claim weighs more than HEAVIEST.
        """
        counts = np.stack([(self.values == side).sum(axis=0) for side in (0, 1)])
        weights = counts.sum(axis=0) / (2.0 * counts.clip(1))
        one_sided = (counts == 0).any(axis=0)
        return torch.from_numpy(np.where(one_sided, 1.0, weights.clip(max=HEAVIEST))).float()

    def drawn(self, rng: np.random.Generator) -> Tensor:
        """One prompt of each kind for every label: tokens [2 L, context], first all that say it."""
        return self.tokens[torch.tensor([int(rng.choice(own)) for own in self.prompts])]


def claims_of(
    texts: PairTexts,
    labels: Sequence[str],
    label_values: np.ndarray,
    templates: Templates,
    tokenizer: SimpleTokenizer,
    read: Reader,
) -> Claims:
    """The claims of N pairs.

    Args:
        texts: The pairs' texts.
        labels: L names.
        label_values: [N, L] int8 of these pairs, -1 where unknown; used for prompts composed from
            labels.
        templates: How a label is said and denied.
        tokenizer: Of the CLIP.
        read: Finds labels in texts. A list of phrases that does not name a label denies it, unless
            the reader says that it is open.
    """
    if texts.origin == LABELS:
        values = label_values
    else:
        plain = [row[0] for row in texts.wordings]
        different = list(dict.fromkeys(plain))
        said = dict(zip(different, read(different), strict=True))
        blank = 0 if texts.phrases else OPEN
        values = np.array(
            [[said[text].get(label, blank) for label in labels] for text in plain], np.int8
        ).reshape(len(plain), len(labels))
    spoken: dict[str, int] = {}
    prompts = [
        np.array([spoken.setdefault(p, len(spoken)) for p in templates.prompts(label, there)])
        for there in (True, False)
        for label in labels
    ]
    return Claims(values, tokenizer(list(spoken)), prompts)


def claim_loss(
    images: Tensor, prompts: Tensor, scale: Tensor, values: Tensor, weights: Tensor
) -> Tensor:
    """Cross-entropy of choosing between a prompt and its denial.

    For image i and label l with the prompts' vectors p_l and n_l, the choice has the logit
    s (cos(x_i, p_l) - cos(x_i, n_l)): an InfoNCE over two texts that differ in the negation alone.
    Averaged over the claims of each label, then over labels, so that a rare label counts as much.
    Without weights the denial of a rare label would win for every image, which lets scores rank but
    fails the negation test.

    Args:
        images: [N, D] unit.
        prompts: [2 L, D] unit, see `Claims.drawn`.
        scale: Scalar, the inverse temperature.
        values: [N, L]: 1, 0, or -1 for open.
        weights: [2, L], see `Claims.weights`.

    Returns:
        Scalar; 0 where nothing is claimed.
    """
    said, denied = prompts.chunk(2)
    logits = scale * images @ (said - denied).T
    said_there = values.clamp_min(0).to(logits.dtype)
    claimed = (values >= 0).to(logits.dtype)
    weights = weights.to(logits.dtype)
    each = functional.binary_cross_entropy_with_logits(
        logits,
        said_there,
        weight=claimed * torch.lerp(weights[0], weights[1], said_there),
        reduction="none",
    )
    counts = claimed.sum(dim=0)
    there = (counts > 0).to(logits.dtype)
    return ((each.sum(dim=0) / counts.clamp_min(1.0)) * there).sum() / there.sum().clamp_min(1.0)
