"""Bones of a frontal view: ribs, clavicles, spine, scapulae, humeral heads.

In: the state of the drawing. Out: attenuation, float32 [H, W]. Ribs are a phase field: the height
of a pixel, corrected by the curve of the ribs, divided by their pitch; its distance to the nearest
whole number is the distance to the nearest rib. One pass draws all of them, at any resolution.
"""

import numpy as np

from cxrtool.phantom.field import Field
from cxrtool.phantom.frame import TABLE, Floats
from cxrtool.phantom.params import PhantomParams
from cxrtool.phantom.shape import rib_drop
from cxrtool.phantom.strokes import Strokes, circle, curve

RIBS = 10
_SHARE = np.linspace(0, 1.2, 600)
_DROP = rib_drop(_SHARE)
_TILT = np.gradient(_DROP, _SHARE)


def draw(params: PhantomParams, field: Field, strokes: Strokes) -> Floats:
    """Draws all bones; outlines that are thin lines go to ``strokes``.

    Args:
        params: The image.
        field: The drawing so far.
        strokes: Collector of thin lines.
    """
    a = params.anatomy
    total = _posterior_ribs(params, field)
    total += _anterior_ribs(field)
    total += _clavicles(field)
    total += _spine(field)
    _shoulder(params, strokes)
    return total * np.float32(a.rib_density)


def rib_share(field: Field) -> Floats:
    """Share of the way from spine to lateral wall at each pixel (1 at the wall)."""
    return np.clip(field.ax / np.maximum(field.outer, 3.0), 0, 1.2)


def _tube(d: Floats, half: float, soft: float) -> Floats:
    """Projection of a hollow bone: bright rims, a paler middle; d in cm, 0 on the axis."""
    r = np.abs(d) / half
    body = np.clip((1 - r) / soft + 0.5, 0, 1)
    rim = np.exp(-(((r - 0.86) / max(0.16, 0.35 * soft)) ** 2))
    return 0.62 * body + 0.55 * rim


def _posterior_ribs(params: PhantomParams, field: Field) -> Floats:
    shape = field.shape
    share = rib_share(field)
    at = share * (599 / 1.2)
    index = at.astype(np.intp)
    drop = _DROP.astype(np.float32)[index]
    tilt = _TILT.astype(np.float32)[index]
    phase = (field.y - shape.rib_y) / shape.rib_pitch - drop
    phase = phase + _fracture_steps(params, field, share, phase)
    k = np.round(phase)
    # Vertical to perpendicular distance by the slope of the arc.
    slope = tilt * shape.rib_pitch / np.maximum(field.outer, 5.0)
    d = (phase - k) * shape.rib_pitch / np.sqrt(1 + slope * slope)
    half = 0.62
    soft = max(0.22, 1.2 * field.frame.px / half)
    rib = _tube(d, half, soft)
    inside = (k >= 0) & (k < RIBS + 1)
    reach = np.clip((field.outer + 0.25 - field.ax) / 0.35 + 0.5, 0, 1)
    start = np.clip((field.ax - 1.9) / 0.8, 0, 1)
    # Seen tangentially at the wall, a rib is longer along the ray.
    path = 0.80 + 0.75 * np.clip(share - 0.72, 0, 0.3) / 0.28
    fade = np.clip((field.shape.dome_left + 4.0 - field.y) / 6.0, 0.25, 1)
    return (0.185 * rib * inside * reach * start * path * fade).astype(np.float32)


def _fracture_steps(
    params: PhantomParams, field: Field, share: Floats, phase: Floats
) -> Floats | np.float32:
    """Phase shift that breaks a rib: lateral to the break the rib is displaced."""
    shift: Floats | np.float32 = np.float32(0)
    for fx in params.findings.fractures:
        side = field.left if fx.side == "left" else ~field.left
        near = (np.abs(phase - fx.rib) < 0.5) & side
        after = np.clip((share - fx.s) / 0.025 + 0.5, 0, 1) * np.exp(
            -np.clip(share - fx.s, 0, None) / 0.22
        )
        shift = shift - near * after * np.float32(fx.step / params.anatomy.rib_pitch)
    return shift


def _anterior_ribs(field: Field) -> Floats:
    """The front halves: from the wall steeply down towards the sternum, wider and fainter."""
    shape = field.shape
    share = rib_share(field)
    s = np.clip(1 - share, 0, 1)
    drop = 2.05 + 3.0 * s**0.9
    pitch = shape.rib_pitch * 1.06
    phase = (field.y - shape.rib_y) / pitch - drop
    k = np.round(phase)
    slope = 2.5 * pitch / np.maximum(field.outer, 5.0)
    d = (phase - k) * pitch / np.sqrt(1 + slope * slope)
    half = 0.66
    soft = max(0.35, 1.2 * field.frame.px / half)
    rib = _tube(d, half, soft)
    inside = (k >= -1) & (k < 6)
    reach = np.clip((field.outer + 0.2 - field.ax) / 0.35 + 0.5, 0, 1)
    end = np.clip((share - 0.40) / 0.14, 0, 1)
    return np.asarray(0.062 * rib * inside * reach * end, np.float32)


