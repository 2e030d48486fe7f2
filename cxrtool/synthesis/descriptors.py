"""How near images are to each other: small, standardized pictures and their distances.

In: images, uint8. Out: descriptors [N, D], unit vectors whose Euclidean distance is 0 for the same
picture at any brightness and contrast, 1.41 for unrelated ones, at most 2. Averaging to 32 px makes
them blind to noise and fine texture and keeps anatomy.

A copy is told by the ratio of the nearest distance to the mean of the following ones (Carlini et
al., Extracting Training Data from Diffusion Models, USENIX Security 2023, section 4.2, who divide
by the mean distance of the 50 nearest): a blurred image is near to everything, so its distance is
small and its ratio is not.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from cxrtool.data.cache import resized
from cxrtool.synthesis.arrays import ByteArray, FloatArray, IntArray

SIDE_PX = 32
NEIGHBORS = 50
SAME = 0.02  # below this distance two real images are one picture filed twice
MOST_COMPARED = 1000  # real images that the usual ratio is measured on
CHUNK = 256
_EPSILON = 1e-6
_EXCLUDED = -2.0  # below every inner product of unit vectors


def describe(images: Tensor) -> Tensor:
    """Descriptors of images.

    Args:
        images: uint8 [N, H, W] on any device.

    Returns:
        float32 [N, D], D at most 32 x 32.
    """
    x = images.to(torch.float32).unsqueeze(1)
    if x.shape[-1] > SIDE_PX:
        x = functional.adaptive_avg_pool2d(x, SIDE_PX)
    x = x.flatten(1)
    x = x - x.mean(dim=1, keepdim=True)
    length: Tensor = x.norm(dim=1, keepdim=True)
    return x / (length + _EPSILON)


def distance_of(similarity: Tensor) -> Tensor:
    """Distance of unit vectors from their inner product."""
    return (2 - 2 * similarity).clamp(min=0).sqrt()


@dataclass(frozen=True, eq=False)
class Gallery:
    """Training images that others are compared with.

    Attributes:
        descriptors: [N, D], N >= 1, on the device where images will be compared.
    """

    descriptors: Tensor

    @classmethod
    @torch.inference_mode()
    def of(cls, images: ByteArray, rows: IntArray, size: int, device: torch.device) -> Self:
        """Describe many images, read a chunk at a time.

        Args:
            images: uint8 [M, H, W], such as a memory map.
            rows: Which of them [N].
            size: Side that they are brought to first, pixels.
            device: Where the descriptors go.
        """
        parts = []
        for start in range(0, len(rows), CHUNK):
            chunk = resized(np.array(images[rows[start : start + CHUNK]]), size)
            parts.append(describe(torch.from_numpy(chunk).to(device)))
        return cls(torch.cat(parts))

    def __len__(self) -> int:
        return len(self.descriptors)

    def nearness(
        self, query: Tensor, excluded: Tensor | None = None, neighbors: int = NEIGHBORS
    ) -> Tensor:
        """Nearest distance, and its ratio to the mean distance of the next ones.

        Args:
            query: Descriptors [B, D].
            excluded: [B, N] bool, pairs that do not count.
            neighbors: How many next ones; 0 leaves the ratio, and most of the work, out.

        Returns:
            [2, B]; the ratio is 1 where there is nothing further to compare with.
        """
        similarity = query @ self.descriptors.T
        if excluded is not None:
            similarity = similarity.masked_fill(excluded, _EXCLUDED)
        if neighbors == 0:
            near = distance_of(similarity.amax(dim=1))
            return torch.stack([near, torch.ones_like(near)])
        highest = similarity.topk(min(neighbors + 1, len(self)), dim=1).values
        near = distance_of(highest).masked_fill(highest == _EXCLUDED, torch.nan)
        ratio = near[:, 0] / (near[:, 1:].nanmean(dim=1) + _EPSILON)
        return torch.stack([near[:, 0], ratio.nan_to_num(1.0)])


def usual_nearness(gallery: Gallery, people: IntArray) -> tuple[FloatArray, FloatArray]:
    """Measure real against real, without the images of the same person and doubles.

    Args:
        gallery: The real images.
        people: Whom each of them shows [N].

    Returns:
        The nearest distances of some real images to those of other people [n], and the same as
        ratios [n].
    """
    n = len(gallery)
    some = np.unique(np.linspace(0, n - 1, min(n, MOST_COMPARED)).astype(np.int64))
    device = gallery.descriptors.device
    whom = torch.from_numpy(people).to(device)
    parts = []
    for start in range(0, len(some), CHUNK):
        rows = torch.from_numpy(some[start : start + CHUNK]).to(device)
        query = gallery.descriptors[rows]
        excluded = whom[rows][:, None] == whom[None, :]
        excluded |= distance_of(query @ gallery.descriptors.T) < SAME
        parts.append(gallery.nearness(query, excluded)[:, ~excluded.all(dim=1)])
    distances, ratios = torch.cat(parts, dim=1).cpu().numpy()
    return distances, ratios
