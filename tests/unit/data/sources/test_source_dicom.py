"""DICOM folders: what is taken, what is refused, what stays secret, and labels joined by id."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

pydicom = pytest.importorskip("pydicom")
pytest.importorskip("gdcm")

from cxrtool.core.errors import InputError, UsageError  # noqa: E402

from .conftest import Read, write_text  # noqa: E402
from .dicom_files import compress, dataset, image_12bit, save  # noqa: E402


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two patients, three images, one of them compressed, one without an ending."""
    root = tmp_path / "pacs"
    first = dataset(image_12bit(1), BitsStored=12, SOPInstanceUID="1.1")
    save(first, root / "Doe_Jane" / "1.2.840.1")
    second = dataset(
        image_12bit(2),
        BitsStored=12,
        SOPInstanceUID="1.2",
        ViewPosition=None,
        WindowCenter=2000,
        WindowWidth=1000,
        PhotometricInterpretation="MONOCHROME1",
    )
    code = pydicom.Dataset()
    code.CodeMeaning = "left lateral"
    second.ViewCodeSequence = [code]
    plain = save(second, tmp_path / "plain.dcm")
    compress(plain, root / "Doe_Jane" / "2.dcm", "JPEGLosslessProcess14_1")
    third = dataset(
        image_12bit(3),
        BitsStored=12,
        SOPInstanceUID="1.3",
        PatientID="008",
        StudyInstanceUID="9.9",
        Modality="DX",
        PatientAge="093Y",
        PatientSex="O",
        ViewPosition="AP",
    )
    save(third, root / "other" / "IMG.DCM")
    write_text(root / "readme.txt", "no image")
    write_text(root / "DICOMDIR", "no image")
    plain.unlink()
    return root


def test_what_is_taken(folder: Path, read: Read) -> None:
    result = read("dicom", folder)
    table = result.table
    assert list(table["image_ref"]) == ["Doe_Jane/1.2.840.1", "Doe_Jane/2.dcm", "other/IMG.DCM"]
    assert list(table["view"]) == ["PA", "LL", "AP"]
    assert list(table["sex"]) == ["F", "F", "O"]
    assert list(table["age"]) == ["67", "67", "90"]  # above 89 is 90
    assert list(table["modality"]) == ["CR", "CR", "DX"]
    assert set(table["body_part"]) == {"CHEST"}
    assert (result.labels, result.patients, result.keep_refs) == ((), True, False)
    assert result.notes["voi"] == {"none": 2, "window": 1}
    assert result.opener is not None
    first, second = (np.asarray(result.opener(ref)) for ref in table["image_ref"][:2])
    assert first.dtype == np.uint16
    source = image_12bit(1).astype(float)
    expected = source / 4095 * 65535
    assert np.abs(first - expected).max() <= 0.5
    assert second[0, 0] == 65535  # MONOCHROME1: low values are bright
    assert second[-1, -1] == 0


def test_no_identity_leaves(folder: Path, read: Read) -> None:
    table = read("dicom", folder).table
    blank = ["split", "report", "findings", "impression"]
    assert (table[blank] == "").to_numpy().all()
    kept = table.drop(columns=["image_ref", "table_file", *blank])
    assert set(kept.columns) == {
        "patient_id", "study_id", "view", "sex", "age", "modality", "body_part", "manufacturer",
        "table_row",
    }  # fmt: skip
    everything = " ".join(kept.to_numpy().ravel())
    for secret in ("007", "008", "Doe", "1.2.3.4", "1930", "2020", "ACC1", "St. X", "SN9"):
        assert secret not in everything
    patients, studies = list(table["patient_id"]), list(table["study_id"])
    assert patients[0] == patients[1] != patients[2]
    assert len(patients[0]) == 16
    assert studies[0] == studies[1] != studies[2]
    assert list(read("dicom", folder).table["patient_id"]) == patients  # stable
    keyed = read("dicom", folder, id_key=b"secret")
    assert not set(keyed.table["patient_id"]) & set(patients)
    assert "secret key" in str(keyed.notes["ids"])
    clear = read("dicom", folder, keep_ids=True).table
    assert list(clear["patient_id"]) == ["007", "007", "008"]
    assert list(clear["study_id"]) == ["1.2.3.4", "1.2.3.4", "9.9"]
    assert list(clear["age"]) == ["67", "67", "93"]


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"NumberOfFrames": 5}, "5 frames"),
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, "not gray"),
        ({"PresentationIntentType": "FOR PROCESSING"}, "for processing"),
        ({"Rows": 60000, "Columns": 60000}, "60000 x 60000 px"),
        ({"SOPInstanceUID": "1.1"}, "the same image"),
    ],
)
def test_what_is_refused(
    folder: Path, read: Read, elements: dict[str, object], reason: str
) -> None:
    bad = save(dataset(image_12bit(), **elements), folder / "zz.dcm")
    with pytest.raises(InputError, match=reason) as error:
        read("dicom", folder)
    assert error.value.file == bad
    kept = read("dicom", folder, skip_bad=True)
    assert len(kept.table) == 3
    assert [r.ref for r in kept.rejected] == ["zz.dcm"]


