"""`cxr train-cls`: arms, refusals, leaks, resuming, and that it learns."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import pytest

from cxrtool import cli
from cxrtool.classifiers import load
from cxrtool.commands.train_cls import training
from cxrtool.commands.train_cls.options import WITH_SYNTH
from cxrtool.core import runs
from cxrtool.core.config.values import resolve
from cxrtool.core.errors import CxrError, GateError, InputError, UsageError
from cxrtool.core.runs.execution import execute
from cxrtool.data import cache
from cxrtool.data.keys import Seen
from cxrtool.data.manifest import load_dataset
from tests.e2e import cls_sets

train_cls = cli.stages()["train-cls"]

QUICK = {"arch": "small_cnn", "steps": 4, "batch": 16, "eval_every": 2, "threads": 1}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cls_sets.real(tmp_path_factory.mktemp("sets") / "real")


@pytest.fixture(scope="module")
def synth(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    return cls_sets.synth(tmp_path_factory.mktemp("sets") / "synth", data)


def train(
    data: Path, out: Path, *synth: Path, figure: bool = False, **options: Any
) -> dict[str, Any]:
    """One run in this process; the figure takes longer than the rest, so it is asked for."""
    config = resolve(train_cls.Config, {**QUICK, "data": data, "synth": synth, **options})
    with nullcontext() if figure else mock.patch.object(training, "write_loss_curve"):
        summary: dict[str, Any] = execute(train_cls, config, out).result["summary"]
    return summary


def hashes(out: Path) -> dict[str, str]:
    outputs = json.loads((out / "result.json").read_text())["outputs"]
    return {name: entry["sha256"] for name, entry in outputs.items()}


def edited(data: Path, folder: Path, change: Any) -> Path:
    """A copy of a set's rows and images with a changed table."""
    table, images = load_dataset(data).table.copy(), load_dataset(data)
    pixels = np.stack([np.zeros((cls_sets.SIZE, cls_sets.SIZE), np.uint8)] * len(images))
    change(table)
    return cls_sets.write(folder, table.drop(columns=["image"]), pixels)


def test_it_learns_and_says_what_it_is(data: Path, tmp_path: Path) -> None:
    summary = train(data, tmp_path / "out", figure=True, steps=60, eval_every=20)
    assert summary["val_auroc"] > 0.75  # one label in ten is wrong
    assert summary["labels"] == ["A", "B"]
    assert summary["left_out"]["training"] == {"C": "no positive"}
    out = tmp_path / "out"
    network = load(out)
    described = network.description
    assert network.labels == ("A", "B")
    assert described["policy"] == {"uncertain": "ones", "blank": "zeros"}
    assert described["selection"] == {"view": "frontal", "split": "train", "fraction": 1.0}
    assert described["preprocessing"]["size"] == cls_sets.SIZE
    assert described["recipe"]["arm"] == "none"
    metrics = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in metrics] == [20, 40, 60]
    best = max(metrics, key=lambda row: row["val_auroc"])
    assert summary["best_step"] == best["step"]
    assert metrics[-1]["loss"] < metrics[0]["loss"]
    predictions = pd.read_csv(out / "predictions.csv")
    assert list(predictions.columns) == ["split", "image", "row", "A", "B"]
    rows = predictions["row"].to_numpy() - 2
    for column in ("split", "image"):
        assert (load_dataset(data).column(column, rows) == predictions[column]).all()
    assert predictions["split"].value_counts().to_dict() == {"val": 32, "test": 32}
    assert described["calibration"]["temperature"] > 0
    assert set(described["calibration"]["thresholds"]) == {"A", "B"}
    assert (out / "loss_curve.png").read_bytes().startswith(b"\x89PNG")
    seen = Seen.load(out)
    held = load_dataset(data)
    train_and_val = np.flatnonzero(held.column("split") != "test")
    every = Seen.of(held, train_and_val)
    assert (seen.patients, seen.pixels) == (every.patients, every.pixels)
    split = held.column("split")
    assert seen.fitted() == Seen.of(held, np.flatnonzero(split == "train"))
    assert seen.chosen_by == Seen.of(held, np.flatnonzero(split == "val"))


