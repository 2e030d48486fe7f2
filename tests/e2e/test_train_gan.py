"""`cxr train-gan` as a person runs it: outputs, reruns, stops, kills, and bad input."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from cxrtool import cli
from cxrtool import generators as gans
from cxrtool.commands.train_gan.task import explain, prepare, recorded
from cxrtool.core import console
from cxrtool.core.config.values import resolve
from cxrtool.core.errors import CxrError, InputError, InterruptedRunError, UsageError
from cxrtool.core.fingerprints import require_complete
from cxrtool.core.runs.execution import Outcome, execute
from cxrtool.generators.base import GeneratorTrainer
from cxrtool.generators.flow.trainer import FlowTrainer
from cxrtool.generators.quality import Quality
from cxrtool.generators.stylegan2.trainer import StyleGan2Trainer
from cxrtool.generators.task import COSTS
from tests.unit.generators.conftest import make_dataset

train_cls = cli.stages()["train-cls"]
train_gan = cli.stages()["train-gan"]

__all__ = ["make_dataset"]

MakeDataset = Callable[..., Path]
QUICK = {
    "size": 16,
    "batch": 8,
    "kimg": 0.08,
    "snapshot_kimg": 0.03,
    "tick_kimg": 0.02,
    "threads": 1,
}


def train(data: Path, out: Path, **options: Any) -> Outcome:
    """Run the stage in this process, quickly."""
    values = {"data": data, **QUICK, **options}
    return execute(train_gan, resolve(train_gan.Config, values), out)


def outputs(out: Path) -> dict[str, str]:
    """Hashes of everything that must be the same in every execution."""
    return {k: v["sha256"] for k, v in require_complete(out)["outputs"].items()}


def test_everything_is_there(make_dataset: MakeDataset, tmp_path: Path) -> None:
    data, out = make_dataset(), tmp_path / "gan"
    result = train(data, out).result
    summary = result["summary"]
    assert summary["kimg"] == 0.08
    assert summary["labels"] == ["Large", "Left"]
    assert summary["labels_left_out"] == {"Never": "no training row has it"}
    assert summary["images"] == 36  # the test rows stay out
    files = {"model.json", "model.safetensors", "resolved.json", "seen.json"}
    assert set(result["outputs"]) == files | {
        *("samples.png", "curves.png", "model_card.md", "label_table.csv")
    }
    seen = json.loads((out / "seen.json").read_text())
    assert len(seen["pixels"]) == 36
    assert f"{9:016x}" not in seen["pixels"]
    meta = json.loads((out / "model.json").read_text())
    assert meta["policy"] == {"uncertain": "ones", "blank": "zeros"}
    chosen = {"view": "frontal", "split": "train", "fraction": 1.0, "leave_out": None}
    assert meta["selection"] == chosen
    assert meta["preprocessing"]["size"] == 16
    assert meta["label_kind"] == "multilabel"
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [row["nimg"] for row in rows] == [24, 40, 64, 80]
    assert {"g_loss", "d_loss", "r_t", "g_grad_norm", *COSTS} <= rows[0].keys()
    assert rows[-1]["memory_bytes"] > 50_000_000
    assert 0 < rows[-1]["data_wait_sec_per_kimg"] < rows[-1]["sec_per_kimg"]
    assert Image.open(out / "curves.png").size[0] > 800
    names = sorted(path.name for path in (out / "samples").iterdir())
    assert names == ["fakes-000000032.png", "fakes-000000064.png", "reals.png"]
    assert len(np.asarray(Image.open(out / "samples.png")).shape) == 2

    network = gans.load(out)
    assert network.labels == ("Large", "Left")
    assert len(network.vectors) == 4
    image = network.generate(torch.randn(2, network.z_dim), torch.eye(2), truncation=0.7)
    assert image.shape == (2, 1, 16, 16)
    judge = gans.load_judge(out).network  # a filter's scores depend on no batch mates
    assert float(judge.std_reference) > 0
    y, known = torch.eye(2)[[0, 1, 0, 1]], torch.ones(4, 2).bool()
    mates = torch.rand(4, 1, 16, 16) * 2 - 1
    mates[:2] = image
    together = judge(mates, y, known, group=0).score
    alone = judge(image, y[:2], known[:2], group=0).score
    torch.testing.assert_close(together[:2], alone, rtol=1e-4, atol=1e-5)

    again = train(data, out)
    assert again.state == "up-to-date"
    assert outputs(out) == outputs_of_second(data, tmp_path)


def outputs_of_second(data: Path, tmp_path: Path) -> dict[str, str]:
    """The same training in another folder."""
    train(data, tmp_path / "second")
    return outputs(tmp_path / "second")


def test_stop_at_any_step_and_go_on(make_dataset: MakeDataset, tmp_path: Path) -> None:
    data = make_dataset()
    train(data, tmp_path / "straight")
    from cxrtool.generators.stylegan2.trainer import StyleGan2Trainer

    step, left = StyleGan2Trainer.step, [0]

    def counted(self: StyleGan2Trainer) -> None:
        step(self)
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StyleGan2Trainer, "step", counted)
        for steps in (3, 4):
            left[0] = steps
            with pytest.raises(InterruptedRunError) as caught:
                train(data, tmp_path / "stopped")
            assert caught.value.exit_code == 143
            assert (tmp_path / "stopped/checkpoints/latest.pt").is_file()
    train(data, tmp_path / "stopped")
    assert outputs(tmp_path / "stopped") == outputs(tmp_path / "straight")


def test_killed_process_goes_on_with_the_same_bits(
    make_dataset: MakeDataset, tmp_path: Path
) -> None:
    data, options = make_dataset(), {"kimg": 0.32, "snapshot_kimg": 0.04}
    command = [sys.executable, "-m", "cxrtool", "train-gan", str(data), "-q"]
    for name, value in {**QUICK, **options}.items():
        command += ["--" + name.replace("_", "-"), str(value)]
    killed = subprocess.Popen([*command, "-o", str(tmp_path / "killed")])
    checkpoint = tmp_path / "killed/checkpoints/latest.pt"
    try:
        for _ in range(1200):
            if checkpoint.exists() or killed.poll() is not None:
                break
            time.sleep(0.05)
        assert killed.poll() is None, "it ended before it could be killed"
    finally:
        killed.send_signal(signal.SIGKILL)
        killed.wait()
    assert not (tmp_path / "killed/result.json").exists()
    train(data, tmp_path / "killed", **options)
    train(data, tmp_path / "straight", **options)
    assert outputs(tmp_path / "killed") == outputs(tmp_path / "straight")


def test_a_data_set_without_labels_trains_unconditionally(
    make_dataset: MakeDataset, tmp_path: Path
) -> None:
    train(make_dataset(labels=False), tmp_path / "gan", kimg=0.01)
    network = gans.load(tmp_path / "gan")
    assert network.labels == ()
    assert network.generate(torch.randn(2, network.z_dim), torch.zeros(2, 0), 0.5).shape[0] == 2


def test_labels_can_be_chosen(make_dataset: MakeDataset, tmp_path: Path) -> None:
    data = make_dataset()
    train(data, tmp_path / "one", kimg=0.01, labels="Left")
    assert gans.load(tmp_path / "one").labels == ("Left",)
    train(data, tmp_path / "none", kimg=0.01, labels="none")
    assert gans.load(tmp_path / "none").labels == ()
    with pytest.raises(UsageError, match="no label 'Right'"):
        train(data, tmp_path / "bad", labels="Right")


def test_larger_images_are_reduced(make_dataset: MakeDataset, tmp_path: Path) -> None:
    train(make_dataset(size=32), tmp_path / "gan", kimg=0.01)
    meta = json.loads((tmp_path / "gan/model.json").read_text())
    assert (meta["preprocessing"]["size"], meta["preprocessing"]["data_size"]) == (16, 32)


def test_bad_input(make_dataset: MakeDataset, tmp_path: Path) -> None:
    data = make_dataset()
    with pytest.raises(InputError, match="--size 32 is more than the data's 16 px"):
        train(data, tmp_path / "a", size=32)
    with pytest.raises(UsageError, match="--size 24: must be a power of two"):
        train(data, tmp_path / "b", size=24)
    with pytest.raises(InputError, match="--batch 64 is more than the 36 images"):
        train(data, tmp_path / "c", batch=64)
    with pytest.raises(UsageError, match="--batch 6: must be a multiple of 4"):
        train(data, tmp_path / "d", batch=6)
    with pytest.raises(UsageError, match="--augment sharpen"):
        train(data, tmp_path / "e", augment="sharpen")
    with pytest.raises(InputError, match="1 image to train on"):
        train(make_dataset(n=1, name="one"), tmp_path / "f", batch=None)
    with pytest.raises(InputError, match="3 images to train on"):
        train(make_dataset(n=3, name="three"), tmp_path / "g")


def edited(data: Path, out: Path, change: Callable[[pd.DataFrame], object]) -> Path:
    """A data set with another table."""
    shutil.copytree(data, out)
    table = pd.read_csv(out / "manifest.csv", dtype=str, keep_default_na=False)
    change(table)
    table.to_csv(out / "manifest.csv", index=False)
    return out


@pytest.mark.parametrize(
    "options", [{"sample": "sqrt"}, {"sample": "balanced"}, {"d_label_weight": 0.5}]
)
def test_what_counts_labels_needs_labels(
    make_dataset: MakeDataset, tmp_path: Path, options: dict[str, Any]
) -> None:
    flag = "--" + next(iter(options)).replace("_", "-")
    with pytest.raises(UsageError, match=f"{flag} .* no label to condition on"):
        train(make_dataset(), tmp_path / "gan", labels="none", **options)


@pytest.mark.parametrize(
    ("sample", "rare", "told"),
    [
        ("balanced", 2, "warning"),
        ("balanced", 60, "said"),
        ("sqrt", 2, "said"),
        ("natural", 2, ""),
    ],
)
def test_rows_that_come_very_often_are_told(
    make_dataset: MakeDataset,
    monkeypatch: pytest.MonkeyPatch,
    sample: str,
    rare: int,
    told: str,
) -> None:
    data = make_dataset(n=200)
    table = pd.read_csv(data / "manifest.csv", dtype=str)
    table["Large"] = ["1" if k < rare else "0" for k in range(len(table))]
    table["Left"] = "0"
    table.loc[table.index[rare:], "Left"] = "1"
    table.to_csv(data / "manifest.csv", index=False)
    words: list[tuple[str, str]] = []
    monkeypatch.setattr(console, "warn", lambda text: words.append(("warning", text)))
    monkeypatch.setattr(console, "say", lambda text: words.append(("said", text)))
    explain(prepare(resolve(train_gan.Config, {"data": data, "sample": sample}), "cpu"))
    found = [(kind, text) for kind, text in words if text.startswith("--sample")]
    assert [kind for kind, _ in found] == ([told] if told else [])
    for _, text in found:
        assert f"--sample {sample}: rows of 'Large' ({rare - rare // 10})" in text


def test_labels_that_say_nothing(make_dataset: MakeDataset, tmp_path: Path) -> None:
    data = make_dataset()

    def blank(table: pd.DataFrame) -> None:
        for name in ("Large", "Left", "Never"):
            table[name] = ""

    def one_class(table: pd.DataFrame) -> None:
        table["Large"], table["Left"] = "1", "0"

    nothing = edited(data, tmp_path / "blank", blank)
    result = train(nothing, tmp_path / "a", kimg=0.01, blank="ignore").result["summary"]
    assert result["labels"] == []
    assert set(result["labels_left_out"].values()) == {"unknown in every training row"}
    one = edited(data, tmp_path / "one", one_class)
    result = train(one, tmp_path / "b", kimg=0.01).result["summary"]
    assert result["labels_left_out"]["Large"] == "every training row has it"
    assert gans.load(tmp_path / "b").labels == ()


def test_images_of_mixed_size(make_dataset: MakeDataset, tmp_path: Path) -> None:
    data = make_dataset()
    Image.new("L", (24, 24)).save(data / "images" / "003.png")
    with pytest.raises(InputError, match=r"003\.png.*24"):
        train(data, tmp_path / "gan")


def test_damaged_and_foreign_checkpoints(
    make_dataset: MakeDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, out = make_dataset(), tmp_path / "gan"
    train(data, out, checkpoint="last")
    wanted = outputs(out)
    said: list[str] = []
    monkeypatch.setattr(console, "warn", said.append)
    for name in ("result.json", "model.json", "model.safetensors"):
        (out / name).unlink()
    latest = out / "checkpoints/latest.pt"
    latest.write_bytes(latest.read_bytes()[:-1000])
    assert train(data, out, checkpoint="last").state == "done"
    assert any("latest.pt is not usable" in text for text in said)
    assert outputs(out) == wanted  # from the checkpoint before, to the same bits
    with pytest.raises(CxrError, match="--labels") as caught:
        train(data, out, checkpoint="last", labels="Left")
    assert caught.value.exit_code == 4


def test_few_images_make_a_smaller_batch(make_dataset: MakeDataset, tmp_path: Path) -> None:
    train(make_dataset(n=7, name="seven"), tmp_path / "gan", batch=None, kimg=0.01)
    assert json.loads((tmp_path / "gan/resolved.json").read_text())["batch"] == 4


def test_plan_names_every_choice_and_writes_nothing(make_dataset: MakeDataset) -> None:
    data = make_dataset()
    before = sorted(data.rglob("*"))
    plan = train_gan.plan(resolve(train_gan.Config, {"data": data}))
    assert plan["arch"]["size"] == 16
    assert plan["preset"] == "tiny"
    assert plan["total_nimg"] == 200_000
    assert plan["augment"] == ("color", "translation", "cutout")
    assert set(plan["prevalence"]) == {"Large", "Left"}
    assert sorted(data.rglob("*")) == before


def test_the_device_chooses_size_and_preset_once(make_dataset: MakeDataset, tmp_path: Path) -> None:
    data, out = make_dataset(size=128), tmp_path / "gan"
    config = resolve(train_gan.Config, {"data": data})
    chosen = {
        device: (task.choices.arch.size, task.choices.preset)
        for device, task in ((d, prepare(config, d)) for d in ("cpu", "cuda"))
    }
    assert chosen == {"cpu": (64, "small"), "cuda": (128, "full")}
    # A run goes on with what it began with, wherever it goes on; what is asked for wins.
    train(data, out, kimg=0.01)
    began = recorded(out)
    assert began == {"size": 16, "preset": "tiny", "precision": "float32"}
    on = prepare(config, "cuda", 1, began).choices
    assert (on.arch.size, on.preset) == (16, "tiny")
    asked = resolve(train_gan.Config, {"data": data, "size": 32, "preset": "small"})
    wins = prepare(asked, "cuda", 1, began).choices
    assert (wins.arch.size, wins.preset) == (32, "small")
    assert recorded(tmp_path / "new") == {}


def test_precision_and_compilation_can_be_chosen(
    make_dataset: MakeDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make_dataset()
    train(data, tmp_path / "high", kimg=0.03)
    train(data, tmp_path / "low", kimg=0.03, precision="bfloat16")
    resolved = [json.loads((tmp_path / n / "resolved.json").read_text()) for n in ("high", "low")]
    assert [record["bfloat16_from_px"] for record in resolved] == [None, 8]
    high, low = (gans.load(tmp_path / name).network.const for name in ("high", "low"))
    assert 0 < (high - low).abs().max() < 0.05
    assert recorded(tmp_path / "low")["precision"] == "bfloat16"
    with pytest.raises(CxrError, match="--precision"):
        train(data, tmp_path / "high", kimg=0.03, precision="bfloat16")
    # Whether it is compiled changes the last bits only: no other run.
    assert train(data, tmp_path / "high", kimg=0.03, compile="on").state == "up-to-date"

    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("no compiler here")

    monkeypatch.setattr(torch, "compile", broken)
    train(data, tmp_path / "asked", kimg=0.03, compile="on")
    assert outputs(tmp_path / "asked") == outputs(tmp_path / "high")


@pytest.mark.parametrize("here", [True, False])
@pytest.mark.parametrize(
    ("arch", "trainer"), [("stylegan2", StyleGan2Trainer), ("flow", FlowTrainer)]
)
def test_a_run_keeps_its_precision_on_another_processor(
    make_dataset: MakeDataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    here: bool,
    arch: str,
    trainer: type[GeneratorTrainer],
) -> None:
    data = make_dataset(size=32)
    options: dict[str, Any] = {"arch": arch, "size": 32, "kimg": 0.064, "snapshot_kimg": 0.016}

    def on(able: bool) -> None:
        found = {"avx512_bf16": able}
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found, raising=False)

    on(here)
    train(data, tmp_path / "straight", **options)
    step, left = trainer.step, [2]

    def counted(self: Any) -> None:
        step(self)
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "step", counted)
        with pytest.raises(InterruptedRunError):
            train(data, tmp_path / "moved", **options)
    on(not here)
    train(data, tmp_path / "moved", **options)
    assert recorded(tmp_path / "moved")["precision"] == ("bfloat16" if here else "float32")
    assert outputs(tmp_path / "moved") == outputs(tmp_path / "straight")


def test_options_change_the_fingerprint_or_only_provenance(
    make_dataset: MakeDataset, tmp_path: Path
) -> None:
    data, out = make_dataset(), tmp_path / "gan"
    train(data, out, kimg=0.01)
    assert train(data, out, kimg=0.01, tick_kimg=0.5, device="cpu").state == "up-to-date"
    for change in ({"gamma": 1.0}, {"seed": 1}, {"augment": "none"}, {"mirror": True}):
        with pytest.raises(CxrError, match="--" + next(iter(change))) as caught:
            train(data, out, **{"kimg": 0.01, **change})
        assert caught.value.exit_code == 4


def test_the_best_network_is_kept_and_can_be_gone_on_from(
    make_dataset: MakeDataset, tmp_path: Path
) -> None:
    data = make_dataset(n=80, val=True)
    cls = resolve(
        train_cls.Config, {"data": data, "arch": "small_cnn", "steps": 2, "batch": 8, "threads": 1}
    )
    execute(train_cls, cls, tmp_path / "cls")
    first = train(data, tmp_path / "gan", features=tmp_path / "cls").result["summary"]
    rows = [json.loads(line) for line in (tmp_path / "gan" / "metrics.jsonl").open()]
    measured = {row["kimg"]: row["fd"] for row in rows if "fd" in row}
    assert len(measured) == 3
    lowest = min(measured.values())
    newest = max(k for k, fd in measured.items() if fd <= Quality.tolerance * lowest)
    assert first["best"] == {"kimg": newest, "fd": measured[newest], "lowest_fd": lowest}
    last = train(data, tmp_path / "last", checkpoint="last").result["summary"]
    assert last["best"] is None

    more = train(
        data,
        tmp_path / "more",
        init_from=tmp_path / "gan",
        features=tmp_path / "cls",
        freeze_d=1,
        kimg=0.016,
    )
    assert more.result["summary"]["kimg"] == 0.016
    start, end = (gans.load(tmp_path / name).network.const for name in ("gan", "more"))
    assert 0 < (start - end).abs().max() < 0.05  # two small steps from there
    begun = more.result["summary"]["start"]
    assert begun["fd"] == pytest.approx(first["best"]["fd"], rel=1e-3)
    assert not begun["kept"]
    assert "start" not in first


def test_a_training_that_makes_its_start_worse_says_so(
    make_dataset: MakeDataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def measure(_: Quality, trainer: Any) -> dict[str, float]:
        return {"fd": 1.0 + trainer.nimg / 16}

    monkeypatch.setattr(Quality, "measure", measure)
    data = make_dataset(n=80)
    train(data, tmp_path / "gan", kimg=0.016, seed=1)
    train(data, tmp_path / "none", kimg=0.016, labels="none")
    options = {"init_from": tmp_path / "gan", "kimg": 0.016}
    capsys.readouterr()
    summary = train(data, tmp_path / "worse", **options).result["summary"]
    said = capsys.readouterr().err
    assert "Fréchet distance 1 at the start, 2 at best; that one is kept, unchanged" in said
    assert summary["start"] == {"fd": 1.0, "lowest_fd_after": 2.0, "kept": True}
    assert summary["best"]["kimg"] == 0
    before, after = (gans.load(tmp_path / name).network.state_dict() for name in ("gan", "worse"))
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    rows = [json.loads(line) for line in (tmp_path / "worse" / "metrics.jsonl").open()]
    assert (rows[0]["nimg"], rows[0]["fd"]) == (0, 1.0)
    # The last one, where that is asked for; and labels to learn, of which a distance knows little.
    for name, change in (
        ("last", {"checkpoint": "last"}),
        ("learns", {"init_from": tmp_path / "none"}),
    ):
        summary = train(data, tmp_path / name, **{**options, **change}).result["summary"]
        assert summary["start"] == {"fd": 1.0, "lowest_fd_after": 2.0, "kept": False}
        said = capsys.readouterr().err
        assert "made its start worse: Fréchet distance 1 at the start, 2 after it" in said


def test_a_run_writes_down_where_its_augmentations_are(
    make_dataset: MakeDataset, tmp_path: Path
) -> None:
    train(make_dataset(), tmp_path / "gan", kimg=0.01)
    meta = json.loads((tmp_path / "gan" / "model.json").read_text())
    assert meta["augment"] == {"policies": ["color", "translation", "cutout"], "p": 0.0}


def test_a_classifier_of_another_size_cannot_measure(
    make_dataset: MakeDataset, tmp_path: Path
) -> None:
    data = make_dataset(n=80, size=32, val=True)
    cls = resolve(
        train_cls.Config, {"data": data, "arch": "small_cnn", "steps": 2, "batch": 8, "threads": 1}
    )
    execute(train_cls, cls, tmp_path / "cls")
    with pytest.raises(InputError, match="reads 32 px, the generator makes 16 px"):
        train(data, tmp_path / "gan", features=tmp_path / "cls")
    with pytest.raises(UsageError, match="--freeze-d applies only with --init-from"):
        train(data, tmp_path / "gan", freeze_d=1)
