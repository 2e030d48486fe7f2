"""NIH ChestX-ray14: image folders, official lists, both versions of its table."""

from __future__ import annotations

from pathlib import Path

import pytest

from cxrtool.core.errors import InputError
from cxrtool.data.labels import NIH

from .conftest import Read, write_png, write_text

# The first version's header ends in a comma, and two of its names hold one.
HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],\n"
)
ROWS = (
    "00000001_000.png,Cardiomegaly,0,1,058Y,M,PA,2682,2749,0.143,0.143,\n"
    "00000001_001.png,Cardiomegaly|Effusion,1,1,058Y,M,AP,2894,2729,0.143,0.143,\n"
    "00000002_000.png,No Finding,0,2,081Y,F,PA,2500,2048,0.171,0.171,\n"
)


def test_the_folder_of_the_download(tmp_path: Path, read: Read) -> None:
    write_text(tmp_path / "Data_Entry_2017.csv", HEADER + ROWS)
    write_png(tmp_path / "images_001" / "images" / "00000001_000.png")
    write_png(tmp_path / "images_001" / "images" / "00000001_001.png")
    write_png(tmp_path / "images_012" / "images" / "00000002_000.png")
    write_text(tmp_path / "train_val_list.txt", "00000001_000.png\r\n00000001_001.png")
    write_text(tmp_path / "test_list.txt", "00000002_000.png\n")
    result = read("nih", tmp_path)
    table = result.table
    assert set(result.labels) == {"No Finding", *NIH}
    assert result.official_split
    assert list(table["split"]) == ["train", "train", "test"]
    assert list(table["image_ref"]) == [
        "images_001/images/00000001_000.png",
        "images_001/images/00000001_001.png",
        "images_012/images/00000002_000.png",
    ]
    assert list(table["patient_id"]) == ["1", "1", "2"]
    assert list(table["age"]) == ["58", "58", "81"]
    assert list(table["view"]) == ["PA", "AP", "PA"]
    positive = [[name for name in result.labels if row[name] == "1"] for _, row in table.iterrows()]
    assert positive == [["Cardiomegaly"], ["Cardiomegaly", "Effusion"], ["No Finding"]]
    assert set(table[list(result.labels)].to_numpy().ravel()) == {"0", "1"}
    assert result.opener is not None
    assert all(result.opener(ref) for ref in table["image_ref"])


def test_flat_images_no_lists_and_a_missing_image(tmp_path: Path, read: Read) -> None:
    path = write_text(tmp_path / "Data_Entry_2017_v2020.csv", HEADER + ROWS)
    write_png(tmp_path / "images" / "00000001_000.png")
    result = read("nih", path)
    assert not result.official_split
    assert result.table["image_ref"].iloc[0] == "images/00000001_000.png"
    assert result.opener is not None
    with pytest.raises(InputError, match="no such image"):
        result.opener(result.table["image_ref"].iloc[2])
    elsewhere = tmp_path / "elsewhere"
    write_png(elsewhere / "00000002_000.png")
    moved = read("nih", path, images=(elsewhere,))
    assert moved.table["image_ref"].iloc[2] == "00000002_000.png"


def test_bad_input(tmp_path: Path, read: Read) -> None:
    path = write_text(
        tmp_path / "Data_Entry_2017.csv", HEADER + ROWS.replace("|Effusion", "|Efusion")
    )
    with pytest.raises(InputError, match="Efusion") as error:
        read("nih", tmp_path, labels_only=True)
    assert (error.value.file, error.value.row, error.value.column) == (path, 3, "Finding Labels")
    kept = read("nih", tmp_path, labels_only=True, skip_bad=True)
    assert list(kept.table["image_ref"]) == ["00000001_000.png", "00000002_000.png"]
    assert list(kept.table["No Finding"]) == ["0", "1"]
    assert [r.ref for r in kept.rejected] == ["00000001_001.png"]

    write_text(path, HEADER + ROWS)
    write_text(tmp_path / "test_list.txt", "00000002_000.png\n")
    with pytest.raises(InputError, match="train_val_list"):
        read("nih", tmp_path, labels_only=True)
    write_text(tmp_path / "train_val_list.txt", "00000002_000.png\n")
    with pytest.raises(InputError, match="both"):
        read("nih", tmp_path, labels_only=True)


def test_the_real_table(xrv_data: Path, read: Read) -> None:
    result = read("nih", xrv_data / "Data_Entry_2017_v2020.csv.gz", labels_only=True)
    table = result.table
    assert len(table) == 112_120
    assert table["patient_id"].nunique() == 30_805
    counts = {name: int((table[name] == "1").sum()) for name in result.labels}
    assert counts["No Finding"] == 60_361
    assert counts["Infiltration"] == 19_894
    assert counts["Hernia"] == 227
    assert table["view"].value_counts().to_dict() == {"PA": 67_310, "AP": 44_810}


def test_two_tables_are_not_chosen_from_in_silence(tmp_path: Path, read: Read) -> None:
    paths = [tmp_path / f"Data_Entry_2017{end}.csv" for end in ("", "_v2020")]
    for path in paths:
        write_text(path, HEADER + ROWS)
    says = r"Data_Entry_2017.csv and Data_Entry_2017_v2020.csv"
    with pytest.raises(InputError, match=says) as error:
        read("nih", tmp_path, labels_only=True)
    assert str(paths[1]) in str(error.value.hint)
    assert len(read("nih", paths[0], labels_only=True).table)
