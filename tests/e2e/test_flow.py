"""`cxr train-gan --arch flow` and what uses it: outputs, stops, shards, replay, refusals."""

import hashlib
import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cxrtool import cli, load_generator
from cxrtool import generators as gans
from cxrtool.commands.edit import tools as edit_tools
from cxrtool.commands.train_gan import ways
from cxrtool.core import console
from cxrtool.core.config.values import resolve
from cxrtool.core.errors import CxrError, InputError, InterruptedRunError, UsageError
from cxrtool.core.fingerprints import require_complete
from cxrtool.core.runs.execution import Outcome, execute
from cxrtool.generators.flow.trainer import FlowTrainer
from cxrtool.generators.quality import Quality
from cxrtool.training.protocols import Generator, StyleGenerator
from tests.e2e.chain import run
from tests.unit.generators.conftest import make_dataset

__all__ = ["make_dataset"]

MakeDataset = Callable[..., Path]
QUICK = {
    "arch": "flow",
    "size": 16,
    "batch": 8,
    "kimg": 0.08,
    "snapshot_kimg": 0.03,
    "tick_kimg": 0.02,
    "threads": 1,
}


def start(name: str, out: Path, **options: Any) -> Outcome:
    stage = cli.stages()[name]
    return execute(stage, resolve(stage.Config, {"threads": 1, **options}), out)


def train(data: Path, out: Path, **options: Any) -> Outcome:
    return start("train-gan", out, data=data, **{**QUICK, **options})


def outputs(out: Path) -> dict[str, str]:
    return {k: v["sha256"] for k, v in require_complete(out)["outputs"].items()}


@pytest.fixture
def data(make_dataset: MakeDataset) -> Path:
    return make_dataset(n=160)


def test_from_training_to_replayed_images(data: Path, tmp_path: Path) -> None:
    gan = tmp_path / "gan"
    summary = train(data, gan).result["summary"]
    assert set(outputs(gan)) == {
        *("model.json", "model.safetensors", "resolved.json", "seen.json"),
        *("samples.png", "curves.png", "model_card.md", "label_table.csv"),
    }
    rows = [json.loads(line) for line in (gan / "metrics.jsonl").read_text().splitlines()]
    losses = {row["kimg"]: row["held_out_loss"] for row in rows if "held_out_loss" in row}
    if losses:
        best = min(losses, key=lambda kimg: (losses[kimg], -kimg))
        assert summary["best"]["kimg"] == best
    assert set(summary["parameters"]) == {"generator"}
    assert train(data, gan).state == "up-to-date"

    network = gans.load(gan)
    assert isinstance(network, Generator)
    assert not isinstance(network, StyleGenerator)
    with pytest.raises(ValueError, match="given"):
        network.generate(torch.randn(1, network.z_dim), torch.zeros(1, 9))
    assert load_generator(gan).sample(n=3).shape == (3, 16, 16)

    plan = {"data": data, "gan": gan, "counts": "Left=9,Large=7", "block": 8, "steps": 2}
    plan |= {"guidance": 1.5, "guidance_interval": "0.1:0.9", "label_guidance": "Left=3"}
    whole = start("synthesize", tmp_path / "whole", **plan).folder
    parts = [
        start("synthesize", tmp_path / f"part{i}", shard=f"{i}/2", **plan).folder for i in (1, 2)
    ]
    both = start("merge", tmp_path / "both", shards=parts).folder
    names = sorted(p.relative_to(whole) for p in (whole / "images").rglob("*.png"))
    assert len(names) == 16
    for name in names:
        assert (whole / name).read_bytes() == (both / name).read_bytes(), name
    again = start("replay", tmp_path / "again", synth=whole, gan=gan, only=("3", "7")).result
    assert (again["summary"]["images"], again["summary"]["identical"]) == (2, 2)
    notes = json.loads((whole / "dataset.json").read_text())["notes"]
    sampling = {"steps": 2, "guidance": 1.5, "interval": [0.1, 0.9], "labels": {"Left": 3.0}}
    assert notes["sampling"] == sampling
    with pytest.raises(UsageError, match="does not know the label 'left'") as unknown:
        start("synthesize", tmp_path / "left", **{**plan, "label_guidance": "left=3"})
    assert "Large, Left" in str(unknown.value.hint)

    # Another way of drawing gives other images, and memorized and duplicate filters work.
    other = start(
        "synthesize",
        tmp_path / "other",
        **{**plan, "steps": 3, "filter": ("memorized", "duplicate"), "max_tries": 1000},
    ).folder
    assert (other / names[0]).read_bytes() != (whole / names[0]).read_bytes()
    for bad in ("discriminator", "class"):
        with pytest.raises(InputError, match=f"--filter {bad} needs a discriminator") as caught:
            start("synthesize", tmp_path / bad, **{**plan, "filter": (bad,)})
        assert "--filter teacher" in str(caught.value.hint)
    with pytest.raises(InputError, match="has no W space"):
        edit_tools.usable(network, gan)
    page = start("evaluate-images", tmp_path / "page", synth=whole, real=data, gan=gan).result
    assert 0 <= page["summary"]["membership_auroc"] <= 1


