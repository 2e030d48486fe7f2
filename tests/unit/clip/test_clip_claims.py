"""Claims of texts and the loss that tells them from their denials."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import pytest
import torch
from torch.nn import functional

from cxrtool.clip.holdout import label_vectors, zero_shot_scores
from cxrtool.clip.losses import HEAVIEST, Claims, claim_loss, claims_of
from cxrtool.clip.model import ClipModel, create
from cxrtool.clip.templates import Templates
from cxrtool.clip.texts import LABELS, PairTexts
from cxrtool.clip.training import ClipTrainer, Recipe, make_pairs
from cxrtool.commands.finetune_clip.pairs import said_in
from cxrtool.data.images import to_float

from .conftest import micro, squares

SIDES = ("Left", "Right")
PLAIN = Templates(("an image",), ("there is {}", "{}"), ("there is no {}", "no {}"))


def _words(texts: Sequence[str]) -> list[Mapping[str, int]]:
    """Reads "left" and "no left"."""
    return [{s: int(f"no {s.lower()}" not in t) for s in SIDES if s.lower() in t} for t in texts]


def _texts(texts: list[str], origin: str = "column x", phrases: bool = False) -> PairTexts:
    return PairTexts(np.arange(len(texts)), [[t] for t in texts], np.arange(3), origin, phrases)


def _claims(model: ClipModel, texts: PairTexts, known: np.ndarray | None = None) -> Claims:
    known = np.full((len(texts.wordings), 2), -1, np.int8) if known is None else known
    return claims_of(texts, SIDES, known, PLAIN, model.tokenizer, _words)


def test_a_sentence_leaves_open_what_it_does_not_name(model: ClipModel) -> None:
    found = _claims(model, _texts(["left", "no left", "nothing"]))
    assert found.values.tolist() == [[1, -1], [0, -1], [-1, -1]]


def test_a_list_of_findings_denies_what_it_does_not_name(model: ClipModel) -> None:
    found = _claims(model, _texts(["left", "no left", "nothing"], phrases=True))
    assert found.values.tolist() == [[1, 0], [0, 0], [0, 0]]


def test_a_label_that_the_reader_does_not_know_is_open(model: ClipModel) -> None:
    labels = ("Effusion", "Nodule", "COVID-19", "No Finding")
    texts = _texts(["pleural effusion", "support devices", "no finding"], phrases=True)
    known = np.full((3, 4), -1, np.int8)
    read = partial(said_in, labels=labels)
    found = claims_of(texts, labels, known, PLAIN, model.tokenizer, read)
    assert found.values.tolist() == [[1, -1, -1, 0], [0, -1, -1, -1], [0, -1, -1, 1]]


def test_composed_prompts_claim_the_labels(model: ClipModel) -> None:
    known = np.array([[1, 0], [0, -1], [1, 1]], np.int8)
    assert _claims(model, _texts(["x", "y", "z"], LABELS), known).values.tolist() == known.tolist()


def test_a_draw_holds_what_says_it_before_what_denies_it(model: ClipModel) -> None:
    claims = _claims(model, _texts(["left", "right", "no"]))
    drawn = claims.drawn(np.random.default_rng(0))
    said = [model.tokenizer(PLAIN.prompts(side, True)) for side in SIDES]
    denied = [model.tokenizer(PLAIN.prompts(side, False)) for side in SIDES]
    for row, among in zip(drawn, [*said, *denied], strict=True):
        assert (row == among).all(dim=1).any()


def test_the_loss_is_its_definition() -> None:
    generator = torch.Generator().manual_seed(0)
    unit = functional.normalize(torch.randn(9, 5, generator=generator, dtype=torch.float64), dim=1)
    images, prompts, scale = unit[:3], unit[3:9], 7.0
    values = np.array([[1, 0, -1], [-1, 1, -1], [0, 0, -1]])
    weights = torch.tensor([[0.5, 2.0, 1.0], [1.5, 3.0, 1.0]])
    by_label = []
    for label in range(2):  # of the third nothing is claimed
        terms = []
        for i in range(3):
            if values[i, label] >= 0:
                near = [scale * float(images[i] @ prompts[label + 3 * side]) for side in (0, 1)]
                right = near[0] if values[i, label] else near[1]
                loss = math.log(sum(math.exp(v) for v in near)) - right
                terms.append(float(weights[values[i, label], label]) * loss)
        by_label.append(sum(terms) / len(terms))
    found = claim_loss(images, prompts, torch.tensor(scale), torch.from_numpy(values), weights)
    assert float(found) == pytest.approx(sum(by_label) / 2)


def test_nothing_claimed_costs_nothing() -> None:
    x = torch.eye(4)
    open_ones = torch.full((4, 2), -1)
    assert float(claim_loss(x, x, torch.tensor(3.0), open_ones, torch.ones(2, 2))) == 0.0


def test_both_sides_of_a_label_weigh_the_same() -> None:
    common, rare = [1] * 30 + [0] * 10, [1] + [0] * 39
    never, unsaid = [0] * 40, [-1] * 40
    values = np.array([common, rare, never, unsaid], np.int8).T
    weights = Claims(values, torch.zeros(2, 4), []).weights
    denied, said = weights.numpy()
    assert 30 * said[0] == pytest.approx(10 * denied[0]) == pytest.approx(20)
    assert said[1] == HEAVIEST
    assert denied[1] == pytest.approx(40 / 78)
    assert denied[2:].tolist() == said[2:].tolist() == [1, 1]


def _learned(model: ClipModel, weight: float) -> float:
    """How often a new image is nearer to the true one of "left" and "no left", after a training."""
    images, which = squares(96, seed=0)
    texts = [["left", "right", "nothing"][k] for k in which]
    pairs_text = PairTexts(np.arange(96), [[t] for t in texts], which, "column rules", True)
    pairs = make_pairs(
        images, pairs_text.wordings, which, model.tokenizer, _claims(model, pairs_text)
    )
    recipe = Recipe(batch=24, steps=110, lr=3e-3, seed=0, augment="none", negation_weight=weight)
    trainer = ClipTrainer(model, pairs, recipe)
    for _ in range(recipe.steps):
        trainer.step()
    fresh, kinds = squares(96, seed=9)
    model.network.eval()
    with torch.no_grad():
        vectors = label_vectors(model, PLAIN, SIDES)
        scores = zero_shot_scores(model.embed_images(to_float(fresh)), vectors).numpy()
    truth = np.stack([kinds == 0, kinds == 1], axis=1).astype(int)
    return float(((scores > 0) == truth).mean())


def test_negation_is_learned_with_the_loss_alone() -> None:
    def mean(weight: float) -> float:
        models = [create(micro(), seed=seed, device="cpu") for seed in (0, 1)]
        return sum(_learned(model, weight) for model in models) / len(models)

    assert mean(1.0) > 0.85
    assert mean(0.0) < 0.7
