"""``cxr prepare SOURCE --explain``: what it says is what prepare does, and it costs nothing."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from cxrtool import cli
from cxrtool.commands.prepare import explanation
from cxrtool.core import files, fingerprints
from cxrtool.data import decoding
from tests.e2e.prepare_sources import drawing, write_source
from tests.unit.data.sources import dicom_files


def table(folder: Path) -> list[str]:
    source = write_source(folder)
    (source / "images.zip").write_bytes(b"PK")
    shutil.copy(source / "images/0.png", source / "images/spare.png")
    return ["--label-columns", "Edema,Fracture", "--split-by", "0.5,0.25,0.25"]


def class_folder(folder: Path) -> list[str]:
    for row in range(24):
        path = folder / "ab"[row % 2] / f"{row}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(drawing(row)).save(path)
    (folder / "readme.txt").write_text("")
    (folder / "c").symlink_to(folder.parent)
    return []


def dicom(folder: Path) -> list[str]:
    pytest.importorskip("pydicom")
    for row in range(24):
        made = dicom_files.dataset(
            dicom_files.image_12bit(row),
            Modality=("CR", "DX", "RG")[row % 3],
            PatientID=f"p{row // 2}",
            StudyInstanceUID=f"1.{row}",
        )
        dicom_files.save(made, folder / f"{row:02d}.dcm")
    (folder / "DICOMDIR").write_text("")
    return ["--modality", "CR,RG"]


def nih(folder: Path) -> list[str]:
    names = [f"{row:08d}_000.png" for row in range(20)]
    for row, name in enumerate(names):
        for place in ("images", "a_thumbnails"):
            (folder / place).mkdir(parents=True, exist_ok=True)
            Image.fromarray(drawing(row)).save(folder / place / name)
    head = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,"
    lines = [head + "View Position,rest"]
    lines += [f"{name},{'Edema' if i % 2 else 'No Finding'},0,{i},50,M,PA,x"
              for i, name in enumerate(names)]  # fmt: skip
    (folder / "Data_Entry_2017_v2020.csv").write_text("\n".join(lines) + "\n")
    return []


SOURCES = {"table": table, "folder": class_folder, "dicom": dicom, "nih": nih}


def cxr(*words: object) -> str:
    result = CliRunner().invoke(cli.build(["prepare"]), [str(word) for word in words])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.stdout


@pytest.mark.parametrize("form", SOURCES)
def test_what_it_says_is_what_is_done(tmp_path: Path, form: str) -> None:
    source = tmp_path / "source"
    options = SOURCES[form](source)
    told = json.loads(cxr("prepare", source, *options, "--explain", "--json"))
    assert told["format"] == form
    words = [out if (out := str(tmp_path / "out")) and word == "OUT" else word
             for word in shlex.split(told["command"])]  # fmt: skip
    cxr(*words[1:], "--size", "16", "--workers", "1", "-q")
    done = json.loads((tmp_path / "out/result.json").read_text())["summary"]
    assert told["images"] == done["images"] > 0
    assert told["labels"] == done["labels"]
    assert told["split"] == done["splits"]
    record = done["source_files"]
    assert told["files"] == {"all": record["files"], "used": record["used"]}
    left_out = {why: entry["number"] for why, entry in told["left_out"].items()}
    assert left_out == record["left_out"] != {}
    assert told["missing"]["images"] == 0


@pytest.mark.parametrize("form", SOURCES)
def test_nothing_is_hashed_decoded_or_written(
    tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("too early")

    source = tmp_path / "source"
    options = SOURCES[form](source)
    before = sorted(tmp_path.rglob("*"))
    for module, name in (
        (files, "sha256_file"), (decoding, "open_gray"), (files, "write_bytes"),
        (fingerprints, "input_refs"),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, never)
    text = cxr("prepare", source, *options, "--explain", "-o", tmp_path / "out")
    assert f"would be read as {form}" in text
    assert "-o OUT" in text
    assert sorted(tmp_path.rglob("*")) == before


def test_rows_that_stop_a_run_are_counted_by_reason_with_an_example(tmp_path: Path) -> None:
    source = write_source(tmp_path / "source", Edema=["1", "maybe", "perhaps", "0"] * 6)
    for row in (4, 7):
        (source / f"images/{row}.png").unlink()
    words = ("prepare", source, "--label-columns", "Edema,Fracture", "--explain")
    told = json.loads(cxr(*words, "--json"))
    (reason,) = told["refused"]
    assert "column 'Edema'" in reason
    assert told["refused"][reason]["number"] == 12
    assert told["refused"][reason]["example"].endswith("labels.csv, row 3")
    assert told["images"] == 12
    assert told["missing"] == {"images": 2, "example": "images/4.png", "of": 12}
    assert "--skip-bad leaves them out" in cxr(*words)
    assert "--skip-bad leaves them out" not in cxr(*words, "--skip-bad")


def test_of_many_dicom_files_a_sample_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dicom(tmp_path / "source")
    monkeypatch.setattr(explanation, "SAMPLE", 5)
    told = json.loads(
        cxr("prepare", tmp_path / "source", "--modality", "any", "--explain", "--json")
    )
    assert told["images"] == 5
    assert any("only 5 of 24 files" in remark for remark in told["remarks"])
    assert told["files"]["used"] + sum(n["number"] for n in told["left_out"].values()) == 25


def test_a_split_that_cannot_be_made_and_a_format_that_was_asked_for(tmp_path: Path) -> None:
    source = tmp_path / "source"
    class_folder(source)
    words = ("prepare", source, "--explain")
    told = json.loads(cxr(*words, "--split-by", "official", "--json"))
    assert told["split_by"].startswith("cannot be made")
    assert told["split"] == {}
    assert json.loads(cxr(*words, "--json"))["because"] == "a/0.png"
