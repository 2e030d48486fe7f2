"""Attenuation of a lateral chest (left lateral, the patient faces the left of the picture).

In: `PhantomParams` and a `Frame`. Out: line integrals, float32 [H, W]. A projection of its own
along the patient's width: sternum in front, spine behind, both lungs on top of each other, two
domes, the heart on the front half of the diaphragm, trachea and hila in the middle.
"""

import numpy as np

from cxrtool.phantom.field import MU_LUNG, MU_SOFT
from cxrtool.phantom.frame import Floats, Frame
from cxrtool.phantom.lateral_field import LateralField
from cxrtool.phantom.lateral_parts import draw_bones, draw_devices, draw_vessels
from cxrtool.phantom.params import PhantomParams


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
    total += draw_bones(s)
    total += _airways(x, y)
    total += draw_vessels(s) * np.clip(air / 8.0, 0, 1)
    draw_devices(s, total)
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
