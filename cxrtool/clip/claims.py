"""What a text says about every label, so that a CLIP learns "no effusion" from "effusion".

In: the texts of the pairs, a reader that finds labels in a text, and prompt templates. Out:
`Claims`: for every pair and label whether its text says that the label is there, denies it, or
leaves it open, and the prompts that say so or deny it. To a contrastive loss over whole texts a
negation is one word among many, and pre-trained CLIPs hardly notice it (Yuksekgonul et al. 2023,
"When and why vision-language models behave like bags-of-words"); here the denial of what a text
says is its hard negative. Claims come from the text that the pair was given, never from other
labels: a text that is wrong on purpose makes wrong claims.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from cxrtool.clip.templates import Templates
from cxrtool.clip.texts import LABELS, PairTexts
from cxrtool.clip.tokens import Tokenizer

HEAVIEST = 10.0
Reader = Callable[[Sequence[str]], list[Mapping[str, int]]]
"""Texts to what each says: label -> 1 (there), 0 (denied) or -1 (open)."""

OPEN = -1


@dataclass(frozen=True)
class Claims:
    """What texts say about labels, and how it is put into words.

    Attributes:
        labels: L names.
        values: [N, L] int8: 1 said to be there, 0 denied, -1 open.
        tokens: [P, context] int64, every prompt once.
        prompts: L pairs of index arrays into `tokens`: prompts that say it, prompts that deny it.
    """

    labels: tuple[str, ...]
    values: np.ndarray
    tokens: Tensor
    prompts: tuple[tuple[np.ndarray, np.ndarray], ...]

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
        chosen = [int(rng.choice(pair[side])) for side in (0, 1) for pair in self.prompts]
        return self.tokens[torch.tensor(chosen)]


def claims_of(
    texts: PairTexts,
    labels: Sequence[str],
    label_values: np.ndarray,
    templates: Templates,
    tokenizer: Tokenizer,
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
    prompts = tuple(
        tuple(
            np.array([spoken.setdefault(p, len(spoken)) for p in templates.prompts(label, there)])
            for there in (True, False)
        )
        for label in labels
    )
    return Claims(tuple(labels), values, tokenizer(list(spoken)), prompts)  # type: ignore[arg-type]


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
