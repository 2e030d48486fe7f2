"""Thin things: vessels, tubes, wires, letters.

In: polylines in centimetres with a width and a strength. Out: attenuation [H, W] added to the
picture. Points are splatted bilinearly and blurred, with the mass kept, so a wire thinner than a
pixel fades instead of flickering, and the picture is the same at every resolution.

The vessels of a lung are points along a random binary tree that leaves the hila, with radii that
shrink at every branch, in a nominal chest (cm from the hilum, outwards and downwards positive). The
same seed gives the same tree, so a patient keeps his vessels from study to study.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter

from cxrtool.phantom.frame import Floats, Frame

Points = NDArray[np.float64]
STEP = 0.42
"""Length of a step along a branch, cm."""


class Strokes:
    """Collects strokes by blur width, then draws them all at once.

    Args:
        frame: Where to draw.
        min_px: Least blur (sigma) in pixels, against aliasing.
    """

    def __init__(self, frame: Frame, min_px: float = 0.45) -> None:
        self.frame = frame
        self.min_px = min_px
        self._parts: dict[float, list[tuple[Points, NDArray[np.float64]]]] = {}

    def line(
        self, points: Points, sigma: float, peak: float | NDArray[np.float64], closed: bool = False
    ) -> None:
        """Adds a polyline with Gaussian cross-section.

        Args:
            points: [N, 2] corners, cm.
            sigma: Width of the cross-section, cm.
            peak: Attenuation at its centre; one number or one for each corner.
            closed: Whether the last corner joins the first.
        """
        p = np.asarray(points, dtype=np.float64)
        strength = np.broadcast_to(np.asarray(peak, dtype=np.float64), (len(p),))
        if closed:
            p, strength = np.vstack([p, p[:1]]), np.append(strength, strength[:1])
        if len(p) < 2:
            return
        step = 0.55 * self.frame.px
        length = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(p, axis=0).T))])
        n = int(np.ceil(length[-1] / step)) + 1
        s = np.linspace(0.0, length[-1], n)
        dense = np.stack([np.interp(s, length, p[:, 0]), np.interp(s, length, p[:, 1])], axis=1)
        spacing = length[-1] / max(n - 1, 1)
        mass = np.interp(s, length, strength) * np.sqrt(2 * np.pi) * sigma * spacing
        self.dots(dense, sigma, mass)

    def dots(self, points: Points, sigma: float, mass: NDArray[np.float64]) -> None:
        """Adds blurred points; ``mass`` is attenuation times area (cm^2)."""
        self._parts.setdefault(sigma, []).append((np.asarray(points, float), np.asarray(mass)))

    def draw(self) -> Floats:
        """The sum of all strokes, float32 [H, W]."""
        h, w = self.frame.shape
        total = np.zeros((h, w), np.float32)
        for sigma, parts in self._parts.items():
            points = np.concatenate([p for p, _ in parts])
            mass = np.concatenate([m for _, m in parts]) / self.frame.px**2
            grid = splat(self.frame.to_pixels(points), mass, (h, w))
            total += gaussian_filter(
                grid, max(sigma / self.frame.px, self.min_px), mode="constant", truncate=3.0
            )
        return total


def splat(pixels: Points, mass: NDArray[np.float64], shape: tuple[int, int]) -> Floats:
    """Adds point masses to the four pixels around each point.

    Args:
        pixels: [N, 2] columns and rows; points outside are dropped.
        mass: [N].
        shape: Rows and columns.

    Returns:
        float32 [H, W].
    """
    h, w = shape
    base = np.floor(pixels).astype(np.int64)
    frac = pixels - base
    total = np.zeros(h * w)
    for dy in (0, 1):
        for dx in (0, 1):
            col, row = base[:, 0] + dx, base[:, 1] + dy
            ok = (col >= 0) & (col < w) & (row >= 0) & (row < h)
            wx = frac[:, 0] if dx else 1 - frac[:, 0]
            wy = frac[:, 1] if dy else 1 - frac[:, 1]
            weight = (mass * wx * wy)[ok]
            total += np.bincount(row[ok] * w + col[ok], weights=weight, minlength=h * w)
    return total.reshape(h, w).astype(np.float32)


def curve(corners: ArrayLike, n: int) -> Points:
    """A smooth path through corners [K, 2] (Catmull-Rom), [n, 2]."""
    p = np.asarray(corners, dtype=np.float64)
    p = np.vstack([2 * p[0] - p[1], p, 2 * p[-1] - p[-2]])
    t = np.linspace(0, len(p) - 3 - 1e-9, n)
    i = t.astype(int)
    f = (t - i)[:, None]
    a, b, c, d = p[i], p[i + 1], p[i + 2], p[i + 3]
    path = 0.5 * (
        2 * b + (c - a) * f + (2 * a - 5 * b + 4 * c - d) * f**2 + (3 * b - a - 3 * c + d) * f**3
    )
    return np.asarray(path)


def circle(x: float, y: float, r: float, n: int = 40) -> Points:
    """A closed circle, [n, 2]."""
    t = np.linspace(0, 2 * np.pi, n, endpoint=False)
    return np.stack([x + r * np.cos(t), y + r * np.sin(t)], axis=1)


@lru_cache(maxsize=64)
def tree(seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int8]]:
    """Grows the vessels of both lungs.

    Args:
        seed: The patient's texture seed.

    Returns:
        Segments [N, 4] (outwards, down, and the same at the end), radii [N] in cm, and the side of
        each segment [N] (0 right, 1 left).
    """
    rng = np.random.default_rng([seed, 0x7E55])
    # Main branches: two to the upper lobe, two across, three to the base; angle 0 is outwards.
    angles = np.deg2rad([-74, -52, -27, 2, 27, 50, 68, 82])
    side = np.repeat(np.array([0, 1], np.int8), len(angles))
    n = len(side)
    heading = np.tile(angles, 2) + rng.normal(0, 0.10, n)
    radius = np.tile([0.24, 0.27, 0.20, 0.20, 0.25, 0.33, 0.38, 0.28], 2) * rng.uniform(
        0.85, 1.15, n
    )
    place = np.stack([rng.normal(0.1, 0.25, n), rng.normal(0, 0.35, n) + 1.1 * np.sin(heading)], 1)
    bend = rng.normal(0, 0.02, n)
    segments, radii, sides = [], [], []
    for _ in range(40):
        heading = heading + bend + rng.normal(0, 0.05, len(heading))
        move = STEP * np.stack([np.cos(heading), np.sin(heading)], 1)
        segments.append(np.hstack([place, place + move]))
        radii.append(radius)
        sides.append(side)
        place = place + move
        radius = radius * 0.958
        split = rng.random(len(radius)) < 0.17
        turn = rng.choice([-1.0, 1.0], len(radius)) * rng.uniform(0.45, 0.85, len(radius))
        child = 0.72 * radius
        heading = np.concatenate([heading - 0.22 * turn * split, (heading + turn)[split]])
        place = np.concatenate([place, place[split]])
        radius = np.concatenate([np.where(split, 0.90 * radius, radius), child[split]])
        bend = np.concatenate([bend, rng.normal(0, 0.03, int(split.sum()))])
        side = np.concatenate([side, side[split]])
        keep = (radius > 0.035) & (np.abs(place[:, 1]) < 16) & (place[:, 0] > -1.0)
        heading, place, radius = heading[keep], place[keep], radius[keep]
        bend, side = bend[keep], side[keep]
    return np.concatenate(segments), np.concatenate(radii), np.concatenate(sides)


def pieces(seed: int, px: float) -> tuple[Points, Points, Points, Points, float]:
    """The tree cut into pieces shorter than a pixel.

    Args:
        seed: As for `tree`.
        px: Side of a pixel, cm.

    Returns:
        Of the middle of each piece: distance outwards and downwards from the hilum [M], cm; 1 on
        the left and -1 on the right [M]; the radius [M], cm; and the length of all pieces, cm.
    """
    segments, radii, side = tree(seed)
    n = max(2, int(np.ceil(STEP / (0.6 * px))))
    t = (np.arange(n) + 0.5) / n
    p = segments[:, None, :2] + (segments[:, 2:] - segments[:, :2])[:, None, :] * t[None, :, None]
    sign = np.repeat(np.where(side == 1, 1.0, -1.0), n)
    return p[..., 0].ravel(), p[..., 1].ravel(), sign, np.repeat(radii, n), STEP / n
