"""A Gaussian per class over the codes of an autoencoder.

In: codes `[N, D]` and classes. Out: means and covariances, and codes drawn from them. Mariani et
al. 2018, section 3: the latent of a class is N(mean of its codes, their covariance).

A covariance of D dimensions needs many more than D images, and has no inverse below that. Every
class is shrunk towards the covariance that all classes share (of the codes about their own class's
mean): the shared one counts as D further images, which is the posterior mean under an inverse
Wishart prior of that weight. So a class moves smoothly to its own covariance as its images grow.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

JITTER = 1e-4  # of the mean variance, so that the factor of a flat direction exists


@dataclass(frozen=True)
class ClassGaussians:
    """Gaussians of K classes.

    Attributes:
        means: `[K, D]`.
        covariances: `[K, D, D]`.
        shares: `[K]` weight of the shared covariance, in (0, 1].
    """

    means: Tensor
    covariances: Tensor
    shares: Tensor


def fit(codes: Tensor, classes: Tensor, count: int) -> ClassGaussians:
    """Estimate the Gaussians.

    Args:
        codes: `[N, D]`.
        classes: int64 `[N]`, each of the K classes at least once.
        count: K.

    Raises:
        ValueError: a class without a code.
    """
    codes = codes.double()
    dim = codes.shape[1]
    means, scatters, numbers = [], [], []
    for k in range(count):
        own = codes[classes == k]
        if not len(own):
            raise ValueError(f"no code of class {k}")
        means.append(own.mean(dim=0))
        centered = own - means[-1]
        scatters.append(centered.T @ centered)
        numbers.append(len(own))
    shared = torch.stack(scatters).sum(dim=0) / max(1, len(codes) - count)
    covariances, shares = [], []
    for scatter, n in zip(scatters, numbers, strict=True):
        own = scatter / max(1, n - 1)
        share = shrinkage(n, dim)
        covariances.append((1 - share) * own + share * shared)
        shares.append(share)
    return ClassGaussians(torch.stack(means), torch.stack(covariances), torch.tensor(shares))


def shrinkage(images: int, dim: int) -> float:
    """Weight of the shared covariance for a class of so many images."""
    return dim / (dim + images - 1)


class ClassLatents(nn.Module):
    """Standard normal numbers to codes of a class.

    Args:
        count: K.
        dim: D.
    """

    means: Tensor
    factors: Tensor

    def __init__(self, count: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("means", torch.zeros(count, dim))
        self.register_buffer("factors", torch.eye(dim).repeat(count, 1, 1))

    @torch.no_grad()
    def set(self, fitted: ClassGaussians) -> None:
        """Take the Gaussians over."""
        dim = fitted.means.shape[1]
        size = fitted.covariances.diagonal(dim1=1, dim2=2).mean().clamp(min=1e-12)
        jitter = JITTER * size * torch.eye(dim, dtype=torch.float64, device=fitted.means.device)
        self.means.copy_(fitted.means)
        self.factors.copy_(torch.linalg.cholesky(fitted.covariances + jitter))

    def forward(self, z: Tensor, classes: Tensor) -> Tensor:
        """`[N, D]` standard normal and int64 `[N]` -> `[N, D]`."""
        turned = torch.einsum("nij,nj->ni", self.factors[classes], z)
        return self.means[classes] + turned
