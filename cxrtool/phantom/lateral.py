"""Attenuation of a lateral chest (left lateral, the patient faces the left of the picture).

In: `PhantomParams` and a `Frame`. Out: line integrals, float32 [H, W]. A projection of its own
along the patient's width: sternum in front, spine behind, both lungs on top of each other, two
domes, the heart on the front half of the diaphragm, trachea and hila in the middle. The ribs are a
phase field as in `bones`.
"""

import numpy as np

from cxrtool.phantom.field import MU_LUNG, MU_SOFT
from cxrtool.phantom.frame import TABLE, Floats, Frame
from cxrtool.phantom.params import PhantomParams, Spot
from cxrtool.phantom.strokes import Strokes, circle, curve, pieces


class LateralField:
    """Outlines of a lateral chest, cm.

    Args:
        params: What to draw.
        frame: The grid.

    Attributes:
        x, y: Of every pixel; x from front to back.
        front, back, spine, inner_front, inner_back: x of the skin, the spine and the lung cavity at
            the height of every pixel.
        dome_right, dome_left: Height of the diaphragm at the x of every pixel.
        top_y, dome_y, low_y: Height of the apex, of the right dome and of the lowest lung.
        strokes: Thin lines.
    """

    def __init__(self, params: PhantomParams, frame: Frame) -> None:
        a = params.anatomy
        self.params, self.frame, self.strokes = params, frame, Strokes(frame)
        self.x, self.y = frame.x, frame.y
        top, d = a.apex_y, a.half_depth / 11.0
        at = np.array([-36, top - 6, top - 2.5, top + 1, top + 4, 0, 6, 14, 36])
        skin = d * np.array([-5.0, -4.6, -4.6, -6.6, -8.2, -11.0, -12.2, -12.8, -14])
        self._front = _smooth(np.interp(TABLE, at, skin)) - 0.25 * a.fat
        skin = d * np.array([3.0, 3.4, 6.4, 9.6, 11.4, 12.0, 11.3, 9.6, 8.0])
        back = _smooth(np.interp(TABLE, at, skin)) + 0.30 * a.fat
        self._inner = (self._front + 1.7 + 0.25 * a.fat, back - 1.9 - 0.30 * a.fat)
        spine = back - 4.6 * d - 0.3 * a.fat
        self.front, self.back, self.inner_front, self.inner_back, self.spine = frame.along_y(
            self._front, back, *self._inner, spine
        )
        self.top_y = top
        self.dome_y = a.dome_y - 6.0 * (1.0 - params.acquisition.inspiration)
        self.low_y = self.dome_y + 6.0

        def dome(peak: float, height: float) -> Floats:
            t = TABLE / d - peak
            behind = 7.2 * np.clip(t / 11.5, 0, 1.1) ** 2.3
            return height + np.where(t > 0, behind, 2.6 * np.clip(-t / 8, 0, 1.2) ** 2)

        self.dome_right, self.dome_left = frame.along_x(
            dome(-1.5, self.dome_y), dome(-0.5, self.dome_y + a.dome_gap)
        )

    def front_at(self, y: float) -> tuple[float, float]:
        """x of the skin and of the lung at the front at one height."""
        return float(np.interp(y, TABLE, self._front)), float(np.interp(y, TABLE, self._inner[0]))

    def place(self, spot: Spot) -> tuple[float, float]:
        """The point of a spot."""
        y = self.top_y + spot.v * (self.dome_y - self.top_y)
        f, b = (float(np.interp(y, TABLE, t)) for t in self._inner)
        return f + spot.z * (b - f), y


