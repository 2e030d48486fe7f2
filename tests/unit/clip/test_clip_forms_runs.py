"""CLIPs of other libraries through `cxr finetune-clip`: the run needs nothing but itself."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from open_clip import factory
from PIL import Image

from cxrtool import cli, clip
from cxrtool.clip.model import create
from cxrtool.clip.sources import resolve
from cxrtool.core.config.values import resolve as options
from cxrtool.core.errors import CxrError, UsageError
from cxrtool.core.runs.execution import execute

from . import hf_forms as forms
from .conftest import write_dataset
from .hf_forms import FORMS, TEXTS, agree, gray, ours
from .openai_form import CONFIG

finetune_clip = cli.stages()["finetune-clip"]
pytestmark = pytest.mark.usefixtures("no_network")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("pairs") / "data", n=24)


def finetune(pairs: Path, out: Path, **given: Any) -> dict[str, Any]:
    given = {"data": pairs, "device": "cpu", "threads": 1, **given}
    outcome = execute(finetune_clip, options(finetune_clip.Config, given), out)
    meta: dict[str, Any] = json.loads((out / "model.json").read_text())
    return {**meta, "summary": outcome.result["summary"], "state": outcome.state}


# What open_clip itself can build of a run: not a text tower whose config it would ask the hub for,
# and not a tower that timm has no name for.
OWN_TO_OPEN_CLIP = ("siglip of open_clip", "clip of transformers", "two files of laion")


@pytest.mark.parametrize(
    "form",
    ["biomedclip", "siglip of open_clip", "medsiglip in parts", "clip of transformers",
     "two files of laion"],
)  # fmt: skip
def test_a_run_of_any_form_needs_nothing_but_itself(tmp_path: Path, pairs: Path, form: str) -> None:
    stand_in = FORMS[form](tmp_path / "weights")
    pictures = gray(stand_in.size)
    wanted = stand_in.embed(pictures, TEXTS)
    meta = finetune(pairs, tmp_path / "as it is", pretrained=stand_in.folder, text="original")
    finetune(pairs, tmp_path / "run", pretrained=stand_in.folder, steps=2, select_by="last")
    shutil.rmtree(stand_in.folder)
    agree(ours(clip.load(tmp_path / "as it is"), pictures), wanted)
    assert meta["architecture"]["preprocess_cfg"]["size"] == stand_in.size
    assert meta["summary"]["activation"] == (
        "QuickGELU" if form == "clip of transformers" else "GELU"
    )
    if form != "two files of laion":
        assert meta["tokenizer"]["name"] == "open_clip.HFTokenizer"
        assert "tokenizer_config.json" in meta["tokenizer"]["files"]

    trained = ours(clip.load(tmp_path / "run"), pictures)
    assert float((trained[0] - wanted[0]).abs().max()) > 1e-6
    agree(ours(create(resolve(None, tmp_path / "run"), seed=0, device="cpu"), pictures), trained)
    if form in OWN_TO_OPEN_CLIP:
        name = f"local-dir:{tmp_path / 'run'}"
        theirs, _, transform = open_clip.create_model_and_transforms(name)
        words = open_clip.get_tokenizer(name)
        x = torch.stack([transform(Image.fromarray(picture)) for picture in pictures])
        with torch.no_grad():
            images = theirs.eval().encode_image(x, normalize=True)
            agree((images, theirs.encode_text(words(TEXTS), normalize=True)), trained)


@pytest.mark.parametrize(
    ("form", "text"),
    [("biomedclip", "effusion " * 300), ("medsiglip", "effusion " * 20)],
)
def test_what_a_tokenizer_cuts_is_told(tmp_path: Path, form: str, text: str) -> None:
    model = create(resolve(None, FORMS[form](tmp_path / "weights").folder), seed=0, device="cpu")
    assert model.cut(TEXTS[0]) == ""
    lost = model.cut(text)
    assert lost
    assert text.strip().endswith(lost.split()[-1])


# ------------------------------------------------------------------- sizes


@pytest.mark.parametrize(
    ("form", "size"),
    [("biomedclip", 96), ("siglip of open_clip", 224), ("medsiglip", 48),
     ("clip of transformers", 48)],
)  # fmt: skip
def test_another_size_is_had(tmp_path: Path, pairs: Path, form: str, size: int) -> None:
    stand_in = FORMS[form](tmp_path / "weights")
    meta = finetune(pairs, tmp_path / "run", pretrained=stand_in.folder, steps=1, size=size)
    assert meta["preprocessing"]["size"] == size
    images, _ = ours(clip.load(tmp_path / "run"), gray(size))
    assert float(images.isfinite().all())
    back = resolve(None, tmp_path / "run", size=stand_in.size)
    assert create(back, seed=0, device="cpu").size == stand_in.size


@pytest.mark.parametrize(
    ("tower", "size", "said"),
    [("test_vit", 100, "multiple of 16"), ("test_maxvit", 100, "cannot have it")],
)
def test_a_size_that_cannot_be_had_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tower: str, size: int, said: str
) -> None:
    vision = {"timm_model_name": tower, "timm_pool": "avg", "image_size": 160}
    toy = {**CONFIG, "vision_cfg": vision}
    monkeypatch.setitem(factory._MODEL_CONFIGS, "toy", toy)
    with pytest.raises(UsageError, match=said) as caught:
        create(resolve("toy", size=size), seed=0, device="cpu")
    assert "leave out --size" in str(caught.value.hint)
    assert "\n" not in str(caught.value)


def test_a_config_beside_a_file_makes_another_run(tmp_path: Path, pairs: Path) -> None:
    folder = FORMS["two files of laion"](tmp_path / "weights").folder
    file = (folder / "open_clip_pytorch_model.bin").rename(folder / "mine.bin")
    given = {"pretrained": file, "text": "original"}
    finetune(pairs, tmp_path / "run", **given)
    assert finetune(pairs, tmp_path / "run", **given)["state"] == "up-to-date"
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["preprocess_cfg"]["mean"] = [0.5] * 3
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(CxrError):
        finetune(pairs, tmp_path / "run", **given)


def test_parts_in_a_folder_that_the_config_names(tmp_path: Path, pairs: Path) -> None:
    """As people do who have no network: paths in place of the names of repositories."""
    stand_in = forms.biomedclip(tmp_path / "weights", tower=tmp_path / "bert")
    wanted = stand_in.embed(gray(160), TEXTS)
    finetune(pairs, tmp_path / "run", pretrained=stand_in.folder, text="original")
    again = finetune(pairs, tmp_path / "run", pretrained=stand_in.folder, text="original")
    assert again["state"] == "up-to-date"
    shutil.rmtree(tmp_path / "bert")
    shutil.rmtree(stand_in.folder)
    assert str(tmp_path) not in (tmp_path / "run" / "open_clip_config.json").read_text()
    agree(ours(clip.load(tmp_path / "run"), gray(160)), wanted)
