"""`cxr predict`: the same numbers as `train-cls`, every kind of input, what is refused, and ids."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cxrtool import cli
from cxrtool.commands.train_cls import training
from cxrtool.core.config.values import resolve
from cxrtool.data.manifest import load_dataset
from tests.e2e import cls_sets
from tests.unit.data.sources import dicom_files

SIZE, N = 24, 60
#: In DICOM headers and in the names of files; nothing that is written may hold it.
SECRETS = ("Doe^Jane", "PID-4711", "1.2.3.4", "ACC1", "19300102", "St. X", "jane-doe")


NO_PIXELS = "DICOM without pixels (a report, a presentation state)"
QUICK = "--arch small_cnn --batch 8 --threads 1 -q"


def cxr(*words: str | Path | int) -> int:
    return cli.main([str(word) for word in words])


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Source images with a table, the data set of them, three classifiers."""
    folder = tmp_path_factory.mktemp("study")
    rng = np.random.default_rng(3)
    labels = (rng.random((N, 2)) < 0.5).astype(int)
    images = cls_sets.draw(labels, rng, 40)
    (folder / "films" / "deep").mkdir(parents=True)
    names = [f"{'deep/' * (k % 2)}film-{k:02d}.{('png', 'jpg')[k % 3 == 0]}" for k in range(N)]
    for name, image in zip(names, images):
        Image.fromarray(np.pad(image, ((0, 0), (3, 5)))).save(folder / "films" / name)
    split = np.array(["train", "train", "val", "test"])[np.arange(N) % 4]
    table = {"path": names, "patient_id": [f"p{k}" for k in range(N)], "split": split}
    frame = pd.DataFrame({**table, "view": "PA", "A": labels[:, 0], "B": labels[:, 1]})
    frame.to_csv(folder / "labels.csv", index=False)
    words: list[str | Path | int] = [
        "prepare",
        folder / "labels.csv",
        "--images",
        folder / "films",
        "--size",
        SIZE,
    ]
    assert cxr(*words, "--workers", 1, "-q", "-o", folder / "data") == 0
    quick = [*QUICK.split(), "--steps", "4", "--eval-every", "4"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "write_loss_curve", lambda *_: None)
        for name, flag, value in (
            ("c1", "--seed", "1"),
            ("c2", "--seed", "2"),
            ("a", "--classes", "A"),
        ):
            more: list[str | Path] = [flag, value, "-o", folder / name]
            assert cxr("train-cls", folder / "data", *quick, *more) == 0
    return folder


def predict(study: Path, *words: str | Path, out: Path, **more: int) -> pd.DataFrame:
    """One run of one process here; the table by image."""
    arguments = ["predict", *words, "--threads", "1", "--workers", "1", "-q", "-o", out]
    assert cxr(*arguments) == more.get("code", 0)
    return read(out / "predictions.csv")


def read(path: Any) -> pd.DataFrame:
    return pd.read_csv(path, keep_default_na=False).set_index("image")


def stored(study: Path, run: str) -> pd.DataFrame:
    """What `train-cls` said of test and val rows, by the name of the source image."""
    table = pd.read_csv(study / run / "predictions.csv")
    data = load_dataset(study / "data")
    return table.set_index(pd.Index(data.column("origin", table["row"].to_numpy() - 2)))


def same(found: pd.DataFrame, expected: pd.DataFrame, names: list[str]) -> None:
    assert len(names)
    gap = found.loc[names, ["A", "B"]].to_numpy() - expected.loc[names, ["A", "B"]].to_numpy()
    assert np.abs(gap).max() < 1e-6


# --- the same numbers, whatever the form of the input ---------------------------------------------


def arguments_of(
    study: Path, kind: str, tmp_path: Path
) -> tuple[list[str | Path], Callable[[str], str]]:
    """Arguments, and how they call an image of the source."""
    films = study / "films"
    files = sorted(path for path in films.rglob("*.*"))
    if kind == "folder":
        return [films], lambda name: name
    if kind == "files":
        return list(files), lambda name: str(films / name)
    if kind == "one file":
        return [films / "film-02.png"], lambda name: str(films / name)
    if kind == "table":
        return [study / "labels.csv", "--images", films], lambda name: name
    if kind == "other table":
        frame = pd.read_csv(study / "labels.csv")[["path"]].rename(columns={"path": "where"})
        frame.to_csv(tmp_path / "where.tsv", sep="\t", index=False)
        more: list[str | Path] = ["--images", films, "--column", "image=where"]
        return [tmp_path / "where.tsv", *more], lambda name: name
    assert kind == "two"
    return [films / "deep", films / "film-02.png"], lambda name: str(films / name)


