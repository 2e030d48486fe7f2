"""`cxr train-gan --arch ...` as a person runs it: outputs, stops, filters, replay, bad input."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from cxrtool import cli
from cxrtool import generators as gans
from cxrtool.commands.edit import tools as edit_tools
from cxrtool.commands.synthesize.panel import predicted_class
from cxrtool.commands.train_gan import network
from cxrtool.commands.train_gan.options import ARCHS as ARCH_OPTION
from cxrtool.core import config as configs
from cxrtool.core import console
from cxrtool.core.config.values import resolve
from cxrtool.core.errors import CxrError, InputError, InterruptedRunError, UsageError
from cxrtool.core.fingerprints import require_complete
from cxrtool.core.runs.execution import Outcome, execute
from cxrtool.data.images import quantize
from cxrtool.generators.classic.game import GameTrainer
from cxrtool.generators.registry import ARCHS
from cxrtool.synthesis.panel import Opinion, Sight
from cxrtool.training.protocols import Generator, Judge, StyleGenerator
from tests.unit.generators.conftest import make_dataset

merge = cli.stages()["merge"]
replay = cli.stages()["replay"]
synthesize = cli.stages()["synthesize"]
train_gan = cli.stages()["train-gan"]

__all__ = ["make_dataset"]

MakeDataset = Callable[..., Path]
NEW = ("bagan", "opengan", "acgan", "dcgan")
QUICK = {
    "size": 16,
    "batch": 8,
    "kimg": 0.08,
    "snapshot_kimg": 0.03,
    "tick_kimg": 0.02,
    "threads": 1,
}
BEFORE = {"pretrain_kimg": 0.032}
EXTRA: dict[str, dict[str, Any]] = {"bagan": BEFORE, "opengan": BEFORE}


def train(data: Path, out: Path, arch: str, **options: Any) -> Outcome:
    """Run the stage in this process, quickly."""
    values = {"data": data, "arch": arch, **QUICK, **EXTRA.get(arch, {}), **options}
    return execute(train_gan, resolve(train_gan.Config, values), out)


def outputs(out: Path) -> dict[str, str]:
    return {k: v["sha256"] for k, v in require_complete(out)["outputs"].items()}


@pytest.fixture
def single(make_dataset: MakeDataset) -> Path:
    """A single-label set of three classes: Right, Left, Large."""
    return make_dataset(n=80, single=True)


@pytest.mark.parametrize(
    ("arch", "single", "options", "counts"),
    [
        ("stylegan2", False, {}, lambda t: t >= 0),
        ("stylegan2", True, {"labels": "Large,Left"}, lambda t: t[:, :2].sum(axis=1) == 1),
        ("dcgan", True, {"labels": "none"}, lambda t: t >= 0),
        ("bagan", False, {"single_label": "exactly-one"}, lambda t: t.sum(axis=1) == 1),
        ("opengan", True, {"hold_out": "Large"}, lambda t: t[:, 0] == 0),
    ],
)
def test_the_card_tells_the_distance_to_test_images_of_what_was_trained(
    make_dataset: MakeDataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arch: str,
    single: bool,
    options: dict[str, Any],
    counts: Callable[[np.ndarray], np.ndarray],
) -> None:
    monkeypatch.setattr(network, "QUALITY_LEAST", 4)
    data = make_dataset(n=120, single=single)
    table = pd.read_csv(data / "manifest.csv")
    test = table.loc[table["split"] == "test", ["Large", "Left", "Right" if single else "Never"]]
    n = int(counts(test.to_numpy()).reshape(len(test), -1).all(axis=1).sum())
    summary = train(data, tmp_path / "gan", arch, kimg=0.048, **options).result["summary"]["test"]
    assert (summary["n"], 4 <= n < 40) == (n, True)
    assert summary["on"].startswith("test images, and as many generated ones, in ")
    assert 0 < summary["real_fd"] < summary["fd"]
    card = (tmp_path / "gan" / "model_card.md").read_text("utf-8")
    told = f"{summary['fd']:.3g} (real training images: {summary['real_fd']:.3g}), n = {n} test"
    assert f"Fréchet distance, to publish: {told} images, and as many" in card


@pytest.mark.parametrize("arch", NEW)
def test_from_training_to_filtered_and_replayed_images(
    single: Path, tmp_path: Path, arch: str
) -> None:
    out = tmp_path / "gan"
    summary = train(single, out, arch).result["summary"]
    assert summary["labels"] == ["Large", "Left", "Right"]
    assert set(outputs(out)) == {
        *("model.json", "model.safetensors", "resolved.json", "seen.json"),
        *("samples.png", "curves.png", "model_card.md", "label_table.csv"),
    }
    meta = json.loads((out / "model.json").read_text())
    assert (meta["arch"], meta["label_kind"]) == (arch, "single")
    assert ("single_label" in meta) == ARCHS[arch].single
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert {"g_loss", "d_loss", "g_grad_norm"} <= rows[-1].keys() | rows[-2].keys()
    before = EXTRA.get(arch, {}).get("pretrain_kimg", 0)
    measured = [row["kimg"] for row in rows if "fd" in row]
    assert measured
    assert min(measured) > before  # nothing is kept of the stage before the game
    assert summary["kimg"] == pytest.approx(0.08 + before)

    network, judge = gans.load(out), gans.load_judge(out)
    assert isinstance(network, Generator)
    assert not isinstance(network, StyleGenerator)
    assert isinstance(judge, Judge)
    z, y = torch.randn(3, network.z_dim), torch.eye(3)
    image = network.generate(z, y)
    assert image.shape == (3, 1, 16, 16)
    assert float(image.abs().max()) <= 1
    assert torch.equal(image, network.generate(z, y))
    torch.testing.assert_close(image[:1], network.generate(z[:1], y[:1]), rtol=1e-4, atol=1e-5)
    mean = network.generate(z, y[:1].expand(3, -1), truncation=0.0)
    torch.testing.assert_close(mean[0], mean[1])
    with pytest.raises(ValueError, match="2 label values given, 3 needed"):
        network.generate(z, y[:, :2])
    score, logits = judge.judge(image, y)
    assert (score.shape, logits.shape) == ((3,), (3, 3))
    alone = judge.judge(image[:1], y[:1])
    torch.testing.assert_close(score[:1], alone[0], rtol=1e-4, atol=1e-5)
    assert train(single, out, arch).state == "up-to-date"
    # The class filter: the class that is read must be the wanted one.
    job: Any = SimpleNamespace(
        plan=SimpleNamespace(request=SimpleNamespace(labels=("Left", "Large"))),
        dataset=SimpleNamespace(info=SimpleNamespace(kind="multilabel")),
    )
    meter = predicted_class(Opinion(judge), job)
    sight = Sight(quantize(image), y, np.zeros(3, np.int64), np.array([0, 1, 0]))
    read = judge.judge(sight.x, y)[1].argmax(dim=1)
    wanted = torch.tensor([1, 0, 1])
    kept = meter.accepts(meter.scores(sight).numpy(), sight.streams)
    assert kept is not None
    assert kept.tolist() == (read == wanted).tolist()

    def start(stage: Any, folder: str, **options: Any) -> Path:
        config = resolve(stage.Config, {"device": "cpu", "threads": 1, **options})
        return execute(stage, config, tmp_path / folder).folder

    plan = {
        "counts": "Left=12,Large=9",
        "block": 8,
        "filter": ("discriminator",),
        "keep_share": 0.5,
    }
    plan |= {"data": single, "gan": out}
    whole = start(synthesize, "whole", **plan)
    assert "discriminator" in json.loads((whole / "filters.json").read_text())["meters"]
    parts = [start(synthesize, f"part{i}", shard=f"{i}/2", **plan) for i in (1, 2)]
    both = start(merge, "both", shards=parts)
    names = sorted(p.relative_to(whole) for p in (whole / "images").rglob("*.png"))
    assert len(names) == 21
    for name in names:
        assert (whole / name).read_bytes() == (both / name).read_bytes(), name
    again = start(replay, "again", synth=whole, gan=out, only=("3", "7"))
    made = json.loads((again / "result.json").read_text())["summary"]
    assert (made["images"], made["identical"]) == (2, 2)


@pytest.mark.parametrize("arch", NEW)
def test_stop_at_any_step_and_go_on(single: Path, tmp_path: Path, arch: str) -> None:
    train(single, tmp_path / "straight", arch)
    count, left = GameTrainer.reals, [0]

    def counted(self: GameTrainer) -> Any:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGTERM)
        return count(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GameTrainer, "reals", counted)
        for steps in (3, 4):  # in and after the stage before the game, where there is one
            left[0] = steps
            with pytest.raises(InterruptedRunError) as caught:
                train(single, tmp_path / "stopped", arch)
            assert caught.value.exit_code == 143
    train(single, tmp_path / "stopped", arch)
    assert outputs(tmp_path / "stopped") == outputs(tmp_path / "straight")


def test_the_options_name_the_architectures() -> None:
    assert set(ARCH_OPTION) == set(ARCHS)
    for field in configs.fields_of(train_gan.Config):
        assert set(getattr(field.meta, "only", {}).get("arch", ())) <= set(ARCHS)


@pytest.mark.parametrize(
    ("arch", "option", "value"),
    [
        ("dcgan", "gamma", 1.0),
        ("dcgan", "augment", "none"),
        ("bagan", "label_weight", 1.0),
        ("bagan", "accumulate", 2),
        ("acgan", "style_mixing", 0.5),
        ("acgan", "pretrain_kimg", 1.0),
        ("dcgan", "pretrain_lr", 1e-3),
        ("opengan", "upsampling", "nearest"),
        ("opengan", "d_lr", 1e-3),
        ("opengan", "precision", "bfloat16"),
        ("stylegan2", "single_label", "rarest"),
        ("stylegan2", "fade_kimg", 1.0),
        ("bagan", "hold_out", "Left"),
    ],
)
def test_an_option_of_another_architecture_is_refused(
    single: Path, tmp_path: Path, arch: str, option: str, value: Any
) -> None:
    flag = "--" + option.replace("_", "-")
    with pytest.raises(
        UsageError, match=f"{flag} applies only with --arch .*this run has --arch {arch}"
    ):
        train(single, tmp_path / "gan", arch, **{option: value})


@pytest.mark.parametrize("arch", ["bagan", "opengan"])
def test_each_stage_has_its_learning_rate(single: Path, tmp_path: Path, arch: str) -> None:
    train(single, tmp_path / "gan", arch, kimg=0.008, lr=3e-4, pretrain_lr=7e-4)
    chosen = json.loads((tmp_path / "gan" / "resolved.json").read_text())
    assert (chosen["lr"], chosen["pretrain_lr"]) == (3e-4, 7e-4)
    assert chosen.get("d_lr") == ({"bagan": pytest.approx(1.2e-3)}.get(arch))


def test_the_discriminator_has_a_rate_of_its_own(single: Path, tmp_path: Path) -> None:
    for name, more in (("default", {}), ("same", {"d_lr": 2e-4})):
        train(single, tmp_path / name, "bagan", kimg=0.008, pretrain_kimg=0.004, **more)
    default, same = (
        json.loads((tmp_path / name / "resolved.json").read_text()) for name in ("default", "same")
    )
    assert (default["lr"], default["d_lr"]) == (2e-4, pytest.approx(8e-4))
    assert (same["lr"], same["d_lr"]) == (2e-4, 2e-4)
    written = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("default", "same")]
    assert written[0] != written[1]


@pytest.mark.parametrize("arch", ["dcgan", "acgan", "stylegan2"])
def test_a_label_loss_needs_labels(single: Path, tmp_path: Path, arch: str) -> None:
    with pytest.raises(UsageError, match="--label-weight"):
        train(single, tmp_path / "gan", arch, labels="none", label_weight=1.0)


@pytest.mark.parametrize("arch", ["dcgan", "bagan"])
def test_classes_that_are_not_asked_for_are_left_out(
    single: Path, tmp_path: Path, arch: str
) -> None:
    train(single, tmp_path / "gan", arch, kimg=0.008, labels="Large,Left")
    chosen = json.loads((tmp_path / "gan" / "resolved.json").read_text())
    table = pd.read_csv(single / "manifest.csv")
    training = table[table["split"] == "train"]
    assert chosen["images"] == int(training["Large"].sum() + training["Left"].sum())
    assert chosen["images"] < len(training)


@pytest.mark.parametrize("arch", ["bagan", "opengan"])
def test_several_labels_need_a_rule(make_dataset: MakeDataset, tmp_path: Path, arch: str) -> None:
    data = make_dataset(n=80)
    with pytest.raises(UsageError, match="needs one label per image") as caught:
        train(data, tmp_path / "a", arch)
    assert caught.value.exit_code == 2
    assert "--single-label exactly-one" in str(caught.value.hint)
    result = train(data, tmp_path / "b", arch, single_label="exactly-one").result["summary"]
    table = pd.read_csv(data / "manifest.csv")
    training = table[table["split"] == "train"]
    both = training["Large"] + training["Left"]
    assert result["images"] == int((both == 1).sum())
    resolved = json.loads((tmp_path / "b/resolved.json").read_text())
    assert resolved["left_out_rows"] == int((both != 1).sum())
    rarest = train(data, tmp_path / "c", arch, single_label="rarest").result["summary"]
    assert rarest["images"] == int((both > 0).sum())
    with pytest.raises(UsageError, match="tells classes apart, and there are 1"):
        train(data, tmp_path / "d", arch, single_label="rarest", labels="Left")

    # Rows with both labels cannot lend theirs to such a generator.
    values = {"data": data, "gan": tmp_path / "b", "counts": "Large=20", "threads": 1}
    with pytest.raises(InputError, match="makes images of one label, and"):
        execute(synthesize, resolve(synthesize.Config, values), tmp_path / "e")


def test_a_class_of_few_images_is_said(
    single: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(console, "warn", said.append)
    train(single, tmp_path / "gan", "bagan")
    assert any("3 of 3 classes have few images for the covariance of 100" in text for text in said)
    assert any("the covariance of all classes weighs up to" in text for text in said)


def test_a_held_out_class_is_generated_and_never_trained_on(single: Path, tmp_path: Path) -> None:
    summary = train(single, tmp_path / "gan", "opengan", hold_out="Large").result["summary"]
    assert summary["labels"] == ["Large", "Left", "Right"]
    resolved = json.loads((tmp_path / "gan/resolved.json").read_text())
    table = pd.read_csv(single / "manifest.csv")
    large = int(((table["split"] == "train") & (table["Large"] == 1)).sum())
    assert resolved["held_out_images"] == large
    network = gans.load(tmp_path / "gan")
    assert network.bank.counts[0] == large
    z, y = torch.randn(2, network.z_dim), torch.eye(3)[:1].expand(2, -1)
    assert network.generate(z, y).shape == (2, 1, 16, 16)
    for bad, reason in (("Small", "no label 'Small'"), ("Left,Large", "fewer than two classes")):
        with pytest.raises(UsageError, match=reason):
            train(single, tmp_path / "bad", "opengan", hold_out=bad)


def test_sizes_and_processes_that_an_architecture_has_not(
    single: Path, make_dataset: MakeDataset, tmp_path: Path
) -> None:
    data = make_dataset(n=8, size=256, name="large", single=True)
    with pytest.raises(UsageError, match="--size 256: --arch bagan makes images of 16, 32") as bad:
        train(data, tmp_path / "a", "bagan", size=256)
    assert bad.value.hint == "give --size 128"
    config = resolve(train_gan.Config, {"data": single, "arch": "dcgan", **QUICK})
    from cxrtool.commands.train_gan.task import prepare

    with pytest.raises(UsageError, match="--arch dcgan trains in one process, not in 2"):
        prepare(config, "cpu", 2)


def test_another_architecture_is_another_run(single: Path, tmp_path: Path) -> None:
    train(single, tmp_path / "gan", "dcgan", kimg=0.016)
    with pytest.raises(CxrError, match="--arch") as caught:
        train(single, tmp_path / "gan", "acgan", kimg=0.016)
    assert caught.value.exit_code == 4


def test_what_has_no_style_space_cannot_be_edited(single: Path, tmp_path: Path) -> None:
    train(single, tmp_path / "gan", "dcgan", kimg=0.016)
    with pytest.raises(InputError, match="has no W space") as caught:
        edit_tools.usable(gans.load(tmp_path / "gan"), tmp_path / "gan")
    assert "--arch stylegan2" in str(caught.value.hint)


@pytest.mark.parametrize("arch", ["bagan", "dcgan"])
def test_damaged_models_are_refused(single: Path, tmp_path: Path, arch: str) -> None:
    train(single, tmp_path / "gan", arch, kimg=0.016)
    other = tmp_path / "other"
    shutil.copytree(tmp_path / "gan", other)
    meta = json.loads((other / "model.json").read_text())
    meta["architecture"]["size"] = 32
    (other / "model.json").write_text(json.dumps(meta))
    with pytest.raises(InputError, match="another architecture"):
        gans.load(other)
    meta["arch"] = "cyclegan"
    (other / "model.json").write_text(json.dumps(meta))
    with pytest.raises(InputError, match="unknown generator architecture 'cyclegan'"):
        gans.load(other)


def test_resolved_numbers_are_recorded(single: Path, tmp_path: Path) -> None:
    train(single, tmp_path / "gan", "acgan", label_weight=0.3, fade_kimg=0.01, lr=0.002)
    resolved = json.loads((tmp_path / "gan/resolved.json").read_text())
    assert (resolved["label_weight"], resolved["phase_nimg"], resolved["lr"]) == (0.3, 10.0, 0.002)
    assert np.isclose(resolved["total_nimg"], 80)
