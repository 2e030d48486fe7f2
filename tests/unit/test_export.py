"""`cxr export`: what other programs read must be what the data set holds, and no more."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cxrtool import cli
from cxrtool.core.config.values import resolve
from cxrtool.core.runs.execution import execute
from cxrtool.data.cache import pixels
from cxrtool.data.manifest import Dataset, load_dataset

export, prepare = cli.stages()["export"], cli.stages()["prepare"]
SECRETS = ("patient_id", "study_id", "report", "findings", "impression")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A prepared set with patients, reports, blanks and -1."""
    out = tmp_path_factory.mktemp("export") / "data"
    options = {"format": "phantom", "n": 40, "size": 24, "workers": 1, "seed": 3}
    execute(prepare, resolve(prepare.Config, options), out)
    return load_dataset(out)


def write(source: Dataset, out: Path, form: str, **options: Any) -> dict[str, Any]:
    config = resolve(export.Config, {"data": source.path, "to": form, **options})
    return dict(execute(export, config, out).result["summary"])


def as_text(cells: pd.Series) -> list[str]:
    return ["" if pd.isna(cell) else str(int(cell)) for cell in cells]


def check_labels(source: Dataset, written: pd.DataFrame) -> None:
    for name in source.labels:
        assert as_text(written[name]) == source.table[name].tolist(), name


def test_the_loader_of_hugging_face_reads_a_folder(source: Dataset, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    write(source, tmp_path / "out", "imagefolder")
    loaded = datasets.load_dataset(
        "imagefolder", data_dir=str(tmp_path / "out"), cache_dir=str(tmp_path / "cache")
    )
    every = pixels(source)
    for split, theirs in {"train": "train", "val": "validation", "test": "test"}.items():
        rows = np.flatnonzero(source.table["split"] == split)
        part = loaded[theirs]
        assert len(part) == len(rows) > 0
        for row, example in zip(rows, part, strict=True):
            assert np.array_equal(np.asarray(example["image"]), every[row])
            for name in source.labels:
                value = example[name]
                assert ("" if value is None else str(int(value))) == source.table[name].iloc[row]


def test_parquet_holds_images_and_labels(source: Dataset, tmp_path: Path) -> None:
    write(source, tmp_path / "out", "parquet")
    table = pd.read_parquet(tmp_path / "out" / "data.parquet")
    check_labels(source, table)
    assert table["split"].tolist() == source.table["split"].tolist()
    shown = [np.asarray(Image.open(io.BytesIO(cell["bytes"]))) for cell in table["image"]]
    assert np.array_equal(np.stack(shown), pixels(source))


def test_hugging_face_reads_the_types_of_parquet(source: Dataset, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    write(source, tmp_path / "out", "parquet")
    loaded = datasets.load_dataset(
        "parquet",
        data_files=str(tmp_path / "out" / "data.parquet"),
        cache_dir=str(tmp_path / "cache"),
        split="train",
    )
    assert isinstance(loaded.features["image"], datasets.Image)
    assert np.array_equal(np.asarray(loaded[5]["image"]), pixels(source)[5])


def test_dicom_says_that_it_is_synthetic(source: Dataset, tmp_path: Path) -> None:
    pydicom = pytest.importorskip("pydicom")
    out = tmp_path / "out"
    write(source, out, "dicom")
    table = pd.read_csv(out / "labels.csv")
    check_labels(source, table)
    people: dict[str, set[str]] = {}
    uids = set()
    for row, name in enumerate(table["file_name"]):
        dicom = pydicom.dcmread(out / name)
        assert np.array_equal(dicom.pixel_array, pixels(source)[row])
        # Phantoms are real images to the tool, and synthetic ones to the world.
        assert (dicom.SyntheticData, dicom.ConversionType) == ("YES", "SYN")
        assert "SYNTHETIC" in dicom.DerivationDescription
        uids.add(dicom.SOPInstanceUID)
        people.setdefault(dicom.PatientID, set()).add(source.table["patient_id"].iloc[row])
    assert len(uids) == len(source)
    assert all(len(ids) == 1 for ids in people.values())
    assert len(people) == source.table["patient_id"].nunique()


def test_an_image_of_a_patient_is_not_called_synthetic(source: Dataset) -> None:
    pytest.importorskip("pydicom")
    from dataclasses import replace

    from cxrtool.commands.export.dicom import instance

    hospital = replace(source, info=replace(source.info, notes={}))
    cells = dict.fromkeys(source.labels, "") | {"source": "real"}
    expected = {"real": "NO", "synthetic": "YES", "edited": "YES"}
    for kind, value in expected.items():
        dicom = instance(pixels(source)[0], {**cells, "source": kind}, hospital, 0, 0)
        assert dicom.SyntheticData == value


def test_dicom_comes_back_through_prepare(source: Dataset, tmp_path: Path) -> None:
    pytest.importorskip("pydicom")
    write(source, tmp_path / "out", "dicom")
    options = {
        "source": tmp_path / "out" / "images",
        "format": "dicom",
        "size": 24,
        "workers": 1,
        "label_table": tmp_path / "out" / "labels.csv",
        "label_columns": ",".join(source.labels),
    }
    execute(prepare, resolve(prepare.Config, options), tmp_path / "again")
    again = load_dataset(tmp_path / "again")
    assert np.array_equal(pixels(again), pixels(source))
    check_labels(source, again.table.replace("", np.nan))


@pytest.mark.parametrize("form", ["imagefolder", "parquet", "dicom"])
def test_nothing_tells_who_a_patient_is(source: Dataset, tmp_path: Path, form: str) -> None:
    result = write(source, tmp_path / "out", form)
    assert set(result["left_out"]) == set(SECRETS)
    written = b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
    for name in (*SECRETS, "patient_key", "pixel_key", "prepared_key"):
        for cell in set(source.table[name]) - {""}:
            if len(cell) > 6:
                assert cell.encode() not in written, name


@pytest.mark.parametrize("form", ["imagefolder", "parquet", "dicom"])
def test_ids_and_texts_on_request(source: Dataset, tmp_path: Path, form: str) -> None:
    result = write(source, tmp_path / "out", form, with_ids=True, with_texts=True)
    assert result["left_out"] == []
    if form == "parquet":
        table = pd.read_parquet(tmp_path / "out" / "data.parquet")
    else:
        table = pd.read_csv(tmp_path / "out" / "labels.csv", dtype=str)
    assert set(table["patient_id"]) == set(source.table["patient_id"])
    assert set(table["report"]) == set(source.table["report"])


def test_a_part_and_a_set_without_splits(
    source: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = write(source, tmp_path / "test", "imagefolder", split="test")
    assert list(result["splits"]) == ["test"]
    assert not (tmp_path / "test" / "train").exists()
    options = {"format": "phantom", "n": 6, "size": 16, "workers": 1, "split_by": "none"}
    execute(prepare, resolve(prepare.Config, options), tmp_path / "whole")
    result = write(load_dataset(tmp_path / "whole"), tmp_path / "out", "imagefolder")
    assert result["splits"] == {"train": 6}
    assert "6 images without a split" in capsys.readouterr().err


def test_a_card_names_source_and_licence(source: Dataset, tmp_path: Path) -> None:
    write(source, tmp_path / "out", "parquet")
    card = (tmp_path / "out" / "README.md").read_text()
    assert source.info.source in card
    assert source.info.licence in card
    assert json.loads((tmp_path / "out" / "result.json").read_text())["summary"]["images"] == 40
