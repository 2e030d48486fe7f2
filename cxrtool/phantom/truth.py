"""Ground truth: the geometry of an image in fractions of the picture.

In: `PhantomParams`. Out: one flat row. All positions and lengths are fractions of the document, the
centred square of the picture: x from the left edge, y from the top edge, whatever the resolution;
``prepare --fit crop`` and every square picture keep them as they are. Values that the view does not
show are NaN.
"""

import math

import numpy as np

from cxrtool.phantom.frame import TABLE, Frame
from cxrtool.phantom.params import PhantomParams, Side
from cxrtool.phantom.pathology import effusion_surface
from cxrtool.phantom.shape import Half, Shape, rib_drop

RIB_SHARE = 0.40
"""Rib heights are given at this share of the way from the spine to the wall."""
OF_ANY_VIEW = {"ctr_param", "edema", "mediastinal_widening_cm", "fov_cm", "rotation_deg"}


def truth_row(params: PhantomParams) -> dict[str, float]:
    """Geometry of one image.

    Args:
        params: The image.

    Returns:
        Column -> value; NaN where a lateral view does not show it, or there is no such finding.
    """
    f, q = params.findings, params.acquisition
    shape, frame, unit = Shape(params), Frame(q, 1, 1), 1.0 / q.fov
    a, left, right = shape.anatomy, shape.left, shape.right

    def at(*point: float) -> tuple[float, float]:
        x, y = frame.to_document(np.array([point]))[0]
        return float(x), float(y)

    def dome_y(half: Half) -> float:
        middle = float(np.interp(half.dome, TABLE, shape.midline))
        return at(half.sign * 7.0 + middle, half.dome)[1]

    heart = float(left.heart.max() + right.heart.max())
    rows = TABLE[np.nonzero(left.heart > 0)[0]]
    area_left = _lung_area(shape, left, f.effusion_left) / q.fov**2
    area_right = _lung_area(shape, right, f.effusion_right) / q.fov**2
    sides: tuple[Side, Side] = ("left", "right")
    ribs = {
        f"rib{k}_{side}_y": at(*_rib_point(shape, shape.half(side), k, RIB_SHARE))[1]
        for side in sides
        for k in range(2, 10)
    }
    row = {
        "heart_width": heart * unit,
        "thoracic_width": 2 * a.half_width * unit,
        "ctr": heart / (2 * a.half_width),
        "ctr_param": f.ctr,
        "heart_left_x": at(*_heart_edge(shape, right))[0],
        "heart_right_x": at(*_heart_edge(shape, left))[0],
        "heart_top_y": at(0.0, rows[0])[1],
        "heart_bottom_y": at(0.0, min(rows[-1], left.dome + 1.6))[1],
        "lung_area": area_left + area_right,
        "lung_area_left": area_left,
        "lung_area_right": area_right,
        "effusion_left": f.effusion_left * unit,
        "effusion_right": f.effusion_right * unit,
        "pneumothorax_left": f.pneumothorax_left * unit,
        "pneumothorax_right": f.pneumothorax_right * unit,
        "rib_position": float(np.mean([ribs[f"rib5_{side}_y"] for side in sides])),
        "rib_spacing": a.rib_pitch * unit,
        **ribs,
        "dome_left_y": dome_y(left),
        "dome_right_y": dome_y(right),
        "apex_y": at(0.0, a.apex_y)[1],
        "cage_left_x": at(-a.half_width, 5.0)[0],
        "cage_right_x": at(a.half_width, 5.0)[0],
        "mediastinal_widening_cm": f.mediastinal_widening,
        "edema": f.edema,
        **dict.fromkeys(("nodule_x", "nodule_y", "nodule_r"), math.nan),
        **dict.fromkeys(("opacity_x", "opacity_y", "opacity_rx", "opacity_ry"), math.nan),
        **dict.fromkeys(("opacity_density", "fracture_x", "fracture_y"), math.nan),
        "fov_cm": q.fov,
        "rotation_deg": q.rotation,
    }
    if params.view == "LATERAL":
        return {name: row[name] if name in OF_ANY_VIEW else math.nan for name in row}
    if f.nodules:
        n = max(f.nodules, key=lambda n: n.r)
        row["nodule_x"], row["nodule_y"] = at(*shape.place(n))
        row["nodule_r"] = n.r * unit
    if f.opacities:
        o = max(f.opacities, key=lambda o: o.rx * o.ry * o.density)
        row["opacity_x"], row["opacity_y"] = at(*shape.place(o))
        row["opacity_rx"], row["opacity_ry"] = o.rx * unit, o.ry * unit
        row["opacity_density"] = o.density
    if f.fractures:
        x = f.fractures[0]
        row["fracture_x"], row["fracture_y"] = at(
            *_rib_point(shape, shape.half(x.side), x.rib, x.s)
        )
    return row


def _rib_point(shape: Shape, half: Half, number: int, share: float) -> tuple[float, float]:
    """Where a posterior rib is at a share of the way from the spine to the wall, cm."""
    y = shape.anatomy.rib_y + shape.anatomy.rib_pitch * (number + float(rib_drop(np.array(share))))
    x = share * max(float(np.interp(y, TABLE, shape.outer)), 3.0)
    return half.sign * x + float(np.interp(y, TABLE, shape.midline)), y


def _heart_edge(shape: Shape, half: Half) -> tuple[float, float]:
    """Where the heart reaches farthest to one side, cm."""
    i = int(half.heart.argmax())
    return half.sign * half.heart[i] + shape.shift + shape.midline[i], TABLE[i]


def _lung_area(shape: Shape, half: Half, depth: float) -> float:
    """Area of the visible lung of a side, beside heart and mediastinum, above dome and fluid."""
    y = np.linspace(shape.anatomy.apex_y, shape.anatomy.apex_y + 30, 300)
    at = np.searchsorted(TABLE, y)
    outer = np.maximum(shape.outer[at], 0.1)
    inner = np.maximum(half.edge[at], half.heart[at]) + half.sign * shape.shift
    inner = np.maximum(inner, shape.inner[at])
    share = np.linspace(0, 1, 80)[None, :]
    x = inner[:, None] + share * (outer - inner)[:, None]
    dome = np.interp(half.sign * x, TABLE, shape.dome)
    visible = (y[:, None] < dome) & (outer > inner)[:, None]
    if depth > 0:
        wall = np.maximum(outer, 4.0)[:, None]
        visible &= y[:, None] < effusion_surface(x, wall, half.angle, depth)
    widths = np.clip(outer - inner, 0, None) * visible.mean(axis=1)
    return float(widths.sum() * (y[1] - y[0]))