def _smooth(table: Floats) -> Floats:
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
    f, s = params.findings, LateralField(params, frame)
    x, y, inf, inb = s.x, s.y, s.inner_front, s.inner_back
    # Lung thickness: both lungs, less the mediastinum between them.
    mid, half = 0.5 * (inf + inb), 0.5 * (inb - inf)
    t = np.clip((s.top_y + 9.0 - y) / 9.0, 0, 1)
    centre = mid + 1.6 * t
    u = np.clip((x - centre) / (half * np.sqrt(1 - 0.97 * t**2.6) + 0.05), -1, 1)
    u = u * u
    width = 1.50 * params.anatomy.half_width * np.sqrt(1 - 0.9 * t**2.0)
    air = width * np.sqrt(1 - u * u) * frame.ramp(y - s.top_y, 0.3)
    gutter = np.clip((x - s.spine) / 4.0, 0, 1)
    air *= 1 - 0.25 * gutter
    right, left = (
        _above(s, dome, depth)
        for dome, depth in ((s.dome_right, f.effusion_right), (s.dome_left, f.effusion_left))
    )
    air *= 0.5 * (right + left)
    air, haze = _soft_findings(s, air)
    air = np.maximum(air - _heart(s), 0)
    total = MU_SOFT * np.maximum(_trunk(s) - air, 0) + MU_LUNG * air + haze
    total += _bones(s)
    total += _airways(x, y)
    total += _vessels(s) * np.clip(air / 8.0, 0, 1)
    _devices(s, total)
    if f.pneumothorax_left + f.pneumothorax_right > 0:
        wide = 0.5 * (f.pneumothorax_left + f.pneumothorax_right)
        rim = frame.ramp(wide - np.minimum(x - inf, inb - x), 0.3) * np.clip(air / 4, 0, 1)
        total -= 0.17 * rim
    return total + s.strokes.draw()


def _above(s: LateralField, dome: Floats, depth: float) -> Floats:
    """Share of one lung that is left above its dome and so much fluid."""
    distance = dome - s.y
    wedge = np.clip(1 + distance / 4.5, 0, 1)
    share = np.where(distance > 0, 1.0, 0.12 * wedge * wedge).astype(np.float32)
    if depth <= 0:
        return share
    climb = np.exp(-np.clip(s.inner_back - s.x, 0, None) / 3.0)
    surface = s.low_y + 1.6 - depth * (0.62 + 0.38 * climb) - 1.0 * climb
    fluid = s.frame.ramp(s.y - surface, 0.8)
    veil = 0.25 * np.exp(-np.clip(surface - s.y, 0, None) / 2.0)
    return np.asarray(share * (1 - 0.95 * fluid) * (1 - veil))


def _trunk(s: LateralField) -> Floats:
    """Soft tissue thickness: trunk, neck, arms raised in front of the head, breasts."""
    a, x, y = s.params.anatomy, s.x, s.y
    mid, half = 0.5 * (s.front + s.back), 0.5 * (s.back - s.front)
    r = np.clip((x - mid) / half, -1, 1)
    r *= r
    neck = 1 / (1 + np.exp(-(y - s.top_y - 0.5) / 1.6))
    width = 11.0 + (2.0 * a.half_width + 1.3 * a.fat - 11.0) * neck
    body = width * np.sqrt(1 - r * r * r)
    arm = np.clip((s.top_y + 5.0 - y) / 7.0, 0, 1)
    ridge = np.exp(-(((x + 1.0 + 0.35 * (y - s.top_y)) / 7.0) ** 2))
    body += 8.5 * arm * ridge
    if a.breast > 0:
        dx = (x - (s.front + 0.4)) / (1.0 + 1.5 * a.breast)
        dy = (y - 4.0) / 5.5
        body += 3.4 * a.breast * np.sqrt(np.clip(1 - dx * dx - dy * dy, 0, 1))
    return body