def modality_folder(folder: Path) -> None:
    for number, name in enumerate(("RG", "OT", "OT", None)):
        made = dataset(image_12bit(10 + number), Modality=name)
        save(made, folder / f"more/{number}.IMA")


@pytest.mark.parametrize(
    ("modality", "taken"),
    [
        (("any",), {"CR": 2, "DX": 1, "RG": 1, "OT": 2, "none": 1}),
        (("CR", "RG", "none"), {"CR": 2, "RG": 1, "none": 1}),
        (("CR", "DX"), {"CR": 2, "DX": 1}),
    ],
)
def test_modalities_that_are_asked_for(
    folder: Path, read: Read, modality: tuple[str, ...], taken: dict[str, int]
) -> None:
    modality_folder(folder)
    result = read("dicom", folder, modality=modality)
    assert result.notes["modalities"] == taken
    assert len(result.table) + len(result.left) == 7
    assert {why.split()[0] for why in result.left.values()} <= {"modality"}


def test_other_modalities_are_refused_at_once_and_named(folder: Path, read: Read) -> None:
    modality_folder(folder)
    with pytest.raises(InputError, match=r"of 4 images .*: OT 2, RG 1, none 1 \(beside 3") as error:
        read("dicom", folder)
    assert "--modality any" in str(error.value.hint)
    result = read("dicom", folder, skip_bad=True)
    assert (len(result.table), len(result.rejected)) == (3, 4)
    assert any("OT 2, RG 1, none 1" in sentence for sentence in result.remarks)


def test_what_files_say_of_themselves(folder: Path, read: Read) -> None:
    for number, elements in enumerate(
        ({"SyntheticData": "YES"}, {"BurnedInAnnotation": "YES"}, {"BurnedInAnnotation": "NO"})
    ):
        save(dataset(image_12bit(20 + number), **elements), folder / f"z{number}.dicom")
    result = read("dicom", folder)
    assert list(result.table["source"]) == ["", "", "", "synthetic", "", ""]
    assert list(result.table["burned_in"]) == ["", "", "", "", "YES", ""]
    assert len(result.cautions) == 2
    left = read("dicom", folder, exclude=("burned-in", "synthetic"))
    assert list(left.left) == ["z0.dicom", "z1.dicom"]
    assert (len(left.table), left.cautions) == (4, [])
    assert "burned_in" not in left.table


def test_files_of_any_name_and_what_is_none(folder: Path, read: Read) -> None:
    whole = save(dataset(image_12bit(30)), folder / "zz.dcm").read_bytes()
    (folder / "zz.dcm").unlink()
    names = ("a.dicom", "b.IMA", "c.xyz", "d", "e.DCM30", "bare.img", "f.7")
    for number, name in enumerate(names):
        made = save(dataset(image_12bit(40 + number)), folder / name)
        if name.startswith("bare"):
            made.write_bytes(made.read_bytes()[132:])
    for name in ("a.png", "note", "b.csv"):
        (folder / name).write_bytes(b"no image" * 40 if name == "note" else whole)
    refs = set(read("dicom", folder).table["image_ref"])
    assert set(names) < refs
    assert not {"a.png", "note", "b.csv"} & refs


def test_damaged_files(folder: Path, read: Read) -> None:
    bad = folder / "zz.dcm"
    for data in (b"", b"no DICOM at all" * 50):
        bad.write_bytes(data)
        with pytest.raises(InputError, match="DICOM"):
            read("dicom", folder)
    bad.unlink()
    whole = save(dataset(image_12bit(9)), bad)
    whole.write_bytes(whole.read_bytes()[:-500])
    result = read("dicom", folder)
    assert result.opener is not None
    with pytest.raises(InputError) as error:
        result.opener("zz.dcm")
    assert error.value.file == bad
    with pytest.raises(InputError, match="none"):
        result.opener("none.dcm")


