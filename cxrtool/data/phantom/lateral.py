"""Attenuation of a lateral chest (left lateral, the patient faces the left of the picture).

In: `PhantomParams` and a `Frame`. Out: line integrals, float32 [H, W]. A projection of its own along
the patient's width: sternum in front, spine behind, both lungs on top of each other, two domes, the
heart on the front half of the diaphragm, trachea and hila in the middle.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxrtool.data.phantom.frame import TABLE, Floats, Frame
from cxrtool.data.phantom.frontal import MU_LUNG, MU_SOFT
from cxrtool.data.phantom.params import PhantomParams
from cxrtool.data.phantom.strokes import Strokes, circle, curve
from cxrtool.data.phantom.vessels import tree

Table = NDArray[np.float64]


@dataclass(frozen=True)
class Side:
    """Outlines of a lateral chest: tables by y (front, back, ...) and by x (domes), cm."""

    front: Table
    back: Table
    spine: Table
    inner_front: Table
    inner_back: Table
    dome_right: Table
    dome_left: Table
    top_y: float
    low_y: float
    dome_y: float

    def place(self, z: float, v: float) -> tuple[float, float]:
        """The point at share z from sternum to back and v from apex to dome."""
        y = self.top_y + v * (self.dome_y - self.top_y)
        f, b = (float(np.interp(y, TABLE, t)) for t in (self.inner_front, self.inner_back))
        return f + z * (b - f), y


def lateral_shape(params: PhantomParams) -> Side:
    """Builds the outlines of a lateral view."""
    a, q = params.anatomy, params.acquisition
    y = TABLE
    top = a.apex_y
    d = a.half_depth / 11.0
    at = np.array([-36, top - 6, top - 2.5, top + 1, top + 4, 0, 6, 14, 36])
    front = np.interp(y, at, d * np.array([-5.0, -4.6, -4.6, -6.6, -8.2, -11.0, -12.2, -12.8, -14]))
    front = _smooth(front) - 0.25 * a.fat
    back = np.interp(y, at, d * np.array([3.0, 3.4, 6.4, 9.6, 11.4, 12.0, 11.3, 9.6, 8.0]))
    back = _smooth(back) + 0.30 * a.fat
    lift = 6.0 * (1.0 - q.inspiration)
    dome = a.dome_y - lift
    spine = back - 4.6 * d - 0.3 * a.fat
    inner_front = front + 1.7 + 0.25 * a.fat
    inner_back = back - 1.9 - 0.30 * a.fat
    x = TABLE / d

    def half_dome(peak: float, height: float) -> Table:
        t = x - peak
        fall = np.where(
            t > 0, 7.2 * np.clip(t / 11.5, 0, 1.1) ** 2.3, 2.6 * np.clip(-t / 8, 0, 1.2) ** 2
        )
        return height + fall

    return Side(
        front=front,
        back=back,
        spine=spine,
        inner_front=inner_front,
        inner_back=inner_back,
        dome_right=half_dome(-1.5, dome),
        dome_left=half_dome(-0.5, dome + a.dome_gap),
        top_y=top,
        low_y=dome + 6.0,
        dome_y=dome,
    )


def _smooth(table: Table) -> Table:
    kernel = np.hanning(301)
    padded = np.pad(table, 150, mode="edge")
    return np.convolve(padded, kernel / kernel.sum(), mode="valid")


def lateral_attenuation(params: PhantomParams, frame: Frame) -> Floats:
    """Draws a lateral chest.

    Args:
        params: What to draw.
        frame: The pixel grid.

    Returns:
        float32 [H, W].
    """
    a, f = params.anatomy, params.findings
    s = lateral_shape(params)
    x, y = frame.x, frame.y
    front, back, inf, inb, spine = frame.along_y(
        s.front, s.back, s.inner_front, s.inner_back, s.spine
    )
    body = _trunk(params, s, x, y, front, back)
    # Lung thickness: both lungs, less the mediastinum between them.
    mid, half = 0.5 * (inf + inb), 0.5 * (inb - inf)
    u = np.clip((x - mid) / half, -1, 1)
    u = u * u
    t = np.clip((s.top_y + 11.0 - y) / 11.0, 0, 1)
    width = 1.50 * a.half_width * np.sqrt(1 - t**2.2)
    air = width * np.sqrt(1 - u * u)
    gutter = np.clip((x - spine) / 4.0, 0, 1)
    air *= 1 - 0.25 * gutter
    right, left = frame.along_x(s.dome_right, s.dome_left)
    share_r = _above(right - y, frame)
    share_l = _above(left - y, frame)
    share_r, share_l = _fluid(params, s, frame, share_r, share_l, inb)
    air *= 0.5 * (share_r + share_l)
    air, haze = _soft_findings(params, s, frame, air)
    air = np.maximum(air - _heart(params, s, x, y), 0)
    total = MU_SOFT * np.maximum(body - air, 0) + MU_LUNG * air + haze
    strokes = Strokes(frame)
    total += _bones(params, s, frame, x, y, inf, inb, spine, strokes)
    total += _airways(x, y, s)
    total += _vessels(params, frame, s) * np.clip(air / 8.0, 0, 1)
    _devices(params, s, strokes, total, frame)
    if f.pneumothorax_left + f.pneumothorax_right > 0:
        wide = 0.5 * (f.pneumothorax_left + f.pneumothorax_right)
        rim = frame.ramp(wide - np.minimum(x - inf, inb - x), 0.3) * np.clip(air / 4, 0, 1)
        total -= 0.10 * rim
    return total + strokes.draw()


def _above(distance: Floats, frame: Frame) -> Floats:
    wedge = np.clip(1 + distance / 4.5, 0, 1)
    return np.where(distance > 0, 1.0, 0.12 * wedge * wedge).astype(np.float32)


def _trunk(
    params: PhantomParams, s: Side, x: Floats, y: Floats, front: Floats, back: Floats
) -> Floats:
    """Soft tissue thickness: trunk, neck, arms raised in front of the head, breasts."""
    a = params.anatomy
    mid, half = 0.5 * (front + back), 0.5 * (back - front)
    r = np.clip((x - mid) / half, -1, 1)
    r *= r
    neck = 1 / (1 + np.exp(-(y - s.top_y - 0.5) / 1.6))
    width = 11.0 + (2.0 * a.half_width + 1.3 * a.fat - 11.0) * neck
    body = width * np.sqrt(1 - r * r * r)
    arm = np.clip((s.top_y + 5.0 - y) / 7.0, 0, 1)
    ridge = np.exp(-(((x + 1.0 + 0.35 * (y - s.top_y)) / 7.0) ** 2))
    body += 8.5 * arm * ridge
    if a.breast > 0:
        dx = (x - (front + 0.4)) / (1.0 + 1.5 * a.breast)
        dy = (y - 4.0) / 5.5
        body += 3.4 * a.breast * np.sqrt(np.clip(1 - dx * dx - dy * dy, 0, 1))
    return body


def _heart(params: PhantomParams, s: Side, x: Floats, y: Floats) -> Floats:
    """Heart, aortic arch and great vessels as thickness taken from the lungs."""
    a, f, q = params.anatomy, params.findings, params.acquisition
    size = f.ctr * a.half_width * 2 / 12.2 * q.heart_magnification
    cx = float(np.interp(3.0, TABLE, s.inner_front)) + 5.0 * size + 0.2
    cy = s.dome_y - 2.6
    dx, dy = x - cx, y - cy
    along, across = 0.80 * dx + 0.60 * dy, -0.60 * dx + 0.80 * dy
    r2 = (along / (6.4 * size)) ** 2 + (across / (4.9 * size)) ** 2
    heart = 10.5 * size * np.sqrt(np.clip(1 - r2, 0, 1))
    wide = 1 + 0.45 * f.mediastinal_widening
    axis = -2.6 - 0.10 * (y + 9)
    r = np.clip((x - axis) / (2.5 * wide), -1, 1)
    gate = np.clip((cy - 1 - y) / 4, 0, 1) * np.clip((y - s.top_y) / 3, 0, 1)
    root = 5.5 * np.sqrt(1 - r * r) * gate
    arch = (np.hypot(x - 0.6, y + 6.6) - 2.4) / 1.2
    aorta = 2.4 * np.sqrt(np.clip(1 - arch * arch, 0, 1)) * ((y < -5.5) | (x > 0.6))
    return np.maximum(heart, np.maximum(root, aorta))


def _fluid(
    params: PhantomParams, s: Side, frame: Frame, right: Floats, left: Floats, inb: Floats
) -> tuple[Floats, Floats]:
    f = params.findings
    shares = []
    for share, depth in ((right, f.effusion_right), (left, f.effusion_left)):
        if depth > 0:
            climb = np.exp(-np.clip(inb - frame.x, 0, None) / 3.0)
            surface = s.low_y + 1.6 - depth * (0.62 + 0.38 * climb) - 1.0 * climb
            fluid = frame.ramp(frame.y - surface, 0.8)
            veil = 0.25 * np.exp(-np.clip(surface - frame.y, 0, None) / 2.0)
            share = share * (1 - 0.95 * fluid) * (1 - veil)
        shares.append(share)
    return shares[0], shares[1]


def _soft_findings(
    params: PhantomParams, s: Side, frame: Frame, air: Floats
) -> tuple[Floats, Floats]:
    f = params.findings
    x, y = frame.x, frame.y
    haze = np.zeros_like(x)
    if f.edema > 0:
        r2 = ((x - 0.8) / 5.0) ** 2 + ((y + 1.0) / 6.5) ** 2
        air = air * (1 - 0.50 * f.edema * np.exp(-r2) - 0.12 * f.edema)
    for o in f.opacities:
        cx, cy = s.place(o.z, o.v)
        cloud = 0.75 * frame.noise(o.seed, 2.4) + 0.45 * frame.noise(o.seed + 1, 1.0)
        q = (
            ((x - cx) / (0.85 * o.rx)) ** 2
            + ((y - cy) / o.ry) ** 2
            + (0.16 + 0.4 * o.patchy) * cloud
        )
        mask = np.clip((1.25 - q) / 0.9, 0, 1)
        # One lung of two: half of the air.
        air = air * (1 - 0.55 * o.density * mask * mask * (3 - 2 * mask))
    for b in f.bands:
        cx, cy = s.place(b.z, b.v)
        across = (y - cy) + 0.25 * (x - cx)
        plate = frame.ramp(0.5 * b.thickness - np.abs(across), 0.4)
        plate *= np.clip((0.4 * b.length - np.abs(x - cx)) / 1.2 + 0.5, 0, 1)
        air = air * (1 - 0.45 * b.density * plate)
    for n in f.nodules:
        cx, cy = s.place(n.z, n.v)
        r2 = ((x - cx) ** 2 + (y - cy) ** 2) / n.r**2
        air = np.maximum(air - 1.9 * n.r * n.density * np.sqrt(np.clip(1.05 - r2, 0, 1)), 0)
    for p in f.pleura:
        (inb,) = frame.along_y(s.inner_back)
        v = (y - s.top_y) / (s.low_y - s.top_y)
        mask = frame.ramp(p.thickness - (inb - x), 0.4) * ((v > p.v0) & (v < p.v1))
        air = air * (1 - 0.35 * mask)
        if p.calcified:
            haze = haze + 0.12 * mask
    return air, haze


def _airways(x: Floats, y: Floats, s: Side) -> Floats:
    axis = -1.6 + 0.22 * (y + 15.0)
    r = np.clip((x - axis) / 0.95, -1, 1)
    gate = np.clip((-3.2 - y) / 1.0, 0, 1)
    trachea = 1.9 * np.sqrt(1 - r * r) * gate
    hole = np.exp(-((((x - 1.0) / 0.65) ** 2 + ((y + 2.6) / 0.65) ** 2) ** 2))
    hila = np.exp(-((((x - 0.8) / 2.0) ** 2 + ((y + 1.8) / 2.4) ** 2) ** 1.3))
    return -MU_SOFT * (0.8 * trachea + 0.9 * hole) + 0.20 * hila


def _bones(
    params: PhantomParams,
    s: Side,
    frame: Frame,
    x: Floats,
    y: Floats,
    inf: Floats,
    inb: Floats,
    spine: Floats,
    strokes: Strokes,
) -> Floats:
    a = params.anatomy
    # Vertebral bodies: boxes with dense plates along the curve of the spine, arches behind.
    half = 1.45 + 0.02 * np.clip(y + 15, 0, 30)
    pitch = 2.28 + 0.022 * (np.clip(y, -20, 20) + 14)
    f = (y + 16.0 - 0.12 * (x - spine)) / pitch
    f = f - np.floor(f)
    r = (x - spine) / half
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
        rib = 0.6 * np.clip((0.52 - d) / 0.18 + 0.5, 0, 1) + 0.5 * np.exp(
            -(((d - 0.45) / 0.13) ** 2)
        )
        gate = np.clip((inb + 0.4 - x) / 0.4, 0, 1) * np.clip((x - inf - 2.5) / 3, 0, 1)
        total += strength * rib * gate * np.clip((y - s.top_y) / 3, 0, 1)
    d = np.clip((inf - 0.2 - x) / 0.9, -1, 1)
    sternum = np.sqrt(1 - d * d) * np.clip((y - s.top_y - 2.5) / 1.0, 0, 1)
    gaps = 1 - 0.5 * np.exp(-(((((y - s.top_y) % 3.2) - 1.6) / 0.25) ** 2))
    total += 0.30 * sternum * gaps * np.clip((6.5 - y) / 2.0, 0, 1)
    blade = curve([(3.2, s.top_y + 1), (5.0, s.top_y + 5), (6.2, s.top_y + 10)], 24)
    strokes.line(blade, 0.15, 0.13 * a.rib_density)
    strokes.line(blade + [1.5, 0.6], 0.15, 0.10 * a.rib_density)
    strokes.line(circle(-0.5, s.top_y - 0.4, 2.2), 0.25, 0.14 * a.rib_density, closed=True)
    return (total * a.rib_density).astype(np.float32)


def _vessels(params: PhantomParams, frame: Frame, s: Side) -> Floats:
    """The vascular tree of both sides seen from the side: fanned out from the hila."""
    a, f = params.anatomy, params.findings
    segments, radii, side = tree(a.seed)
    n = max(2, int(np.ceil(0.42 / (0.6 * frame.px))))
    t = (np.arange(n) + 0.5) / n
    p = segments[:, None, :2] + (segments[:, 2:] - segments[:, :2])[:, None, :] * t[None, :, None]
    sign = np.repeat(np.where(side == 1, 1.0, -1.0), n)
    r = np.repeat(radii, n)
    points = np.stack([0.8 + sign * 0.75 * p[..., 0].ravel(), -2.0 + 0.85 * p[..., 1].ravel()], 1)
    mass = 0.8 * a.vessels * (1 + 0.9 * f.edema) * 0.14 * np.pi * r**2 * (0.42 / n)
    strokes = Strokes(frame)
    for low, high, sigma in ((0.2, 9, 0.18), (0.1, 0.2, 0.10), (0, 0.1, 0.06)):
        pick = (r >= low) & (r < high)
        strokes.dots(points[pick], sigma, mass[pick])
    return strokes.draw() + 0.010 * frame.noise(a.seed + 7, 0.5)


def _devices(params: PhantomParams, s: Side, strokes: Strokes, total: Floats, frame: Frame) -> None:
    front = float(np.interp(-8.0, TABLE, s.front))
    heart = (float(np.interp(3.0, TABLE, s.inner_front)) + 5.0, s.dome_y - 1.5)
    for d in params.findings.devices:
        if d.kind == "endotracheal tube":
            line = curve([(-2.6, -22), (-1.9, -15), (-0.7, -10), (-0.1, -7.0 + d.dy)], 30)
            strokes.line(line, 0.12, 0.34)
        elif d.kind in ("central line", "PICC", "port"):
            line = [(-1.5, -20), (-1.8, -13), (-2.2, -8), (-2.2, -2.0 + d.dy)]
            if d.kind == "port":
                strokes.line(circle(front + 1.2, -5.0, 0.8, 20) * [0.6, 1], 0.25, 0.9, closed=True)
                line = [(front + 1.4, -6.2), (-4.0, -12), *line[2:]]
            strokes.line(curve(line, 40), 0.12, 0.36)
        elif d.kind == "pacemaker":
            x, y = frame.x - np.float32(front + 1.4), frame.y - np.float32(-8.2 + d.dy)
            r = np.abs(x / 0.75) ** 3 + np.abs(y / 2.2) ** 3
            total += 1.6 * np.clip((1 - r) / max(0.2, 2 * frame.px) + 0.5, 0, 1)
            for tip in ((heart[0] - 1.0, heart[1] - 3.0), (heart[0] - 2.0, heart[1] + 2.4)):
                line = [(front + 1.4, -10), (-3.5, -12.5), (-2.2, -8), (-1.8, -2), tip]
                strokes.line(curve(line, 50), 0.10, 0.55)
        elif d.kind == "nasogastric tube":
            line = [(-1.2, -22), (0.4, -12), (2.0, -2), (1.8, s.dome_y), (-3.5, s.dome_y + 5.5)]
            strokes.line(curve(line, 50), 0.14, 0.34)
        elif d.kind == "chest tube":
            line = [(1.0, 12), (3.5, 5), (3.0, -3), (0.5, -9)]
            strokes.line(curve(line, 40), 0.34, 0.14)
            strokes.line(curve(line, 40), 0.09, 0.36)
        elif d.kind == "sternotomy wires":
            for i in range(6):
                y = -8.6 + 2.4 * i
                x0 = float(np.interp(y, TABLE, s.inner_front)) - 0.8
                strokes.line(circle(x0, y, 0.4, 12), 0.10, 0.75, closed=True)
        elif d.kind == "monitor leads":
            for y, x0 in ((-8.0, front + 0.6), (6.0, front - 0.4)):
                strokes.line(circle(x0, y, 0.3, 12) * [0.6, 1], 0.2, 0.6, closed=True)
                strokes.line(curve([(x0, y), (x0 + 3, y + 4), (x0 + 1.0, 17)], 30), 0.065, 0.42)
