"""Any table: columns by name or by option, labels found or named, and the real sets at hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cxrtool.core.errors import InputError, UsageError

from .conftest import Read, write_png, write_text

TEXT = (
    "path,Patient ID,study_id,Split,ViewPosition,Gender,age,report,Edema,Mass,frontal,site,empty,"
    "n\n"
    'img/1.png,007,s1,training,POSTEROANTERIOR,Male,60,"Clear, no\nedema",1,-1.0,1,A,,3\n'
    "img/2.png,NA,s2,validation,L,Female,,,0,,0,B,,1\n"
)


def test_columns_by_their_usual_names(tmp_path: Path, read: Read) -> None:
    path = write_text(tmp_path / "labels.csv", TEXT)
    write_png(tmp_path / "img" / "1.png")
    for source in (path, tmp_path):
        result = read("table", source)
        table = result.table
        assert (result.labels, result.kind) == (("Edema", "Mass"), "multilabel")
        assert (result.patients, result.official_split, result.namespace) == (True, True, "table")
        blank = ["findings", "impression"]
        assert (table[blank] == "").to_numpy().all()
        assert table.drop(columns=["table_file", *blank]).to_dict("records") == [
            {
                "frontal": "1", "site": "A", "empty": "", "n": "3", "image_ref": "img/1.png",
                "patient_id": "007", "study_id": "s1", "view": "PA", "sex": "M", "age": "60",
                "report": "Clear, no\nedema", "Edema": "1", "Mass": "-1.0", "table_row": "2",
                "split": "train",
            },
            {
                "frontal": "0", "site": "B", "empty": "", "n": "1", "image_ref": "img/2.png",
                "patient_id": "NA", "study_id": "s2", "view": "LATERAL", "sex": "F", "age": "",
                "report": "", "Edema": "0", "Mass": "", "table_row": "3", "split": "val",
            },
        ]  # fmt: skip
    assert result.opener is not None
    assert result.opener("img/1.png") == tmp_path / "img" / "1.png"
    with pytest.raises(InputError, match="no such image"):
        result.opener("img/2.png")


def test_columns_by_option(tmp_path: Path, read: Read) -> None:
    path = write_text(
        tmp_path / "t.tsv",
        "photo\twho\tpatient\tA\tB\tC\n1.png\tx\t9\t1\t0\t2\n2.png\ty\t9\t\t1\t5\n",
    )
    with pytest.raises(InputError, match="image files"):
        read("table", path)
    columns = {"image": "photo", "patient_id": "who"}
    images = tmp_path / "elsewhere"
    write_png(images / "1.png")
    result = read("table", path, columns=columns, label_columns=("B",), images=(images,))
    assert result.labels == ("B",)
    assert list(result.table["patient_id"]) == ["x", "y"]
    assert list(result.table["A"]) == ["1", ""]  # kept as it is
    assert result.opener is not None
    assert result.opener("1.png") == images / "1.png"
    assert read("table", path, columns=columns).labels == ("A", "B")
    with pytest.raises(UsageError, match="no manifest column photo"):
        read("table", path, columns={"photo": "photo"})
    for options in ({"columns": {"image": "nope"}}, {"label_columns": ("nope",)}):
        with pytest.raises(InputError) as error:
            read("table", path, **{"columns": columns, **options})
        assert error.value.column == "nope"


def test_a_column_of_classes(tmp_path: Path, read: Read) -> None:
    text = "image,class,x\n1.png,viral,1\n2.png,normal,0\n3.png,viral,1\n4.png, ,1\n"
    path = write_text(tmp_path / "t.csv", text)
    with pytest.raises(InputError, match="blank") as error:
        read("table", path, columns={"class": "class"})
    assert (error.value.row, error.value.column) == (5, "class")
    result = read("table", path, columns={"class": "class"}, skip_bad=True)
    assert (result.kind, result.labels) == ("single", ("normal", "viral"))
    assert list(result.table["viral"]) == ["1", "0", "1"]
    assert list(result.table["normal"]) == ["0", "1", "0"]
    assert [r.ref for r in result.rejected] == ["4.png"]
    ordered = read(
        "table",
        path,
        columns={"class": "class"},
        label_columns=("viral", "normal"),
        skip_bad=True,
    )
    assert ordered.labels == ("viral", "normal")
    write_text(path, text.replace("4.png, ,1\n", ""))
    with pytest.raises(InputError, match="none of the classes normal"):
        read("table", path, columns={"class": "class"}, label_columns=("normal",))


def test_columns_that_the_manifest_needs_itself_are_renamed(tmp_path: Path, read: Read) -> None:
    path = write_text(tmp_path / "t.csv", "file,image,source,Edema\na.png,7,ward,1\nb.png,8,er,0\n")
    table = read("table", path, columns={"image": "file"}).table
    assert list(table["source_in_source"]) == ["ward", "er"]
    assert list(table["image_in_source"]) == ["7", "8"]
    assert list(table["image_ref"]) == ["a.png", "b.png"]


def test_labels_only_needs_no_images(tmp_path: Path, read: Read) -> None:
    path = write_text(tmp_path / "t.csv", "case,Edema\n1,1\n2,0\n")
    result = read("table", path, labels_only=True)
    assert set(result.table["image_ref"]) == {""}
    assert result.labels == ("Edema",)


def test_parquet_reads_as_csv_does(tmp_path: Path, read: Read) -> None:
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame(
        {
            "image": ["1.png", "2.png", "3.png"],
            "patient_id": ["007", "NA", "x"],
            "Edema": [1.0, None, -1.0],
            "Mass": [True, False, True],
            "age": [60, 61, 62],
            "dose": [0.5, 1.0, None],
        }
    )
    frame.to_parquet(tmp_path / "t.parquet")
    result = read("table", tmp_path)
    table = result.table
    assert result.labels == ("Edema", "Mass")
    assert list(table["Edema"]) == ["1", "", "-1"]
    assert list(table["Mass"]) == ["1", "0", "1"]
    assert list(table["patient_id"]) == ["007", "NA", "x"]
    assert list(table["age"]) == ["60", "61", "62"]
    assert list(table["dose"]) == ["0.5", "1.0", ""]
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1 no")
    with pytest.raises(InputError, match="Parquet"):
        read("table", broken)


def test_bad_input(tmp_path: Path, read: Read) -> None:
    with pytest.raises(InputError, match="0 found"):
        read("table", tmp_path)
    path = write_text(tmp_path / "a.csv", "image,split,Edema\n1.png,train,1\n2.png,holdout,0\n")
    with pytest.raises(InputError, match="holdout") as error:
        read("table", path)
    assert (error.value.row, error.value.column) == (3, "split")
    kept = read("table", path, skip_bad=True)
    assert list(kept.table["image_ref"]) == ["1.png"]
    write_text(path, "image,label\n1.png,x\n")
    with pytest.raises(InputError, match="no column of labels"):
        read("table", path)
    write_text(tmp_path / "b.csv", "image,note\n1.png,x\n")
    with pytest.raises(InputError, match="2 found"):
        read("table", tmp_path)


@pytest.mark.parametrize(
    ("ids", "patients"), [("pq", True), (["p", ""], True), (["", ""], False), (["", " "], False)]
)
def test_patients_are_known_where_a_row_names_one(
    tmp_path: Path, read: Read, ids: list[str], patients: bool
) -> None:
    rows = "".join(f"{row}.png,{name},1\n" for row, name in enumerate(ids))
    path = write_text(tmp_path / "a.csv", "image,patient_id,Edema\n" + rows)
    assert read("table", path).patients == patients


def test_the_real_sets(shared_data: Path, read: Read) -> None:
    kermany = read("table", shared_data / "kermany_pneumonia")
    assert kermany.labels == ("No Finding", "Pneumonia", "Bacterial Pneumonia", "Viral Pneumonia")
    assert kermany.table["split"].value_counts().to_dict() == {
        "train": 5_216, "test": 624, "val": 16,
    }  # fmt: skip
    single = read("table", shared_data / "kermany_pneumonia", columns={"class": "class"})
    assert (single.kind, single.labels) == ("single", ("BACTERIAL", "NORMAL", "VIRAL"))
    nih = read("table", shared_data / "nih_cxr14")
    assert (len(nih.table), len(nih.labels), nih.official_split) == (1_560, 15, False)
    brain = read("table", shared_data / "brain_mri")
    assert (len(brain.table), brain.patients) == (6_585, False)
    assert brain.labels == ("glioma", "meningioma", "notumor", "pituitary")
    covid = read("table", shared_data / "covid_cxr_notes")
    assert (len(covid.table), len(covid.labels)) == (384, 17)
    assert "frontal" not in covid.labels
    assert (covid.table["report"] != "").sum() == 292
    for result in (kermany, nih, brain, covid):
        assert result.opener is not None
        assert all(result.opener(ref) for ref in result.table["image_ref"].iloc[::200])


def test_reports_without_labels_will_do(tmp_path: Path, read: Read) -> None:
    path = write_text(tmp_path / "a.csv", "path,study_id,report\na.png,1,No effusion.\n")
    table = read("table", path)
    assert table.labels == ()
    assert list(table.table["report"]) == ["No effusion."]


LINES = [f"{i}.png,{i % 2},{int(i % 3 == 0)},{i % 4}\n" for i in range(40)]


@pytest.mark.parametrize("bad", ["None", "0.5", "2", "oui"])
@pytest.mark.parametrize("named", [(), ("Fracture", "Edema")])
def test_a_bad_cell_stops_with_its_row_and_does_not_delete_the_label(
    tmp_path: Path, read: Read, bad: str, named: tuple[str, ...]
) -> None:
    spoiled = [*LINES]
    spoiled[6] = f"6.png,{bad},1,2\n"
    path = write_text(tmp_path / "a.csv", "image,Fracture,Edema,grade\n" + "".join(spoiled))
    with pytest.raises(InputError, match=f"'{bad}' is not 1, 0, -1 or blank") as error:
        read("table", path, label_columns=named)
    assert (error.value.file, error.value.row, error.value.column) == (path, 8, "Fracture")
    assert "--skip-bad" in str(error.value.hint)
    assert ("--label-columns Edema" in str(error.value.hint)) == (not named)
    result = read("table", path, label_columns=named, skip_bad=True)
    assert result.labels == ("Fracture", "Edema")
    assert len(result.table) == 39
    (bad_row,) = result.rejected
    assert (bad_row.ref, bad_row.error.row, bad_row.error.column) == ("6.png", 8, "Fracture")


def test_white_space_around_a_label_value_is_none(tmp_path: Path, read: Read) -> None:
    spaced = [line.replace(",1,", ", 1 ,", 1) for line in LINES]
    path = write_text(tmp_path / "a.csv", "image,Fracture,Edema,grade\n" + "".join(spaced))
    assert read("table", path).labels == ("Fracture", "Edema")


def test_columns_that_are_not_taken_are_named(tmp_path: Path, read: Read) -> None:
    path = write_text(
        tmp_path / "a.csv",
        "image,path,class,A,B,frontal,seed,grade,words,empty\n"
        + "".join(f"{i}.png,x,c{i % 2},1,0,1,1,{i},oui,\n" for i in range(4)),
    )
    others = {
        "path": "by name", "frontal": "by name", "seed": "by name",
        "grade": "2 of 4 cells are no label values", "words": "other values", "empty": "blank",
    }  # fmt: skip
    auto = read("table", path)
    assert auto.labels == ("A", "B")
    assert auto.notes["columns_not_labels"] == {**others, "class": "other values"}
    named = read("table", path, label_columns=("B",))
    assert named.notes["columns_not_labels"] == {
        **others, "class": "other values", "A": "not in --label-columns",
    }  # fmt: skip
    classes = read("table", path, columns={"class": "class"})
    aside = dict.fromkeys("AB", "beside the column of classes")
    assert classes.notes["columns_not_labels"] == {**others, **aside}
    with pytest.raises(InputError, match="no column of labels") as error:
        read("table", write_text(tmp_path / "b.csv", "image,Mass\n1.png,oui\n2.png,non\n"))
    assert "not labels: Mass (other values)" in str(error.value.hint)


def test_columns_that_might_be_meant_are_named_and_compared(tmp_path: Path, read: Read) -> None:
    rows = [f"{i}.png,x,p{i // 2},{i // 2 + 7},s{i // 4},u{i % 3},1\n" for i in range(12)]
    header = "image,file,patient_id,Patient ID,subject_id,study,Edema\n"
    result = read("table", write_text(tmp_path / "a.csv", header + "".join(rows)))
    assert result.remarks == (
        "columns read: image (not file), patient_id (not Patient ID, subject_id), study_id = study",
    )
    (caution,) = result.cautions  # numbers of the same patients are no contradiction
    assert "'patient_id' (taken) and 'subject_id' tell patients apart differently" in caution
    assert "in 6 of 12 rows, first in row 4" in caution
    assert caution.endswith("--column patient_id=subject_id")
    other = read("table", tmp_path / "a.csv", columns={"patient_id": "subject_id"})
    assert other.table["patient_id"].tolist()[:5] == ["s0"] * 4 + ["s1"]
    assert len(other.cautions) == 2


def test_an_id_that_is_a_word_for_nothing_is_no_patient(tmp_path: Path, read: Read) -> None:
    text = "image,patient_id,age,gender,Edema\n1.png,NaN,414,m,1\n2.png,NaN,60,x,0\n3.png,c,5,f,0\n"
    result = read("table", write_text(tmp_path / "a.csv", text))
    assert result.table["patient_id"].tolist() == ["", "", "c"]
    assert result.notes["cells_emptied"] == {
        "patient_id": {"NaN, None or the like": 2},
        "sex": {"none of M, F and O": 1},
        "age": {"no age from 0 to 120": 1},
    }


@pytest.mark.parametrize(
    ("header", "doubtful"),
    [
        ("image", False),
        ("image,patient_id,age,hospital", False),
        ("image,diagnosis", True),
        ("image,Effusion", True),
    ],
)
def test_images_without_labels(tmp_path: Path, read: Read, header: str, doubtful: bool) -> None:
    more = "," + ",".join(["x"] * header.count(",")) if "," in header else ""
    path = write_text(tmp_path / "a.csv", f"{header}\n1.png{more}\n2.png{more}\n")
    if doubtful:
        with pytest.raises(InputError, match="no column of labels") as error:
            read("table", path)
        assert "--label-columns none" in str(error.value.hint)
        result = read("table", path, label_columns=("none",))
    else:
        result = read("table", path)
    assert (result.labels, len(result.table), result.kind) == ((), 2, "multilabel")
    assert "there are no labels" in result.cautions[-1]


def test_a_column_of_ids_with_gaps_that_another_fills_is_named(tmp_path: Path, read: Read) -> None:
    text = "image,patient_id,subject,A\n1.png,p,7,1\n2.png,NaN,8,0\n3.png,,9,0\n"
    (caution,) = read("table", write_text(tmp_path / "a.csv", text)).cautions
    assert "'patient_id' (taken) has no id in 2 rows where 'subject' has one" in caution
    assert caution.endswith("--column patient_id=subject")


@pytest.mark.parametrize(
    ("cells", "sources"),
    [
        (["synthetic", "real", ""], ["synthetic", "", ""]),
        (["Edited", "synthetic", "real"], ["edited", "synthetic", ""]),
        (["real", "real", ""], None),
        (["synthetic", "St. X", ""], None),
    ],
)
def test_a_table_that_says_what_is_synthetic(
    tmp_path: Path, read: Read, cells: list[str], sources: list[str] | None
) -> None:
    lines = [f"{i}.png,{i % 2},{cell}" for i, cell in enumerate(cells)]
    path = write_text(tmp_path / "labels.csv", "\n".join(["path,Edema,source", *lines]) + "\n")
    result = read("table", path)
    if sources is None:
        assert "source" not in result.table
        assert list(result.table["source_in_source"]) == cells
    else:
        assert list(result.table["source"]) == sources
        assert any("are synthetic" in sentence for sentence in result.cautions)


def test_a_table_may_name_dicom_files(tmp_path: Path, read: Read) -> None:
    pytest.importorskip("pydicom")
    from .dicom_files import dataset, image_12bit, save

    for row, more in enumerate(({}, {"SyntheticData": "YES"}, {"BurnedInAnnotation": "YES"})):
        save(dataset(image_12bit(row), BitsStored=12, **more), tmp_path / f"{row}.dcm")
    write_png(tmp_path / "3.png")
    lines = [f"{name},{i % 2}" for i, name in enumerate(("0.dcm", "1.dcm", "2.dcm", "3.png"))]
    path = write_text(tmp_path / "labels.csv", "\n".join(["path,Edema", *lines]) + "\n")
    result = read("table", path)
    assert list(result.table["source"]) == ["", "synthetic", "", ""]
    assert list(result.table["burned_in"]) == ["", "", "YES", ""]
    assert len(result.cautions) == 2
    assert result.opener is not None
    assert np.asarray(result.opener("0.dcm")).shape == (40, 56)
    assert result.opener("3.png") == tmp_path / "3.png"
