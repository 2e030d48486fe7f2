"""From a model's name to a network: open_clip's own factory, from configs as data.

In: `--model` (a local config of this package or any open_clip architecture) and where its weights
come from: a file, a folder (another run, what open_clip calls `local-dir:`, or a model in the form
of transformers) or one of open_clip's tags. Out: an `Architecture`, which is all that is needed to
build the network again, and the network. Nothing is fetched unless that is allowed. The same record
is written as `open_clip_config.json`, so that a run directory is also a `local-dir:` for open_clip
itself.
"""

import copy
import json
import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import open_clip
import torch
from open_clip import factory, pretrained
from open_clip.timm_model import TimmModel
from torch import Tensor

from cxrtool.clip import huggingface
from cxrtool.clip import weights as files
from cxrtool.clip.weights import Settings, default_preprocess
from cxrtool.core.errors import InputError, UsageError
from cxrtool.core.files import sha256_file
from cxrtool.core.runs import Run

DEFAULT = "tiny"
CONFIG_FILE = "open_clip_config.json"
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
        timm_args: What timm needs to build an image tower beside its name in `model_cfg`.
        hf_config: Config of transformers for text tower and tokenizer.
        folder: Where the tokenizer's files are; None for a tokenizer of open_clip itself.
        weights_size: Input size that the weights are for, pixels; 0 for `size`.
        beside: Files that were read beside `--pretrained`: a config, a tokenizer.
    """

    name: str
    model_cfg: dict[str, Any]
    preprocess_cfg: dict[str, Any]
    weights: Path | None = None
    origin: str = ""
    assumed: str = ""
    timm_args: dict[str, Any] = field(default_factory=dict)
    hf_config: dict[str, Any] = field(default_factory=dict)
    folder: Path | None = None
    weights_size: int = 0
    beside: tuple[Path, ...] = ()

    @property
    def quick_gelu(self) -> bool:
        """Whether the towers have QuickGELU in place of GELU."""
        return bool(self.model_cfg.get("quick_gelu", False))

    @property
    def activation(self) -> str:
        """Of the towers whose blocks are open_clip's; timm and transformers have their own."""
        return files.activation(self.quick_gelu)

    @property
    def size(self) -> int:
        """Height and width that the image tower reads, pixels."""
        return _size(self.model_cfg)

    @property
    def context(self) -> int:
        """Tokens that the text tower reads, start and end marks included."""
        return int(self.model_cfg["text_cfg"].get("context_length", 77))

    @property
    def tokenizer_files(self) -> list[Path]:
        """Of a tokenizer of transformers; none for one of open_clip itself."""
        return huggingface.tokenizer_files(self.folder) if self.folder is not None else []

    def tokenizer_json(self) -> dict[str, Any]:
        """Which tokenizer it has, for model.json."""
        text, own = self.model_cfg["text_cfg"], self.tokenizer_files
        return {
            "name": f"open_clip.{'HFTokenizer' if own else 'SimpleTokenizer'}",
            "context": self.context,
            "options": text.get("tokenizer_kwargs") or {},
            **({"files": {path.name: sha256_file(path) for path in own}} if own else {}),
        }

    def to_json(self) -> dict[str, Any]:
        """As open_clip writes it, and what it does not write down."""
        more = {"timm_args": self.timm_args, "hf_config": self.hf_config}
        return {
            "model_cfg": self.model_cfg,
            "preprocess_cfg": self.preprocess_cfg,
            **{key: value for key, value in more.items() if value},
        }

    def save(self, run: Run) -> None:
        """Write all but the weights into a run, so that this needs nothing else."""
        run.write_json(CONFIG_FILE, self.to_json())
        if self.hf_config:
            run.write_json(huggingface.CONFIG_FILE, self.hf_config)
        for path in self.tokenizer_files:
            run.write_bytes(path.name, path.read_bytes())


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
    stride, weights_size = _stride(vision), _size(model_cfg)
    if size is None and own is not None and file is None and data_size is not None:
        size = min(-(-data_size // stride) * stride, vision["image_size"])
    if size is not None:
        if size < stride or size % stride:
            raise UsageError(f"--size {size}: the model {name} needs a multiple of {stride}")
        vision["image_size"] = size
    preprocess = {k: settings.preprocess[k] for k in files.KEYS if k in settings.preprocess}
    preprocess["size"] = _size(model_cfg)
    folder = more.pop("folder", folder) if huggingface.needed(model_cfg) else None
    if folder is not None:
        beside += [*folder.glob(huggingface.CONFIG_FILE), *huggingface.tokenizer_files(folder)]
    return Architecture(
        name, model_cfg, preprocess, file, settings.origin, settings.assumed, **more,
        folder=folder, weights_size=weights_size,
        beside=tuple(beside) if file == weights or folder not in (None, home) else (),
    )  # fmt: skip


def _size(model_cfg: Mapping[str, Any]) -> int:
    size = model_cfg["vision_cfg"].get("image_size", 224)
    return int(size[0] if isinstance(size, list | tuple) else size)


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
        InputError: weights that cannot be read or belong to another architecture, or a config of
            which no network can be built.
        UsageError: an image tower that cannot have this size.
    """
    with _as_folder(architecture) as folder:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            try:
                network = open_clip.create_model_and_transforms(
                    f"local-dir:{folder}", pretrained_hf=False
                )[0]
            except Exception as error:  # whatever a config makes of timm and transformers
                raise InputError(
                    f"{architecture.name}: its config makes no network ({files.in_a_line(error)})",
                    file=architecture.weights,
                    hint="is it made for a newer open_clip than the "
                    f"{open_clip.__version__} that is installed?",
                ) from error
        weights_size = architecture.weights_size or architecture.size
        if isinstance(network.visual, TimmModel):  # all else is built by the size in the config
            network.visual.set_input_size(weights_size)
        if architecture.weights is not None:
            _read(network, architecture.weights, architecture.name, folder)
        if isinstance(network.visual, TimmModel) and architecture.size != weights_size:
            _resize(network.visual, architecture)
    return network


def tokenizer(architecture: Architecture) -> Any:
    """Its tokenizer, of open_clip's classes. A text is always cut at its end, never at random.

    Raises:
        InputError: a tokenizer of transformers that cannot be read.
    """
    options: dict[str, Any] = {"reduction_mask": ""}
    if architecture.folder is not None:
        huggingface.library(f"the tokenizer of {architecture.name}")
        options = {"trust_remote_code": False}
    with _as_folder(architecture) as folder:
        try:
            words = open_clip.get_tokenizer(f"local-dir:{folder}", **options)
            if architecture.folder is not None:
                words(["a"])  # what cannot be padded shows here alone
            return words
        except Exception as error:  # of four libraries
            reason = files.in_a_line(error).replace(f"{folder}/", "")
            raise InputError(
                f"the tokenizer cannot be read ({reason})",
                file=architecture.folder,
                hint=huggingface.ADVICE.format("the same model"),
            ) from error


def _read(network: Any, path: Path, name: str, folder: Path) -> None:
    """Weights into the network, which are converted in `folder` if they must be."""
    states: list[Mapping[str, Tensor]] = []  # as open_clip has made them fit
    hook = network.register_load_state_dict_pre_hook(lambda _, state, *__: states.append(state))
    try:
        factory.load_checkpoint(network, str(files.readable(path, folder)), weights_only=True)
    except InputError:
        raise
    except Exception as error:
        for state in states[:1]:
            files.refuse_other_shapes(network.state_dict(), state, path)
        raise files.unreadable(path, error, name) from error
    finally:
        hook.remove()


def _resize(tower: TimmModel, architecture: Architecture) -> None:
    """An image tower of timm at another size; whether it can be had shows when it is tried."""
    size = architecture.size
    patch = getattr(getattr(tower.trunk, "patch_embed", None), "patch_size", None)
    stride = patch[0] if isinstance(patch, tuple) else 1
    reason = f"it needs a multiple of {stride}"
    mode = tower.training
    try:
        if size % stride == 0:
            tower.set_input_size(size)
            with torch.no_grad():
                tower.eval()(torch.zeros(1, 3, size, size))
            return
    except Exception as error:
        reason = files.in_a_line(error)
    finally:
        tower.train(mode)
    kind = architecture.model_cfg["vision_cfg"]["timm_model_name"]
    raise UsageError(
        f"--size {size}: the image tower {kind} cannot have it ({reason})",
        hint=f"leave out --size; its own is {architecture.weights_size}",
    )


@contextmanager
def _as_folder(architecture: Architecture) -> Iterator[Path]:
    """The form in which open_clip's factory takes any config; it is not to log in the meantime."""
    quiet, root = logging.NullHandler(), logging.getLogger()
    level = root.level
    root.addHandler(quiet)
    root.setLevel(logging.ERROR)
    try:
        with TemporaryDirectory(prefix="cxr-clip-") as name:
            folder, record = Path(name), copy.deepcopy(architecture.to_json())
            config = record["model_cfg"]
            if config["text_cfg"].get("hf_model_name"):
                config["text_cfg"]["hf_model_name"] = name
            if architecture.timm_args:
                vision = config["vision_cfg"]
                tower = {
                    "architecture": vision["timm_model_name"],
                    "model_args": architecture.timm_args,
                    "pretrained_cfg": {},
                }
                vision["timm_model_name"] = f"local-dir:{folder / 'timm'}"
                (folder / "timm").mkdir()
                _write(folder / "timm" / "config.json", tower)
            if architecture.hf_config:
                _write(folder / huggingface.CONFIG_FILE, architecture.hf_config)
            for path in architecture.tokenizer_files:
                shutil.copyfile(path, folder / path.name)
            _write(folder / CONFIG_FILE, record)
            with huggingface.offline():
                yield folder
    finally:
        root.setLevel(level)
        root.removeHandler(quiet)


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


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
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
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
