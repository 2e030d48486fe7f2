"""The StyleGAN2 generator: mapping network and skip synthesis network.

In: latents `[N, z_dim]` and label values `[N, L]`. Out: images `[N, C, size, size]`.
Karras et al. 2019 (mapping network, noise, style mixing), 2020a (skip architecture, figure 7b, and
demodulation), 2020b (arXiv 2006.06676, appendix: labels embedded, normalized and concatenated to
z). Nothing here touches disk.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from cxrtool.generators.choices import BaseSizes
from cxrtool.generators.stylegan2 import ops
from cxrtool.generators.stylegan2.layers import EqualLinear, StyledConv, ToImage
from cxrtool.training.protocols import Partial
from cxrtool.training.rng import Draws

FIRST_SIZE = 4
Noise = str | dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Architecture(BaseSizes):
    """Sizes of both networks.

    Attributes: those of `BaseSizes`, and
        w_dim: Length of an intermediate latent vector.
        mapping_layers: Fully connected layers from z to w.
        channel_base: Feature channels at resolution r are `channel_base / r`, at most
            `channel_max`.
        channel_max: See `channel_base`.
        group: Samples in a group of the minibatch standard deviation.
        noise: Noise images in the generator's layers (Karras et al. 2019). Small networks, shortly
            trained, make grain of them where a radiograph has vessels and ribs.
    """

    z_dim: int = 512
    w_dim: int = 512
    mapping_layers: int = 8
    channel_base: int = 16384
    channel_max: int = 512
    group: int = 4
    noise: bool = True

    def width(self, resolution: int) -> int:
        """Feature channels at a resolution in pixels."""
        return max(1, min(self.channel_base // resolution, self.channel_max))

    @property
    def resolutions(self) -> list[int]:
        """4, 8, ... up to the image size."""
        return [2**k for k in range(2, self.size.bit_length())]


class Mapping(nn.Module):
    """z and labels to w.

    `ramp` scales the embedded labels: 0 makes the network unconditional, 1 is what it is used with.

    The labels are embedded by one linear layer with a learned bias that starts away from zero, so
    that the all-zero label vector has an embedding with a direction too; each label starts as a
    unit normal step from it.

    Args:
        arch: Sizes.
        rng: Draws the initial weights.
    """

    def __init__(self, arch: Architecture, rng: torch.Generator) -> None:
        super().__init__()
        self.ramp = nn.Buffer(torch.ones(()), persistent=False)
        self.embed: nn.Linear | None = None
        inputs = arch.z_dim
        if arch.labels:
            # skip_init leaves the global random stream untouched; the values come from `rng`.
            self.embed = nn.utils.skip_init(nn.Linear, arch.labels, arch.z_dim)
            with torch.no_grad():
                self.embed.weight.normal_(generator=rng)
                self.embed.bias.normal_(generator=rng)
            inputs += arch.z_dim
        widths = [inputs] + [arch.w_dim] * arch.mapping_layers
        dense = partial(EqualLinear, rng=rng, lr_multiplier=0.01, activate=True)
        self.layers = nn.Sequential(*itertools.starmap(dense, itertools.pairwise(widths)))

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        """`[N, z_dim]` and `[N, L]` -> `[N, w_dim]`."""
        x = ops.normalize_second_moment(ops.full_precision(z))
        if self.embed is not None:
            labels = ops.normalize_second_moment(self.embed(y.to(self.embed.weight.dtype)))
            x = torch.cat([x, labels * self.ramp], dim=1)
        out: Tensor = self.layers(x)
        return out


class Block(nn.Module):
    """One resolution of the synthesis network: one or two styled convolutions and a ToRGB layer."""

    def __init__(self, arch: Architecture, resolution: int, rng: torch.Generator) -> None:
        super().__init__()
        width = arch.width(resolution)
        self.conv0: StyledConv | None = None
        if resolution > FIRST_SIZE:
            before = arch.width(resolution // 2)
            self.conv0 = StyledConv(
                before, width, arch.w_dim, resolution, rng=rng, up=True, noise=arch.noise
            )
        self.conv1 = StyledConv(width, width, arch.w_dim, resolution, rng=rng, noise=arch.noise)
        self.torgb = ToImage(width, arch.channels, arch.w_dim, rng=rng)


class Generator(nn.Module):
    """Mapping and synthesis.

    The k-th w of `num_ws` goes to: the first block's convolution (0) and ToRGB (1), then for each
    further block its two convolutions and its ToRGB, the first convolution sharing the w of the
    ToRGB before it.

    Args:
        arch: Sizes.
        rng: Draws the initial weights (a CPU generator).
    """

    def __init__(self, arch: Architecture, rng: torch.Generator) -> None:
        super().__init__()
        self.arch = arch
        self.num_ws = 2 * len(arch.resolutions)
        self.mapping = Mapping(arch, rng)
        first = arch.width(FIRST_SIZE)
        self.const = nn.Parameter(torch.randn(first, FIRST_SIZE, FIRST_SIZE, generator=rng))
        self.blocks = nn.ModuleDict({f"b{r}": Block(arch, r, rng) for r in arch.resolutions})
        self.fir = nn.Buffer(ops.fir_kernel(), persistent=False)

    def layers(self) -> list[tuple[str, StyledConv | ToImage, int, int]]:
        """(name, layer, index of its w, resolution) of every styled layer, in the order of use."""
        layers = []
        for k, resolution in enumerate(self.arch.resolutions):
            block = self.blocks[f"b{resolution}"]
            for index, name in enumerate(("conv0", "conv1", "torgb"), start=2 * k - 1):
                layer = getattr(block, name)
                if layer is not None:
                    layers.append((f"b{resolution}.{name}", layer, index, resolution))
        return layers

    def styles(self, ws: Tensor) -> dict[str, Tensor]:
        """w `[N, num_ws, w_dim]` -> layer name -> styles `[N, channels of the layer's input]`."""
        return {name: layer.affine(ws[:, index]) for name, layer, index, _ in self.layers()}

    def draw_noise(self, draws: Draws) -> Noise:
        """Noise images of every layer that takes one, by the layer's name."""
        return {
            name: layer.draw_noise(draws)
            for name, layer, _, _ in self.layers()
            if isinstance(layer, StyledConv) and layer.noise_strength is not None
        }

    def synthesis(self, ws: Tensor, noise: Noise = "const", low: int | None = None) -> Tensor:
        """w `[N, num_ws, w_dim]` -> images `[N, channels, size, size]` float32, not clamped.

        Args:
            ws: See above.
            noise: "const" for the stored noise images, "none", or those of `draw_noise`.
            low: Resolution from which feature maps are bfloat16 (the image, styles and their
                factors stay float32); None for nowhere.
        """
        return self.synthesis_from_styles(self.styles(ws), noise, low)

    def synthesis_from_styles(
        self, styles: dict[str, Tensor], noise: Noise = "const", low: int | None = None
    ) -> Tensor:
        """Styles of every layer -> images (see `synthesis`)."""
        partial = self.begin(len(next(iter(styles.values()))))
        image = self.advance(partial, styles, noise=noise, low=low).image
        assert image is not None
        return image

    def begin(self, n: int) -> Partial:
        """The state before the first layer, for n images."""
        x = self.const.unsqueeze(0).expand(n, -1, -1, -1)
        return Partial(x.contiguous(memory_format=torch.channels_last), None)

    def advance(
        self,
        partial: Partial,
        styles: dict[str, Tensor],
        first: int = 0,
        last: int | None = None,
        noise: Noise = "const",
        low: int | None = None,
    ) -> Partial:
        """Go through some of the layers, in the order of `layers`.

        Args:
            partial: The state before layer `first`.
            styles: Of those layers at least.
            first: Index of the first one.
            last: Index after the last one; None for all that are left.
            noise: See `synthesis`.
            low: See `synthesis`.
        """
        x, image = partial
        for name, layer, _, resolution in self.layers()[first:last]:
            if isinstance(layer, StyledConv):
                if low is not None and resolution >= low:
                    x = x.to(torch.bfloat16)
                image_noise = noise if isinstance(noise, str) else noise.get(name, "none")
                x = layer(x, styles[name], image_noise)
            else:
                rgb = layer(x, styles[name])
                image = rgb if image is None else ops.upsample(image, self.fir) + rgb
        return Partial(x, image)

    def forward(
        self,
        z: Tensor,
        y: Tensor,
        noise: Noise = "const",
        mixing: Mixing | None = None,
        low: int | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Images and their w.

        Args:
            z: `[N, z_dim]`.
            y: `[N, L]`.
            noise: See `synthesis`.
            mixing: Second latents for style mixing.
            low: See `synthesis`.

        Returns:
            (images `[N, channels, size, size]`, w `[N, num_ws, w_dim]`).
        """
        ws = self.mapping(z, y).unsqueeze(1).expand(-1, self.num_ws, -1)
        if mixing is not None:
            other = self.mapping(mixing.z, y).unsqueeze(1)
            late = torch.arange(self.num_ws, device=z.device)[None, :] >= mixing.crossover[:, None]
            ws = torch.where(late[:, :, None], other, ws)
        return self.synthesis(ws, noise, low), ws


@dataclass(frozen=True)
class Mixing:
    """Style mixing (Karras et al. 2019, section 3.1), drawn per sample.

    Attributes:
        z: Second latents `[N, z_dim]`.
        crossover: `[N]` int64; w of this index and above come from the second latent. `num_ws`
            mixes nothing.
    """

    z: Tensor
    crossover: Tensor

    @staticmethod
    def draw(z_dim: int, num_ws: int, probability: float, draws: Draws) -> Mixing | None:
        """Second latents and crossovers; None if `probability` is 0."""
        if probability <= 0:
            return None
        z, crossover = draws.normal(z_dim), draws.integers(1, num_ws)
        mixed = draws.uniform() < probability
        return Mixing(z, torch.where(mixed, crossover, torch.full_like(crossover, num_ws)))
