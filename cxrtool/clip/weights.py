"""Files of CLIP weights: their tensors, and what the network that these belong to needs.

In: a safetensors file, a state saved by torch.save, either of them in parts with an index, or a
TorchScript archive such as OpenAI publishes. Out: the state under open_clip's names, and whether
the network has QuickGELU, where the file shows it (see `activation_shown`). Nothing of a file is
run: a state is read with `weights_only=True`, and of an archive its tensors alone, never its
program.

What published weights need and their tensors do not show (activation, mean and deviation) are
`Settings`, with where they are from and what had to be assumed. The table is open_clip's own; one
more model is added, which is given to people as a file alone.
"""

import io
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from open_clip import pretrained
from open_clip.transform import PreprocessCfg, merge_preprocess_dict
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from cxrtool.clip import huggingface
from cxrtool.core.errors import InputError, UsageError, sentence_of
from cxrtool.core.reading import open_file, read_json

_OPENAI_BUFFERS = ("input_resolution", "context_length", "vocab_size")
_PROGRAM = "code/"  # folder of a TorchScript archive
# By these torch.load knows such an archive, and refuses it.
_SCRIPT_ONLY = ("constants.pkl", "constants/", _PROGRAM)
_CLASSES, _LISTS = "__torch__.", "torch.jit._pickle."  # what an archive's objects are made of
_MASK = "attn_mask"  # in archives, an attribute like any other; open_clip computes its own
# The parts of a block in the order of OpenAI's class, which open_clip's has in another one.
_OPENAI_BLOCK = ("attn.in_proj_weight", "ln_1.weight", "mlp.c_fc.weight", "ln_2.weight")
_TRANSFORMERS = "text_model.encoder."
_LFS = b"version https://git-lfs"  # how a file begins that stands for another one
INDEX = ".index.json"  # end of the name of the file that lists the parts
_FIRST = 3  # of the tensors that do not fit, told by name
KEYS = ("mean", "std", "interpolation", "resize_mode")
_NORMALIZATION = KEYS[:3]  # images are square here, so that all ways to resize are one
# CheXzero (Tiu et al., Nature Biomedical Engineering 2022) fine-tuned OpenAI's ViT-B/32; its code
# standardizes gray levels 0 to 255 by mean 101.48761 and deviation 83.43944.
_CHEXZERO = {
    "quick_gelu": True,
    "mean": (101.48761 / 255,) * 3,
    "std": (83.43944 / 255,) * 3,
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}
_FILES = {"ViT-B-32": {"chexzero": _CHEXZERO}, "ViT-B-32-quickgelu": {"chexzero": _CHEXZERO}}


def activation_shown(path: Path) -> tuple[bool | None, str]:
    """Whether the weights' network has QuickGELU, and what shows it; (None, "") where nothing does.

    A TorchScript archive holds the activation in its program. Two more signs are OpenAI's own,
    whose class knows no other activation than QuickGELU: the three numbers that its archives keep
    beside the weights, and the order of the parts in a block (as in CheXzero's files).

    Raises:
        InputError: unreadable, or weights under the names of another library.
    """
    if _is_archive(path):
        with zipfile.ZipFile(path) as archive:
            program = "".join(
                archive.read(name).decode("utf-8", "replace")
                for name in archive.namelist()
                if name.partition("/")[2].startswith(_PROGRAM) and name.endswith(".py")
            )
        for call, quick in (("torch.gelu(", False), ("torch.sigmoid(", True)):
            if call in program:
                return quick, "the program of the archive"
    names = list(shapes(path))
    if in_transformers_form(names):
        raise InputError(
            "these are weights under the names of Hugging Face's transformers, not of open_clip",
            file=path,
            hint="give the folder that holds them and their config.json by --pretrained alone",
        )
    if set(_OPENAI_BUFFERS) <= set(names):
        return True, "OpenAI's numbers beside the weights"
    place = {name: i for i, name in enumerate(names)}
    for stem in ("transformer.resblocks.0.", "visual.transformer.resblocks.0."):
        order = [place[stem + part] for part in _OPENAI_BLOCK if stem + part in place]
        if len(order) == len(_OPENAI_BLOCK) and order == sorted(order):
            return True, "the order of the tensors, which is that of OpenAI's class"
    return None, ""


def in_transformers_form(names: Iterable[str]) -> bool:
    """Whether these are names of transformers' CLIPModel or SiglipModel."""
    return any(name.startswith(_TRANSFORMERS) for name in names)


def readable(path: Path, folder: Path) -> Path:
    """A file that open_clip can load: the one given, or what it cannot read, written to `folder`.

    Raises:
        InputError: unreadable, or more than tensors.
    """
    names = shapes(path).keys()
    foreign = in_transformers_form(names)
    openai = _is_archive(path) or bool(set(_OPENAI_BUFFERS) & names)
    if not foreign and not openai:
        return path
    state = {name.removeprefix("module."): value for name, value in _state(path).items()}
    if foreign:
        state = huggingface.renamed(state)
    plain = {
        name: value.contiguous().clone()
        for name, value in state.items()
        if name not in _OPENAI_BUFFERS and name.rpartition(".")[2] != _MASK
    }
    converted = folder / "weights.safetensors"
    save_file(plain, converted)
    return converted


