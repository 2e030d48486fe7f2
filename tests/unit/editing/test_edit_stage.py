"""The stage in process, with a generator and an encoder that can be checked by hand."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from cxrtool import classifiers, cli, clip
from cxrtool import generators as gans
from cxrtool.core import console
from cxrtool.core.config.values import resolve
from cxrtool.core.errors import GateError, InputError, InterruptedRunError, UsageError
from cxrtool.core.runs import Run
from cxrtool.core.runs.execution import execute
from cxrtool.data.cache import pixels
from cxrtool.data.keys import Seen
from cxrtool.data.labels import LabelPolicy, label_arrays
from cxrtool.data.manifest import DatasetInfo, DatasetWriter, load_dataset
from cxrtool.generators.stylegan2.generator import Architecture, Generator
from cxrtool.generators.stylegan2.network import TrainedGenerator
from cxrtool.training.rng import torch_generator

from .toys import SIZE, ToyEncoder, ToyGenerator

edit = cli.stages()["edit"]

TEMPLATES = {"neutral": ["other"], "positive": ["see {}"], "negative": ["no {}"], "labels": {}}


class _Clip(ToyEncoder):
    """The toy encoder with what a ClipModel has beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.meta = {"templates": TEMPLATES, "labels": ["Left", "Right"]}
        self.tokenizer = SimpleNamespace(context_length=5)
        self.network = torch.nn.Linear(1, 1, bias=False)
        torch.nn.init.ones_(self.network.weight)

    def embed_texts(self, texts: list[str]) -> Tensor:
        words = [text.lower().split() for text in texts]
        known = {"other": 3, "no": 4, "left": 0, "right": 1}
        index = [next((known[k] for k in known if k in w), 5) for w in words]
        return torch.eye(6)[index]

    def cut(self, text: str) -> str:
        return " ".join(text.split()[5:])

    def shallow_features(self, x: Tensor) -> list[Tensor]:
        return [x, x.flip(-1)]


