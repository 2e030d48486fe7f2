"""A finished flow as other packages use it, and what its loss tells of members.

In: a run directory of train-gan. Out: a generator, whose `sampling` may be set unless few calls
were distilled into it, and a judge of membership.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from cxrtool.core.errors import InputError
from cxrtool.generators.flow.edits import edited
from cxrtool.generators.flow.network import Network, read_sizes
from cxrtool.generators.flow.sampling import Distillation, Sampling, images_of
from cxrtool.generators.flow.trainer import flow_loss
from cxrtool.generators.latent import LatentGenerator
from cxrtool.generators.saved import G_PREFIX, SavedGenerator
from cxrtool.training.protocols import LabelChange, Noise
from cxrtool.training.rng import torch_generator

TOLD = (0.2, 0.4, 0.6, 0.8)  # times at which the loss tells members


class FlowGenerator(LatentGenerator):
    """A finished flow (`training.protocols.Generator`); the latent is the noise that it starts at.

    Args:
        network: The averaged network.
        saved: What it is from.

    Attributes:
        distillation: What it learned of a teacher; None for one that learned images.
        sampling: How images are made, as its training found best; may be set where nothing was
            distilled.
    """

    network: Network

    def __init__(self, network: Network, saved: SavedGenerator) -> None:
        super().__init__(network, saved.labels, saved.meta)
        self.distillation = distillation_of(saved)
        own = Sampling(**saved.meta.get("sampling", {}))
        self.sampling = own if self.distillation is None else self.distillation.own

    def edited(
        self, x: Tensor, change: LabelChange, noise: Noise, on_step: Callable[[], None]
    ) -> Tensor:
        """Images after a change of labels; see `edits.edited`."""
        return edited(self.network, x, change, noise, on_step)

    def images(self, z: Tensor, y: Tensor, truncation: float) -> Tensor:
        """By the differential equation, or in the steps of a student."""
        return images_of(self.network, z * truncation, y, self.sampling, self.labels)


def distillation_of(saved: SavedGenerator) -> Distillation | None:
    """What a finished flow learned of a teacher; None where it learned images."""
    record = saved.meta.get("distillation")
    return None if record is None else Distillation.from_json(record)


def load_generator(saved: SavedGenerator) -> FlowGenerator:
    """The finished generator."""
    return FlowGenerator(saved.network(Network, read_sizes, G_PREFIX), saved)


class FlowJudge(nn.Module):
    """What the network knows of an image (`training.protocols.Judge`): how well it finds its noise.

    Images that it was trained on it may know better than others, which is a test of membership
    (Carlini et al. 2023, arXiv 2301.13188). It is no measure of realism: a blank image is easy.
    A student saw no image, only what its teacher makes of noise; what is asked of it is how well
    its steps follow the straight way between an image and noise, from every time but 1, where
    nothing of the image is left. Its teacher knows members better.

    Args:
        network: The averaged network.
        saved: What it is from.

    Raises:
        InputError: A student of one call, which begins at 1.
    """

    def __init__(self, network: Network, saved: SavedGenerator) -> None:
        super().__init__()
        self.network, self.labels, self.single = network, (), False
        self.prevalence = nn.Buffer(torch.zeros(0))
        distillation = distillation_of(saved)
        if distillation is not None and distillation.calls == 1:
            raise InputError(
                "a generator distilled to one call goes from pure noise to an image: no loss of"
                " its own tells whether it knows an image",
                file=saved.run_dir,
                hint="test membership by its teacher, or by a student of two calls",
            )
        self.times = TOLD if distillation is None else tuple(distillation.own.times[1:-1])
        noise = torch.randn(
            len(self.times), *network.arch.shape, generator=torch_generator("membership")
        )
        self.noise = nn.Buffer(noise)

    @torch.no_grad()
    def judge(self, x: Tensor, y: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Minus the mean loss at a few times, with one noise each for all images; no label."""
        mask = torch.ones_like(y) if mask is None else mask
        losses = [
            flow_loss(self.network, x, noise.expand_as(x), x.new_full((len(x),), t), y, mask)
            for t, noise in zip(self.times, self.noise)
        ]
        return -torch.stack(losses).mean(dim=0), x.new_zeros(len(x), 0)


def load_judge(saved: SavedGenerator) -> FlowJudge:
    """What tests membership; there is no discriminator."""
    return FlowJudge(saved.network(Network, read_sizes, G_PREFIX), saved)