@pytest.mark.parametrize("kind", ["folder", "files", "one file", "table", "other table", "two"])
def test_images_get_what_train_cls_stored(study: Path, kind: str, tmp_path: Path) -> None:
    words, name = arguments_of(study, kind, tmp_path)
    found = predict(study, study / "c1", *words, out=tmp_path / "out")
    expected = stored(study, "c1")
    expected.index = pd.Index([name(str(one)) for one in expected.index])
    both = [one for one in expected.index if one in found.index]
    assert len(both) == {"one file": 1, "two": 15 + 1}.get(kind, 30)
    same(found, expected, both)
    thresholds = json.loads((tmp_path / "out" / "result.json").read_text())["summary"]["thresholds"]
    decisions = read(tmp_path / "out" / "decisions.csv")
    for label in ("A", "B"):
        yes = found[label] >= thresholds[label]
        assert (decisions[label] == yes.astype(int)).all()
        above = [label in cell.split("|") for cell in found["positive"]]
        assert above == yes.tolist()


def test_a_synthetic_set_is_read_like_any_other(study: Path, tmp_path: Path) -> None:
    """Its images, prepared or as files, get the same; nothing else is needed."""
    synth = cls_sets.synth(tmp_path / "synth", study / "data", n=20)
    found = predict(study, study / "c1", synth, out=tmp_path / "out")
    assert len(found) == 20
    files = predict(study, study / "c1", *sorted((synth / "images").glob("*")), out=tmp_path / "f")
    gap = files[["A", "B"]].to_numpy() - found[["A", "B"]].to_numpy()
    assert np.abs(gap).max() < 1e-6


def test_decisions_are_a_table_of_labels(study: Path, tmp_path: Path) -> None:
    predict(study, study / "c1", study / "films", out=tmp_path / "out")
    table = tmp_path / "out" / "decisions.csv"
    words: list[str | Path | int] = ["prepare", table, "--images", study / "films", "--size", SIZE]
    assert cxr(*words, "--workers", 1, "-q", "-o", tmp_path / "pseudo") == 0
    data, decisions = load_dataset(tmp_path / "pseudo"), read(table)
    assert data.labels == ("A", "B")
    assert (data.column("A") == decisions.loc[data.column("origin"), "A"].astype(str)).all()


def test_a_data_set_gets_the_very_same(study: Path, tmp_path: Path) -> None:
    found = predict(study, study / "c1", study / "data", "--split", "test", out=tmp_path / "out")
    table = pd.read_csv(study / "c1" / "predictions.csv")
    table = table[table["split"] == "test"].set_index("image")
    assert list(found.index) == list(table.index)
    assert (found[["A", "B"]] == table[["A", "B"]]).all(axis=None)


