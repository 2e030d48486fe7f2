"""Classifier networks for one-channel radiographs.

In: the name of an architecture, label names, input size. Out: a network with `logits` and
`features` (the `Classifier` protocol) that adapts size and intensity by itself; from the output
folder of `train-cls` in evaluation mode together with its description (labels, policy, selection,
preprocessing), never one without the other.

`densenet121` (Huang et al., CVPR 2017), `efficientnet_v2_s` (Tan & Le, ICML 2021) and `vgg16_bn`
(Simonyan & Zisserman, ICLR 2015) are torchvision's with another first convolution: one channel
for networks that start from scratch, and as many as given weights have. `small_cnn` is a plain
VGG-like network for CPUs and sizes of 32 to 128 px.
"""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cxrtool.core.errors import InputError
from cxrtool.training.models import building, load_weights, read_model

_MEAN = 0.485, 0.456, 0.406
_STD = 0.229, 0.224, 0.225


def _standardized(x: Tensor) -> Tensor:
    return torch.cat([((x + 1) / 2 - m) / s for m, s in zip(_MEAN, _STD, strict=True)], dim=1)


# Intensity adapters: name -> (channels, how gray in [-1, 1] becomes the network's input).
# "imagenet": the mean and deviation of torchvision's weights; "xrv": TorchXRayVision's
# [-1024, 1024] (Cohen et al., MIDL 2022).
ADAPTERS: dict[str, tuple[int, Callable[[Tensor], Tensor]]] = {
    "plain": (1, lambda x: x),
    "imagenet": (3, _standardized),
    "xrv": (1, lambda x: x * 1024.0),
}


class ClassifierNet(nn.Module):
    """A trunk that makes features and one linear layer that reads the labels from them.

    Args:
        trunk: Images [N, C, size, size], C and range as `adapter` gives them -> features [N, D].
        feature_dim: D.
        labels: Names of the outputs, in order.
        size: Input height and width, px.
        adapter: A key of `ADAPTERS`.

    Attributes:
        description: What `model.json` says of the network (`load` fills it in): label
            policy, row selection, preprocessing, how it was trained, calibration.
    """

    def __init__(
        self,
        trunk: nn.Module,
        feature_dim: int,
        labels: tuple[str, ...],
        size: int,
        adapter: str = "plain",
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self.head = nn.Linear(feature_dim, len(labels))
        self.labels = labels
        self.size = size
        self.adapter = adapter
        self.description: dict[str, Any] = {}

    def features(self, x: Tensor) -> Tensor:
        """Images [N, 1, H, W] in [-1, 1], any H and W -> features [N, D]."""
        features: Tensor = self.trunk(self._adapt(x))
        return features

    def logits(self, x: Tensor) -> Tensor:
        """Images [N, 1, H, W] in [-1, 1], any H and W -> logits [N, L]."""
        logits: Tensor = self.head(self.features(x))
        return logits

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x)

    def _adapt(self, x: Tensor) -> Tensor:
        if x.shape[-2:] != (self.size, self.size):
            x = F.interpolate(
                x, (self.size, self.size), mode="bilinear", align_corners=False, antialias=True
            )
        return ADAPTERS[self.adapter][1](x)


def _published(name: str, first: str, last: str, channels: int) -> tuple[nn.Module, int]:
    """A network of torchvision for images of so many channels, without its last layer.

    Args:
        name: As torchvision calls it.
        first: Name of its first convolution.
        last: Name of its last layer; dropout before it stays.
        channels: Of the images.
    """
    from torchvision.models import get_model

    net: nn.Module = get_model(name, weights=None)
    if channels != 3:
        was: Any = net.get_submodule(first)
        how = {"stride": was.stride, "padding": was.padding, "bias": was.bias is not None}
        convolution = nn.Conv2d(channels, was.out_channels, was.kernel_size, **how)
        nn.init.kaiming_normal_(convolution.weight)
        if convolution.bias is not None:
            nn.init.zeros_(convolution.bias)
        net.set_submodule(first, convolution)
    width = int(net.get_submodule(last).in_features)  # type: ignore[arg-type]
    net.set_submodule(last, nn.Identity())
    return net, width


def _small_cnn(channels: int) -> tuple[nn.Module, int]:
    widths = (16, 32, 64, 128, 192)
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise((channels, *widths)):
        convolution = nn.Conv2d(n_in, n_out, 3, padding=1, bias=False)
        block = nn.Sequential(convolution, nn.BatchNorm2d(n_out), nn.ReLU())
        layers += [block, nn.MaxPool2d(2)]
    layers[-1] = nn.AdaptiveAvgPool2d(1)
    return nn.Sequential(*layers, nn.Flatten()), widths[-1]


# Networks of torchvision: the names of their first convolution and of their last layer.
PUBLISHED = {
    "densenet121": ("features.conv0", "classifier"),
    "efficientnet_v2_s": ("features.0.0", "classifier.1"),
    "vgg16_bn": ("features.0", "classifier.6"),
}
# Name -> builder of (trunk, length of its features) for a number of input channels.
TRUNKS: dict[str, Callable[[int], tuple[nn.Module, int]]] = {
    **{name: partial(_published, name, *layers) for name, layers in PUBLISHED.items()},
    "small_cnn": _small_cnn,
}
# Below this input size a pooling layer has nothing left to pool.
LEAST_PX = {"densenet121": 32, "vgg16_bn": 32, "efficientnet_v2_s": 32, "small_cnn": 16}


def build(
    arch: str, labels: tuple[str, ...], size: int, seed: int = 0, adapter: str = "plain"
) -> ClassifierNet:
    """A fresh network; the same seed gives the same weights.

    Args:
        arch: A key of `TRUNKS`.
        labels: Names of the outputs.
        size: Input height and width, px.
        seed: Seeds the initial weights alone; the global generator is left as it was.
        adapter: A key of `ADAPTERS`.

    Raises:
        InputError: The architecture is unknown here (a model written by a newer version).
    """
    if arch not in TRUNKS:
        raise InputError(f"unknown classifier architecture {arch!r} (known: {', '.join(TRUNKS)})")
    if adapter not in ADAPTERS:
        raise InputError(f"unknown intensity adapter {adapter!r} (known: {', '.join(ADAPTERS)})")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        trunk, width = TRUNKS[arch](ADAPTERS[adapter][0])
        return ClassifierNet(trunk, width, labels, size, adapter)


def load(run_dir: Path | str, device: torch.device | str = "cpu") -> ClassifierNet:
    """The network of a `train-cls` run, in evaluation mode, with `description` filled in.

    Raises:
        InputError: No finished classifier there, damaged weights, or another architecture.
    """
    description, state = read_model(run_dir, "classifier")
    with building(description["architecture"], state, Path(run_dir) / "model.json"):
        shape = description["architecture"]
        adapter = str(shape.get("adapter", "plain"))
        labels, size = tuple(shape["labels"]), int(shape["size"])
        network = build(description["arch"], labels, size, adapter=adapter)
    load_weights(network, state, file=Path(run_dir) / "model.safetensors")
    network.description = description
    # The memory layout of training: the same kernels, so the same bits.
    return network.to(memory_format=torch.channels_last).to(device).eval()
