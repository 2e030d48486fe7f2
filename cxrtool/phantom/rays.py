"""Borders along rays, in plain arrays.

In: pictures [N, GRID, GRID] and rays through them. Out: places of borders with parts of a sample:
the best split of a line into two levels (Otsu 1979, in one dimension) or its steepest rise.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d, zoom

Floats = NDArray[Any]
GRID = 128
"""All pictures are measured on this many pixels a side."""


def to_grid(stack: NDArray[np.uint8]) -> Floats:
    """Resamples to `GRID` px: smaller pictures by cubic splines, larger by area.

    Args:
        stack: uint8 [N, H, W].

    Returns:
        float32 [N, GRID, GRID], 0..255.
    """
    image = stack.astype(np.float32)
    for axis in (1, 2):
        n = image.shape[axis]
        if n > GRID:
            image = uniform_filter1d(image, max(1, round(n / GRID)), axis=axis)
    factors = (1.0, GRID / image.shape[1], GRID / image.shape[2])
    if factors[1:] == (1.0, 1.0):
        return image
    small = max(stack.shape[1:]) < GRID
    return zoom(image, factors, order=3 if small else 1, mode="nearest", grid_mode=True)


def from_midline(image: Floats, mid: NDArray[np.float64], sign: int) -> Floats:
    """Rows resampled outwards from the midline, [N, GRID, 64]; edges replicate."""
    offsets = np.arange(64)
    cols = np.clip(mid[:, None] + sign * offsets[None, :], 0, GRID - 1).astype(np.intp)
    return np.take_along_axis(image, cols[:, None, :], axis=2)


def step(line: Floats, lo: NDArray[Any], hi: NDArray[Any], down: bool) -> tuple[Floats, Floats]:
    """Best split of each line into two levels (Otsu in one dimension).

    Args:
        line: [N, K].
        lo, hi: First and last sample that counts, [N].
        down: Whether the level must fall (True) or rise.

    Returns:
        Position of the border and the difference of levels, [N]; difference 0 where none fits.
    """
    n, k = line.shape
    at = np.arange(k)[None, :]
    lo, hi = np.asarray(lo, float)[:, None], np.asarray(hi, float)[:, None]
    use = (at >= lo) & (at <= hi)
    value = np.where(use, line, 0.0).astype(np.float64)
    total, count = value.sum(axis=1, keepdims=True), use.sum(axis=1, keepdims=True)
    first, n1 = np.cumsum(value, axis=1), np.cumsum(use, axis=1)
    n2 = count - n1
    valid = use & (n1 >= 2) & (n2 >= 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        a, b = first / n1, (total - first) / n2
        drop = (a - b) if down else (b - a)
        score = np.where(valid & (drop > 0), n1 * n2 * drop**2, -1.0)
    best = np.argmax(score, axis=1)
    rows = np.arange(n)
    found = score[rows, best] > 0
    # Between the two levels the border is where the line crosses their mean.
    level = 0.5 * (a[rows, best] + b[rows, best])
    here, after = line[rows, best], line[rows, np.minimum(best + 1, k - 1)]
    with np.errstate(divide="ignore", invalid="ignore"):
        part = np.clip((here - level) / (here - after), 0, 1)
    part = np.where(np.isfinite(part), part, 0.5)
    place = np.where(found, best + part, np.nan)
    strength = np.where(found, drop[rows, best], 0.0)
    return place.astype(np.float32), strength.astype(np.float32)


def steepest_rise(line: Floats, start: NDArray[np.intp], reach: int | Floats) -> Floats:
    """Place of the steepest rise of each line.

    Args:
        line: [N, K].
        start: First sample that counts, [N].
        reach: How many samples count; one number or [N, 1].

    Returns:
        Position with a part of a sample, [N]; NaN where nothing rises.
    """
    slope = np.diff(line, axis=1)
    at = np.arange(slope.shape[1])[None, :]
    use = (at >= start[:, None]) & (at < start[:, None] + reach)
    slope = np.where(use, slope, -np.inf)
    best = np.argmax(slope, axis=1)
    rows = np.arange(len(line))
    peak = slope[rows, best]
    before = slope[rows, np.maximum(best - 1, 0)]
    after = slope[rows, np.minimum(best + 1, slope.shape[1] - 1)]
    with np.errstate(invalid="ignore", divide="ignore"):
        bend = before - 2 * peak + after
        shift = np.where(np.isfinite(bend) & (bend < 0), 0.5 * (before - after) / bend, 0.0)
    place = best + 0.5 + np.clip(shift, -0.5, 0.5)
    return np.where(peak > 0, place, np.nan).astype(np.float32)
