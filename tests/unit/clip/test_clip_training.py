"""The trainer learns, resumes bit for bit, and locks what it is told to."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from cxrtool.clip.holdout import HeldOut, embed_all, evaluate, text_vectors
from cxrtool.clip.losses import MAX_SCALE, contrastive_loss, sigmoid_loss
from cxrtool.clip.model import ClipModel, create
from cxrtool.clip.sources import resolve
from cxrtool.clip.templates import Templates
from cxrtool.clip.training import ClipTrainer, Recipe, _lock, _parameter_groups
from cxrtool.training.augment import augment
from cxrtool.training.rng import numpy_rng
from cxrtool.training.world import World

from .conftest import TEXTS, micro, square_pairs, squares
from .hf_forms import FORMS


def _trainer(seed: int = 0, **changes: Any) -> ClipTrainer:
    model = create(micro(), seed=0, device="cpu")
    settings: dict[str, Any] = {"batch": 16, "steps": 8, "lr": 1e-3, "seed": seed}
    return ClipTrainer(model, square_pairs(model), Recipe(**(settings | changes)))


def _weights(trainer: ClipTrainer) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in trainer.model.network.state_dict().items()}


def _same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


def test_it_learns_to_read_what_texts_say() -> None:
    model = create(micro(), seed=0, device="cpu")
    trainer = ClipTrainer(
        model, square_pairs(model, 240), Recipe(batch=32, steps=160, lr=3e-3, seed=0)
    )
    losses = [trainer.step() for _ in range(trainer.recipe.steps)]
    assert np.mean(losses[-10:]) < 0.75 * np.mean(losses[:5])
    images, which = squares(90, seed=1)
    values = np.stack([which == 0, which == 1], axis=1).astype(np.float32)
    held = HeldOut(
        square_pairs(model, 90, seed=1), ("left", "right"), values, np.ones_like(values, dtype=bool)
    )
    assert np.array_equal(held.pairs.images, images)
    left, right, nothing = TEXTS
    templates = Templates(
        (nothing,),
        ("{}",),
        ("no {}",),
        {
            "left": {"positive": [left], "negative": [right, nothing]},
            "right": {"positive": [right], "negative": [left, nothing]},
        },
    )
    found = evaluate(model, held, templates)
    assert min(found["auroc"].values()) > 0.95
    assert found["recall"] > 0.8
    assert found["image_cosine"] < 0.9


def test_half_and_the_rest_is_the_whole() -> None:
    whole = _trainer()
    losses = [whole.step() for _ in range(8)]
    first = _trainer()
    for _ in range(4):
        first.step()
    state = first.state_dict()
    second = _trainer()
    second.load_state_dict(state)
    assert [second.step() for _ in range(4)] == losses[4:]
    assert _same(_weights(second), _weights(whole))
    assert second.nimg == 128


def test_the_seed_decides() -> None:
    a, b = _trainer(seed=0), _trainer(seed=1)
    assert not np.array_equal(a.batch_rows(0), b.batch_rows(0))
    a.step()
    b.step()
    assert not _same(_weights(a), _weights(b))


def test_a_network_with_a_bias_is_trained_by_the_sigmoid_loss() -> None:
    micro_of_siglip = replace(micro(), model_cfg={**micro().model_cfg, "init_logit_bias": -10})
    model = create(micro_of_siglip, seed=0, device="cpu")
    with torch.no_grad():
        model.network.logit_scale.fill_(math.log(MAX_SCALE) + 0.2)  # as published
    trainer = ClipTrainer(model, square_pairs(model), Recipe(batch=16, steps=2, lr=1e-3, seed=0))
    rows, pairs = np.arange(16), trainer.pairs
    generator = torch.Generator().manual_seed(0)
    x, y = (functional.normalize(torch.randn(16, 8, generator=generator), dim=1) for _ in "xy")
    scale, bias = model.network.logit_scale.exp(), model.network.logit_bias
    loss = trainer._objective(x, y, pairs, rows, np.random.default_rng(0))
    assert torch.equal(loss, sigmoid_loss(x, y, scale, bias, pairs.groups[rows]))
    trainer.step()
    assert float(model.network.logit_bias.detach()) != -10
    assert float(model.network.logit_scale.detach().exp()) > MAX_SCALE


@pytest.mark.parametrize("form", ["micro", "biomedclip", "siglip of open_clip", "medsiglip"])
def test_matrices_decay_and_embeddings_do_not(form: str, tmp_path: Path) -> None:
    chosen = micro() if form == "micro" else resolve(None, FORMS[form](tmp_path / "w").folder)
    network = create(chosen, seed=0, device="cpu").network
    decays = {
        id(parameter): group["weight_decay"] > 0
        for group in _parameter_groups(network)
        for parameter in group["params"]
    }
    weights = {
        id(module.weight)
        for module in network.modules()
        if isinstance(module, (nn.Linear, nn.Conv2d))
    }
    spared = "(?i)bias|norm|ln_|embed|token|logit|latent|gamma"
    for name, parameter in network.named_parameters():
        if id(parameter) in weights and "patch_embed" in name:
            assert decays[id(parameter)], name
        elif re.search(spared, name):
            assert not decays[id(parameter)], name
        else:
            assert decays[id(parameter)], name


@pytest.mark.parametrize("batch", [24, 40, 96, 200])
def test_the_held_out_loss_is_the_loss_of_training_without_augmentation(batch: int) -> None:
    """Of the very pairs that are trained on, in batches of as many."""
    trainer = _trainer(augment="none", batch=batch, lr=1e-12)
    model, pairs = trainer.model, trainer.pairs
    model.network.eval()
    vectors = embed_all(model, pairs.images)
    texts = text_vectors(model, pairs)
    loss = trainer.held_out_loss(vectors, texts, pairs)
    assert loss == trainer.held_out_loss(vectors, texts, pairs)
    order = numpy_rng("held-out order", 0).permutation(96)
    batches = [order[(start + np.arange(min(batch, 96))) % 96] for start in range(0, 96, batch)]
    wanted = [
        contrastive_loss(vectors[b], texts[b], torch.tensor(1 / 0.07), pairs.groups[b])
        for b in batches
    ]
    assert loss == pytest.approx(float(torch.stack(wanted).mean()), rel=1e-5)
    if batch == 96:
        assert trainer.step() == pytest.approx(loss, rel=1e-4)


def test_an_epoch_takes_every_pair_at_most_once() -> None:
    trainer = _trainer()
    rows = np.concatenate([trainer.batch_rows(step) for step in range(trainer.steps_per_epoch)])
    assert sorted(rows) == list(range(96))
    assert not np.array_equal(trainer.batch_rows(0), trainer.batch_rows(trainer.steps_per_epoch))


def test_every_epoch_takes_the_next_wording(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = _trainer()
    pairs = trainer.pairs
    object.__setattr__(pairs, "texts", np.concatenate([pairs.texts, 0 * pairs.texts + 2], axis=1))
    seen: list[int] = []
    embed = trainer.model.embed_tokens

    def counted(tokens: torch.Tensor) -> torch.Tensor:
        seen.append(len(tokens))
        return embed(tokens)

    monkeypatch.setattr(trainer.model, "embed_tokens", counted)
    for _ in range(trainer.steps_per_epoch + 1):
        trainer.step()
    assert seen[0] == 3  # different texts of the batch, each embedded once
    assert seen[-1] == 1


def test_the_learning_rate_is_applied() -> None:
    trainer = _trainer(steps=10)
    trainer.step()
    assert trainer.optimizer.param_groups[0]["lr"] == trainer.learning_rate(0)
    rates = [trainer.learning_rate(step) for step in range(10)]
    assert rates[0] == pytest.approx(1e-3)
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] > 0, "the last step still learns"


def test_the_temperature_never_passes_its_limit() -> None:
    trainer = _trainer()
    with torch.no_grad():
        trainer.model.network.logit_scale.fill_(8.0)
    trainer.step()
    assert float(trainer.model.network.logit_scale.detach().exp()) <= 100.001


@pytest.mark.parametrize(
    ("part", "stays", "moves"),
    [
        ("image", "visual.conv1.weight", "text_projection"),
        ("text", "text_projection", "visual.conv1.weight"),
        ("text", "token_embedding.weight", "visual.proj"),
        ("norms", "ln_final.weight", "text_projection"),
        ("norms", "visual.ln_post.weight", "visual.conv1.weight"),
    ],
)
def test_a_locked_part_stays_as_it_is(part: str, stays: str, moves: str) -> None:
    trainer = _trainer(lock=(part,))
    before = _weights(trainer)
    trainer.step()
    after = _weights(trainer)
    assert torch.equal(before[stays], after[stays])
    assert not torch.equal(before[moves], after[moves])


@pytest.mark.parametrize(
    ("lock", "still"), [((), 0), (("batch-norms",), 2), (("norms",), 3), (("image",), 2)]
)
def test_norms_with_statistics_are_locked_by_themselves(lock: tuple[str, ...], still: int) -> None:
    network = nn.Module()
    network.visual = nn.Sequential(nn.Conv2d(1, 4, 1), nn.BatchNorm2d(4), nn.BatchNorm2d(4))
    network.ln_final = nn.LayerNorm(4)
    assert len(_lock(network, lock)) == still
    trains = [parameter.requires_grad for parameter in network.ln_final.parameters()]
    assert trains == [lock != ("norms",)] * 2
    assert network.visual[1].weight.requires_grad == (lock == ())
    assert network.visual[0].weight.requires_grad == (lock != ("image",))


def test_augmentation_has_an_effect_and_can_be_left_out(model: ClipModel) -> None:
    a, b = _trainer(), _trainer(augment="none")
    assert a.step() != b.step()


def test_augmentation_is_small_and_seeded() -> None:
    x = torch.zeros(8, 1, 32, 32)
    x[:, :, 10:22, 10:22] = 0.5

    def mild(seed: int, part: slice = slice(0, 8)) -> torch.Tensor:
        return augment(x[part], "mild", torch.Generator().manual_seed(seed), 8, part)

    first = mild(1)
    assert torch.equal(first, mild(1))
    assert not torch.equal(first, mild(2))
    assert torch.equal(first[2:5], mild(1, slice(2, 5)))
    assert float(first.min()) >= -1.0
    assert float(first.max()) <= 1.0
    weight = (first - first.amin(dim=(2, 3), keepdim=True)) / 0.5
    columns = torch.arange(32.0)
    center = (weight.sum(dim=2) * columns).sum(dim=-1) / weight.sum(dim=(2, 3))
    assert float((center - 15.5).abs().max()) < 2.5  # no mirror, no large shift


def test_bfloat16_is_near_and_not_equal() -> None:
    plain, low = _trainer(), _trainer(bfloat16=True)
    losses = [plain.step(), low.step()]
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], abs=0.02)
    assert {value.dtype for value in _weights(low).values()} == {torch.float32}


def test_gathering_is_nothing_in_one_process() -> None:
    world = World()
    x = torch.randn(4, 3, requires_grad=True)
    assert world.gather(x) is x
    assert world.part(4) == slice(0, 4)