def test_reports_and_presentation_states_are_passed_over(folder: Path, read: Read) -> None:
    report = dataset(image_12bit(), Modality="SR", Rows=None, Columns=None)
    del report.PixelData
    save(report, folder / "sr.dcm")
    result = read("dicom", folder)
    assert len(result.table) == 3
    assert result.notes["objects_without_pixels"] == 1


def test_one_file_and_nothing(folder: Path, read: Read, tmp_path: Path) -> None:
    result = read("dicom", folder / "other" / "IMG.DCM")
    assert list(result.table["image_ref"]) == ["IMG.DCM"]
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match="CR or DX"):
        read("dicom", empty)


def test_unknown_patient(folder: Path, read: Read) -> None:
    save(dataset(image_12bit(5), PatientID=""), folder / "zz.dcm")
    result = read("dicom", folder)
    assert result.table["patient_id"].iloc[-1] == ""
    assert (result.table["patient_id"].iloc[:-1] != "").all()


def test_labels_by_image_study_and_patient(folder: Path, read: Read, tmp_path: Path) -> None:
    by_image = write_text(
        tmp_path / "i.csv",
        "SOPInstanceUID,PatientID,Edema,note\n1.3,008,-1,x\n1.1,007,1,\n1.2,007,,\n",
    )
    result = read("dicom", folder, label_table=by_image)
    assert (result.labels, result.covered) == (("Edema",), (True,))
    assert list(result.table["Edema"]) == ["1", "", "-1"]
    by_study = write_text(tmp_path / "s.csv", "study_instance_uid,A,B\n1.2.3.4,1,0\n9.9,0,0\n")
    result = read("dicom", folder, label_table=by_study, label_columns=("B", "A"))
    assert result.labels == ("B", "A")
    assert list(result.table["A"]) == ["1", "1", "0"]
    by_patient = write_text(tmp_path / "p.csv", "patient_id,A\n007,1\n")
    with pytest.raises(InputError, match="no row with its PatientID") as error:
        read("dicom", folder, label_table=by_patient)
    assert str(error.value.file).endswith("IMG.DCM")
    kept = read("dicom", folder, label_table=by_patient, skip_bad=True)
    assert list(kept.table["A"]) == ["1", "1"]
    assert [r.ref for r in kept.rejected] == ["other/IMG.DCM"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("case,A\n1,1\n", "no column to join by"),
        ("PatientID,A\n007,1\n007,0\n", "twice"),
        ("PatientID,A\n1,1\n", "no PatientID of the images"),
        ("PatientID,note\n007,x\n", "no column of labels"),
    ],
)
def test_bad_label_tables(folder: Path, read: Read, tmp_path: Path, text: str, reason: str) -> None:
    path = write_text(tmp_path / "l.csv", text)
    with pytest.raises(InputError, match=reason) as error:
        read("dicom", folder, label_table=path)
    assert error.value.file == path


def test_missing_extra_names_the_command(
    folder: Path, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "gdcm", None)
    with pytest.raises(UsageError) as error:
        read("dicom", folder)
    assert "pip install 'pydicom" in str(error.value.hint)
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(UsageError) as error:
        read("dicom", folder)
    assert "pip install 'pydicom" in str(error.value.hint)


def test_a_bad_cell_of_a_label_table(folder: Path, read: Read, tmp_path: Path) -> None:
    rows = [f"2.{i},{i % 2},x\n" for i in range(40)]
    text = "SOPInstanceUID,Edema,note\n" + "".join(rows) + "1.1,1,x\n1.2,maybe,x\n1.3,0,x\n"
    path = write_text(tmp_path / "l.csv", text)
    for named in ((), ("Edema",)):
        with pytest.raises(InputError, match="'maybe' is not") as error:
            read("dicom", folder, label_table=path, label_columns=named)
        assert (error.value.file, error.value.row, error.value.column) == (path, 43, "Edema")
    kept = read("dicom", folder, label_table=path, skip_bad=True)
    assert (kept.labels, list(kept.table["Edema"])) == (("Edema",), ["1", "0"])
    assert kept.notes["columns_not_labels"] == {"note": "other values"}
    (bad,) = kept.rejected
    assert (bad.error.file, bad.error.row, bad.error.column) == (path, 43, "Edema")
    # Rows of images that are not here are nobody's business.
    write_text(path, text.replace("maybe", "1").replace("2.0,0", "2.0,maybe"))
    assert len(read("dicom", folder, label_table=path).table) == 3
