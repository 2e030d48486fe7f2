"""Findings in the lungs and pleura of a frontal view.

In: the state of the drawing. Out: the thickness of air along the rays is reduced (fluid, filled air
spaces, collapse) or freed of vessels (pneumothorax), thin lines are added. Heart and mediastinum
are findings of shape and live in `shape`; broken ribs live in `bones`.
"""

import numpy as np

from cxrtool.phantom.field import Field
from cxrtool.phantom.frame import TABLE, Floats
from cxrtool.phantom.params import Opacity
from cxrtool.phantom.shape import Half, cavity
from cxrtool.phantom.strokes import Strokes, curve


def draw(field: Field) -> None:
    """Applies all findings of the lungs and pleura to ``field``."""
    f, shape, frame = field.params.findings, field.shape, field.frame
    lines = Strokes(frame)
    if f.edema > 0:
        _edema(field, lines)
    for opacity in f.opacities:
        _opacity(opacity, field)
    for band in f.bands:
        centre = shape.place(band)
        angle = np.deg2rad(band.angle)
        c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        dx, dy = frame.x - np.float32(centre[0]), field.y - np.float32(centre[1])
        along, across = c * dx + s * dy, c * dy - s * dx - 0.012 * dx * dx
        # A lens seen edge-on: thick in the middle, thin at both ends.
        r = np.clip(np.abs(along) / np.float32(0.5 * band.length), 0, 1)
        width = np.maximum(band.thickness * np.sqrt(1 - r * r), 0.6 * frame.px)
        plate = np.exp(-((across / (0.62 * width)) ** 2)) * np.clip((1 - r) / 0.2, 0, 1)
        field.air *= 1 - np.float32(band.density) * plate
        # Crowded, less aerated lung around the plate.
        haze = np.exp(-((across / 2.2) ** 2) - (along / (0.6 * band.length)) ** 2)
        field.air *= 1 - np.float32(0.22 * band.density) * haze
    for nodule in f.nodules:
        centre = shape.place(nodule)
        dx, dy = frame.x - np.float32(centre[0]), field.y - np.float32(centre[1])
        wobble = 1 + 0.10 * frame.noise(nodule.seed, max(0.8, nodule.r))
        r2 = (dx * dx + dy * dy) / np.float32(nodule.r**2) * wobble
        ball = np.sqrt(np.clip(1.08 - r2, 0, 1))
        depth = np.float32(2.0 * nodule.r * nodule.density)
        field.air = np.maximum(field.air - np.minimum(depth * ball, 0.9 * field.air), 0)
    for patch in f.pleura:
        half, top = shape.half(patch.side), shape.anatomy.apex_y
        v = (field.y - top) / np.float32(half.angle - top)
        mask = frame.ramp(patch.thickness - field.wall, 0.35) * frame.ramp(field.wall, 0.2)
        mask *= field.side(half)
        mask *= np.clip((v - patch.v0) / 0.06, 0, 1) * np.clip((patch.v1 - v) / 0.06, 0, 1)
        field.air *= 1 - np.float32(0.62) * mask
        if patch.calcified:
            field.extra += np.float32(0.22) * mask * (frame.noise(77, 0.8) > -0.2)
    for half, gap in ((shape.left, f.pneumothorax_left), (shape.right, f.pneumothorax_right)):
        if gap > 0:
            _pneumothorax(field, half, gap, lines)
    for half, fluid in ((shape.left, f.effusion_left), (shape.right, f.effusion_right)):
        if fluid > 0:
            _effusion(field, half, fluid)
    field.vessel = np.minimum(field.vessel, np.clip(field.air / 6.0, 0, 1))
    field.extra += lines.draw()


def effusion_surface(ax: Floats, outer: Floats, level: float, depth: float) -> Floats:
    """Height of the fluid at distance ``ax`` from the midline: the meniscus rises to the wall.

    Args:
        ax: Distance from the midline, cm.
        outer: Half-width of the cavity there, cm.
        level: Height of the costophrenic angle, cm.
        depth: Depth of the fluid at the wall, cm.
    """
    share = np.clip(ax / outer, 0, 1)
    return level - depth + min(0.5 * depth, 3.2) * (1 - share**3.5)


def _effusion(field: Field, half: Half, depth: float) -> None:
    surface = effusion_surface(field.ax, np.maximum(field.outer, 4.0), half.angle, depth)
    # Upright, the level is sharper, and the veil fainter.
    soft, strength = (1.2, 0.30) if field.params.view == "PA" else (1.8, 0.40)
    field.air *= 1 - np.float32(0.97) * (
        field.frame.ramp(field.y - surface, soft) * field.side(half)
    )
    # A thin layer tracks up behind the lung: haze that fades upwards.
    veil = np.exp(-np.clip(surface - field.y, 0, None) / np.float32(1.1 + 0.16 * depth))
    field.air *= 1 - np.float32(strength) * veil * field.side(half)