def test_stop_at_any_step_and_go_on(data: Path, tmp_path: Path) -> None:
    train(data, tmp_path / "straight")
    reals, left = FlowTrainer.reals, [0]

    def counted(self: FlowTrainer) -> Any:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGTERM)
        return reals(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FlowTrainer, "reals", counted)
        for steps in (2, 4):
            left[0] = steps
            with pytest.raises(InterruptedRunError):
                train(data, tmp_path / "stopped")
    train(data, tmp_path / "stopped")
    assert outputs(tmp_path / "stopped") == outputs(tmp_path / "straight")


def test_a_network_that_is_told_of_augmentation(data: Path, tmp_path: Path) -> None:
    how: dict[str, Any] = {"augment": "geometry", "mirror": True, "kimg": 0.032}
    train(data, tmp_path / "gan", **how)
    train(data, tmp_path / "again", **how)
    assert outputs(tmp_path / "gan") == outputs(tmp_path / "again")
    meta = json.loads((tmp_path / "gan/model.json").read_text())
    assert meta["architecture"]["told"] == 6
    assert "Told of" in (tmp_path / "gan/model_card.md").read_text()
    assert gans.load(tmp_path / "gan").generate(torch.zeros(1, 256), torch.zeros(1, 2)).any()
    start("train-gan", tmp_path / "student", data=data, distill=tmp_path / "gan", arch="flow",
          batch=8, kimg=0.016)  # fmt: skip
    with pytest.raises(UsageError, match="knows geometry alone"):
        train(data, tmp_path / "bad", augment="ada")


@pytest.mark.parametrize("labels", ["none", "Large"])
def test_few_labels_or_none(data: Path, tmp_path: Path, labels: str) -> None:
    train(data, tmp_path / "gan", labels=labels, kimg=0.016)
    network = gans.load(tmp_path / "gan")
    count = 0 if labels == "none" else 1
    z = torch.randn(2, network.z_dim)
    assert network.generate(z, torch.zeros(2, count)).shape == (2, 1, 16, 16)


