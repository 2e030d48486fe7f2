"""The stage in process: outputs, resume, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch

from cxrtool import cli, clip
from cxrtool.clip import holdout
from cxrtool.clip.training import ClipTrainer
from cxrtool.commands.finetune_clip.pairs import recipe_of
from cxrtool.core import console
from cxrtool.core.config.values import resolve
from cxrtool.core.errors import GateError, InputError, InterruptedRunError, UsageError
from cxrtool.core.runs import Run
from cxrtool.core.runs.execution import execute
from cxrtool.data.keys import Seen
from cxrtool.data.manifest import load_dataset

from .conftest import TEXTS, let_each_be_better, micro, write_config, write_dataset

finetune_clip = cli.stages()["finetune-clip"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data") / "squares")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model as a folder with weights, which makes the stage fast."""
    from safetensors.torch import save_file

    from cxrtool.clip.architecture import build

    path = write_config(tmp_path_factory.mktemp("micro"))
    save_file(build(micro(), 0).state_dict(), path / "model.safetensors")
    return path


def _config(data: Path, folder: Path | None, **changes: Any) -> Any:
    values: dict[str, Any] = {
        "data": data,
        "pretrained": folder,
        "lr": 3e-3,
        "steps": 12,
        "batch": 16,
        "threads": 1,
        "device": "cpu",
    }
    return resolve(finetune_clip.Config, values | changes)


def _bytes(out: Path) -> dict[str, bytes]:
    names = (
        "model.json",
        "model.safetensors",
        "open_clip_config.json",
        "seen.json",
        "curves.png",
    )
    return {name: (out / name).read_bytes() for name in names}


def test_a_run_leaves_a_model_that_travels(data: Path, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "clip"
    result = execute(finetune_clip, _config(data, folder), out).result
    summary = result["summary"]
    assert summary["pairs"] == 48
    assert summary["val_pairs"] == 12
    assert summary["distinct"] == 3
    assert set(summary["auroc"]) == {"Left", "Right"}
    model = clip.load(out)
    assert model.meta["text"] == {"strategy": "rules", "origin": "column rules"}
    assert model.meta["preprocessing"]["channels"] == 1
    theirs = open_clip.create_model(f"local-dir:{out}").eval()
    x = torch.rand(2, 1, 32, 32) * 2 - 1
    with torch.no_grad():
        wanted = theirs.encode_image(model.preprocess(x), normalize=True)
        assert torch.allclose(model.embed_images(x), wanted, atol=1e-6)
    dataset = load_dataset(data)
    assert Seen.load(out).pixels == frozenset(dataset.column("pixel_key"))
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert rows[0]["step"] == 0
    assert rows[-1]["step"] == 12
    assert rows[-1]["nimg"] == 192
    best = max(rows, key=lambda row: row["recall"])
    assert summary["recall"] == pytest.approx(best["recall"])
    assert summary["best_step"] == best["step"]
    assert execute(finetune_clip, _config(data, folder), out).state == "up-to-date"


def test_an_interrupted_run_goes_on_to_the_same_bytes(
    data: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = _config(data, folder, seed=4)
    execute(finetune_clip, config, tmp_path / "whole")
    step, stop_at = ClipTrainer.step, [5]

    def stepping(trainer: ClipTrainer) -> float:
        loss = step(trainer)
        if trainer.step_number == stop_at[0]:
            run_at_work[0]._signal = 15
        return loss

    run_at_work: list[Run] = []
    original = finetune_clip.run

    def remember(config: Any, run: Run) -> dict[str, Any]:
        run_at_work[:] = [run]
        return dict(original(config, run))

    monkeypatch.setattr(ClipTrainer, "step", stepping)
    monkeypatch.setattr(finetune_clip, "run", remember)
    with pytest.raises(InterruptedRunError):
        execute(finetune_clip, config, tmp_path / "halves")
    stop_at[0] = -1
    execute(finetune_clip, config, tmp_path / "halves")
    assert _bytes(tmp_path / "whole") == _bytes(tmp_path / "halves")

    def metrics(out: Path) -> list[dict[str, Any]]:
        rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        assert all(row.pop("pairs_per_s") > 0 for row in rows[1:])  # a matter of the machine
        return rows

    assert metrics(tmp_path / "whole") == metrics(tmp_path / "halves")


@pytest.mark.usefixtures("each_better")
@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"steps": 13},
        {"lr": 1e-3},
        {"augment": "none"},
        {"positives": "none"},
        {"batch": 12},
        {"lock": ("image",)},
        {"lock": ("norms",)},
        {"text": "labels"},
        {"wordings": "plain", "steps": 8},
        {"fraction": 0.5},
        {"size": 40},
        {"precision": "bfloat16"},
    ],
)
def test_every_option_changes_the_model(
    data: Path, folder: Path, tmp_path: Path, reference: bytes, changes: dict[str, Any]
) -> None:
    execute(finetune_clip, _config(data, folder, **({"steps": 4} | changes)), tmp_path / "out")
    assert (tmp_path / "out" / "model.safetensors").read_bytes() != reference


