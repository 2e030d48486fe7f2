"""`cxr edit` as a person runs it: trained generator and CLIP, generated and real images."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from PIL import Image

from cxrtool import cli
from cxrtool.core.config.values import resolve
from cxrtool.core.fingerprints import require_complete
from cxrtool.core.runs.execution import execute
from cxrtool.data.keys import Seen
from cxrtool.data.manifest import load_dataset
from tests.e2e.chain import Chain, run

edit = cli.stages()["edit"]


def _rows(out: Path) -> list[dict[str, str]]:
    with open(out / "edits.csv", newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_the_output_is_a_data_set_with_the_record_of_its_edits(chain: Chain) -> None:
    out = chain.out("edit")
    dataset = load_dataset(out)
    assert len(dataset) == 6
    assert set(dataset.column("source")) == {"edited"}
    assert not any(dataset.info.covered), "nobody has verified these edits"
    rows = _rows(out)
    assert [row["image"] for row in rows] == dataset.column("image").tolist()
    with Image.open(out / "panels.png") as picture:
        assert picture.width > picture.height
    seen = Seen.load(out)
    for stage in ("train-gan", "finetune-clip"):
        assert Seen.load(chain.out(stage)).pixels <= seen.pixels


def test_minus_goes_the_other_way_from_the_same_starts(chain: Chain, tmp_path: Path) -> None:
    found = {}
    for sign in "+-":
        # Networks of a few steps hardly react: a heavy text and nothing that holds w back.
        config = {
            "gan": chain.out("train-gan"),
            "clip": chain.out("finetune-clip"),
            "target": "enlarged heart",
            "sign": sign,
            "n": 3,
            "steps": 20,
            "text_weight": 100.0,
            "l2": 0.0,
            "feature_weight": 0.0,
            "threads": 1,
            "device": "cpu",
        }
        execute(edit, resolve(edit.Config, config), tmp_path / sign)
        found[sign] = _rows(tmp_path / sign)
    for up, down in zip(found["+"], found["-"], strict=True):
        assert up["parent"] == down["parent"]
        assert up["direction_before"] == down["direction_before"]
        before = float(up["direction_before"])
        assert float(down["direction_after"]) < before < float(up["direction_after"])


def test_real_images_with_a_teacher(chain: Chain, tmp_path: Path) -> None:
    config = resolve(
        edit.Config,
        {
            "gan": chain.out("train-gan"),
            "clip": chain.out("finetune-clip"),
            "teacher": chain.out("train-cls"),
            "data": chain.out("extract-reports"),
            "fraction": 0.1,
            "target": "cardiomegaly",
            "steps": 2,
            "invert_steps": 2,
            "block": 2,
            "threads": 1,
            "device": "cpu",
        },
    )
    execute(edit, config, tmp_path / "real")
    summary = require_complete(tmp_path / "real")["summary"]
    dataset = load_dataset(tmp_path / "real")
    assert summary["targets"] == ["Cardiomegaly"]
    assert all(dataset.info.covered)
    assert all(dataset.column("patient_id"))
    assert set(dataset.column("split")) == {"train"}
    accepted = [row["accepted"] for row in _rows(tmp_path / "real")]
    assert accepted == dataset.column("Cardiomegaly").tolist()
    assert Seen.load(chain.out("train-cls")).pixels <= Seen.load(tmp_path / "real").pixels


@pytest.mark.parametrize(
    ("swap", "code", "words"),
    [
        (("--target", " "), 2, "--target is empty"),
        (("--method", "global"), 2, "latent"),
    ],
)
def test_what_is_refused(
    chain: Chain, tmp_path: Path, swap: tuple[str, ...], code: int, words: str
) -> None:
    done = run(*chain.words("edit"), *swap, "-o", tmp_path / "out")
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
