"""VinDr-CXR, RSNA, SIIM-ACR and Google's labels: tables with several rows an image."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from cxrtool.core.errors import InputError, UsageError
from cxrtool.data.maps import builtin
from cxrtool.data.source_checks import rename_labels
from cxrtool.data.sources import by_id
from cxrtool.data.sources.paths import ImageRoots
from cxrtool.data.sources.recognition import recognize
from tests.e2e.data_sets import LAYOUTS

from .conftest import Read, write_png, write_text

_VINDR = "image_id,rad_id,Edema,No finding\n"
_READ = _VINDR + "a,R1,1,0\na,R2,0,0\na,R10,0,0\nb,R1,0,1\nb,R3,0,1\nb,R4,0,0\n"
_BOXES = "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max\n"
_GOOGLE = "Image ID,Patient ID,Reader ID,Set ID,Fracture,Nodule/mass\n"


@pytest.mark.parametrize(
    ("readers", "images", "edema", "nothing"),
    [
        ("majority", ["a", "b"], ["0", "0"], ["0", "1"]),
        ("any", ["a", "b"], ["1", "0"], ["0", "1"]),
        ("R1", ["a", "b"], ["1", "0"], ["0", "1"]),
        ("R10", ["a"], ["0"], ["0"]),
    ],
)
def test_vindr_readers(
    tmp_path: Path,
    read: Read,
    readers: str,
    images: list[str],
    edema: list[str],
    nothing: list[str],
) -> None:
    path = write_text(tmp_path / "annotations" / "image_labels_train.csv", _READ)
    result = read("vindr", path, readers=readers, labels_only=True)
    assert list(result.table["image_ref"]) == images
    assert list(result.table["Edema"]) == edema
    assert list(result.table["No finding"]) == nothing
    assert set(result.table["split"]) == {"train"}
    (remark,) = result.remarks
    assert readers in remark
    if readers == "majority":
        assert "6 readings of 2 images" in remark
        assert "Edema 1, No finding 1" in remark
    if readers == "R10":
        assert "1 that this one has not read" in remark


def test_vindr_as_chexpert(tmp_path: Path, read: Read) -> None:
    """What a finer set does not see is blank, not denied: it knows two bones of all."""
    head = "image_id,rad_id,Nodule/Mass,Lung tumor,ILD,Lung Opacity,Rib fracture,Clavicle fracture"
    rows = "a,R1,1,0,0,0,0,0,0\nb,R1,0,1,0,0,1,0,0\nc,R1,0,0,1,0,0,0,0\nd,R1,0,0,0,0,0,0,1\n"
    path = write_text(tmp_path / "image_labels_train.csv", f"{head},No finding\n" + rows)
    source = read("vindr", path, labels_only=True)
    mapped = rename_labels(source, {**builtin("vindr"), **builtin("chexpert")})
    assert set(mapped.labels) == {"Lung Lesion", "Lung Opacity", "Fracture", "No Finding"}
    assert list(mapped.table["Lung Lesion"]) == ["1", "1", "0", "0"]
    assert list(mapped.table["Lung Opacity"]) == ["1", "1", "1", "0"]
    assert list(mapped.table["Fracture"]) == ["", "1", "", ""]


def test_vindr_unknown_reader_and_the_same_one_twice(tmp_path: Path, read: Read) -> None:
    path = write_text(tmp_path / "image_labels_train.csv", _READ)
    with pytest.raises(UsageError, match="--readers R7") as usage:
        read("vindr", path, readers="R7", labels_only=True)
    assert str(usage.value.hint).endswith("R1, R2, R3, R4, R10")
    write_text(path, _READ + "b,R4,0,0\n")
    with pytest.raises(InputError, match=r"b stands there twice for one reader \(R4\)") as error:
        read("vindr", path, labels_only=True)
    assert error.value.row == 8
    write_text(path, _READ + "c,R4,maybe,0\n")
    with pytest.raises(InputError, match="'maybe'") as error:
        read("vindr", path, labels_only=True)
    assert (error.value.row, error.value.column) == (8, "Edema")


def test_vindr_a_fault_in_the_table_of_boxes(tmp_path: Path, read: Read) -> None:
    write_text(tmp_path / "image_labels_train.csv", _READ)
    boxes = write_text(tmp_path / "annotations_train.csv", _BOXES + "a,Dragon,3,R1,1,2,3,4\n")
    with pytest.raises(InputError, match="'Dragon'") as error:
        read("vindr", tmp_path, labels_only=True)
    assert (error.value.file, error.value.row) == (boxes, 2)


def test_vinbigdata_boxes_and_a_class_nobody_knows(tmp_path: Path, read: Read) -> None:
    rows = "a,Cardiomegaly,3,R1,1,2,3,4\na,Cardiomegaly,3,R1,5,6,7,8\na,ILD,5,R2,1,1,2,2\n"
    path = write_text(tmp_path / "train.csv", _BOXES + rows + "b,No finding,14,R1,,,,\n")
    write_png(tmp_path / "train" / "a.png")
    write_png(tmp_path / "b.jpg")
    result = read("vindr", tmp_path, readers="any")
    assert list(result.table["image_ref"]) == ["train/a.png", "b.jpg"]
    assert result.opener is not None
    assert result.opener("b.jpg") == tmp_path / "b.jpg"
    assert list(result.table["Cardiomegaly"]) == ["1", "0"]
    assert list(result.table["ILD"]) == ["1", "0"]
    assert len(result.labels) == 15
    boxes = result.sidecars["boxes.csv"]
    assert list(boxes["label"]) == ["Cardiomegaly", "Cardiomegaly", "ILD"]
    assert set(boxes["image_ref"]) == {"train/a.png"}
    write_text(path, "image_id,class_name,rad_id,x_min\na,ILD,R1,3\n")
    with pytest.raises(InputError, match="the column is missing") as error:
        read("vindr", path, labels_only=True)
    assert error.value.column == "y_min"
    write_text(path, _BOXES + "a,Dragon,3,R1,1,2,3,4\n")
    with pytest.raises(InputError, match="'Dragon' is no finding") as error:
        read("vindr", path, labels_only=True)
    assert error.value.row == 2


def test_files_of_one_id(tmp_path: Path) -> None:
    for name in ("png/a.png", "jpg/a.jpg", "dicom/a.dcm", "masks/b.png", "x/b.png", "c.PNG"):
        write_text(tmp_path / name, "")
    places = by_id.locate(ImageRoots((tmp_path,)), pd.Series(["a", "b", "c", "d"]))
    assert list(places.refs) == ["dicom/a.dcm", "x/b.png", "c.PNG", "d"]
    assert places.left == dict.fromkeys(("png/a.png", "jpg/a.jpg"), by_id.OTHER_FILE)


_RSNA = "patientId,x,y,width,height,Target\n"


def test_rsna(tmp_path: Path, read: Read) -> None:
    rows = "a,1,2,10,20,1\na,3,4,5,6,1\nb,,,,,0\nc,,,,,0\n"
    table = write_text(tmp_path / "stage_2_train_labels.csv", _RSNA + rows)
    result = read("rsna", table, labels_only=True)
    assert list(result.table["image_ref"]) == ["a", "b", "c"]
    assert list(result.table["Lung Opacity"]) == ["1", "0", "0"]
    assert result.covered == (True, False)
    assert (result.patients, result.namespace) == (False, "rsna")
    boxes = result.sidecars["boxes.csv"]
    corners = boxes[["x_min", "x_max", "y_max"]].to_numpy(float)
    assert corners.tolist() == [[1, 11, 22], [3, 8, 10]]
    classes = "patientId,class\na,Lung Opacity\na,Lung Opacity\nb,Normal\n"
    info = tmp_path / "stage_2_detailed_class_info.csv"
    write_text(info, classes + "c,No Lung Opacity / Not Normal\n")
    mapping = [
        {"subset_img_id": image, "img_id": f"0000{number:04d}_001.png"}
        for image, number in (("a", 13), ("b", 13), ("c", 7))
    ]
    place = tmp_path / "pneumonia-challenge-dataset-mappings_2018.json"
    write_text(place, json.dumps(mapping))
    result = read("rsna", tmp_path, labels_only=True)
    assert list(result.table["Normal"]) == ["0", "1", "0"]
    assert list(result.table["patient_id"]) == ["13", "13", "7"]
    assert (result.patients, result.namespace, result.covered) == (True, "nih", (True, True))
    write_text(place, json.dumps(mapping[:2]))
    result = read("rsna", tmp_path, labels_only=True)
    assert (result.patients, result.cautions) == (True, [f"1 images are not in {place.name}"])
    write_text(place, "[1]")
    with pytest.raises(InputError, match="list of images"):
        read("rsna", tmp_path, labels_only=True)


def test_headers_are_read_where_they_are_wanted(tmp_path: Path, read: Read) -> None:
    LAYOUTS["RSNA Pneumonia"](tmp_path)
    for headers, views in ((True, ["PA", "AP", "PA"]), (False, ["", "", ""])):
        result = read("rsna", tmp_path / "rsna-pneumonia", headers=headers)
        assert list(result.table["view"]) == views


@pytest.mark.parametrize(
    ("rows", "classes", "reason", "row"),
    [
        ("a,,,,,2\n", "", "'2' is not 0 or 1", 2),
        ("a,1,2,x,4,1\n", "", "no four numbers", 2),
        ("a,,,,,0\nb,,,,,0\n", "a,Normal\n", "'b' has no class", 3),
        ("a,,,,,0\n", "a,Well\n", "'a' has no class in .*, or none of", 2),
        ("a,,,,,0\n", "a,Lung Opacity\n", "contradicts its class", 2),
    ],
)
def test_rsna_faults(
    tmp_path: Path, read: Read, rows: str, classes: str, reason: str, row: int
) -> None:
    write_text(tmp_path / "stage_2_train_labels.csv", _RSNA + rows)
    if classes:
        write_text(tmp_path / "stage_2_detailed_class_info.csv", "patientId,class\n" + classes)
    with pytest.raises(InputError, match=reason) as error:
        read("rsna", tmp_path, labels_only=True)
    assert error.value.row == row
    rest = read("rsna", tmp_path, labels_only=True, skip_bad=True)
    assert [rejected.error.row for rejected in rest.rejected] == [row]


def test_siim(tmp_path: Path, read: Read) -> None:
    text = "ImageId, EncodedPixels\na, 1 2 3 4\na, 9 1\nb, -1\n"
    write_text(tmp_path / "train-rle.csv", text)
    write_text(tmp_path / "dicom-images-train" / "1.2" / "1.3" / "a.dcm", "")
    result = read("siim", tmp_path)
    assert list(result.table["image_ref"]) == ["dicom-images-train/1.2/1.3/a.dcm", "b"]
    assert list(result.table["study_id"]) == ["1.2", ""]
    assert list(result.table["Pneumothorax"]) == ["1", "0"]
    assert list(result.sidecars["masks.csv"]["runs"]) == ["1 2 3 4", "9 1"]
    write_text(tmp_path / "stage_2_train.csv", "ImageId,EncodedPixels\nz,-1\n")
    assert list(read("siim", tmp_path, labels_only=True).table["image_ref"]) == ["z"]
    for cell, reason in (("1 2 3", "pairs of numbers"), ("-2", "pairs of numbers")):
        table = write_text(tmp_path / "one.csv", f"ImageId,EncodedPixels\na,{cell}\n")
        with pytest.raises(InputError, match=reason):
            read("siim", table, labels_only=True)
    table = write_text(tmp_path / "one.csv", "ImageId,EncodedPixels\na,-1\na,1 2\n")
    with pytest.raises(InputError, match="a mask in another row"):
        read("siim", table, labels_only=True)


def test_google_single_readers(tmp_path: Path, read: Read) -> None:
    rows = "00000013_008.png,13,1,test,YES,HEDGE\n00000013_008.png,13,2,test,NO,YES\n"
    path = write_text(tmp_path / "individual_readers.csv", _GOOGLE + rows)
    assert recognize(path).form == "nih-google"
    expected = {"any": ("1", "1"), "majority": ("-1", "-1"), "1": ("1", "-1"), "2": ("0", "1")}
    for readers, cells in expected.items():
        result = read("nih-google", path, readers=readers, labels_only=True)
        assert tuple(result.table.loc[0, list(result.labels)]) == cells
        assert result.labels == ("Fracture", "Nodule or mass")
        assert tuple(result.table.loc[0, ["patient_id", "split"]]) == ("13", "test")
    rows = (
        "Reader ID,Image ID,Patient ID,Abnormal,Pneumothorax\n7,1_0.png,1,1,NO\n8,1_0.png,1,0,NO\n"
    )
    path = write_text(tmp_path / "all_findings_expert_labels_test_individual_readers.csv", rows)
    assert recognize(path).form == "nih-google"
    result = read("nih-google", path, readers="any", labels_only=True)
    assert tuple(result.table.loc[0, ["Abnormal", "Pneumothorax", "split"]]) == ("1", "0", "test")
    for text, reason in (("a,b\n1,2\n", "no column Image ID"), ("Image ID\nx.png\n", "YES and NO")):
        with pytest.raises(InputError, match=reason):
            read("nih-google", write_text(tmp_path / "x.csv", text), labels_only=True)


# --- published counts -----------------------------------------------------------------------------


def test_published_counts(tmp_path: Path, read: Read, xrv_data: Path) -> None:
    with zipfile.ZipFile(xrv_data / "kaggle_stage_2_train_labels.csv.zip") as archive:
        archive.extractall(tmp_path)
    rsna = read("rsna", tmp_path, labels_only=True)
    assert len(rsna.table) == 26_684
    assert (rsna.table["Lung Opacity"] == "1").sum() == 6_012
    assert len(rsna.sidecars["boxes.csv"]) == 9_555

    siim = read("siim", xrv_data / "siim-pneumothorax-train-rle.csv.gz", labels_only=True)
    assert len(siim.table) == 12_047
    assert (siim.table["Pneumothorax"] == "1").sum() == 2_669

    google = read(
        "nih-google", xrv_data / "google2019_nih-chest-xray-labels.csv.gz", labels_only=True
    )
    assert len(google.table) == 4_376
    assert (google.table["split"] == "test").sum() == 1_962

    vindr = read("vindr", xrv_data / "vinbigdata-train.csv.gz", labels_only=True)
    assert len(vindr.table) == 15_000
    assert (vindr.table["No finding"] == "1").sum() == 10_606
    assert len(vindr.sidecars["boxes.csv"]) == 36_096
    assert "45,000 readings of 15,000 images" in vindr.remarks[0]
