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
from cxrtool.phantom.strokes import Strokes, pieces


def frontal_attenuation(params: PhantomParams, frame: Frame) -> Floats:
    """Draws a frontal chest.

    Args:
        params: What to draw.
        frame: The pixel grid.

    Returns:
        float32 [H, W], 0 where the beam passes no tissue.
    """
    field = Field(params, frame)
    body = _body(field)
    pathology.draw(field)
    vessels = _vessels(field)
    bones.draw(field)
    devices.draw(field)
    total = MU_SOFT * np.maximum(body - field.air, 0) + MU_LUNG * field.air
    total += field.extra + vessels + field.hard + field.strokes.draw()
    return np.asarray(total)


def _body(field: Field) -> Floats:
    """Thickness of trunk, neck, shoulders, arms and breasts, cm."""
    a, q, frame = field.params.anatomy, field.params.acquisition, field.frame
    x, y, top = frame.x, frame.y, a.apex_y
    ax = np.abs(x)
    width, depth = frame.along_y(field.shape.body, field.shape.body_depth)
    r = np.clip(ax / width, 0, 1)
    r *= r
    trunk = 2 * depth * np.sqrt(1 - r * r)
    # Shoulders: everything below a line that falls from the neck to the acromion and arm.
    sx = np.array([0, 5, 7, 10, 13, 16, 19, 22, 30.0]) + 0.3 * a.fat
    sy = top + np.array([-9, -6.5, -3.2, -1.6, -0.6, 0.4, 2.6, 6.0, 14.0])
    if q.arms_up:
        sy = top + np.array([-9, -6.5, -3.2, -2.2, -2.0, -2.2, -2.6, -3.0, -4.0])
    (line,) = frame.along_x(np.interp(np.abs(TABLE), sx, sy))
    below = np.clip((y - line) / 4.0, 0, 1)
    shoulder = (9.0 + 0.5 * a.fat) * np.sqrt(below * (2 - below))
    # The armpit ends the arm from below, outside the trunk.
    out = ax - width
    limit = (top + 12.0) + (1.1 if not q.arms_up else -0.1) * np.maximum(out, 0)
    if q.view == "AP":
        limit = limit + 30.0
    under = np.clip((limit - y) / 5.0, 0, 1)
    shoulder = shoulder * np.where(out > 0, np.sqrt(under * (2 - under)), 1.0)
    thick = np.maximum(trunk, shoulder * (0.75 + 0.25 * np.clip((ax - 6) / 6, 0, 1)))
    # Skin and muscle fold of the shoulder over the upper lung fields.
    fold = np.clip((top + 9.5 - y) / 10.0, 0, 1) * np.clip((ax - 8.5) / 5.0, 0, 1)
    thick = thick + (2.2 + 0.5 * a.fat) * fold * (thick > 0)
    if a.breast > 0:
        dx = (ax - 0.58 * a.half_width) / (7.3 + 0.15 * a.breast)
        dy = (y - 3.4) / (6.0 + 0.5 * a.breast)
        dy = np.where(dy < 0, 0.62 * dy, dy)
        r2 = np.clip(dx**2 + dy * dy, 0, 1)
        thick = thick + 1.25 * a.breast * np.sqrt(1 - r2) * (thick > 0)
    return np.asarray(thick)


def _vessels(field: Field) -> Floats:
    """Branching vessels of both lungs and the fine texture of the parenchyma."""
    a, edema = field.params.anatomy, field.params.findings.edema
    frame, shape = field.frame, field.shape
    out, down, sign, r, length = pieces(a.seed, frame.px)
    hilum = shape.hilum_y + np.where(sign > 0, -0.8, 0.5)
    scale = (shape.right.dome - shape.hilum_y) / 10.4
    y = hilum + down * np.where(down > 0, scale, 1.0)
    x = sign * (2.9 + out * a.half_width / 13.4) + np.interp(y, TABLE, shape.midline)
    boost = a.vessels * (1 + 0.9 * edema)
    # Attenuation times area of a piece of a cylinder: pi r^2 times its length.
    mass = boost * 3.2 * (MU_SOFT - MU_LUNG) * np.pi * r**2 * length
    points = np.stack([x, y], 1)
    strokes = Strokes(frame)
    widths = ((0.24, 9, 0.20), (0.15, 0.24, 0.115), (0.08, 0.15, 0.07), (0, 0.08, 0.045))
    for low, high, sigma in widths:
        pick = (r >= low) & (r < high)
        if pick.any():
            strokes.dots(points[pick], sigma * (1 + 0.35 * edema), mass[pick])
    fine = 0.6 * frame.noise(a.seed + 3, 0.45) + 0.5 * frame.noise(a.seed + 5, 1.1)
    texture = (0.020 + 0.014 * edema) * fine * a.vessels
    return field.vessel * (strokes.draw() + texture)
