"""Measures heart, lungs, ribs and fluid in any frontal chest picture.

In: uint8 pictures [N, H, W], 32 px or more, from any source. Out: a table of lengths and places as
fractions of the picture, under the names that `cxrtool.phantom.truth` uses, NaN where a thing
cannot be measured. Pixels only: no parameter of a phantom is read. Everything is a step: along a
ray that starts inside one tissue and ends inside another, the border is where the level changes.
Rays run sideways from the spine (heart and mediastinum against lung), from the lung outwards (chest
wall), down (diaphragm or fluid) and up (apex). Ribs are the phase of the strongest periodicity
along a vertical ray. ``phantom.py`` measures their errors; tests use them too.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, median_filter, uniform_filter1d, zoom

Floats = NDArray[Any]
GRID = 128
"""All pictures are measured on this many pixels a side."""
RIB_LEAST_PX = 64
"""Below this size ribs are finer than two pixels and cannot be measured."""
COLUMNS = (
    "heart_width",
    "thoracic_width",
    "ctr",
    "lung_area",
    "lung_area_left",
    "lung_area_right",
    "effusion_left",
    "effusion_right",
    "rib_position",
    "rib_spacing",
    "cage_left_x",
    "cage_right_x",
    "apex_y",
    "dome_left_y",
    "dome_right_y",
)
#: Depth of the lateral floor below the dome in a dry chest, share of the thoracic width.
DRY_DROP = 0.085
#: What the rule shows in the median of dry chests, share of the picture.
DRY_RESIDUE = 0.015
#: Rounded borders lie a little outside their steepest place, grid pixels (from normal chests).
INSET_WALL = 1.05
INSET_INNER = 1.35
INSET_TOP = 1.25
#: Corners between borders are lost; measured on normal chests.
AREA_SCALE = 1.11
#: Ribs are measured at this share of the way from the midline to the wall (as `truth` says).
RIB_SHARE = 0.40
_CHUNK = 256


def estimate(images: NDArray[np.uint8]) -> pd.DataFrame:
    """Measures pictures.

    Args:
        images: uint8 [N, H, W] or [H, W], square or nearly so, at least 32 px.

    Returns:
        One row a picture with `COLUMNS`, float64, fractions of the picture's side (areas: of its
        area); NaN where a measurement failed.

    Raises:
        ValueError: Wrong type or shape.
    """
    stack = np.asarray(images)
    if stack.ndim == 2:
        stack = stack[None]
    if stack.ndim != 3 or stack.dtype != np.uint8:
        raise ValueError(f"images must be uint8 [N, H, W], not {stack.dtype} {stack.shape}")
    if min(stack.shape[1:]) < 32:
        raise ValueError(f"images must have at least 32 px a side, not {stack.shape[1:]}")
    ribs = min(stack.shape[1:]) >= RIB_LEAST_PX
    with warnings.catch_warnings():
        # Rows in which nothing is found are NaN; their medians warn in vain.
        warnings.simplefilter("ignore", RuntimeWarning)
        parts = [
            _measure(to_grid(stack[i : i + _CHUNK]), ribs) for i in range(0, len(stack), _CHUNK)
        ]
    if not parts:
        return pd.DataFrame(columns=list(COLUMNS), dtype=float)
    return pd.concat(parts, ignore_index=True)


@dataclass
class _Half:
    """One half of the chest: borders in pixels, by row [N, GRID] or by distance [N, 64]."""

    wall: Floats
    inner: Floats
    top: Floats
    bottom: Floats
    strength: Floats
    dome: NDArray[np.float64]


def _measure(image: Floats, ribs: bool) -> pd.DataFrame:
    n = len(image)
    # One rib spacing of vertical averaging takes the ribs out of the borders.
    smooth = gaussian_filter1d(uniform_filter1d(image, 7, axis=1), 0.8, axis=2)
    mid = _midline(smooth)
    left = _half(smooth, image, mid, +1)
    right = _half(smooth, image, mid, -1)
    out: dict[str, NDArray[np.float64]] = {}
    thorax = (_widest(left) + _widest(right)) / GRID
    out["thoracic_width"] = thorax
    # A large heart hides its own dome; the other one tells how deep to look.
    heart = _heart_edge(left, np.maximum(left.dome, right.dome))
    heart += _heart_edge(right, np.maximum(right.dome, left.dome - 4))
    out["heart_width"] = heart / GRID
    out["ctr"] = out["heart_width"] / thorax
    out["lung_area_left"], out["lung_area_right"] = _area(left), _area(right)
    out["lung_area"] = out["lung_area_left"] + out["lung_area_right"]
    out["apex_y"] = 0.5 * (_apex(left) + _apex(right)) / GRID
    out["dome_left_y"] = (left.dome + 0.5) / GRID
    out["dome_right_y"] = (right.dome + 0.5) / GRID
    out["cage_right_x"] = (mid + _widest(left) + 0.5) / GRID
    out["cage_left_x"] = (mid - _widest(right) + 0.5) / GRID
    out["effusion_left"], out["effusion_right"] = _effusions(left, right, out)
    # Deep fluid hides where the heart is widest.
    hidden = np.maximum(out["effusion_left"], out["effusion_right"]) > 0.24
    for name in ("heart_width", "ctr"):
        out[name] = np.where(hidden, np.nan, out[name])
    out["rib_position"] = np.full(n, np.nan)
    out["rib_spacing"] = np.full(n, np.nan)
    if ribs:
        out["rib_position"], out["rib_spacing"] = _ribs(image, mid, left, right, out)
    return pd.DataFrame({name: np.asarray(out[name], dtype=np.float64) for name in COLUMNS})


def _midline(smooth: Floats) -> NDArray[np.float64]:
    """Column of the bright band between two dark lungs, pixels [N]."""
    profile = gaussian_filter1d(smooth[:, 30:78].mean(axis=1), 2.0, axis=1)
    xs = np.arange(GRID)
    best = np.full(len(smooth), -np.inf)
    place = np.full(len(smooth), GRID / 2)
    for x in range(int(0.34 * GRID), int(0.66 * GRID)):
        near = profile[:, x - 3 : x + 4].mean(axis=1)
        a = profile[:, max(0, x - 36) : x - 9].min(axis=1)
        b = profile[:, x + 10 : min(GRID, x + 37)].min(axis=1)
        # Bright against the paler of the two lungs, with a mild wish for the centre.
        score = near - np.maximum(a, b) - 0.15 * abs(x - GRID / 2)
        take = score > best
        best = np.where(take, score, best)
        place = np.where(take, xs[x], place)
    return place.astype(np.float64)


def _half(smooth: Floats, image: Floats, mid: NDArray[np.float64], sign: int) -> _Half:
    """Finds wall, inner border, apex and floor of one lung."""
    n = len(smooth)
    rays = from_midline(smooth, mid, sign)
    # The darkest column of the middle third is lung for certain.
    profile = rays[:, 34:72].mean(axis=1)
    lung = 10 + np.argmin(gaussian_filter1d(profile, 1.5, axis=1)[:, 10:36], axis=1)
    wall = np.full((n, GRID), np.nan, np.float32)
    inner = np.full((n, GRID), np.nan, np.float32)
    force = np.zeros((n, GRID), np.float32)
    start = np.clip(lung + 1, 0, 60)
    for row in range(GRID):
        line = rays[:, row]
        wall[:, row] = steepest_rise(line, start, 32)
        last = np.minimum(np.nan_to_num(wall[:, row], nan=46.0) - 4, 46)
        split, strength = step(line, np.full(n, 7), last, down=True)
        inner[:, row] = split
        # Where the steepest fall is elsewhere, the border is blurred (haze, fluid): no measure.
        fall = steepest_rise(-line, np.full(n, 7), np.maximum(last - 7, 3)[:, None])
        force[:, row] = np.where(np.abs(fall - split) < 3, strength, 0)
    bottom, top = _floor_and_roof(image, mid, sign)
    width = np.nanmedian(wall[:, 48:72], axis=1).astype(np.float64)
    return _Half(wall, inner, top, bottom, force, _dome(bottom, width))


def _floor_and_roof(image: Floats, mid: NDArray[np.float64], sign: int) -> tuple[Floats, Floats]:
    """Lower and upper border of the lung in every column, [N, 64] rows."""
    # The median takes out ribs, tubes and plates of collapse.
    soft = median_filter(gaussian_filter1d(image, 1.5, axis=2), size=(1, 9, 1))
    columns = from_midline(soft, mid, sign).transpose(0, 2, 1)
    n = len(image)
    bottom = np.full((n, 64), np.nan, np.float32)
    top = np.full((n, 64), np.nan, np.float32)
    for k in range(64):
        line = columns[:, k]
        dark = 34 + np.argmin(line[:, 34:76], axis=1)
        bottom[:, k] = step(line, dark, np.full(n, 118), down=False)[0]
        rise = steepest_rise(line[:, ::-1], GRID - dark, 46)
        top[:, k] = GRID - 1 - rise
    return bottom, top


def _widest(half: _Half) -> NDArray[np.float64]:
    """Distance of the chest wall from the midline where it is greatest, pixels [N]."""
    rows = np.arange(GRID)[None, :]
    use = (rows > 46) & (rows < half.dome[:, None] + 2)
    wall = median_filter(np.where(use, half.wall, 0.0), size=(1, 7))
    wall = np.where(use & (wall > 20), wall, np.nan)
    return np.nanquantile(wall, 0.85, axis=1).astype(np.float64) + INSET_WALL


def _heart_edge(half: _Half, deepest: NDArray[np.float64]) -> NDArray[np.float64]:
    """Greatest distance of the heart's border from the midline, pixels [N]."""
    rows = np.arange(GRID)[None, :]
    high = 0.28 * np.nanmedian(half.top[:, 16:26], axis=1) + 0.72 * np.maximum(
        half.dome, deepest - 6
    )
    # A border below the floor of the lung beside it is a border of something else.
    beside = np.clip(np.nan_to_num(half.inner, nan=20.0) + 6, 0, 63).astype(np.intp)
    floor = np.take_along_axis(half.bottom, beside, axis=1)
    use = (half.strength > 0) & (rows > high[:, None]) & (rows < floor - 1.5)
    use &= rows < deepest[:, None] - 0.5
    typical = np.nanmedian(np.where(use, half.strength, np.nan), axis=1)
    use &= half.strength > 0.35 * typical[:, None]
    edge = median_filter(np.where(use & np.isfinite(half.inner), half.inner, -1.0), size=(1, 5))
    best = edge.max(axis=1) + INSET_INNER
    found = use.sum(axis=1) >= 4
    return np.where(found & (best > 6), best, np.nan).astype(np.float64)