def test_too_few_validation_images_are_said(
    make_dataset: MakeDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(console, "warn", said.append)
    summary = train(make_dataset(n=40), tmp_path / "gan", kimg=0.016).result["summary"]
    assert summary["best"] is None
    assert any("too few to tell where the network begins to remember" in text for text in said)


def test_what_is_published_is_of_patients_that_no_choice_touched(
    make_dataset: MakeDataset, tmp_path: Path
) -> None:
    data = make_dataset(n=600, val=True)
    summary = train(data, tmp_path / "gan", kimg=0.016).result["summary"]
    test = summary["test"]
    assert (test["n"], test["on"]) == (60, "test images")
    assert test["held_out_loss"] != summary["best"]["held_out_loss"]
    card = (tmp_path / "gan/model_card.md").read_text()
    assert "n = 60 validation images, which chose the network." in card
    assert f"to publish: {test['held_out_loss']:.3g}, n = 60 test images; the test" in card
    # Test images change nothing else: neither the network nor what it says that it has seen.
    last = train(data, tmp_path / "last", kimg=0.016, checkpoint="last").result["summary"]
    assert last["test"] == test
    everybody = train(data, tmp_path / "all", kimg=0.016, split="all").result["summary"]
    assert (everybody["best"], "test" in everybody) == (None, False)
    assert "No number to publish" in (tmp_path / "all/model_card.md").read_text()
    plan = {"data": data, "gan": tmp_path / "gan", "counts": "Left=20", "steps": 1}
    synth = start("synthesize", tmp_path / "synth", **plan).folder
    for split in ("test", "val"):
        page = start("evaluate-images", tmp_path / split, synth=synth, real=data, split=split)
        told = [c for c in page.result["summary"]["cautions"] if "chosen by its loss" in c]
        assert len(told) == (split == "val")


def test_sampling_belongs_to_flows_and_a_refusal_shows_no_plan(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []
    monkeypatch.setattr(console, "table", lambda title, *_: shown.append(title))
    train(data, tmp_path / "gan", arch="dcgan", kimg=0.016)
    plan = {"data": data, "gan": tmp_path / "gan", "counts": "Left=2"}
    with pytest.raises(UsageError, match="--steps belongs to generators of --arch flow"):
        start("synthesize", tmp_path / "a", steps=4, **plan)
    for text in ("0.5", "0.7:0.2", "-1:2", "a:b"):
        with pytest.raises(UsageError, match="--guidance-interval"):
            start("synthesize", tmp_path / "a", guidance=2.0, guidance_interval=text, **plan)
    assert shown == []
    start("synthesize", tmp_path / "numbers", plan_only=True, **plan)
    start("synthesize", tmp_path / "images", **plan)
    assert len(shown) == 2


@pytest.mark.parametrize("arch", ["flow", "stylegan2"])
@pytest.mark.parametrize("n", [160, 800])  # too few validation images to choose by, and enough
def test_an_extended_training_is_one_long_one(
    make_dataset: MakeDataset, tmp_path: Path, arch: str, n: int
) -> None:
    data = make_dataset(n=n, val=n > 400)
    train(data, tmp_path / "long", arch=arch, kimg=0.16)
    train(data, tmp_path / "short", arch=arch)
    before = {p: p.read_bytes() for p in (tmp_path / "short").rglob("*") if p.is_file()}
    summary = train(
        data, tmp_path / "more", arch=arch, kimg=0.16, extend=tmp_path / "short"
    ).result["summary"]
    assert summary["kimg"] == 0.16
    for name in ("model.safetensors", "model.json"):
        same = [(tmp_path / folder / name).read_bytes() for folder in ("long", "more")]
        assert same[0] == same[1], name
    assert before == {p: p.read_bytes() for p in before}


def test_extend_needs_no_word_but_the_length(data: Path, tmp_path: Path) -> None:
    train(data, tmp_path / "long", seed=3, labels="Left", kimg=0.16)
    train(data, tmp_path / "short", seed=3, labels="Left")
    words = ("train-gan", "--extend", tmp_path / "short", "--kimg", "0.16", "-q")
    other = run(*words, "--seed", "4", "-o", tmp_path / "other")
    assert other.returncode == 2
    assert "seed differs: 3 there, 4 here" in other.stderr
    assert run(*words, "-o", tmp_path / "more").returncode == 0
    weights = [(tmp_path / out / "model.safetensors").read_bytes() for out in ("long", "more")]
    assert weights[0] == weights[1]


def test_a_run_older_than_an_option_is_extended(make_dataset: MakeDataset, tmp_path: Path) -> None:
    data, old = make_dataset(n=60), tmp_path / "old"
    train(data, old, arch="stylegan2")
    record = json.loads((old / "resolved.json").read_text())
    del record["sample"]
    text = json.dumps(record)
    (old / "resolved.json").write_text(text)
    result = json.loads((old / "result.json").read_text())
    digest = hashlib.sha256(text.encode()).hexdigest()
    result["outputs"]["resolved.json"] = {"sha256": digest, "bytes": len(text)}
    (old / "result.json").write_text(json.dumps(result))
    more = {"arch": "stylegan2", "kimg": 0.16, "extend": old}
    with pytest.raises(UsageError, match="sample differs: natural there, sqrt here"):
        train(data, tmp_path / "other", sample="sqrt", **more)
    assert train(data, tmp_path / "more", **more).result["summary"]["kimg"] == 0.16


@pytest.mark.parametrize("better", [True, False])
def test_the_way_that_validation_images_choose_is_the_usual_one(
    make_dataset: MakeDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, better: bool
) -> None:
    def measure(quality: Any, made: ways.Sampled) -> dict[str, float]:
        return {"fd": 1.0 if (made.how == ways.FINER) == better else 2.0}

    monkeypatch.setattr(Quality, "measure", measure)
    data, gan = make_dataset(n=600, val=True), tmp_path / "gan"
    train(data, gan)
    usual = {"steps": 16} if better else {}
    assert json.loads((gan / "model.json").read_text()).get("sampling", {}) == usual
    assert f"made in {16 if better else 8} steps" in (gan / "model_card.md").read_text()
    images = {}
    for asked in (None, 8, 16):
        out = tmp_path / f"synth-{asked}"
        start("synthesize", out, gan=gan, counts="Left=4", steps=asked)
        notes = json.loads((out / "dataset.json").read_text())["notes"]
        assert notes["sampling"]["steps"] == (asked or usual.get("steps", 8))
        images[asked] = [f.read_bytes() for f in sorted((out / "images").rglob("*.png"))]
    assert images[None] == images[16 if better else 8]
    assert images[8] != images[16]


def test_what_a_flow_starts_from_is_measured(make_dataset: MakeDataset, tmp_path: Path) -> None:
    data = make_dataset(n=600, val=True)
    train(data, tmp_path / "first")
    summary = train(data, tmp_path / "second", init_from=tmp_path / "first").result["summary"]
    start = summary["start"]
    assert set(start) == {"held_out_loss", "lowest_held_out_loss_after", "kept"}
    # From the first step on near what it started from: no ramp throws the average away.
    assert start["lowest_held_out_loss_after"] < 1.05 * start["held_out_loss"]
    rows = [json.loads(line) for line in (tmp_path / "second/metrics.jsonl").open()]
    assert rows[0] == {"nimg": 0, "kimg": 0.0, "held_out_loss": start["held_out_loss"]}
    train(data, tmp_path / "other", arch="dcgan", kimg=0.016)
    with pytest.raises(InputError, match="a flow starts from a flow"):
        train(data, tmp_path / "bad", init_from=tmp_path / "other")


def test_what_cannot_be_extended_is_said(make_dataset: MakeDataset, tmp_path: Path) -> None:
    data, gan = make_dataset(n=160), tmp_path / "gan"
    train(data, gan)
    for options, reason in (
        ({"kimg": 0.08}, "not more than the 0.08"),
        ({"kimg": 0.16, "seed": 1}, "seed differs: 0 there, 1 here"),
        ({"kimg": 0.16, "init_from": gan, "arch": "stylegan2"}, "--init-from starts anew"),
        ({"kimg": 0.16, "arch": "dcgan"}, "applies only with --arch"),
    ):
        with pytest.raises(UsageError, match=reason):
            train(data, tmp_path / f"bad-{len(reason)}", extend=gan, **options)
    other = make_dataset(n=160, name="other", size=32)
    with pytest.raises(InputError, match="goes on with the same data"):
        train(other, tmp_path / "another", extend=gan, kimg=0.16)
    shutil.rmtree(gan / "checkpoints")
    with pytest.raises(InputError, match="no checkpoint to go on from") as caught:
        train(data, tmp_path / "gone", extend=gan, kimg=0.16)
    assert "--init-from" in str(caught.value.hint)


def test_checkpoints_of_other_sizes_are_refused(data: Path, tmp_path: Path) -> None:
    train(data, tmp_path / "gan", kimg=0.016)
    with pytest.raises(CxrError) as caught:
        train(data, tmp_path / "gan", kimg=0.016, preset="small")
    assert caught.value.exit_code == 4


def test_images_do_not_depend_on_how_many_are_made(data: Path, tmp_path: Path) -> None:
    train(data, tmp_path / "gan", kimg=0.016)
    generator = load_generator(tmp_path / "gan")
    few, many = generator.sample("Large", n=2, seed=3), generator.sample("Large", n=5, seed=3)
    assert np.array_equal(few, many[:2])