def test_classes_that_exclude_each_other_and_bits_of_the_set(study: Path, tmp_path: Path) -> None:
    """A folder a class, of 16-bit files of which only some use all of the set's 14 bits."""
    rng = np.random.default_rng(5)
    for k in range(24):
        image = rng.integers(0, 9000 if k < 2 else 3000, (30, 30)).astype(np.uint16)
        image[:, 15 * (k % 2) :][:, :15] //= 2
        (tmp_path / "raw" / "xy"[k % 2]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(tmp_path / "raw" / "xy"[k % 2] / f"{k}.png")
    words: list[str | Path | int] = [
        "prepare",
        tmp_path / "raw",
        "--format",
        "folder",
        "--folders",
        "class",
    ]
    shares: list[str | int] = ["--split-by", "0.5,0.25,0.25", "--size", 24, "--workers", 1, "-q"]
    assert cxr(*words, *shares, "-o", tmp_path / "data") == 0
    quick = [*QUICK.split(), "--steps", "2", "--eval-every", "2"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "write_loss_curve", lambda *_: None)
        assert cxr("train-cls", tmp_path / "data", *quick, "-o", tmp_path / "cls") == 0
    found = predict(study, tmp_path / "cls", tmp_path / "raw", out=tmp_path / "out")
    table = pd.read_csv(tmp_path / "cls" / "predictions.csv")
    names = load_dataset(tmp_path / "data").column("origin", table["row"].to_numpy() - 2)
    gap = found.loc[names, ["x", "y"]].to_numpy() - table[["x", "y"]].to_numpy()
    assert len(gap) == 12
    assert np.abs(gap).max() < 1e-6
    assert (found["class"] == found[["x", "y"]].idxmax(axis=1)).all()
    assert np.allclose(found[["x", "y"]].sum(axis=1), 1)
    assert "Most probable class of 24 images" in (tmp_path / "out" / "report.html").read_text()


def test_from_python(study: Path, tmp_path: Path) -> None:
    """The same numbers, of a folder, of files, of several classifiers."""
    import cxrtool

    both = cxrtool.load_classifier([study / "c1", study / "c2"])
    found = predict(study, study / "c1", study / "c2", study / "films", out=tmp_path / "out")
    table = both.predict(study / "films")
    assert table.index.tolist() == found.index.tolist()
    assert np.abs(table.to_numpy() - found[["A", "B"]].to_numpy()).max() == 0
    files = [study / "films" / name for name in table.index]
    assert np.allclose(both.predict(files), table, atol=1e-6)
    assert both.predict(study / "films", decide=True).sum().sum() > 0
    assert repr(both) == f"Classifier({str(study / 'c1')!r} and 1 more: 24 px, 2 labels (A, B))"
    with pytest.raises(cxrtool.CxrError, match="reads other labels"):
        cxrtool.load_classifier([study / "c1", study / "a"])


def test_stdin_and_stdout(study: Path, tmp_path: Path) -> None:
    """In processes of their own: paths by line and by NUL, the table on stdout, workers."""
    files = sorted(str(path) for path in (study / "films").rglob("*.*"))
    words = [sys.executable, "-m", "cxrtool", "predict", str(study / "c1"), "-", "-q"]
    for between, more in (("\n", ("--workers", "2")), ("\0", ())):
        done = subprocess.run(
            [*words, *more, "-o", "-"], input=between.join(files), capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        found = read(io.StringIO(done.stdout))
        assert list(found.index) == files
        expected = stored(study, "c1")
        expected.index = pd.Index([str(study / "films" / name) for name in expected.index])
        same(found, expected, list(expected.index))


def test_a_mean_of_calibrated_probabilities(study: Path, tmp_path: Path) -> None:
    films = study / "films"
    each = [predict(study, study / c, films, out=tmp_path / c)[["A", "B"]] for c in ("c1", "c2")]
    found = predict(study, study / "c1", study / "c2", films, out=tmp_path / "both")
    assert np.allclose(found[["A", "B"]], (each[0] + each[1]) / 2, atol=1e-12)
    summaries = [
        json.loads((tmp_path / name / "result.json").read_text())["summary"]
        for name in ("c1", "c2", "both")
    ]
    for label in ("A", "B"):
        one, two, mean = (summary["thresholds"][label] for summary in summaries)
        assert mean == pytest.approx((one + two) / 2)
    assert summaries[2]["threshold_of"] == "mean over classifiers"


def test_maps_of_what_is_asked_for(study: Path, tmp_path: Path) -> None:
    film = study / "films" / "film-02.png"
    for cam, names in {"top": 1, "A,B": 2}.items():
        predict(study, study / "c1", film, "--cam", cam, out=tmp_path / cam)
        table = pd.read_csv(tmp_path / cam / "cams.csv")
        assert len(table) == names
        for path in table["map"]:
            assert Image.open(tmp_path / cam / path).size == (SIZE, SIZE)
        assert "Map: " in (tmp_path / cam / "report.html").read_text()


# --- what a person must be able to rely on --------------------------------------------------------


def test_again_does_nothing_and_a_change_is_noticed(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    films, out = tmp_path / "films", tmp_path / "out"
    films.mkdir()
    for name in ("film-02.png", "film-04.png"):
        (films / name).write_bytes((study / "films" / name).read_bytes())
    words = ("predict", study / "c1", films, "--threads", "1", "-o", out)
    assert cxr(*words) == 0
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    assert cxr(*words) == 0
    assert "is up to date" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in before} == before
    image = np.asarray(Image.open(films / "film-02.png"))
    Image.fromarray(255 - image).save(films / "film-02.png")
    assert cxr(*words) == 4
    assert not (out / "seen.json").exists()


def dicom(folder: Path, name: str, **elements: Any) -> Path:
    given = {"PatientID": "PID-4711", "BitsStored": 12, **elements}
    return dicom_files.save(
        dicom_files.dataset(dicom_files.image_12bit(len(name)), **given), folder / name
    )


def test_no_identity_of_a_dicom(study: Path, tmp_path: Path) -> None:
    """Neither of its header nor of its name, but where ids are asked for."""
    pacs = tmp_path / "pacs"
    dicom(pacs, "jane-doe/IM0001.dcm")
    dicom(pacs, "jane-doe/IM2", PhotometricInterpretation="MONOCHROME1")  # told by its content
    dicom(pacs, "jane-doe/burned.dcm", BurnedInAnnotation="YES")
    dicom(pacs, "jane-doe/ct.dcm", Modality="CT")
    dicom(pacs, "jane-doe/a-report.dcm", Rows=None, Modality="SR")
    out = tmp_path / "out"
    found = predict(study, study / "c1", pacs, "--skip-bad", out=out)
    assert list(found.index) == ["dicom-1", "dicom-2", "dicom-3"]
    rejected = read(out / "rejected.csv")
    assert dict(rejected["reason"]) == {"dicom-4": "modality CT is not CR or DX"}
    # Paths of what was read stand in the records that reruns need, and nowhere else.
    written = [p for p in out.rglob("*") if p.is_file() and ".cache" not in p.parts]
    assert {"predictions.csv", "report.html", "log.txt"} <= {path.name for path in written}
    for path in written:
        content = path.read_bytes()
        for secret in SECRETS:
            assert secret.encode() not in content, f"{secret} in {path.name}"
    words = (pacs, "--modality", "CR,DX")
    left = predict(study, study / "c1", *words, out=tmp_path / "left")
    assert np.allclose(left[["A", "B"]], found[["A", "B"]])
    summary = json.loads((tmp_path / "left" / "result.json").read_text())["summary"]
    assert summary["left_out"] == {"modality CT": 1, NO_PIXELS: 1}
    assert "1 image says" in (out / "report.html").read_text()
    named = predict(study, study / "c1", pacs, "--skip-bad", "--include-ids", out=tmp_path / "ids")
    assert list(named.index) == [f"jane-doe/{n}" for n in ("IM0001.dcm", "IM2", "burned.dcm")]
    assert set(named["patient_id"]) == {"PID-4711"}
    assert np.allclose(named[["A", "B"]], found[["A", "B"]])


def test_dicom_is_read_as_prepare_reads_it(study: Path, tmp_path: Path) -> None:
    pacs = tmp_path / "pacs"
    kinds: list[dict[str, Any]] = [
        {},
        {"PhotometricInterpretation": "MONOCHROME1"},
        {"WindowCenter": 900, "WindowWidth": 500},
    ]
    for k, more in enumerate(kinds):
        dicom(pacs, f"{k}.dcm", **more)
    assert (
        cxr(
            "prepare",
            pacs,
            "--format",
            "dicom",
            "--size",
            SIZE,
            "--split-by",
            "none",
            "-q",
            "-o",
            tmp_path / "d",
        )
        == 0
    )
    found = predict(study, study / "c1", pacs, out=tmp_path / "out")
    prepared = predict(study, study / "c1", tmp_path / "d", "--view", "all", out=tmp_path / "p")
    assert np.abs(found[["A", "B"]].to_numpy() - prepared[["A", "B"]].to_numpy()).max() == 0
    assert len(found) == 3


def test_laterals_are_left_out_and_said(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pacs = tmp_path / "pacs"
    dicom(pacs, "1.dcm")
    dicom(pacs, "2.dcm", ViewPosition="LL")
    dicom(pacs, "3.dcm", ViewPosition=None)
    words = ("predict", study / "c1", pacs, "--threads", "1")
    assert cxr(*words, "-o", tmp_path / "out") == 0
    assert "left out: 1 of another view" in capsys.readouterr().err
    assert list(read(tmp_path / "out" / "predictions.csv").index) == ["dicom-1", "dicom-3"]
    assert cxr(*words, "--view", "all", "-o", tmp_path / "all") == 0
    assert len(read(tmp_path / "all" / "predictions.csv")) == 3
    capsys.readouterr()
    assert cxr("predict", study / "c1", pacs / "2.dcm", "-o", tmp_path / "none") == 3
    assert "no image is left by --view frontal" in capsys.readouterr().err
    assert not (tmp_path / "none" / "run.json").exists()


def test_a_folder_says_what_it_leaves_out(study: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    (folder / "film.png").write_bytes((study / "films" / "film-02.png").read_bytes())
    (folder / "notes.txt").write_text("x")
    (folder / "table.csv").write_text("a\n1\n")
    (folder / ".hidden.png").write_bytes(b"x")
    os.symlink(study / "c1", folder / "outside")
    run = folder / "old-run"
    run.mkdir()
    (run / "run.json").write_text("{}")
    Image.new("L", (30, 30)).save(run / "loss_curve.png")
    found = predict(study, study / "c1", folder, out=folder / "out")
    assert list(found.index) == ["film.png"]
    left = json.loads((folder / "out" / "result.json").read_text())["summary"]["left_out"]
    assert left == {
        "in the folder of a cxr run": 2,
        "no image (.txt)": 1,
        "a table that is not read": 1,
        "hidden, or of macOS": 1,
        "a link that leads out of the folder": 1,
    }


def bad_folder(study: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "some-bad"
    folder.mkdir()
    (folder / "1.png").write_bytes((study / "films" / "film-02.png").read_bytes())
    (folder / "2.png").write_bytes((study / "films" / "film-04.png").read_bytes()[:300])
    (folder / "3.jpg").write_bytes(b"")
    (folder / "4.png").write_bytes((study / "films" / "film-08.png").read_bytes())
    return folder


def test_bad_images_stop_or_are_counted(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = bad_folder(study, tmp_path)
    words = ("predict", study / "c1", folder, "--threads", "1")
    assert cxr(*words, "-o", tmp_path / "stop") == 3
    said = capsys.readouterr().err
    assert f"{folder / '2.png'}: damaged image" in said
    assert "--skip-bad" in said
    assert not (tmp_path / "stop" / "predictions.csv").exists()
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff.png")).write_bytes(b"x")
    assert cxr(*words, "--skip-bad", "-o", tmp_path / "go") == 0
    said = capsys.readouterr().err
    assert f"left out: {folder / '2.png'}: damaged image" in said
    assert f"left out: {folder / '3.jpg'}: the file is empty" in said
    assert "\N{REPLACEMENT CHARACTER}.png: the file's name is not UTF-8 text" in said
    assert "3 bad images were left out" in said
    assert list(read(tmp_path / "go" / "predictions.csv").index) == ["1.png", "4.png"]
    assert list(read(tmp_path / "go" / "rejected.csv").index[1:]) == ["2.png", "3.jpg"]


REFUSALS: dict[str, tuple[str, int, str]] = {
    "no classifier": ("{films}", 2, "no classifier is given"),
    "a missing classifier": ("cls-9 {films}", 3, "cls-9: no such file or folder"),
    "no images": ("{c1}", 2, "no images are given"),
    "a generator": ("{gan} {films}", 3, "comes from `cxr train-gan`"),
    "a report": ("{report} {films}", 3, "comes from `cxr evaluate-images`"),
    "other labels": ("{c1} {a} {films}", 3, "reads other labels than {c1}: it lacks B"),
    "another size": ("{c1} {small} {films}", 3, "was trained on an input size of 16 px"),
    "twice": ("{c1} {c1} {films}", 2, "a classifier is given twice"),
    "an empty folder": ("{c1} {empty}", 3, "{empty}: there is no image here"),
    "no such file": ("{c1} {films}/none.png", 3, "{films}/none.png: no such file or folder"),
    "another data set": ("{c1} {pad}", 3, "was trained on images with fit crop, these have pad"),
    "a table of nothing": ("{c1} {table}", 3, "no column of image files"),
    "a row of nothing": ("{c1} {rows}", 3, "{rows}, row 3, column 'image': no such image"),
    "labels alone": ("{c1} {labels}", 3, "the data set holds labels and no pixels"),
    "no image": ("{c1} {text}", 3, "{text}: not an image that can be read"),
    "an archive": ("{c1} {archive}", 3, "{archive}: an archive that is not unpacked"),
    "a list": ("{c1} {list}", 3, "{list}: a text, where images are expected"),
    "maps on stdout": ("{c1} {films} --cam top -o -", 2, "--cam writes pictures"),
    "maps of nothing": ("{c1} {films} --cam Z", 3, "unknown label 'Z'"),
    "a wrong column": ("{c1} {films} --column image", 2, "write KEY=NAME"),
}


@pytest.fixture(scope="module")
def places(study: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders and files that are refused."""
    folder = tmp_path_factory.mktemp("refused")
    places = {name: study / name for name in ("films", "c1", "a")}
    for name in ("gan", "report", "empty", "small", "pad", "table", "rows", "text"):
        places[name] = folder / name
    for name, stage in {"gan": "train-gan", "report": "evaluate-images"}.items():
        places[name].mkdir()
        for record in ("run.json", "result.json"):
            text = json.dumps({"stage": stage, "outputs": {}, "fingerprint": "x"})
            (places[name] / record).write_text(text)
    places["empty"].mkdir()
    quick = [*QUICK.split(), "--steps", "1", "--eval-every", "1"]
    words: list[str | Path | int] = [
        "train-cls",
        study / "data",
        *quick,
        "--size",
        16,
        "-o",
        places["small"],
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "write_loss_curve", lambda *_: None)
        assert cxr(*words) == 0
    words = ["prepare", study / "labels.csv", "--images", study / "films", "--size", SIZE]
    assert cxr(*words, "--fit", "pad", "--workers", 1, "-q", "-o", places["pad"]) == 0
    words = ["prepare", study / "labels.csv", "--labels-only", "-q", "-o", folder / "only"]
    assert cxr(*words) == 0
    places["labels"] = folder / "only"
    places["table"] = folder / "table.csv"
    places["table"].write_text("a,b\n1,2\n")
    places["rows"] = folder / "rows.csv"
    (folder / "film.png").write_bytes((study / "films" / "film-02.png").read_bytes())
    places["rows"].write_text("image\nfilm.png\nnone.png\n")
    places["text"].write_text("this is no image")
    places |= {"archive": folder / "a.zip", "list": folder / "paths.txt"}
    for name in ("archive", "list"):
        places[name].write_text("x")
    return places


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals_are_one_clear_line(
    case: str, places: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words, code, sentence = REFUSALS[case]
    arguments = words.format(**places).split()
    out: list[str | Path] = [] if "-o" in arguments else ["-o", tmp_path / "out"]
    assert cxr("predict", *arguments, *out, "--threads", "1", "-q") == code
    said = capsys.readouterr().err
    assert sentence.format(**places) in said
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "Traceback" not in said
    assert not (tmp_path / "out" / "run.json").exists()


def test_classifiers_and_images_stand_in_any_order(study: Path) -> None:
    stage = cli.stages()["predict"]
    film, table = study / "films", study / "labels.csv"
    given = (film, study / "c2", table, study / "c1", study / "data")
    config = resolve(stage.Config, {"runs": given})
    assert config.runs == (study / "c2", study / "c1")
    assert config.inputs == (film, table, study / "data")
    again = resolve(stage.Config, {"runs": config.runs, "inputs": config.inputs})
    assert again == config


def test_the_page_says_what_it_is_not_for(study: Path, tmp_path: Path) -> None:
    predict(study, study / "c1", study / "films", out=tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("not for diagnosis") + page.count("Not for diagnosis") >= 2
    assert page.count("<figure><img") == 24
    assert "film-" not in page
