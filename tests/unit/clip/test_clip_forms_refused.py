"""CLIPs that cannot be read: one line each that names the file, and what to do."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import load_file, save_file

from cxrtool.clip.model import create
from cxrtool.clip.sources import resolve
from cxrtool.core.errors import CxrError, UsageError

from . import hf_forms as forms


def change(path: Path, **values: Any) -> None:
    """Entries of a JSON file, by dotted names with __ for the dot."""
    content = json.loads(path.read_text())
    for name, value in values.items():
        *stem, leaf = name.split("__")
        part = content
        for key in stem:
            part = part[key]
        part[leaf] = value
    path.write_text(json.dumps(content))


def shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def drop_tokenizer(folder: Path) -> None:
    for name in ("vocab.txt", "vocab.json", "merges.txt", "spiece.model", "tokenizer.json"):
        (folder / name).unlink(missing_ok=True)


def with_code(path: Path, **values: Any) -> None:
    """A config that would have a file of the folder run."""
    (path.parent / "harm.py").write_text(f"open({str(path.parent / 'harmed')!r}, 'w')\n")
    name = "AutoTokenizer" if path.name.startswith("tokenizer") else "AutoModel"
    change(path, auto_map={name: ["harm.Thing", None] if "tok" in path.name else "harm.Thing"})


def allow_code(folder: Path) -> None:
    with_code(folder / "tokenizer_config.json")
    trust = {"trust_remote_code": True}
    change(folder / OPEN, **{f"{TEXT}__tokenizer_kwargs": trust})


def without(path: Path, *parts: str) -> None:
    state = load_file(path)
    save_file({k: v for k, v in state.items() if not any(part in k for part in parts)}, path)


def rename_both(folder: Path) -> None:
    file = folder / "open_clip_pytorch_model.bin"
    (folder / "first.bin").write_bytes(file.read_bytes())
    file.rename(folder / "second.pt")


def point(path: Path) -> None:
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")


BIN, TENSORS, OPEN = "open_clip_pytorch_model.bin", "model.safetensors", "open_clip_config.json"
SIGLIP = "open_clip_model.safetensors"
TEXT, VISION = "model_cfg__text_cfg", "model_cfg__vision_cfg"
MODEL_TYPE = "chinese_clip"

CASES: dict[str, tuple[Callable[..., Any], Callable[[Path], Any], str, str]] = {
    # the form, what is done to it, what is said, and the advice
    "cut short": (forms.biomedclip, lambda f: shorten(f / BIN), BIN, "copy it again"),
    "cut short, safetensors": (
        forms.medsiglip, lambda f: shorten(f / TENSORS), TENSORS, "copy it again",
    ),
    "empty": (forms.medsiglip, lambda f: (f / TENSORS).write_bytes(b""), TENSORS, "copy it again"),
    "a pointer": (forms.medsiglip, lambda f: point(f / TENSORS), "pointer of Git LFS", "git lfs"),
    "a pointer, bin": (forms.biomedclip, lambda f: point(f / BIN), "pointer of Git LFS", "git lfs"),
    "no weights": (forms.medsiglip, lambda f: (f / TENSORS).unlink(), "no weights", ""),
    "two weights": (forms.biomedclip, rename_both, r"first\.bin, second\.pt", "give one of"),
    "no tokenizer, BERT": (forms.biomedclip, drop_tokenizer, "no tokenizer", forms.PUBMEDBERT),
    "no tokenizer, open_clip": (
        forms.open_clip_siglip, drop_tokenizer, "no tokenizer", "timm/ViT-B-16-SigLIP",
    ),
    "no tokenizer, SigLIP": (forms.medsiglip, drop_tokenizer, "no tokenizer", "tokenizer.json"),
    "no tokenizer, CLIP": (forms.transformers_clip, drop_tokenizer, "no tokenizer", "same model"),
    "a damaged tokenizer": (
        forms.medsiglip, lambda f: (f / "spiece.model").write_bytes(b"?" * 99),
        "tokenizer cannot be read", "same model",
    ),
    "another model": (
        forms.medsiglip, lambda f: change(f / "config.json", model_type=MODEL_TYPE), MODEL_TYPE,
        "open_clip's form",
    ),
    "no model_type": (
        forms.medsiglip, lambda f: (f / "config.json").write_text("{}"), "type None",
        "open_clip's form",
    ),
    "no JSON": (forms.medsiglip, lambda f: (f / "config.json").write_text("{"), "valid JSON", ""),
    "a list": (forms.medsiglip, lambda f: (f / "config.json").write_text("[]"), "JSON object", ""),
    "code": (
        forms.medsiglip, lambda f: with_code(f / "config.json"), "never run here", "transformers",
    ),
    "code of a tokenizer": (
        forms.medsiglip, lambda f: with_code(f / "tokenizer_config.json"), "never run here", "",
    ),
    "code of a text tower": (
        lambda f: forms.biomedclip(f, text_config=True), lambda f: with_code(f / "config.json"),
        "never run here", "",
    ),
    "code of a tokenizer, allowed": (
        forms.open_clip_siglip,
        allow_code, "never run here", "",
    ),
    "a tower of the hub": (
        forms.biomedclip, lambda f: change(f / OPEN, **{f"{TEXT}__hf_model_name": "roberta-base"}),
        "'roberta-base' of the Hugging Face hub", "config.json of that repository",
    ),
    "an image tower of the hub": (
        forms.biomedclip,
        lambda f: change(f / OPEN, **{f"{VISION}__timm_model_name": "hf-hub:timm/x"}),
        "timm_model_name", "",
    ),
    "an unknown image tower": (
        forms.biomedclip, lambda f: change(f / OPEN, **{f"{VISION}__timm_model_name": "vit_z"}),
        "vit_z", "",
    ),
    "an unknown option": (
        forms.biomedclip, lambda f: change(f / OPEN, **{f"{TEXT}__depth": 3}), "cannot use", "",
    ),
    "another width": (
        forms.biomedclip, lambda f: change(f / OPEN, model_cfg__embed_dim=24),
        r"another network.* 3 of another shape \(visual.head.proj.weight \[32, 64\] for "
        r"\[24, 64\]", "--model",
    ),
    "another depth": (
        forms.open_clip_siglip, lambda f: change(f / OPEN, **{f"{TEXT}__layers": 1}),
        r"another network.* 12 unknown \(text.transformer.resblocks.1.", "--model",
    ),
    "half of it": (
        forms.medsiglip, lambda f: without(f / TENSORS, "vision_model"),
        r"another network.* missing \(visual.trunk.", "--model",
    ),
    "one matrix of three": (
        forms.transformers_clip, lambda f: without(f / TENSORS, "layers.1.self_attn.k_proj.weight"),
        r"2 missing \(.*resblocks.1.attn.in_proj_weight", "--model",
    ),
    "two activations": (
        forms.transformers_clip,
        lambda f: change(f / "config.json", vision_config__hidden_act="gelu"),
        "activations quick_gelu and gelu", "",
    ),
    "an unknown activation": (
        forms.medsiglip, lambda f: change(f / "config.json", text_config__hidden_act="relu"),
        "activations relu", "",
    ),
    "a norm that timm has not": (
        forms.medsiglip, lambda f: change(f / "config.json", vision_config__layer_norm_eps=1e-3),
        "timm", "",
    ),
    "a part is missing": (
        lambda f: forms.medsiglip(f, max_shard_size="60KB"),
        lambda f: next(f.glob("model-00002*")).unlink(), "1 of .* parts are missing", "copy",
    ),
    "no index": (
        lambda f: forms.medsiglip(f, max_shard_size="60KB"),
        lambda f: (f / "model.safetensors.index.json").write_text("[]"), "not a JSON object", "",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_cannot_be_read_is_told_in_a_line(tmp_path: Path, case: str) -> None:
    form, harm, said, advice = CASES[case]
    folder = tmp_path / "weights"
    form(folder)
    harm(folder)
    with pytest.raises(CxrError, match=said) as caught:
        create(resolve(None, folder), seed=0, device="cpu")
    assert advice in str(caught.value.hint or "")
    assert "\n" not in str(caught.value).partition("\nhint")[0]
    assert not (folder / "harmed").exists()


@pytest.mark.parametrize("form", [forms.biomedclip, forms.medsiglip, forms.open_clip_siglip])
def test_without_transformers_the_install_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: Callable[[Path], Any]
) -> None:
    folder = form(tmp_path / "weights").folder
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UsageError, match="needs transformers") as caught:
        resolve(None, folder)
    assert "pip install" in str(caught.value.hint)


@pytest.mark.parametrize("given", [False, True])
def test_a_name_alone_does_not_bring_a_tokenizer(tmp_path: Path, given: bool) -> None:
    file = tmp_path / "w.pt"
    torch.save({"logit_scale": torch.ones(1)}, file)
    with pytest.raises(CxrError, match="no tokenizer" if given else "Hugging Face hub") as caught:
        resolve("ViT-B-16-SigLIP", file if given else None, tag=None if given else "webli")
    assert "timm/ViT-B-16-SigLIP" in str(caught.value.hint) or "--pretrained" in str(
        caught.value.hint
    )


def test_a_file_of_several_is_read_with_the_config_beside_it(tmp_path: Path) -> None:
    folder = forms.laion(tmp_path / "weights", second="pytorch_model.bin").folder
    rename_both(folder)
    found = resolve(None, folder / "first.bin")
    assert found.weights == folder / "first.bin"
    assert found.beside == (folder / "open_clip_config.json",)
    assert resolve("ViT-B-32", folder / "second.pt").beside == ()
    assert type(create(found, seed=0, device="cpu").network) is open_clip.CLIP


def test_a_folder_without_preprocessing_says_what_is_assumed(tmp_path: Path) -> None:
    folder = forms.medsiglip(tmp_path / "weights").folder
    assert resolve(None, folder).assumed == ""
    (folder / "preprocessor_config.json").unlink()
    found = resolve(None, folder)
    assert "SiglipImageProcessor assumed" in found.assumed
    assert found.preprocess_cfg["mean"] == [0.5] * 3