def _opacity(opacity: Opacity, field: Field) -> None:
    """A lobar or patchy opacity; sharp where a fissure bounds it, cloudy elsewhere."""
    centre, frame, hilum_y = field.shape.place(opacity), field.frame, field.shape.hilum_y
    dx = (frame.x - np.float32(centre[0])) / np.float32(opacity.rx)
    dy = (field.y - np.float32(centre[1])) / np.float32(opacity.ry)
    cloud = 0.75 * frame.noise(opacity.seed, 2.4) + 0.45 * frame.noise(opacity.seed + 1, 1.0)
    q = dx * dx + dy * dy + np.float32(0.14 + 0.30 * opacity.patchy) * cloud
    mask = np.clip((1.55 - q) / 1.5, 0, 1)
    mask *= mask * (3 - 2 * mask)
    if opacity.lobe in ("right upper lobe", "right middle lobe"):
        # The minor fissure is a sharp, slightly arched border.
        fissure = hilum_y + 1.0 + 0.012 * (field.ax - 7) ** 2
        sign = 1.0 if opacity.lobe == "right upper lobe" else -1.0
        mask *= frame.ramp(sign * (fissure - field.y), 0.35)
    mask *= field.side(field.shape.half(opacity.side))
    # Air bronchograms: air in the branching bronchi, which fan out from the hilum, stays.
    hilum = np.array([np.sign(centre[0]) * 3.4, hilum_y])
    away = centre - hilum
    fan = Strokes(frame)
    for turn in (-0.45, -0.2, 0.05, 0.3):
        c, s = np.cos(turn), np.sin(turn)
        tip = hilum + 1.15 * np.array([c * away[0] - s * away[1], s * away[0] + c * away[1]])
        bow = hilum + 0.6 * (0.7 * away + 0.3 * (tip - hilum))
        fan.line(curve([hilum, bow, tip], 20), 0.12, np.linspace(1, 0.4, 20))
    bronchi = np.clip(fan.draw(), 0, 1)
    field.air *= 1 - np.float32(opacity.density) * mask * (1 - 0.35 * bronchi)


def _edema(field: Field, lines: Strokes) -> None:
    """Perihilar haze (bat wing), basal haze, septal lines at the lateral bases."""
    e, seed, shape = field.params.findings.edema, field.params.anatomy.seed, field.shape
    away, low = field.ax - np.float64(4.6), field.y - shape.hilum_y
    r2 = (away / (3.2 + 2.6 * e)) ** 2 + ((low - 1.8) / 6.4) ** 2
    haze = np.exp(-r2) * (1 + 0.22 * field.frame.noise(seed + 21, 1.8))
    base = 0.30 * np.clip(low / 9.0, 0, 1)
    field.air *= 1 - np.clip(np.float32(0.62 * e) * (haze + base), 0, 0.85)
    rng = np.random.default_rng([seed, 0xB])
    for half in (shape.right, shape.left):
        for _ in range(9):
            y = half.dome - rng.uniform(-1.8, 5.0)
            x1 = float(np.interp(y, TABLE, shape.outer)) - rng.uniform(0.1, 0.5)
            x0 = x1 - rng.uniform(1.0, 1.9)
            p = np.array([[half.sign * x0, y + rng.normal(0, 0.1)], [half.sign * x1, y]])
            lines.line(p, 0.06, 0.14 * e)


def _pneumothorax(field: Field, half: Half, width: float, lines: Strokes) -> None:
    """Lung retracted from the wall: a fine pleural line, only air beyond it."""
    a, side = field.params.anatomy, field.side(half)
    top = a.apex_y + 1.35 * width
    inner, _, _ = cavity(a.half_width - 0.62 * width, top, a.half_depth)
    (edge,) = field.frame.along_y(inner)
    beyond = field.frame.ramp(field.ax - edge, 0.1) * side
    field.vessel *= 1 - 0.97 * beyond
    # Beyond the line there is air without lung tissue; the collapsed lung is a little denser.
    field.extra -= np.float32(0.036) * field.air * beyond
    field.air *= 1 - np.float32(min(0.16, 0.035 * width)) * (side - beyond)
    y = np.linspace(top + 0.02, half.dome + 2.0, 90)
    x = np.interp(y, TABLE, inner)
    path = np.stack([half.sign * x + np.interp(y, TABLE, field.shape.midline), y], 1)
    corners = [(x[0] - 2.4, y[0] + 0.55), (x[0] - 1.0, y[0] + 0.08)]
    start = curve([(half.sign * away, height) for away, height in corners], 8)
    lines.line(np.vstack([start, path]), 0.075, 0.13)
