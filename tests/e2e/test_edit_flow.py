"""`cxr edit` with a flow: real and made images, no CLIP, and what is refused."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from cxrtool import cli
from cxrtool.core.config.values import resolve
from cxrtool.core.errors import CxrError
from cxrtool.core.runs.execution import execute
from cxrtool.data.manifest import load_dataset
from tests.e2e.chain import run
from tests.e2e.test_flow import outputs, start, train


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("flow")
    data, other = folder / "data", folder / "other"
    for place, seed in ((data, 1), (other, 2)):
        run(
            "prepare",
            "--format",
            "phantom",
            "--n",
            "60",
            "--size",
            "16",
            "--seed",
            str(seed),
            "-o",
            place,
        )
    train(data, folder / "gan", kimg=0.2)
    start("train-cls", folder / "teacher", data=other, arch="small_cnn", steps=8, batch=8)
    return {name: folder / name for name in ("data", "gan", "teacher", "other")}


def edit(runs: dict[str, Path], out: Path, dry_run: Any = False, **options: Any) -> Any:
    stage = cli.stages()["edit"]
    config = resolve(stage.Config, {"threads": 1, "gan": runs["gan"], **options})
    return execute(stage, config, out, dry_run=dry_run)


def test_made_and_real_images(runs: dict[str, Path], tmp_path: Path) -> None:
    ask = {"target": ["left pleural effusion", "+edema, -cardiomegaly"]}
    made = edit(runs, tmp_path / "made", n=5, teacher=runs["teacher"], **ask)
    edits = made.result["summary"]["edits"]
    assert [e["method"] for e in edits] == ["flow", "flow"]
    assert all(e["verdict"] in ("confirmed", "not confirmed") for e in edits)
    assert not (tmp_path / "made" / "direction.json").exists()
    again = edit(runs, tmp_path / "again", n=5, teacher=runs["teacher"], block=5, **ask)
    assert again.state != "up-to-date"
    table = pd.read_csv(tmp_path / "made" / "edits.csv")
    assert not [c for c in table if c.startswith(("direction", "clip"))]
    data = load_dataset(tmp_path / "made")
    assert len(data.table) == 10
    assert set(data.table["prompt"]) == set(ask["target"])

    edit(runs, tmp_path / "real", data=runs["data"], split="test", **ask)
    rows = load_dataset(tmp_path / "real").table
    assert set(rows["patient_id"]) <= set(load_dataset(runs["data"]).table["patient_id"])
    assert "inversion_gray_rms" not in pd.read_csv(tmp_path / "real" / "edits.csv")


def test_the_same_images_again_and_a_fewer_are_the_first(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    for name, n in (("a", 3), ("b", 3), ("c", 2)):
        edit(runs, tmp_path / name, n=n, target=["edema"], guidance=[1.0])
    a, b, c = ({k: v for k, v in outputs(tmp_path / n).items() if "images" in k} for n in "abc")
    assert a == b
    names = sorted((tmp_path / "c" / "images").rglob("*.png"))
    for path in names:
        twin = tmp_path / "a" / path.relative_to(tmp_path / "c")
        assert path.read_bytes() == twin.read_bytes()
    assert len(names) == 2
    assert c is not None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": ["scoliosis"]}, "names no label that the generator knows"),
        ({"target": ["폐렴"]}, "names no label"),
        ({"target": ["left upper lobe opacity"]}, "names a place"),
        ({"target": ["no effusion"]}, "says that there is no"),
        ({"target": ["edema"], "method": "latent"}, "is a flow, which has no W space"),
        ({"target": ["edema"], "steps": 3}, "--steps has no effect on a flow"),
        ({"target": ["edema"], "control_n": 0}, "--control-n has no effect on a flow"),
        ({"target": ["edema"], "alpha": [1.0]}, "--alpha applies only with --method global"),
        ({"target": ["edema"], "guidance": [-1.0]}, "below 0"),
    ],
)
def test_what_is_refused(
    runs: dict[str, Path], tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(CxrError, match=message):
        edit(runs, tmp_path / "out", n=2, dry_run=True, **options)
    assert not (tmp_path / "out").exists()
    with pytest.raises(CxrError, match=message):
        edit(runs, tmp_path / "out", n=2, **options)


def test_a_condition_chooses_among_real_images(runs: dict[str, Path], tmp_path: Path) -> None:
    table = load_dataset(runs["data"]).table
    clear = table[(table["split"] == "train") & (table["No Finding"] == "1")]
    clear = clear[clear["view"] != "LATERAL"]
    ask = {"data": runs["data"], "target": ["edema"], "condition": ["No Finding"]}
    dry = edit(runs, tmp_path / "out", dry_run=True, **ask)
    assert dry.result["plan"]["starts"] == len(clear)
    edit(runs, tmp_path / "out", **ask)
    edited = load_dataset(tmp_path / "out").table
    assert list(edited["source_row"].astype(int)) == list(clear.index)
    for condition, message in ((["Fog"], "unknown label 'Fog'"), (["none", "Edema"], "unknown")):
        with pytest.raises(CxrError, match=message):
            edit(runs, tmp_path / "no", **{**ask, "condition": condition})
    with pytest.raises(CxrError, match=r"none of \d+ rows has No Finding and Edema"):
        edit(runs, tmp_path / "no", **{**ask, "condition": ["No Finding", "Edema"]})


def test_a_side_of_lateral_views_is_refused_and_idle_words_are_named(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ask = {"data": runs["data"], "view": "all", "target": ["left pleural effusion"]}
    with pytest.raises(CxrError, match="a lateral view does not show"):
        edit(runs, tmp_path / "out", **ask)
    edit(runs, tmp_path / "idle", n=1, target=["edema with scoliosis"])
    assert "without effect: scoliosis" in capsys.readouterr().err


def test_a_student_is_refused(runs: dict[str, Path], tmp_path: Path) -> None:
    student = {"data": runs["data"], "distill": runs["gan"], "kimg": 0.016, "batch": 8}
    start("train-gan", tmp_path / "student", arch="flow", **student)
    with pytest.raises(CxrError, match="distilled to few calls"):
        start("edit", tmp_path / "out", gan=tmp_path / "student", n=1, target=["edema"])
