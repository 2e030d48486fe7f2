"""How good the generator is while it trains: distances to real images, and signs of collapse.

In: what makes images at a moment. Out: a few numbers. Latents, labels and real images are the
same every time, so that the numbers of a run can be compared with each other; the feature space and
the distances come from the caller, and the features of the real images are taken once.
"""

from collections.abc import Callable
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from cxrtool.data.images import to_float, to_uint8
from cxrtool.generators.feed import Feed
from cxrtool.training.rng import Draws, torch_generator

MOST = 2000  # images on a side
LEAST = 8  # images with a label, below which their spread is not looked at
COLLAPSED = 0.05  # spread of the images of a label, as a share of that of real ones
_CHUNK = 100


class Maker(Protocol):
    """What makes images: a trainer at the moment, or a finished network in one of its ways."""

    @property
    def z_dim(self) -> int:
        """Length of a latent."""

    def sample(self, z: Tensor, y: Tensor) -> Tensor:
        """Images `[N, C, H, W]` of latents `[N, z_dim]` and labels `[N, L]`."""


class Measure(Protocol):
    """What tells the best of a training's networks.

    Attributes:
        name: Of the number that decides, of which less is better.
        told: The same in words.
        tolerance: The newest network is kept whose number is within this factor of the lowest.
        n: Images that it is taken on.
        on: Which ones these are.
    """

    name: str
    told: str
    tolerance: float
    n: int
    on: str

    def measure(self, trainer: Any) -> dict[str, float]:
        """Numbers by name, `name` among them, of the averaged generator of the moment."""


Extract = Callable[[Tensor], Tensor]
Compare = Callable[[np.ndarray, np.ndarray], dict[str, float]]


class Quality:
    """Measures generators on fixed latents and labels.

    Args:
        feed: The real images, with labels: the training rows, or others.
        extract: Images `[N, 1, H, W]` in [-1, 1], on the feed's device, to features `[N, D]`.
        compare: Features `[N, D]` of generated and of real images to named numbers, among them
            `fd`, of which less is better.
        seed: Of latents, labels and the choice of real images.
        most: Images on a side, at most.
        space: What the features are called.
        on: Which images the rows are.
    """

    # A distance over 2,000 images is itself uncertain, and of several networks about as good the
    # one that has trained longest follows its labels best.
    name, told, tolerance = "fd", "Fréchet distance", 1.25

    def __init__(
        self,
        feed: Feed,
        extract: Extract,
        compare: Compare,
        seed: int,
        most: int = MOST,
        space: str = "features",
        on: str = "training images",
    ) -> None:
        self._feed, self._extract, self._compare, self._seed = feed, extract, compare, seed
        self.n = min(most, len(feed))
        self.on = f"{on}, and as many generated ones, in {space}"
        rng = torch_generator("quality labels", seed, device=feed.device)
        # As frequent as they are, whatever a training shows: so are those of the real images.
        self._y, _ = feed.fake_labels(Draws(rng, self.n), natural=True)
        order = torch.randperm(len(feed), generator=torch_generator("quality reals", seed))
        self._rows = order[: self.n].to(feed.device)

    @torch.no_grad()
    def measure(self, trainer: Maker) -> dict[str, float]:
        """Distances, and `spread`: the least varied label's share of the real images' variation."""
        rng = torch_generator("quality latents", self._seed)
        z = torch.randn(self.n, trainer.z_dim, generator=rng).to(self._feed.device)
        parts = []
        for latents, labels in zip(z.split(_CHUNK), self._y.split(_CHUNK), strict=True):
            pixels = to_uint8(trainer.sample(latents, labels))  # as they will be written: 8 bits
            parts.append(to_float(pixels).to(self._feed.device))
        (features, spread), (reals, real_spread) = self._described(parts, self._y), self._reals
        measures = self._compare(features, reals)
        share = spread / real_spread
        if np.isfinite(share).any():
            measures["spread"] = float(np.nanmin(share))
        return measures

    @torch.no_grad()
    def measure_reals(self, feed: Feed) -> dict[str, float]:
        """Distances of other real images, in the place of generated ones: a measure for those."""
        order = torch.randperm(len(feed), generator=torch_generator("quality others", self._seed))
        rows = order[: self.n].to(feed.device)
        parts = [to_float(feed.pixels[part]) for part in rows.split(_CHUNK)]
        features, _ = self._described(parts, feed.values[rows])
        return self._compare(features, self._reals[0])

    @cached_property
    def _reals(self) -> tuple[np.ndarray, np.ndarray]:
        """Features `[N, D]` of the real images, and their spread."""
        parts = [to_float(self._feed.pixels[part]) for part in self._rows.split(_CHUNK)]
        return self._described(parts, self._feed.values[self._rows])

    def _described(self, parts: list[Tensor], y: Tensor) -> tuple[np.ndarray, np.ndarray]:
        features = [self._extract(x).float().cpu() for x in parts]
        return torch.cat(features).numpy(), self._spread(torch.cat(parts), y)

    @staticmethod
    def _spread(x: Tensor, y: Tensor) -> np.ndarray:
        """Mean over pixels of the standard deviation across all images, and those of each label.

        NaN for a label of too few images.
        """
        groups = [x, *(x[column > 0] for column in y.T)]
        return np.array([float(g.std(dim=0).mean()) if len(g) >= LEAST else np.nan for g in groups])