def _clavicles(field: Field) -> Floats:
    """S-shaped bars from the sternum to the shoulder."""
    top = field.shape.top_y
    x = np.abs(TABLE)
    t = np.clip((x - 1.6) / 14.0, 0, 1.1)
    height = top + 3.3 - 3.3 * t + 0.75 * np.sin(2 * np.pi * t * 0.9 + 0.3)
    half = 0.62 + 0.32 * np.exp(-(((t - 0.02) / 0.10) ** 2)) + 0.12 * np.clip(t - 0.7, 0, 1)
    # The tables follow the picture's x; scoliosis does not move the clavicles.
    line, width = field.frame.along_x(height, half)
    d = (field.frame.y - line) / width
    ends = np.abs(field.frame.x)
    gate = np.clip((ends - 1.5) / 0.5, 0, 1) * np.clip((16.6 - ends) / 0.6, 0, 1)
    return (0.30 * _tube(d * 0.93, 0.93, 0.25) * gate).astype(np.float32)


def _spine(field: Field) -> Floats:
    """Vertebral bodies with discs, pedicles and spinous processes."""
    x, y = field.x, field.y
    pitch = 2.28 + 0.022 * (np.clip(y, -20, 20) + 14)
    phase = (y + 16.0) / pitch
    f = phase - np.floor(phase)
    half = 1.55 + 0.018 * (np.clip(y, -20, 20) + 16)
    r = np.abs(x) / half
    side = np.clip((1.1 - r) / 0.35 + 0.5, 0, 1)
    plate = np.exp(-(((f - 0.08) / 0.055) ** 2)) + np.exp(-(((f - 0.80) / 0.055) ** 2))
    disc = np.clip((np.abs(f - 0.94) - 0.09) / 0.05 + 0.5, 0, 1)
    body = side * (0.085 * disc + 0.045 * plate + 0.12)
    body += 0.055 * np.exp(-(((r - 0.93) / 0.10) ** 2)) * disc
    pedicle = ((r - 0.68) / 0.17) ** 2 + ((f - 0.30) / 0.17) ** 2
    body += 0.075 * np.exp(-(pedicle**2))
    process = (x / 0.32) ** 2 + ((f - 0.62) / 0.24) ** 2
    body += 0.07 * np.exp(-(process**2))
    return body.astype(np.float32)


def _shoulder(params: PhantomParams, strokes: Strokes) -> None:
    """Scapular borders, humeral heads and shafts as soft lines and discs."""
    a, q = params.anatomy, params.acquisition
    top, w = a.apex_y, a.half_width
    density = a.rib_density
    lateral = 2.6 if q.view == "PA" else 0.6
    for sign in (-1.0, 1.0):
        hx, hy = sign * (w + 4.6), top + 3.4
        shell = circle(hx, hy, 2.15)
        strokes.line(shell, 0.18, 0.20 * density, closed=True)
        for r in (0.5, 1.2, 1.8):
            strokes.line(circle(hx, hy, r, 24), 0.42, 0.22 * density, closed=True)
        end = (hx + sign * 3.5, hy + 11) if not q.arms_up else (hx + sign * 9, hy + 2.5)
        for off in (-0.85, 0.85):
            dx, dy = (off, 0.0) if not q.arms_up else (0.0, off)
            shaft = curve([(hx + dx, hy + 1.4 + dy), (end[0] + dx, end[1] + dy)], 12)
            strokes.line(shaft, 0.20, 0.26 * density)
        bx = sign * (w - 2.2 + lateral)
        border = curve(
            [(bx, top + 4.2), (bx - sign * 0.4, top + 8), (bx + sign * 0.7, top + 13.5)], 24
        )
        strokes.line(border, 0.12, 0.075 * density)
        side = curve(
            [
                (hx - sign * 1.8, hy + 0.8),
                (bx + sign * 3.0, top + 9),
                (bx + sign * 0.9, top + 13.6),
            ],
            24,
        )
        strokes.line(side, 0.20, 0.15 * density)
        spine = curve(
            [(bx, top + 4.4), (bx + sign * 3, top + 3.0), (hx - sign * 0.6, hy - 2.2)], 20
        )
        strokes.line(spine, 0.26, 0.12 * density)
