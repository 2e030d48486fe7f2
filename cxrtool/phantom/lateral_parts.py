"""Bones, vessels and devices of a lateral view.

In: the state of the drawing. Out: attenuation, or strokes for thin lines. The ribs are a phase
field as in `bones`.
"""

import numpy as np

from cxrtool.phantom.frame import Floats
from cxrtool.phantom.lateral_field import LateralField
from cxrtool.phantom.strokes import Strokes, circle, curve
from cxrtool.phantom.vessels import pieces


def draw_bones(s: LateralField) -> Floats:
    """Spine, ribs, sternum, shoulder blade and humeral head."""
    a, x, y, inf, inb = s.params.anatomy, s.x, s.y, s.inner_front, s.inner_back
    # Vertebral bodies: boxes with dense plates along the curve of the spine, arches behind.
    half = 1.45 + 0.02 * np.clip(y + 15, 0, 30)
    pitch = 2.28 + 0.022 * (np.clip(y, -20, 20) + 14)
    f = (y + 16.0 - 0.12 * (x - s.spine)) / pitch
    f = f - np.floor(f)
    r = (x - s.spine) / half
    inside = np.clip((1 - np.abs(r)) / 0.14 + 0.5, 0, 1)
    box = np.clip((0.40 - np.abs(f - 0.5)) / 0.05 + 0.5, 0, 1)
    plate = np.exp(-(((np.abs(f - 0.5) - 0.38) / 0.05) ** 2))
    rim = np.exp(-(((np.abs(r) - 0.94) / 0.08) ** 2)) * box
    below = np.clip((y - s.top_y + 3) / 4, 0, 1)
    total = below * (inside * (0.26 * box + 0.12 * plate + 0.10) + 0.10 * rim)
    arch = np.exp(-(((r - 1.75) / 0.5) ** 2)) * np.exp(-(((f - 0.55) / 0.28) ** 2))
    total += 0.14 * arch * below
    # Ribs of both sides: oblique, down towards the front.
    for k, (slope, strength) in enumerate(((0.62, 0.075), (0.74, 0.055))):
        phase = (y + slope * (x - inb) + 0.02 * (x - inb) ** 2 - 0.5 * k) / (a.rib_pitch * 1.02)
        d = np.abs(phase - np.round(phase)) * a.rib_pitch / np.sqrt(1 + slope**2)
        edge = np.exp(-(((d - 0.45) / 0.13) ** 2))
        rib = 0.6 * np.clip((0.52 - d) / 0.18 + 0.5, 0, 1) + 0.5 * edge
        gate = np.clip((inb + 0.4 - x) / 0.4, 0, 1) * np.clip((x - inf - 2.5) / 3, 0, 1)
        total += strength * rib * gate * np.clip((y - s.top_y) / 3, 0, 1)
    d = np.clip((inf - 0.2 - x) / 0.9, -1, 1)
    sternum = np.sqrt(1 - d * d) * np.clip((y - s.top_y - 2.5) / 1.0, 0, 1)
    gaps = 1 - 0.5 * np.exp(-(((((y - s.top_y) % 3.2) - 1.6) / 0.25) ** 2))
    total += 0.30 * sternum * gaps * np.clip((6.5 - y) / 2.0, 0, 1)
    blade = curve([(3.2, s.top_y + 1), (5.0, s.top_y + 5), (6.2, s.top_y + 10)], 24)
    s.strokes.line(blade, 0.15, 0.13 * a.rib_density)
    s.strokes.line(blade + np.array([1.5, 0.6]), 0.15, 0.10 * a.rib_density)
    s.strokes.line(circle(-0.5, s.top_y - 0.4, 2.2), 0.25, 0.14 * a.rib_density, closed=True)
    return np.asarray(total * a.rib_density, np.float32)


def draw_vessels(s: LateralField) -> Floats:
    """The vascular tree of both sides seen from the side: fanned out from the hila."""
    a = s.params.anatomy
    out, down, sign, r, length = pieces(a.seed, s.frame.px)
    points = np.stack([0.8 + sign * 0.75 * out, -2.0 + 0.85 * down], 1)
    boost = 0.8 * a.vessels * (1 + 0.9 * s.params.findings.edema)
    mass = boost * 0.14 * np.pi * r**2 * length
    strokes = Strokes(s.frame)
    for low, high, sigma in ((0.2, 9, 0.18), (0.1, 0.2, 0.10), (0, 0.1, 0.06)):
        pick = (r >= low) & (r < high)
        strokes.dots(points[pick], sigma, mass[pick])
    return strokes.draw() + 0.010 * s.frame.noise(a.seed + 7, 0.5)


def draw_devices(s: LateralField, total: Floats) -> None:
    """Lines go to the strokes, the pacemaker's can to ``total``."""
    line, (front, _) = s.strokes.line, s.front_at(-8.0)
    heart = (s.front_at(3.0)[1] + 5.0, s.dome_y - 1.5)
    for d in s.params.findings.devices:
        if d.kind == "endotracheal tube":
            corners = [(-2.6, -22.0), (-1.9, -15.0), (-0.7, -10.0), (-0.1, -7.0 + d.dy)]
            line(curve(corners, 30), 0.12, 0.34)
        elif d.kind in ("central line", "PICC", "port"):
            corners = [(-1.5, -20), (-1.8, -13), (-2.2, -8), (-2.2, -2.0 + d.dy)]
            if d.kind == "port":
                line(circle(front + 1.2, -5.0, 0.8, 20) * [0.6, 1], 0.25, 0.9, closed=True)
                corners = [(front + 1.4, -6.2), (-4.0, -12), *corners[2:]]
            line(curve(corners, 40), 0.12, 0.36)
        elif d.kind == "pacemaker":
            x, y = s.x - np.float32(front + 1.4), s.y - np.float32(-8.2 + d.dy)
            r = np.abs(x / 0.75) ** 3 + np.abs(y / 2.2) ** 3
            total += 1.6 * np.clip((1 - r) / max(0.2, 2 * s.frame.px) + 0.5, 0, 1)
            for tip in ((heart[0] - 1.0, heart[1] - 3.0), (heart[0] - 2.0, heart[1] + 2.4)):
                corners = [(front + 1.4, -10), (-3.5, -12.5), (-2.2, -8), (-1.8, -2), tip]
                line(curve(corners, 50), 0.10, 0.55)
        elif d.kind == "nasogastric tube":
            low = s.dome_y
            corners = [(-1.2, -22), (0.4, -12), (2.0, -2), (1.8, low), (-3.5, low + 5.5)]
            line(curve(corners, 50), 0.14, 0.34)
        elif d.kind == "chest tube":
            tube = curve([(1.0, 12.0), (3.5, 5.0), (3.0, -3.0), (0.5, -9.0)], 40)
            line(tube, 0.34, 0.14)
            line(tube, 0.09, 0.36)
        elif d.kind == "sternotomy wires":
            for level in -8.6 + 2.4 * np.arange(6):
                line(circle(s.front_at(level)[1] - 0.8, level, 0.4, 12), 0.10, 0.75, closed=True)
        elif d.kind == "monitor leads":
            for level, x0 in ((-8.0, front + 0.6), (6.0, front - 0.4)):
                line(circle(x0, level, 0.3, 12) * [0.6, 1], 0.2, 0.6, closed=True)
                wire = curve([(x0, level), (x0 + 3, level + 4), (x0 + 1.0, 17)], 30)
                line(wire, 0.065, 0.42)
