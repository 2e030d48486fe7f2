"""From a model's name to a network: open_clip's own classes, from configs as data.

In: `--model` (a local config of this package or any open_clip architecture) and where its weights
come from: a file, a folder (another run, or what open_clip calls `local-dir:`) or one of
open_clip's tags. Out: an `Architecture`, which is all that is needed to build the network again,
and the network. Nothing is fetched unless that is allowed. The same record is written as
`open_clip_config.json`, so that a run directory is also a `local-dir:` for open_clip itself.
"""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip import factory, pretrained
from torch import nn

from cxrtool.errors import InputError, UsageError

DEFAULT = "tiny"
CONFIG_FILE = "open_clip_config.json"
OPENAI_PREPROCESS = {
    "mean": list(open_clip.OPENAI_DATASET_MEAN),
    "std": list(open_clip.OPENAI_DATASET_STD),
    "interpolation": "bicubic",
}
WEIGHT_FILES = (".safetensors", ".pt", ".pth", ".bin")
_RESNET_STRIDE = (
    32  # of open_clip's ResNets: their attention pool needs whole cells of this many pixels
)


@dataclass(frozen=True)
class Architecture:
    """What a CLIP is, apart from its weights.

    Attributes:
        name: As asked for.
        model_cfg: open_clip's `model_cfg` (embed_dim, vision_cfg, text_cfg, ...).
        preprocess_cfg: Mean and standard deviation (3 channels, of images in [0, 1]), interpolation
            and size of the image tower's input.
        weights: Weights file to begin from; None for random weights.
    """

    name: str
    model_cfg: dict[str, Any]
    preprocess_cfg: dict[str, Any]
    weights: Path | None = None

    @property
    def size(self) -> int:
        """Height and width that the image tower reads, pixels."""
        size = self.model_cfg["vision_cfg"].get("image_size", 224)
        return int(size[0] if isinstance(size, list | tuple) else size)

    @property
    def context(self) -> int:
        """Tokens that the text tower reads, start and end marks included."""
        return int(self.model_cfg["text_cfg"].get("context_length", 77))

    @property
    def tokenizer_options(self) -> dict[str, Any]:
        """Keyword arguments of the tokenizer. A text is always cut at its end, never at random."""
        options = dict(self.model_cfg["text_cfg"].get("tokenizer_kwargs") or {})
        options.pop("reduction_mask", None)
        return options

    def to_json(self) -> dict[str, Any]:
        """As open_clip writes it."""
        return {"model_cfg": self.model_cfg, "preprocess_cfg": self.preprocess_cfg}


def local_configs() -> list[str]:
    """Names of this package's own model sizes."""
    folder = resources.files("cxrtool.clip") / "configs"
    return sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".json"))


