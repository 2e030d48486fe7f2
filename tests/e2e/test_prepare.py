"""``cxr prepare`` as a person uses it: what it writes, what it refuses, and how it goes on."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cxrtool import cli
from cxrtool.classifiers.guard import seen_in_training
from cxrtool.core.errors import GateError, InputError, OutputMismatchError, UsageError
from cxrtool.core.runs.execution import Outcome, execute
from cxrtool.data import cache, ingest
from cxrtool.data.images import KERNEL, fit_image
from cxrtool.data.manifest import load_dataset
from cxrtool.data.options import SelectionOptions
from cxrtool.data.select import select_rows
from tests.e2e import cls_sets
from tests.e2e.prepare_sources import drawing, prepare, write_source
from tests.unit.data.sources import dicom_files

stage = cli.stages()["prepare"]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_source(tmp_path / "source")


def change(source: Path, old: str, new: str, count: int = 1) -> None:
    file = source / "labels.csv"
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, count), encoding="utf-8")


def rejected(out: Path) -> list[dict[str, str]]:
    with open(out / "rejected.csv", newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


# --- what it writes -----------------------------------------------------------------------------


def test_a_whole_data_set(source: Path, tmp_path: Path) -> None:
    data = prepare(source, tmp_path / "out")
    info = data.info
    assert len(data) == 24
    assert info.labels == ("Edema", "Fracture")
    assert (info.size, info.fit, info.kernel, info.kind) == (16, "crop", KERNEL, "multilabel")
    assert data.column("Fracture").tolist()[:4] == ["", "1", "0", "-1"]
    assert data.column("origin")[5] == "images/5.png"
    assert set(data.column("split")) == {"train", "val", "test"}
    for patient in set(data.column("patient_id")):
        assert len(set(data.column("split")[data.column("patient_id") == patient])) == 1
    pixels = cache.pixels(data)
    for row in (0, 11, 23):
        assert (pixels[row] == fit_image(Image.fromarray(drawing(row)), 16)).all()
    result = json.loads((data.path / "result.json").read_text())
    assert result["counts"]["images"] == 24
    assert result["summary"]["digest"] == info.digest
    assert sum(part["images"] for part in result["summary"]["splits"].values()) == 24


@pytest.mark.parametrize("option", [{"fit": "pad"}, {"fit": "stretch"}, {"size": 12}])
def test_pixels_follow_the_options_and_keys_do_not(
    source: Path, tmp_path: Path, option: dict[str, Any]
) -> None:
    plain = prepare(source, tmp_path / "plain")
    other = prepare(source, tmp_path / "other", **option)
    same_shape = other.info.size == plain.info.size
    assert not (same_shape and (cache.pixels(plain) == cache.pixels(other)).all())
    for name in ("pixel_key", "patient_key", "split"):
        assert (plain.column(name) == other.column(name)).all()
    assert len(set(plain.column("pixel_key"))) == 24


def test_seed_moves_patients_and_split_none_leaves_them(source: Path, tmp_path: Path) -> None:
    plain = prepare(source, tmp_path / "plain")
    seeded = prepare(source, tmp_path / "seeded", seed=5)
    assert (plain.column("split") != seeded.column("split")).any()
    bare = prepare(source, tmp_path / "bare", split_by="none")
    assert set(bare.column("split")) == {""}
    halves = prepare(source, tmp_path / "halves", split_by="0.5,0,0.5")
    assert (halves.column("split") == "train").sum() == 12


def test_workers_change_nothing(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "_FEW", 0)
    one = prepare(source, tmp_path / "one")
    two = prepare(source, tmp_path / "two", workers=2)
    for name in ("manifest.csv", "dataset.json", "files.tsv"):
        assert (one.path / name).read_bytes() == (two.path / name).read_bytes()
    again = execute(
        stage, stage.Config(source=source, format="table", size=16, workers=2), one.path
    )
    assert again.state == "up-to-date"


def test_official_split_with_a_tiny_val(tmp_path: Path) -> None:
    split = ["train"] * 60 + ["val"] + ["test"] * 3
    source = write_source(tmp_path / "source", 32, split=split)
    change(source, "images/61.png,p30,", "images/61.png,p99,")
    data = prepare(source, tmp_path / "out")
    values = data.column("split")
    assert (values[60:] == split[60:]).all()
    assert (values[:60] == "val").sum() == 6
    assert "6 images of 3 training patients became val" in data.info.notes["split"]["notes"][0]


def test_labels_only_keeps_the_counts_of_the_source(tmp_path: Path) -> None:
    split = ["train"] * 60 + ["test"] * 4
    source = write_source(tmp_path / "source", 32, split=split)
    shutil.rmtree(source / "images")
    data = prepare(source, tmp_path / "out", labels_only=True)
    assert data.info.size is None
    assert not (data.path / "images").exists()
    assert data.column("split").tolist() == split
    with pytest.raises(InputError, match="no pixels"):
        cache.pixels(data)


def test_copies_stay_in_one_split_without_patient_ids(tmp_path: Path) -> None:
    source = write_source(tmp_path / "source", patient_id=[""] * 24)
    for i in range(0, 24, 2):
        shutil.copy(source / f"images/{i}.png", source / f"images/{i + 1}.png")
    data = prepare(source, tmp_path / "out", split_by="0.5,0.25,0.25")
    values = data.column("split")
    assert (values[::2] == values[1::2]).all()
    assert set(values) == {"train", "val", "test"}
    assert not data.info.patients
    assert data.info.notes["patient_disjoint"].startswith("not shown")


@pytest.mark.parametrize(
    ("ids", "studies", "said", "warned"),
    [
        ([f"p{i // 2}" for i in range(24)], True, "images of 12 patients", ""),
        (["", " ", *["p"] * 10, *["q"] * 12], True, "images of 4 patients, or studies", "2 of 24"),
        (["nan", *["p"] * 11, *["q"] * 12], False, "images of 3 patients, or studies", "1 of 24"),
        ([""] * 24, True, "images of 24 studies", "without patient ids"),
        ([""] * 24, False, "24 images", "without patient ids"),
    ],
)
def test_whose_images_these_are_is_said_as_far_as_it_is_told(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    ids: list[str],
    studies: bool,
    said: str,
    warned: str,
) -> None:
    study = [f"s{i}" if studies else "" for i in range(24)]
    source = write_source(tmp_path / "source", patient_id=ids, study_id=study)
    data = prepare(source, tmp_path / "out", split_by="none")
    lines = capsys.readouterr().err.splitlines()
    (split,) = (line for line in lines if line.startswith("none: "))
    assert said in split
    assert ("patients" in split) == ("patients" in said)
    names = [name if name.strip() and name != "nan" else "" for name in ids]
    keys = data.column("patient_key")
    assert [key != "" for key in keys] == [name != "" for name in names]
    assert len(set(keys)) == len(set(names))
    assert data.info.patients == ("" not in names)
    assert data.info.unnamed == (names.count("") if any(names) else 0)
    assert data.info.notes["patient_disjoint"].startswith("not shown") != data.info.patients
    warnings = " ".join(line for line in lines if "patient-disjointness" in line)
    assert warned in warnings
    assert bool(warnings) == bool(warned)


def test_copies_that_contradict_and_images_of_nothing_are_counted_and_named(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for one, other in ((0, 1), (2, 5), (6, 8)):  # Edema is 0 in even rows and 1 in odd ones
        shutil.copy(source / f"images/{one}.png", source / f"images/{other}.png")
    for i, color in ((10, (0, 0, 0, 255)), (11, (90, 90, 90, 255)), (12, (200, 10, 9, 0))):
        Image.new("RGBA", (32, 40), color).save(source / f"images/{i}.png")
    data = prepare(source, tmp_path / "out")
    said = " ".join(capsys.readouterr().err.split())
    assert (
        "2 groups of copies have labels that contradict each other (Edema 2, Fracture 1), such as"
        " Edema of images/0000/0000001.png and images/0000/0000000.png" in said
    )
    assert "3 images show nothing (one gray value all over: black, or transparent):" in said
    assert "images/0000/0000010.png, images/0000/0000011.png, images/0000/0000012.png" in said
    summary = json.loads((data.path / "result.json").read_text())["summary"]
    assert (summary["copies_that_contradict"], summary["images_of_one_gray"]) == (2, 3)


def test_studies_stay_in_one_split_without_patient_ids(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    studies = [f"s{i // 2}" for i in range(40)]
    people = {"none": [""] * 40, "some": ["p3" if i == 7 else "" for i in range(40)]}
    for name, patient in people.items():
        source = write_source(tmp_path / name, 20, patient_id=patient, study_id=studies)
        data = prepare(source, tmp_path / f"{name}-out", split_by="0.5,0.25,0.25")
        values = data.column("split")
        assert (values[::2] == values[1::2]).all()
        assert set(values) == {"train", "val", "test"}
        assert "only kept for studies and copies" in " ".join(capsys.readouterr().err.split())
        assert data.info.notes["splits"]["train"] == {"images": 20, "patients": 10}
        for i in (1, 2, 3):
            rows = select_rows(data, SelectionOptions(leave_out=f"{i}/3", split="all"))
            kept = np.isin(np.arange(40), rows)
            assert (kept[::2] == kept[1::2]).all()


def test_dicom_studies_stay_whole_without_patient_ids(tmp_path: Path) -> None:
    pytest.importorskip("pydicom")
    for k in range(60):
        made = dicom_files.dataset(
            dicom_files.image_12bit(k),
            BitsStored=12,
            SOPInstanceUID=f"1.{k}",
            StudyInstanceUID=f"2.{k // 2}",
            PatientID="" if k % 4 else f"patient {k}",
        )
        dicom_files.save(made, tmp_path / f"pacs/{k:02d}.dcm")
    data = prepare(tmp_path / "pacs", tmp_path / "out", format="dicom", split_by="0.6,0.2,0.2")
    table = pd.DataFrame({"study": data.column("study_id"), "split": data.column("split")})
    assert table["study"].nunique() == 30
    assert (table.groupby("study")["split"].nunique() == 1).all()
    assert set(table["split"]) == {"train", "val", "test"}


def test_synthetic_dicom_is_no_real_image(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pydicom")
    for k in range(40):
        made = dicom_files.dataset(
            dicom_files.image_12bit(k),
            SOPInstanceUID=f"1.{k}",
            StudyInstanceUID=f"2.{k}",
            PatientID=f"patient {k % 30}",
            SyntheticData="YES" if k % 2 else "NO",
        )
        dicom_files.save(made, tmp_path / f"pacs/{k:02d}.dcm")
    data = prepare(tmp_path / "pacs", tmp_path / "out", format="dicom", split_by="0.4,0.3,0.3")
    assert data.info.synthetic
    source, split = data.column("source"), data.column("split")
    assert list(source) == ["real", "synthetic"] * 20
    assert set(split[source == "synthetic"]) <= {"train", ""}
    assert set(split[source == "real"]) == {"train", "val", "test"}
    assert "20 images say that they are synthetic" in " ".join(capsys.readouterr().err.split())
    left = prepare(tmp_path / "pacs", tmp_path / "o2", format="dicom", exclude=("synthetic",))
    assert not left.info.synthetic
    assert len(left) == 20


def test_what_is_left_out_is_said_and_the_numbers_add_up(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (source / "more").symlink_to(elsewhere)
    (source / "images.zip").write_bytes(b"PK")
    (source / "images/0.txt").write_text("")
    shutil.copy(source / "images/0.png", source / "images/spare.png")
    (source / "images/3.png").write_bytes(b"no image")
    prepare(source, tmp_path / "out", label_columns=("Edema,Fracture",), skip_bad=True)
    told = " ".join(capsys.readouterr().err.split())
    assert "files of the source: 29, used: 25" in told
    assert "an archive that is not unpacked, images.zip: 1; unpack it" in told
    assert "a link that leads out of the folder, more: 1; give the folder that holds both" in told
    record = json.loads((tmp_path / "out/result.json").read_text())["summary"]["source_files"]
    assert record == {
        "files": 29,
        "used": 24,
        "left_out": {
            "a link that leads out of the folder": 1,
            "an archive that is not unpacked": 1,
            "an image of no row": 1,
            "no image (.txt)": 1,
            "an image that is refused": 1,
        },
    }


@pytest.mark.parametrize("how", ["official", "file", "earlier"])
def test_a_split_that_tears_studies_is_said_and_not_trained_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    """As given by the source or in a file, or as versions made it that looked at pixels alone."""
    studies = [f"s{i // 2}" for i in range(60)]
    split = [
        "test" if i in (1, 3) else ("train", "val", "test")[i // 40 + i // 50] for i in range(60)
    ]
    columns = {"patient_id": [""] * 60, "study_id": studies}
    options = {}
    if how == "official":
        columns["split"] = split
    else:
        rows = "".join(f"images/{i}.png,{part}\n" for i, part in enumerate(split))
        (tmp_path / "split.csv").write_text("image,split\n" + rows)
        options["split_by"] = str(tmp_path / "split.csv")
    source = write_source(tmp_path / "source", 30, **columns)
    data = prepare(source, tmp_path / "out", **options)
    assert (data.column("split") == split).all()
    said = " ".join(capsys.readouterr().err.split())
    assert "4 images are of 2 studies that lie in several splits" in said
    summary = json.loads((tmp_path / "out" / "result.json").read_text())["summary"]
    assert summary["studies_across_splits"] == 2
    if how == "earlier":
        table = data.table.drop(columns=["prepared_key", "image"])
        labels: dict[str, Any] = {
            "labels": data.labels,
            "covered": data.info.covered,
            "patients": False,
        }
        data = load_dataset(cls_sets.write(tmp_path / "old", table, cache.pixels(data), **labels))
    parts = {part: np.flatnonzero(data.column("split") == part) for part in ("train", "val")}
    with pytest.raises(GateError, match=r"leak: 2 of 12 test .*\(2 by the study or the copies"):
        seen_in_training(data, parts, [])
    whole = parts | {"train": parts["train"][~np.isin(parts["train"], (0, 2))]}
    seen_in_training(data, whole, [])


def test_map_labels(source: Path, tmp_path: Path) -> None:
    names = tmp_path / "map.toml"
    names.write_text('[labels]\n"Edema" = "Lung Opacity"\n"Fracture" = "Lung Opacity"\n')
    data = prepare(source, tmp_path / "out", map_labels=str(names))
    assert data.info.labels == ("Lung Opacity",)
    assert data.column("Lung Opacity").tolist()[:4] == ["0", "1", "0", "1"]
    names.write_text('[labels]\n"Nonsense" = "Other"\n')
    with pytest.raises(InputError, match="names no label of the source") as caught:
        prepare(source, tmp_path / "other", map_labels=str(names))
    assert "Edema, Fracture" in (caught.value.hint or "")


def test_the_map_of_a_public_format_is_applied_unless_refused(tmp_path: Path) -> None:
    folder = tmp_path / "nih"
    folder.mkdir()
    (folder / "Data_Entry_2017.csv").write_text(
        "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,"
        "View Position\n00000001_000.png,Effusion|Pleural_Thickening,0,1,58,M,PA\n"
    )
    options = {"format": "nih", "labels_only": True, "split_by": "none"}
    data = prepare(folder, tmp_path / "out", **options)
    assert data.column("Pleural Effusion").tolist() == ["1"]
    assert data.column("Pleural Thickening").tolist() == ["1"]
    raw = prepare(folder, tmp_path / "raw", map_labels="none", **options)
    assert raw.column("Effusion").tolist() == ["1"]
    coarse = prepare(folder, tmp_path / "coarse", map_labels="chexpert", **options)
    assert coarse.column("Pleural Other").tolist() == ["1"]


def test_conversions_are_counted_and_said(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gray = drawing(0)
    wide = gray.astype(np.uint16) * 257
    Image.fromarray(wide).save(source / "images/0.png")
    for i in (1, 2):
        Image.fromarray(drawing(i)).convert("RGB").save(source / f"images/{i}.png")
    Image.fromarray(drawing(3)[:12, :12]).save(source / "images/3.png")
    data = prepare(source, tmp_path / "out")
    assert (cache.pixels(data)[0] == fit_image(Image.fromarray(gray), 16)).all()
    counted = {"16-bit gray": 1, "colour": 2, "enlarged": 1}
    assert data.info.notes["conversions"] == counted
    counts = json.loads((data.path / "result.json").read_text())["counts"]
    assert {k: counts[k.replace(" ", "_")] for k in counted} == counted
    assert "colour: 2 images" in capsys.readouterr().err


def test_namespace_and_secret(source: Path, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("a secret of thirty-two characters")
    plain = prepare(source, tmp_path / "plain")
    named = prepare(source, tmp_path / "named", namespace="hospital")
    secret = prepare(source, tmp_path / "secret", namespace="hospital", id_key=key)
    assert plain.info.namespace == "table"
    assert named.info.namespace == "hospital"
    assert secret.info.namespace.startswith("hospital+")
    keys = [d.column("patient_key")[0] for d in (plain, named, secret)]
    assert len(set(keys)) == 3


def test_phantoms_need_no_source_and_keep_their_truth(tmp_path: Path) -> None:
    data = prepare(None, tmp_path / "out", format="phantom", n=6, split_by="none")
    assert len(data) == 6
    with open(data.path / "truth.csv", newline="", encoding="utf-8") as stream:
        truth = list(csv.DictReader(stream))
    assert [row["image"] for row in truth] == data.column("image").tolist()
    assert "image_ref" not in truth[0]


# --- reports ------------------------------------------------------------------------------------


@pytest.fixture
def extracted(tmp_path: Path) -> Path:
    folder = tmp_path / "extracted"
    folder.mkdir()
    rows = "".join(f's{i},"text {i}, of a report",{1 - i % 2},1\n' for i in range(20))
    (folder / "manifest.csv").write_text("study_id,report,Edema,Pneumonia\n" + rows)
    return folder


@pytest.mark.parametrize(
    ("mode", "edema", "labels"),
    [
        ("fill", "0101", ("Edema", "Fracture", "Pneumonia")),
        ("replace", "1010", ("Edema", "Fracture", "Pneumonia")),
        ("keep", "0101", ("Edema", "Fracture")),
    ],
)
def test_reports_are_joined_by_study(
    source: Path,
    extracted: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    mode: str,
    edema: str,
    labels: tuple[str, ...],
) -> None:
    data = prepare(source, tmp_path / "out", reports=extracted, join_labels=mode)
    assert data.info.labels == labels
    assert "".join(data.column("Edema")[:4]) == edema
    assert data.column("report").tolist()[19:21] == ["text 19, of a report", ""]
    said = capsys.readouterr().err
    assert "20 images matched, 4 unmatched, 0 reports unused" in said
    with open(data.path / "disagreements.csv", newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 20
    assert rows[3] == {
        "image": data.column("image")[3],
        "study_id": "s3",
        "label": "Edema",
        "source": "1",
        "report": "0",
    }
    assert data.info.notes["reports"]["disagreements"] == {"Edema": 20}


def test_no_finding_follows_from_the_joined_labels(
    source: Path, extracted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "".join(f"s{i},{1 - i % 2},{int(i < 10)}\n" for i in range(20))
    (extracted / "manifest.csv").write_text("study_id,Pneumonia,No Finding\n" + rows)
    data = prepare(source, tmp_path / "out", reports=extracted)
    there = {"1", "-1"}
    cells = zip(*(data.column(n) for n in ("Edema", "Fracture", "Pneumonia")), strict=True)
    with_finding = [bool(set(row) & there) for row in cells]
    nothing = data.column("No Finding").tolist()
    assert not any(n == "1" and some for n, some in zip(nothing, with_finding, strict=True))
    kept = [i for i in range(10) if not with_finding[i]]
    assert [i for i, n in enumerate(nothing) if n == "1"] == kept
    said = capsys.readouterr().err
    out = sum(with_finding[:10])
    assert f"{out} not taken because a finding is 1 or -1 (" in said
    assert data.info.notes["reports"]["no_finding"]["withheld"] == out
    assert data.info.notes["reports"]["no_finding"]["filled"] == len(kept)


def test_a_source_that_says_both_is_left_and_named(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = source / "labels.csv"
    lines = file.read_text().splitlines()
    file.write_text("\n".join([lines[0] + ",Normal", *(f"{line},1" for line in lines[1:])]))
    data = prepare(source, tmp_path / "out")
    assert set(data.column("Normal")) == {"1"}
    both = data.info.notes["no_finding_beside_findings"]
    assert 0 < both < 24
    assert f"{both} images have No Finding 1 beside a finding" in capsys.readouterr().err


def test_a_label_with_one_bad_cell_stops_or_costs_one_row(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = pd.read_csv(source / "labels.csv", dtype=str, keep_default_na=False)
    frame.loc[4, "Fracture"] = "maybe"
    frame["grade"] = [str(i % 4) for i in range(len(frame))]
    frame.to_csv(source / "labels.csv", index=False)
    with pytest.raises(InputError, match="row 6, column 'Fracture': 'maybe' is not 1, 0, -1"):
        prepare(source, tmp_path / "out")
    data = prepare(source, tmp_path / "out", skip_bad=True)
    assert data.info.labels == ("Edema", "Fracture")
    assert len(data) == 23
    said = capsys.readouterr().err
    assert "grade (12 of 24 cells are no label values)" in said
    assert "warning: rows left out: 1 (bad label cells: Fracture 1), see rejected.csv" in said
    assert data.info.notes["columns_not_labels"]["grade"]


def test_no_matching_report_is_an_error(source: Path, extracted: Path, tmp_path: Path) -> None:
    text = (extracted / "manifest.csv").read_text().replace("\ns", "\nother")
    (extracted / "manifest.csv").write_text(text)
    with pytest.raises(InputError, match="no report belongs to any image"):
        prepare(source, tmp_path / "out", reports=extracted)


# --- bad input ----------------------------------------------------------------------------------


def spoil(source: Path, how: str) -> None:
    image = source / "images/3.png"
    if how == "zero bytes":
        image.write_bytes(b"")
    elif how == "truncated":
        image.write_bytes(image.read_bytes()[:90])
    elif how == "no image":
        image.write_text("hello")
    elif how == "directory":
        image.unlink()
        image.mkdir()
    elif how == "missing":
        image.unlink()
    elif how == "bomb":
        Image.fromarray(np.zeros((9500, 9500), np.uint8)).save(image, compress_level=1)
    elif how == "link out":
        outside = source.parent / "outside.png"
        os.replace(image, outside)
        image.symlink_to(outside)
    elif how == "leaves":
        change(source, "images/3.png", "../3.png")
    elif how == "label value":
        change(source, "images/3.png,p1,s3,1,", "images/3.png,p1,s3,maybe,")


SAYS = {
    "zero bytes": ("zero bytes", "path"),
    "truncated": ("damaged image", "path"),
    "no image": ("not an image", "path"),
    "directory": ("a directory where an image", "path"),
    "missing": ("no such image", "path"),
    "bomb": ("decompression bomb", "path"),
    "link out": ("outside the data folder", "path"),
    "leaves": ("lies outside", "path"),
    "label value": ("'maybe' is not 1, 0, -1 or blank", "Edema"),
}


@pytest.mark.parametrize("how", SAYS)
def test_a_bad_row_is_named_or_skipped(source: Path, tmp_path: Path, how: str) -> None:
    spoil(source, how)
    options = {"label_columns": ("Edema,Fracture",)}
    says, column = SAYS[how]
    with pytest.raises(InputError, match=says) as caught:
        prepare(source, tmp_path / "out", **options)
    assert caught.value.exit_code == 3
    assert (str(caught.value.file), caught.value.row, caught.value.column) == (
        str(source / "labels.csv"),
        5,
        column,
    )
    data = prepare(source, tmp_path / "skipped", skip_bad=True, **options)
    assert len(data) == 23
    assert "images/3.png" not in data.column("origin")
    (row,) = rejected(data.path)
    assert (row["row"], row["column"]) == ("5", column)
    assert says in row["reason"]
    assert json.loads((data.path / "result.json").read_text())["counts"]["rejected"] == 1


def test_rows_of_one_image_become_one_by_a_rule_that_is_named(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with open(source / "labels.csv", "a", encoding="utf-8") as stream:
        stream.write("images/3.png,p1,s3,1,-1\nimages/4.png,p2,s4,1,\n")
    says = "the image 'images/4.png' has '1' here and '0' in row 6"
    with pytest.raises(InputError, match=says) as caught:
        prepare(source, tmp_path / "out")
    assert (caught.value.row, caught.value.column) == (27, "Edema")
    assert "--rows any" in str(caught.value.hint)
    skipped = prepare(source, tmp_path / "skipped", skip_bad=True)
    assert {row["row"] for row in rejected(skipped.path)} == {"6", "27"}
    assert (len(skipped), skipped.info.notes["rows_joined"]["rows"]) == (23, 2)
    capsys.readouterr()
    data = prepare(source, tmp_path / "any", rows="any")
    assert len(data) == 24
    assert data.column("Edema").tolist() == ["0", "1", "0", "1", "1", "1"] + ["0", "1"] * 9
    assert data.info.notes["rows_joined"] == {
        "rule": "any",
        "images": 2,
        "rows": 4,
        "disagreements": {"Edema": 1},
        "first_kept": {},
    }
    assert "4 rows of 2 images became one row an image (--rows any)" in capsys.readouterr().err


def test_skip_bad_with_nothing_bad_writes_an_empty_list(source: Path, tmp_path: Path) -> None:
    assert rejected(prepare(source, tmp_path / "out", skip_bad=True).path) == []


def test_a_table_that_is_not_utf_8(source: Path, tmp_path: Path) -> None:
    file = source / "labels.csv"
    file.write_bytes(file.read_bytes().replace(b",s3,", b",\xe9,"))
    with pytest.raises(InputError, match="not UTF-8") as caught:
        prepare(source, tmp_path / "out")
    assert (caught.value.file, caught.value.row) == (file, 5)


@pytest.mark.parametrize(
    "options", [{"column": ("image_ref=file",)}, {"label_columns": ("Edema,Nonsense",)}]
)
def test_a_missing_column_and_an_unknown_label(
    source: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    with pytest.raises(InputError, match=r"missing|no column|unknown") as caught:
        prepare(source, tmp_path / "out", **options)
    assert caught.value.column in ("file", "Nonsense")


def test_all_rows_bad(source: Path, tmp_path: Path) -> None:
    shutil.rmtree(source / "images")
    with pytest.raises(InputError, match="no image is left"):
        prepare(source, tmp_path / "out", skip_bad=True)


def test_a_patient_in_two_splits_of_the_source(tmp_path: Path) -> None:
    split = ["train"] * 12 + ["test"] * 12
    source = write_source(tmp_path / "source", split=split)
    change(source, "images/20.png,p10", "images/20.png,p0")
    with pytest.raises(InputError, match="patient 'p0' stands in test here and in train") as caught:
        prepare(source, tmp_path / "out")
    assert caught.value.row == 22
    data = prepare(source, tmp_path / "skipped", skip_bad=True)
    assert len(rejected(data.path)) == 1
    assert set(prepare(source, tmp_path / "new", split_by="0.5,0.5,0").column("split")) == {
        "train",
        "val",
    }


def test_a_patient_in_two_splits_of_a_file(source: Path, tmp_path: Path) -> None:
    file = tmp_path / "split.csv"
    rows = "".join(f"images/{i}.png,{'train' if i else 'test'}\n" for i in range(24))
    file.write_text("image,split\n" + rows)
    with pytest.raises(InputError, match="patient 'p0' stands in train here and in test before"):
        prepare(source, tmp_path / "out", split_by=str(file))


def test_too_few_patients_for_the_splits(tmp_path: Path) -> None:
    source = write_source(tmp_path / "source", 2)
    with pytest.raises(InputError, match="2 patients cannot fill 3 splits"):
        prepare(source, tmp_path / "out")


def test_a_label_without_positives_is_a_warning(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (source / "labels.csv").read_text().replace(",1,", ",0,")
    (source / "labels.csv").write_text(text)
    prepare(source, tmp_path / "out")
    assert "without a positive, of which nothing is learned: Edema" in capsys.readouterr().err


def test_reports_with_quotes_commas_and_line_breaks(tmp_path: Path) -> None:
    text = 'He said "no", twice.\nSecond line, é'
    source = write_source(tmp_path / "source", report=["x"] * 24)
    change(source, ",x\n", ',"' + text.replace('"', '""') + '"\n')
    assert prepare(source, tmp_path / "out").column("report")[0] == text


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"source": None}, "needs a SOURCE"),
        ({"n": 5}, "--n applies only with --format phantom"),
        ({"keep_ids": True}, "--keep-ids applies only with --format dicom"),
        ({"join_labels": "keep"}, "--join-labels applies only with --reports"),
        ({"column": ("image",)}, "write KEY=NAME"),
        ({"split_by": "0.5,0.2"}, "sum to 0.7"),
        ({"split_by": "sideways"}, "neither official"),
        ({"map_labels": "nowhere"}, "neither a file nor a built-in map"),
    ],
)
def test_options_without_a_meaning_are_usage_errors(
    source: Path, tmp_path: Path, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        prepare(**{"source": source, "out": tmp_path / "out", **options})


def test_other_options_do_not_overwrite(source: Path, tmp_path: Path) -> None:
    prepare(source, tmp_path / "out")
    with pytest.raises(OutputMismatchError, match="--size: 16 -> 8"):
        prepare(source, tmp_path / "out", size=8)


@pytest.mark.parametrize("option", ["split_by", "map_labels"])
def test_files_that_options_name_count_by_content(
    source: Path, tmp_path: Path, option: str
) -> None:
    file = tmp_path / "file"
    text = {
        "split_by": "patient_id,split\n" + "".join(f"p{i},train\n" for i in range(12)),
        "map_labels": '[labels]\n"Edema" = "Water"\n',
    }[option]
    file.write_text(text)
    first = prepare(source, tmp_path / "out", **{option: str(file)})
    copy = tmp_path / "copy"
    copy.write_text(text)
    named: dict[str, Any] = {option: str(copy)}
    config = stage.Config(source=source, format="table", size=16, workers=1, **named)
    assert execute(stage, config, first.path).state == "up-to-date"
    copy.write_text(text.replace("train", "val").replace("Water", "Fluid"))
    with pytest.raises(OutputMismatchError, match=f"--{option.replace('_', '-')}"):
        execute(stage, config, first.path)


def test_images_that_a_table_names_belong_to_its_content(source: Path, tmp_path: Path) -> None:
    first = prepare(source / "labels.csv", tmp_path / "out")
    moved = source.rename(tmp_path / "elsewhere")

    def again(**options: Any) -> Outcome:
        config = stage.Config(source=moved / "labels.csv", format="table", size=16, workers=1)
        return execute(stage, config, first.path, **options)

    assert again().state == "up-to-date"
    image = moved / "images" / "5.png"
    image.touch()
    assert again().state == "up-to-date"  # another time, the same bytes
    content = image.read_bytes()
    Image.fromarray(255 - np.asarray(Image.open(image))).save(image)
    with pytest.raises(OutputMismatchError, match=r"5\.png, which it read, was changed"):
        again()
    image.unlink()
    with pytest.raises(OutputMismatchError, match=r"5\.png, which it read, is missing"):
        again()
    image.write_bytes(content)
    assert again().state == "up-to-date"
    (moved / "other.txt").write_text("not named by the table")
    assert again(verify=True).state == "up-to-date"


def test_an_image_that_was_missing_is_noticed_when_it_comes(source: Path, tmp_path: Path) -> None:
    late = (source / "images" / "5.png").rename(tmp_path / "late.png")
    first = prepare(source / "labels.csv", tmp_path / "out", skip_bad=True)
    late.rename(source / "images" / "5.png")
    config = stage.Config(
        source=source / "labels.csv", format="table", size=16, workers=1, skip_bad=True
    )
    with pytest.raises(OutputMismatchError, match=r"5\.png, which was missing, is there now"):
        execute(stage, config, first.path)
    assert execute(stage, config, first.path, on_change="rebuild").state == "done"


def test_dry_run_counts_and_writes_nothing(source: Path, tmp_path: Path) -> None:
    config = stage.Config(source=source, format="table", size=16)
    plan = execute(stage, config, tmp_path / "out", dry_run=True).result["plan"]
    assert plan["images"] == 24
    assert plan["labels"]["Edema"]["positive"] == 12
    assert not (tmp_path / "out").exists()


# --- as a program -------------------------------------------------------------------------------


def command(source: Path, out: Path, *more: str) -> list[str]:
    words = ["prepare", str(source), "--format", "table", "--size", "16", "-o", str(out), *more]
    return [sys.executable, "-m", "cxrtool", *words]


def test_exit_codes_and_streams(source: Path, tmp_path: Path) -> None:
    done = subprocess.run(command(source, tmp_path / "out"), capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'out'}\n")
    spoil(source, "truncated")
    bad = subprocess.run(command(source, tmp_path / "bad"), capture_output=True, text=True)
    assert (bad.returncode, bad.stdout) == (3, "")
    assert f"{source / 'labels.csv'}, row 5, column 'path': damaged image" in bad.stderr
    assert "Traceback" not in bad.stderr


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A source that takes a moment to decode, and what prepare makes of it."""
    folder = tmp_path_factory.mktemp("slow")
    source = write_source(folder / "source", 32)
    for i in range(64):
        large = Image.fromarray(drawing(i)).resize((900, 1000), Image.Resampling.BICUBIC)
        large.save(source / f"images/{i}.png", compress_level=1)
    prepare(source, folder / "whole", workers=2)
    return source, folder / "whole"