def test_the_stored_weights_are_those_of_the_best_step(data: Path, tmp_path: Path) -> None:
    """Predictions of the stored network give the validation AUROC of the chosen step."""
    from cxrtool.stats.curves import auroc

    summary = train(data, tmp_path / "out", steps=12, eval_every=3, lr=0.01)
    predictions = pd.read_csv(tmp_path / "out" / "predictions.csv")
    predictions = predictions[predictions["split"] == "val"]
    truth = load_dataset(data).column("A", predictions["row"].to_numpy() - 2) == "1"
    found = auroc(truth, predictions["A"].to_numpy())
    assert found == pytest.approx(summary["val_auroc_by_label"]["A"], abs=1e-3)


@pytest.mark.parametrize(
    ("arm", "images"),
    [
        ("none", {"real": 96}),
        ("standard", {"real": 96}),
        ("duplicate", {"real": 96, "duplicate": 40}),
        ("gan", {"real": 96, "synthetic": 40}),
        ("synthetic-only", {"synthetic": 40}),
        ("pretrain-finetune", {"real": 96, "synthetic": 40}),
        ("pooled", {"real": 96, "real of another set": 60}),
    ],
)
def test_arms_differ_in_their_images_alone(
    arm: str, images: dict[str, int], data: Path, synth: Path, tmp_path: Path
) -> None:
    with_synth = arm in WITH_SYNTH
    more = [synth] if with_synth else []
    if arm == "pooled":  # of another hospital, whose test patients stay out
        more = [cls_sets.real(tmp_path / "other", 100, seed=7)]
    summary = train(data, tmp_path / "out", *more, arm=arm)
    assert summary["images"] == images
    assert summary["steps"] == 4
    recipe = load(tmp_path / "out").description["recipe"]
    assert recipe["augment"] == ("safe" if arm == "standard" else "none")
    if with_synth:  # the generator's training patients are part of what was seen
        assert Seen.load(synth).pixels <= Seen.load(tmp_path / "out").pixels
    if arm == "pooled":
        other = load_dataset(tmp_path / "other")
        trained = other.column("split") == "train"
        looks = other.column("pixel_key")
        assert set(looks[trained]) <= Seen.load(tmp_path / "out").pixels
        assert not set(looks[~trained]) & Seen.load(tmp_path / "out").pixels


def test_the_default_arm_follows_the_inputs(data: Path, synth: Path, tmp_path: Path) -> None:
    assert train(data, tmp_path / "a")["arm"] == "none"
    assert train(data, tmp_path / "b", synth)["arm"] == "gan"


def test_duplicates_are_the_very_rows_that_lent_their_labels(data: Path, synth: Path) -> None:
    from cxrtool.classifiers.arms import compose, part_of
    from cxrtool.data.labels import LabelPolicy

    real_set, made = load_dataset(data), load_dataset(synth)
    rows = np.flatnonzero(real_set.column("split") == "train")
    read = partial(part_of, labels=("A", "B"), policy=LabelPolicy(), size=cls_sets.SIZE)
    parts = compose("duplicate", real_set, rows, [made], read)
    assert parts["duplicate"].rows.tolist() == [int(r) for r in made.column("source_row")]
    assert (parts["duplicate"].values[:, 0] == 1).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"arm": "gan"}, "needs a synthetic set"),
        ({"arm": "standard", "augment": "none"}, "contradicts"),
        ({"augment": "flips"}, "makes this the arm standard"),
        ({"split": "test"}, "only train rows"),
        ({"size": 48}, "more than the 24 px"),
        ({"steps": 3, "epochs": 1.0}, "--steps applies only without --epochs"),
        (
            {"weights": "imagenet", "init_from": Path("x")},
            "--init-from applies only with --weights none",
        ),
        ({"finetune_lr": 0.1}, "--finetune-lr applies only with --arm pretrain-finetune"),
        ({"weights": "imagenet"}, "there are none for small_cnn"),
        ({"steps": 1, "loss": "auc-margin"}, "too few for the phases"),
        ({"arch": "vgg16_bn"}, "24 px are too few for this network"),
        ({"classes": " , "}, "names no label"),
    ],
)
def test_contradictory_options(
    options: dict[str, Any], message: str, data: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        train(data, tmp_path / "out", **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"auc_frac": 0.5}, "--auc-frac applies only with --loss auc-margin"),
        ({"auc_lr": 0.1}, "--auc-lr applies only with --loss auc-margin"),
        ({"focal_gamma": 1.0}, "--focal-gamma applies only with --loss focal"),
        (
            {"logit_adjust": 1.0, "sampling": "balanced"},
            "--logit-adjust applies only with --sampling shuffled",
        ),
        (
            {"logit_adjust": 1.0, "loss": "focal"},
            "--logit-adjust applies only with --loss bce or auc-margin",
        ),
        ({"pretrain_frac": 0.5}, "--pretrain-frac applies only with --arm pretrain-finetune"),
        ({"epochs": 0.0, "steps": None}, "--epochs 0 trains nothing"),
    ],
)
def test_options_without_effect_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        resolve(train_cls.Config, {"data": Path("data"), **options})


