"""Finished generators and discriminators of the older architectures, as other packages use them.

In: networks and a description. Out: `training.protocols.Generator` and `Judge`. Latents are
truncated by scaling: z times psi, so that 0 gives one image per condition, that of the mean latent.
"""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from cxrtool.generators.saved import D_PREFIX, G_PREFIX, SavedGenerator

Read = Callable[[Any, Tensor], tuple[Tensor, Tensor]]


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
        return self.images(z, y, truncation).clamp(-1, 1)

    def images(self, z: Tensor, y: Tensor, truncation: float) -> Tensor:
        """What the network makes of truncated latents."""
        images: Tensor = self.network(z * truncation, y)
        return images


class LatentJudge(nn.Module):
    """A discriminator whose scores of an image depend on that image alone in evaluation mode.

    Args:
        network: The discriminator.
        labels: Names, in order.
        prevalence: `[L]` share of each among the training images.
        single: Whether an image has exactly one label.
        read: Asks the network about images: (`[N]` scores, `[N, L]` label logits).
    """

    prevalence: Tensor

    def __init__(
        self,
        network: nn.Module,
        labels: tuple[str, ...],
        prevalence: Tensor,
        single: bool = False,
        read: Read = lambda network, x: network(x),
    ) -> None:
        super().__init__()
        self.network, self.labels, self.single, self.read = network, labels, single, read
        self.register_buffer("prevalence", prevalence.clone())

    def judge(self, x: Tensor, y: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Realness and label logits; what was asked for changes neither."""
        return self.read(self.network, x)


def latent_generator(
    saved: SavedGenerator, build: Callable[..., nn.Module], sizes: Callable[..., Any]
) -> LatentGenerator:
    """The finished generator: `build` makes it from its sizes and a random generator."""
    network = saved.network(build, saved.sizes(sizes), G_PREFIX)
    return LatentGenerator(network, saved.labels, saved.meta)


def latent_judge(
    saved: SavedGenerator, build: Callable[..., nn.Module], sizes: Callable[..., Any], **how: Any
) -> LatentJudge:
    """The finished discriminator, see `latent_generator`; `how`: see `LatentJudge`."""
    network = saved.network(build, saved.sizes(sizes), D_PREFIX)
    return LatentJudge(network, saved.labels, saved.prevalence, saved.single, **how)
