"""The metric network and its classifier of Gaussian kernels.

In: images `[N, C, size, size]` in [-1, 1]. Out: features `[N, D]`, and class probabilities from the
distances to features of training images. Meyer, Harwood and Drummond 2018 (arXiv 1705.09780):

    P(class c | x) = sum over centers i of class c of k(x, i) / sum over all centers of k(x, i)

with k = exp(-|f(x) - f_i|^2 / 2 sigma^2); the centers are the features of training images, renewed
from time to time, and an image is no center of its own. One sigma for all, learned along (ours).
"""

import math

import torch
from torch import Tensor, nn

from cxrtool.generators.classic.layers import conv, linear, lrelu

FEATURES = 512
LAST_SIZE = 4
START_SIGMA = 10.0  # features start with unit variance, so that two of them lie 32 apart
TINY = 1e-12
EXACT = "donot_use_mm_for_euclid_dist"  # |a|^2 + |b|^2 - 2ab cancels where features are alike


class MetricNetwork(nn.Module):
    """Images to features.

    Args:
        size: Of the images, pixels.
        channels: Of the images.
        width: Feature channels of the first convolution, doubled at each smaller size.
        rng: Draws the initial weights (a CPU generator).
    """

    def __init__(self, size: int, channels: int, width: int, rng: torch.Generator) -> None:
        super().__init__()
        layers, before, k = [], channels, 0
        while size > LAST_SIZE:
            after = min(width << k, 16 * width)
            layers.append(conv(before, after, 3, rng=rng, stride=2))
            before, size, k = after, size // 2, k + 1
        self.convs = nn.ModuleList(layers)
        inputs = before * size**2
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

    classes: Tensor
    rows: Tensor
    centers: Tensor

    def __init__(self, classes: Tensor, rows: Tensor, count: int) -> None:
        super().__init__()
        self.count = count
        self.log_sigma = nn.Parameter(torch.tensor(math.log(START_SIGMA)))
        self.register_buffer("classes", classes)
        self.register_buffer("rows", rows)
        self.register_buffer("centers", torch.zeros(len(classes), FEATURES))

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
