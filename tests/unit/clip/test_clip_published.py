"""What weights bring: every published pair against open_clip's own factory, and files of all kinds
against readers that know nothing of open_clip."""

from __future__ import annotations

import functools
import json
import os
import pickle
import shutil
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from open_clip import factory, pretrained
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from cxrtool import cli, clip
from cxrtool.clip import weights as published
from cxrtool.clip.architecture import CONFIG_FILE, Architecture, build, tokenizer
from cxrtool.clip.model import ClipModel, create
from cxrtool.clip.sources import resolve
from cxrtool.core import console
from cxrtool.core.config.values import resolve as options
from cxrtool.core.errors import InputError, UsageError
from cxrtool.core.runs.execution import execute

from .conftest import micro, write_dataset
from .openai_form import CONFIG, CONTEXT, SIZE, OpenAIForm

evaluate_clip = cli.stages()["evaluate-clip"]
finetune_clip = cli.stages()["finetune-clip"]

TEXTS = ["no pleural effusion", "Cardiomegaly"]
QUICK_PAIRS, OTHER_NORMALIZATION = 26, 12  # of open_clip 3.3.0, without towers of the hub
OPENAI_MEAN, CHEXZERO_MEAN = 0.48145466, 101.48761 / 255


# ------------------------------------------------------------------- every pair of open_clip


class _Built(nn.Module):
    """What the factory would have built: its arguments alone."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__()
        self.arguments = {k: v for k, v in arguments.items() if k != "cast_dtype"}
        self.visual = nn.Module()
        self.visual.image_size = arguments["vision_cfg"].get("image_size", 224)


class _Words:
    def __init__(self, **arguments: Any) -> None:
        self.arguments = {k: v for k, v in arguments.items() if v != ""}


@pytest.fixture
def blueprint(monkeypatch: pytest.MonkeyPatch) -> None:
    """The factory with classes that remember how they were asked for; nothing is fetched."""
    for name in ("CLIP", "CustomTextCLIP", "CoCa"):
        monkeypatch.setattr(factory, name, type(name, (_Built,), {}))
    for name in ("SimpleTokenizer", "HFTokenizer", "SigLipTokenizer"):
        monkeypatch.setattr(factory, name, type(name, (_Words,), {}))
    monkeypatch.setattr(factory, "download_pretrained", lambda *a, **k: "nowhere.bin")
    monkeypatch.setattr(pretrained, "download_pretrained", lambda *a: "nowhere.bin")


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value))


@pytest.mark.usefixtures("blueprint")
def test_every_published_pair_is_built_as_open_clip_builds_it() -> None:
    forced, normalized = [], set()
    for model, tag in open_clip.list_pretrained():
        entry = open_clip.get_pretrained_cfg(model, tag)
        text = factory.get_model_config(model)["text_cfg"]
        if text.get("hf_model_name") or text.get("hf_tokenizer_name"):
            with pytest.raises(UsageError, match="Hugging Face"):
                resolve(model, tag=tag, allow_download=True)
            continue
        quick = bool(entry.get("quick_gelu", False))
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a mismatch of the activation is one
            theirs = open_clip.create_model(model, tag, load_weights=False, force_quick_gelu=quick)
        found = resolve(model, tag=tag, allow_download=True)
        assert found.quick_gelu == quick, (model, tag)
        assert not found.assumed
        ours = build(Architecture(model, found.model_cfg, found.preprocess_cfg), 0)
        assert type(ours) is type(theirs)
        wanted, got = _plain(theirs.arguments), _plain(ours.arguments)
        assert got.pop("quick_gelu", False) == wanted.pop("quick_gelu", False) == quick
        assert got == wanted, (model, tag)
        assert _plain(ours.visual.preprocess_cfg) == _plain(theirs.visual.preprocess_cfg)
        words, their_words = tokenizer(found), open_clip.get_tokenizer(model)
        assert type(words) is type(their_words)
        assert words.arguments == {
            k: v for k, v in their_words.arguments.items() if k != "reduction_mask"
        }
        if quick and not factory.get_model_config(model).get("quick_gelu"):
            forced.append((model, tag))
        if tuple(entry["mean"]) not in {open_clip.OPENAI_DATASET_MEAN, IMAGENET}:
            normalized.add(model)
    assert len(forced) == QUICK_PAIRS
    assert len(normalized) == OTHER_NORMALIZATION


IMAGENET = 0.485, 0.456, 0.406


# ------------------------------------------------------------------- stand-ins by file


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """`ViT-B-32` and others, with all of their tags, are toys."""
    toy = json.loads(json.dumps(CONFIG))
    for name in ("ViT-B-32", "RN50", "ViT-L-14", "MobileCLIP-B", "ViT-S-32"):
        monkeypatch.setitem(factory._MODEL_CONFIGS, name, json.loads(json.dumps(toy)))
    named = {**json.loads(json.dumps(toy)), "quick_gelu": True}
    monkeypatch.setitem(factory._MODEL_CONFIGS, "ViT-B-32-quickgelu", named)


def _gray(n: int = 3) -> torch.Tensor:
    return torch.rand(n, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(1)) * 2 - 1


@functools.cache
def _tokens() -> torch.Tensor:
    found: torch.Tensor = open_clip.get_tokenizer(context_length=CONTEXT)(TEXTS)
    return found


def _vectors(reader: Any, x: torch.Tensor, mean: Any, std: Any) -> tuple[torch.Tensor, ...]:
    """Unit vectors of images and texts from a reader with OpenAI's two calls."""
    shape = (1, 3, 1, 1)
    images = ((x + 1) / 2 - torch.tensor(mean).view(shape)) / torch.tensor(std).view(shape)
    with torch.no_grad():
        found = reader.encode_image(images), reader.encode_text(_tokens())
    return tuple(functional.normalize(vectors, dim=-1) for vectors in found)


