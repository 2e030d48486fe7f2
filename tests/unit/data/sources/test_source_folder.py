"""A folder of class folders, with and without splits above them."""

from __future__ import annotations

from pathlib import Path

import pytest

from cxrtool.core.errors import InputError

from .conftest import Read, write_png, write_text


def test_splits_above_classes(tmp_path: Path, read: Read) -> None:
    # The layout of Kermany's pneumonia set as Kaggle hands it out.
    root = tmp_path / "chest_xray"
    for name in (
        "train/NORMAL/IM-0115-0001.jpeg",
        "train/PNEUMONIA/person1_bacteria_1.jpeg",
        "val/NORMAL/NORMAL2-IM-1427-0001.jpeg",
        "test/PNEUMONIA/deep/er/person1_virus_6.JPEG",
    ):
        write_png(root / name)
    write_text(root / "train" / "NORMAL" / ".DS_Store", "")
    write_text(root / "train" / "NORMAL" / "notes.txt", "")
    write_png(root / "__MACOSX" / "train" / "NORMAL" / "._IM.jpeg")
    result = read("folder", root)
    table = result.table.set_index("image_ref")
    assert (result.labels, result.kind) == (("NORMAL", "PNEUMONIA"), "single")
    assert result.official_split
    assert not result.patients
    assert table["split"].to_dict() == {
        "test/PNEUMONIA/deep/er/person1_virus_6.JPEG": "test",
        "train/NORMAL/IM-0115-0001.jpeg": "train",
        "train/PNEUMONIA/person1_bacteria_1.jpeg": "train",
        "val/NORMAL/NORMAL2-IM-1427-0001.jpeg": "val",
    }
    assert list(table["NORMAL"]) == ["0", "1", "0", "1"]
    assert list(table["PNEUMONIA"]) == ["1", "0", "1", "0"]
    assert result.opener is not None
    assert all(result.opener(ref) for ref in table.index)


def test_classes_alone(tmp_path: Path, read: Read) -> None:
    write_png(tmp_path / "b" / "1.png")
    write_png(tmp_path / "a" / "1.png")
    result = read("folder", tmp_path, labels_only=True)
    assert list(result.table["image_ref"]) == ["a/1.png", "b/1.png"]
    assert set(result.table["split"]) == {""}
    assert not result.official_split


def test_bad_input(tmp_path: Path, read: Read) -> None:
    with pytest.raises(InputError, match="no image"):
        read("folder", tmp_path)
    image = write_png(tmp_path / "a" / "1.png")
    with pytest.raises(InputError, match="needs a folder"):
        read("folder", image)
    with pytest.raises(InputError, match="only one class, a"):
        read("folder", tmp_path, folders="class")
    write_png(tmp_path / "b" / "1.png")
    stray = write_png(tmp_path / "stray.png")
    for name in "ab":
        write_png(tmp_path / name / "2.png")
    with pytest.raises(InputError, match="outside any class") as error:
        read("folder", tmp_path)
    assert error.value.file == stray
    kept = read("folder", tmp_path, skip_bad=True)
    assert (len(kept.table), kept.rejected[0].ref) == (4, "stray.png")
    assert len(read("folder", tmp_path, folders="nothing").table) == 5
    stray.unlink()
    write_png(tmp_path / "train" / "a" / "1.png")
    with pytest.raises(InputError, match="beside the split folder train"):
        read("folder", tmp_path)
    write_png(tmp_path / "x" / "split" / "1.png")
    write_png(tmp_path / "x" / "other" / "1.png")
    with pytest.raises(InputError, match="called split"):
        read("folder", tmp_path / "x")


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (["1.png", "2.png"], ()),
        (["images/1.png", "images/2.png"], ()),
        (["train/1.png", "test/2.png"], ()),
        (["NORMAL/1.png", "COVID-19/2.png"], ("COVID-19", "NORMAL")),
        (["0/1.png", "1/2.png"], ("0", "1")),
        (["train/no/1.png", "test/yes/2.png"], ("no", "yes")),
        (["patient00001/1.png", "patient00002/2.png"], ()),
        (["2020-01-02/1.png", "2020-01-03/2.png", "other/2.png"], ()),
        (["12.03.2021/1.png", "13.03.2021/2.png"], ()),
        ([f"person-{chr(97 + i)}/1.png" for i in range(5)], ()),  # as many as images
    ],
)
def test_folders_are_told_by_their_names(
    tmp_path: Path, read: Read, names: list[str], labels: tuple[str, ...]
) -> None:
    for name in names:
        write_png(tmp_path / name)
    result = read("folder", tmp_path)
    assert (result.labels, result.patients) == (labels, False)
    assert result.kind == ("single" if labels else "multilabel")
    (remark,) = result.remarks
    assert remark.startswith(f"{len(names)} images")
    assert ("there are no labels" in remark or "without labels" in remark) == (not labels)
    forced = read("folder", tmp_path, folders="nothing")
    assert (forced.labels, len(forced.table)) == ((), len(names))


def test_folders_of_patients(tmp_path: Path, read: Read) -> None:
    for name in ("p/1.png", "p/late/2.png", "q/1.png"):
        write_png(tmp_path / name)
    result = read("folder", tmp_path, folders="patient")
    assert (result.labels, result.patients) == ((), True)
    assert result.table["patient_id"].tolist() == ["p", "p", "q"]
    assert result.remarks == ("3 images: each of 2 folders is a patient; there are no labels",)