def test_a_default_given_by_name_is_the_same_recipe(data: Path, tmp_path: Path) -> None:
    recipes = []
    same: dict[str, Any] = {"auc_frac": 0.5, "auc_lr": 0.02, "arm": "none"}
    for name, more in (("a", {}), ("b", same)):
        train(data, tmp_path / name, loss="auc-margin", **more)
        recipes.append(json.loads((tmp_path / name / "model.json").read_text())["recipe"])
    assert recipes[0] == recipes[1]


def test_what_cannot_be_pooled(data: Path, synth: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs another real data set"):
        train(data, tmp_path / "alone", arm="pooled")
    with pytest.raises(InputError, match="a row that is not real"):
        train(data, tmp_path / "made", synth, arm="pooled")
    with pytest.raises(InputError, match="size 32 does not join"):
        other = cls_sets.real(tmp_path / "large", 40, seed=8, size=32)
        train(data, tmp_path / "size", other, arm="pooled")
    leaky = cls_sets.real(tmp_path / "leaky", 40, seed=9)
    table = pd.read_csv(leaky / "manifest.csv", dtype=str)
    held_out = load_dataset(data).table.query("split == 'test'").iloc[0]
    table.loc[table["split"] == "train", "patient_id"] = held_out["patient_id"]
    table.to_csv(leaky / "manifest.csv", index=False)
    with pytest.raises(GateError, match="were seen by the training rows of"):
        train(data, tmp_path / "leak", leaky, arm="pooled")


def test_synth_is_refused_by_the_arms_without_it(data: Path, synth: Path, tmp_path: Path) -> None:
    for arm in ("none", "standard"):
        with pytest.raises(UsageError, match="takes no synthetic set"):
            train(data, tmp_path / arm, synth, arm=arm)


def test_options_have_effect(data: Path, tmp_path: Path) -> None:
    train(data, tmp_path / "base")
    base = hashes(tmp_path / "base")
    changes: list[dict[str, Any]] = [  # None is what was not typed
        {"lr": 2e-3},
        {"optimizer": "adamw", "weight_decay": 0.1},
        {"optimizer": "sgd-momentum"},
        {"schedule": "constant"},
        {"weight_decay": 0.5},
        {"pos_weight": True},
        {"loss": "focal"},
        {"loss": "focal", "focal_gamma": 1.0},
        {"sampling": "balanced"},
        {"logit_adjust": 1.0},
        {"batch": 8},
        {"seed": 1},
        {"size": 16},
        {"classes": "B", "steps": 3},
        {"fraction": 0.5},
        {"arm": "standard"},
        {"arm": "standard", "augment": "flips"},
        {"bn_reestimate": True},
        {"epochs": 2.0, "steps": None},
        {"init_from": tmp_path / "base"},
    ]
    found = {base["model.safetensors"]}
    for k, change in enumerate(changes):
        train(data, tmp_path / str(k), **change)
        found.add(hashes(tmp_path / str(k))["model.safetensors"])
    assert len(found) == len(changes) + 1
    train(data, tmp_path / "again")
    assert hashes(tmp_path / "again") == base
    histories: set[str] = set()  # the weights may be those of the phase before
    margins: list[dict[str, Any]] = [{}, {"auc_frac": 0.25}, {"auc_lr": 0.01}]
    for change in margins:
        out = tmp_path / f"margin {len(histories)}"
        train(data, out, loss="auc-margin", eval_every=1, **change)
        histories.add(json.dumps(load(out).description["history"]))
    assert len(histories) == 3


def test_sets_that_differ_do_not_join(data: Path, synth: Path, tmp_path: Path) -> None:
    other = cls_sets.synth(tmp_path / "kernel", data, kernel="nearest")
    with pytest.raises(InputError, match="kernel nearest does not join"):
        train(data, tmp_path / "out0", other)
    stretched = cls_sets.synth(tmp_path / "fit", data, fit="stretch")
    with pytest.raises(InputError, match="fit stretch does not join"):
        train(data, tmp_path / "out1", stretched)
    with pytest.raises(InputError, match="a synthetic set holds a real row"):
        train(data, tmp_path / "out2", data)
    with pytest.raises(InputError, match="DATA must hold real images only"):
        train(synth, tmp_path / "out3")


def test_a_made_image_must_not_judge(data: Path, tmp_path: Path) -> None:
    def forged(table: pd.DataFrame) -> None:
        table.loc[np.flatnonzero(table["split"] == "test")[1], "source"] = "synthetic"

    folder = edited(data, tmp_path / "forged", forged)
    row = int(np.flatnonzero(load_dataset(data).column("split") == "test")[1]) + 2
    with pytest.raises(GateError, match=f"row {row}, column 'source'.* among the test rows"):
        train(folder, tmp_path / "out")


def test_synthetic_images_are_seen_too(data: Path, synth: Path, tmp_path: Path) -> None:
    from PIL import Image

    from cxrtool.data.cache import pixels
    from cxrtool.data.images import pixel_key

    train(data, tmp_path / "gan", synth)
    made = {pixel_key(Image.fromarray(image)) for image in pixels(load_dataset(synth))}
    assert len(made) == 40
    assert made <= Seen.load(tmp_path / "gan").pixels
    train(data, tmp_path / "duplicate", synth, arm="duplicate")
    assert not made & Seen.load(tmp_path / "duplicate").pixels


def test_another_label_policy_is_refused_and_both_are_named(data: Path, tmp_path: Path) -> None:
    made = cls_sets.synth(tmp_path / "synth", data)
    (made / "plan.json").write_text(
        json.dumps({"settings": {"policy": {"uncertain": "zeros", "blank": "zeros"}}})
    )
    with pytest.raises(UsageError, match=r"--uncertain ones against zeros"):
        train(data, tmp_path / "out", made)
    assert train(data, tmp_path / "fits", made, uncertain="zeros")["arm"] == "gan"


def test_duplicates_of_rows_outside_the_selection_are_refused(
    data: Path, synth: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="not among the training rows") as caught:
        train(data, tmp_path / "out0", synth, arm="duplicate", fraction=0.5)
    assert caught.value.column == "source_row"
    other = cls_sets.real(tmp_path / "other", seed=3)
    made = cls_sets.synth(tmp_path / "made", other)
    with pytest.raises(InputError, match="planned on another data set"):
        train(data, tmp_path / "out1", made, arm="duplicate")


def test_a_generator_that_saw_held_out_patients_is_refused(data: Path, tmp_path: Path) -> None:
    held = load_dataset(data)
    for part in ("val", "test"):
        made = cls_sets.synth(tmp_path / part, data)
        one = np.flatnonzero(held.column("split") == part)[:1]
        Seen.load(made).merge(Seen.of(held, one)).save(runs.Run.for_test(made))
        with pytest.raises(GateError, match=f"{part} images were seen by the generator") as caught:
            train(data, tmp_path / f"out-{part}", made)
        assert caught.value.exit_code == 5


def test_a_renamed_patient_is_found_by_pixels(data: Path, tmp_path: Path) -> None:
    def rename(table: pd.DataFrame) -> None:
        first_train = table.index[table["split"] == "train"][0]
        first_test = table.index[table["split"] == "test"][0]
        table.loc[first_test, "pixel_key"] = table.loc[first_train, "pixel_key"]

    with pytest.raises(GateError, match="1 by identical pixels"):
        train(edited(data, tmp_path / "data", rename), tmp_path / "out")


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda t: t.loc[t["split"] == "val", "split"].index, {}, None),
        (lambda t: t.__setitem__("A", "0") or t.__setitem__("B", "0"), {}, "A: no positive"),
        (lambda t: t.__setitem__("A", "1"), {"classes": "A"}, "A: no negative"),
        (
            lambda t: [t.__setitem__(k, "") for k in "ABC"],
            {"blank": "ignore"},
            "no cell says anything",
        ),
        (lambda t: t.__setitem__("split", "train"), {}, "no row is left by --split val"),
        (lambda t: t.__setitem__("split", ""), {}, "no row is left by --split train"),
    ],
)
def test_labels_and_splits_with_nothing_in_them(
    change: Any, options: dict[str, Any], message: str | None, data: Path, tmp_path: Path
) -> None:
    folder = edited(data, tmp_path / "data", change)
    if message is None:
        assert train(folder, tmp_path / "out", **options)["labels"] == ["A", "B"]
        return
    with pytest.raises(InputError, match=message):
        train(folder, tmp_path / "out", **options)


