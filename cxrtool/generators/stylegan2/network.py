"""A trained StyleGAN2 generator as other packages use it (`training.protocols.StyleSpace`).

In: a run directory of train-gan. Out: an object that makes images from latents and labels, and
gives access to W and to style space. Truncation pulls w towards the mean of its own condition:
towards one global mean it would pull rare findings towards the majority.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from cxrtool.core.errors import InputError
from cxrtool.generators.saved import D_PREFIX, G_PREFIX, SavedGenerator
from cxrtool.generators.stylegan2.discriminator import Discriminator
from cxrtool.generators.stylegan2.generator import Architecture, Generator
from cxrtool.generators.stylegan2.layers import ToImage
from cxrtool.training.rng import torch_generator

MEAN_SAMPLES = 4096
W_PREFIX = "w_mean."


class TrainedGenerator(nn.Module):
    """Generator with label names and mean latents.

    Args:
        generator: The network.
        labels: Names of its conditioning labels, in order.
        means: From `mean_latents`.
        meta: Content of `model.json`.

    Attributes:
        vectors: `[K, L]` conditions whose mean w is stored.
        means: `[K, w_dim]` their mean w.
        w_center: `[w_dim]` mean w over the joint distribution of the training labels.
        style_layers: Name -> (channels, resolution, whether it is a ToRGB layer).
    """

    def __init__(
        self,
        generator: Generator,
        labels: tuple[str, ...],
        means: Mapping[str, Tensor],
        meta: Mapping[str, Any],
    ) -> None:
        super().__init__()
        arch = generator.arch
        self.network, self.labels, self.meta = generator, labels, dict(meta)
        self.size, self.channels, self.z_dim = arch.size, arch.channels, arch.z_dim
        self.w_dim, self.num_ws = arch.w_dim, generator.num_ws
        self.style_layers = {
            name: (layer.affine.weight.shape[0], resolution, isinstance(layer, ToImage))
            for name, layer, _, resolution in generator.layers()
        }
        # Beyond the mapping the network is used as it is.
        self.styles, self.synthesis = generator.styles, generator.synthesis
        self.synthesis_from_styles = generator.synthesis_from_styles
        self.begin, self.advance = generator.begin, generator.advance
        self._means: dict[tuple[float, ...], Tensor] = {}  # of every condition met so far
        self.vectors = nn.Buffer(means["vectors"])
        self.means = nn.Buffer(means["conditions"])
        self.w_center = nn.Buffer(means["center"])

    def generate(
        self, z: Tensor, y: Tensor, truncation: float = 1.0, noise: str = "const"
    ) -> Tensor:
        """Images in [-1, 1]; see `training.protocols.Generator.generate`."""
        return self.synthesis(self.mapping(z, y, truncation), noise).clamp(-1, 1)

    def mapping(self, z: Tensor, y: Tensor, truncation: float = 1.0) -> Tensor:
        """`[N, z_dim]`, `[N, L]` -> w `[N, num_ws, w_dim]`.

        Raises:
            ValueError: y has another number of labels.
        """
        if y.shape[1] != len(self.labels):
            raise ValueError(f"{y.shape[1]} label values given, {len(self.labels)} needed")
        w: Tensor = self.network.mapping(z, y)
        if truncation != 1:
            w = torch.lerp(self.mean_w(y), w, truncation)
        return w.unsqueeze(1).expand(-1, self.num_ws, -1)

    def mean_w(self, y: Tensor) -> Tensor:
        """Mean w of each condition: `[N, L] -> [N, w_dim]`.

        Stored for the frequent conditions of the training rows and each label by itself; for any
        other condition the mean over a fixed sample of z, taken once.
        """
        if not self.labels:
            return self.w_center.expand(len(y), -1)
        conditions, place = torch.unique(y.float(), dim=0, return_inverse=True)
        means = [self._mean_of(condition) for condition in conditions.cpu()]
        return torch.stack(means).to(self.w_center)[place]

    def _mean_of(self, condition: Tensor) -> Tensor:
        key = tuple(condition.tolist())
        if not self._means:
            stored = zip(self.vectors.tolist(), self.means.cpu(), strict=True)
            self._means = {tuple(vector): mean for vector, mean in stored}
        if key not in self._means:
            self._means[key] = condition_mean(self.network, condition).cpu()
        return self._means[key]


@torch.no_grad()
def condition_mean(generator: Generator, condition: Tensor) -> Tensor:
    """Mean w over a fixed sample of z under one condition: `[L] -> [w_dim]`."""
    device = generator.const.device
    rng = torch_generator("mean w")
    z = torch.randn(MEAN_SAMPLES, generator.arch.z_dim, generator=rng).to(device)
    w: Tensor = generator.mapping(z, condition.to(device).expand(MEAN_SAMPLES, -1))
    return w.mean(dim=0)


@torch.no_grad()
def mean_latents(generator: Generator, vectors: Tensor, joint: Tensor) -> dict[str, Tensor]:
    """The mean latents that are stored with a generator.

    Args:
        generator: The averaged network.
        vectors: `[K, L]` conditions, see `conditions.frequent_conditions`.
        joint: `[M, L]` label vectors drawn from the training rows.

    Returns:
        `vectors` `[K, L]`, `conditions` `[K, w_dim]` and `center` `[w_dim]`.
    """
    arch, device = generator.arch, generator.const.device
    z = torch.randn(len(joint), arch.z_dim, generator=torch_generator("mean w")).to(device)
    center = generator.mapping(z, joint.to(device)).mean(dim=0)
    means = [condition_mean(generator, vector) for vector in vectors]
    table = torch.stack(means) if means else torch.zeros(0, arch.w_dim, device=device)
    return {"vectors": vectors, "conditions": table, "center": center}


def load_generator(saved: SavedGenerator) -> TrainedGenerator:
    """The finished generator.

    Raises:
        InputError: the state does not fit the description.
    """
    generator = saved.network(Generator, Architecture, G_PREFIX)
    means = saved.part(W_PREFIX)
    fits = len(saved.labels) == generator.arch.labels
    if means.keys() != {"vectors", "conditions", "center"} or not fits:
        weights = saved.run_dir / "model.safetensors"
        raise InputError("labels and mean latents do not fit the network", file=weights)
    return TrainedGenerator(generator, saved.labels, means, saved.meta)


class TrainedJudge(nn.Module):
    """A discriminator as filters use it (`training.protocols.Judge`).

    Args:
        discriminator: The network.
        labels: Names of its labels, in order.
    """

    single = False

    def __init__(self, discriminator: Discriminator, labels: tuple[str, ...]) -> None:
        super().__init__()
        self.network, self.labels = discriminator, labels
        self.prevalence = nn.Buffer(discriminator.prevalence.clone())

    def judge(self, x: Tensor, y: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Realness and label logits without minibatch statistics."""
        mask = torch.ones_like(y, dtype=torch.bool) if mask is None else mask
        verdict = self.network(x, y, mask, group=0)
        return verdict.score, verdict.labels


def load_judge(saved: SavedGenerator) -> TrainedJudge:
    """The finished discriminator."""
    return TrainedJudge(saved.network(Discriminator, Architecture, D_PREFIX), saved.labels)
