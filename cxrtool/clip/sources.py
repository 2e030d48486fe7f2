"""Where a CLIP comes from: its name, its weights, and what lies beside them.

In: `--model` (a local config of this package or any open_clip architecture) and where its weights
come from: a file, a folder (another run, what open_clip calls `local-dir:`, or a model in the form
of transformers) or one of open_clip's tags. Out: an `Architecture`, from which its network is
built. Nothing is fetched unless that is allowed.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from open_clip import factory, pretrained

from cxrtool.clip import huggingface
from cxrtool.clip import weights as files
from cxrtool.clip.architecture import CONFIG_FILE, Architecture, size_of
from cxrtool.clip.weights import Settings, default_preprocess
from cxrtool.core.errors import InputError, UsageError
from cxrtool.core.reading import read_json

DEFAULT = "tiny"
WEIGHT_FILES = (".safetensors", ".pt", ".pth", ".bin")
# By which a folder of several tells its weights, the first that is there. Folders of the hub have
# the same weights under the names of transformers as well.
_OPEN_CLIP_NAMES = (
    "open_clip_model.safetensors", "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
)  # fmt: skip
_TRANSFORMERS_NAMES = (
    "model.safetensors", "model.safetensors" + files.INDEX,
    "pytorch_model.bin", "pytorch_model.bin" + files.INDEX,
)  # fmt: skip
# Of open_clip's ResNets: their attention pool needs whole cells of this many pixels.
_RESNET_STRIDE = 32


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
        tag: One of open_clip's names for published weights: they are fetched, or `weights` are
            those, and nothing is fetched.
        size: Input size of the image tower, pixels; None for the config's own.
        data_size: Size of the images at hand. A local config that starts from random weights and
            has no `size` is built for it (rounded up to its stride, at most its config's size).
        allow_download: Whether a tag may be fetched.

    Raises:
        UsageError: unknown name or tag, a size that does not fit, a download that is not allowed.
        InputError: a file or folder that is missing or unreadable.
    """
    model = model.replace("/", "-") if model is not None else None
    name, own, file, folder = model or DEFAULT, None, weights, None
    more: dict[str, Any] = {}
    beside: list[Path] = []
    config = None if model is None else _by_name(name)
    if weights is not None:
        folder = weights if weights.is_dir() else weights.parent
    home = folder
    if weights is not None and (described := _described(weights, model)) is not None:
        name, more = model or "local", described.more
        model_cfg, file, beside = described.model_cfg, described.file, [described.path]
        if tag is not None:
            raise UsageError(
                f"--tag {tag} with weights that are described by {described.path}",
                hint="leave out --tag, or give a copy of the weights file alone",
            )
        if config is not None and not _same_network(config[0], model_cfg):
            raise UsageError(
                f"--model is another architecture than that of {described.path}",
                hint="leave out --model: the folder says what it is",
            )
        quick_gelu = bool(model_cfg.get("quick_gelu"))
        settings = Settings(
            quick_gelu,
            described.preprocess,
            f"{described.path.name} with them",
            described.assumed,
        )
    else:
        model_cfg, own = config or _by_name(name)
        quick_gelu = bool(model_cfg.get("quick_gelu"))
        if weights is not None and weights.is_dir():
            file = _in_folder(weights, _OPEN_CLIP_NAMES)
        if huggingface.needed(model_cfg):
            more = _parts_of_the_hub(name, model_cfg, folder, file)
        if file is not None:
            settings = files.of_file(name, file, tag, quick_gelu=quick_gelu, own=own)
        elif tag is not None:
            settings = files.of_tag(name, tag)
            file = _fetched(name, tag, allow_download)
        else:
            settings = Settings(quick_gelu, own or default_preprocess(), "the model's config")
    if settings.quick_gelu != quick_gelu:
        model_cfg["quick_gelu"] = settings.quick_gelu

    vision = model_cfg["vision_cfg"]
    stride, weights_size = _stride(vision), size_of(model_cfg)
    if size is None and own is not None and file is None and data_size is not None:
        size = min(-(-data_size // stride) * stride, vision["image_size"])
    if size is not None:
        if size < stride or size % stride:
            raise UsageError(f"--size {size}: the model {name} needs a multiple of {stride}")
        vision["image_size"] = size
    preprocess = {k: settings.preprocess[k] for k in files.KEYS if k in settings.preprocess}
    preprocess["size"] = size_of(model_cfg)
    folder = more.pop("folder", folder) if huggingface.needed(model_cfg) else None
    if folder is not None:
        beside += [*folder.glob(huggingface.CONFIG_FILE), *huggingface.tokenizer_files(folder)]
    return Architecture(
        name, model_cfg, preprocess, file, settings.origin, settings.assumed, **more,
        folder=folder, weights_size=weights_size,
        beside=tuple(beside) if file == weights or folder not in (None, home) else (),
    )  # fmt: skip


def _by_name(model: str) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """A local config with its own preprocessing, or an open_clip architecture, which has none."""
    if model in local_configs():
        text = (resources.files("cxrtool.clip") / "configs" / f"{model}.json").read_text("utf-8")
        model_cfg = json.loads(text)
        return model_cfg, model_cfg.pop("preprocess_cfg")
    config = factory.get_model_config(model) if ":" not in model else None
    if config is None:
        raise UsageError(
            f"--model {model}: no such architecture",
            hint=f"use {', '.join(local_configs())} or an open_clip name such as ViT-B-32; "
            "a folder with a config and weights is given by --pretrained FOLDER alone",
        )
    return config, None


def _stride(vision: dict[str, Any]) -> int:
    """Pixels that the image size must be a multiple of."""
    if "timm_model_name" in vision:
        return 1
    resnet = isinstance(vision.get("layers"), list | tuple)
    return _RESNET_STRIDE if resnet else int(vision.get("patch_size", 16))


def _parts_of_the_hub(
    name: str, model_cfg: dict[str, Any], folder: Path | None, file: Path | None
) -> dict[str, Any]:
    """What a network needs of transformers, from the folder of its weights.

    Raises:
        UsageError: there is no folder, or no transformers.
        InputError: the folder lacks it.
    """
    repository, text = huggingface.needed(model_cfg), model_cfg["text_cfg"]
    if folder is None or file is None:
        raise UsageError(
            f"--model {name}: text tower or tokenizer is {repository!r} of the Hugging Face hub",
            hint="give a folder with open_clip_config.json, weights and tokenizer by --pretrained "
            "(hf download fetches a repository)",
        )
    huggingface.library(f"{repository} as text tower or tokenizer")
    tower, words = text.get("hf_model_name"), text.get("hf_tokenizer_name")
    parts: dict[str, Any] = {"folder": folder}
    if words and not huggingface.tokenizer_files(folder):
        if not huggingface.tokenizer_files(Path(words)):
            raise InputError(
                "no tokenizer in this folder",
                file=folder,
                hint=huggingface.ADVICE.format(words),
            )
        parts["folder"] = Path(words)
    if tower:
        parts["hf_config"] = huggingface.text_config(folder, tower, files.shapes(file))
    # A folder of this machine, written there in place of a repository, means nothing elsewhere.
    text |= {
        k: Path(text[k]).name
        for k in ("hf_model_name", "hf_tokenizer_name")
        if text.get(k) and Path(text[k]).is_dir()
    }
    return parts


@dataclass(frozen=True)
class _Described:
    """A folder of weights, by the config in it."""

    path: Path
    file: Path
    model_cfg: dict[str, Any]
    preprocess: dict[str, Any]
    more: dict[str, Any]
    assumed: str = ""


def _described(weights: Path, model: str | None) -> _Described | None:
    """A folder that says what its weights are, or a file in one; None where nothing does.

    A file with `--model` is what that name says.

    Raises:
        InputError: a config that cannot be read or used, or no weights beside it.
        UsageError: transformers is needed and not installed.
    """
    whole = weights.is_dir()
    folder = weights if whole else weights.parent
    own, foreign = folder / CONFIG_FILE, folder / huggingface.CONFIG_FILE
    if not (own.is_file() or foreign.is_file()) or not (whole or model is None):
        return None
    names = (*(_OPEN_CLIP_NAMES if own.is_file() else ()), *_TRANSFORMERS_NAMES)
    if foreign.is_file() and not own.is_file():
        huggingface.check_type(foreign)
    content = _config(own) if own.is_file() else {}
    file = _in_folder(folder, names) if whole else weights
    if foreign.is_file() and files.in_transformers_form(files.shapes(file)):
        its = huggingface.describe(folder)
        more = {"timm_args": its.timm_args, "hf_config": its.hf_config}
        return _Described(foreign, file, its.model_cfg, its.preprocess, more, its.assumed)
    if not content:
        return None
    model_cfg = content["model_cfg"]
    more = {key: content[key] for key in ("timm_args", "hf_config") if key in content}
    if ":" in str(model_cfg["vision_cfg"].get("timm_model_name", "")):
        raise InputError(
            "the config of its image tower is elsewhere (timm_model_name)",
            file=own,
            hint="give timm's own name of the architecture there",
        )
    if huggingface.needed(model_cfg) and not more:
        more = _parts_of_the_hub(model or "local", model_cfg, folder, file)
    preprocess = {**default_preprocess(), **content.get("preprocess_cfg", {})}
    return _Described(own, file, model_cfg, preprocess, more)


def _config(path: Path) -> dict[str, Any]:
    """An open_clip config.

    Raises:
        InputError: not one.
    """
    try:
        content = read_json(path)
        model_cfg = content["model_cfg"]
        model_cfg["vision_cfg"], model_cfg["text_cfg"], model_cfg["embed_dim"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"not an open_clip config ({error!r})", file=path) from error
    return content


def _same_network(named: dict[str, Any], described: dict[str, Any]) -> bool:
    """Whether two configs agree in all that both say, apart from image size and activation."""
    parts = [(named, described), *((named[k], described[k]) for k in ("vision_cfg", "text_cfg"))]
    apart = ("vision_cfg", "text_cfg", "image_size", "quick_gelu")
    return all(
        a[key] == b[key] for a, b in parts for key in a.keys() & b.keys() if key not in apart
    )


def _in_folder(folder: Path, names: Sequence[str]) -> Path:
    """The weights of a folder: the first of the names that is there, or the only file.

    Raises:
        InputError: no weights, or several of other names.
    """
    for name in names:
        if (folder / name).is_file():
            return folder / name
    weights = sorted(path for path in folder.iterdir() if path.suffix in WEIGHT_FILES)
    if not weights:
        raise InputError(f"no weights ({', '.join(WEIGHT_FILES)}) in this folder", file=folder)
    if len(weights) > 1:
        raise InputError(
            f"several weights in this folder: {', '.join(path.name for path in weights)}",
            file=folder,
            hint="give one of the files",
        )
    return weights[0]


def _fetched(model: str, tag: str, allow_download: bool) -> Path:
    """The file of a tag, fetched if it must be."""
    if not pretrained.is_pretrained_cfg(model, tag):
        raise UsageError(
            f"--tag {tag}: nobody can download these weights but you",
            hint="give the file by --pretrained as well",
        )
    if not allow_download:
        raise UsageError(
            f"--tag {tag}: these weights would have to be downloaded",
            hint="add --allow-download, or give a file or folder by --pretrained",
        )
    try:
        return Path(pretrained.download_pretrained(pretrained.get_pretrained_cfg(model, tag)))
    except Exception as error:  # the network, the hub, the disk: whatever it was, there is no file
        raise InputError(f"--tag {tag}: the download failed ({error})") from error