def _area(half: _Half) -> NDArray[np.float64]:
    """Share of the picture between the borders of one lung."""
    rows = np.arange(GRID)[None, :, None]
    cols = np.arange(64)[None, None, :]
    mask = cols > half.inner[:, :, None] + INSET_INNER
    mask &= cols < half.wall[:, :, None] + INSET_WALL
    mask &= (rows < half.bottom[:, None, :]) & (rows > half.top[:, None, :] - INSET_TOP)
    area = AREA_SCALE * mask.sum(axis=(1, 2)) / GRID**2
    return np.where(area > 0.01, area, np.nan)


def _apex(half: _Half) -> NDArray[np.float64]:
    with np.errstate(all="ignore"):
        lowest: NDArray[np.float64] = np.nanmin(
            median_filter(half.top[:, 10:30], size=(1, 5)), axis=1
        )
    return lowest + 0.5 - INSET_TOP


def _dome(bottom: Floats, wall: NDArray[np.float64]) -> NDArray[np.float64]:
    """Height of the dome, pixels [N]: its sides, seen beside the heart, lead to its top."""
    share = np.arange(64)[None, :] / wall[:, None]
    t = np.clip((share - 0.50) / 0.53, 0, 1)
    fall = 0.38 * wall[:, None] * (1 - np.sqrt(1 - 0.98 * t**2.1)) / 0.86
    use = (share > 0.50) & (share < 0.84)
    return np.nanmedian(np.where(use, bottom - fall, np.nan), axis=1).astype(np.float64)


