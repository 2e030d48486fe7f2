"""The finished network on disk: `model.json` (what it is) and `model.safetensors` (its weights).

In: a module or its state and a description. Out: two files in the run directory that are sufficient
by
themselves: architecture with its arguments, label names in order, label policy, row selection and
preprocessing, so that a model is never used with another meaning than it was trained with.
Both files are deterministic: the same weights give the same bytes.
"""

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from cxrtool.core.errors import InputError
from cxrtool.core.files import sha256_bytes, sha256_file
from cxrtool.core.reading import meaning_of, read_json, require_inside
from cxrtool.core.runs import Run
from cxrtool.data.published import without_header

FORMAT = 1
Kind = Literal["generator", "classifier", "clip"]
_ROOM, _SPARE = 4, 2**24  # what building needs beside the weights: copies, tables of positions
REQUIRED = ("kind", "arch", "architecture", "labels", "preprocessing")


def save_model(
    run: Run,
    module: nn.Module | Mapping[str, Tensor],
    meta: Mapping[str, Any],
    header: Mapping[str, str] | None = None,
) -> None:
    """Write `model.json` and `model.safetensors` into the run directory.

    Args:
        run: The run to write into.
        module: The network, or a flat state (several networks share one file by name prefixes).
        meta: JSON-able description. Required: `kind` ("generator" | "classifier" | "clip"), `arch`
            (name), `architecture` (constructor arguments), `labels` (names in order; empty where
            there are none), `preprocessing` (`size`, and `fit`, `kernel`, `channels` where known).
            Usual: `label_kind`, `policy`, `selection`, `thresholds`.
        header: What the weights say of themselves wherever they are copied to.

    Raises:
        ValueError: a required entry is missing (a bug of the caller).
    """
    missing = [key for key in REQUIRED if key not in meta]
    if missing:
        raise ValueError(f"model description lacks {', '.join(missing)}")
    state = module.state_dict() if isinstance(module, nn.Module) else module
    # Copies: safetensors refuses tensors that share memory or are not contiguous.
    tensors = {
        name: value.detach().cpu().contiguous().clone() for name, value in sorted(state.items())
    }
    with run.atomic("model.safetensors") as path:
        write_tensors(tensors, path, header)
    path = run.path("model.safetensors")
    # A generator is handed on without its header (`cxr share`) and is the same network then.
    # Classifiers have always been told by the whole file.
    whole = meta["kind"] == "classifier"
    weights = {
        "file": path.name,
        "sha256": sha256_file(path) if whole else sha256_bytes(without_header(path)),
        "tensors": len(tensors),
        "parameters": sum(value.numel() for value in tensors.values()),
    }
    # model.json last: where it exists, the weights beside it are whole.
    run.write_json("model.json", {"format": FORMAT, **meta, "weights": weights})


def write_tensors(
    tensors: Mapping[str, Tensor], path: Path, header: Mapping[str, str] | None = None
) -> None:
    """Write a safetensors file.

    Args:
        tensors: On the CPU, contiguous, none sharing memory with another.
        path: The file, not written atomically.
        header: Metadata of the file.

    Raises:
        OSError: no space or no permission (safetensors itself hides it in an error of its own).
    """
    path.write_bytes(save(dict(tensors), dict(header) if header else None))