def _ours(model: ClipModel, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    model.network.eval()
    with torch.no_grad():
        return model.embed_images(x), model.embed_texts(TEXTS)


def _agree(a: tuple[torch.Tensor, ...], b: tuple[torch.Tensor, ...], atol: float = 1e-5) -> bool:
    return all(torch.allclose(x, y, atol=atol, rtol=0) for x, y in zip(a, b, strict=True))


def _write(kind: str, quick: bool, folder: Path) -> Path:
    """The toy's weights in one of the forms in which people have them."""
    module = OpenAIForm(quick, buffers=kind in {"buffers", "archive"})
    state = module.state_dict()
    if kind == "archive":
        return module.archive(folder / "archive.pt")
    if kind == "safetensors":
        save_file(state, folder / "bare.safetensors")
        return folder / "bare.safetensors"
    if kind in {"open_clip", "epoch"}:
        network = build(Architecture("toy", CONFIG, published.default_preprocess()), 0)
        network.load_state_dict(state)
        state = network.state_dict()
    if kind == "half":
        state = {name: value.half() for name, value in state.items()}
    if kind == "wrapped":
        state = {"state_dict": {f"module.{name}": value for name, value in state.items()}}
    if kind == "epoch":  # of open_clip's own training, in several processes
        wrapped = {f"module.{name}": value for name, value in state.items()}
        moments = {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 5e-4}]}
        state = {"epoch": 3, "name": "run", "state_dict": wrapped, "optimizer": moments}
    path = folder / f"{kind}.pt"
    torch.save(state, path, _use_new_zipfile_serialization=kind != "legacy")
    return path


