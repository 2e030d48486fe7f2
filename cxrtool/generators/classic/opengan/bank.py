"""Features of real images by class: what a class is asked for with.

In: features and classes. Out: for a number in (0, 1) and a class one of its features, so that
latents decide which real image lends its feature and the generator stays a function of (z, label).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

MOST = 256  # features of a class


class Bank(nn.Module):
    """Features of every class.

    Args:
        features: `[T, D]`.
        classes: int64 `[T]`, sorted.
        count: Number of classes, each at least once.
    """

    features: Tensor
    classes: Tensor
    firsts: Tensor
    counts: Tensor
    means: Tensor

    def __init__(self, features: Tensor, classes: Tensor, count: int) -> None:
        super().__init__()
        self.register_buffer("features", features)
        self.register_buffer("classes", classes)
        counts = torch.bincount(classes, minlength=count)
        sums = features.new_zeros(count, features.shape[1]).index_add_(0, classes, features)
        self.register_buffer("counts", counts, persistent=False)
        self.register_buffer("firsts", counts.cumsum(0) - counts, persistent=False)
        self.register_buffer("means", sums / counts[:, None], persistent=False)

    @classmethod
    def of(cls, features: Tensor, classes: Tensor, count: int, most: int = MOST) -> Bank:
        """The first images of each class, at most so many."""
        rows = torch.cat([(classes == k).nonzero()[:most, 0] for k in range(count)])
        return cls(features[rows].clone(), classes[rows].clone(), count)

    def forward(self, z: Tensor, classes: Tensor, truncation: float = 1.0) -> Tensor:
        """One feature each.

        Args:
            z: `[N]` standard normal; its place in that distribution picks the image.
            classes: int64 `[N]`.
            truncation: psi; 0 gives the mean feature of the class.

        Returns:
            `[N, D]`.
        """
        share = 0.5 * (1 + torch.erf(z / math.sqrt(2)))
        counts = self.counts[classes]
        place = (share * counts).long().minimum(counts - 1)
        chosen = self.features[self.firsts[classes] + place]
        return torch.lerp(self.means[classes], chosen, truncation)
