"""What a run of prepare is made from: the files that it opened, and no others, in every format."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cxrtool.core import fingerprints
from cxrtool.core.errors import OutputMismatchError
from cxrtool.core.fingerprints import StatCache
from cxrtool.core.runs.execution import Outcome, execute
from cxrtool.core.runs.reads import READS
from cxrtool.data.labels import CHEXPERT
from tests.e2e.data_sets import LAYOUTS
from tests.e2e.prepare_sources import drawing, stage, write_source
from tests.unit.data.sources.dicom_files import dataset, image_12bit, save
from tests.unit.data.sources.test_source_mimic import FOLDERS, METADATA, SPLIT, labels
from tests.unit.data.sources.test_source_openi import report

BLANK = "," * (len(CHEXPERT) - 1)
opened: set[str] = set()
watching = [False]


def note(event: str, args: tuple[Any, ...]) -> None:
    if event == "open" and watching[0] and isinstance(args[0], (str, os.PathLike)):
        opened.add(os.path.realpath(os.fspath(args[0])))


sys.addaudithook(note)


def png(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(drawing(seed)).save(path)


def text(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


def chexpert(root: Path) -> None:
    head = "Path,Sex,Age,Frontal/Lateral,AP/PA," + ",".join(CHEXPERT) + "\n"
    for split, patient in (("train", 1), ("train", 2), ("valid", 3)):
        name = f"{split}/patient0000{patient}/study1/view1_frontal.png"
        png(root / name, patient)
        table = root / f"{split}.csv"
        before = table.read_text() if table.exists() else head
        text(table, f"{before}CheXpert-v1.0/{name},Male,40,Frontal,AP,1.0{BLANK}\n")


def nih(root: Path) -> None:
    head = (
        "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,"
        "View Position\n"
    )
    rows = "".join(f"{i}.png,Mass,0,{i},58,M,PA\n" for i in range(3))
    text(root / "Data_Entry_2017.csv", head + rows)
    text(root / "train_val_list.txt", "0.png\n1.png\n")
    text(root / "test_list.txt", "2.png\n")
    for i in range(3):
        png(root / "images_001" / "images" / f"{i}.png", i)


def mimic_cxr(root: Path) -> None:
    for part, content in (("metadata", METADATA), ("chexpert", labels("1.0")), ("split", SPLIT)):
        text(root / f"mimic-cxr-2.0.0-{part}.csv", content)
    for folder, name in zip([FOLDERS[0], *FOLDERS], ["02aa-1", "174b-2", "2a2b-3"], strict=True):
        png(root / folder / f"{name}.png", len(name))
        (root / folder / f"{name}.png").rename(root / folder / f"{name}.jpg")
    text(root / f"{FOLDERS[0]}.txt", "FINDINGS: Clear.\n")


def padchest(root: Path) -> None:
    head = (
        "ImageID,StudyDate_DICOM,StudyID,PatientID,PatientBirth,PatientSex_DICOM,Projection,"
        "Report,Labels\n"
    )
    rows = "".join(f"{i}.png,20140915,s{i},p{i},1930,F,PA,x,['normal']\n" for i in range(3))
    text(root / "PADCHEST_chest_x_ray.csv", head + rows)
    for i in range(3):
        png(root / str(i) / f"{i}.png", i)


def openi(root: Path) -> None:
    for i in (1, 2):
        text(root / "reports" / f"{i}.xml", report(i))
        png(root / "png" / f"CXR{i}_IM-1.png", i)


def folder(root: Path) -> None:
    for i in range(4):
        png(root / ("NORMAL", "PNEUMONIA")[i % 2] / f"{i}.png", i)


def medmnist(root: Path) -> None:
    root.mkdir(parents=True)
    rng = np.random.default_rng(0)
    arrays: dict[str, Any] = {}
    for part in ("train", "val", "test"):
        arrays[f"{part}_images"] = rng.integers(0, 256, (3, 28, 28), np.uint8)
        arrays[f"{part}_labels"] = np.array([[0], [1], [0]])
    np.savez(root / "pneumoniamnist.npz", **arrays)


def table(root: Path) -> None:
    write_source(root, 6)


def dicom(root: Path) -> None:
    root.mkdir(parents=True)
    for i in range(2):
        save(dataset(image_12bit(i), PatientID=f"p{i}"), root / f"{i}.dcm")


SOURCES = [chexpert, nih, mimic_cxr, padchest, openi, folder, medmnist, table, dicom]
#: Sets of `data_sets` -> the folder that is their source there, and their format.
SETS = {
    "CheXpert Plus": ("chexpert_plus", "chexpert-plus"),
    "MIMIC-CXR, sections": ("mimic-cxr-jpg/2.1.0", "mimic-cxr"),
    "Open-i at Kaggle": ("indiana", "openi"),
    "VinDr-CXR": ("vindr-cxr/1.0.0", "vindr"),
    "VinBigData": ("vinbigdata", "vindr"),
    "BRAX": ("brax/1.1.0", "brax"),
    "RSNA Pneumonia": ("rsna-pneumonia", "rsna"),
    "SIIM-ACR Pneumothorax": ("siim", "siim"),
}


def run(form: str, source: Path, out: Path, **options: Any) -> Outcome:
    values = {"source": source, "format": form, "size": 16, "workers": 1, "split_by": "none"}
    return execute(stage, stage.Config(**values | options), out)


def noted(out: Path, source: Path) -> set[str]:
    entries = StatCache(out / READS).entries
    assert all(len(entry.sha256) == 64 or entry.size < 0 for entry in entries.values())
    names = (name.partition(":")[2] for name, entry in entries.items() if entry.size >= 0)
    return {os.path.realpath(source / name) for name in names}


@pytest.fixture(params=[*SOURCES, *SETS], ids=lambda build: getattr(build, "__name__", build))
def built(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    build: Callable[[Path], None] | str = request.param
    source = tmp_path / "source"
    if isinstance(build, str):
        place, form = SETS[build]
        LAYOUTS[build](tmp_path / "set")
        (tmp_path / "set" / place).rename(source)
    else:
        form = build.__name__.replace("_", "-")
        build(source)
    if build is not dicom:  # which looks into every file
        text(source / "unused.bin", "x" * 100)
        text(source / "deeper" / "notes.pdf", "x" * 100)
    opened.clear()
    yield form, source
    watching[0] = False


@pytest.mark.parametrize("labels_only", [False, True])
def test_what_is_opened_is_noted_and_nothing_else_is_hashed(
    built: tuple[str, Path], tmp_path: Path, labels_only: bool
) -> None:
    form, source = built
    out = tmp_path / "out"
    options = {"labels_only": True} if labels_only else {}
    watching[0] = True
    run(form, source, out, **options)
    watching[0] = False
    files = {os.path.realpath(path) for path in source.rglob("*") if path.is_file()}
    read = opened & files
    assert noted(out, source) == read
    assert not any("unused" in name or "notes" in name for name in read)
    if labels_only and form != "dicom":
        assert not any(name.endswith((".png", ".jpg")) for name in read)
    deepest = stage.Config(source=source, format=form, **options).deepest()
    levels = [len(Path(name).relative_to(os.path.realpath(source)).parts) - 1 for name in read]
    assert deepest is None or max(levels) <= deepest
    assert run(form, source, out, **options).state == "up-to-date"
    # The same elsewhere: files keep their times there, or have new ones.
    moved = tmp_path / "moved"
    shutil.copytree(source, moved, copy_function=shutil.copy)
    assert run(form, moved, out, **options).state == "up-to-date"
    for name in sorted(read):
        path = Path(name)
        before = path.read_bytes()
        path.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
        with pytest.raises(OutputMismatchError, match="which it read, was changed"):
            run(form, source, out, **options)
        path.write_bytes(before)
    assert run(form, source, out, **options).state == "up-to-date"


def test_files_that_are_not_read_may_change_and_new_ones_are_noticed(tmp_path: Path) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    nih(source)
    text(source / "unused.bin", "abc")
    run("nih", source, out)
    text(source / "unused.bin", "xyz")
    assert run("nih", source, out).state == "up-to-date"
    png(source / "images_000" / "0.png", 9)  # would be read in place of another, or beside it
    with pytest.raises(OutputMismatchError, match="input source"):
        run("nih", source, out)
    shutil.rmtree(source / "images_000")
    (source / "images_001").rename(source / "images_002")
    with pytest.raises(OutputMismatchError, match="input source"):
        run("nih", source, out)


def test_the_output_may_lie_in_the_source(tmp_path: Path) -> None:
    nih(tmp_path)
    assert run("nih", tmp_path, tmp_path / "out").state == "done"
    assert run("nih", tmp_path, tmp_path / "out").state == "up-to-date"


def test_labels_alone_do_not_depend_on_images(tmp_path: Path) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    nih(source)
    run("nih", source, out, labels_only=True)
    shutil.rmtree(source / "images_001")
    assert run("nih", source, out, labels_only=True).state == "up-to-date"
    (source / "test_list.txt").unlink()
    with pytest.raises(OutputMismatchError):
        run("nih", source, out, labels_only=True)


def test_images_of_several_folders(tmp_path: Path) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    nih(source)
    images = [tmp_path / "a", tmp_path / "b"]
    (source / "images_001" / "images").rename(images[0])
    png(images[1] / "2.png", 2)
    (images[0] / "2.png").unlink()
    run("nih", source, out, images=tuple(images))
    (tmp_path / "far").mkdir()
    elsewhere = [path.rename(tmp_path / "far" / path.name) for path in images]
    assert run("nih", source, out, images=tuple(elsewhere)).state == "up-to-date"
    png(elsewhere[1] / "2.png", 7)
    with pytest.raises(OutputMismatchError):
        run("nih", source, out, images=tuple(elsewhere))


def test_the_list_of_a_folder(tmp_path: Path) -> None:
    source = tmp_path / "source"
    text(source / "b" / "one.txt", "1")
    text(source / "a.csv", "2")
    first = fingerprints.listing(source)
    shutil.copytree(source, tmp_path / "copy", copy_function=shutil.copy)
    assert fingerprints.listing(tmp_path / "copy") == first
    text(source / ".hidden", "3")
    text(source / "b" / "one.txt", "7")  # as long as before
    assert fingerprints.listing(source) == first
    (source / "back").symlink_to(source)
    (source / "out").symlink_to(tmp_path)
    (source / "broken").symlink_to(source / "nothing")
    assert fingerprints.listing(source) == first
    (source / "c").symlink_to(source / "b")
    linked = fingerprints.listing(source)
    assert linked != first
    text(source / "b" / "two.PNG", "")
    assert fingerprints.listing(source) != linked
    assert fingerprints.listing(source, (".png",)) == linked  # endings in any case
    near = [fingerprints.listing(source, deepest=levels) for levels in (0, 1, 2)]
    text(source / "b" / "d" / "deep.txt", "4")
    now = [fingerprints.listing(source, deepest=levels) for levels in (0, 1, 2)]
    assert [a == b for a, b in zip(near, now, strict=True)] == [True, True, False]
    assert now[2] == fingerprints.listing(source)
