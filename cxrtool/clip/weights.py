"""Files of CLIP weights: their tensors, and what they show of the network these belong to.

In: a safetensors file, a state saved by torch.save, or a TorchScript archive such as OpenAI
publishes. Out: the state under open_clip's names, and whether the network has QuickGELU, where the
file shows it (see `activation_shown`). Nothing of a file is run: a state is read with
`weights_only=True`, and of an archive its tensors alone, never its program.
"""

import io
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from cxrtool.core.errors import InputError

_OPENAI_BUFFERS = ("input_resolution", "context_length", "vocab_size")
_PROGRAM = "code/"  # folder of a TorchScript archive
_SCRIPT_ONLY = (
    "constants.pkl",
    "constants/",
    _PROGRAM,
)  # by these torch.load knows it, and refuses
_CLASSES, _LISTS = "__torch__.", "torch.jit._pickle."  # what an archive's objects are made of
_MASK = "attn_mask"  # in archives, an attribute like any other; open_clip computes its own
# The parts of a block in the order of OpenAI's class, which open_clip's has in another one.
_OPENAI_BLOCK = ("attn.in_proj_weight", "ln_1.weight", "mlp.c_fc.weight", "ln_2.weight")
_TRANSFORMERS = "text_model.encoder."


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
        if "torch.gelu(" in program:
            return False, "the program of the archive"
        if "torch.sigmoid(" in program:
            return True, "the program of the archive"
    names = _names(path)
    if any(name.startswith(_TRANSFORMERS) for name in names):
        raise InputError(
            "these are weights under the names of Hugging Face's transformers, not of open_clip",
            file=path,
            hint="most models have both: give open_clip_model.safetensors or "
            "open_clip_pytorch_model.bin, with the open_clip_config.json beside it",
        )
    if set(_OPENAI_BUFFERS) <= set(names):
        return True, "OpenAI's numbers beside the weights"
    place = {name: i for i, name in enumerate(names)}
    for stem in ("transformer.resblocks.0.", "visual.transformer.resblocks.0."):
        order = [place[stem + part] for part in _OPENAI_BLOCK if stem + part in place]
        if len(order) == len(_OPENAI_BLOCK) and order == sorted(order):
            return True, "the order of the tensors, which is that of OpenAI's class"
    return None, ""


def readable(path: Path, folder: Path) -> Path:
    """A file that open_clip can load: the one given, or what it cannot read, written to `folder`.

    Raises:
        InputError: unreadable, or more than tensors.
    """
    if path.suffix == ".safetensors":
        return path
    archive = _is_archive(path)
    if not archive and not set(_OPENAI_BUFFERS) & set(_names(path)):
        return path
    state = _archived(path) if archive else dict(_state(path))
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


def _names(path: Path) -> list[str]:
    """The names of the tensors, in the order of the file and without the prefix of DataParallel."""
    if path.suffix == ".safetensors":
        try:
            with safe_open(path, framework="pt") as file:
                return [name.removeprefix("module.") for name in file.keys()]  # noqa: SIM118
        except Exception as error:
            raise unreadable(path, error) from error
    state = _archived(path) if _is_archive(path) else _state(path)
    return [str(name).removeprefix("module.") for name in state]


def _state(path: Path) -> Mapping[str, Any]:
    """What torch.save wrote, without reading the tensors where the file's form allows that."""
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


def unreadable(path: Path, error: Exception, model: str = "") -> InputError:
    """The one meaning of the errors of torch, pickle, zip and safetensors."""
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    if "weights only" in reason.lower().replace("_", " "):
        reason = "the file holds more than tensors"  # torch would say how to load it anyway
    return InputError(
        f"no weights{' for ' * bool(model)}{model}: {reason}",
        file=path,
        hint=f"give a state dict of {model or 'a CLIP'} (.pt or .safetensors) or TorchScript",
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
            if name.startswith(_CLASSES):
                classes.append((type("Part", (), {}), name))
            elif name.startswith(_LISTS):
                classes.append((_itself, name))
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
