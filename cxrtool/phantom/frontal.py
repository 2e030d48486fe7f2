"""Attenuation of a frontal chest (PA or AP).

In: `PhantomParams` and a `Frame`. Out: the line integral of the attenuation coefficient along each
ray, float32 [H, W] (Beer-Lambert: the detector sees exp(-A)). Soft tissue, lung and bone have
constant coefficients; thickness along the ray comes from the outlines of `shape`, with the square
root profile that a rounded surface has, so that borders look as they do on film.
"""

import numpy as np

from cxrtool.phantom import bones, devices, pathology
from cxrtool.phantom.field import MU_LUNG, MU_SOFT, Field
from cxrtool.phantom.frame import TABLE, Floats, Frame
from cxrtool.phantom.params import PhantomParams
from cxrtool.phantom.shape import Shape, frontal_shape
from cxrtool.phantom.strokes import Strokes
from cxrtool.phantom.vessels import pieces


def frontal_attenuation(params: PhantomParams, frame: Frame) -> Floats:
    """Draws a frontal chest.

    Args:
        params: What to draw.
        frame: The pixel grid.

    Returns:
        float32 [H, W], 0 where the beam passes no tissue.
    """
    shape = frontal_shape(params)
    body = _body(params, shape, frame)
    field = _lungs(params, shape, frame)
    pathology.draw(params, field)
    vessels = _vessels(params, field)
    strokes = Strokes(frame)
    hard = bones.draw(params, field, strokes)
    hard += devices.draw_frontal(params, field, strokes)
    soft = body - field.air
    total = MU_SOFT * np.maximum(soft, 0) + MU_LUNG * field.air
    total += field.extra + vessels + hard + strokes.draw()
    return np.asarray(total)


def _body(params: PhantomParams, shape: Shape, frame: Frame) -> Floats:
    """Thickness of trunk, neck, shoulders, arms and breasts, cm."""
    a, q = params.anatomy, params.acquisition
    x, y = frame.x, frame.y
    ax = np.abs(x)
    width, depth = frame.along_y(shape.body, shape.body_depth)
    r = np.clip(ax / width, 0, 1)
    r *= r
    trunk = 2 * depth * np.sqrt(1 - r * r)
    # Shoulders: everything below a line that falls from the neck to the acromion and arm.
    top = a.apex_y
    sx = np.array([0, 5, 7, 10, 13, 16, 19, 22, 30.0]) + 0.3 * a.fat
    sy = top + np.array([-9, -6.5, -3.2, -1.6, -0.6, 0.4, 2.6, 6.0, 14.0])
    if q.arms_up:
        sy = top + np.array([-9, -6.5, -3.2, -2.2, -2.0, -2.2, -2.6, -3.0, -4.0])
    (line,) = frame.along_x(np.interp(np.abs(TABLE), sx, sy))
    shoulder_depth = 9.0 + 0.5 * a.fat
    below = np.clip((y - line) / 4.0, 0, 1)
    shoulder = shoulder_depth * np.sqrt(below * (2 - below))
    # The armpit ends the arm from below, outside the trunk.
    out = ax - width
    limit = (a.apex_y + 12.0) + (1.1 if not q.arms_up else -0.1) * np.maximum(out, 0)
    if q.view == "AP":
        limit = limit + 30.0
    under = np.clip((limit - y) / 5.0, 0, 1)
    shoulder = shoulder * np.where(out > 0, np.sqrt(under * (2 - under)), 1.0)
    thick = np.maximum(trunk, shoulder * (0.75 + 0.25 * np.clip((ax - 6) / 6, 0, 1)))
    # Skin and muscle fold of the shoulder over the upper lung fields.
    fold = np.clip((a.apex_y + 9.5 - y) / 10.0, 0, 1) * np.clip((ax - 8.5) / 5.0, 0, 1)
    thick = thick + (2.2 + 0.5 * a.fat) * fold * (thick > 0)
    if a.breast > 0:
        cx, cy = 0.58 * a.half_width, 3.4
        bx, by = 7.3 + 0.15 * a.breast, 6.0 + 0.5 * a.breast
        dy = (y - cy) / by
        dy = np.where(dy < 0, 0.62 * dy, dy)
        r2 = np.clip(((ax - cx) / bx) ** 2 + dy * dy, 0, 1)
        thick = thick + 1.25 * a.breast * np.sqrt(1 - r2) * (thick > 0)
    return np.asarray(thick)


def _lungs(params: PhantomParams, shape: Shape, frame: Frame) -> Field:
    """Thickness of air-filled lung after heart, mediastinum and diaphragm took their part."""
    (midline,) = frame.along_y(shape.midline)
    x = frame.x - midline
    y = frame.y
    ax = np.abs(x)
    left = x > 0
    wall = shape.wall
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = 1 / np.sqrt(1 + np.clip(np.gradient(wall.outer, 72 / 6143), 0, 40) ** 2)
    outer, inner, depth, slopes = frame.along_y(wall.outer, wall.inner, wall.depth, slope)
    centre = np.float32(5.0)
    above = outer > centre + 0.02
    lateral = (ax - centre) / np.where(above, outer - centre, 1)
    medial = (centre - ax) / np.where(above, centre - inner, 1)
    u = np.where(above, np.maximum(lateral, medial), 1)
    u = np.clip(u, 0, 1)
    u *= u
    air = 2 * depth * np.sqrt(1 - u * u)
    # Diaphragm: a dome that cuts the lung, with a wedge of lung behind it.
    (dome,) = frame.along_x(shape.dome)
    below = y - dome
    wedge = np.clip(1 - below / 6.0, 0, 1)
    air *= 0.17 * wedge * wedge + (1 - 0.17 * wedge * wedge) * frame.ramp(-below, 0.3)
    hl, hr, hd, ml, mr = frame.along_y(
        shape.heart_left, shape.heart_right, shape.heart_depth, shape.med_left, shape.med_right
    )
    sx = x - np.float32(shape.shift)
    # Above the heart the mediastinum fills the chest; behind it only spine and aorta remain.
    air = _cut(air, sx, ml, mr, 3.0 + 23.0 * np.clip((-1.0 - y) / 4.5, 0, 1))
    air = _cut(air, sx, hl, hr, hd)
    extra = _mediastinal_detail(params, shape, frame, sx, y)
    extra += _abdomen(params, shape, frame, x, y, dome)
    vessel = np.clip(air / 6.0, 0, 1)
    return Field(frame, shape, x, ax, y, left, outer, slopes, air, extra, vessel)