def _is_archive(path: Path) -> bool:
    """Whether this is TorchScript."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def shapes(path: Path) -> dict[str, list[int]]:
    """Names and shapes of the tensors, in the order of the file, without DataParallel's prefix.

    Raises:
        InputError: unreadable, or more than tensors.
    """
    if path.suffix == ".safetensors":
        _refuse_pointer(path)
        try:
            with safe_open(path, framework="pt") as file:
                pairs = [(name, file.get_slice(name).get_shape()) for name in file.keys()]  # noqa: SIM118
        except Exception as error:
            raise unreadable(path, error) from error
    else:
        pairs = [(k, list(v.shape)) for k, v in _state(path).items() if isinstance(v, Tensor)]
    return {str(name).removeprefix("module."): list(shape) for name, shape in pairs}


def _state(path: Path) -> Mapping[str, Any]:
    """The tensors by name, not read before they are used where the file's form allows that."""
    _refuse_pointer(path)
    if path.name.endswith(INDEX):
        return _joined(path)
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except Exception as error:
            raise unreadable(path, error) from error
    if _is_archive(path):
        return _archived(path)
    try:
        content = torch.load(
            path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path)
        )
    except Exception as error:
        raise unreadable(path, error) from error
    inner = content.get("state_dict", content) if isinstance(content, Mapping) else None
    if not isinstance(inner, Mapping) or not inner:
        raise InputError("holds no state of a network", file=path)
    return inner