def _lateral_floor(half: _Half) -> NDArray[np.float64]:
    """Height of the floor beside the wall, pixels [N]."""
    wall = _widest(half)
    at = np.clip(np.nan_to_num(wall, nan=44)[:, None] * np.array([0.88, 0.91, 0.94]), 0, 63)
    picked = np.take_along_axis(half.bottom, at.astype(np.intp), axis=1)
    with np.errstate(all="ignore"):
        floor: NDArray[np.float64] = np.nanmedian(picked, axis=1).astype(np.float64)
    return floor + 0.5


def _effusions(
    left: _Half, right: _Half, out: dict[str, NDArray[np.float64]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Depth of fluid at both walls: how far the floor lies above the costophrenic angle."""
    unit = out["thoracic_width"]
    lateral = {"left": _lateral_floor(left) / GRID, "right": _lateral_floor(right) / GRID}
    dome = {"left": out["dome_left_y"], "right": out["dome_right_y"]}
    # The left dome lies lower; found higher, it is the top of a heart or of fluid.
    right_dry = lateral["right"] - dome["right"] > 0.05 * unit
    dome["left"] = np.where(right_dry, np.maximum(dome["left"], dome["right"]), dome["left"])
    depths = []
    for side, other, gap in (("left", "right", 0.045), ("right", "left", -0.045)):
        own = dome[side] + DRY_DROP * unit
        dry = lateral[other] - dome[other] > 0.050 * unit
        from_other = lateral[other] + gap * unit
        blank = out["apex_y"] + (0.87 + 0.5 * gap) * unit
        level = np.where(dry, np.maximum(own, from_other), np.maximum(own, blank))
        # A floor that falls towards the wall is a diaphragm: its own dome is the best witness.
        level = np.where(lateral[side] - dome[side] > 0.05 * unit, own, level)
        shown = level - lateral[side] - DRY_RESIDUE
        # The fluid below the visible line between wall and dome does not show.
        hidden = 0.035 * np.clip((shown - 0.012) / 0.02, 0, 1)
        depths.append(np.clip(1.3 * shown + hidden, 0, None))
    return depths[0], depths[1]


def _ribs(
    image: Floats,
    mid: NDArray[np.float64],
    left: _Half,
    right: _Half,
    out: dict[str, NDArray[np.float64]],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Height of the fifth posterior rib and the spacing of ribs, from both sides."""
    rows = np.arange(GRID)
    power: Floats = np.zeros(1)
    waves = []
    steps = np.linspace(0.045, 0.074, 33)
    for half, sign in ((left, 1), (right, -1)):
        rays = from_midline(image, mid, sign)
        at = RIB_SHARE * _widest(half)
        cols = np.clip(np.nan_to_num(at, nan=24)[:, None] + np.arange(-2, 3), 0, 63).astype(np.intp)
        line = np.take_along_axis(rays, cols[:, None, :], axis=2).mean(axis=2)
        line = line - gaussian_filter1d(line, 5.0, axis=1)
        lo = out["apex_y"][:, None] * GRID + 10
        hi = (out["dome_left_y" if sign > 0 else "dome_right_y"][:, None]) * GRID - 3
        window = np.clip((rows - lo) / 4, 0, 1) * np.clip((hi - rows) / 4, 0, 1)
        window = np.nan_to_num(window)
        signal = line * window
        wave = np.stack(
            [(signal * np.exp(-2j * np.pi * (rows + 0.5) / (GRID * s))).sum(axis=1) for s in steps],
            axis=1,
        )
        waves.append(wave)
        power = power + np.abs(wave) ** 2
    best = np.argmax(power, axis=1)
    pick = np.arange(len(image))
    spacing = steps[best]
    guess = out["apex_y"] + 0.49 * out["thoracic_width"]
    heights = []
    for wave in waves:
        phase = -np.angle(wave[pick, best]) / (2 * np.pi) * spacing
        heights.append(phase + spacing * np.round((guess - phase) / spacing))
    strength = np.sqrt(power[pick, best])
    clear = (strength > 25) & (best > 0) & (best < len(steps) - 1)
    place = np.where(clear, 0.5 * (heights[0] + heights[1]), np.nan)
    return place, np.where(clear, spacing, np.nan)


# Borders along rays: the best split of a line into two levels (Otsu 1979, in one dimension) or its
# steepest rise, with parts of a sample.


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
    zoomed: NDArray[Any] = zoom(
        image, factors, order=3 if small else 1, mode="nearest", grid_mode=True
    )
    return zoomed


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