@pytest.fixture(scope="module")
def reference(data: Path, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    out = tmp_path_factory.mktemp("reference") / "clip"
    with pytest.MonkeyPatch.context() as monkeypatch:
        let_each_be_better(monkeypatch)
        execute(finetune_clip, _config(data, folder, steps=4), out)
    return (out / "model.safetensors").read_bytes()


@pytest.mark.usefixtures("each_better")
def test_the_weight_of_negation_changes_the_model(data: Path, folder: Path, tmp_path: Path) -> None:
    found = []
    for weight in (0.0, 1.0):
        config = _config(data, folder, steps=2, text="labels", negation_weight=weight)
        execute(finetune_clip, config, tmp_path / str(weight))
        found.append((tmp_path / str(weight) / "model.safetensors").read_bytes())
    assert found[0] != found[1]


@pytest.mark.usefixtures("each_better")
def test_targets_by_labels_differ_where_texts_differ(folder: Path, tmp_path: Path) -> None:
    texts = [f"text {i}" for i in range(60)]
    data = write_dataset(tmp_path / "data", rules=texts)
    found = []
    for targets in ("text", "labels", "none"):
        out = tmp_path / targets
        execute(finetune_clip, _config(data, folder, steps=3, positives=targets), out)
        found.append((out / "model.safetensors").read_bytes())
    assert found[0] == found[2], "all texts are different, so each pair is alone"
    assert found[0] != found[1]


def test_a_set_without_texts_gets_prompts_from_its_labels(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_dataset(tmp_path / "data", rules=[""] * 60)
    config = _config(data, folder, steps=2, templates="image")
    result = execute(finetune_clip, config, tmp_path / "out").result
    assert result["summary"]["text"] == "labels"
    assert "composed from the labels" in capsys.readouterr().err
    assert clip.load(tmp_path / "out").meta["templates"]["neutral"][0] == "an image"


def test_one_text_for_every_image_is_refused(folder: Path, tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data", rules=["the same"] * 60)
    with pytest.raises(InputError, match="nothing to contrast"):
        execute(finetune_clip, _config(data, folder), tmp_path / "out")


def test_nearly_one_text_and_texts_that_are_cut_are_warned_about(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["the same"] * 58 + ["another", "word " * 40]
    said: list[str] = []
    monkeypatch.setattr(console, "warn", said.append)
    data = write_dataset(tmp_path / "data", rules=texts)
    result = execute(finetune_clip, _config(data, folder, steps=1), tmp_path / "out").result
    assert any("one and the same text" in text for text in said)
    assert any("longer than 16 tokens" in text for text in said)
    assert result["summary"]["texts_cut"] == 1


def test_divergence_is_a_failed_gate(
    data: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ClipTrainer, "step", lambda self: float("nan"))
    with pytest.raises(GateError, match="diverged"):
        execute(finetune_clip, _config(data, folder), tmp_path / "out")


def test_it_starts_from_a_past_run_and_remembers_what_that_saw(
    data: Path, folder: Path, tmp_path: Path
) -> None:
    first = tmp_path / "first"
    execute(finetune_clip, _config(data, folder, steps=1, fraction=0.3), first)
    other = write_dataset(tmp_path / "other", pixel_key=[f"other{i}" for i in range(60)])
    execute(finetune_clip, _config(other, first, steps=1), tmp_path / "second")
    pixels = Seen.load(tmp_path / "second").pixels
    assert Seen.load(first).pixels < pixels
    assert "other0" in pixels


def test_selection_by_auroc_needs_both_classes(folder: Path, tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data", Left=["0"] * 60, Right=["0"] * 60)
    with pytest.raises(InputError, match="no AUROC"):
        execute(finetune_clip, _config(data, folder, select_by="auroc"), tmp_path / "out")


def test_selection_by_auroc_takes_another_network(data: Path, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = execute(finetune_clip, _config(data, folder, steps=24, select_by="auroc"), out).result
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    best = max(rows, key=lambda row: row["auroc_mean"])
    assert result["summary"]["best_step"] == best["step"]


def test_the_plan_says_what_would_be_done(data: Path, folder: Path) -> None:
    found = finetune_clip.plan(_config(data, folder, steps=None, epochs=2))
    assert found["pairs"] == 48
    assert found["steps"] == 6
    assert found["distinct"] == len(TEXTS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 3}, "--steps applies only without --epochs"),
        ({"text": " "}, "--text is empty"),
        ({"split": "val"}, "held out"),
        ({"lock": ("image", "text")}, "nothing to train"),
        ({"pretrained": Path("local-dir:nowhere")}, "no such file"),
        ({"text": "original"}, "--steps applies only without --text original"),
    ],
)
def test_options_that_contradict_each_other(
    data: Path, folder: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        _config(data, folder, **changes)


def test_norms_with_statistics_of_given_weights_are_frozen_unless_told_otherwise(
    data: Path, folder: Path
) -> None:
    for lock, scratch, wanted in (
        ((), False, ("batch-norms",)),
        (("norms",), False, ("norms",)),
        ((), True, ()),
        (("none",), False, ()),
        (("text",), False, ("text",)),
    ):
        config = _config(data, None if scratch else folder, lock=lock)
        assert recipe_of(config, 48).lock == wanted


def test_there_is_an_evaluation_every_epoch(data: Path, folder: Path, tmp_path: Path) -> None:
    execute(finetune_clip, _config(data, folder, steps=72), tmp_path / "out")
    rows = (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(row)["step"] for row in rows] == list(range(0, 73, 3))


@pytest.mark.parametrize(
    ("select_by", "key", "better"),
    [("retrieval", "recall", 1), ("auroc", "auroc_mean", 1), ("loss", "val_loss", -1)],
)
@pytest.mark.parametrize(
    ("gain", "sentence"),
    [
        (-0.01, "training made it worse: kept the network before training"),
        (0.0, "training made it no better: kept the network before training"),
        (0.01, "kept the network of epoch 2 of 2, whose held-out"),
    ],
)
def test_the_network_that_is_kept_is_the_best_of_all_with_the_one_before(
    data: Path,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    select_by: str,
    key: str,
    better: int,
    gain: float,
    sentence: str,
) -> None:
    evaluate, calls = holdout.evaluate, []

    def measures(*given: Any) -> dict[str, Any]:
        calls.append(given)
        return {**evaluate(*given), key: 0.5 + better * gain * len(calls)}

    monkeypatch.setattr(holdout, "evaluate", measures)
    out = tmp_path / "out"
    config = _config(data, folder, steps=6, select_by=select_by, min_patients=1)
    summary = execute(finetune_clip, config, out).result["summary"]
    assert sentence in capsys.readouterr().err
    assert summary["best_step"] == summary["best_epoch"] * 3 == 6 * (gain > 0)
    weights = clip.load(out).network.state_dict()
    start = clip.architecture.build(micro(), 0).state_dict()
    assert all(torch.equal(weights[name], start[name]) for name in start) == (gain <= 0)
    assert bool(json.loads((out / "model.json").read_text())["words"]["known"]) == (gain > 0)


def test_last_keeps_the_trained_network_however_it_reads(
    data: Path, folder: Path, tmp_path: Path, reference: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate, calls = holdout.evaluate, []

    def measures(*given: Any) -> dict[str, Any]:
        calls.append(given)
        worse = {"recall": -len(calls), "auroc_mean": -len(calls), "val_loss": len(calls)}
        return {**evaluate(*given), **worse}

    monkeypatch.setattr(holdout, "evaluate", measures)
    out = tmp_path / "out"
    config = _config(data, folder, steps=4, select_by="last")
    summary = execute(finetune_clip, config, out).result["summary"]
    assert summary["best_step"] == summary["steps"] == 4
    assert (out / "model.safetensors").read_bytes() == reference


def test_original_trains_nothing_and_is_measured(data: Path, folder: Path, tmp_path: Path) -> None:
    config = resolve(
        finetune_clip.Config,
        {"data": data, "pretrained": folder, "text": "original", "threads": 1, "device": "cpu"},
    )
    assert finetune_clip.plan(config)["pairs"] == 0
    result = execute(finetune_clip, config, tmp_path / "out").result
    assert result["summary"]["steps"] == 0
    assert result["summary"]["val_pairs"] == 12
    assert 0 <= result["summary"]["auroc"]["Left"] <= 1
    weights = clip.load(tmp_path / "out").network.state_dict()
    for name, value in clip.architecture.build(micro(), 0).state_dict().items():
        assert torch.equal(weights[name], value), name
    assert not Seen.load(tmp_path / "out").pixels, "nothing was trained on or chosen by"


def test_original_without_weights_is_an_untrained_network_to_start_from(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(console, "warn", said.append)
    start = tmp_path / "start"
    common = {"data": data, "model": "tiny", "size": 32, "seed": 5, "threads": 1, "device": "cpu"}
    config = resolve(finetune_clip.Config, {**common, "text": "original"})
    execute(finetune_clip, config, start)
    assert any("untrained network" in text for text in said)

    # Who starts from it, starts from scratch.
    trained = [
        resolve(finetune_clip.Config, {**common, **more, "steps": 2, "batch": 8})
        for more in ({}, {"model": None, "size": None, "pretrained": start})
    ]
    assert [recipe_of(config, 48) for config in trained] == [recipe_of(trained[0], 48)] * 2
    for number, config in enumerate(trained):
        execute(finetune_clip, config, tmp_path / str(number))
    assert (
        _bytes(tmp_path / "0")["model.safetensors"] == _bytes(tmp_path / "1")["model.safetensors"]
    )
    after = resolve(finetune_clip.Config, {**common, "model": None, "pretrained": tmp_path / "0"})
    assert not after.from_scratch


def test_patience_stops_where_nothing_is_gained_any_more(
    data: Path, folder: Path, tmp_path: Path
) -> None:
    steps = {}
    for patience in (0, 2):
        # A learning rate at which none can be better than before training.
        config = _config(data, folder, steps=24, lr=1e-12, patience=patience)
        out = tmp_path / str(patience)
        summary = execute(finetune_clip, config, out).result["summary"]
        assert summary["best_step"] == 0
        steps[patience] = summary["steps"]
    assert steps == {0: 24, 2: 6}


def test_a_batch_that_processes_cannot_share_is_refused(data: Path, folder: Path) -> None:
    config = _config(data, folder, batch=15)
    with pytest.raises(UsageError, match="cannot be shared by 2 processes") as caught:
        recipe_of(config, 48, processes=2)
    assert caught.value.hint == "use --batch 14"
    assert recipe_of(config, 48, processes=3).batch == 15


def test_a_folder_may_be_named_as_open_clip_names_it(data: Path, folder: Path) -> None:
    plain, named = (_config(data, Path(prefix + str(folder))) for prefix in ("", "local-dir:"))
    assert named == plain