class _Teacher:
    """Reads Left and Right from the brightness of their squares."""

    labels = ("Right", "Left")
    size = SIZE

    def logits(self, x: Tensor) -> Tensor:
        return 4 * ToyEncoder().embed_images(x)[:, [1, 0]]


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Folders that stand for a generator, a CLIP and a teacher, each with what it has seen."""
    folders = {}
    for name, keys in (("gan", "ab"), ("clip", "bc"), ("teacher", "d")):
        folders[name] = tmp_path / name
        Seen({"x": frozenset(keys)}, frozenset(keys)).save(Run.for_test(folders[name]))
    for name, network in (("gan", ToyGenerator()), ("clip", _Clip())):
        described = {"labels": list(getattr(network, "labels", ())), **network.meta}
        (folders[name] / "model.json").write_text(json.dumps(described))
    monkeypatch.setattr(gans, "load", lambda folder, device="cpu": ToyGenerator())
    monkeypatch.setattr(clip, "load", lambda folder, device="cpu": _Clip())
    monkeypatch.setattr(classifiers, "load", lambda folder, device="cpu": _Teacher())
    return folders


def _config(runs: dict[str, Path], **changes: Any) -> Any:
    values: dict[str, Any] = {
        "gan": runs["gan"],
        "clip": runs["clip"],
        "target": "left",
        "steps": None if changes.get("method") == "global" else 25,
        "block": 4,
        "threads": 1,
        "device": "cpu",
    }
    if not {"n", "data"} & changes.keys():
        values["n"] = 6
    return resolve(edit.Config, values | changes)


def _edits(out: Path) -> pd.DataFrame:
    return pd.read_csv(out / "edits.csv")


def _write_data(folder: Path, size: int = SIZE) -> Path:
    info = DatasetInfo(
        labels=("Right", "Left"),
        covered=(True, True),
        size=size,
        fit="crop",
        kernel="k",
        namespace="x",
        patients=True,
        source="toys",
    )
    writer = DatasetWriter(Run.for_test(folder), info)
    w = torch.randn(4, 2, 3, generator=torch.Generator().manual_seed(2))
    images = ((ToyGenerator().synthesis(w)[:, 0] + 1) * 127.5).round().to(torch.uint8).numpy()
    names = [f"images/{i}.png" for i in range(4)]
    for name, image in zip(names, images, strict=True):
        writer.add_image(name, np.kron(image, np.ones((size // SIZE,) * 2, np.uint8)))
    table = {
        "image": names,
        "patient_id": ["p0", "p1", "p1", "p2"],
        "split": ["train", "train", "train", "test"],
        "source": "real",
        "report": "words",
        "Left": ["1", "", "-1", "0"],
        "Right": ["0", "1", "0", "0"],
        "pixel_key": ["k0", "k1", "k2", "k3"],
    }
    writer.finish(pd.DataFrame(table))
    return folder


def test_generated_images_become_a_data_set(runs: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = execute(edit, _config(runs), out).result
    dataset = load_dataset(out)
    assert len(dataset) == 6
    assert set(dataset.column("source")) == {"edited"}
    assert set(dataset.column("prompt")) == {"left"}
    assert set(dataset.column("edit")) == {"latent +"}
    assert len(set(dataset.column("seed"))) == 6
    assert dataset.info.size == SIZE
    assert dataset.info.synthetic
    assert result["summary"]["clip_moved"] > 0
    assert result["summary"]["verdict"] == "not judged"
    edits = _edits(out)
    assert (edits["direction_after"] > edits["direction_before"]).all()
    x = torch.from_numpy(pixels(dataset).copy()).float().unsqueeze(1) / 127.5 - 1
    vectors = torch.nn.functional.normalize(_Clip().embed_images(x), dim=1)
    assert edits["target_after"].tolist() == pytest.approx(vectors[:, 0].tolist(), abs=1e-5)
    assert (out / "panels.png").stat().st_size > 100
    assert execute(edit, _config(runs), out).state == "up-to-date"


def test_unverified_labels_are_masked_everywhere(runs: dict[str, Path], tmp_path: Path) -> None:
    execute(edit, _config(runs, condition=("Right",)), tmp_path / "out")
    dataset = load_dataset(tmp_path / "out")
    assert not label_arrays(dataset, None, LabelPolicy())[1].any()
    assert set(dataset.column("start_labels")) == {"Right"}


def test_the_teacher_verifies_and_sets_the_label(runs: dict[str, Path], tmp_path: Path) -> None:
    config = _config(runs, teacher=runs["teacher"], condition=("Right",), threshold=0.6)
    result = execute(edit, config, tmp_path / "out").result
    dataset, edits = load_dataset(tmp_path / "out"), _edits(tmp_path / "out")
    there = edits["Left after"] >= 0.6
    assert edits["accepted"].tolist() == there.astype(int).tolist()
    assert dataset.column("Left").tolist() == ["1" if yes else "0" for yes in there]
    right = edits["Right after"]
    wanted = np.where(right >= 0.6, "1", np.where(right < 0.3, "0", ""))
    assert dataset.column("Right").tolist() == wanted.tolist()
    assert result["summary"]["accepted"] == int(there.sum()) == result["counts"]["accepted"]
    assert label_arrays(dataset, None, LabelPolicy())[1].all()
    assert (edits["Left after"] > edits["Left before"]).all()
    assert Seen.load(tmp_path / "out").pixels == frozenset("abcd")


def test_what_was_seen_is_merged(runs: dict[str, Path], tmp_path: Path) -> None:
    execute(edit, _config(runs), tmp_path / "out")
    assert Seen.load(tmp_path / "out").pixels == frozenset("abc")


def test_a_clip_of_other_data_is_warned_about(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Seen({}, frozenset("xyz")).save(Run.for_test(runs["clip"]))
    said: list[str] = []
    monkeypatch.setattr(console, "warn", said.append)
    execute(edit, _config(runs), tmp_path / "out")
    assert any("share no training image" in text for text in said)


def test_a_clip_of_other_patients_is_refused_before_any_work(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gans, "load", lambda folder, device="cpu": pytest.fail("was loaded"))
    Seen({"x": frozenset("yz")}, frozenset("yz")).save(Run.for_test(runs["clip"]))
    with pytest.raises(GateError, match="trained on different data") as caught:
        execute(edit, _config(runs), tmp_path / "out")
    assert "cxr finetune-clip DATA" in str(caught.value.hint)
    held = Seen({"x": frozenset("a")}, frozenset("a"))
    Seen({"x": frozenset("abc")}, frozenset("abc"), held).save(Run.for_test(runs["clip"]))
    with pytest.raises(GateError, match="leak: the generator was trained on 1 held-out"):
        execute(edit, _config(runs), tmp_path / "leak")


def test_a_teacher_of_made_images_is_refused(runs: dict[str, Path], tmp_path: Path) -> None:
    record = {"images": {"real": 5, "synthetic": 7}}
    (runs["teacher"] / "model.json").write_text(json.dumps(record))
    with pytest.raises(GateError, match="7 synthetic or edited images"):
        execute(edit, _config(runs, teacher=runs["teacher"]), tmp_path / "out")


def test_signs_go_apart_and_no_steps_change_nothing(runs: dict[str, Path], tmp_path: Path) -> None:
    found = {}
    ways: dict[str, dict[str, Any]] = {"+": {}, "-": {"sign": "-"}, "0": {"steps": 0}}
    for name, changes in ways.items():
        execute(edit, _config(runs, **changes), tmp_path / f"out{name}")
        found[name] = _edits(tmp_path / f"out{name}")
    assert (found["+"]["direction_after"] > found["0"]["direction_after"] + 0.05).all()
    assert (found["-"]["direction_after"] < found["0"]["direction_after"] - 0.05).all()
    assert (found["0"]["gray_rms"] == 0).all()
    assert (found["0"]["way"] == 0).all()
    assert found["0"]["direction_before"].tolist() == found["+"]["direction_before"].tolist()


@pytest.mark.parametrize(
    "changes",
    [
        {"lr": 0.03},
        {"text_weight": 0.1},
        {"l2": 0.5},
        {"feature_weight": 0.0},
        {"feature_maps": "pixels"},
        {"truncation": 0.1},
        {"condition": ("Left",)},
        {"against": "negation", "target": "right"},
        {"seed": 5},
        {"steps": 24},
    ],
)
def test_every_option_changes_the_images(
    runs: dict[str, Path], tmp_path: Path, changes: dict[str, Any]
) -> None:
    base = {"target": changes["target"]} if "target" in changes else {}
    execute(edit, _config(runs, **base), tmp_path / "a")
    execute(edit, _config(runs, **changes), tmp_path / "b")
    a, b = (pixels(load_dataset(tmp_path / name)) for name in "ab")
    assert not np.array_equal(a, b)


def test_an_image_depends_on_its_own_seed_alone(runs: dict[str, Path], tmp_path: Path) -> None:
    execute(edit, _config(runs, n=6), tmp_path / "six")
    execute(edit, _config(runs, n=3), tmp_path / "three")
    six, three = (pixels(load_dataset(tmp_path / name)) for name in ("six", "three"))
    assert np.array_equal(six[:3], three)


def test_an_interrupted_run_goes_on_to_the_same_bytes(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute(edit, _config(runs), tmp_path / "whole")
    original, calls = edit.run, [0]

    def stopped(config: Any, run: Run) -> dict[str, Any]:
        check = run.check_stop

        def count() -> None:
            calls[0] += 1
            if calls[0] == 40:  # in the middle of the second block
                run._signal = 15
            check()

        monkeypatch.setattr(run, "check_stop", count)
        return dict(original(config, run))

    monkeypatch.setattr(edit, "run", stopped)
    with pytest.raises(InterruptedRunError):
        execute(edit, _config(runs), tmp_path / "halves")
    monkeypatch.setattr(edit, "run", original)
    execute(edit, _config(runs), tmp_path / "halves")
    whole, halves = (
        json.loads((tmp_path / name / "result.json").read_text())["outputs"]
        for name in ("whole", "halves")
    )
    assert whole == halves


def test_real_images_are_found_in_w_and_then_edited(runs: dict[str, Path], tmp_path: Path) -> None:
    data = _write_data(tmp_path / "data")
    result = execute(
        edit, _config(runs, data=data, invert_steps=120, feature_maps="pixels"), tmp_path / "out"
    ).result
    out = load_dataset(tmp_path / "out")
    assert result["summary"]["images"] == 3
    assert result["summary"]["inversion_gray_rms"] < 8
    assert out.column("patient_id").tolist() == ["p0", "p1", "p1"]
    assert out.column("parent").tolist() == [f"images/{i}.png" for i in range(3)]
    assert out.column("pixel_key").tolist() == ["k0", "k1", "k2"]
    assert out.column("source_row").tolist() == ["0", "1", "2"]
    assert set(out.column("report")) == {""}, "the report is about the image before its edit"
    assert out.column("start_labels").tolist() == ["Left", "Right", ""]
    assert {"k0", "k1", "k2"} <= Seen.load(tmp_path / "out").pixels
    edits = _edits(tmp_path / "out")
    assert (edits["direction_after"] > edits["direction_before"]).all()
    page = (tmp_path / "out" / "report.html").read_text()
    assert "gray levels of inversion error" in page
    assert "identity distance" in page


def test_fewer_inversion_steps_are_worse(runs: dict[str, Path], tmp_path: Path) -> None:
    data = _write_data(tmp_path / "data")
    errors = []
    for steps in (3, 120):
        config = _config(runs, data=data, invert_steps=steps, steps=0, feature_maps="pixels")
        summary = execute(edit, config, tmp_path / f"out{steps}").result["summary"]
        errors.append(summary["inversion_gray_rms"])
    assert errors[1] < 0.5 * errors[0]


def test_selection_of_real_images(runs: dict[str, Path], tmp_path: Path) -> None:
    data = _write_data(tmp_path / "data")
    config = _config(runs, data=data, split="test", steps=1, invert_steps=1)
    execute(edit, config, tmp_path / "out")
    assert load_dataset(tmp_path / "out").column("patient_id").tolist() == ["p2"]
    assert edit.plan(config)["images"] == 1


def test_larger_real_images_are_reduced_and_smaller_ones_refused(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = _write_data(tmp_path / "data", size=2 * SIZE)
    config = _config(runs, data=data, steps=1, invert_steps=1)
    execute(edit, config, tmp_path / "out")
    assert load_dataset(tmp_path / "out").info.size == SIZE
    large = ToyGenerator()
    large.size = 4 * SIZE
    monkeypatch.setattr(gans, "load", lambda folder, device="cpu": large)
    with pytest.raises(InputError, match="64 px"):
        execute(edit, config, tmp_path / "other")


def test_data_of_another_fit_are_refused(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = ToyGenerator()
    generator.meta["preprocessing"]["fit"] = "pad"
    monkeypatch.setattr(gans, "load", lambda folder, device="cpu": generator)
    with pytest.raises(InputError, match="fit crop"):
        execute(edit, _config(runs, data=_write_data(tmp_path / "data")), tmp_path / "out")


def test_a_generator_without_w_is_refused(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = SimpleNamespace(
        labels=(), size=SIZE, z_dim=3, channels=1, generate=lambda z, y: z, meta={}
    )
    monkeypatch.setattr(gans, "load", lambda folder, device="cpu": plain)
    with pytest.raises(InputError, match="no W space"):
        execute(edit, _config(runs), tmp_path / "out")


def test_a_generator_of_colour_images_is_refused(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    colour = ToyGenerator()
    colour.channels = 3
    monkeypatch.setattr(gans, "load", lambda folder, device="cpu": colour)
    with pytest.raises(InputError, match="3 channels"):
        execute(edit, _config(runs), tmp_path / "out")


def test_what_is_cut_off_a_long_target_is_said(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(console, "warn", said.append)
    config = _config(runs, target="left one two three four five", steps=1)
    execute(edit, config, tmp_path / "out")
    assert any("four five" in text and "cut off" in text for text in said)


def test_a_target_that_names_no_label_cannot_be_verified(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(console, "warn", said.append)
    config = _config(runs, target="brightness", teacher=runs["teacher"], steps=1)
    result = execute(edit, config, tmp_path / "out").result
    assert any("cannot confirm these edits" in text for text in said)
    assert result["summary"]["accepted"] is None
    assert "Left after" in _edits(tmp_path / "out")
    assert set(load_dataset(tmp_path / "out").column("Left")) == {""}


def test_the_default_condition_is_the_most_frequent_one(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = ToyGenerator()
    generator.vectors = torch.tensor([[0.0, 1.0], [1.0, 0.0]])  # type: ignore[attr-defined]
    monkeypatch.setattr(gans, "load", lambda folder, device="cpu": generator)
    execute(edit, _config(runs, steps=0), tmp_path / "frequent")
    execute(edit, _config(runs, steps=0, condition=("none",)), tmp_path / "none")
    assert set(load_dataset(tmp_path / "frequent").column("start_labels")) == {"Right"}
    assert set(load_dataset(tmp_path / "none").column("start_labels")) == {""}
    with pytest.raises(UsageError, match="unknown label"):
        execute(edit, _config(runs, condition=("Up",)), tmp_path / "up")


def test_edits_csv_is_plain_csv(runs: dict[str, Path], tmp_path: Path) -> None:
    execute(edit, _config(runs, target='left, "plain"', steps=1), tmp_path / "out")
    with open(tmp_path / "out" / "edits.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert rows[0]["prompt"] == 'left, "plain"'


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": "  "}, "--target is empty"),
        ({"n": None, "data": None}, "either --n"),
        ({"n": 3, "data": Path("d")}, "either --n"),
        ({"n": 3, "split": "test"}, "rows of --data"),
        ({"data": Path("d"), "truncation": 0.3}, "--truncation applies only without --data"),
        ({"method": "face"}, "latent"),
        ({"method": "global", "steps": 3}, "--steps applies only with --method latent"),
        ({"beta": 0.3}, "--beta applies only with --method global"),
        ({"relevance": Path("r")}, "--relevance applies only with --method global"),
        ({"text_weight": (1.0, -1.0)}, "below 0"),
        ({"text_weight": (1.0, 1.0)}, "twice"),
    ],
)
def test_options_that_contradict_each_other(
    runs: dict[str, Path], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        _config(runs, **changes)


def test_targets_and_strengths_make_a_set_each(runs: dict[str, Path], tmp_path: Path) -> None:
    texts = tmp_path / "targets.txt"
    texts.write_text("right\n\nleft\n")
    config = _config(runs, n=3, target=("left",), targets=texts, text_weight=(0.01, 2.0))
    assert edit.plan(config)["images"] == 12
    result = execute(edit, config, tmp_path / "out").result
    edits = _edits(tmp_path / "out")
    assert edits["prompt"].tolist() == ["left"] * 6 + ["right"] * 6
    assert edits["strength"].tolist() == [0.01] * 3 + [2.0] * 3 + [0.01] * 3 + [2.0] * 3
    assert edits["image"].tolist() == load_dataset(tmp_path / "out").column("image").tolist()
    change = edits["direction_after"] - edits["direction_before"]
    for start in (0, 6):
        assert (change[start + 3 : start + 6].to_numpy() > change[start : start + 3]).all()
    assert [e["strength"] for e in result["summary"]["edits"]] == [0.01, 2.0, 0.01, 2.0]
    assert (tmp_path / "out" / "strengths-0001.png").is_file()
    from cxrtool.training.directions import load_direction

    assert load_direction(tmp_path / "out" / "directions" / "0001")[0].target == "right"
    one = execute(edit, _config(runs, n=3, target=("right",), text_weight=(2.0,)), tmp_path / "one")
    pictures = pixels(load_dataset(tmp_path / "out"))[9:]
    assert np.array_equal(pictures, pixels(load_dataset(tmp_path / "one")))
    assert one.result["summary"]["target"] == "right"


def test_a_target_that_cannot_be_verified_takes_nothing_from_the_others(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    config = _config(runs, target=("left", "brightness"), teacher=runs["teacher"])
    execute(edit, config, tmp_path / "out")
    out, edits = load_dataset(tmp_path / "out"), _edits(tmp_path / "out")
    assert label_arrays(out, None, LabelPolicy())[1].all()
    assert set(out.column("accepted")[:6]) <= {"0", "1"}
    assert set(out.column("accepted")[6:]) == {""}
    assert (out.column("Left")[6:] == "1").tolist() == (edits["Left after"][6:] >= 0.5).tolist()


def test_the_table_of_wanted_and_unwanted_changes(runs: dict[str, Path], tmp_path: Path) -> None:
    config = _config(runs, teacher=runs["teacher"])
    result = execute(edit, config, tmp_path / "out").result
    table = pd.read_csv(tmp_path / "out" / "entanglement.csv")
    assert table["label"].tolist() == ["Left", "Right"]
    assert table["role"].fillna("").tolist() == ["wanted", ""]
    assert table["moved_sd"][0] > abs(table["moved_sd"][1])
    assert result["summary"]["largest_unwanted_over_wanted"] < 1
    page = (tmp_path / "out" / "report.html").read_text()
    assert "read by the teacher as asked" in page


@pytest.fixture
def styled(runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """The runs, with a small StyleGAN2 for a generator."""
    arch = Architecture(
        size=SIZE, labels=2, z_dim=8, w_dim=8, mapping_layers=2, channel_base=64, channel_max=8
    )
    network = TrainedGenerator(
        Generator(arch, torch_generator("net")),
        ("Left", "Right"),
        {"vectors": torch.eye(2), "conditions": torch.zeros(2, 8), "center": torch.zeros(8)},
        {"preprocessing": {"size": SIZE, "fit": "crop"}},
    )
    monkeypatch.setattr(
        gans, "load", lambda folder, device="cpu": network.eval().requires_grad_(False)
    )
    for name in ("gan", "clip"):
        (runs[name] / "model.json").write_text(json.dumps({"of": name}))
    return runs


def test_global_edits_and_their_matrix_is_used_again(
    styled: dict[str, Path], tmp_path: Path
) -> None:
    options: dict[str, Any] = {"method": "global", "relevance_images": 4, "beta": 0.02}
    first = execute(edit, _config(styled, **options), tmp_path / "first").result
    assert first["summary"]["clip_moved"] > 0
    assert "relevance.safetensors" in first["outputs"]
    again = {**options, "relevance": tmp_path / "first"}
    del again["relevance_images"]
    second = execute(edit, _config(styled, **again), tmp_path / "second").result
    assert first["outputs"]["files.tsv"] == second["outputs"]["files.tsv"]
    record = json.loads((tmp_path / "second" / "relevance.json").read_text())
    assert record["images"] == 4
    minus = {**again, "sign": "-", "target": "right"}
    assert execute(edit, _config(styled, **minus), tmp_path / "minus").state == "done"
    (styled["clip"] / "model.json").write_text(json.dumps({"of": "another"}))
    with pytest.raises(InputError, match="another CLIP"):
        execute(edit, _config(styled, **again), tmp_path / "other")


def test_global_needs_a_style_space(runs: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no style space") as caught:
        execute(edit, _config(runs, method="global"), tmp_path / "out")
    assert caught.value.hint == "use --method latent"


def test_two_parts_are_edited_at_once(runs: dict[str, Path], tmp_path: Path) -> None:
    config = _config(runs, target="+left, -right", teacher=runs["teacher"], condition=("Right",))
    result = execute(edit, config, tmp_path / "out").result
    edits = _edits(tmp_path / "out")
    assert (edits["Left after"] > edits["Left before"]).all()
    assert (edits["Right after"] < edits["Right before"]).all()
    read = (edits["Left after"] >= 0.5) & (edits["Right after"] < 0.5)
    assert edits["accepted"].tolist() == read.astype(int).tolist()
    assert result["summary"]["targets"] == ["Left", "Right"]
    assert set(edits["prompt"]) == {"'+left, -right"}  # a cell that spreadsheets do not compute


@pytest.mark.parametrize("text", ["severe left", "improved left", "+left, -left", "possible left"])
def test_targets_are_refused_before_any_edit(
    runs: dict[str, Path], tmp_path: Path, text: str
) -> None:
    with pytest.raises(UsageError, match="--target"):
        execute(edit, _config(runs, target=text), tmp_path / "out")
    assert not (tmp_path / "out" / "edits.csv").exists()
