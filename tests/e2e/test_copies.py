"""Copies of held-out images pass nowhere as synthetic ones, whatever the size of the originals.

By the command line: originals of 128 px are prepared at 32 px, and a prepared test image is put
among synthetic ones, where nothing is left of its original.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cxrtool import cli
from cxrtool.core.errors import GateError
from cxrtool.core.runs import Run
from cxrtool.data.cache import pixels
from cxrtool.data.keys import Seen, refuse_overlap
from cxrtool.data.manifest import Dataset, load_dataset
from tests.e2e import cls_sets
from tests.e2e.prepare_sources import drawing, prepare, write_table

QUICK = ("--arch", "small_cnn", "--steps", 2, "--batch", 8, "--eval-every", 2, "--threads", 1)
SIZE = 32


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("copies") / "source"
    (folder / "images").mkdir(parents=True)
    for k in range(80):
        Image.fromarray(drawing(k, 128, 128)).save(folder / f"images/{k}.png")
    table = {
        "path": [f"images/{k}.png" for k in range(80)],
        "patient_id": [f"p{k // 2}" for k in range(80)],
        "Edema": [str(k // 2 % 2) for k in range(80)],
    }
    write_table(folder, table)
    return folder


@pytest.fixture(scope="module")
def data(source: Path) -> Dataset:
    return prepare(source, source.parent / "data", size=SIZE, split_by="0.6,0.2,0.2")


@pytest.fixture(scope="module")
def earlier(data: Dataset) -> Dataset:
    """DATA as an earlier version wrote it: without keys of prepared pixels."""
    table = data.table.drop(columns="prepared_key")
    folder = data.path.parent / "earlier"
    info: dict[str, Any] = {
        "labels": ("Edema",),
        "covered": (True,),
        "namespace": data.info.namespace,
    }
    images = pixels(data)
    return load_dataset(cls_sets.write(folder, table.drop(columns="image"), images, **info))


def synthetic(data: Dataset, folder: Path, copies: np.ndarray, kind: str = "synthetic") -> Path:
    """Twelve drawings of nobody in DATA, and copies of some of its rows."""
    train = np.flatnonzero(data.column("split") == "train")
    new = np.stack([drawing(1000 + k, SIZE, SIZE) for k in range(12)])
    images = np.concatenate([new, np.array(pixels(data)[copies])])
    table = pd.DataFrame({"source": kind, "source_row": train[: len(images)].astype(str)})
    table["Edema"] = [str(k % 2) for k in range(len(images))]
    cls_sets.write(folder, table, images, synthetic=True, labels=("Edema",), covered=(True,))
    Seen.of(data, train).save(Run.for_test(folder))
    return folder


def rows_of(data: Dataset, part: str, n: int = 2) -> np.ndarray:
    return np.flatnonzero(data.column("split") == part)[:n]


def cxr(*words: object) -> int:
    return cli.main([str(word) for word in words])


@pytest.fixture(scope="module")
def model(data: Dataset) -> Path:
    out = data.path.parent / "model"
    assert cxr("train-cls", data.path, "-o", out, *QUICK) == 0
    return out


@pytest.mark.parametrize(
    ("part", "kind", "arm", "folder"),
    [
        ("test", "synthetic", "gan", "data"),
        ("val", "synthetic", "synthetic-only", "data"),
        ("test", "edited", "pretrain-finetune", "earlier"),
        ("val", "edited", "duplicate", "earlier"),
    ],
)
def test_train_cls_refuses_a_copy(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    part: str,
    kind: str,
    arm: str,
    folder: str,
) -> None:
    data = request.getfixturevalue(folder)
    copied = rows_of(data, part)
    made = synthetic(data, tmp_path / "synth", copied, kind)
    assert cxr("train-cls", data.path, made, "-o", tmp_path / "out", "--arm", arm, *QUICK) == 5
    said = " ".join(capsys.readouterr().err.split())
    assert f"2 of 14 images of {made} are copies of {part} images of {data.path}" in said
    assert f"row 14 there is row {copied[0] + 2} here, row 15" in said
    assert not (tmp_path / "out" / "result.json").exists()


def test_train_cls_takes_copies_of_training_images_and_strangers(
    data: Dataset, tmp_path: Path
) -> None:
    made = synthetic(data, tmp_path / "synth", rows_of(data, "train"))
    assert cxr("train-cls", data.path, made, "-o", tmp_path / "out", *QUICK) == 0


@pytest.mark.parametrize("part", ["val", "test"])
@pytest.mark.parametrize("split", ["val", "test"])
def test_evaluate_images_refuses_a_copy(
    data: Dataset,
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    part: str,
    split: str,
) -> None:
    made = synthetic(data, tmp_path / "synth", rows_of(data, part))
    words = ("--real", data.path, "--split", split, "--threads", 1, "-o", tmp_path / "out")
    assert cxr("evaluate", "images", made, *words) == 5
    assert "2 of 14 images" in " ".join(capsys.readouterr().err.split())


def test_evaluate_classifiers_refuses_a_test_set_that_the_synthetic_images_hold(
    source: Path, data: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The classifier's DATA lacks the test patient; its SYNTH has the picture."""
    mine = tmp_path / "source"
    shutil.copytree(source, mine)
    lines = (source / "labels.csv").read_text().splitlines()
    tested = set(data.column("patient_id", rows_of(data, "test", 99)))
    kept = [line for line in lines if line.split(",")[1] not in tested]
    (mine / "labels.csv").write_text("\n".join(kept) + "\n")
    own = prepare(mine, tmp_path / "own", size=SIZE, split_by="0.6,0.2,0.2")
    made = synthetic(data, tmp_path / "synth", rows_of(data, "test"))
    Seen.of(own, rows_of(own, "train", 99)).save(Run.for_test(made))
    out = tmp_path / "model"
    assert cxr("train-cls", own.path, made, "-o", out, *QUICK) == 0
    capsys.readouterr()
    words = ("--data", data.path, "--bootstrap", 100, "--threads", 1, "-o", tmp_path / "report")
    assert cxr("evaluate", "classifiers", out, *words) == 5
    assert "test images were seen by the run" in " ".join(capsys.readouterr().err.split())
    seen = Seen.load(out)  # a run of an earlier version has no keys of prepared pixels
    with pytest.raises(GateError, match="by identical pixels"):
        refuse_overlap(
            Seen(seen.patients, seen.pixels), data, rows_of(data, "test"), who="it", what="test"
        )


