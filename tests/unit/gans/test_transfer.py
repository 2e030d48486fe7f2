"""Starting from another run: labels by name, other sizes refused, frozen layers stay."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cxrtool.errors import InputError
from cxrtool.gans.feed import Feed
from cxrtool.gans.network import D_PREFIX, G_PREFIX
from cxrtool.gans.trainer import Trainer
from cxrtool.gans.transfer import freeze, init_from
from cxrtool.runs import Run
from cxrtool.training.models import save_model
from tests.unit.gans.conftest import ellipses, micro, micro_choices


def trainer_of(labels: int, seed: int) -> Trainer:
    images, values = ellipses(16, 16, seed)
    values = np.concatenate([values, 1 - values], axis=1)[:, :labels]
    feed = Feed(images, values, np.ones(values.shape, bool), seed=seed)
    trainer = Trainer(micro_choices(arch=micro(labels=labels), seed=seed), feed)
    trainer.step()
    return trainer


def saved(trainer: Trainer, labels: tuple[str, ...], folder: Path) -> Path:
    run = Run.for_test(folder)
    state = {f"{G_PREFIX}{k}": v for k, v in trainer.average.state_dict().items()}
    state |= {f"{D_PREFIX}{k}": v for k, v in trainer.discriminator.state_dict().items()}
    meta = {
        "kind": "generator",
        "arch": "stylegan2",
        "architecture": trainer.choices.arch.to_json(),
        "labels": list(labels),
        "preprocessing": {"size": 16},
    }
    save_model(run, state, meta)
    return folder


def test_labels_keep_their_meaning_by_name(tmp_path: Path) -> None:
    old = trainer_of(2, seed=0)
    source = saved(old, ("Edema", "Fracture"), tmp_path / "old")
    new = trainer_of(3, seed=1)
    found = init_from(new, source, ("Fracture", "Nodule", "Edema"))
    assert found == {"kept": ["Fracture", "Edema"], "new": ["Nodule"]}
    z = torch.randn(4, 8)
    before = old.average(z, torch.tensor([[0.0, 1.0]]).expand(4, -1))[0]
    for network in (new.generator, new.average):
        after = network(z, torch.tensor([[1.0, 0.0, 0.0]]).expand(4, -1))[0]
        torch.testing.assert_close(after, before)
    x = torch.randn(4, 1, 16, 16)
    known = torch.ones(4, 3, dtype=torch.bool)
    logits = new.discriminator(x, torch.zeros(4, 3), known).labels
    wanted = old.discriminator(x, torch.zeros(4, 2), known[:, :2]).labels
    torch.testing.assert_close(logits[:, [2, 0]], wanted)
    new.step()  # and it trains on


def test_an_unconditional_network_can_learn_labels(tmp_path: Path) -> None:
    source = saved(trainer_of(0, seed=0), (), tmp_path / "old")
    new = trainer_of(2, seed=1)
    assert init_from(new, source, ("Edema", "Fracture"))["new"] == ["Edema", "Fracture"]
    new.step()


def test_networks_of_other_sizes_are_refused(tmp_path: Path) -> None:
    source = saved(trainer_of(2, seed=0), ("A", "B"), tmp_path / "old")
    feed = trainer_of(2, seed=1).feed
    other = Trainer(micro_choices(arch=replace(micro(), w_dim=16)), feed)
    with pytest.raises(InputError, match="w_dim 8 not 16"):
        init_from(other, source, ("A", "B"))


def test_frozen_layers_stay_and_the_others_learn() -> None:
    trainer = trainer_of(2, seed=0)
    assert freeze(trainer.discriminator, 1) > 0
    before = {k: v.clone() for k, v in trainer.discriminator.named_parameters()}
    for _ in range(2):
        trainer.step()
    for name, value in trainer.discriminator.named_parameters():
        still = name.startswith(("from_rgb", "blocks.b16"))
        assert torch.equal(value, before[name]) == still, name
    assert freeze(trainer_of(2, seed=0).discriminator, 0) == 0