def _cut(air: Floats, x: Floats, left: Floats, right: Floats, depth: Floats | np.float32) -> Floats:
    """Takes a rounded body with the given edges out of the lung."""
    half = 0.5 * (left + right) + 1e-3
    r = np.clip((x - 0.5 * (left - right)) / half, -1, 1)
    r *= r
    # Between ellipse and box: steep at the edge, flat in the middle.
    body = depth * np.sqrt(1 - r * r)
    return np.maximum(air - body, 0)


def _mediastinal_detail(
    params: PhantomParams, shape: Shape, frame: Frame, x: Floats, y: Floats
) -> Floats:
    """Trachea, main bronchi, aortic stripe, hila."""
    a = params.anatomy
    carina = -4.3
    bend = 0.25 + 0.02 * np.clip(y + 12, 0, 8)
    half = np.float32(0.95)
    up = frame.ramp(carina + 0.3 - y, 1.2)
    r = np.clip((x + bend) / half, -1, 1)
    trachea = 1.35 * np.sqrt(1 - r * r) * up
    down = np.clip(y - carina, 0, 4.5)
    fade = frame.ramp(y - carina, 0.8) * np.clip(1 - down / 4.5, 0, 1)
    right = np.clip((x + bend + 0.62 * down + 0.35) / 0.75, -1, 1)
    left = np.clip((x + bend - 0.95 * down - 0.35) / 0.65, -1, 1)
    bronchi = 0.75 * fade * (np.sqrt(1 - right * right) + np.sqrt(1 - left * left))
    extra = -MU_SOFT * 1.15 * (trachea + np.minimum(bronchi, 0.9))
    # The descending aorta and the knob are denser than the rest of the mediastinum.
    (edge,) = frame.along_y(shape.med_left)
    aorta = (
        frame.ramp(edge - x, 0.15) * frame.ramp(x - (edge - 2.9), 1.6) * frame.ramp(y + 9.0, 1.5)
    )
    extra += 0.10 * aorta
    for sign, hx, hy in ((-1.0, 3.6, 0.5), (1.0, 3.7, -0.7)):
        r2 = ((sign * x - hx) / 1.9) ** 2 + ((y - shape.hilum_y - hy) / 2.5) ** 2
        extra += 0.20 * a.vessels * np.exp(-(r2**1.2))
    return np.asarray(extra)


def _abdomen(
    params: PhantomParams, shape: Shape, frame: Frame, x: Floats, y: Floats, dome: Floats
) -> Floats:
    """Gas bubble of the stomach and faint bowel gas."""
    a = params.anatomy
    extra = np.float32(0.10) * np.clip((y - dome) / 5.0, 0, 1)
    if a.gastric > 0:
        cx, cy = 0.50 * a.half_width, shape.dome_left + 1.0 + 0.75 * a.gastric
        r2 = ((x - cx) / (1.5 * a.gastric)) ** 2 + ((y - cy) / (0.85 * a.gastric)) ** 2
        gas = np.sqrt(np.clip(1 - r2 * r2, 0, 1)) * frame.ramp(cy + 0.42 * a.gastric - y, 0.3)
        extra = extra - MU_SOFT * 2.6 * np.float32(a.gastric**0.5) * gas
    bowel = np.clip(frame.noise(a.seed + 11, 2.6) - 0.9, 0, 1.5)
    return extra - 0.25 * bowel * np.clip((y - dome - 3.5) / 3.0, 0, 1)


def _vessels(params: PhantomParams, field: Field) -> Floats:
    """Branching vessels of both lungs and the fine texture of the parenchyma."""
    a, f = params.anatomy, params.findings
    frame, shape = field.frame, field.shape
    out, down, sign, r, length = pieces(a.seed, frame.px)
    hilum = shape.hilum_y + np.where(sign > 0, -0.8, 0.5)
    scale = (shape.dome_right - shape.hilum_y) / 10.4
    y = hilum + down * np.where(down > 0, scale, 1.0)
    x = sign * (2.9 + out * a.half_width / 13.4) + np.interp(y, TABLE, shape.midline)
    boost = a.vessels * (1 + 0.9 * f.edema)
    # Attenuation times area of a piece of a cylinder: pi r^2 times its length.
    mass = boost * 3.2 * (MU_SOFT - MU_LUNG) * np.pi * r**2 * length
    points = np.stack([x, y], 1)
    strokes = Strokes(frame)
    for low, high, sigma in (
        (0.24, 9, 0.20),
        (0.15, 0.24, 0.115),
        (0.08, 0.15, 0.07),
        (0, 0.08, 0.045),
    ):
        pick = (r >= low) & (r < high)
        if pick.any():
            strokes.dots(points[pick], sigma * (1 + 0.35 * f.edema), mass[pick])
    fine = 0.6 * frame.noise(a.seed + 3, 0.45) + 0.5 * frame.noise(a.seed + 5, 1.1)
    texture = (0.020 + 0.014 * f.edema) * fine * a.vessels
    return field.vessel * (strokes.draw() + texture)