def read_model(run_dir: Path | str, kind: Kind) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read a finished network.

    Args:
        run_dir: The run directory (or any folder with the two files).
        kind: What the caller needs.

    Returns:
        (description, flat state on the CPU).

    Raises:
        InputError: files missing or corrupt, another kind of network, or a newer format.
    """
    run_dir = Path(run_dir)
    path = run_dir / "model.json"
    if not path.is_file():
        what = f"{run_dir} holds no finished {kind} (no model.json)"
        hint = "give the output folder of a training command that has completed"
        raise InputError(what, hint=hint)
    meta = read_json(path)
    for key in REQUIRED:
        meta[key]
    actual, version = meta["kind"], meta["format"]
    weights = require_inside(meta["weights"]["file"], run_dir, path)
    digest = meta["weights"]["sha256"]
    if version > FORMAT:
        what = f"written by a newer version (model format {version}, known: {FORMAT})"
        raise InputError(what, file=path)
    if actual != kind:
        raise InputError(f"this is a {actual}, a {kind} is needed", file=path)
    if not weights.is_file():
        raise InputError("the weights are missing", file=weights)
    if run_dir.resolve() != weights.resolve().parent and weights.is_symlink():
        require_inside(str(weights.resolve()), run_dir, path)
    if digest not in _digests(weights):
        what = "the weights are damaged: their hash differs from model.json"
        raise InputError(what, file=weights, hint="train again, or copy the folder again")
    try:
        return meta, load_file(weights, device="cpu")
    except (SafetensorError, OSError) as error:
        raise InputError(f"cannot read the weights ({error})", file=weights) from error


def _digests(weights: Path) -> Iterator[str]:
    """By which a file may be called: as a whole, and without its header."""
    yield sha256_file(weights)
    with contextlib.suppress(ValueError, AttributeError):  # damaged: no header to be read
        yield sha256_bytes(without_header(weights))


class _Budget(TorchDispatchMode):
    """Refuses tensors, before memory is taken for them, of more numbers than are left.

    Args:
        numbers: How many there may be.
    """

    def __init__(self, numbers: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.left = numbers

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        if not any(isinstance(arg, Tensor) for arg in args):  # what makes tensors of nothing
            sizes = next((a for a in args if isinstance(a, list | tuple)), None)
            if sizes is None or not all(isinstance(s, int) for s in sizes):  # of tensors, none
                sizes = [max((abs(a) for a in args if isinstance(a, int | float)), default=1)]
            self.left -= int(math.prod(sizes)) if all(s >= 0 for s in sizes) else 0
            if self.left < 0:
                raise OverflowError(f"a network of more numbers than the weights have ({func})")
        return func(*args, **(kwargs or {}))


def _whole_numbers(value: Any) -> Iterator[int]:
    """All of a description, however deep."""
    if isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _whole_numbers(item)
    elif isinstance(value, int):
        yield abs(value)


@contextlib.contextmanager
def building(
    description: Any, weights: Mapping[str, Tensor] | int, file: Path | str
) -> Iterator[None]:
    """Build a network by a description, which may be damaged or not be of these weights.

    Args:
        description: What it is built by, JSON-able.
        weights: The state that the network is to have, or how many numbers that has at most.
        file: The description, for messages.

    Raises:
        InputError: The description is of a network that is far larger than its weights, or of none.
    """
    numbers = weights if isinstance(weights, int) else sum(w.numel() for w in weights.values())
    if (largest := max(_whole_numbers(description), default=0)) > max(numbers, _SPARE):
        raise InputError(
            f"describes a network of {largest:,} of something; its weights are {numbers:,} numbers",
            file=file,
            hint="copy the folder again",
        )
    try:
        with meaning_of(file), _Budget(_ROOM * numbers + _SPARE):
            yield
    except RuntimeError as error:
        reason = str(error).strip().partition("\n")[0][:120]
        raise InputError(f"describes no network ({reason})", file=file) from error


def load_weights(module: nn.Module, state: Mapping[str, Tensor], *, file: Path | str) -> None:
    """Copy `state` into `module`, all names and shapes matching.

    Raises:
        InputError: the state belongs to another architecture; names the first difference.
    """
    own = module.state_dict()
    for name in sorted(own.keys() | state.keys()):
        if name not in own or name not in state:
            where = "the file" if name not in state else "the network"
            raise InputError(f"another architecture: {where} lacks {name}", file=file)
        if own[name].shape != state[name].shape:
            have, want = list(state[name].shape), list(own[name].shape)
            raise InputError(f"another architecture: {name} is {have}, not {want}", file=file)
    module.load_state_dict(dict(state))
