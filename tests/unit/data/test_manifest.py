"""The dataset directory: written, read back, and refused with row and column when damaged."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cxrtool.core.errors import InputError
from cxrtool.data import cache, columns, manifest
from cxrtool.data.manifest import load_dataset


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


ODD = ["NA", "007", "null", "a,b", 'say "x"', "two\nlines", " space ", "é"]


def test_round_trip_keeps_every_text(make_dataset: Callable[..., Path]) -> None:
    rows = len(ODD)
    path = make_dataset(
        {"patient_id": ODD, "report": ODD[::-1], "split": ["train"] * rows, "age": ["nan"] * rows}
    )
    data = load_dataset(path)
    assert data.column("patient_id").tolist() == ODD
    assert data.column("report").tolist() == ODD[::-1]
    assert set(data.column("age")) == {"nan"}
    assert list(data.table.columns[: len(columns.FIRST)]) == list(columns.FIRST)
    assert data.info.labels == ("Edema",)
    assert len(data.info.digest) == 64


def test_equal_content_gives_equal_bytes_and_digest(make_dataset: Callable[..., Path]) -> None:
    one = make_dataset({"patient_id": ["1", "2"]}, name="one")
    two = make_dataset({"patient_id": ["1", "2"]}, name="two")
    other = make_dataset({"patient_id": ["1", "3"]}, name="other")
    for name in ("manifest.csv", "dataset.json", "files.tsv"):
        assert (one / name).read_bytes() == (two / name).read_bytes()
    assert manifest.load_info(one).digest != manifest.load_info(other).digest


def test_index_lists_every_image_with_its_hash(make_dataset: Callable[..., Path]) -> None:
    from cxrtool.core.files import sha256_file

    path = make_dataset({"patient_id": ["1", "2", "3"]})
    lines = [line.split("\t") for line in (path / "files.tsv").read_text().splitlines()]
    assert [line[0] for line in lines] == [f"images/{i:03d}.png" for i in range(3)]
    for name, size, sha in lines:
        assert (path / name).stat().st_size == int(size)
        assert sha256_file(path / name) == sha


@pytest.mark.parametrize(
    ("old", "new", "row", "column", "says"),
    [
        ("images/001.png", "../001.png", 3, "image", "leaves the data folder"),
        ("images/001.png", "/etc/001.png", 3, "image", "leaves the data folder"),
        ("images/001.png", "C:001.png", 3, "image", "leaves the data folder"),
        ("images/001.png", "images/000.png", 3, "image", "row 2 already"),
        ("images/001.png", "", 3, "image", "no image"),
        (",val,", ",valid,", 3, "split", "'valid'"),
        ("real", "fake", 2, "source", "'fake'"),
        (",-1,", ",2,", 2, "Edema", "'2'"),
    ],
)
def test_a_wrong_cell_is_named(
    make_dataset: Callable[..., Path], old: str, new: str, row: int | None, column: str, says: str
) -> None:
    path = make_dataset({"patient_id": ["p", "q"], "split": ["train", "val"], "Edema": ["-1", "0"]})
    edit(path / "manifest.csv", old, new)
    with pytest.raises(InputError, match=says) as caught:
        load_dataset(path)
    assert (caught.value.row, caught.value.column) == (row, column)
    assert caught.value.file == path / "manifest.csv"


def test_a_patient_in_two_splits_is_named(make_dataset: Callable[..., Path]) -> None:
    path = make_dataset({"patient_id": ["p", "q", "p"], "split": ["train", "val", "train"]})
    text = (path / "manifest.csv").read_text().splitlines()
    text[3] = text[3].replace("train", "test")
    (path / "manifest.csv").write_text("\n".join(text) + "\n")
    with pytest.raises(InputError, match="patient 'p' stands in test here and in train") as caught:
        load_dataset(path)
    assert caught.value.row == 4


def test_missing_label_column(make_dataset: Callable[..., Path]) -> None:
    path = make_dataset({"patient_id": ["p"]})
    edit(path / "manifest.csv", "Edema", "Odema")
    with pytest.raises(InputError, match="missing") as caught:
        load_dataset(path)
    assert caught.value.column == "Edema"


def test_single_label_set_refuses_two(make_dataset: Callable[..., Path]) -> None:
    path = make_dataset({"a": ["1"], "b": ["0"]}, labels=("a", "b"), kind="single")
    edit(path / "manifest.csv", ",1,0", ",1,1")
    with pytest.raises(InputError, match="single-label"):
        load_dataset(path)


def test_not_a_dataset_directory(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        load_dataset(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"no dataset\.json"):
        load_dataset(tmp_path)
    (tmp_path / "dataset.json").write_text("{")
    with pytest.raises(InputError, match="is not valid JSON"):
        load_dataset(tmp_path)
    (tmp_path / "dataset.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(InputError, match="format 99"):
        load_dataset(tmp_path)


def test_writer_refuses_what_it_could_not_read_back(make_dataset: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match="'x' is not 1, 0, -1 or blank"):
        make_dataset({"patient_id": ["p"], "Edema": ["x"]})
    with pytest.raises(ValueError, match="leaves the folder"):
        make_dataset({"image": ["images/a.png", "../b.png"]}, name="b")


def test_pixels_come_from_the_files_then_from_the_map(make_dataset: Callable[..., Path]) -> None:
    path = make_dataset({"patient_id": list("abc")})
    data = load_dataset(path)
    first = np.array(cache.pixels(data))
    assert first.shape == (3, 8, 8)
    assert (first[1] == np.random.default_rng(1).integers(0, 256, (8, 8), np.uint8)).all()
    (path / "images/001.png").unlink()
    again = cache.pixels(data, np.array([1, 0]))
    assert (again == first[[1, 0]]).all()
