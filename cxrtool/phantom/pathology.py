"""Findings in the lungs and pleura of a frontal view.

In: `PhantomParams` and the state of the drawing. Out: the thickness of air along the rays is
reduced (fluid, filled air spaces, collapse) or freed of vessels (pneumothorax), thin lines are
added. Heart and mediastinum are findings of shape and live in `shape`; broken ribs live in `bones`.
"""

import numpy as np

from cxrtool.phantom.field import Field
from cxrtool.phantom.frame import TABLE, Floats
from cxrtool.phantom.params import Opacity, PhantomParams, Side
from cxrtool.phantom.shape import cavity
from cxrtool.phantom.strokes import Strokes, curve


def draw(params: PhantomParams, field: Field) -> None:
    """Applies all findings of the lungs and pleura to ``field``."""
    f = params.findings
    lines = Strokes(field.frame)
    if f.edema > 0:
        _edema(params, field, lines)
    for opacity in f.opacities:
        _opacity(opacity, field)
    for band in f.bands:
        (centre,) = field.shape.place(band.side, band.u, band.v)
        angle = np.deg2rad(band.angle)
        c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        dx, dy = field.frame.x - np.float32(centre[0]), field.y - np.float32(centre[1])
        along, across = c * dx + s * dy, c * dy - s * dx - 0.012 * dx * dx
        # A lens seen edge-on: thick in the middle, thin at both ends.
        r = np.clip(np.abs(along) / np.float32(0.5 * band.length), 0, 1)
        width = np.maximum(band.thickness * np.sqrt(1 - r * r), 0.6 * field.frame.px)
        plate = np.exp(-((across / (0.62 * width)) ** 2)) * np.clip((1 - r) / 0.2, 0, 1)
        field.air *= 1 - np.float32(band.density) * plate
        # Crowded, less aerated lung around the plate.
        haze = np.exp(-((across / 2.2) ** 2) - (along / (0.6 * band.length)) ** 2)
        field.air *= 1 - np.float32(0.22 * band.density) * haze
    for nodule in f.nodules:
        (centre,) = field.shape.place(nodule.side, nodule.u, nodule.v)
        dx, dy = field.frame.x - np.float32(centre[0]), field.y - np.float32(centre[1])
        wobble = 1 + 0.10 * field.frame.noise(nodule.seed, max(0.8, nodule.r))
        r2 = (dx * dx + dy * dy) / np.float32(nodule.r**2) * wobble
        ball = np.sqrt(np.clip(1.08 - r2, 0, 1))
        depth = np.float32(2.0 * nodule.r * nodule.density)
        field.air = np.maximum(field.air - np.minimum(depth * ball, 0.9 * field.air), 0)
    for patch in f.pleura:
        d = field.wall_distance()
        length = field.shape.angle_of(patch.side) - field.shape.top_y
        v = (field.y - field.shape.top_y) / np.float32(length)
        mask = field.frame.ramp(patch.thickness - d, 0.35) * field.frame.ramp(d, 0.2)
        mask *= _side(field, patch.side)
        mask *= np.clip((v - patch.v0) / 0.06, 0, 1) * np.clip((patch.v1 - v) / 0.06, 0, 1)
        field.air *= 1 - np.float32(0.62) * mask
        if patch.calcified:
            field.extra += np.float32(0.22) * mask * (field.frame.noise(77, 0.8) > -0.2)
    if f.pneumothorax_left > 0:
        _pneumothorax(params, field, "left", f.pneumothorax_left, lines)
    if f.pneumothorax_right > 0:
        _pneumothorax(params, field, "right", f.pneumothorax_right, lines)
    if f.effusion_left > 0:
        _effusion(params, field, "left", f.effusion_left)
    if f.effusion_right > 0:
        _effusion(params, field, "right", f.effusion_right)
    field.vessel = np.minimum(field.vessel, np.clip(field.air / 6.0, 0, 1))
    field.extra += lines.draw()


def _side(field: Field, side: str) -> Floats:
    return (field.left if side == "left" else ~field.left).astype(np.float32)


def effusion_surface(ax: Floats, outer: Floats, level: float, depth: float) -> Floats:
    """Height of the fluid at distance ``ax`` from the midline: the meniscus rises to the wall.

    Args:
        ax: Distance from the midline, cm.
        outer: Half-width of the cavity there, cm.
        level: Height of the costophrenic angle, cm.
        depth: Depth of the fluid at the wall, cm.
    """
    share = np.clip(ax / outer, 0, 1)
    climb = min(0.5 * depth, 3.2)
    return level - depth + climb * (1 - share**3.5)


def _effusion(params: PhantomParams, field: Field, side: Side, depth: float) -> None:
    level = field.shape.angle_of(side)
    outer = np.maximum(field.outer, 4.0)
    surface = effusion_surface(field.ax, outer, level, depth)
    soft = 1.2 if params.view == "PA" else 1.8
    fluid = field.frame.ramp(field.y - surface, soft) * _side(field, side)
    field.air *= 1 - np.float32(0.97) * fluid
    # A thin layer tracks up behind the lung: haze that fades upwards.
    veil = np.exp(-np.clip(surface - field.y, 0, None) / np.float32(1.1 + 0.16 * depth))
    strength = 0.30 if params.view == "PA" else 0.40
    field.air *= 1 - np.float32(strength) * veil * _side(field, side)


