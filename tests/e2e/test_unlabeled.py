"""Images without labels: what works on them, and what refuses them by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from cxrtool import cli
from cxrtool.core.config.values import resolve
from cxrtool.core.errors import CxrError
from cxrtool.core.runs.execution import execute
from tests.e2e.prepare_sources import drawing, prepare

STAGES = cli.stages()


def run(name: str, out: Path, **options: Any) -> None:
    stage = STAGES[name]
    execute(stage, resolve(stage.Config, options), out)


@pytest.fixture(scope="module")
def unlabeled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A flat folder of images, prepared."""
    folder = tmp_path_factory.mktemp("new")
    (folder / "images").mkdir()
    for i in range(20):
        Image.fromarray(drawing(i)).save(folder / "images" / f"{i}.png")
    data = prepare(folder / "images", folder / "data", format="auto", split_by="0.6,0.2,0.2")
    assert (data.info.labels, len(data)) == ((), 20)
    return data.path


def test_a_generator_needs_no_labels(unlabeled: Path, tmp_path: Path) -> None:
    tiny = {"preset": "tiny", "size": 16, "batch": 4, "kimg": 0.008, "snapshot_kimg": 0.008}
    run("train-gan", tmp_path / "gan", data=unlabeled, device="cpu", threads=1, **tiny)
    assert (tmp_path / "gan" / "model.json").exists()


def test_other_programs_read_them(unlabeled: Path, tmp_path: Path) -> None:
    run("export", tmp_path / "out", data=unlabeled, to="imagefolder")
    assert len(list((tmp_path / "out").rglob("*.png"))) == 20


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("train-cls", {"arch": "small_cnn", "device": "cpu"}),
        ("synthesize", {"target_frac": "0.2", "plan_only": True}),
        ("synthesize", {"counts": "Edema=3", "plan_only": True}),
        ("train-gan", {"arch": "bagan", "single_label": "rarest", "device": "cpu"}),
        ("extract-reports", {}),
    ],
)
def test_what_needs_labels_or_texts_says_so(
    unlabeled: Path, tmp_path: Path, name: str, options: dict[str, Any]
) -> None:
    source = "reports" if name == "extract-reports" else "data"
    with pytest.raises(CxrError) as caught:
        run(name, tmp_path / "out", **{source: unlabeled}, **options)
    assert caught.value.hint
    if name in ("train-cls", "synthesize"):
        assert "has no labels" in str(caught.value)
        assert "cxr extract-reports" in caught.value.hint
