"""MIMIC-CXR-JPG: tables, labelers, official split, reports in folders and in the archive."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import pytest

from cxrtool.core.errors import InputError
from cxrtool.data.labels import CHEXPERT

from .conftest import Read, write_png, write_text

METADATA = (
    "dicom_id,subject_id,study_id,PerformedProcedureStepDescription,ViewPosition,Rows,Columns,"
    "StudyDate,StudyTime,ProcedureCodeSequence_CodeMeaning,ViewCodeSequence_CodeMeaning,"
    "PatientOrientationCodeSequence_CodeMeaning\n"
    "02aa-1,10000032,50414267,CHEST (PA AND LAT),PA,3056,2544,21800506,213014.5,CHEST,"
    "postero-anterior,Erect\n"
    "174b-2,10000032,50414267,CHEST (PA AND LAT),LATERAL,3056,2544,21800506,213014.5,CHEST,"
    "lateral,Erect\n"
    "2a2b-3,10000764,57375967,CHEST (PORTABLE AP),,3056,2544,21800626,165500.3,CHEST,"
    "antero-posterior,\n"
)
# The label tables list the observations alphabetically.
NAMES = sorted(CHEXPERT)
LABELS = "subject_id,study_id," + ",".join(NAMES) + "\n"
SPLIT = (
    "dicom_id,study_id,subject_id,split\n02aa-1,50414267,10000032,train\n"
    "174b-2,50414267,10000032,train\n2a2b-3,57375967,10000764,validate\n"
)
FOLDERS = ["files/p10/p10000032/s50414267", "files/p10/p10000764/s57375967"]


def labels(value: str) -> str:
    row = ",".join(value if name == "Edema" else "" for name in NAMES)
    return f"{LABELS}10000032,50414267,{row}\n"


@pytest.fixture
def download(tmp_path: Path) -> Path:
    start = tmp_path / "mimic-cxr-2.0.0"
    packed = f"{start}-metadata.csv.gz"
    Path(packed).write_bytes(gzip.compress(METADATA.encode()))
    write_text(Path(f"{start}-chexpert.csv"), labels("-1.0"))
    write_text(Path(f"{start}-negbio.csv"), labels("1.0"))
    write_text(Path(f"{start}-split.csv"), SPLIT)
    for folder, name in zip([FOLDERS[0], *FOLDERS], ["02aa-1", "174b-2", "2a2b-3"], strict=True):
        write_png(tmp_path / folder / f"{name}.jpg")
    return tmp_path


def test_the_folder_of_the_download(download: Path, read: Read) -> None:
    write_text(download / f"{FOLDERS[0]}.txt", " FINAL REPORT\n FINDINGS: Clear.\n")
    result = read("mimic-cxr", download)
    table = result.table
    assert result.labels == CHEXPERT
    assert list(table["patient_id"]) == ["10000032", "10000032", "10000764"]
    assert list(table["study_id"]) == ["s50414267", "s50414267", "s57375967"]
    assert list(table["view"]) == ["PA", "LATERAL", "AP"]
    assert list(table["split"]) == ["train", "train", "val"]
    assert list(table["Edema"]) == ["-1.0", "-1.0", ""]
    assert list(table["report"]) == ["FINAL REPORT\n FINDINGS: Clear."] * 2 + [""]
    assert result.notes["labeler"] == "chexpert"
    assert result.notes["images_without_labels"] == 1
    assert result.opener is not None
    assert all(result.opener(ref) for ref in table["image_ref"])
    assert not [name for name in table if "Date" in str(name) or "Time" in str(name)]


def test_the_label_table_chooses_the_labeler(download: Path, read: Read) -> None:
    result = read("mimic-cxr", download / "mimic-cxr-2.0.0-negbio.csv", labels_only=True)
    assert list(result.table["Edema"]) == ["1.0", "1.0", ""]
    assert result.notes["labeler"] == "negbio"
    names = [f"mimic-cxr-2.0.0-{labeler}.csv" for labeler in ("chexpert", "negbio")]
    for source, other in ((download, names[1]), *zip([download / n for n in names], names[::-1])):
        (remark,) = read("mimic-cxr", source, labels_only=True).remarks
        assert remark.startswith(f"{other} is not used")
        assert "give it as SOURCE" in remark
    (download / "mimic-cxr-2.0.0-chexpert.csv").unlink()
    assert read("mimic-cxr", download, labels_only=True).notes["labeler"] == "negbio"


def test_reports_from_the_archive(download: Path, read: Read) -> None:
    with zipfile.ZipFile(download / "mimic-cxr-reports.zip", "w") as archive:
        archive.writestr(f"{FOLDERS[1]}.txt", "IMPRESSION: Effusion.")
    table = read("mimic-cxr", download, labels_only=True).table
    assert list(table["report"]) == ["", "", "IMPRESSION: Effusion."]


def test_reports_in_their_own_folder_and_images_elsewhere(download: Path, read: Read) -> None:
    write_text(download / "mimic-cxr-reports" / f"{FOLDERS[1]}.txt", "IMPRESSION: None.")
    other = download / "disk2"
    (download / "files").rename(other.with_name("x"))
    other.mkdir()
    other.with_name("x").rename(other / "files")
    result = read("mimic-cxr", download, images=(other,))
    assert result.table["report"].iloc[2] == "IMPRESSION: None."
    assert result.opener is not None
    assert result.opener(result.table["image_ref"].iloc[0])


def test_without_a_split_table(download: Path, read: Read) -> None:
    (download / "mimic-cxr-2.0.0-split.csv").unlink()
    result = read("mimic-cxr", download, labels_only=True)
    assert not result.official_split
    assert set(result.table["split"]) == {""}


def test_bad_input(download: Path, read: Read) -> None:
    split = download / "mimic-cxr-2.0.0-split.csv"
    write_text(split, SPLIT.replace("validate", "holdout"))
    with pytest.raises(InputError) as error:
        read("mimic-cxr", download)
    assert (error.value.file, error.value.row, error.value.column) == (split, 4, "split")
    write_text(split, SPLIT)

    write_text(download / "mimic-cxr-2.0.0-chexpert.csv", labels("1.0") + labels("1.0")[-20:])
    with pytest.raises(InputError):
        read("mimic-cxr", download)
    twice = labels("1.0") + labels("1.0").splitlines()[1] + "\n"
    write_text(download / "mimic-cxr-2.0.0-chexpert.csv", twice)
    with pytest.raises(InputError, match="twice") as error:
        read("mimic-cxr", download)
    assert error.value.row == 3
    write_text(download / "mimic-cxr-2.0.0-chexpert.csv", labels("1.0"))

    (download / f"{FOLDERS[0]}.txt").write_bytes(b"Ser\xe9")
    with pytest.raises(InputError, match="UTF-8") as error:
        read("mimic-cxr", download)
    assert str(error.value.file).endswith("s50414267.txt")
    (download / f"{FOLDERS[0]}.txt").unlink()

    broken = METADATA.replace("10000764,5", "unknown,5")
    (download / "mimic-cxr-2.0.0-metadata.csv.gz").write_bytes(gzip.compress(broken.encode()))
    with pytest.raises(InputError) as error:
        read("mimic-cxr", download)
    assert (error.value.row, error.value.column) == (4, "subject_id")
    kept = read("mimic-cxr", download, skip_bad=True)
    assert (len(kept.table), [r.ref for r in kept.rejected]) == (2, ["2a2b-3"])

    for name in ("chexpert", "negbio"):
        (download / f"mimic-cxr-2.0.0-{name}.csv").unlink()
    with pytest.raises(InputError, match="chexpert"):
        read("mimic-cxr", download)
    (download / "mimic-cxr-2.0.0-metadata.csv.gz").unlink()
    with pytest.raises(InputError, match="metadata"):
        read("mimic-cxr", download)


def test_a_bad_label_cell_names_the_label_table(download: Path, read: Read) -> None:
    path = download / "mimic-cxr-2.0.0-chexpert.csv"
    write_text(path, labels("oui"))
    with pytest.raises(InputError, match="'oui' is not 1, 0, -1 or blank") as error:
        read("mimic-cxr", download)
    assert (error.value.file, error.value.row, error.value.column) == (path, 2, "Edema")
    kept = read("mimic-cxr", download, skip_bad=True)
    assert list(kept.table["study_id"]) == ["s57375967"]
    assert [(bad.error.file, bad.error.row) for bad in kept.rejected] == [(path, 2)] * 2
    assert kept.notes["images_without_labels"] == 1
