"""Classifier networks for one-channel radiographs.

In: the name of an architecture, label names, input size. Out: a network with `logits` and
`features` (the `Classifier` protocol) that adapts size and intensity by itself.

`densenet121` is torchvision's (Huang et al., CVPR 2017) with a first convolution for one channel;
the mean over input channels is what an RGB filter computes on gray, so nothing else changes.
`small_cnn` is a plain VGG-like network for CPUs and sizes of 32 to 128 px.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cxrtool.errors import InputError


class ClassifierNet(nn.Module):
    """A trunk that makes features and one linear layer that reads the labels from them.

    Args:
        trunk: Images [N, 1, size, size] in [-1, 1] -> features [N, D].
        feature_dim: D.
        labels: Names of the outputs, in order.
        size: Input height and width, px.

    Attributes:
        description: What `model.json` says of the network (`loading.load` fills it in): label
            policy, row selection, preprocessing, how it was trained.
    """

    def __init__(
        self, trunk: nn.Module, feature_dim: int, labels: tuple[str, ...], size: int
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self.head = nn.Linear(feature_dim, len(labels))
        self.labels = labels
        self.size = size
        self.description: dict[str, Any] = {}

    def features(self, x: Tensor) -> Tensor:
        """Images [N, 1, H, W] in [-1, 1], any H and W -> features [N, D]."""
        return self.trunk(self._adapt(x))

    def logits(self, x: Tensor) -> Tensor:
        """Images [N, 1, H, W] in [-1, 1], any H and W -> logits [N, L]."""
        return self.head(self.features(x))

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(x)

    def _adapt(self, x: Tensor) -> Tensor:
        # Networks trained from scratch take [-1, 1] as it is; only the size may need work.
        if x.shape[-2:] != (self.size, self.size):
            x = F.interpolate(
                x, (self.size, self.size), mode="bilinear", align_corners=False, antialias=True
            )
        return x


def _densenet121() -> tuple[nn.Module, int]:
    from torchvision.models import densenet121

    net = densenet121(weights=None)
    net.features.conv0 = nn.Conv2d(1, 64, kernel_size=7, stride=2, padding=3, bias=False)
    nn.init.kaiming_normal_(net.features.conv0.weight)
    width = net.classifier.in_features
    net.classifier = nn.Identity()
    return net, width


def _conv_block(n_in: int, n_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(n_in, n_out, 3, padding=1, bias=False), nn.BatchNorm2d(n_out), nn.ReLU()
    )


def _small_cnn() -> tuple[nn.Module, int]:
    widths = (16, 32, 64, 128, 192)
    layers: list[nn.Module] = []
    n_in = 1
    for i, n_out in enumerate(widths):
        layers += [_conv_block(n_in, n_out)]
        if i < len(widths) - 1:
            layers += [nn.MaxPool2d(2)]
        n_in = n_out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()), n_in


# Name -> builder of (trunk, length of its features). A new architecture is one entry here.
TRUNKS: dict[str, Callable[[], tuple[nn.Module, int]]] = {
    "densenet121": _densenet121,
    "small_cnn": _small_cnn,
}


def build(arch: str, labels: tuple[str, ...], size: int, seed: int = 0) -> ClassifierNet:
    """A fresh network; the same seed gives the same weights.

    Args:
        arch: A key of `TRUNKS`.
        labels: Names of the outputs.
        size: Input height and width, px.
        seed: Seeds the initial weights alone; the global generator is left as it was.

    Raises:
        InputError: The architecture is unknown here (a model written by a newer version).
    """
    if arch not in TRUNKS:
        raise InputError(f"unknown classifier architecture {arch!r} (known: {', '.join(TRUNKS)})")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        trunk, width = TRUNKS[arch]()
        return ClassifierNet(trunk, width, labels, size)