def test_uncertain_cells_follow_the_policy(data: Path, tmp_path: Path) -> None:
    def unsure(table: pd.DataFrame) -> None:
        table.loc[table["A"] == "1", "A"] = "-1"

    folder = edited(data, tmp_path / "data", unsure)
    assert train(folder, tmp_path / "ones")["labels"] == ["A", "B"]
    zeros = train(folder, tmp_path / "zeros", uncertain="zeros")
    assert zeros["left_out"]["training"]["A"] == "no positive"
    ignored = train(folder, tmp_path / "ignore", uncertain="ignore")
    assert ignored["left_out"]["training"]["A"] == "no positive"


def test_an_unknown_label_is_named(data: Path, tmp_path: Path) -> None:
    with pytest.raises(CxrError, match="unknown label 'Z'"):
        train(data, tmp_path / "out", classes="A,Z")


def test_a_dry_run_counts_and_writes_nothing(data: Path, synth: Path, tmp_path: Path) -> None:
    config = resolve(train_cls.Config, {**QUICK, "data": data, "synth": (synth,)})
    outcome = execute(train_cls, config, tmp_path / "out", dry_run=True)
    plan = outcome.result["plan"]
    assert (plan["train_rows"], plan["val_rows"], plan["synthetic_rows"]) == (96, 32, [40])
    assert not (tmp_path / "out").exists()
    thin = resolve(train_cls.Config, {**QUICK, "data": data, "fraction": 0.02})
    with pytest.raises(CxrError, match="leaves fewer than 5 positives"):  # as the run would
        execute(train_cls, thin, tmp_path / "out", dry_run=True)