OPENAI = published.default_preprocess()


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize(
    ("kind", "model", "tag", "quick", "assumed"),
    [
        ("archive", "ViT-B-32", None, True, "OpenAI's mean"),  # its program has the activation
        ("archive", "ViT-B-32", None, False, "OpenAI's mean"),
        ("archive", "ViT-B-32", "openai", True, ""),
        ("buffers", "ViT-B-32", "openai", True, ""),
        ("buffers", "ViT-B-32", None, True, "OpenAI's mean"),
        ("class order", "ViT-B-32", None, True, "OpenAI's mean"),  # CheXzero's form
        ("wrapped", "ViT-B-32", None, True, "OpenAI's mean"),
        ("legacy", "ViT-B-32", None, True, "OpenAI's mean"),
        ("half", "ViT-B-32", "openai", True, ""),
        ("open_clip", "ViT-B-32", "metaclip_400m", True, ""),
        ("safetensors", "ViT-B-32", "metaclip_400m", True, ""),
        ("safetensors", "ViT-B-32", "laion2b_s34b_b79k", False, ""),
        ("safetensors", "ViT-B-32-quickgelu", None, True, "OpenAI's mean"),
        ("safetensors", "RN50", None, True, ""),  # all that are published
        ("open_clip", "ViT-B-32", None, False, "GELU and OpenAI's mean"),
        ("epoch", "ViT-B-32", None, False, "GELU and OpenAI's mean"),
        ("epoch", "ViT-B-32", "metaclip_400m", True, ""),
        ("safetensors", "ViT-S-32", None, False, "none are published"),
        ("buffers", "ViT-S-32", None, True, "none are published"),
    ],
)
def test_a_file_is_read_as_an_independent_reader_reads_it(
    tmp_path: Path, kind: str, model: str, tag: str | None, quick: bool, assumed: str
) -> None:
    path = _write(kind, quick, tmp_path)
    found = resolve(model, path, tag=tag)
    assert found.quick_gelu == quick
    assert (assumed in found.assumed) if assumed else not found.assumed
    ours = _ours(create(found, seed=0, device="cpu"), _gray())
    if kind == "archive":
        reader: Any = torch.jit.load(path)
    else:
        reader = OpenAIForm(quick)
    wanted = _vectors(reader, _gray(), OPENAI["mean"], OPENAI["std"])
    assert _agree(ours, wanted, 5e-4 if kind == "half" else 1e-5)
    other = _vectors(OpenAIForm(not quick), _gray(), OPENAI["mean"], OPENAI["std"])
    assert not _agree(ours, other, 1e-3)


# What CLIPModel of transformers 5.24.0 gives for the toy's weights (hidden_act quick_gelu, gelu).
TRANSFORMERS = {
    True: (
        [-0.145836, -0.083098, 0.047192, 0.146571, -0.035286, -0.231674, 0.5051, -0.083684,
         -0.113799, -0.416054, -0.021235, -0.183732, -0.56044, 0.234342, -0.18507, -0.086885],
        [-0.007253, -0.361157, -0.227823, 0.340986, -0.337311, 0.26914, 0.061993, 0.297316,
         -0.403581, 0.085632, -0.279947, 0.067277, 0.192032, -0.338387, -0.127571, -0.046031],
    ),
    False: (
        [-0.144327, -0.080166, 0.042682, 0.144927, -0.037386, -0.228162, 0.504479, -0.083239,
         -0.115655, -0.421111, -0.020795, -0.181988, -0.559208, 0.233048, -0.188199, -0.091259],
        [-0.003738, -0.360121, -0.226988, 0.340314, -0.339591, 0.273067, 0.062924, 0.294078,
         -0.406893, 0.084359, -0.278337, 0.064195, 0.194391, -0.333497, -0.131786, -0.044576],
    ),
}  # fmt: skip


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize(("tag", "quick"), [("openai", True), ("laion2b_e16", False)])
def test_a_file_is_read_as_transformers_reads_it(tmp_path: Path, tag: str, quick: bool) -> None:
    path = _write("safetensors", quick, tmp_path)
    network = build(resolve("ViT-B-32", path, tag=tag), 0).eval()
    waves = torch.sin(torch.arange(3 * SIZE**2, dtype=torch.float64) * 0.013).float()
    tokens = torch.zeros(1, CONTEXT, dtype=torch.long)
    tokens[0, :5] = torch.tensor([49406, 320, 1125, 539, 49407])
    with torch.no_grad():
        image = network.encode_image(waves.view(1, 3, SIZE, SIZE), normalize=True)
        text = network.encode_text(tokens, normalize=True)
    assert _agree((image[0], text[0]), tuple(map(torch.tensor, TRANSFORMERS[quick])))
    assert not _agree((image[0], text[0]), tuple(map(torch.tensor, TRANSFORMERS[not quick])), 1e-3)


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize(
    ("model", "tag", "mean", "interpolation"),
    [
        ("ViT-B-32", "chexzero", CHEXZERO_MEAN, "bicubic"),
        ("ViT-L-14", "laion2b_s32b_b82k", 0.5, "bicubic"),
        ("ViT-L-14", "openai", OPENAI_MEAN, "bicubic"),
        ("MobileCLIP-B", None, 0.0, "bilinear"),  # all that are published
    ],
)
def test_mean_and_deviation_come_with_the_weights(
    tmp_path: Path, model: str, tag: str | None, mean: float, interpolation: str
) -> None:
    found = resolve(model, _write("safetensors", False, tmp_path), tag=tag)
    assert found.preprocess_cfg["mean"][0] == pytest.approx(mean)
    assert found.preprocess_cfg["interpolation"] == interpolation
    assert not found.assumed


