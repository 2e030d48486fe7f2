"""From a generator that was shared, and nothing else, to images, a classifier and predictions.

The commands are those of docs/how-to/sharing.md, with the names and sizes of a small generator.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

from cxrtool import cli
from cxrtool.classifiers import load
from cxrtool.core.config.values import resolve
from cxrtool.core.errors import InputError, UsageError
from cxrtool.core.runs.execution import Outcome, execute
from cxrtool.data.keys import Seen
from cxrtool.data.manifest import load_dataset
from tests.conftest import REPOSITORY
from tests.e2e import cls_sets
from tests.unit.generators.conftest import ellipse_set

SMALL = {"size": 16, "batch": 8, "kimg": 0.016, "checkpoint": "last", "preset": "tiny"}
QUICK = {"arch": "small_cnn", "steps": 4, "batch": 8, "eval_every": 2}
PAGE = REPOSITORY / "docs" / "how-to" / "sharing.md"


def start(name: str, out: Path, **options: Any) -> Outcome:
    stage = cli.stages()[name]
    threads = {} if name == "share" else {"threads": 1}
    return execute(stage, resolve(stage.Config, {**threads, **options}), out)


@pytest.fixture(scope="module")
def gift(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the shared generator and one chest X-ray, nothing else."""
    house = tmp_path_factory.mktemp("house")
    data = ellipse_set(house / "data", 80)
    start("train-gan", house / "own", data=data, arch="flow", **SMALL)
    folder = tmp_path_factory.mktemp("elsewhere")
    start("share", folder / "gan", run=house / "own")
    shutil.copy(next((data / "images").iterdir()), folder / "chest.png")
    shutil.rmtree(house)
    return folder


def commands() -> list[list[str]]:
    """The commands of the section of the page, in its order."""
    text = PAGE.read_text(encoding="utf-8")
    section = text.partition("## With the generator alone")[2].partition("\n## ")[0]
    return [shlex.split(line)[1:] for line in re.findall(r"^\$ (cxr .*)$", section, re.M)]


def test_the_commands_of_the_page(
    gift: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(gift)
    more = {
        "synthesize": ["--block", "8", "--threads", "1"],
        "train-cls": ["--arch", "small_cnn", "--steps", "4", "--threads", "1"],
        "evaluate": ["--threads", "1"],
        "predict": ["--threads", "1"],
    }
    talk = {}
    for words in commands():
        small = ["Large=20,Left=20" if "=" in word else word for word in words]
        assert cli.main([*small, *more[words[0]]]) == 0, words
        talk[words[0]] = capsys.readouterr().err
    assert list(talk) == list(more)
    for name, said in (
        ("synthesize", "nn_distance stays blank"),
        ("train-cls", "No real image was given: a tenth of the synthetic ones"),
        ("evaluate", "No real image was given (--real DATA)"),
    ):
        assert talk[name].count(said) == 1, talk[name]
    assert (gift / "predictions" / "predictions.csv").is_file()
    page = (gift / "images" / "report.md").read_text(encoding="utf-8")
    assert "40 synthetic images of 2 labels" in page
    assert "AUROC of the reading" in page

    description = load(gift / "cls").description
    assert description["images"] == {"synthetic": 36}
    assert description["validated_on"] == "synthetic"
    synth, seen = load_dataset(gift / "synth"), Seen.load(gift / "cls")
    assert seen.unknown == Seen.load(gift / "gan").unknown
    assert description["sources"][0]["digest"] == synth.info.digest[:12]


def test_it_is_judged_on_real_images_and_says_what_chose_it(tmp_path: Path) -> None:
    data = cls_sets.real(tmp_path / "real", 60)
    synth = cls_sets.synth(tmp_path / "synth", data, n=80)
    start("train-cls", tmp_path / "cls", data=synth, arm="synthetic-only", **QUICK)
    start("evaluate-classifiers", tmp_path / "out", runs=(tmp_path / "cls",), data=(data,),
          bootstrap=100)  # fmt: skip
    text = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert "Synthetic images alone chose and calibrated run 1" in text
    images = json.loads((tmp_path / "cls" / "result.json").read_text())["summary"]["images"]
    assert images == {"synthetic": 72}


def test_what_is_no_synthetic_set_is_refused(tmp_path: Path) -> None:
    data = cls_sets.real(tmp_path / "real", 60)
    with pytest.raises(UsageError, match="needs a synthetic set"):
        start("train-cls", tmp_path / "cls", data=data, arm="synthetic-only", **QUICK)
    with pytest.raises(InputError, match="holds real rows"):
        start("evaluate-images", tmp_path / "images", synth=data)
    with pytest.raises(UsageError, match="--gan applies only with --real"):
        start("evaluate-images", tmp_path / "images", synth=data, gan=tmp_path / "gan")
