"""`cxr prepare --synthetic`: images of a generator that is not of this program."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from PIL import Image

from cxrtool import cli
from cxrtool.commands.train_cls import training
from cxrtool.core.config.values import resolve
from cxrtool.core.errors import CxrError, GateError, InputError, UsageError
from cxrtool.core.runs.execution import execute
from cxrtool.data.manifest import load_dataset
from tests.e2e import cls_sets

NAME = "their diffusion model"
QUICK = {"arch": "small_cnn", "steps": 2, "batch": 16, "eval_every": 2, "threads": 1}
Table = list[dict[str, str]]


def cxr(command: str, out: Path, **options: Any) -> Path:
    """A command in this process."""
    stage = cli.stages()[command]
    with mock.patch.object(training, "write_loss_curve"):
        execute(stage, resolve(stage.Config, options), out)
    return out


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cls_sets.real(tmp_path_factory.mktemp("sets") / "real")


@pytest.fixture(scope="module")
def plan(data: Path) -> Path:
    return cxr("synthesize", data.parent / "plan", data=data, plan_only=True, counts="A=8,B=4")


def rows_of(path: Path) -> Table:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def written(folder: Path, table: Table) -> Path:
    """The table, and an image for each of its rows that has none."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for k, row in enumerate(table):
        row.setdefault("image", f"{k}.png")
        image = cls_sets.draw(np.zeros((1, 2), int), rng)[0]
        Image.fromarray(image).save(folder / f"{k}.png")
    with (folder / "table.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    return folder / "table.csv"


def slots(plan: Path) -> Table:
    """A row a slot, in another order than theirs."""
    return [{"slot": row["slot"]} for row in reversed(rows_of(plan / "slots.csv"))]


def prepared(source: Path, out: Path, **options: Any) -> Path:
    given = {"source": source, "format": "table", "size": cls_sets.SIZE, "synthetic": NAME}
    return cxr("prepare", out, **{**given, "workers": 1, **options})


@pytest.fixture(scope="module")
def planned(plan: Path) -> Path:
    return prepared(written(plan.parent / "own", slots(plan)), plan.parent / "synth", plan=plan)


def test_a_planned_set_has_the_labels_and_rows_of_its_slots(
    data: Path, plan: Path, planned: Path
) -> None:
    ours, real = load_dataset(planned), load_dataset(data)
    rows = np.array([int(row["source_row"]) for row in reversed(rows_of(plan / "slots.csv"))])
    assert ours.column("source_row").tolist() == [str(row) for row in rows]
    for label in real.labels:
        assert ours.column(label).tolist() == real.column(label, rows).tolist()
    for name, value in (("source", "synthetic"), ("generator", NAME), ("split", "train")):
        assert set(ours.column(name)) == {value}
    info = ours.info
    assert (info.labels, info.covered, info.kind) == (
        real.info.labels,
        real.info.covered,
        real.info.kind,
    )
    assert info.synthetic
    assert not info.patients
    text = Image.open(ours.image_path(0)).info  # a file taken out of its folder
    assert text["synthetic"] == "true"
    assert f"generator={NAME}" in text["Comment"]
    assert info.notes["data"] == real.info.digest
    assert (planned / "plan.json").read_bytes() == (plan / "plan.json").read_bytes()


def test_every_arm_takes_it_and_says_what_it_is(
    data: Path, planned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arm in ("gan", "duplicate"):
        out = cxr("train-cls", tmp_path / arm, data=data, synth=(planned,), arm=arm, **QUICK)
        model = json.loads((out / "model.json").read_text())
        assert model["sources"][0]["generators"] == [NAME]
        assert set(model["images"].values()) == {len(load_dataset(planned)), 96}
        assert json.loads((out / "seen.json").read_text())["unknown"] == [f"generator {NAME}"]
        assert capsys.readouterr().err.count(f"Of unknown history: generator {NAME}") == 1


def test_without_a_plan_the_labels_are_the_tables(data: Path, tmp_path: Path) -> None:
    table = [
        {"patient_id": f"p{k}", "A": str(k % 2), "B": "-1" if k == 3 else "0", "C": "0"}
        for k in range(6)
    ]
    synth = prepared(written(tmp_path / "own", table), tmp_path / "synth")
    ours = load_dataset(synth)
    assert ours.column("A").tolist() == ["0", "1"] * 3
    assert ours.column("B").tolist() == ["0", "0", "0", "-1", "0", "0"]
    assert set(ours.column("patient_id")) == {""}
    cxr("train-cls", tmp_path / "gan", data=data, synth=(synth,), arm="gan", **QUICK)
    with pytest.raises(InputError, match="took its labels from a table of its own") as error:
        cxr("train-cls", tmp_path / "dup", data=data, synth=(synth,), arm="duplicate", **QUICK)
    assert "--plan" in str(error.value.hint)


def test_a_copy_of_a_held_out_image_is_refused(data: Path, plan: Path, tmp_path: Path) -> None:
    source = written(tmp_path / "own", slots(plan))
    real = load_dataset(data)
    (row,) = np.flatnonzero(real.column("split") == "test")[:1]
    shutil.copy(real.image_path(int(row)), source.parent / "2.png")
    synth = prepared(source, tmp_path / "synth", plan=plan)
    with pytest.raises(GateError, match=r"leak: 1 of 12 .*row 4 there"):
        cxr("train-cls", tmp_path / "out", data=data, synth=(synth,), **QUICK)


def replaced(row: int, cell: str) -> Callable[[Table], None]:
    return lambda table: table[row].update(slot=cell)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (replaced(2, "12"), r"row 4, column 'slot': '12' is no slot of the plan, .* 0 to 11"),
        (replaced(0, "one"), "row 2, column 'slot': 'one' is no slot of the plan"),
        (replaced(3, ""), "row 5, column 'slot': '' is no slot of the plan"),
        (replaced(5, "11"), "row 7, column 'slot': '11' is a slot that stands in a row before"),
        (lambda table: table.pop(0), "1 of 12 slots of the plan have no image, .* them 11"),
        (lambda table: [row.pop("slot") for row in table], "'slot'"),
    ],
)
def test_rows_that_are_not_the_plans(
    change: Callable[[Table], None], message: str, plan: Path, tmp_path: Path
) -> None:
    table = slots(plan)
    change(table)
    with pytest.raises(CxrError, match=message) as error:
        prepared(written(tmp_path / "own", table), tmp_path / "synth", plan=plan)
    assert error.value.hint


def test_a_plan_of_a_set_that_has_changed(data: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(data, copy)
    plan = cxr("synthesize", tmp_path / "plan", data=copy, plan_only=True, counts="A=2")
    shutil.rmtree(copy)
    cls_sets.real(copy, seed=5)
    with pytest.raises(InputError, match="is not where it was, or has changed"):
        prepared(written(tmp_path / "own", slots(plan)), tmp_path / "synth", plan=plan)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split_by": "0.8,0.1,0.1"}, "--synthetic applies only without --split-by"),
        ({"labels_only": True}, "--synthetic applies only without --labels-only"),
        ({"synthetic": " "}, "the generator needs a name"),
        ({"synthetic": None, "plan": Path()}, "--plan applies only with --synthetic"),
        ({"plan": Path(), "format": "folder"}, "--plan applies only with --format table"),
        ({"plan": Path(), "label_columns": ("A",)}, "--label-columns: with --plan the labels are"),
        ({"plan": Path(), "column": ("class=A",)}, "the labels are those of the plan's rows"),
    ],
)
def test_options_that_contradict(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        resolve(
            cli.stages()["prepare"].Config,
            {"source": Path("x.csv"), "format": "table", "synthetic": NAME, **options},
        )
