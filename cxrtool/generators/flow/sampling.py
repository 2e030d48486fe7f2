"""From noise to images: the flow's differential equation, with guidance by labels.

In: the network, a noise image, labels, and how to go. Out: images. Heun's method from t = 1 to 0,
the last step Euler's: two calls a step but for the last; a student of few calls (`distillation`)
knows the mean velocity of each of its steps, and takes Euler's alone. Guidance (Ho & Salimans 2022,
arXiv 2207.12598) goes on from what the network says without the labels towards, and past, what it
says with them; inside an interval of t only, if wanted (Kynkäänniemi et al. 2024, arXiv
2404.07724). A single label may have a weight of its own: it adds, or takes away, the difference
that it makes to know this label beside all others (as concepts are composed by Liu et al. 2022,
arXiv 2206.01714).
"""

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
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
        labels: Weights of single labels, by name, in the place of `guidance`.
        solver: "heun", or "euler" for one call a step.
    """

    steps: int = 8
    guidance: float = 1.0
    interval: tuple[float, float] = (0.0, 1.0)
    labels: Mapping[str, float] = field(default_factory=dict)
    solver: str = "heun"

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """From what `to_json` returned."""
        return cls(**{**record, "interval": tuple(record["interval"])})

    @property
    def calls(self) -> int:
        """Calls of the network an image, guidance aside."""
        return self.steps if self.solver == "euler" else 2 * self.steps - 1

    @property
    def times(self) -> list[float]:
        """Where the steps begin and end, from 1 to 0: short ones at both ends, where the way bends.

        Half a cosine; with n times as many steps, every n-th time is the same.
        """
        return [(1 + math.cos(math.pi * k / self.steps)) / 2 for k in range(self.steps + 1)]

    @property
    def described(self) -> str:
        """In half a line."""
        if self.guidance == 1.0 and not self.labels:
            return f"{self.calls} calls, no guidance"
        low, high = self.interval
        where = "" if (low, high) == (0.0, 1.0) else f" from time {low:g} to {high:g}"
        single = "".join(f", {weight:g} of {name}" for name, weight in self.labels.items())
        return f"{self.calls} calls, guidance {self.guidance:g}{single}{where}"

    def to_json(self) -> dict[str, Any]:
        """For records: no solver where that is Heun's, no weights where no label has one."""
        record = asdict(self)
        usual = {"solver": "heun", "labels": {}}
        return {k: v for k, v in record.items() if k not in usual or v != usual[k]}


@dataclass(frozen=True)
class Distillation:
    """What a student of few calls learns.

    Attributes:
        teacher: Fingerprint of the generator that it learns from.
        calls: Of the student's network an image; the teacher's steps are a multiple.
        sampling: How the teacher makes the images that the student shall make.
        folded: How the images of the teacher's own teacher were made, if it is a student itself.
    """

    teacher: str
    calls: int
    sampling: Sampling
    folded: Mapping[str, Any] | None = None

    @property
    def described(self) -> str:
        """In half a line."""
        return f"distilled from {self.teacher} ({self.sampling.described}) to {self.calls} calls"

    @property
    def own(self) -> Sampling:
        """How the student makes images."""
        return Sampling(steps=self.calls, solver="euler")

    def to_json(self) -> dict[str, Any]:
        """For records."""
        chain = {} if self.folded is None else {"folded": dict(self.folded)}
        record = {"teacher": self.teacher, "calls": self.calls}
        return {**record, "sampling": self.sampling.to_json(), **chain}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """From what `to_json` returned."""
        return cls(**{**record, "sampling": Sampling.from_json(record["sampling"])})


def sample(
    network: Velocity, noise: Tensor, y: Tensor, how: Sampling, labels: Sequence[str] = ()
) -> Tensor:
    """Images of a flow: the end of `way`, `[N, C, H, W]`, not clamped."""
    return deque(way(network, noise, y, how, labels), maxlen=1).pop()


@torch.no_grad()
def images_of(
    network: Any, z: Tensor, y: Tensor, how: Sampling, labels: Sequence[str] = ()
) -> Tensor:
    """Images of a `flow.network.Network` from flat noise `[N, z_dim]`, not clamped."""
    return sample(network, z.view(len(z), *network.arch.shape), y, how, labels)


def way(
    network: Velocity, noise: Tensor, y: Tensor, how: Sampling, labels: Sequence[str] = ()
) -> Iterator[Tensor]:
    """The images of a flow, from noise on and after every step.

    Args:
        network: Velocities `[N, C, H, W]` of images on their way, times, labels and a mask.
        noise: `[N, C, H, W]` standard normal.
        y: `[N, L]` complete labels.
        how: Steps and guidance.
        labels: Names of the columns of y; needed where single ones have a weight.

    Yields:
        `[N, C, H, W]`; the noise first.

    Raises:
        ValueError: A label with a weight is not among them.
    """
    known, unknown = torch.ones_like(y), torch.zeros_like(y)
    single = {labels.index(name): weight for name, weight in how.labels.items()}
    single = {column: weight for column, weight in single.items() if weight != how.guidance}

    def velocity(x: Tensor, t: float) -> Tensor:
        times = x.new_full((len(x),), t)
        low, high = how.interval
        if not low <= t <= high or not y.shape[1] or (how.guidance == 1.0 and not single):
            return network(x, times, y, known)
        if how.guidance == 0.0 and not single:
            return network(x, times, y, unknown)
        masks = [known] if how.guidance == 1.0 else [known, unknown]
        for column in single:
            masks.append(known.clone())
            masks[-1][:, column] = 0
        told, *others = network(
            x.repeat(len(masks), 1, 1, 1),
            times.repeat(len(masks)),
            y.repeat(len(masks), 1),
            torch.cat(masks),
        ).chunk(len(masks))
        slope = told if how.guidance == 1.0 else torch.lerp(others.pop(0), told, how.guidance)
        for weight, without in zip(single.values(), others):
            slope = slope + (weight - how.guidance) * (told - without)
        return slope

    x = noise
    yield x
    for start, end in pairwise(how.times):
        slope = velocity(x, start)
        there = x + (end - start) * slope
        euler = end == 0 or how.solver == "euler"
        x = there if euler else x + (end - start) / 2 * (slope + velocity(there, end))
        yield x