def _heart(s: LateralField) -> Floats:
    """Heart, aortic arch and great vessels as thickness taken from the lungs."""
    p, x, y = s.params, s.x, s.y
    size = p.findings.ctr * p.anatomy.half_width * 2 / 12.2 * p.acquisition.heart_magnification
    cx = s.front_at(3.0)[1] + 5.0 * size + 0.2
    cy = s.dome_y - 2.6
    dx, dy = x - cx, y - cy
    along, across = 0.80 * dx + 0.60 * dy, -0.60 * dx + 0.80 * dy
    r2 = (along / (6.4 * size)) ** 2 + (across / (4.9 * size)) ** 2
    heart = 9.5 * size * np.clip(1 - r2, 0, 1) ** 0.62
    wide = 1 + 0.45 * p.findings.mediastinal_widening
    axis = -2.6 - 0.10 * (y + 9)
    r = np.clip((x - axis) / (3.4 * wide), -1, 1)
    gate = np.clip((cy - 1 - y) / 4, 0, 1) * np.clip((y - s.top_y) / 3, 0, 1)
    root = 4.6 * (1 - r * r) * gate
    arch = (np.hypot(x - 0.6, y + 6.6) - 2.4) / 1.2
    tail = np.clip((y + 8.5) / 2.0, 0, 1) * np.clip((x - 0.6) / 0.8, 0, 1)
    tail = np.maximum(np.clip((-6.2 - y) / 1.5, 0, 1), tail)
    aorta = 1.5 * (1 - np.clip(arch * arch, 0, 1)) * tail
    aorta *= np.clip((-1.0 - y) / 4.0, 0, 1)
    return np.hypot(np.hypot(heart, root), aorta)


def _soft_findings(s: LateralField, air: Floats) -> tuple[Floats, Floats]:
    """Air that findings of lung and pleura leave, and the attenuation that they add."""
    f, frame, x, y = s.params.findings, s.frame, s.x, s.y
    haze = np.zeros_like(x)
    if f.edema > 0:
        r2 = ((x - 0.8) / 5.0) ** 2 + ((y + 1.0) / 6.5) ** 2
        air = air * (1 - 0.50 * f.edema * np.exp(-r2) - 0.12 * f.edema)
    for o in f.opacities:
        cx, cy = s.place(o)
        cloud = 0.75 * frame.noise(o.seed, 2.4) + 0.45 * frame.noise(o.seed + 1, 1.0)
        r2 = ((x - cx) / (0.85 * o.rx)) ** 2 + ((y - cy) / o.ry) ** 2
        mask = np.clip((1.55 - (r2 + (0.16 + 0.4 * o.patchy) * cloud)) / 1.5, 0, 1)
        # One lung of two: half of the air.
        air = air * (1 - 0.55 * o.density * mask * mask * (3 - 2 * mask))
    for b in f.bands:
        cx, cy = s.place(b)
        across = (y - cy) + 0.25 * (x - cx)
        plate = frame.ramp(0.5 * b.thickness - np.abs(across), 0.4)
        plate *= np.clip((0.4 * b.length - np.abs(x - cx)) / 1.2 + 0.5, 0, 1)
        air = air * (1 - 0.45 * b.density * plate)
    for n in f.nodules:
        cx, cy = s.place(n)
        r2 = ((x - cx) ** 2 + (y - cy) ** 2) / n.r**2
        air = np.maximum(air - 1.9 * n.r * n.density * np.sqrt(np.clip(1.05 - r2, 0, 1)), 0)
    for p in f.pleura:
        v = (y - s.top_y) / (s.low_y - s.top_y)
        mask = frame.ramp(p.thickness - (s.inner_back - x), 0.4) * ((v > p.v0) & (v < p.v1))
        air = air * (1 - 0.35 * mask)
        if p.calcified:
            haze = haze + 0.12 * mask
    return air, haze


def _airways(x: Floats, y: Floats) -> Floats:
    axis = -1.6 + 0.22 * (y + 15.0)
    r = np.clip((x - axis) / 0.95, -1, 1)
    gate = np.clip((-3.2 - y) / 1.0, 0, 1)
    trachea = 1.9 * np.sqrt(1 - r * r) * gate
    hole = np.exp(-((((x - 1.0) / 0.65) ** 2 + ((y + 2.6) / 0.65) ** 2) ** 2))
    hila = np.exp(-((((x - 0.8) / 2.0) ** 2 + ((y + 1.8) / 2.4) ** 2) ** 1.3))
    return -MU_SOFT * (0.8 * trachea + 0.45 * hole) + 0.20 * hila


def _bones(s: LateralField) -> Floats:
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


def _vessels(s: LateralField) -> Floats:
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


def _devices(s: LateralField, total: Floats) -> None:
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
