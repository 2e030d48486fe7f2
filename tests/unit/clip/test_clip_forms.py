"""The forms in which people have CLIPs: each embeds as its own library does, offline."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from open_clip import factory
from PIL import Image

from cxrtool import cli, clip
from cxrtool.clip.architecture import resolve
from cxrtool.clip.model import ClipModel, create
from cxrtool.core.config.values import resolve as options
from cxrtool.core.errors import InputError, UsageError
from cxrtool.core.runs.execution import execute

from . import hf_forms as forms
from .conftest import write_dataset
from .hf_forms import TEXTS, StandIn

finetune_clip = cli.stages()["finetune-clip"]

FORMS: dict[str, Callable[[Path], StandIn]] = {
    "biomedclip": forms.biomedclip,
    "biomedclip with its tower's config": partial(forms.biomedclip, text_config=True),
    "siglip of open_clip": forms.open_clip_siglip,
    "medsiglip": forms.medsiglip,
    "medsiglip in parts": partial(forms.medsiglip, max_shard_size="60KB"),
    "clip of transformers": forms.transformers_clip,
    "clip of transformers, gelu": partial(forms.transformers_clip, act="gelu"),
    "clip of transformers, tanh": partial(forms.transformers_clip, act="gelu_pytorch_tanh"),
    "clip of transformers, end mark first": partial(forms.transformers_clip, end_first=True),
    "clip of transformers, old end mark": partial(forms.transformers_clip, legacy=True),
    "two files of laion": partial(forms.laion, second="model.safetensors"),
    "two files of laion, bin": partial(forms.laion, second="pytorch_model.bin"),
}


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("something asks the network")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def gray(size: int, n: int = 3) -> np.ndarray:
    return np.random.default_rng(size).integers(0, 256, (n, size, size)).astype(np.uint8)


def ours(model: ClipModel, pictures: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    model.network.eval()
    x = torch.from_numpy(pictures).float()[:, None] / 127.5 - 1
    with torch.no_grad():
        return model.embed_images(x), model.embed_texts(TEXTS)


def agree(a: tuple[torch.Tensor, ...], b: tuple[torch.Tensor, ...]) -> None:
    for one, other in zip(a, b, strict=True):
        assert one.shape == other.shape
        assert float((one - other).abs().max()) < 1e-5
        assert float((one[0] - one[1]).abs().max()) > 1e-2  # that the comparison means something


@pytest.mark.parametrize("form", FORMS)
def test_a_folder_embeds_as_its_own_library_does(tmp_path: Path, form: str) -> None:
    stand_in = FORMS[form](tmp_path / "weights")
    pictures = gray(stand_in.size)
    wanted = stand_in.embed(pictures, TEXTS)
    model = create(resolve(None, stand_in.folder), seed=0, device="cpu")
    assert model.size == stand_in.size
    agree(ours(model, pictures), wanted)


# ------------------------------------------------------------------- the whole way


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("pairs") / "data")


def finetune(pairs: Path, out: Path, **given: Any) -> dict[str, Any]:
    given = {"data": pairs, "device": "cpu", "threads": 1, **given}
    execute(finetune_clip, options(finetune_clip.Config, given), out)
    meta: dict[str, Any] = json.loads((out / "model.json").read_text())
    return meta


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
    finetune(pairs, tmp_path / "run", pretrained=stand_in.folder, steps=2)
    shutil.rmtree(stand_in.folder)
    agree(ours(clip.load(tmp_path / "as it is"), pictures), wanted)
    assert meta["architecture"]["preprocess_cfg"]["size"] == stand_in.size
    assert meta["activation"] == ("QuickGELU" if form == "clip of transformers" else "GELU")
    if form != "two files of laion":
        assert meta["tokenizer"]["name"] == "open_clip.HFTokenizer"
        assert "tokenizer_config.json" in meta["tokenizer"]["files"]

    trained = ours(clip.load(tmp_path / "run"), pictures)
    assert float((trained[0] - wanted[0]).abs().max()) > 1e-6
    again = finetune(pairs, tmp_path / "again", pretrained=tmp_path / "run", text="original")
    agree(ours(clip.load(tmp_path / "again"), pictures), trained)
    if form in OWN_TO_OPEN_CLIP:
        name = f"local-dir:{tmp_path / 'again'}"
        theirs, _, transform = open_clip.create_model_and_transforms(name)
        words = open_clip.get_tokenizer(name)
        x = torch.stack([transform(Image.fromarray(picture)) for picture in pictures])
        with torch.no_grad():
            images = theirs.eval().encode_image(x, normalize=True)
            agree((images, theirs.encode_text(words(TEXTS), normalize=True)), trained)
    assert again["tokenizer"] == meta["tokenizer"]


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
    toy = {**forms.LAION, "vision_cfg": vision}
    monkeypatch.setitem(factory._MODEL_CONFIGS, "toy", toy)
    with pytest.raises(UsageError, match=said) as caught:
        create(resolve("toy", size=size), seed=0, device="cpu")
    assert "leave out --size" in str(caught.value.hint)
    assert "\n" not in str(caught.value)
