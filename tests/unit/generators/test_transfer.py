"""Starting from another run: the networks do what they did, no schedule begins anew, the rest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cxrtool.core.errors import InputError, UsageError
from cxrtool.core.runs import Run
from cxrtool.generators.feed import Feed
from cxrtool.generators.saved import D_PREFIX, G_PREFIX
from cxrtool.generators.stylegan2.trainer import StyleGan2Trainer
from cxrtool.generators.stylegan2.transfer import freeze, init_from, start_p
from cxrtool.training.models import save_model
from tests.unit.generators.conftest import ellipses, micro, micro_choices


def trainer_of(labels: int, seed: int, steps: int = 1, **changes: object) -> StyleGan2Trainer:
    """Trained a little; each seed has other images, of which other shares have a label."""
    images, values = ellipses(16, 16, seed)
    values = np.concatenate([values, 1 - values], axis=1)[:, :labels]
    feed = Feed(images, values, np.ones(values.shape, bool), seed=seed)
    changes = {"arch": micro(labels=labels), "seed": seed, **changes}
    trainer = StyleGan2Trainer(micro_choices(**changes), feed)
    for _ in range(steps):
        trainer.step()
    return trainer


def saved(trainer: StyleGan2Trainer, labels: tuple[str, ...], folder: Path, **more: object) -> Path:
    run = Run.for_test(folder)
    state = {f"{G_PREFIX}{k}": v for k, v in trainer.average.state_dict().items()}
    state |= {f"{D_PREFIX}{k}": v for k, v in trainer.discriminator.state_dict().items()}
    meta = {
        "kind": "generator",
        "arch": "stylegan2",
        "architecture": trainer.choices.arch.to_json(),
        "labels": list(labels),
        "preprocessing": {"size": 16},
        **more,
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
    mask = torch.ones(4, 3, dtype=torch.bool)
    logits = new.discriminator(x, torch.zeros(4, 3), mask).labels
    wanted = old.discriminator(x, torch.zeros(4, 2), mask[:, :2]).labels
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
    other = StyleGan2Trainer(micro_choices(arch=replace(micro(), w_dim=16)), feed)
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


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("AB", "AB"),
        ("AB", "BA"),
        ("AB", "CBA"),  # a label to learn
        ("ABC", "B"),  # labels that are gone
        ("ABC", "BD"),
        ("", "AB"),
        ("AB", ""),
        ("AB", "CD"),
    ],
)
def test_the_networks_do_what_they_did(tmp_path: Path, old: str, new: str) -> None:
    """Whatever labels come and go, and whatever the shares of the new images are."""
    before = trainer_of(len(old), seed=0)
    trainer = trainer_of(len(new), seed=3)
    if old and new:  # or nothing would be shown
        assert trainer.discriminator.prevalence[0] != before.discriminator.prevalence[0]
    init_from(trainer, saved(before, tuple(old), tmp_path / "old"), tuple(new))
    rng = torch.Generator().manual_seed(5)
    y = torch.randint(2, (8, len(new)), generator=rng).float()  # of the new run
    shares = before.discriminator.prevalence
    there = (
        torch.stack(
            [y[:, new.index(k)] if k in new else shares[old.index(k)].expand(8) for k in old], dim=1
        )
        if old
        else torch.zeros(8, 0)
    )  # a label that is gone stands at its share
    z, x = torch.randn(8, 8, generator=rng), torch.randn(8, 1, 16, 16, generator=rng)
    for network in (trainer.generator, trainer.average):
        torch.testing.assert_close(network(z, y)[0], before.average(z, there)[0])
    mask = torch.tensor([k in new for k in old]).expand(8, -1)
    was = before.discriminator(x, there, mask)
    now = trainer.discriminator(x, y, torch.ones_like(y, dtype=torch.bool))
    torch.testing.assert_close(now.score, was.score, rtol=1e-4, atol=1e-5)
    for k in set(old) & set(new):
        torch.testing.assert_close(now.labels[:, new.index(k)], was.labels[:, old.index(k)])
    trainer.step()  # and it trains on


def test_every_part_of_a_label_learns(tmp_path: Path) -> None:
    """A new label starts without effect, and not dead."""
    trainer = trainer_of(2, seed=1)
    init_from(trainer, saved(trainer_of(1, seed=0), ("A",), tmp_path / "old"), ("A", "B"))
    for _ in range(3):
        trainer.step()
    g, d = trainer.generator.mapping.embed, trainer.discriminator
    assert g is not None
    assert d.project is not None
    assert d.classify is not None
    for part in (g.weight[:, 1], d.project.weight[:, 1], d.classify.weight[1]):
        assert float(part.detach().abs().min()) > 0


def test_no_schedule_begins_anew(tmp_path: Path) -> None:
    """Of trained weights: the average, the labels, the mean path length, the augmentations' p."""
    policies = ("color", "translation", "cutout")
    source = saved(
        trainer_of(2, seed=0),
        ("A", "B"),
        tmp_path / "old",
        augment={"policies": list(policies), "p": 0.25},
    )
    trainer = trainer_of(2, seed=1, steps=0, ema_ramp=None, augment_p=None, path_interval=1)
    init_from(trainer, source, ("A", "B"))
    assert float(trainer.controller.p) == 0.25
    start = {k: v.clone() for k, v in trainer.average.named_parameters()}
    trainer.step()
    moved = 1 - 0.5 ** (trainer.choices.batch / trainer.choices.ema_nimg)
    for name, value in trainer.generator.named_parameters():
        wanted = start[name].lerp(value, moved)
        torch.testing.assert_close(trainer.average.get_parameter(name), wanted)
    assert float(trainer.generator.mapping.ramp) == float(trainer.discriminator.ramp) == 1
    means = trainer.means.read()
    assert float(trainer.path_mean) == pytest.approx(means["path_length"])  # not a hundredth of it
    assert means["path_penalty"] < means["path_length"] ** 2

    ramped = trainer_of(2, seed=1, steps=0, ramp_nimg=64.0)
    with pytest.raises(UsageError, match="--label-ramp would take the labels from"):
        init_from(ramped, source, ("A", "B"))
    init_from(ramped, saved(trainer_of(0, seed=0), (), tmp_path / "none"), ("A", "B"))


@pytest.mark.parametrize(
    ("policies", "written", "p"),
    [
        (("blit",), {"policies": ["blit"], "p": 0.4}, 0.4),
        (("blit",), {"policies": ["color"], "p": 0.4}, 0.0),  # of other augmentations
        (("blit",), None, 0.0),  # by an earlier version
        ((), {"policies": ["blit"], "p": 0.4}, 0.0),
    ],
)
def test_where_the_augmentations_go_on(
    policies: tuple[str, ...], written: dict[str, object] | None, p: float
) -> None:
    assert start_p(policies, {} if written is None else {"augment": written}) == p
