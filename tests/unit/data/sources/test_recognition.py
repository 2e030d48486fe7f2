"""The format of a source is told by its files, and never by one doubtful sign."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import pytest

from cxrtool.core.errors import InputError
from cxrtool.data.labels import CHEXPERT
from cxrtool.data.sources.recognition import SIGNS, recognize

from .conftest import write_png, write_text

_CHEXPERT = "Path,Sex,Age,Frontal/Lateral,AP/PA," + ",".join(CHEXPERT) + "\n"
_NIH = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position\n"
)
_MIMIC = "subject_id,study_id," + ",".join(CHEXPERT) + "\n"
_STUDY = "CheXpert-v1.0-small/train/patient00001/study1/view1_frontal.jpg\n"


@pytest.mark.parametrize(
    ("name", "text", "form"),
    [
        ("train.csv", _CHEXPERT + _STUDY, "chexpert"),
        ("of_my_own.csv", _CHEXPERT + _STUDY, "chexpert"),
        ("train.csv", _CHEXPERT + "images/1.png\n", "table"),
        ("train.csv", "path,Edema\nimages/1.png,1\n", "table"),
        ("Data_Entry_2017.csv", _NIH, "nih"),
        ("nih-of-mine.tsv", _NIH.replace(",", "\t"), "nih"),
        ("mimic-cxr-2.0.0-negbio.csv", _MIMIC, "mimic-cxr"),
        ("labels.csv", _MIMIC, "table"),
        ("mimic-cxr-2.1.0-test-set-labeled.csv", _MIMIC, "mimic-cxr"),
        ("chexbert_labels/impression_fixed.json", "", "chexpert-plus"),
        ("plus.csv", "path_to_image,report,section_findings\n", "chexpert-plus"),
        ("test_labels.csv", "Image Index,Patient ID,Fracture\n1_0.png,1,NO\n", "nih-google"),
        ("test_labels.csv", "Image Index,Patient ID,Fracture\n1_0.png,1,0\n", "table"),
        ("indiana_reports.csv", "uid,MeSH,findings,impression\n", "openi"),
        ("reports.csv", "uid,MeSH,findings,impression\n", "table"),
        ("own.csv", "image_id,rad_id,Aortic enlargement,No finding\n", "vindr"),
        ("train.csv", "image_id,class_name,rad_id,x_min,y_min,x_max,y_max\n", "vindr"),
        ("own.csv", "PngPath,DicomPath,AccessionNumber\n", "brax"),
        ("own.csv", "patientId,x,y,width,height,Target\n", "rsna"),
        ("own.csv", "patientId,Target\n", "table"),
        ("own.csv", "ImageId, EncodedPixels\n", "siim"),
        ("labels.csv", "", "table"),
        ("labels.csv", "path;Edema\n", "table"),
        ("labels.parquet", "", "table"),
        ("labels.jsonl", "", "table"),
        ("chestmnist.npz", "", "medmnist"),
        ("NLMCXR_reports.tgz", "", "openi"),
        ("a.dcm", "", "dicom"),
    ],
)
def test_a_file(tmp_path: Path, name: str, text: str, form: str) -> None:
    assert recognize(write_text(tmp_path / name, text)).form == form


def test_a_gzipped_table(tmp_path: Path) -> None:
    path = tmp_path / "Data_Entry_2017_v2020.csv.gz"
    path.write_bytes(gzip.compress(_NIH.encode()))
    assert recognize(path).form == "nih"
    assert recognize(tmp_path).form == "nih"


@pytest.mark.parametrize(
    ("files", "form", "by"),
    [
        ({"CheXpert-v1.0-small/train.csv": _CHEXPERT + _STUDY}, "chexpert", "train.csv"),
        ({"x/Data_Entry_2017.csv": _NIH, "labels.csv": "path,Edema\n"}, "nih", None),
        ({"labels.csv": "path,Edema\n", "images/1.dcm": ""}, "table", "labels.csv"),
        ({"readme.txt": "", "any.csv": "path,Edema\n"}, "table", "any.csv"),
        ({"a.csv": "", "b.csv": "", "normal/1.jpeg": "", "sick/1.jpeg": ""}, "folder", None),
        ({"ecgen-radiology/1.xml": ""}, "openi", None),
        ({"2020/1.2.3/a.DCM": "", "note.csv": "a\n", "b.csv": "a\n"}, "dicom", None),
        ({"one/chestmnist.npz.txt": "", "chestmnist.npz": ""}, "medmnist", None),
        ({"NLMCXR_reports.tgz": "", "NLMCXR_png/a.png": ""}, "openi", "NLMCXR_reports.tgz"),
    ],
)
def test_a_folder(tmp_path: Path, files: dict[str, str], form: str, by: str | None) -> None:
    for name, text in files.items():
        write_text(tmp_path / name, text)
    recognized = recognize(tmp_path)
    assert recognized.form == form
    assert by in (None, recognized.by)


def test_tables_of_two_sets_in_one_folder(tmp_path: Path) -> None:
    write_text(tmp_path / "Data_Entry_2017.csv", _NIH)
    labels = "Image Index,Patient ID,Fracture\n1_0.png,1,YES\n"
    write_text(tmp_path / "test_labels.csv", labels)
    assert recognize(tmp_path) == ("nih", "Data_Entry_2017.csv", ("nih-google",))


def test_dicom_without_an_ending(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "1.2.840.1").write_bytes(bytes(128) + b"DICM")
    assert recognize(tmp_path).form == "dicom"
    assert recognize(tmp_path / "d" / "1.2.840.1").form == "dicom"


def test_several_sets_and_none(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "train.csv", _CHEXPERT + _STUDY)
    write_text(tmp_path / "b" / "Data_Entry_2017.csv", _NIH)
    with pytest.raises(InputError, match=r"several data sets: a \(chexpert\), b \(nih\)"):
        recognize(tmp_path)
    write_text(tmp_path / "c" / "notes.txt", "")
    write_png(tmp_path / "d" / "1.png")
    assert recognize(tmp_path / "d")[:2] == ("folder", "1.png")
    for name in "ab":
        write_text(tmp_path / "d" / f"{name}.csv", "x\n")  # whose table?
    for source in (tmp_path / "c", tmp_path / "d", tmp_path / "c" / "notes.txt"):
        with pytest.raises(InputError, match="recognized") as error:
            recognize(source)
        assert "--format" in str(error.value.hint)
    with pytest.raises(InputError, match="no such file or folder"):
        recognize(tmp_path / "none")


def test_a_set_deeper_down_and_one_of_our_own(tmp_path: Path) -> None:
    files = tmp_path / "physionet.org" / "files"
    table = "image_id,Aortic enlargement,No finding\n"
    write_text(files / "vindr-cxr" / "1.0.0" / "annotations" / "image_labels_test.csv", table)
    write_text(files / "vindr-cxr" / "1.0.0" / "test" / "a.dicom", "")
    for source in (tmp_path, files, files / "vindr-cxr"):
        with pytest.raises(InputError, match="vindr lies deeper") as error:
            recognize(source)
        assert str(error.value.hint).endswith(str(files / "vindr-cxr" / "1.0.0"))
    assert recognize(files / "vindr-cxr" / "1.0.0").form == "vindr"
    for name in ("dataset.json", "manifest.csv"):
        write_text(tmp_path / "data" / name, "")
    with pytest.raises(InputError, match="a data set of cxr already"):
        recognize(tmp_path / "data")


def test_every_sign_is_of_one_format() -> None:
    """A table that has the columns of one format alone is of no other before it in the list."""
    for index, sign in enumerate(SIGNS):
        row = dict.fromkeys(sign.columns, "")
        if sign.cell:
            row[sign.cell[0]] = "train/patient1/study1/view1.jpg"
        forms = [other.form for other in SIGNS[:index] if other.renamed and other.fits(row)]
        assert set(forms) <= {sign.form}


def test_it_costs_no_pandas() -> None:
    code = "import sys, cxrtool.data.sources.recognition; sys.exit('pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
