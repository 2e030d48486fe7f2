"""Planted leaks, from prepare to the refusal: each must end with exit code 5.

A classifier is trained on a data set; then its test set holds a patient it was trained on, prepared
at another size, prepared again with another seed, or under another name.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cxrtool import cli
from cxrtool.classifiers.guard import seen_in_training
from cxrtool.core import runs
from cxrtool.core.config.values import resolve
from cxrtool.core.errors import GateError, UsageError
from cxrtool.core.runs.execution import Outcome, execute
from cxrtool.data import cache
from cxrtool.data.keys import Seen, refuse_overlap
from cxrtool.data.manifest import Dataset, load_dataset
from cxrtool.data.options import SelectionOptions
from cxrtool.data.select import select_rows
from tests.e2e import cls_sets
from tests.e2e.prepare_sources import drawing, prepare, write_source

evaluate_classifiers = cli.stages()["evaluate-classifiers"]
train_cls = cli.stages()["train-cls"]

PATIENTS = 30


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("leaks") / "source"
    return write_source(folder, PATIENTS)


@pytest.fixture(scope="module")
def data(source: Path) -> Dataset:
    return prepare(source, source.parent / "data")


@pytest.fixture(scope="module")
def model(data: Dataset) -> Path:
    """A classifier trained on DATA's training rows."""
    options = {"data": data.path, "arch": "small_cnn", "steps": 6, "batch": 8, "eval_every": 3}
    out = data.path.parent / "model"
    execute(train_cls, resolve(train_cls.Config, {**options, "threads": 1}), out)
    return out


def evaluate(model: Path, data: Dataset, out: Path) -> Outcome:
    values = {"runs": (model,), "data": (data.path,), "bootstrap": 100, "threads": 1}
    return execute(evaluate_classifiers, resolve(evaluate_classifiers.Config, values), out)


def trained_patient(data: Dataset) -> str:
    return str(data.column("patient_id", select_rows(data, SelectionOptions()))[0])


def as_test_set(data: Dataset, patient: str, folder: Path, source: Path) -> Path:
    """A source whose test set is DATA's and one patient of DATA's training set."""
    shutil.copytree(source, folder)
    held_out = set(data.column("patient_id", select_rows(data, SelectionOptions(split="test"))))
    lines = (source / "labels.csv").read_text().splitlines()
    rows = [line.split(",") for line in lines[1:]]
    chosen = [row for row in rows if row[1] in {patient, *held_out}]
    text = "\n".join(",".join([*row, "test"]) for row in chosen)
    (folder / "labels.csv").write_text(f"{lines[0]},split\n{text}\n")
    return folder


def test_the_honest_test_set_passes(
    model: Path, data: Dataset, source: Path, tmp_path: Path
) -> None:
    assert evaluate(model, data, tmp_path / "a").state == "done"
    nobody = as_test_set(data, "nobody", tmp_path / "source", source)
    assert evaluate(model, prepare(nobody, tmp_path / "again"), tmp_path / "b").state == "done"


