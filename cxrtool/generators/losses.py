"""Losses and regularizers of the adversarial game.

In: discriminator outputs, images, latents. Out: scalars (means over the batch) or one number a
sample. Two games: `ns-r1`, the non-saturating logistic loss (Goodfellow et al. 2014) with R1
(Mescheder et al. 2018, arXiv 1801.04406); `rp-r1r2`, the relativistic pairing loss with R1 and R2
(R3GAN, Huang et al. 2024, arXiv 2501.05441), in which only differences of scores count. Path
length: Karras et al. 2020 (arXiv 1912.04958), section 3.2. Auxiliary labels: Odena et al. 2017, as
binary cross-entropy for labels that occur together.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

LOSSES = ("ns-r1", "rp-r1r2")


def generator_loss(fake: Tensor) -> Tensor:
    """-log sigmoid(D(fake)), mean over scores `[N]`."""
    return F.softplus(-fake).mean()


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """-log sigmoid(D(real)) - log(1 - sigmoid(D(fake))), means over scores `[N]`."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def relativistic_loss(winner: Tensor, loser: Tensor) -> Tensor:
    """-log sigmoid(D(winner) - D(loser)), mean over pairs of scores `[N]`.

    The discriminator's loss with the real image as the winner, the generator's with the generated
    one; adding a number to all scores changes nothing.
    """
    return F.softplus(loser - winner).mean()


def label_loss(logits: Tensor, y: Tensor, mask: Tensor, counts: Tensor | None = None) -> Tensor:
    """Binary cross-entropy over the known labels.

    Args:
        logits: `[N, L]`.
        y: `[N, L]` in {0, 1}.
        mask: `[N, L]` bool.
        counts: `[L]` known values to divide by; None for those of `mask`. With the counts of a
            whole batch, the losses of its parts add up to that of the batch.

    Returns:
        Sum over labels of the mean over their known values; 0 where nothing is known. (A sum, so
        that a label weighs the same whether the set has one label or fourteen.)
    """
    loss = F.binary_cross_entropy_with_logits(logits, y, reduction="none") * mask
    counts = mask.sum(dim=0) if counts is None else counts
    return (loss.sum(dim=0) / counts.clamp(min=1)).sum()


def gradient_penalty(score: Tensor, x: Tensor) -> Tensor:
    """Squared norm of the gradient of each score with respect to its image (R1 on real images).

    Args:
        score: `[N]`, computed from x.
        x: `[N, C, H, W]`, requiring gradient.

    Returns:
        `[N]`, sums over pixels; differentiable in the discriminator's weights.
    """
    (gradient,) = torch.autograd.grad(score.sum(), x, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3))


def path_length(
    images: Tensor, ws: Tensor, mean: Tensor, noise: Tensor, decay: float = 0.01
) -> tuple[Tensor, Tensor, Tensor]:
    """Deviation of ||J_w^T noise|| from its running mean.

    Args:
        images: `[N, C, H, W]`, computed from ws.
        ws: `[N, num_ws, w_dim]`.
        mean: Running mean before this batch, a scalar; NaN for that of this batch.
        noise: `[N, C, H, W]` standard normal.
        decay: Weight of this batch in the running mean.

    Returns:
        Penalty to minimize (not weighted), new mean without gradient, lengths `[N]`.
    """
    noise = noise / (images.shape[2] * images.shape[3]) ** 0.5
    (gradient,) = torch.autograd.grad((images * noise).sum(), ws, create_graph=True)
    lengths = gradient.square().sum(dim=2).mean(dim=1).sqrt()
    here = lengths.detach().mean()
    new_mean = torch.where(mean.isnan(), here, mean.lerp(here, decay))
    return (lengths - new_mean).square().mean(), new_mean, lengths
