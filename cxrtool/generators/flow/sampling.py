"""From noise to images: the flow's differential equation, with guidance by labels.

In: the network, a noise image, labels, and how to go. Out: images. Heun's method from t = 1 to 0,
the last step Euler's: two calls a step but for the last. Guidance (Ho & Salimans 2022, arXiv
2207.12598) goes on from what the network says without the labels towards, and past, what it says
with them; inside an interval of t only, if wanted (Kynkäänniemi et al. 2024, arXiv 2404.07724).
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Self

import torch
from torch import Tensor

Velocity = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Sampling:
    """How images are made.

    Attributes:
        steps: Steps from noise to image.
        guidance: Weight of the labels; 1 for the network as it is.
        interval: Times between which the guidance acts, in [0, 1].
    """

    steps: int = 8
    guidance: float = 1.0
    interval: tuple[float, float] = (0.0, 1.0)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """From what `to_json` returned."""
        return cls(**{**record, "interval": tuple(record["interval"])})

    @property
    def calls(self) -> int:
        """Calls of the network an image, guidance aside."""
        return 2 * self.steps - 1

    def to_json(self) -> dict[str, Any]:
        """For records."""
        return asdict(self)


def sample(network: Velocity, noise: Tensor, y: Tensor, how: Sampling) -> Tensor:
    """Images of a flow.

    Args:
        network: Velocities `[N, C, H, W]` of images on their way, times, labels and a mask.
        noise: `[N, C, H, W]` standard normal.
        y: `[N, L]` complete labels.
        how: Steps and guidance.

    Returns:
        `[N, C, H, W]`, not clamped.
    """
    known, unknown = torch.ones_like(y), torch.zeros_like(y)

    def velocity(x: Tensor, t: float) -> Tensor:
        times = x.new_full((len(x),), t)
        low, high = how.interval
        if how.guidance == 1.0 or not y.shape[1] or not low <= t <= high:
            return network(x, times, y, known)
        if how.guidance == 0.0:
            return network(x, times, y, unknown)
        both = network(
            torch.cat([x, x]),
            torch.cat([times, times]),
            torch.cat([y, y]),
            torch.cat([known, unknown]),
        )
        told, untold = both.chunk(2)
        return torch.lerp(untold, told, how.guidance)

    x, times = noise, torch.linspace(1, 0, how.steps + 1).tolist()
    for start, end in pairwise(times):
        slope = velocity(x, start)
        there = x + (end - start) * slope
        x = there if end == 0 else x + (end - start) / 2 * (slope + velocity(there, end))
    return x
