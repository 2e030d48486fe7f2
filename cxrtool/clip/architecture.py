"""From a model's name to a network: open_clip's own factory, from configs as data.

In: `--model` (a local config of this package or any open_clip architecture) and where its weights
come from: a file, a folder (another run, or what open_clip calls `local-dir:`) or one of
open_clip's tags. Out: an `Architecture`, which is all that is needed to build the network again,
and the network. Nothing is fetched unless that is allowed. The same record is written as
`open_clip_config.json`, so that a run directory is also a `local-dir:` for open_clip itself.
"""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import open_clip
import torch
from open_clip import factory, pretrained

from cxrtool.clip import weights as files
from cxrtool.clip.weights import Settings, default_preprocess
from cxrtool.core.errors import InputError, UsageError

DEFAULT = "tiny"
CONFIG_FILE = "open_clip_config.json"
WEIGHT_FILES = (".safetensors", ".pt", ".pth", ".bin")
# Of open_clip's ResNets: their attention pool needs whole cells of this many pixels.
_RESNET_STRIDE = 32


@dataclass(frozen=True)
class Architecture:
    """What a CLIP is, apart from its weights.

    Attributes:
        name: As asked for.
        model_cfg: open_clip's `model_cfg` (embed_dim, vision_cfg, text_cfg, quick_gelu, ...).
        preprocess_cfg: Mean and standard deviation (3 channels, of images in [0, 1]), interpolation
            and size of the image tower's input.
        weights: Weights file to begin from; None for random weights.
        origin: Where activation and preprocessing are from, for people.
        assumed: What of them is assumed without proof; "" for nothing.
    """

    name: str
    model_cfg: dict[str, Any]
    preprocess_cfg: dict[str, Any]
    weights: Path | None = None
    origin: str = ""
    assumed: str = ""

    @property
    def quick_gelu(self) -> bool:
        """Whether the towers have QuickGELU in place of GELU."""
        return bool(self.model_cfg.get("quick_gelu", False))

    @property
    def size(self) -> int:
        """Height and width that the image tower reads, pixels."""
        size = self.model_cfg["vision_cfg"].get("image_size", 224)
        return int(size[0] if isinstance(size, list | tuple) else size)

    @property
    def context(self) -> int:
        """Tokens that the text tower reads, start and end marks included."""
        return int(self.model_cfg["text_cfg"].get("context_length", 77))

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
    name, own, file = model or DEFAULT, None, weights
    config = None if model is None else _by_name(name)
    if weights is not None and (weights / CONFIG_FILE).is_file():
        name = model or "local"
        model_cfg, preprocess = _described(weights, config and config[0], tag)
        _refuse_remote_parts(name, model_cfg)
        quick_gelu = bool(model_cfg.get("quick_gelu"))
        settings = Settings(quick_gelu, preprocess, f"{CONFIG_FILE} with them")
        file = _in_folder(weights)
    else:
        model_cfg, own = config or _by_name(name)
        _refuse_remote_parts(name, model_cfg)
        quick_gelu = bool(model_cfg.get("quick_gelu"))
        file = _in_folder(weights) if weights is not None and weights.is_dir() else weights
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
    stride = _stride(vision)
    if size is None and own is not None and file is None and data_size is not None:
        size = min(-(-data_size // stride) * stride, vision["image_size"])
    if size is not None:
        if size < stride or size % stride:
            raise UsageError(f"--size {size}: the model {name} needs a multiple of {stride}")
        vision["image_size"] = size
    preprocess = {k: settings.preprocess[k] for k in files.KEYS if k in settings.preprocess}
    preprocess["size"] = Architecture(name, model_cfg, {}).size
    return Architecture(name, model_cfg, preprocess, file, settings.origin, settings.assumed)


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


def build(architecture: Architecture, seed: int) -> Any:
    """The network, with weights drawn from `seed` or read from the architecture's file.

    It is one of open_clip's classes, which are not typed.

    Raises:
        InputError: weights that cannot be read or belong to another architecture.
    """
    with _as_folder(architecture) as folder:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = open_clip.create_model_and_transforms(f"local-dir:{folder}")[0]
        if architecture.weights is not None:
            file = files.readable(architecture.weights, folder)
            try:
                factory.load_checkpoint(network, str(file), weights_only=True)
            except Exception as error:
                raise files.unreadable(architecture.weights, error, architecture.name) from error
    return network


def tokenizer(architecture: Architecture) -> open_clip.SimpleTokenizer:
    """Its byte-pair tokenizer. A text is always cut at its end, never at random."""
    with _as_folder(architecture) as folder:
        return open_clip.get_tokenizer(f"local-dir:{folder}", reduction_mask="")


@contextmanager
def _as_folder(architecture: Architecture) -> Iterator[Path]:
    """The form in which open_clip's factory takes any config; it is not to log in the meantime."""
    quiet, root = logging.NullHandler(), logging.getLogger()
    level = root.level
    root.addHandler(quiet)
    root.setLevel(logging.ERROR)
    try:
        with TemporaryDirectory(prefix="cxr-clip-") as name:
            folder = Path(name)
            text = json.dumps(architecture.to_json())
            (folder / CONFIG_FILE).write_text(text, encoding="utf-8")
            yield folder
    finally:
        root.setLevel(level)
        root.removeHandler(quiet)


def _refuse_remote_parts(model: str, model_cfg: dict[str, Any]) -> None:
    text = model_cfg.get("text_cfg", {})
    for key in ("hf_model_name", "hf_tokenizer_name"):
        if text.get(key):
            raise UsageError(
                f"--model {model}: its text tower needs {text[key]!r} of the Hugging Face hub, "
                "which this tool cannot load",
                hint="use an architecture with open_clip's own text tower, such as ViT-B-32",
            )


def _described(
    folder: Path, config_by_name: dict[str, Any] | None, tag: str | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """`model_cfg` and `preprocess_cfg` of a folder's weights.

    Raises:
        InputError: the folder's open_clip_config.json is not one.
        UsageError: --model or --tag would say it otherwise.
    """
    path = folder / CONFIG_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        model_cfg = content["model_cfg"]
        model_cfg["vision_cfg"], model_cfg["text_cfg"], model_cfg["embed_dim"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"not an open_clip config ({error!r})", file=path) from error
    if tag is not None:
        raise UsageError(
            f"--tag {tag} with weights that are described by {path}",
            hint="leave out --tag, or give a copy of the weights file alone",
        )
    if config_by_name is not None and not _same_network(config_by_name, model_cfg):
        raise UsageError(
            f"--model is another architecture than that of {path}",
            hint="leave out --model: the folder says what it is",
        )
    return model_cfg, {**default_preprocess(), **content.get("preprocess_cfg", {})}


def _same_network(named: dict[str, Any], described: dict[str, Any]) -> bool:
    """Whether two configs agree in all that both say, apart from image size and activation."""
    parts = [(named, described), *((named[k], described[k]) for k in ("vision_cfg", "text_cfg"))]
    apart = ("vision_cfg", "text_cfg", "image_size", "quick_gelu")
    return all(
        a[key] == b[key] for a, b in parts for key in a.keys() & b.keys() if key not in apart
    )


def _in_folder(folder: Path) -> Path:
    files = sorted(
        (path for path in folder.iterdir() if path.suffix in WEIGHT_FILES),
        key=lambda path: (WEIGHT_FILES.index(path.suffix), path.name),
    )
    # Folders of the hub have the same weights under the names of transformers as well.
    files = [path for path in files if path.name.startswith("open_clip_")] or files
    if not files:
        raise InputError(f"no weights ({', '.join(WEIGHT_FILES)}) in this folder", file=folder)
    if len(files) > 1 and files[1].suffix == files[0].suffix:
        names = ", ".join(path.name for path in files if path.suffix == files[0].suffix)
        raise InputError(
            f"several weights in this folder: {names}", file=folder, hint="give one of the files"
        )
    return files[0]


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
