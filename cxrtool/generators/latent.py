"""A finished generator whose latent goes into the network as it is.

In: a network and the description of its run. Out: what makes images from latents and labels
(`training.protocols.Generator`). StyleGAN2, with a latent space in between, has its own.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn


class LatentGenerator(nn.Module):
    """A finished network of z and labels (`training.protocols.Generator`).

    Args:
        network: Called with `[N, z_dim]` and `[N, L]`; gives images.
        labels: Names of the conditioning labels, in order.
        meta: Content of `model.json`.
    """

    def __init__(self, network: Any, labels: tuple[str, ...], meta: Mapping[str, Any]) -> None:
        super().__init__()
        self.network, self.labels, self.meta = network, labels, dict(meta)
        arch = network.arch
        self.size, self.channels, self.z_dim = arch.size, arch.channels, arch.z_dim

    def generate(
        self, z: Tensor, y: Tensor, truncation: float = 1.0, noise: str = "const"
    ) -> Tensor:
        """Images in [-1, 1]; there are no noise images.

        Raises:
            ValueError: y has another number of labels.
        """
        if y.shape[1] != len(self.labels):
            raise ValueError(f"{y.shape[1]} label values given, {len(self.labels)} needed")
        return self.images(z, y, truncation).clamp(-1, 1)

    def images(self, z: Tensor, y: Tensor, truncation: float) -> Tensor:
        """What the network makes of truncated latents."""
        images: Tensor = self.network(z * truncation, y)
        return images