@pytest.mark.parametrize("size", [16, 32, 48])
def test_a_set_made_of_prepared_images_is_known_again_at_every_size(
    data: Dataset, model: Path, tmp_path: Path, size: int
) -> None:
    """Prepared training images, prepared anew under other names as a test set of its own."""
    folder = tmp_path / "source"
    (folder / "images").mkdir(parents=True)
    for k, row in enumerate(rows_of(data, "train", 4)):
        shutil.copy(data.image_path(row), folder / f"images/{k}.png")
    write_table(
        folder,
        {
            "path": [f"images/{k}.png" for k in range(4)],
            "patient_id": [f"x{k}" for k in range(4)],
            "Edema": list("0101"),
            "split": ["test"] * 4,
        },
    )
    again = prepare(folder, tmp_path / "again", size=size, namespace="elsewhere")
    words = ("--data", again.path, "--bootstrap", 100, "--threads", 1, "-o", tmp_path / "out")
    assert cxr("evaluate", "classifiers", model, *words) == 5


def test_one_picture_in_two_files_of_two_sizes_lies_in_one_split(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second file is the first one at the size of the set: other original, same pixels."""
    first = prepare(source, tmp_path / "first", size=SIZE)
    mine = tmp_path / "source"
    shutil.copytree(source, mine)
    lines = (source / "labels.csv").read_text().splitlines()
    for k in range(20):
        shutil.copy(first.image_path(2 * k), mine / f"images/small{k}.png")
        lines.append(f"images/small{k}.png,q{k},0")
    (mine / "labels.csv").write_text("\n".join(lines) + "\n")
    both = prepare(mine, tmp_path / "both", size=SIZE)
    assert "20 more images are copies at this size" in " ".join(capsys.readouterr().err.split())
    assert len(set(both.column("pixel_key"))) == 100
    split = both.column("split")
    assert (split[80:] == split[0:40:2]).all()
    assert len(set(split[80:])) > 1
    assert cxr("train-cls", both.path, "-o", tmp_path / "out", *QUICK) == 0