@pytest.mark.usefixtures("stand_in")
def test_gray_levels_of_chexzero_are_those_of_its_code(tmp_path: Path) -> None:
    found = resolve("ViT-B-32", _write("class order", True, tmp_path), tag="chexzero")
    model = create(found, seed=0, device="cpu")
    levels = torch.tensor([0.0, 101.48761, 255.0])
    x = (levels / 127.5 - 1).view(3, 1, 1, 1).expand(3, 1, SIZE, SIZE)
    wanted = (levels - 101.48761) / 83.43944
    assert torch.allclose(model.preprocess(x)[:, 0, 0, 0], wanted, atol=1e-6)


@pytest.mark.usefixtures("stand_in")
def test_a_tag_that_the_file_contradicts_is_taken_and_said(tmp_path: Path) -> None:
    found = resolve("ViT-B-32", _write("archive", True, tmp_path), tag="laion2b_e16")
    assert not found.quick_gelu
    assert "shows QuickGELU" in found.assumed


@pytest.mark.usefixtures("stand_in")
def test_weights_that_nobody_can_fetch_need_their_file() -> None:
    with pytest.raises(UsageError, match="chexzero") as caught:
        resolve("ViT-B-32", tag="chexzero", allow_download=True)
    assert "--pretrained" in str(caught.value.hint)


def test_names_of_transformers_are_refused_with_advice(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"text_model.encoder.layers.0.layer_norm1.weight": torch.ones(4)}, path)
    with pytest.raises(InputError, match="transformers") as caught:
        resolve("ViT-B-32", path)
    assert "the folder that holds them" in str(caught.value.hint)


class _Harm:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def test_nothing_of_an_archive_is_run(tmp_path: Path) -> None:
    path = tmp_path / "archive.pt"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("data.pkl", "constants.pkl"):
            archive.writestr(f"archive/{name}", pickle.dumps(_Harm(tmp_path / "harm"), protocol=2))
        archive.writestr("archive/version", "3\n")
    with pytest.raises(InputError, match="more than tensors"):
        resolve("ViT-B-32", path)
    assert not (tmp_path / "harm").exists()


# ------------------------------------------------------------------- folders and runs


def _folder(path: Path, quick: bool) -> Path:
    path.mkdir()
    cfg = {
        "model_cfg": {**CONFIG, "quick_gelu": quick},
        "preprocess_cfg": {"mean": [0.1, 0.2, 0.3]},
    }
    (path / CONFIG_FILE).write_text(json.dumps(cfg))
    save_file(OpenAIForm(quick).state_dict(), path / "open_clip_model.safetensors")
    (path / "model.safetensors").write_bytes(b"the same under other names")
    return path


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize("model", [None, "ViT-B-32"])
@pytest.mark.parametrize("quick", [True, False])
def test_a_folder_says_what_its_weights_need(
    tmp_path: Path, model: str | None, quick: bool
) -> None:
    folder = _folder(tmp_path / "weights", quick)
    found = resolve(model, folder)
    assert (found.quick_gelu, found.assumed) == (quick, "")
    ours = _ours(create(found, seed=0, device="cpu"), _gray())
    theirs, _, _ = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    assert _agree(ours, _vectors(theirs.eval(), _gray(), [0.1, 0.2, 0.3], OPENAI["std"]))


@pytest.mark.usefixtures("stand_in")
def test_a_folder_is_not_contradicted(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "weights", True)
    with pytest.raises(UsageError, match="--tag openai"):
        resolve(None, folder, tag="openai")
    with pytest.raises(UsageError, match="another architecture"):
        resolve("ViT-B-16", folder)