BROKEN_OFF = {"steps": 40, "arm": "standard", "loss": "auc-margin", "auc_frac": 0.7}


def start(data: Path, out: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "cxrtool", "train-cls", str(data), "-o", str(out), "-q"]
    for name, value in {**QUICK, **BROKEN_OFF}.items():
        command += ["--" + name.replace("_", "-"), str(value)]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def test_sigterm_and_kill_leave_the_same_bytes(data: Path, tmp_path: Path) -> None:
    train(data, tmp_path / "whole", figure=True, **BROKEN_OFF)
    out = tmp_path / "broken"
    for signum, code in ((signal.SIGTERM, 143), (signal.SIGKILL, -9)):
        have = len((out / "metrics.jsonl").read_text().splitlines()) if out.exists() else 0
        process = start(data, out)
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            path = out / "metrics.jsonl"
            if path.exists() and len(path.read_text().splitlines()) > have + 2:
                process.send_signal(signum)
                break
            time.sleep(0.005)
        assert process.wait(timeout=120) in (code, 0)  # 0: it was faster than the signal
    assert start(data, out).wait(timeout=120) == 0
    assert hashes(out) == hashes(tmp_path / "whole")
    rows = [json.loads(x)["step"] for x in (out / "metrics.jsonl").read_text().splitlines()]
    assert rows == list(range(2, 41, 2))


def test_pretraining_and_finetuning_share_one_budget(
    data: Path, synth: Path, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"arm": "pretrain-finetune", "steps": 10, "pretrain_frac": 0.3}
    assert train(data, tmp_path / "a", synth, **options)["steps"] == 10
    described = load(tmp_path / "a").description
    assert [(p["name"], p["steps"]) for p in described["phases"]] == [
        ("pretraining", 3),
        ("training", 7),
    ]
    assert described["best_step"] > 3  # chosen among the steps on real images
    train(data, tmp_path / "b", synth, **{**options, "finetune_lr": 1e-4})
    assert (
        hashes(tmp_path / "a")["model.safetensors"] != hashes(tmp_path / "b")["model.safetensors"]
    )