@pytest.mark.parametrize("options", [{}, {"size": 24}, {"fit": "pad"}, {"size": 48}])
def test_a_training_patient_at_another_size(
    model: Path, data: Dataset, source: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    planted = as_test_set(data, trained_patient(data), tmp_path / "source", source)
    test = prepare(planted, tmp_path / "data", **options)
    with pytest.raises(GateError, match="leak: 2 of") as caught:
        refuse_overlap(Seen.load(model), test, None, who="the model", what="test")
    assert caught.value.exit_code == 5
    assert "2 by patient and 2 by identical pixels" in str(caught.value)
    with pytest.raises(GateError, match="leak: 2 of"):
        evaluate(model, test, tmp_path / "out")


def test_the_same_source_prepared_with_another_seed(
    model: Path, data: Dataset, source: Path, tmp_path: Path
) -> None:
    again = prepare(source, tmp_path / "data", seed=1)
    trained = set(data.column("patient_id", select_rows(data, SelectionOptions())))
    tested = set(again.column("patient_id", select_rows(again, SelectionOptions(split="test"))))
    assert trained & tested
    with pytest.raises(GateError, match="by patient and"):
        evaluate(model, again, tmp_path / "out")


@pytest.mark.parametrize("namespace", [None, "another hospital"])
def test_a_renamed_patient_is_found_by_pixels(
    model: Path, data: Dataset, source: Path, tmp_path: Path, namespace: str
) -> None:
    patient = trained_patient(data)
    planted = as_test_set(data, patient, tmp_path / "source", source)
    file = planted / "labels.csv"
    file.write_text(file.read_text().replace(f",{patient},", ",stranger,"))
    test = prepare(planted, tmp_path / "data", namespace=namespace)
    with pytest.raises(GateError, match="2 by identical pixels"):
        evaluate(model, test, tmp_path / "out")


def test_new_images_of_a_training_patient_are_found_by_name(
    model: Path, data: Dataset, source: Path, tmp_path: Path
) -> None:
    patient = trained_patient(data)
    planted = as_test_set(data, patient, tmp_path / "source", source)
    rng = np.random.default_rng(0)
    for line in (planted / "labels.csv").read_text().splitlines()[1:]:
        name, person = line.split(",")[:2]
        if person == patient:
            Image.fromarray(rng.integers(0, 256, (40, 32), np.uint8)).save(planted / name)
    with pytest.raises(GateError, match=r"\(2 by patient\)"):
        evaluate(model, prepare(planted, tmp_path / "data"), tmp_path / "out")
    # Under another namespace nothing connects them, and the output says what was not compared.
    other = prepare(planted, tmp_path / "other", namespace="another hospital")
    found = refuse_overlap(Seen.load(model), other, None, who="the model", what="test")
    assert not found.comparable
    assert "cannot be compared by id" in found.note


@pytest.mark.parametrize("namespace", [None, "st-mary"])
def test_two_hospitals_with_equal_ids(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], namespace: str | None
) -> None:
    """Other images under equal ids: a caution where nobody named the hospital."""
    folder = write_source(tmp_path / "source", PATIENTS)
    for i in range(2 * PATIENTS):
        Image.fromarray(drawing(1000 + i)).save(folder / f"images/{i}.png")
    trained_on = model
    if namespace is not None:
        first = prepare(model.parent / "source", tmp_path / "first", namespace=namespace)
        trained_on = tmp_path / "named"
        options = {"data": first.path, "arch": "small_cnn", "steps": 2, "batch": 8}
        values = {**options, "eval_every": 2, "threads": 1}
        execute(train_cls, resolve(train_cls.Config, values), trained_on)
    other = prepare(folder, tmp_path / "other", namespace=namespace, seed=1)
    told = capsys.readouterr().err
    assert f"patient ids are of '{namespace or 'table'}'" in told
    assert ("name the hospital with --namespace" in told) == (namespace is None)
    if namespace is not None:
        with pytest.raises(GateError, match="by patient"):
            evaluate(trained_on, other, tmp_path / "out")
        return
    assert evaluate(trained_on, other, tmp_path / "out").state == "done"
    assert "--namespace" in capsys.readouterr().err
    assert "equal ids" in (tmp_path / "out" / "report.html").read_text()


def test_the_name_of_a_format_names_nobody(source: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="names a format") as caught:
        prepare(source, tmp_path / "out", namespace="table")
    assert "--namespace st-mary" in (caught.value.hint or "")


def test_a_fraction_of_the_data_still_knows_its_patients(data: Dataset) -> None:
    part = Seen.of(data, select_rows(data, SelectionOptions(fraction=0.1)))
    whole = load_dataset(data.path)
    with pytest.raises(GateError):
        refuse_overlap(part, whole, None, who="a model of 10 %", what="test")
    test = select_rows(whole, SelectionOptions(split="test"))
    assert refuse_overlap(part, whole, test, who="a model of 10 %", what="test").images == 0


@pytest.mark.parametrize("role", ["clip", "teacher", "features"])
def test_what_a_synthetic_set_was_made_with_has_seen_too_much(
    data: Dataset, role: str, tmp_path: Path
) -> None:
    """The generator is clean; its CLIP, teacher or extractor knows a test patient."""
    train_rows = select_rows(data, SelectionOptions())
    test_rows = select_rows(data, SelectionOptions(split="test"))
    tool, gan = tmp_path / f"the-{role}", tmp_path / "gan"
    Seen.of(data, test_rows[:1]).save(runs.Run.for_test(tool))
    Seen.of(data, train_rows).merge(Seen.load(tool)).save(runs.Run.for_test(gan))
    record = {"inputs": [{"role": role, "path": str(tool), "fingerprint": "x"}]}
    (gan / "run.json").write_text(json.dumps(record))
    synth = cls_sets.write(
        tmp_path / "synth",
        pd.DataFrame({"source": ["synthetic"] * 8, "source_row": ["0"] * 8, "A": "1", "B": "0"}),
        np.zeros_like(cache.pixels(data)[:8]),
        synthetic=True,
        labels=("A", "B"),
        covered=(True, True),
        fit=data.info.fit,
        kernel=data.info.kernel,
    )
    Seen.load(gan).save(runs.Run.for_test(synth))
    record = {"inputs": [{"role": "gan", "path": str(gan), "fingerprint": "x"}]}
    (synth / "run.json").write_text(json.dumps(record))
    made = load_dataset(synth)
    with pytest.raises(GateError, match=r"leak: .* through its generator gan, its") as caught:
        seen_in_training(data, {"train": train_rows, "val": test_rows[:0]}, [made])
    assert caught.value.exit_code == 5
    assert f"the-{role}" in str(caught.value)
    assert {"clip": "CLIP", "features": "feature extractor"}.get(role, role) in str(caught.value)
    with pytest.raises(GateError, match="through its generator"):
        refuse_overlap(
            Seen.load(synth), data, test_rows, who="the generator", what="test", folder=synth
        )