@pytest.mark.usefixtures("stand_in")
def test_a_run_keeps_what_its_weights_need(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_dataset(tmp_path / "data")
    said: list[str] = []
    monkeypatch.setattr(console, "warn", said.append)
    given = {
        "data": data,
        "pretrained": _write("archive", True, tmp_path),
        "model": "ViT-B-32",
        "device": "cpu",
        "threads": 1,
    }
    out = tmp_path / "clip"
    config = options(finetune_clip.Config, {**given, "tag": "openai", "text": "original"})
    summary = execute(finetune_clip, config, out).result["summary"]
    assert not said
    assert summary["activation"] == "QuickGELU"
    assert summary["settings_from"] == "tag openai"
    assert "ViT-B-32: QuickGELU, mean 0.4815 0.4578 0.4082" in capsys.readouterr().err

    reader = torch.jit.load(given["pretrained"])
    wanted = _vectors(reader, _gray(), OPENAI["mean"], OPENAI["std"])
    ours = clip.load(out)
    assert _agree(_ours(ours, _gray()), wanted)
    theirs, _, transform = open_clip.create_model_and_transforms(f"local-dir:{out}")
    levels = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE)).astype(np.uint8)
    x = torch.from_numpy(levels).float()[None, None] / 127.5 - 1
    with torch.no_grad():
        image = theirs.eval().encode_image(transform(Image.fromarray(levels))[None], normalize=True)
        text = theirs.encode_text(
            open_clip.get_tokenizer(f"local-dir:{out}")(TEXTS), normalize=True
        )
    assert _agree(_ours(ours, x), (image, text))

    again = options(finetune_clip.Config, {**given, "pretrained": out, "steps": 1, "model": None})
    by_file = options(
        finetune_clip.Config,
        {**given, "pretrained": out / "model.safetensors", "steps": 1, "model": None},
    )
    assert by_file == again, "the file of a run is the run, with all that it has seen"
    assert resolve(None, out).quick_gelu
    meta = json.loads((out / "model.json").read_text())
    assert evaluate_clip.recipe_of(meta, {})["activation"] == "QuickGELU"

    said.clear()
    unsaid = options(finetune_clip.Config, {**given, "text": "original"})
    execute(finetune_clip, unsaid, tmp_path / "unsaid")
    assert len(said) == 1
    assert "OpenAI's mean and deviation" in said[0]
    assert "--tag" in said[0]


def test_a_run_of_an_earlier_version_stays_as_it_was_trained(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data")
    out = tmp_path / "clip"
    config = options(
        finetune_clip.Config,
        {"data": data, "model": "tiny", "text": "original", "device": "cpu", "threads": 1},
    )
    execute(finetune_clip, config, out)
    before = _ours(clip.load(out), _gray())
    meta = json.loads((out / "model.json").read_text())
    del meta["settings_from"]
    shutil.copytree(out, tmp_path / "old")
    (tmp_path / "old" / "model.json").write_text(json.dumps(meta))
    found = clip.load(tmp_path / "old")
    assert "quick_gelu" not in meta["architecture"]["model_cfg"]
    assert all(map(torch.equal, _ours(found, _gray()), before))


# ------------------------------------------------------------------- pixels


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("size", [17, 32, 64, 150])
def test_preprocessing_is_open_clips_up_to_its_rounding(size: int, interpolation: str) -> None:
    """Black and white noise, whose edges bicubic weights carry out of the range."""
    plain = {"mean": [0.0] * 3, "std": [1.0] * 3, "interpolation": interpolation, "size": 32}
    model = create(Architecture("micro", micro().model_cfg, plain), seed=0, device="cpu")
    cfg = open_clip.transform.PreprocessCfg(**plain)
    transform = open_clip.transform.image_transform_v2(cfg, is_train=False)
    levels = (np.random.default_rng(size).random((size, size)) > 0.5).astype(np.uint8) * 255
    x = torch.from_numpy(levels).float()[None, None] / 127.5 - 1
    difference = (model.preprocess(x)[0] - transform(Image.fromarray(levels))).abs() * 255
    assert float(difference.max()) < 1.2  # each of two directions is rounded to a level
    assert float(difference.mean()) < 0.5
