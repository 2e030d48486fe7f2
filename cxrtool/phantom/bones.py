"""Bones of a frontal view: ribs, clavicles, spine, scapulae, humeral heads.

In: the state of the drawing. Out: attenuation, added to it. Ribs are a phase field: the height of a
pixel, corrected by the curve of the ribs, divided by their pitch; its distance to the nearest whole
number is the distance to the nearest rib. One pass draws all of them, at any resolution.
"""

import numpy as np

from cxrtool.phantom.field import Field
from cxrtool.phantom.frame import TABLE, Floats
from cxrtool.phantom.shape import rib_drop
from cxrtool.phantom.strokes import circle, curve

RIBS = 10
_SHARE = np.linspace(0, 1.2, 600)
_DROP = rib_drop(_SHARE)
_TILT = np.gradient(_DROP, _SHARE)


def draw(field: Field) -> None:
    """Draws all bones."""
    total = _posterior_ribs(field)
    total += _anterior_ribs(field)
    total += _clavicles(field)
    total += _spine(field)
    _shoulder(field)
    field.hard += total * np.float32(field.params.anatomy.rib_density)


def _tube(d: Floats, half: float, soft: float) -> Floats:
    """Projection of a hollow bone: bright rims, a paler middle; d in cm, 0 on the axis."""
    r = np.abs(d) / half
    body = np.clip((1 - r) / soft + 0.5, 0, 1)
    rim = np.exp(-(((r - 0.86) / max(0.16, 0.35 * soft)) ** 2))
    return 0.62 * body + 0.55 * rim


def _ribs(
    field: Field, phase: Floats, tilt: Floats | float, pitch: float, half: float, soft: float
) -> tuple[Floats, Floats]:
    """Tubes where the phase is a whole number, and that number."""
    k = np.round(phase)
    # Vertical to perpendicular distance by the slope of the arc.
    slope = tilt * pitch / np.maximum(field.outer, 5.0)
    d = (phase - k) * pitch / np.sqrt(1 + slope * slope)
    return _tube(d, half, max(soft, 1.2 * field.frame.px / half)), k


def _posterior_ribs(field: Field) -> Floats:
    a, share = field.params.anatomy, field.share
    index = (share * (599 / 1.2)).astype(np.intp)
    drop, tilt = (table.astype(np.float32)[index] for table in (_DROP, _TILT))
    phase = (field.y - a.rib_y) / a.rib_pitch - drop
    phase = phase + _fracture_steps(field, phase)
    rib, k = _ribs(field, phase, tilt, a.rib_pitch, 0.62, 0.22)
    inside = (k >= 0) & (k < RIBS + 1)
    reach = np.clip((field.outer + 0.25 - field.ax) / 0.35 + 0.5, 0, 1)
    start = np.clip((field.ax - 1.9) / 0.8, 0, 1)
    # Seen tangentially at the wall, a rib is longer along the ray.
    path = 0.80 + 0.75 * np.clip(share - 0.72, 0, 0.3) / 0.28
    fade = np.clip((field.shape.left.dome + 4.0 - field.y) / 6.0, 0.25, 1)
    return np.asarray(0.185 * rib * inside * reach * start * path * fade, np.float32)


def _fracture_steps(field: Field, phase: Floats) -> Floats | np.float32:
    """Phase shift that breaks a rib: lateral to the break the rib is displaced."""
    shift: Floats | np.float32 = np.float32(0)
    for fx in field.params.findings.fractures:
        near = (np.abs(phase - fx.rib) < 0.5) * field.side(field.shape.half(fx.side))
        beyond = field.share - fx.s
        after = np.clip(beyond / 0.025 + 0.5, 0, 1) * np.exp(-np.clip(beyond, 0, None) / 0.22)
        shift = shift - near * after * np.float32(fx.step / field.params.anatomy.rib_pitch)
    return shift


def _anterior_ribs(field: Field) -> Floats:
    """The front halves: from the wall steeply down towards the sternum, wider and fainter."""
    a, share = field.params.anatomy, field.share
    drop = 2.05 + 3.0 * np.clip(1 - share, 0, 1) ** 0.9
    pitch = a.rib_pitch * 1.06
    rib, k = _ribs(field, (field.y - a.rib_y) / pitch - drop, 2.5, pitch, 0.66, 0.35)
    inside = (k >= -1) & (k < 6)
    reach = np.clip((field.outer + 0.2 - field.ax) / 0.35 + 0.5, 0, 1)
    end = np.clip((share - 0.40) / 0.14, 0, 1)
    return np.asarray(0.062 * rib * inside * reach * end, np.float32)


def _clavicles(field: Field) -> Floats:
    """S-shaped bars from the sternum to the shoulder."""
    t = np.clip((np.abs(TABLE) - 1.6) / 14.0, 0, 1.1)
    height = field.params.anatomy.apex_y + 3.3 - 3.3 * t
    height = height + 0.75 * np.sin(2 * np.pi * t * 0.9 + 0.3)
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
    f = (y + 16.0) / (2.28 + 0.022 * (np.clip(y, -20, 20) + 14))
    f = f - np.floor(f)
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
    return np.asarray(body, np.float32)


def _shoulder(field: Field) -> None:
    """Scapular borders, humeral heads and shafts as soft lines and discs."""
    a, q, line = field.params.anatomy, field.params.acquisition, field.strokes.line
    top, w, density = a.apex_y, a.half_width, a.rib_density
    lateral = 2.6 if q.view == "PA" else 0.6
    for sign in (-1.0, 1.0):
        hx, hy = sign * (w + 4.6), top + 3.4
        line(circle(hx, hy, 2.15), 0.18, 0.20 * density, closed=True)
        for r in (0.5, 1.2, 1.8):
            line(circle(hx, hy, r, 24), 0.42, 0.22 * density, closed=True)
        end = (hx + sign * 3.5, hy + 11) if not q.arms_up else (hx + sign * 9, hy + 2.5)
        for off in (-0.85, 0.85):
            dx, dy = (off, 0.0) if not q.arms_up else (0.0, off)
            shaft = curve([(hx + dx, hy + 1.4 + dy), (end[0] + dx, end[1] + dy)], 12)
            line(shaft, 0.20, 0.26 * density)
        bx = sign * (w - 2.2 + lateral)
        border = [(bx, top + 4.2), (bx - sign * 0.4, top + 8), (bx + sign * 0.7, top + 13.5)]
        line(curve(border, 24), 0.12, 0.075 * density)
        tip = (bx + sign * 0.9, top + 13.6)
        side = [(hx - sign * 1.8, hy + 0.8), (bx + sign * 3.0, top + 9), tip]
        line(curve(side, 24), 0.20, 0.15 * density)
        spine = [(bx, top + 4.4), (bx + sign * 3, top + 3.0), (hx - sign * 0.6, hy - 2.2)]
        line(curve(spine, 20), 0.26, 0.12 * density)
