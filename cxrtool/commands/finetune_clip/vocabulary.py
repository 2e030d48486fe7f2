"""The words that a CLIP has met, for model.json: who edits by a text can ask whether it knows them.

In: the pairs as they were trained on, and what the first weights had met. Out: a `Vocabulary`.
Words of few patients may be names, so they are never named.
"""

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from cxrtool.clip.losses import OPEN
from cxrtool.clip.templates import Templates
from cxrtool.clip.texts import common_words, words_of
from cxrtool.clip.training import ClipTrainer
from cxrtool.commands.finetune_clip.options import Config
from cxrtool.commands.finetune_clip.pairs import Part
from cxrtool.core import console
from cxrtool.core.reading import meaning_of, read_json
from cxrtool.data.columns import PATIENT, are_blank
from cxrtool.data.keys import MODEL
from cxrtool.data.select import patient_groups


@dataclass(frozen=True)
class Vocabulary:
    """The words that a CLIP has met.

    Attributes:
        least_patients: Patients in whose texts a word must stand to be named.
        known: The words, sorted.
        pretrained: Whether its first weights had met more words than these.
    """

    least_patients: int
    known: Sequence[str]
    pretrained: bool

    @classmethod
    def of_start(cls, config: Config) -> "Vocabulary":
        """What the first weights have met, as far as an earlier run names it."""
        unnamed = cls(config.min_patients, [], pretrained=not config.from_scratch)
        file = config.pretrained and config.pretrained / MODEL
        if file is None or not file.is_file():
            return unnamed
        recorded = read_json(file).get("words")
        with meaning_of(file):
            if recorded is None or recorded["least_patients"] < config.min_patients:
                return unnamed  # what it names may be words of too few patients
            return replace(cls(**recorded), least_patients=config.min_patients)

    def of_training(
        self, trainer: ClipTrainer, train: Part, ends: Mapping[str, str], templates: Templates
    ) -> "Vocabulary":
        """With the words that a training has shown; `ends` are those of texts that are cut off."""
        claims = trainer.pairs.claims
        assert claims is not None
        epochs = -(-trainer.step_number // trainer.steps_per_epoch)  # each took the next wording
        words = words_shown(
            [row[:epochs] for row in train.texts.wordings],
            ends,
            prompt_words(templates, train.dataset.labels),
            (claims.values != OPEN) & (trainer.recipe.negation_weight > 0),
        )
        common = common_words(words, training_units(train), self.least_patients)
        return replace(self, known=sorted({*self.known, *common}))

    def to_json(self) -> dict[str, Any]:
        """For model.json."""
        return asdict(self)


def words_shown(
    wordings: Sequence[Sequence[str]],
    ends: Mapping[str, str],
    prompts: Sequence[Set[str]],
    claimed: np.ndarray,
) -> Iterator[Set[str]]:
    """The words that each pair brought into training.

    Args:
        wordings: N lists of texts.
        ends: Text -> its end that is cut off.
        prompts: L sets of words, of the prompts that say or deny each label.
        claimed: [N, L] bool: labels whose prompts are trained by this pair.
    """
    words: dict[str, list[str]] = {}
    for text in {text for row in wordings for text in row}:
        whole = words_of(text)
        words[text] = whole[: len(whole) - len(words_of(ends.get(text, "")))]
    for row, labels in zip(wordings, claimed, strict=True):
        own = {word for text in row for word in words[text]}
        yield own.union(*(prompts[i] for i in np.flatnonzero(labels).tolist()))


def prompt_words(templates: Templates, labels: Sequence[str]) -> list[Set[str]]:
    """The words of all prompts that say or deny each label: [L]."""
    return [
        {
            word
            for there in (True, False)
            for prompt in templates.prompts(label, there)
            for word in words_of(prompt)
        }
        for label in labels
    ]


def training_units(train: Part) -> np.ndarray:
    """The patients of the pairs, by whom words are counted: [N] int64; says where ids lack."""
    nameless = int(are_blank(train.dataset.table, PATIENT)[train.rows].sum())
    if nameless:
        console.warn(
            f"{nameless:,} of {len(train.rows):,} training images have no patient id: for the words"
            " that model.json names (--min-patients), each counts as a patient, or its study does"
        )
    return patient_groups(train.dataset, train.rows)
