"""CheXpert Plus, BRAX, Open-i's tables, sections of MIMIC-CXR: what differs between copies."""

from __future__ import annotations

from pathlib import Path

import pytest

from cxrtool.core.errors import InputError
from cxrtool.data.labels import CHEXPERT
from tests.e2e.data_sets import LAYOUTS

from .conftest import Read


def test_chexpert_plus_in_parts_and_with_other_labels(tmp_path: Path, read: Read) -> None:
    LAYOUTS["CheXpert Plus"](tmp_path)
    folder = tmp_path / "chexpert_plus"
    one = "train/patient42142/study5"
    (folder / "PNG").rename(folder / "chunk_0")
    (folder / "chunk_1" / "train").mkdir(parents=True)
    (folder / "chunk_0" / "train" / "patient42142").rename(
        folder / "chunk_1" / "train" / "patient42142"
    )
    (folder / "DICOM" / one).mkdir(parents=True)  # no images in it
    result = read("chexpert-plus", folder / "chexbert_labels" / "impression_fixed.json")
    assert result.notes["labels_by"] == "impression_fixed.json"
    assert list(result.table["image_ref"])[:3] == [
        f"chunk_1/{one}/view1_frontal.png",
        f"chunk_1/{one}/view2_lateral.png",
        "chunk_0/train/patient00002/study1/view1_frontal.png",
    ]
    assert result.opener is not None
    assert all(result.opener(ref) for ref in result.table["image_ref"])
    assert result.table["study_id"][0] == "patient42142/study5"
    assert list(result.table["Edema"]) == ["1.0", "0.0", "", "-1.0"]
    beside = folder / "chexbert_labels"
    for name in ("report_fixed.json", "impression_fixed.json"):
        (beside / name).unlink()
    with pytest.raises(InputError, match=r"report_fixed\.json"):
        read("chexpert-plus", folder)


def test_chexpert_plus_as_dicom(tmp_path: Path, read: Read) -> None:
    LAYOUTS["CheXpert Plus"](tmp_path)
    folder = tmp_path / "chexpert_plus"
    home = folder / "DICOM" / "Uncompressed"
    home.parent.mkdir()
    (folder / "PNG").rename(home)
    for path in list(home.rglob("*.png")):
        path.rename(path.with_suffix(".dcm"))
    first = read("chexpert-plus", folder).table["image_ref"][0]
    assert first == "DICOM/Uncompressed/train/patient42142/study5/view1_frontal.dcm"


def test_chexpert_plus_an_image_without_labels_and_a_strange_path(
    tmp_path: Path, read: Read
) -> None:
    LAYOUTS["CheXpert Plus"](tmp_path)
    folder = tmp_path / "chexpert_plus"
    labels = folder / "chexbert_labels" / "report_fixed.json"
    lines = labels.read_text().splitlines(keepends=True)
    labels.write_text("".join(lines[:3]))
    result = read("chexpert-plus", folder, labels_only=True)
    assert result.notes["images_without_labels"] == 1
    assert list(result.table.loc[3, list(CHEXPERT)]) == [""] * 14
    labels.write_text("".join([*lines, lines[0]]))
    with pytest.raises(InputError, match="there twice"):
        read("chexpert-plus", folder, labels_only=True)
    table = folder / "df_chexpert_plus_240401.csv"
    table.write_text(table.read_text().replace("train/patient00002", "train/somebody"))
    with pytest.raises(InputError, match="not of the form") as error:
        read("chexpert-plus", folder, labels_only=True)
    assert error.value.column == "path_to_image"


def test_brax_as_dicom(tmp_path: Path, read: Read) -> None:
    LAYOUTS["BRAX"](tmp_path)
    folder = tmp_path / "brax" / "1.1.0"
    result = read("brax", folder)
    assert result.table["image_ref"][0].endswith(".png")
    assert list(result.table["age"]) == ["40", "40", "85"]
    assert list(result.table["study_id"]) == ["id_a/1", "id_a/1", "id_b/1"]
    table = folder / "master_spreadsheet_update.csv"
    table.write_text(table.read_text().replace(".png,", ".png.tar.gz,"))
    archives = read("brax", folder)
    assert list(archives.table["image_ref"]) == list(result.table["image_ref"])
    (folder / "images").rename(folder / "Anonymized_DICOMs")
    assert read("brax", folder).table["image_ref"][0].endswith(".dcm")


def test_openi_tables(tmp_path: Path, read: Read) -> None:
    LAYOUTS["Open-i at Kaggle"](tmp_path)
    LAYOUTS["Open-i"](tmp_path)
    tables = read("openi", tmp_path / "indiana" / "indiana_reports.csv").table
    xml = read("openi", tmp_path / "openi").table
    for column in ("study_id", "findings", "impression", *CHEXPERT):
        assert list(tables[column]) == list(xml[column]), column
    assert list(tables["table_row"]) == ["2", "2", "3"]
    assert len(read("openi", tmp_path / "indiana", labels_only=True).table) == 2
    projections = tmp_path / "indiana" / "indiana_projections.csv"
    projections.write_text(projections.read_text() + "9,9.png,Frontal\n")
    with pytest.raises(InputError, match="'9' has no report") as error:
        read("openi", tmp_path / "indiana")
    assert error.value.row == 5
    projections.unlink()
    with pytest.raises(InputError, match=r"indiana_projections\.csv is missing"):
        read("openi", tmp_path / "indiana")


def test_mimic_sections_and_radiologists(tmp_path: Path, read: Read) -> None:
    LAYOUTS["MIMIC-CXR, sections"](tmp_path)
    folder = tmp_path / "mimic-cxr-jpg" / "2.1.0"
    table = read("mimic-cxr", folder, labels_only=True).table
    whole = "FINDINGS: Clear.\nIMPRESSION: Normal."
    assert list(table["report"]) == [whole, whole, "Mild edema.", ""]
    expert = read("mimic-cxr", folder / "mimic-cxr-2.1.0-test-set-labeled.csv", labels_only=True)
    assert list(expert.table["study_id"]) == ["s51879412"]
    assert list(expert.table["Lung Opacity"]) == ["1.0"]
    assert expert.notes["labeler"] == "radiologists"
    assert all(expert.covered)
    table = folder / "mimic-cxr-2.1.0-test-set-labeled.csv"
    table.write_text(table.read_text().replace("No Finding", "Comment"))
    findings = read("mimic-cxr", table, labels_only=True)
    assert findings.covered == (False, *[True] * 13)
