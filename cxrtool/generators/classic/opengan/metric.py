"""The metric network, its classifier of Gaussian kernels, and the features of each class.

In: images `[N, C, size, size]` in [-1, 1]. Out: features `[N, D]`, and class probabilities from the
distances to features of training images. Meyer, Harwood and Drummond 2018 (arXiv 1705.09780):

    P(class c | x) = sum over centers i of class c of k(x, i) / sum over all centers of k(x, i)

with k = exp(-|f(x) - f_i|^2 / 2 sigma^2); the centers are the features of training images, renewed
from time to time, and an image is no center of its own. One sigma for all, learned along (ours).
A class is asked for with features of its real images (`Bank`): latents decide which image lends its
feature, and the generator stays a function of (z, label).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from cxrtool.generators.choices import BaseSizes
from cxrtool.generators.classic.layers import conv, linear, lrelu

FEATURES = 512
FIRST_SIZE, LAST_SIZE = 4, 4  # of the generator's first feature map, the metric network's last
BANK_MOST = 256  # features of a class in the bank
START_SIGMA = 10.0  # features start with unit variance, so that two of them lie 32 apart
TINY = 1e-12
EXACT = "donot_use_mm_for_euclid_dist"  # |a|^2 + |b|^2 - 2ab cancels where features are alike


@dataclass(frozen=True)
class Sizes(BaseSizes):
    """Sizes of the networks.

    Attributes:
        z_dim: Numbers of a latent: 128 of noise, and one that picks the feature of a class.
        width: Feature channels at the image's size; doubled at each smaller one.
        width_max: At most so many.
        metric_width: Feature channels of the metric network's first convolution, doubled at each
            smaller size, at most four times.
    """

    z_dim: int = 129
    width: int = 32
    width_max: int = 256
    metric_width: int = 32

    @property
    def widths(self) -> list[int]:
        """Feature channels at 4, 8, ... the image's size."""
        levels = (self.size // FIRST_SIZE).bit_length()
        return [min(self.width << k, self.width_max) for k in reversed(range(levels))]


class MetricNetwork(nn.Module):
    """Images to features.

    Args:
        arch: Sizes.
        rng: Draws the initial weights (a CPU generator).
    """

    def __init__(self, arch: Sizes, rng: torch.Generator) -> None:
        super().__init__()
        halvings = (arch.size // LAST_SIZE).bit_length() - 1
        widths = [arch.channels, *(arch.metric_width << min(k, 4) for k in range(halvings))]
        self.convs = nn.ModuleList(conv(a, b, 3, rng=rng, stride=2) for a, b in pairwise(widths))
        inputs = widths[-1] * LAST_SIZE**2
        self.out = linear(inputs, FEATURES, rng=rng, std=inputs**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        """`[N, C, size, size]` -> `[N, 512]`."""
        for layer in self.convs:
            x = lrelu(layer(x))
        features: Tensor = self.out(x.flatten(1))
        return features


class Kernels(nn.Module):
    """The width of the kernels, and the training images that stand as centers.

    Args:
        classes: int64 `[M]` of the centers.
        rows: int64 `[M]`, which training images they are.
        count: Number of classes.
    """

    def __init__(self, classes: Tensor, rows: Tensor, count: int) -> None:
        super().__init__()
        self.count = count
        self.log_sigma = nn.Parameter(torch.tensor(math.log(START_SIGMA)))
        self.classes = nn.Buffer(classes)
        self.rows = nn.Buffer(rows)
        self.centers = nn.Buffer(torch.zeros(len(classes), FEATURES))

    def forward(self, features: Tensor, rows: Tensor | None = None) -> Tensor:
        """`[N, D]` -> log probabilities `[N, K]`.

        Args:
            features: See above.
            rows: int64 `[N]`, which training images they are of; None if of others.
        """
        own = None if rows is None else rows[:, None] == self.rows[None, :]
        return log_probabilities(
            features, self.centers, self.classes, self.count, self.log_sigma.exp(), own
        )


def log_probabilities(
    features: Tensor,
    centers: Tensor,
    classes: Tensor,
    count: int,
    sigma: Tensor | float,
    leave_out: Tensor | None = None,
) -> Tensor:
    """The formula above.

    Args:
        features: `[N, D]`.
        centers: `[M, D]`.
        classes: int64 `[M]`.
        count: K; a class without a center has probability 0, of which the log is bounded.
        sigma: Width.
        leave_out: `[N, M]` bool, centers that do not count for an image.

    Returns:
        `[N, K]`.
    """
    distances = torch.cdist(features, centers, compute_mode=EXACT).square()
    exponents = -distances / (2 * sigma**2)
    if leave_out is not None:
        exponents = exponents.masked_fill(leave_out, -torch.inf)
    kernels = (exponents - exponents.amax(dim=1, keepdim=True)).exp()
    sums = kernels @ nn.functional.one_hot(classes, count).to(kernels.dtype)
    return (sums / sums.sum(dim=1, keepdim=True) + TINY).log()


def choose_centers(classes: Tensor, count: int, most: int, rng: torch.Generator) -> Tensor:
    """Rows that stand as centers: of each class the same number where it has as many.

    Args:
        classes: int64 `[N]`.
        count: K.
        most: Of all classes together.
        rng: A CPU generator.

    Returns:
        int64 `[M]`, sorted.
    """
    order = torch.randperm(len(classes), generator=rng).to(classes.device)
    each = max(1, most // count)
    rows = [order[classes[order] == k][:each] for k in range(count)]
    return torch.cat(rows).sort().values


class Bank(nn.Module):
    """Features of every class.

    Args:
        features: `[T, D]`.
        classes: int64 `[T]`, sorted.
        count: Number of classes, each at least once.
    """

    def __init__(self, features: Tensor, classes: Tensor, count: int) -> None:
        super().__init__()
        self.features = nn.Buffer(features)
        self.classes = nn.Buffer(classes)
        counts = torch.bincount(classes, minlength=count)
        sums = features.new_zeros(count, features.shape[1]).index_add_(0, classes, features)
        self.counts = nn.Buffer(counts, persistent=False)
        self.firsts = nn.Buffer(counts.cumsum(0) - counts, persistent=False)
        self.means = nn.Buffer(sums / counts[:, None], persistent=False)

    @classmethod
    def of(cls, features: Tensor, classes: Tensor, count: int, most: int = BANK_MOST) -> Bank:
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