def resolve(
    model: str | None,
    weights: Path | None = None,
    *,
    tag: str | None = None,
    size: int | None = None,
    data_size: int | None = None,
    allow_download: bool = False,
) -> Architecture:
    """Find a model's config, preprocessing and weights.

    Args:
        model: Local config or open_clip architecture; None for the one that the folder `weights`
            describes, else for `tiny`.
        weights: A weights file, or a folder with one; None for random weights.
        tag: One of open_clip's names for published weights, in place of `weights`.
        size: Input size of the image tower, pixels; None for the config's own.
        data_size: Size of the images at hand. A local config that starts from random weights and
            has no `size` is built for it (rounded up to its stride, at most its config's size).
        allow_download: Whether a tag may be fetched.

    Raises:
        UsageError: unknown name or tag, a size that does not fit, a download that is not allowed.
        InputError: a file or folder that is missing or unreadable.
    """
    found: Path | None = None
    described = weights is not None and (weights / CONFIG_FILE).is_file()
    local = not described and (model or DEFAULT) in local_configs()
    if described and model is None:
        name, model_cfg, preprocess = "local", *_read_config(weights / CONFIG_FILE)  # type: ignore[operator]
    else:
        name, (model_cfg, preprocess) = model or DEFAULT, _by_name(model or DEFAULT)
        if described:
            preprocess = _read_config(weights / CONFIG_FILE)[1]  # type: ignore[operator]
    _refuse_remote_parts(name, model_cfg)
    if weights is not None:
        found = _in_folder(weights) if weights.is_dir() else weights
    if tag is not None:
        found, own = _find_tag(name, tag, allow_download)
        preprocess = {**preprocess, **own}

    vision = model_cfg["vision_cfg"]
    stride = _stride(vision)
    if size is None and local and found is None and data_size is not None:
        size = min(-(-data_size // stride) * stride, vision["image_size"])
    if size is not None:
        if size < stride or size % stride:
            raise UsageError(f"--size {size}: the model {name} needs a multiple of {stride}")
        vision["image_size"] = size
    names = ("mean", "std", "interpolation")
    keep: dict[str, Any] = {key: preprocess[key] for key in names if key in preprocess}
    whole = Architecture(name, model_cfg, keep, found)
    return Architecture(name, model_cfg, {**keep, "size": whole.size}, found)


def _by_name(model: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Config and preprocessing of a local config or an open_clip architecture."""
    if model in local_configs():
        text = (resources.files("cxrtool.clip") / "configs" / f"{model}.json").read_text("utf-8")
        model_cfg = json.loads(text)
        return model_cfg, model_cfg.pop("preprocess_cfg")
    named = factory.get_model_config(model.replace("/", "-")) if ":" not in model else None
    if named is None:
        raise UsageError(
            f"--model {model}: no such architecture",
            hint=f"use {', '.join(local_configs())} or an open_clip name such as ViT-B-32; "
            "a folder with a config and weights is given by --pretrained FOLDER alone",
        )
    return named, dict(OPENAI_PREPROCESS)


def _stride(vision: dict[str, Any]) -> int:
    """Pixels that the image size must be a multiple of."""
    if "timm_model_name" in vision:
        return 1
    return _RESNET_STRIDE if isinstance(vision["layers"], list | tuple) else vision["patch_size"]


def build(architecture: Architecture, seed: int) -> nn.Module:
    """The network, with weights drawn from `seed` or read from the architecture's file.

    Raises:
        InputError: weights that cannot be read or belong to another architecture.
    """
    config = deepcopy(architecture.model_cfg)
    custom = config.pop("custom_text", False)
    kind: type[nn.Module] = open_clip.CustomTextCLIP if custom else open_clip.CLIP
    if "multimodal_cfg" in config:
        kind = open_clip.CoCa
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = kind(**config)
    if architecture.weights is not None:
        try:
            factory.load_checkpoint(network, str(architecture.weights), weights_only=True)
        except Exception as error:  # torch, pickle, zip and safetensors errors: one meaning here
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            if "weights only" in reason.lower().replace("_", " "):
                reason = "the file holds more than tensors"  # torch would say how to load it anyway
            raise InputError(
                f"no weights for {architecture.name}: {reason}",
                file=architecture.weights,
                hint="give a state dict of this architecture (.pt or .safetensors, no TorchScript)",
            ) from error
    factory.set_model_preprocess_cfg(
        network, {"mode": "RGB", "resize_mode": "shortest", **architecture.preprocess_cfg}
    )
    return network


def _refuse_remote_parts(model: str, model_cfg: dict[str, Any]) -> None:
    text = model_cfg.get("text_cfg", {})
    for key in ("hf_model_name", "hf_tokenizer_name"):
        if text.get(key):
            raise UsageError(
                f"--model {model}: its text tower needs {text[key]!r} of the Hugging Face hub, "
                "which this tool cannot load",
                hint="use an architecture with open_clip's own text tower, such as ViT-B-32",
            )


def _read_config(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """`model_cfg` and `preprocess_cfg` of an open_clip_config.json."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        model_cfg = content["model_cfg"]
        model_cfg["vision_cfg"], model_cfg["text_cfg"], model_cfg["embed_dim"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"not an open_clip config ({error!r})", file=path) from error
    return model_cfg, {**OPENAI_PREPROCESS, **content.get("preprocess_cfg", {})}


def _in_folder(folder: Path) -> Path:
    found = sorted(
        (path for path in folder.iterdir() if path.suffix in WEIGHT_FILES),
        key=lambda path: (WEIGHT_FILES.index(path.suffix), path.name),
    )
    if not found:
        raise InputError(f"no weights ({', '.join(WEIGHT_FILES)}) in this folder", file=folder)
    if len(found) > 1 and found[1].suffix == found[0].suffix:
        names = ", ".join(path.name for path in found if path.suffix == found[0].suffix)
        raise InputError(
            f"several weights in this folder: {names}", file=folder, hint="give one of the files"
        )
    return found[0]


def _find_tag(model: str, tag: str, allow_download: bool) -> tuple[Path, dict[str, Any]]:
    """The file of a tag, fetched if it must be, and the preprocessing that belongs to it."""
    tags = pretrained.list_pretrained_tags_by_model(model)
    if tag not in tags:
        known = f"its tags are {', '.join(tags)}" if tags else "it has none"
        raise UsageError(f"--tag {tag}: unknown for {model}", hint=known)
    if not allow_download:
        raise UsageError(
            f"--tag {tag}: these weights would have to be downloaded",
            hint="add --allow-download, or give a file or folder by --pretrained",
        )
    entry = pretrained.get_pretrained_cfg(model, tag)
    own = {key: entry[key] for key in ("mean", "std", "interpolation") if entry.get(key)}
    try:
        return Path(pretrained.download_pretrained(entry)), own
    except Exception as error:  # the network, the hub, the disk: whatever it was, there is no file
        raise InputError(f"--tag {tag}: the download failed ({error})") from error
