"""Finished generators and discriminators of the older architectures, as other packages use them.

In: networks and a description. Out: `training.protocols.Generator` and `Judge`. Latents are
truncated by scaling: z times psi, so that 0 gives one image a condition, that of the mean latent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn


class LatentGenerator(nn.Module):
    """A network of z and labels.

    Args:
        network: Called with `[N, z_dim]` and `[N, L]`; gives images.
        labels: Names of the conditioning labels, in order.
        meta: Content of `model.json`.
    """

    def __init__(
        self, network: nn.Module, labels: tuple[str, ...], meta: Mapping[str, Any]
    ) -> None:
        super().__init__()
        self.network, self.labels, self.meta = network, labels, dict(meta)
        sizes: Any = network.arch
        self.size, self.channels, self.z_dim = sizes.size, sizes.channels, sizes.z_dim

    def generate(
        self, z: Tensor, y: Tensor, truncation: float = 1.0, noise: str = "const"
    ) -> Tensor:
        """Images in [-1, 1]; there are no noise images.

        Raises:
            ValueError: y has another number of labels.
        """
        if y.shape[1] != len(self.labels):
            raise ValueError(f"{y.shape[1]} label values given, {len(self.labels)} needed")
        images: Tensor = self.network(z * truncation, y)
        return images.clamp(-1, 1)


class LatentJudge(nn.Module):
    """A discriminator whose scores of an image depend on that image alone in evaluation mode.

    Args:
        network: Called with images; gives (`[N]` scores, `[N, L]` label logits).
        labels: Names, in order.
        prevalence: `[L]` share of each among the training images.
        single: Whether an image has exactly one label.
    """

    prevalence: Tensor

    def __init__(
        self, network: nn.Module, labels: tuple[str, ...], prevalence: Tensor, single: bool = False
    ) -> None:
        super().__init__()
        self.network, self.labels, self.single = network, labels, single
        self.register_buffer("prevalence", prevalence.clone())

    def judge(self, x: Tensor, y: Tensor, known: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Realness and label logits; what was asked for changes neither."""
        score, logits = self.network(x)
        return score, logits
