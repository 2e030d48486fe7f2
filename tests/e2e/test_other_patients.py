"""`evaluate classifiers` where the generator's patients are not the classifier's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from cxrtool import cli
from cxrtool.commands.train_cls import training
from cxrtool.core.config.values import resolve
from cxrtool.core.runs import Run
from cxrtool.core.runs.execution import execute
from cxrtool.data.keys import Seen
from cxrtool.data.manifest import load_dataset
from tests.e2e import cls_sets

STAGES = cli.stages()
QUICK = {"arch": "small_cnn", "steps": 2, "batch": 8, "eval_every": 2, "threads": 1}
SHARED = Seen(unknown=frozenset({"generator 0123456789ab"}))


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hospital B with few patients, A with many, and what A's generator made with B's labels."""
    folder = tmp_path_factory.mktemp("hospitals")
    a = load_dataset(cls_sets.real(folder / "a", 200, seed=5))
    cls_sets.real(folder / "b", 60)
    for name in ("known", "shared", "simulator"):
        cls_sets.synth(folder / name, folder / "b", n=20, generator=name)
    seen = Seen.of(a, (a.column("split") == "train").nonzero()[0])
    simulator = Seen(unknown=frozenset({"generator their simulator"}))
    for name, own in (("known", seen), ("shared", SHARED), ("simulator", simulator)):
        own.save(Run.for_test(folder / name))
    return folder


def runs(house: Path, seeds: int, **arms: str) -> list[Path]:
    """A classifier an arm and seed: arm -> its set, "" for none."""
    out = []
    for arm, name in arms.items():
        for seed in range(seeds):
            arm = arm.replace("_", "-")
            folder = house / "runs" / f"{arm}-{name}-{seed}"
            synth = (house / name,) if name else ()
            config = {**QUICK, "data": house / "b", "synth": synth, "arm": arm, "seed": seed}
            with mock.patch.object(training, "write_loss_curve"):
                execute(STAGES["train-cls"], resolve(STAGES["train-cls"].Config, config), folder)
            out.append(folder)
    return out


def judge(house: Path, chosen: list[Path], out: Path, **options: Any) -> tuple[str, str]:
    """The answer and the page."""
    stage = STAGES["evaluate-classifiers"]
    config = {"runs": tuple(chosen), "data": (house / "b",), "bootstrap": 100, "threads": 1}
    execute(stage, resolve(stage.Config, {**config, **options}), out)
    answer = json.loads((out / "metrics.json").read_text(encoding="utf-8"))["answer"]
    return answer, (out / "report.md").read_text(encoding="utf-8")


def test_patients_that_are_known_to_be_others(house: Path, tmp_path: Path) -> None:
    chosen = runs(house, 5, duplicate="known", gan="known", synthetic_only="known", pooled="a")
    answer, page = judge(house, chosen, tmp_path / "out")
    assert "synthetic images from a generator of other patients" in answer
    assert "beyond one's own images shown again" in answer
    assert "about what other patients are worth" in answer
    assert "The ceiling, 120 real images of other patients in their place: " in answer
    assert "know up to 60 patients of whom this data set has no image" in answer
    assert "Not a fair comparison" not in page
    assert "had more data than the others" not in page
    assert page.count("## What other patients are worth") == 1
    kinds = [r["what"] for r in json.loads((tmp_path / "out/metrics.json").read_text())
             ["other_patients"]]  # fmt: skip
    assert kinds[:3] == ["added", "alone", "ceiling"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("shared", "synthetic images from a shared generator"),
        ("simulator", "the synthetic images help beyond showing the real ones again"),
    ],
)
def test_patients_of_whom_nothing_is_known(
    name: str, said: str, house: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = runs(house, 2, duplicate=name, gan=name)
    capsys.readouterr()
    answer, page = judge(house, chosen, tmp_path / "out")
    assert said in answer
    assert ("about what other patients are worth" in answer) == (name == "shared")
    assert "The ceiling" not in answer
    assert page.count("unknown history") == 1
    assert capsys.readouterr().err.count("unknown history") == 1


def test_two_kinds_of_generators_are_no_question_of_one_kind(house: Path, tmp_path: Path) -> None:
    cls_sets.synth(house / "own", house / "b", n=20, generator="own", seed=3)
    chosen = [
        *runs(house, 2, duplicate="known", gan="known"),
        *runs(house, 2, duplicate="own", gan="own"),
    ]
    names = (f"{house / 'known'}=theirs", f"{house / 'own'}=ours")
    answer, _ = judge(house, chosen, tmp_path / "out", set_name=names)
    assert "about what other patients are worth" not in answer
    assert "Not a fair comparison" in answer
