"""`cxr train-gan --distill` and what uses a student: outputs, stops, replay, refusals."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from cxrtool import cli
from cxrtool import generators as gans
from cxrtool.commands.evaluate.images import measures
from cxrtool.core.config.values import resolve
from cxrtool.core.errors import CxrError, InputError, InterruptedRunError, UsageError
from cxrtool.core.runs.execution import execute
from cxrtool.data.keys import Seen
from cxrtool.generators.flow.distillation import StudentTrainer
from tests.e2e.test_flow import QUICK, outputs, start, train
from tests.unit.generators.conftest import ellipse_set

STUDENT = {k: v for k, v in QUICK.items() if k != "size"} | {"kimg": 0.04, "snapshot_kimg": 0.016}


def distill(data: Path, out: Path, teacher: Path, **options: Any) -> Any:
    return start("train-gan", out, data=data, distill=teacher, **{**STUDENT, **options})


def share(gan: Path, out: Path) -> Path:
    stage = cli.stages()["share"]
    return execute(stage, resolve(stage.Config, {"run": gan}), out).folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ellipse_set(tmp_path_factory.mktemp("data") / "data", n=160, val=True)


@pytest.fixture(scope="module")
def teacher(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gan") / "teacher"
    train(data, folder, kimg=0.016)
    return folder


def test_from_distillation_to_replayed_images(data: Path, teacher: Path, tmp_path: Path) -> None:
    gan = tmp_path / "student"
    how = {"guidance": 1.5, "guidance_interval": "0.1:0.9", "label_guidance": "Left=3"}
    summary = distill(data, gan, teacher, **how).result["summary"]
    assert set(outputs(gan)) == set(outputs(teacher))
    rows = [json.loads(line) for line in (gan / "metrics.jsonl").read_text().splitlines()]
    distances = {row["kimg"]: row["teacher_distance"] for row in rows if "teacher_distance" in row}
    assert summary["best"]["kimg"] == min(distances, key=lambda kimg: (distances[kimg], -kimg))
    record = json.loads((gan / "model.json").read_text())["distillation"]
    sampling = {"steps": 8, "guidance": 1.5, "interval": [0.1, 0.9], "labels": {"Left": 3.0}}
    assert (record["calls"], record["sampling"]) == (4, sampling)
    card = (gan / "model_card.md").read_text()
    words = "(15 calls, guidance 1.5, 3 of Left from time 0.1 to 0.9) to 4 calls"
    assert f"distilled from {record['teacher']} {words}" in card
    assert "n = 100 pairs of images of the same noise, with labels of the validation split" in card
    unseen = summary["test"]
    assert unseen["on"].endswith("with labels of the test split")
    assert unseen["teacher_distance"] != summary["best"]["teacher_distance"]
    assert f"to publish: {unseen['teacher_distance']:.3g}, n = 100 pairs" in card
    assert distill(data, gan, teacher, **how).state == "up-to-date"

    plan = {"data": data, "gan": gan, "counts": "Left=9,Large=7", "block": 8}
    whole = start("synthesize", tmp_path / "whole", **plan).folder
    parts = [
        start("synthesize", tmp_path / f"part{i}", shard=f"{i}/2", **plan).folder for i in (1, 2)
    ]
    both = start("merge", tmp_path / "both", shards=parts).folder
    names = sorted(p.relative_to(whole) for p in (whole / "images").rglob("*.png"))
    for name in names:
        assert (whole / name).read_bytes() == (both / name).read_bytes(), name
    again = start("replay", tmp_path / "again", synth=whole, gan=gan, only=("3", "7")).result
    assert (again["summary"]["images"], again["summary"]["identical"]) == (2, 2)
    notes = json.loads((whole / "dataset.json").read_text())["notes"]
    assert (notes["sampling"]["steps"], notes["sampling"]["solver"]) == (4, "euler")
    wishes: list[dict[str, Any]] = [{"steps": 4}, {"guidance": 1.5}, {"guidance": 2.0}]
    for i, wish in enumerate(wishes):
        with pytest.raises(UsageError, match=f"--{next(iter(wish))}: .* to 4 calls") as caught:
            start("synthesize", tmp_path / f"bad-{i}", **plan, **wish)
        assert "that it was distilled from" in str(caught.value.hint)


def test_a_student_teaches_one_of_fewer_calls(
    data: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two, one = tmp_path / "two", tmp_path / "one"
    distill(data, two, teacher, calls="2", guidance=2.0, kimg=0.016)
    distill(data, one, two, calls="1", kimg=0.016)
    network = gans.load(one)
    assert network.sampling.calls == 1
    assert network.distillation.folded["sampling"]["guidance"] == 2.0
    assert network.generate(torch.randn(2, 256), torch.zeros(2, 2)).shape == (2, 1, 16, 16)
    with pytest.raises(UsageError, match="is itself distilled from"):
        distill(data, tmp_path / "bad2", two, calls="1", guidance=2.0)
    with pytest.raises(InputError, match="a student of 2 gains nothing"):
        distill(data, tmp_path / "bad3", two, calls="2")
    with pytest.raises(InputError, match="distilled to one call") as caught:
        start("evaluate-privacy", tmp_path / "attack", gan=one, data=data, held_out=data)
    assert "by its teacher" in str(caught.value.hint)
    synth = start("synthesize", tmp_path / "synth", data=data, gan=one, counts="Left=4").folder
    monkeypatch.setattr(measures, "feature_spaces", pytest.fail)  # refused before that
    with pytest.raises(InputError, match="distilled to one call"):
        start("evaluate-images", tmp_path / "page", synth=synth, real=data, gan=one)
    shared = share(two, tmp_path / "shared")
    distill(data, tmp_path / "again", shared, calls="1", kimg=0.016)
    assert gans.load_judge(two).times == (0.5,)


def test_stop_at_any_step_and_go_on(
    data: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    distill(data, tmp_path / "straight", teacher)
    reals, left = StudentTrainer.reals, [0]

    def counted(self: StudentTrainer) -> Any:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGTERM)
        return reals(self)

    monkeypatch.setattr(StudentTrainer, "reals", counted)
    for steps in (2, 2):
        left[0] = steps
        with pytest.raises(InterruptedRunError):
            distill(data, tmp_path / "stopped", teacher)
    left[0] = 0
    distill(data, tmp_path / "stopped", teacher)
    assert outputs(tmp_path / "stopped") == outputs(tmp_path / "straight")
    # And a longer distillation is that of its whole length.
    distill(data, tmp_path / "long", teacher, kimg=0.08)
    distill(data, tmp_path / "more", teacher, kimg=0.08, extend=tmp_path / "straight")
    for name in ("model.safetensors", "model.json"):
        same = [(tmp_path / folder / name).read_bytes() for folder in ("long", "more")]
        assert same[0] == same[1], name


def test_what_a_teacher_decides_is_not_chosen_again(
    data: Path, teacher: Path, tmp_path: Path
) -> None:
    refusals: tuple[tuple[dict[str, Any], str], ...] = (
        ({"size": 16}, "--size has no effect with --distill"),
        ({"preset": "tiny"}, "--preset has no effect"),
        ({"labels": "Left"}, "--labels has no effect"),
        ({"mirror": True}, "--mirror has no effect"),
        ({"init_from": teacher}, "--init-from has no effect"),
        ({"view": "all"}, "--view all, and .* was trained with frontal"),
        ({"fraction": 0.5}, "--fraction 0.5, and .* was trained with 1.0"),
        ({"uncertain": "zeros"}, "another label policy"),
        ({"arch": "stylegan2"}, "--distill applies only with --arch flow"),
        ({"calls": "3"}, "--calls: '3' is not one of 1, 2, 4"),
    )
    for i, (options, reason) in enumerate(refusals):
        with pytest.raises(UsageError, match=reason):
            distill(data, tmp_path / f"bad-{i}", teacher, **options)
    with pytest.raises(InputError, match="this is another data set"):
        distill(ellipse_set(tmp_path / "other", n=80), tmp_path / "bad5", teacher)
    train(data, tmp_path / "gan", arch="dcgan", kimg=0.016)
    with pytest.raises(InputError, match="only a flow can be distilled"):
        distill(data, tmp_path / "bad6", tmp_path / "gan")
    distill(data, tmp_path / "student", teacher, kimg=0.016)
    with pytest.raises(InputError, match="distilled to few calls"):
        train(data, tmp_path / "bad7", init_from=tmp_path / "student")
    with pytest.raises(CxrError, match="distillation differs"):
        train(data, tmp_path / "bad8", extend=tmp_path / "student", lr=0.002)


def test_whom_the_teacher_has_seen_its_student_knows(
    data: Path, teacher: Path, tmp_path: Path
) -> None:
    distill(data, tmp_path / "student", teacher, kimg=0.016)
    assert Seen.load(tmp_path / "student") == Seen.load(teacher)
    shared = share(teacher, tmp_path / "shared")
    distill(data, tmp_path / "other", shared, kimg=0.016)
    assert Seen.load(tmp_path / "other").unknown
