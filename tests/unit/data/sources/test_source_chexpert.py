"""CheXpert: the layouts of its downloads, and the real training table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cxrtool.core.errors import InputError
from cxrtool.data.labels import CHEXPERT, are_views

from .conftest import Read, write_png, write_text

HEADER = "Path,Sex,Age,Frontal/Lateral,AP/PA," + ",".join(CHEXPERT) + "\n"
TRIO = ["Lung Lesion", "Pleural Other", "Fracture"]
LABELS = "1.0,,,,,,,,,0.0,-1.0,,,"
TRAIN = "train/patient00001/study1/view1_frontal.jpg"
LATERAL = "train/patient00002/study2/view2_lateral.jpg"
VALID = "valid/patient64541/study1/view1_frontal.jpg"


def tables(folder: Path, prefix: str) -> None:
    write_text(
        folder / "train.csv",
        f"{HEADER}{prefix}{TRAIN},Female,68,Frontal,AP,{LABELS}\n"
        f"{prefix}{LATERAL},Male,0,Lateral,,{LABELS}\n",
    )
    write_text(folder / "valid.csv", f"{HEADER}{prefix}{VALID},Unknown,73,Frontal,LL,{LABELS}\n")


@pytest.mark.parametrize("prefix", ["", "CheXpert-v1.0/", "CheXpert-v1.0-small/"])
def test_the_folder_of_the_download(tmp_path: Path, read: Read, prefix: str) -> None:
    folder = tmp_path / "CheXpert-v1.0-small"
    tables(folder, prefix)
    for name in (TRAIN, LATERAL, VALID):
        write_png(folder / name)
    result = read("chexpert", folder)
    table = result.table
    assert result.labels == CHEXPERT
    assert all(result.covered)
    assert (result.namespace, result.patients, result.official_split) == ("chexpert", True, True)
    assert list(table["image_ref"]) == [TRAIN, LATERAL, VALID]
    assert list(table["patient_id"]) == ["patient00001", "patient00002", "patient64541"]
    assert list(table["study_id"])[1] == "patient00002/study2"
    assert list(table["view"]) == ["AP", "LATERAL", "FRONTAL"]
    assert list(table["sex"]) == ["F", "M", ""]
    assert list(table["split"]) == ["train", "train", "test"]
    assert list(table["No Finding"]) == ["1.0"] * 3
    assert list(table["Pleural Effusion"]) == ["-1.0"] * 3
    assert list(table["Edema"]) == [""] * 3
    assert list(table["table_row"]) == ["2", "3", "2"]
    assert table["table_file"].iloc[2].endswith("valid.csv")
    assert result.opener is not None
    assert all(result.opener(ref) for ref in table["image_ref"])


def test_beside_and_above_the_folder(tmp_path: Path, read: Read) -> None:
    prefix = "CheXpert-v1.0-small/"
    tables(tmp_path / "CheXpert-v1.0-small", prefix)
    write_png(tmp_path / prefix / TRAIN)
    above = read("chexpert", tmp_path)
    assert above.opener is not None
    assert above.opener(above.table["image_ref"].iloc[0])
    table = (tmp_path / prefix / "train.csv").rename(tmp_path / "train.csv")
    beside = read("chexpert", table)  # one table, the images below the folder its paths name
    assert beside.opener is not None
    assert beside.table["image_ref"].iloc[0] == prefix + TRAIN
    assert beside.opener(prefix + TRAIN)
    moved = read("chexpert", table, images=(tmp_path / prefix,))
    assert moved.table["image_ref"].iloc[0] == TRAIN


def test_full_size_download_in_batches(tmp_path: Path, read: Read) -> None:
    first = tmp_path / "CheXpert-v1.0 batch 1 (validate & csv)"
    tables(first, "CheXpert-v1.0/")
    places = [
        "CheXpert-v1.0 batch 2 (train 1)/patient00001/study1/view1_frontal.jpg",
        "CheXpert-v1.0 batch 3 (train 2)/patient00002/study2/view2_lateral.jpg",
        "CheXpert-v1.0 batch 1 (validate & csv)/valid/patient64541/study1/view1_frontal.jpg",
    ]
    for name in places:
        write_png(tmp_path / name)
    for source in (tmp_path, first):
        result = read("chexpert", source)
        assert list(result.table["image_ref"]) == places
        assert result.opener is not None
        assert all(result.opener(ref) for ref in places)


def test_own_test_set_leaves_valid_as_validation(tmp_path: Path, read: Read) -> None:
    tables(tmp_path, "")
    write_text(
        tmp_path / "test.csv",
        "Path," + ",".join(CHEXPERT) + f"\ntest/patient9/study1/view1_frontal.jpg,{LABELS}\n",
    )
    table = read("chexpert", tmp_path, labels_only=True).table
    assert sorted(table["split"]) == ["test", "train", "train", "val"]
    row = table[table["split"] == "test"].iloc[0]
    assert (row["view"], row["sex"], row["age"]) == ("FRONTAL", "", "")


def test_missing_image_is_found_when_opened(tmp_path: Path, read: Read) -> None:
    tables(tmp_path, "")
    result = read("chexpert", tmp_path)
    assert result.opener is not None
    with pytest.raises(InputError, match="no such image"):
        result.opener(result.table["image_ref"].iloc[0])


def test_bad_input(tmp_path: Path, read: Read) -> None:
    with pytest.raises(InputError, match="no such file"):
        read("chexpert", tmp_path / "none")
    with pytest.raises(InputError, match=r"train\.csv"):
        read("chexpert", tmp_path)
    short = HEADER.replace(",Fracture", "")
    path = write_text(tmp_path / "train.csv", f"{short}{TRAIN},F,1,Frontal,AP,{LABELS[:-1]}\n")
    with pytest.raises(InputError) as error:
        read("chexpert", path)
    assert error.value.column == "Fracture"
    bad = f"{HEADER}{TRAIN},F,1,Frontal,AP,{LABELS}\nelsewhere.jpg,F,1,Frontal,AP,{LABELS}\n"
    write_text(path, bad)
    with pytest.raises(InputError) as error:
        read("chexpert", path)
    assert (error.value.row, error.value.column) == (3, "Path")
    kept = read("chexpert", path, skip_bad=True)
    assert len(kept.table) == 1
    assert [(r.ref, r.error.row) for r in kept.rejected] == [("elsewhere.jpg", 3)]


def test_the_real_training_table(xrv_data: Path, read: Read) -> None:
    result = read("chexpert", xrv_data / "chexpert_train.csv.gz", labels_only=True)
    table = result.table
    assert len(table) == 223_414
    assert table["patient_id"].nunique() == 64_540
    assert set(table["split"]) == {"train"}
    # Counts of the public table: uncertain -> 1, blank -> 0.
    positive = table[TRIO].isin(["1.0", "-1.0"]).to_numpy().astype(np.int64)
    assert (positive.T @ positive).tolist() == [
        [10_674, 566, 464],
        [566, 6_176, 495],
        [464, 495, 9_682],
    ]
    frontal = are_views(table["view"], "frontal")
    assert frontal.sum() == 191_027
    positive = positive[frontal]
    assert (positive.T @ positive).tolist() == [
        [8_148, 380, 333],
        [380, 4_317, 350],
        [333, 350, 7_935],
    ]
