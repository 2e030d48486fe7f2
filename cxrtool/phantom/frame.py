"""The pixel grid of one exposure in the coordinates of the patient.

In: an `Acquisition` and a picture size. Out: for every pixel its place in the patient's plane (cm),
look-up tables along an axis, smooth seeded noise, and the way back from the patient to fractions of
the picture. The *document* is the centred square of the picture (what ``prepare --fit crop``
keeps); document coordinates run from 0 to 1 in both directions, whatever the resolution.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxrtool.phantom.params import Acquisition

Floats = NDArray[Any]
"""Values for each pixel, [H, W]: float32 from a `Frame`, sometimes wider after arithmetic."""

SPAN = 36.0
"""Tables and noise cover -SPAN..SPAN cm in both axes."""
BINS = 6144
TABLE = np.linspace(-SPAN, SPAN, BINS)
"""The coordinate (cm) of every entry of a look-up table, float64 [BINS]."""


class Frame:
    """Pixel coordinates of one exposure.

    Args:
        acquisition: Field of view, rotation and centering.
        height: Rows of the picture.
        width: Columns of the picture.

    Attributes:
        x, y: float32 [H, W], place of each pixel centre in the patient's plane, cm.
        px: Side of a pixel in the patient's plane, cm.
    """

    def __init__(self, acquisition: Acquisition, height: int, width: int) -> None:
        self.shape = (height, width)
        self.unit = min(height, width)
        self.fov = acquisition.fov
        self.px = acquisition.fov / self.unit
        angle = math.radians(acquisition.rotation)
        self._cos, self._sin = math.cos(angle), math.sin(angle)
        self._shift = (acquisition.shift_x, acquisition.shift_y)
        self.cols = ((np.arange(width) + 0.5 - width / 2) * self.px).astype(np.float32)
        self.rows = ((np.arange(height) + 0.5 - height / 2) * self.px).astype(np.float32)
        dx = self.cols[None, :] - np.float32(self._shift[0])
        dy = self.rows[:, None] - np.float32(self._shift[1])
        cos, sin = np.float32(self._cos), np.float32(self._sin)
        self.x: Floats = cos * dx + sin * dy
        self.y: Floats = cos * dy - sin * dx
        self._iy = _index(self.y)
        self._ix = _index(self.x)
        self._kernels: dict[float, tuple[Floats, Floats]] = {}

    def along_y(self, *tables: NDArray[np.floating]) -> list[Floats]:
        """Looks up functions of y, each given on `TABLE`, at every pixel."""
        return [t.astype(np.float32)[self._iy] for t in tables]

    def along_x(self, *tables: NDArray[np.floating]) -> list[Floats]:
        """Looks up functions of x, each given on `TABLE`, at every pixel."""
        return [t.astype(np.float32)[self._ix] for t in tables]

    def ramp(self, distance: Floats, soft: float = 0.0) -> Floats:
        """0 outside, 1 inside, linear over ``soft`` cm but never sharper than a pixel."""
        width = np.float32(1.0 / max(soft, 1.2 * self.px))
        return np.asarray(np.clip(distance * width + np.float32(0.5), 0.0, 1.0))

    def noise(self, seed: int, cell: float) -> Floats:
        """Smooth noise with unit deviation: cubic B-splines on a grid of ``cell`` cm.

        The grid is fixed to the field, not to the pixels, so that every resolution shows the same.
        """
        if cell not in self._kernels:
            self._kernels[cell] = (_spline(self.rows, cell), _spline(self.cols, cell))
        rows, cols = self._kernels[cell]
        n = rows.shape[1]
        grid = np.random.default_rng(seed).standard_normal((n, n), dtype=np.float32)
        return rows @ grid @ cols.T * np.float32(2.09)

    def to_document(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Fractions of the document for points [N, 2] in the patient's plane (cm)."""
        p = np.asarray(points, dtype=np.float64)
        x = self._cos * p[:, 0] - self._sin * p[:, 1] + self._shift[0]
        y = self._sin * p[:, 0] + self._cos * p[:, 1] + self._shift[1]
        return np.stack([x, y], axis=1) / self.fov + 0.5

    def to_pixels(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Columns and rows (pixel centres at integers) for points [N, 2] in cm."""
        h, w = self.shape
        offset = np.array([w / 2, h / 2]) - 0.5
        return (self.to_document(points) - 0.5) * self.unit + offset


def _index(values: Floats) -> NDArray[np.intp]:
    scale = np.float32((BINS - 1) / (2 * SPAN))
    place = np.clip((values + np.float32(SPAN)) * scale + 0.5, 0, BINS - 1)
    return np.asarray(place, np.intp)


def _spline(values: Floats, cell: float) -> Floats:
    n = int(2 * SPAN / cell) + 4
    t = np.abs((values[:, None] + SPAN) / cell - np.arange(n)[None, :])
    near = 2 / 3 - t**2 + t**3 / 2
    far = np.clip(2 - t, 0, None) ** 3 / 6
    return np.where(t < 1, near, far).astype(np.float32)
