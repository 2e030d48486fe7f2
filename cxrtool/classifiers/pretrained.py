"""Weights to start from: ImageNet's or TorchXRayVision's by name, a local file, an earlier run.

In: `--weights` or `--init-from`. Out: a `Start`: a state for the trunk, the intensity adapter that
it was trained with, and the input size it wants. The head is new, except where an earlier run has
the very same labels. Files are safetensors, or PyTorch states read with `weights_only=True`;
nothing of ours is unpickled. Weights by name are fetched by torchvision and TorchXRayVision, by
their own loaders and into their own caches.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from cxrtool.classifiers.architectures import PUBLISHED, ClassifierNet
from cxrtool.core import console
from cxrtool.core.errors import InputError, UsageError, sentence_of
from cxrtool.core.extras import install_hint
from cxrtool.training.models import load_weights, read_model

XRV = ("xrv-all", "xrv-nih", "xrv-chex", "xrv-mimic_ch", "xrv-mimic_nb", "xrv-pc", "xrv-rsna")
PUBLISHED_PX = 224  # input size of the published weights
_XRV_MARK = "op_threshs"  # a buffer that only TorchXRayVision's networks have
_PREFIXES = ("module.", "model.", "trunk.")
#: What a file is taken to have been trained on, by adapter.
_TAKEN_AS = {
    "imagenet": "three channels, so ImageNet's mean and deviation are assumed",
    "xrv": "TorchXRayVision's intensities, [-1024, 1024]",
    "plain": "one channel, so intensities in [-1, 1] are assumed, as in train-cls",
}
_HEADS = ("classifier.weight", "classifier.bias")


@dataclass(frozen=True)
class Start:
    """Where a network starts from.

    Attributes:
        trunk: State of the trunk.
        head: State of the last layer, if the labels are the same.
        adapter: A key of `architectures.ADAPTERS`.
        size: Input size that the weights want, px; None for any.
        origin: What reports call them.
    """

    trunk: Mapping[str, Tensor]
    head: Mapping[str, Tensor] | None
    adapter: str
    size: int | None
    origin: str


def by_name(name: str, arch: str) -> Start | None:
    """Published weights; None for "none".

    Raises:
        UsageError: The architecture has no such weights.
        InputError: They cannot be fetched here.
    """
    if name == "none":
        return None
    if arch == "small_cnn" or (name in XRV and arch != "densenet121"):
        raise UsageError(
            f"--weights {name}: there are none for {arch}",
            hint="xrv weights are densenet121; imagenet has all but small_cnn",
        )
    try:
        if name == "imagenet":
            from torchvision.models import get_model_weights

            published: Any = get_model_weights(arch).DEFAULT
            state: Mapping[str, Tensor] = published.get_state_dict(progress=False)
        else:
            import torchxrayvision

            full_name = f"densenet121-res224-{name.removeprefix('xrv-')}"
            state = torchxrayvision.models.DenseNet(weights=full_name).state_dict()
    except ImportError:
        raise InputError(
            f"--weights {name} needs torchxrayvision", hint=install_hint("xrv")
        ) from None
    except Exception as error:  # whatever the download raises: no network, no disk, a bad hash
        raise InputError(
            f"--weights {name} cannot be fetched here: {sentence_of(error)}",
            hint="without a network, bring the file and give it with --init-from FILE",
        ) from None
    adapter = "imagenet" if name == "imagenet" else "xrv"
    return Start(_trunk_of(state, arch, Path(name)), None, adapter, PUBLISHED_PX, name)


def from_path(path: Path, arch: str, labels: tuple[str, ...]) -> Start:
    """Weights of a `train-cls` run (its folder or its `model.safetensors`) or of another file.

    Raises:
        InputError: Unreadable, or of another architecture; names what does not fit.
    """
    if path.is_dir():
        return _from_run(path, arch, labels)
    if path.name == "model.safetensors" and (path.resolve().parent / "model.json").is_file():
        return _from_run(path.resolve().parent, arch, labels)
    state = _read_file(path)
    mark = _XRV_MARK in state or f"model.{_XRV_MARK}" in state
    trunk = _trunk_of(state, arch, path)
    channels = trunk[_first(arch)].shape[1]
    if channels not in (1, 3):
        raise InputError(f"the first convolution takes {channels} channels, not 1 or 3", file=path)
    adapter = "imagenet" if channels == 3 else "xrv" if mark else "plain"
    # A bare state does not say what intensities its network saw; only TorchXRayVision's is marked.
    (console.say if mark else console.warn)(f"{path}: {_TAKEN_AS[adapter]}")
    return Start(trunk, None, adapter, None if adapter == "plain" else PUBLISHED_PX, "a local file")


def _from_run(path: Path, arch: str, labels: tuple[str, ...]) -> Start:
    description, state = read_model(path, "classifier")
    if description["arch"] != arch:
        raise InputError(
            f"is a {description['arch']}, not a {arch}",
            file=path,
            hint=f"use --arch {description['arch']}",
        )
    shape = description["architecture"]
    trunk = {k.removeprefix("trunk."): v for k, v in state.items() if k.startswith("trunk.")}
    head = {k.removeprefix("head."): v for k, v in state.items() if k.startswith("head.")}
    same = tuple(shape["labels"]) == labels
    adapter = str(shape.get("adapter", "plain"))
    size = int(shape["size"])
    return Start(trunk, head if same else None, adapter, size, "an earlier run")


def _read_file(path: Path) -> Mapping[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path, device="cpu")
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever the file holds
        raise InputError(
            f"cannot be read as weights: {sentence_of(error)}",
            file=path,
            hint="a .safetensors file, or a state_dict saved by torch.save; whole pickled"
            " networks are not loaded, by design",
        ) from None
    if isinstance(state, Mapping) and isinstance(state.get("state_dict"), Mapping):
        state = state["state_dict"]
    if not isinstance(state, Mapping) or not all(isinstance(v, Tensor) for v in state.values()):
        raise InputError("holds no state of a network", file=path)
    return state


def _first(arch: str) -> str:
    """First convolution of an architecture: how many channels it takes tells the adapter."""
    return f"{PUBLISHED[arch][0] if arch in PUBLISHED else '0.0'}.weight"


def _trunk_of(state: Mapping[str, Tensor], arch: str, file: Path) -> dict[str, Tensor]:
    """The trunk's part of a state in torchvision's (or our) naming."""
    last = PUBLISHED[arch][1] if arch in PUBLISHED else "head"
    out: dict[str, Tensor] = {}
    for name, value in state.items():
        plain = name
        for prefix in _PREFIXES:
            plain = plain.removeprefix(prefix)
        if plain not in _HEADS and not plain.startswith(("head.", f"{last}.", _XRV_MARK)):
            out[plain] = value
    if _first(arch) not in out:
        raise InputError(
            f"these are no weights of {arch}: {_first(arch)} is missing",
            file=file,
            hint="choose the --arch that they belong to",
        )
    return out


def apply(start: Start, network: ClassifierNet, file: Path | str) -> None:
    """Copy a start into a network, every name and shape matching.

    Raises:
        InputError: Something is missing or has another shape; names it.
    """
    own = network.trunk.state_dict()
    # Counters of BatchNorm are absent from old files, and mean nothing with a fixed momentum.
    filled = {k: v for k, v in own.items() if k.endswith("num_batches_tracked")}
    load_weights(network.trunk, {**filled, **start.trunk}, file=file)
    if start.head is not None:
        load_weights(network.head, start.head, file=file)