@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGTERM])
def test_killed_and_given_again_it_goes_on_to_the_same_bytes(
    slow: tuple[Path, Path], tmp_path: Path, kind: signal.Signals
) -> None:
    source, whole = slow
    out = tmp_path / "out"
    process = subprocess.Popen(command(source, out, "--workers", "2"), stderr=subprocess.DEVNULL)
    journal = out / ingest.JOURNAL
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        if journal.exists() and journal.read_text().count("\n") >= 2:
            break
        time.sleep(0.002)
    process.send_signal(kind)
    code = process.wait(timeout=60)
    if code == 0:
        pytest.skip("it was faster than the signal")
    assert code == (-signal.SIGKILL if kind == signal.SIGKILL else 128 + signal.SIGTERM)
    finished = {p: p.stat().st_mtime_ns for p in out.glob("images/*/*.png")}
    kept = sum(len(json.loads(line)) for line in journal.read_text().splitlines()[1:])
    assert 0 < kept < 64
    again = subprocess.run(command(source, out), capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert f"{kept} images were finished before" in again.stderr
    untouched = sum(p.stat().st_mtime_ns == when for p, when in finished.items())
    assert untouched >= kept
    for path in sorted(whole.rglob("*")):
        name = path.relative_to(whole)
        if (
            path.is_file()
            and name.name not in ("run.json", "result.json", "log.txt")
            and not any(part.startswith(".") for part in name.parts)
        ):
            assert (out / name).read_bytes() == path.read_bytes(), name
    outputs = [json.loads((d / "result.json").read_text())["outputs"] for d in (whole, out)]
    assert outputs[0] == outputs[1]


def test_output_without_permission(source: Path, tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    if os.access(locked, os.W_OK):  # root may write anywhere but here
        locked = Path("/sys/kernel")
    done = subprocess.run(command(source, locked / "out"), capture_output=True, text=True)
    assert done.returncode == 3
    assert "permission" in done.stderr


# --- real images --------------------------------------------------------------------------------


def test_the_real_nih_set(shared_data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    data = prepare(
        shared_data / "nih_cxr14", out, size=32, map_labels="nih", workers=0, namespace="nih"
    )
    assert len(data) == 1560
    assert len(set(data.column("patient_id"))) == 1205
    assert (data.column("Pleural Effusion") == "1").sum() == 151
    assert 30 < cache.pixels(data).mean() < 200