def _opacity(opacity: Opacity, field: Field) -> None:
    """A lobar or patchy opacity; sharp where a fissure bounds it, cloudy elsewhere."""
    (centre,) = field.shape.place(opacity.side, opacity.u, opacity.v)
    dx = (field.frame.x - np.float32(centre[0])) / np.float32(opacity.rx)
    dy = (field.y - np.float32(centre[1])) / np.float32(opacity.ry)
    cloud = 0.75 * field.frame.noise(opacity.seed, 2.4) + 0.45 * field.frame.noise(
        opacity.seed + 1, 1.0
    )
    q = dx * dx + dy * dy + np.float32(0.14 + 0.30 * opacity.patchy) * cloud
    mask = np.clip((1.55 - q) / 1.5, 0, 1)
    mask *= mask * (3 - 2 * mask)
    if opacity.lobe in ("right upper lobe", "right middle lobe"):
        # The minor fissure is a sharp, slightly arched border.
        fissure = field.shape.hilum_y + 1.0 + 0.012 * (field.ax - 7) ** 2
        sign = 1.0 if opacity.lobe == "right upper lobe" else -1.0
        mask *= field.frame.ramp(sign * (fissure - field.y), 0.35)
    mask *= _side(field, opacity.side)
    # Air bronchograms: air in the branching bronchi, which fan out from the hilum, stays.
    hilum = np.array([np.sign(centre[0]) * 3.4, field.shape.hilum_y])
    away = centre - hilum
    fan = Strokes(field.frame)
    for turn in (-0.45, -0.2, 0.05, 0.3):
        c, s = np.cos(turn), np.sin(turn)
        tip = hilum + 1.15 * np.array([c * away[0] - s * away[1], s * away[0] + c * away[1]])
        bow = hilum + 0.6 * (0.7 * away + 0.3 * (tip - hilum))
        fan.line(curve([tuple(hilum), tuple(bow), tuple(tip)], 20), 0.12, np.linspace(1, 0.4, 20))
    bronchi = np.clip(fan.draw(), 0, 1)
    field.air *= 1 - np.float32(opacity.density) * mask * (1 - 0.35 * bronchi)


def _edema(params: PhantomParams, field: Field, lines: Strokes) -> None:
    """Perihilar haze (bat wing), basal haze, septal lines at the lateral bases."""
    e = params.findings.edema
    shape = field.shape
    hx = np.where(field.left, 4.6, 4.6)
    r2 = ((field.ax - hx) / (3.2 + 2.6 * e)) ** 2 + ((field.y - shape.hilum_y - 1.8) / 6.4) ** 2
    cloud = 1 + 0.22 * field.frame.noise(params.anatomy.seed + 21, 1.8)
    haze = np.exp(-r2) * cloud
    base = 0.30 * np.clip((field.y - shape.hilum_y) / 9.0, 0, 1)
    field.air *= 1 - np.clip(np.float32(0.62 * e) * (haze + base), 0, 0.85)
    rng = np.random.default_rng([params.anatomy.seed, 0xB])
    for sign in (-1.0, 1.0):
        dome = shape.dome_left if sign > 0 else shape.dome_right
        for _ in range(9):
            y = dome - rng.uniform(-1.8, 5.0)
            x1 = float(shape.outer_at(y)) - rng.uniform(0.1, 0.5)
            x0 = x1 - rng.uniform(1.0, 1.9)
            p = np.array([[sign * x0, y + rng.normal(0, 0.1)], [sign * x1, y]])
            lines.line(p, 0.06, 0.14 * e)


def _pneumothorax(
    params: PhantomParams, field: Field, side: Side, width: float, lines: Strokes
) -> None:
    """Lung retracted from the wall: a fine pleural line, only air beyond it."""
    a = params.anatomy
    inner = cavity(a.half_width - 0.62 * width, a.apex_y + 1.35 * width, a.half_depth)
    sign = 1.0 if side == "left" else -1.0
    (edge,) = field.frame.along_y(inner.outer)
    beyond = field.frame.ramp(field.ax - edge, 0.1) * _side(field, side)
    field.vessel *= 1 - 0.97 * beyond
    # Beyond the line there is air without lung tissue; the collapsed lung is a little denser.
    field.extra -= np.float32(0.036) * field.air * beyond
    inside = _side(field, side) - beyond
    field.air *= 1 - np.float32(min(0.16, 0.035 * width)) * inside
    low = field.shape.dome_of(side) + 2.0
    y = np.linspace(a.apex_y + 1.35 * width + 0.02, low, 90)
    x = np.interp(y, TABLE, inner.outer)
    path = np.stack([sign * x + field.shape.midline_at(y), y], 1)
    top = curve([(sign * (x[0] - 2.4), y[0] + 0.55), (sign * (x[0] - 1.0), y[0] + 0.08)], 8)
    lines.line(np.vstack([top, path]), 0.075, 0.13)
