"""Twelve planted leaks and five disguised copies: each is refused with exit code 5, or listed.

One classifier, trained on one data set, and one way a case to let it be judged by what it has seen.
What is identical, or of one patient, is refused; what is the same picture in other bytes, and what
nobody can know, is listed on the terminal, on the page and in a table.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from cxrtool import cli
from cxrtool.classifiers import architectures, pretrained
from cxrtool.core.files import sha256_file
from cxrtool.core.runs import Run
from cxrtool.data import cache, published
from cxrtool.data.keys import Seen
from cxrtool.data.manifest import Dataset
from tests.disguises import DISGUISES
from tests.e2e import cls_sets
from tests.e2e.prepare_sources import drawing, prepare, write_table

SIZE, HOSPITAL = 48, "st-john"
QUICK = ("--arch", "small_cnn", "--steps", 2, "--batch", 8, "--eval-every", 2, "--threads", 1)
DISGUISED = ("flip", "1 px off each side", "3 % brighter", "JPEG 75", "half the size and back")


def picture(seed: int) -> Image.Image:
    """A drawing of its own, with grain as films have it."""
    grain = np.random.default_rng(seed).normal(0, 12, (32, 32)) + 128
    fine = Image.fromarray(grain.clip(0, 255).astype(np.uint8))
    detail = np.asarray(fine.resize((96, 96), Image.Resampling.BICUBIC), np.float64)
    return Image.fromarray((0.7 * drawing(seed, 96, 96) + detail - 90).clip(0, 255).astype("uint8"))


@dataclass(frozen=True)
class Row:
    """A line of a source: whose image, in which part, and the picture."""

    patient: str
    split: str
    image: Image.Image
    study: str = ""


def write(folder: Path, rows: list[Row], ending: str = "png") -> Path:
    (folder / "images").mkdir(parents=True)
    table: dict[str, list[str]] = {
        "path": [f"images/{k}.{ending}" for k in range(len(rows))],
        "patient_id": [row.patient for row in rows],
        "study_id": [row.study for row in rows],
        "split": [row.split for row in rows],
        "Edema": [str(k % 2) for k in range(len(rows))],
    }
    for name, row in zip(table["path"], rows):
        row.image.save(folder / name)
    write_table(folder, {name: cells for name, cells in table.items() if any(cells)})
    return folder


def people(first: int, n: int, split: str) -> list[Row]:
    """Two images a patient."""
    return [
        Row(f"p{k}", split, picture(2 * k + i)) for k in range(first, first + n) for i in (0, 1)
    ]


def cxr(*words: object) -> int:
    return cli.main([str(word) for word in words])


@dataclass(frozen=True)
class House:
    """A data set and a classifier trained on it; where a case puts its things."""

    data: Dataset
    model: Path
    at: Path

    def judge(self, rows: list[Row], *, ending: str = "png", size: int = SIZE, **how: str) -> int:
        """`evaluate classifiers` on a test set of strangers and these rows."""
        source = write(self.at / "source", [*people(500, 4, "test"), *rows], ending)
        how = {"namespace": HOSPITAL, **how}
        return self.judge_on(prepare(source, self.at / "other", size=size, **how).path)

    def judge_on(self, data: Path, model: Path | None = None) -> int:
        words = ("--data", data, "--bootstrap", 100, "--threads", 1, "-o", self.at / "report")
        return cxr("evaluate", "classifiers", model or self.model, *words)

    def train(self, *words: object, data: Path | None = None) -> int:
        return cxr("train-cls", data or self.data.path, *words, "-o", self.at / "run", *QUICK)

    def trained(self, n: int = 2) -> list[Row]:
        """Training images as lines of a test set, under their patients."""
        return [Row(f"p{k // 2}", "test", picture(k)) for k in range(n)]

    def synthetic(self, copied: str = "", *, kind: str = "synthetic", seen: str = "train") -> Path:
        """Images of nobody, and of two rows of a part of the data set."""
        split = self.data.column("split")
        rows = np.flatnonzero(split == copied)[:2]
        new = np.stack([np.asarray(picture(900 + k).resize((SIZE, SIZE))) for k in range(8)])
        images = np.concatenate([new, cache.pixels(self.data, rows)])
        table = pd.DataFrame({"source": kind, "source_row": [str(k) for k in range(len(images))]})
        table["Edema"] = [str(k % 2) for k in range(len(images))]
        made = cls_sets.write(
            self.at / "synth", table, images, synthetic=True, labels=("Edema",), covered=(True,)
        )
        Seen.of(self.data, np.flatnonzero(np.isin(split, ("train", seen)))).save(Run.for_test(made))
        return made


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> House:
    folder = tmp_path_factory.mktemp("planted")
    rows = [*people(0, 14, "train"), *people(14, 5, "val"), *people(19, 5, "test")]
    source = write(folder / "source", rows)
    data = prepare(source, folder / "data", size=SIZE, namespace=HOSPITAL)
    assert cxr("train-cls", data.path, "-o", folder / "model", *QUICK) == 0
    return House(data, folder / "model", folder)


@pytest.fixture
def house(base: House, tmp_path: Path) -> House:
    return House(base.data, base.model, tmp_path)


# --- twelve leaks: refused ------------------------------------------------------------------------


def same_patient(house: House) -> int:
    return house.judge([Row("p0", "test", picture(700)), Row("p0", "test", picture(701))])


def same_patient_at_another_size(house: House) -> int:
    return house.judge(house.trained(), size=32)


def renamed_patient(house: House) -> int:
    return house.judge([Row("x", "test", row.image) for row in house.trained()])


def renamed_hospital(house: House) -> int:
    return house.judge(house.trained(), namespace="st-mary")


def another_file_format(house: House) -> int:
    return house.judge([Row("x", "test", r.image) for r in house.trained()], ending="bmp")


def another_seed(house: House) -> int:
    source = house.at / "again"
    shutil.copytree(house.data.path.parent / "source", source)
    table = pd.read_csv(source / "labels.csv", dtype=str).drop(columns="split")
    table.to_csv(source / "labels.csv", index=False)
    other = prepare(source, house.at / "other", size=SIZE, seed=1, namespace=HOSPITAL)
    return house.judge_on(other.path)


def prepared_images_as_originals(house: House) -> int:
    images = [Image.open(house.data.image_path(row)) for row in (0, 1)]
    return house.judge([Row(f"x{k}", "test", image) for k, image in enumerate(images)])


def study_of_a_training_image(house: House) -> int:
    """Without patient ids: a new film of a study of which another was trained on."""
    new = Row("", "test", picture(700), study="s")
    old = Row("", "test", picture(0), study="s")
    return house.judge([new, old])


def test_images_among_synthetic_ones(house: House) -> int:
    return house.train(house.synthetic("test"))


def validation_images_among_edited_ones(house: House) -> int:
    return house.train(house.synthetic("val", kind="edited"))


def generator_that_saw_test_patients(house: House) -> int:
    return house.train(house.synthetic(seen="test"))


def keys_of_another_training(house: House) -> int:
    """Keys that know none of the images, and a record that was changed to fit them."""
    model = Path(shutil.copytree(house.model, house.at / "model"))
    (model / "seen.json").unlink()
    Seen(pixels=frozenset({"0" * 16})).save(Run.for_test(model))
    result = json.loads((model / "result.json").read_text())
    file = model / "seen.json"
    result["outputs"][file.name] = {"sha256": sha256_file(file), "bytes": file.stat().st_size}
    (model / "result.json").write_text(json.dumps(result))
    return house.judge_on(house.data.path, model)


LEAKS = [
    (same_patient, "by patient"),
    (same_patient_at_another_size, "by identical pixels"),
    (renamed_patient, "2 by identical pixels"),
    (renamed_hospital, "2 by identical pixels"),
    (another_file_format, "2 by identical pixels"),
    (another_seed, "by patient and"),
    (prepared_images_as_originals, "2 by identical pixels"),
    (study_of_a_training_image, "1 by the study"),
    (test_images_among_synthetic_ones, "are copies of test images"),
    (validation_images_among_edited_ones, "are copies of val images"),
    (generator_that_saw_test_patients, "were seen by the generator"),
    (keys_of_another_training, "is not what the weights beside it were trained with"),
]
for _leak, _ in LEAKS:
    _leak.__test__ = False  # type: ignore[attr-defined]


@pytest.mark.parametrize(("leak", "said"), LEAKS, ids=[leak.__name__ for leak, _ in LEAKS])
def test_a_planted_leak_is_refused(
    house: House, capsys: pytest.CaptureFixture[str], leak: Callable[[House], int], said: str
) -> None:
    assert leak(house) == 5
    told = " ".join(capsys.readouterr().err.split())
    assert "leak: " in told
    assert said in told
    assert not (house.at / "report" / "result.json").exists()
    assert not (house.at / "run" / "result.json").exists()


def test_strangers_are_neither_refused_nor_listed(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    assert house.judge([]) == 0
    assert "near cop" not in capsys.readouterr().err
    assert not (house.at / "report" / "near_copies.csv").exists()
    assert "Near copies" not in (house.at / "report" / "report.html").read_text()
    assert json.loads((house.model / "result.json").read_text())["summary"]["near_copies"] == {}


# --- five disguises: listed -----------------------------------------------------------------------


def disguised(n: int = 2) -> list[Row]:
    """Training images in each disguise, n a disguise, as test images of new patients."""
    return [
        Row(f"x{number}-{k}", "test", DISGUISES[name](picture(2 * k)))
        for number, name in enumerate(DISGUISED)
        for k in range(n)
    ]


@dataclass(frozen=True)
class Listing:
    """Where a command lists what; the first row of its manifest that is disguised."""

    out: Path
    first: int

    def of(self, disguise: str) -> list[dict[str, str]]:
        """The lines of the table about the two images of a disguise."""
        start = self.first + 2 * DISGUISED.index(disguise) + 2
        with (self.out / "near_copies.csv").open(encoding="utf-8") as stream:
            return [line for line in csv.DictReader(stream) if 0 <= int(line["row"]) - start < 2]


@pytest.fixture(
    scope="module",
    params=["train-cls", "evaluate classifiers", "another set", "evaluate images"],
)
def listing(
    request: pytest.FixtureRequest, base: House, tmp_path_factory: pytest.TempPathFactory
) -> Listing:
    """Disguised training images in the test split of their set, or in a set of its own."""
    folder = tmp_path_factory.mktemp("disguised")
    house = House(base.data, base.model, folder)
    if request.param == "another set":
        assert house.judge(disguised()) == 0
        return Listing(folder / "report", 8)
    if request.param == "evaluate images":
        source = write(folder / "made", disguised())
        synth = prepare(source, folder / "synth", size=SIZE, synthetic="other").path
        options = ("--real", base.data.path, "--split", "all", "--subsets", 4, "--threads", 1)
        assert cxr("evaluate", "images", synth, *options, "-o", folder / "report") == 0
        return Listing(folder / "report", 0)
    rows = [*people(0, 14, "train"), *people(14, 5, "val")]
    first = len(rows)
    own = prepare(write(folder / "own", [*rows, *disguised()]), folder / "data", size=SIZE).path
    assert house.train(data=own) == 0
    if request.param == "train-cls":
        return Listing(folder / "run", first)
    assert house.judge_on(own, folder / "run") == 0
    return Listing(folder / "report", first)


@pytest.mark.parametrize("disguise", DISGUISED)
def test_a_disguised_copy_is_listed(listing: Listing, disguise: str) -> None:
    lines = listing.of(disguise)
    assert [int(line["set_row"]) - 2 for line in lines] == [0, 2]
    assert {line["mirrored"] for line in lines} == {str(int(disguise == "flip"))}


def test_the_terminal_and_the_page_say_so(listing: Listing) -> None:
    told = " ".join((listing.out / "log.txt").read_text().split())
    assert "10 of " in told
    assert "are near copies of" in told
    assert f"row {listing.first + 2} of" in told
    summary = json.loads((listing.out / "result.json").read_text())["summary"]
    page = listing.out / "report.html"
    if not page.is_file():
        assert summary["near_copies"] == {"test": 10}
        return
    assert any(
        "10 of" in caution and "2 of them mirrored" in caution for caution in summary["cautions"]
    )
    text = page.read_text()
    assert "<h2>Near copies" in text
    assert "images above the images that they are near copies of" in text
    assert len(json.loads((listing.out / "metrics.json").read_text())["near_copies"]) == 10


def test_sets_that_lie_no_more_where_they_did_are_said(house: House) -> None:
    """Another test set, and the training set is gone: what could not be looked at is counted."""
    model = Path(shutil.copytree(house.model, house.at / "model"))
    record = json.loads((model / "run.json").read_text())
    for entry in record["inputs"]:
        entry["path"] = str(house.at / "nowhere")
    (model / "run.json").write_text(json.dumps(record))
    strangers = write(house.at / "source", people(500, 4, "test"))
    assert house.judge_on(prepare(strangers, house.at / "other", size=SIZE).path, model) == 0
    told = " ".join((house.at / "report" / "log.txt").read_text().split())
    assert "not looked for among 38 images" in told


# --- weights of which nobody knows what they saw: listed ------------------------------------------


@pytest.mark.parametrize("kind", ["of others", "of ours without keys"])
def test_weights_of_unknown_history_are_listed(
    house: House, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = house.at / "weights.safetensors"
    if kind == "of others":
        network = architectures.build("small_cnn", ("Edema",), SIZE, 7)
        file = file.with_suffix(".pt")
        torch.save(network.state_dict(), file)
    else:
        shutil.copy(house.model / "model.safetensors", file)
    assert house.train("--init-from", file) == 0
    name = published.name_of_file(file)
    assert ("of a cxr network" in name) == (kind != "of others")
    assert name in " ".join(capsys.readouterr().err.split())
    result = json.loads((house.at / "run" / "result.json").read_text())
    assert [name in caution for caution in result["summary"]["cautions"]] == [True]
    assert Seen.load(house.at / "run").unknown == {name}
    assert house.judge_on(house.data.path, house.at / "run") == 0
    assert name in " ".join(capsys.readouterr().err.split())
    assert name in (house.at / "report" / "report.html").read_text()


def test_published_weights_on_the_source_of_their_training_are_listed(
    house: House, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The name of the weights is all that matters here; nothing is fetched."""
    trunk = architectures.build("small_cnn", ("Edema",), SIZE, 7).trunk.state_dict()
    start = pretrained.Start(trunk, None, "plain", None, "xrv-nih")
    monkeypatch.setattr(pretrained, "by_name", lambda *_: start)
    source = house.data.path.parent / "source"
    data = prepare(source, house.at / "nih", size=SIZE, namespace="nih").path
    assert house.train("--weights", "xrv-nih", data=data) == 0
    said = "The weights xrv-nih were trained on NIH ChestX-ray14, where these images come from"
    assert said in " ".join(capsys.readouterr().err.split())
    result = json.loads((house.at / "run" / "result.json").read_text())
    assert any(said in caution for caution in result["summary"]["cautions"])
    assert house.judge_on(data, house.at / "run") == 0
    assert said in " ".join(capsys.readouterr().err.split())
    assert said in (house.at / "report" / "report.html").read_text()