def test_auc_margin_follows_cross_entropy_and_learns(data: Path, tmp_path: Path) -> None:
    summary = train(data, tmp_path / "out", loss="auc-margin", steps=80, eval_every=20)
    assert summary["val_auroc"] > 0.75
    phases = load(tmp_path / "out").description["phases"]
    assert [p["loss"] for p in phases] == ["bce", "auc-margin"]
    assert [p["best_step"] > 40 for p in phases] == [False, True]
    assert phases[1]["val_auroc"] >= phases[0]["val_auroc"] - 0.01
    assert summary["val_auroc"] == max(p["val_auroc"] for p in phases)


def test_a_phase_that_ruins_the_network_is_said_and_not_delivered(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The very files of cross-entropy alone, calibrated as such, and both numbers everywhere."""
    options: dict[str, Any] = {"loss": "auc-margin", "steps": 40, "eval_every": 20, "lr": 1e-2}
    ruined = train(data, tmp_path / "ruined", auc_lr=0.9, weight_decay=0.9, **options)
    kept, lost = ruined["phases"]
    assert lost["val_auroc"] < kept["val_auroc"] - 0.01
    assert ruined["kept_phase"] == "training"
    assert ruined["best_step"] == kept["best_step"] == 20
    said = capsys.readouterr().err
    for score in (kept["val_auroc"], lost["val_auroc"]):
        assert f"{score:.4f}" in said
        assert f"{score:.4f}" in ruined["warnings"][0]
    alone = train(
        data, tmp_path / "alone", steps=20, eval_every=20, lr=1e-2, weight_decay=0.9
    )  # the same first phase
    assert alone["warnings"] == []
    found, expected = hashes(tmp_path / "ruined"), hashes(tmp_path / "alone")
    for name in ("model.safetensors", "predictions.csv"):
        assert found[name] == expected[name]


def test_a_start_that_is_made_worse_is_said(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = train(data, tmp_path / "first", steps=60, eval_every=20)
    right = load_dataset(data)
    table = right.table.drop(columns="image")
    rows = table["split"] == "train"
    table.loc[rows, ["A", "B"]] = table.loc[rows, ["A", "B"]].replace({"0": "1", "1": "0"})
    wrong = cls_sets.write(tmp_path / "wrong labels", table, cache.pixels(right))
    capsys.readouterr()
    worse = train(
        wrong, tmp_path / "worse", init_from=tmp_path / "first", steps=60, eval_every=60, lr=1e-2
    )
    assert worse["start_val_auroc"] == pytest.approx(first["val_auroc"], abs=1e-6)
    assert f"was {first['val_auroc']:.4f} with the weights" in capsys.readouterr().err
    assert train(data, tmp_path / "fresh")["start_val_auroc"] is None


def test_a_fraction_without_positives_is_refused(data: Path, tmp_path: Path) -> None:
    def rare(table: pd.DataFrame) -> None:
        train_rows = table.index[(table["split"] == "train") & (table["B"] == "1")]
        table.loc[train_rows[6:], "B"] = "0"

    folder = edited(data, tmp_path / "data", rare)
    with pytest.raises(InputError, match=r"fewer than 5 positives: B has \d of 6"):
        train(folder, tmp_path / "out", fraction=0.3)
    assert train(folder, tmp_path / "A", fraction=0.5, classes="A")["labels"] == ["A"]
    assert train(folder, tmp_path / "all")["labels"] == ["A", "B"]


def test_a_start_from_an_earlier_run_keeps_its_weights_and_what_it_saw(
    data: Path, tmp_path: Path
) -> None:
    train(data, tmp_path / "first", steps=30)
    quick: dict[str, Any] = {"steps": 1, "eval_every": 1, "lr": 1e-9}
    again = train(data, tmp_path / "again", init_from=tmp_path / "first", **quick)
    fresh = train(data, tmp_path / "fresh", **quick)
    assert again["val_auroc"] > fresh["val_auroc"] + 0.05
    other = cls_sets.real(tmp_path / "other", seed=4, namespace="elsewhere")
    train(other, tmp_path / "third", init_from=tmp_path / "first", **quick)
    assert Seen.load(tmp_path / "first").pixels <= Seen.load(tmp_path / "third").pixels
    with pytest.raises(GateError, match="the run that the weights start from"):
        moved = edited(data, tmp_path / "moved", lambda t: t.__setitem__("split", swapped(t)))
        train(moved, tmp_path / "leak", init_from=tmp_path / "first", **quick)


@pytest.mark.parametrize("name", ["model.safetensors", "renamed.safetensors", "link"])
def test_a_file_of_an_earlier_run_counts_as_that_run(data: Path, tmp_path: Path, name: str) -> None:
    train(data, tmp_path / "first")
    weights = tmp_path / "first" / "model.safetensors"
    start = tmp_path / "first" / name
    if name == "link":
        start = tmp_path / "elsewhere.safetensors"
        start.symlink_to(weights)
    elif name != weights.name:
        start.write_bytes(weights.read_bytes())
    moved = edited(data, tmp_path / "moved", lambda t: t.__setitem__("split", swapped(t)))
    with pytest.raises(GateError, match="the run that the weights start from"):
        train(moved, tmp_path / "leak", init_from=start)
    train(data, tmp_path / "less", init_from=start, fraction=0.5)
    assert Seen.load(tmp_path / "first").pixels <= Seen.load(tmp_path / "less").pixels
    assert json.loads((tmp_path / "less" / "model.json").read_text())["start_saw_more"] == 24


def swapped(table: pd.DataFrame) -> pd.Series:
    return table["split"].map({"train": "test", "test": "train", "val": "val"})


def test_weights_of_another_architecture_are_refused_by_name(data: Path, tmp_path: Path) -> None:
    import torch

    torch.save({"something": torch.zeros(2)}, tmp_path / "odd.pt")
    with pytest.raises(InputError, match="no weights of small_cnn"):
        train(data, tmp_path / "out", init_from=tmp_path / "odd.pt")
    (tmp_path / "text.pt").write_text("no weights")
    with pytest.raises(InputError, match="cannot be read as weights") as caught:
        train(data, tmp_path / "out2", init_from=tmp_path / "text.pt")
    assert "torch.load" not in str(caught.value)
    with pytest.raises(InputError):
        train(data, tmp_path / "out3", init_from=data)


def test_classes_that_exclude_each_other(data: Path, tmp_path: Path) -> None:
    def classes(table: pd.DataFrame) -> None:
        a = table["A"] == "1"
        b = (table["B"] == "1") & ~a
        table["A"], table["B"] = a.map({True: "1", False: "0"}), b.map({True: "1", False: "0"})
        table["C"] = (~a & ~b).map({True: "1", False: "0"})

    table = load_dataset(data).table.drop(columns="image")
    classes(table)
    cells = table[["A", "B"]].to_numpy().astype(int)
    images = cls_sets.draw(cells, np.random.default_rng(3))
    folder = cls_sets.write(tmp_path / "single", table, images, kind="single")
    summary = train(folder, tmp_path / "out", steps=60, eval_every=20)
    assert summary["labels"] == ["A", "B", "C"]
    assert summary["val_auroc"] > 0.75
    predictions = pd.read_csv(tmp_path / "out" / "predictions.csv")
    np.testing.assert_allclose(predictions[["A", "B", "C"]].sum(axis=1), 1, atol=1e-5)
    balanced = train(folder, tmp_path / "balanced", pos_weight=True)
    assert balanced["labels"] == ["A", "B", "C"]
    with pytest.raises(UsageError, match="one class per image"):
        train(folder, tmp_path / "margin", loss="auc-margin")


def test_a_shard_is_no_whole_synthetic_set(data: Path, tmp_path: Path) -> None:
    made = cls_sets.synth(tmp_path / "synth", data)
    (made / "plan.json").write_text(json.dumps({"n_synthetic": 80}))
    with pytest.raises(InputError, match="holds 40 of the 80 images of its plan"):
        train(data, tmp_path / "out", made)


def test_steps_do_not_wait_for_their_batch(data: Path, tmp_path: Path) -> None:
    train(data, tmp_path / "out", steps=20, eval_every=10)
    rows = [json.loads(x) for x in (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()]
    assert all(0 <= row["data_wait_frac"] < 0.25 for row in rows)  # 24 px: steps of 10 ms
    assert all(row["img_per_s"] > 0 for row in rows)
