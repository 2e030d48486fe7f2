"""A feature space that needs no weights: a seeded random convolutional network.

In: images [N, 1, H, W] in [-1, 1]. Out: features [N, D]. Untrained networks separate images by
texture, contrast and coarse layout (Naeem et al., ICML 2020, use a random VGG16 where no trained
network fits the domain). Distances in it are comparable between sets of images on the same seed and
size alone, and are never an FID.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_WIDTHS = (16, 32, 48, 64)
_LAYOUT = 2  # the last layer is read on a 2 x 2 grid: apex, base, left, right
SIZE = 64


class RandomFeatures(nn.Module):
    """Four random convolutions with averaging between them, read at every depth.

    Args:
        seed: Fixes the weights.

    Attributes:
        name: How reports call the space.
        dim: D.
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        rng = torch.Generator().manual_seed(seed)
        self.filters = nn.ParameterList()
        n_in = 1
        for n_out in _WIDTHS:
            weight = torch.randn(n_out, n_in, 3, 3, generator=rng) * (2 / (9 * n_in)) ** 0.5
            self.filters.append(nn.Parameter(weight, requires_grad=False))
            n_in = n_out
        self.name = f"untrained random CNN, seed {seed}"
        self.dim = sum(_WIDTHS[:-1]) + _WIDTHS[-1] * _LAYOUT**2

    def forward(self, x: Tensor) -> Tensor:
        """[N, 1, H, W] in [-1, 1] -> [N, D]."""
        if x.shape[-2:] != (SIZE, SIZE):
            x = F.interpolate(x, (SIZE, SIZE), mode="bilinear", align_corners=False, antialias=True)
        read = []
        for i, weight in enumerate(self.filters):
            x = F.leaky_relu(F.conv2d(x, weight, padding=1), 0.2)
            if i < len(self.filters) - 1:
                read.append(x.mean(dim=(2, 3)))
                x = F.avg_pool2d(x, 2)
        read.append(F.adaptive_avg_pool2d(x, _LAYOUT).flatten(1))
        return torch.cat(read, dim=1)