def _joined(index: Path) -> dict[str, Any]:
    """The tensors of all parts that an index lists."""
    try:
        parts = sorted(set(read_json(index)["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"not an index of weights ({error!r})", file=index, hint="copy it again"
        ) from error
    missing = [name for name in parts if not (index.parent / Path(name).name).is_file()]
    if missing:
        raise InputError(
            f"{len(missing)} of {len(parts)} parts are missing, first {missing[0]}",
            file=index,
            hint="copy them into the folder of this file",
        )
    return {k: v for name in parts for k, v in _state(index.parent / Path(name).name).items()}


def _refuse_pointer(path: Path) -> None:
    with open_file(path) as stream:
        if stream.read(len(_LFS)) == _LFS:
            raise InputError(
                "a pointer of Git LFS, not the weights themselves", file=path, hint="git lfs pull"
            )


def unreadable(path: Path, error: Exception, model: str = "") -> InputError:
    """The one meaning of the errors of torch, pickle, zip and safetensors."""
    return InputError(
        f"no weights{' for ' * bool(model)}{model}: {sentence_of(error)}",
        file=path,
        hint=f"copy it again if it is cut short, or give a state dict of {model or 'a CLIP'} "
        "(.pt or .safetensors) or TorchScript",
    )


def refuse_other_shapes(own: Mapping[str, Tensor], state: Mapping[str, Tensor], path: Path) -> None:
    """Tell how weights differ from those of the network that is to have them.

    Raises:
        InputError: they differ, with how many and the first few.
    """
    other = [
        f"{name} {list(state[name].shape)} for {list(value.shape)}"
        for name, value in own.items()
        if name in state and state[name].shape != value.shape
    ]
    kinds = {
        "missing": [name for name in own if name not in state],
        "unknown": [name for name in state if name not in own],
        "of another shape": other,
    }
    told = [
        f"{len(names)} {kind} ({', '.join(names[:_FIRST])}{', ...' * (len(names) > _FIRST)})"
        for kind, names in kinds.items()
        if names
    ]
    if told:
        raise InputError(
            f"the weights of another network: of its {len(own)} tensors {'; '.join(told)}",
            file=path,
            hint="give the config that belongs to them: the folder they came in, or --model NAME",
        )


def _archived(path: Path) -> dict[str, Tensor]:
    """The tensors of a TorchScript archive by their names in the module.

    Its objects are stand-ins here, and a list of numbers is the list alone, so that torch's reader
    of plain tensors takes them; every other class is refused.
    """
    plain = io.BytesIO()
    try:
        with zipfile.ZipFile(path) as archive, zipfile.ZipFile(plain, "w") as copy:
            for name in archive.namelist():
                if not name.partition("/")[2].startswith(_SCRIPT_ONLY):
                    copy.writestr(name, archive.read(name))
        plain.seek(0)
        classes: list[Any] = []
        for name in get_unsafe_globals_in_checkpoint(plain):
            if name.startswith((_CLASSES, _LISTS)):
                part = type("Part", (), {}) if name.startswith(_CLASSES) else _itself
                classes.append((part, name))
        plain.seek(0)
        with safe_globals(classes):
            root = torch.load(plain, map_location="cpu", weights_only=True)
    except Exception as error:
        raise unreadable(path, error) from error
    return dict(_tensors(root, ""))


def _itself(value: Any, *_: Any) -> Any:
    return value


def _tensors(part: Any, stem: str) -> Iterator[tuple[str, Tensor]]:
    for name, value in vars(part).items():
        if isinstance(value, Tensor):
            yield stem + name, value
        elif hasattr(value, "__dict__"):
            yield from _tensors(value, f"{stem}{name}.")


@dataclass(frozen=True)
class Settings:
    """What a network needs beside its weights.

    Attributes:
        quick_gelu: QuickGELU in place of GELU.
        preprocess: Mean and deviation [3] of images in [0, 1], interpolation, resize mode.
        origin: Where they are from, for people.
        assumed: What is assumed without proof, and how to say otherwise; "" for nothing.
    """

    quick_gelu: bool
    preprocess: dict[str, Any]
    origin: str
    assumed: str = ""


def default_preprocess() -> dict[str, Any]:
    """Open_clip's own, which are OpenAI's."""
    return _preprocess({})


def tags(model: str) -> list[str]:
    """Names of published weights of an architecture."""
    return [*pretrained.list_pretrained_tags_by_model(model), *_FILES.get(model, {})]


def of_tag(model: str, tag: str) -> Settings:
    """What the weights of a tag need.

    Raises:
        UsageError: the architecture has no such tag.
    """
    entry = _FILES.get(model, {}).get(tag) or pretrained.get_pretrained_cfg(model, tag)
    if not entry:
        names = tags(model)
        raise UsageError(
            f"--tag {tag}: unknown for {model}",
            hint=f"its tags are {', '.join(names)}" if names else "it has none",
        )
    return Settings(bool(entry.get("quick_gelu", False)), _preprocess(entry), f"tag {tag}")


def of_file(
    model: str, file: Path, tag: str | None = None, *, quick_gelu: bool, own: dict[str, Any] | None
) -> Settings:
    """What the weights in a file need.

    A tag says it. Else the file may show its activation; the published weights of the architecture
    may all agree; and what is still open then is open_clip's meaning of the architecture's name.

    Args:
        model: Name of the architecture.
        file: The weights.
        tag: Whose weights they are, by the name of published ones.
        quick_gelu: What the config of that name says.
        own: Preprocessing of a local config, which is not of open_clip's; None for one that is.

    Raises:
        UsageError: the architecture has no such tag.
        InputError: the file cannot be read.
    """
    shows_quick, sign = activation_shown(file)
    if tag is not None:
        settings = of_tag(model, tag)
        if shows_quick in (None, settings.quick_gelu):
            return settings
        against = (
            f"--tag {tag} means {activation(settings.quick_gelu)}, which is taken, but "
            f"{file.name} shows {activation(bool(shows_quick))} ({sign}): are these weights of "
            f"{tag}?"
        )
        return replace(settings, assumed=against)

    published = {name: of_tag(model, name) for name in tags(model)}
    activations = {settings.quick_gelu for settings in published.values()}
    normal = {str([s.preprocess[key] for key in _NORMALIZATION]) for s in published.values()}
    origins, open_points = [], []
    if shows_quick is not None:
        quick_gelu = shows_quick
        origins.append(f"activation by {sign}")
    elif quick_gelu or own is not None:
        origins.append("activation by the model's name")
    elif len(activations) == 1:
        quick_gelu = activations.pop()
        origins.append(f"activation of all published {model}")
    else:
        open_points.append(activation(quick_gelu))
    if own is not None or len(normal) == 1:
        preprocess = own or next(iter(published.values())).preprocess
        origins.append(f"mean and deviation of {'' if own else 'all published '}{model}")
    else:
        preprocess = default_preprocess()
        open_points.append("OpenAI's mean and deviation")
    if not open_points:
        return Settings(quick_gelu, preprocess, "; ".join(origins))
    guess = f"{' and '.join(open_points)} assumed"
    others = [
        name
        for name, entry in published.items()
        if (shows_quick is None and entry.quick_gelu != quick_gelu)
        or any(entry.preprocess[key] != preprocess[key] for key in _NORMALIZATION)
    ]
    return Settings(
        quick_gelu,
        preprocess,
        "; ".join([*origins, guess]),
        f"{file.name} does not show whose weights it holds: {guess}, as open_clip means {model}; "
        f"{', '.join(others) + ' would need others' if others else 'none are published'}; say "
        "whose they are by --tag (nothing is downloaded), or give a folder with the weights and "
        "their open_clip_config.json",
    )


def describe(quick_gelu: bool, preprocess: dict[str, Any]) -> str:
    """The settings in a few words."""
    mean, std = (" ".join(f"{v:.4f}" for v in preprocess[key]) for key in ("mean", "std"))
    return f"{activation(quick_gelu)}, mean {mean}, deviation {std}, {preprocess['interpolation']}"


def activation(quick_gelu: bool) -> str:
    """Its name, for people."""
    return "QuickGELU" if quick_gelu else "GELU"


def _preprocess(entry: dict[str, Any]) -> dict[str, Any]:
    """What open_clip's factory takes from a tag, as JSON has it."""
    whole = merge_preprocess_dict(asdict(PreprocessCfg()), entry)
    return {k: list(v) if isinstance(v := whole[k], tuple) else v for k in KEYS}
