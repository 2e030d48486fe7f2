"""Ground truth: the geometry of an image in fractions of the picture.

In: `PhantomParams`. Out: one flat row. All positions and lengths are fractions of the document, the
centred square of the picture: x from the left edge, y from the top edge, whatever the resolution;
``prepare --fit crop`` and every square picture keep them as they are. Values that the view does not
show are NaN.
"""

import math

import numpy as np

from cxrtool.phantom.frame import TABLE, document_frame
from cxrtool.phantom.params import PhantomParams, Side
from cxrtool.phantom.pathology import effusion_surface
from cxrtool.phantom.shape import Shape, frontal_shape, rib_drop

RIB_SHARE = 0.40
"""Rib heights are given at this share of the way from the spine to the wall."""
RIB_NUMBERS = tuple(range(2, 10))
SIDES: tuple[Side, Side] = ("left", "right")
OF_ANY_VIEW = {"ctr_param", "edema", "mediastinal_widening_cm", "fov_cm", "rotation_deg"}


def truth_row(params: PhantomParams) -> dict[str, float]:
    """Geometry of one image.

    Args:
        params: The image.

    Returns:
        Column -> value; NaN where a lateral view does not show it, or there is no such finding.
    """
    f, q = params.findings, params.acquisition
    shape, frame, unit = frontal_shape(params), document_frame(q), 1.0 / q.fov

    def at(*point: float) -> tuple[float, float]:
        x, y = frame.to_document(np.array([point]))[0]
        return float(x), float(y)

    heart = float(shape.heart_left.max() + shape.heart_right.max())
    heart_left, heart_right, heart_top, heart_bottom = heart_box(params, shape)
    area_left, area_right = _lung_areas(params, shape)
    ribs = {
        f"rib{k}_{side}_y": at(*rib_point(shape, side, k))[1] for side in SIDES for k in RIB_NUMBERS
    }
    row = {
        "heart_width": heart * unit,
        "thoracic_width": 2 * shape.half_width * unit,
        "ctr": heart / (2 * shape.half_width),
        "ctr_param": f.ctr,
        "heart_left_x": heart_left,
        "heart_right_x": heart_right,
        "heart_top_y": heart_top,
        "heart_bottom_y": heart_bottom,
        "lung_area": area_left + area_right,
        "lung_area_left": area_left,
        "lung_area_right": area_right,
        "effusion_left": f.effusion_left * unit,
        "effusion_right": f.effusion_right * unit,
        "pneumothorax_left": f.pneumothorax_left * unit,
        "pneumothorax_right": f.pneumothorax_right * unit,
        "rib_position": float(np.mean([ribs[f"rib5_{side}_y"] for side in SIDES])),
        "rib_spacing": shape.rib_pitch * unit,
        **ribs,
        "dome_left_y": at(7.0 + float(shape.midline_at(shape.dome_left)), shape.dome_left)[1],
        "dome_right_y": at(-7.0 + float(shape.midline_at(shape.dome_right)), shape.dome_right)[1],
        "apex_y": at(0.0, shape.top_y)[1],
        "cage_left_x": at(-shape.half_width, 5.0)[0],
        "cage_right_x": at(shape.half_width, 5.0)[0],
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
        row["nodule_x"], row["nodule_y"] = at(*shape.place(n.side, n.u, n.v)[0])
        row["nodule_r"] = n.r * unit
    if f.opacities:
        o = max(f.opacities, key=lambda o: o.rx * o.ry * o.density)
        row["opacity_x"], row["opacity_y"] = at(*shape.place(o.side, o.u, o.v)[0])
        row["opacity_rx"], row["opacity_ry"] = o.rx * unit, o.ry * unit
        row["opacity_density"] = o.density
    if f.fractures:
        x = f.fractures[0]
        row["fracture_x"], row["fracture_y"] = at(*rib_point(shape, x.side, x.rib, x.s))
    return row


def rib_point(
    shape: Shape, side: Side, number: int, share: float = RIB_SHARE
) -> tuple[float, float]:
    """Where a posterior rib is at a share of the way from the spine to the wall, cm.

    The share is taken of the wall at the rib's own height, so the height is found by iteration.
    """
    y = shape.rib_y + shape.rib_pitch * (number + float(rib_drop(np.array(share))))
    x = share * max(float(shape.outer_at(y)), 3.0)
    return (x if side == "left" else -x) + float(shape.midline_at(y)), y


def heart_box(params: PhantomParams, shape: Shape) -> tuple[float, float, float, float]:
    """Left and right edge (picture), top and bottom of the heart, document fractions."""
    il, ir = int(shape.heart_left.argmax()), int(shape.heart_right.argmax())
    rows = np.nonzero(shape.heart_left > 0)[0]
    points = np.array(
        [
            [-shape.heart_right[ir] + shape.shift + shape.midline[ir], TABLE[ir]],
            [shape.heart_left[il] + shape.shift + shape.midline[il], TABLE[il]],
            [0.0, TABLE[rows[0]]],
            [0.0, min(TABLE[rows[-1]], shape.dome_left + 1.6)],
        ]
    )
    (left, _), (right, _), (_, top), (_, bottom) = (
        document_frame(params.acquisition).to_document(points).tolist()
    )
    return left, right, top, bottom


def _lung_areas(params: PhantomParams, shape: Shape) -> list[float]:
    """Area of the visible lung (beside heart and mediastinum, above dome and fluid) by side."""
    f = params.findings
    y = np.linspace(shape.top_y, shape.top_y + 30, 300)
    at = np.searchsorted(TABLE, y)
    outer = np.maximum(shape.wall.outer[at], 0.1)
    step = y[1] - y[0]
    areas = []
    of_sides = (
        (1.0, shape.med_left, shape.heart_left, f.effusion_left, shape.angle_left),
        (-1.0, shape.med_right, shape.heart_right, f.effusion_right, shape.angle_right),
    )
    for sign, med, heart, depth, level in of_sides:
        inner = np.maximum(med[at], heart[at]) + sign * shape.shift
        inner = np.maximum(inner, shape.wall.inner[at])
        share = np.linspace(0, 1, 80)[None, :]
        x = inner[:, None] + share * (outer - inner)[:, None]
        dome = np.interp(sign * x, TABLE, shape.dome)
        visible = (y[:, None] < dome) & (outer > inner)[:, None]
        if depth > 0:
            visible &= y[:, None] < effusion_surface(
                x, np.maximum(outer, 4.0)[:, None], level, depth
            )
        widths = np.clip(outer - inner, 0, None) * visible.mean(axis=1)
        areas.append(float(widths.sum() * step) / params.acquisition.fov**2)
    return areas


TRUTH_COLUMNS = tuple(truth_row(PhantomParams()))
