"""Ground truth: the geometry of an image in fractions of the picture.

In: `PhantomParams`. Out: one flat row. All positions and lengths are fractions of the document, the
centred square of the picture: x from the left edge, y from the top edge, whatever the resolution;
``prepare --fit crop`` and every square picture keep them as they are. Values that the view does not
show are NaN.
"""

from __future__ import annotations

import math

import numpy as np

from cxrtool.phantom.frame import TABLE, document_frame
from cxrtool.phantom.params import PhantomParams, Side
from cxrtool.phantom.pathology import effusion_surface
from cxrtool.phantom.shape import Shape, frontal_shape, rib_drop

RIB_SHARE = 0.40
"""Rib heights are given at this share of the way from the spine to the wall."""
RIB_NUMBERS = tuple(range(2, 10))


def truth_row(params: PhantomParams) -> dict[str, float]:
    """Geometry of one image.

    Args:
        params: The image.

    Returns:
        Column -> value; NaN where a lateral view does not show it.
    """
    row = dict.fromkeys(TRUTH_COLUMNS, math.nan)
    f = params.findings
    row["ctr_param"] = f.ctr
    row["edema"] = f.edema
    row["mediastinal_widening_cm"] = f.mediastinal_widening
    row["fov_cm"] = params.acquisition.fov
    row["rotation_deg"] = params.acquisition.rotation
    if params.view == "LATERAL":
        return row
    shape = frontal_shape(params)
    unit = 1.0 / params.acquisition.fov
    heart = float(shape.heart_left.max() + shape.heart_right.max())
    row["heart_width"] = heart * unit
    row["thoracic_width"] = 2 * shape.half_width * unit
    row["ctr"] = heart / (2 * shape.half_width)
    left, right, top, bottom = heart_box(params, shape)
    row["heart_left_x"], row["heart_right_x"] = left, right
    row["heart_top_y"], row["heart_bottom_y"] = top, bottom
    row["lung_area"], row["lung_area_left"], row["lung_area_right"] = _lung_areas(params, shape)
    row["effusion_left"] = f.effusion_left * unit
    row["effusion_right"] = f.effusion_right * unit
    row["pneumothorax_left"] = f.pneumothorax_left * unit
    row["pneumothorax_right"] = f.pneumothorax_right * unit
    frame = document_frame(params.acquisition)
    for side in ("left", "right"):
        points = np.array([rib_point(shape, side, k) for k in RIB_NUMBERS])
        heights = frame.to_document(points)[:, 1]
        for k, height in zip(RIB_NUMBERS, heights):
            row[f"rib{k}_{side}_y"] = float(height)
    row["rib_position"] = float(np.mean([row[f"rib5_{s}_y"] for s in ("left", "right")]))
    row["rib_spacing"] = shape.rib_pitch * unit
    places = np.array(
        [
            [-7.0 + shape.midline_at(shape.dome_right), shape.dome_right],
            [7.0 + shape.midline_at(shape.dome_left), shape.dome_left],
            [0.0, shape.top_y],
        ]
    )
    document = frame.to_document(places)
    row["dome_right_y"], row["dome_left_y"], row["apex_y"] = (float(v) for v in document[:, 1])
    wall = np.array([[-shape.half_width, 5.0], [shape.half_width, 5.0]])
    row["cage_left_x"], row["cage_right_x"] = (float(v) for v in frame.to_document(wall)[:, 0])
    if f.nodules:
        n = max(f.nodules, key=lambda n: n.r)
        at = frame.to_document(shape.place(n.side, n.u, n.v))[0]
        row["nodule_x"], row["nodule_y"], row["nodule_r"] = float(at[0]), float(at[1]), n.r * unit
    if f.opacities:
        o = max(f.opacities, key=lambda o: o.rx * o.ry * o.density)
        at = frame.to_document(shape.place(o.side, o.u, o.v))[0]
        row["opacity_x"], row["opacity_y"] = float(at[0]), float(at[1])
        row["opacity_rx"], row["opacity_ry"] = o.rx * unit, o.ry * unit
        row["opacity_density"] = o.density
    if f.fractures:
        x = f.fractures[0]
        at = frame.to_document(np.array([rib_point(shape, x.side, x.rib, x.s)]))[0]
        row["fracture_x"], row["fracture_y"] = float(at[0]), float(at[1])
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
    d = document_frame(params.acquisition).to_document(points)
    return float(d[0, 0]), float(d[1, 0]), float(d[2, 1]), float(d[3, 1])


def _lung_areas(params: PhantomParams, shape: Shape) -> tuple[float, float, float]:
    """Area of the visible lung (beside heart and mediastinum, above dome and fluid) by side."""
    f = params.findings
    y = np.linspace(shape.top_y, shape.top_y + 30, 300)
    at = np.searchsorted(TABLE, y)
    outer = np.maximum(shape.wall.outer[at], 0.1)
    step = y[1] - y[0]
    areas = []
    for side, sign, med, heart, depth in (
        ("left", 1.0, shape.med_left, shape.heart_left, f.effusion_left),
        ("right", -1.0, shape.med_right, shape.heart_right, f.effusion_right),
    ):
        inner = np.maximum(med[at], heart[at]) + sign * shape.shift
        inner = np.maximum(inner, shape.wall.inner[at])
        share = np.linspace(0, 1, 80)[None, :]
        x = inner[:, None] + share * (outer - inner)[:, None]
        dome = np.interp(sign * x, TABLE, shape.dome)
        visible = (y[:, None] < dome) & (outer > inner)[:, None]
        if depth > 0:
            level = shape.angle_of(side)  # type: ignore[arg-type]
            visible &= y[:, None] < effusion_surface(
                x, np.maximum(outer, 4.0)[:, None], level, depth
            )
        widths = np.clip(outer - inner, 0, None) * visible.mean(axis=1)
        areas.append(float(widths.sum() * step) / params.acquisition.fov**2)
    return areas[0] + areas[1], areas[0], areas[1]


TRUTH_COLUMNS: tuple[str, ...] = (
    "heart_width",
    "thoracic_width",
    "ctr",
    "ctr_param",
    "heart_left_x",
    "heart_right_x",
    "heart_top_y",
    "heart_bottom_y",
    "lung_area",
    "lung_area_left",
    "lung_area_right",
    "effusion_left",
    "effusion_right",
    "pneumothorax_left",
    "pneumothorax_right",
    "rib_position",
    "rib_spacing",
    *(f"rib{k}_{side}_y" for side in ("left", "right") for k in RIB_NUMBERS),
    "dome_left_y",
    "dome_right_y",
    "apex_y",
    "cage_left_x",
    "cage_right_x",
    "mediastinal_widening_cm",
    "edema",
    "nodule_x",
    "nodule_y",
    "nodule_r",
    "opacity_x",
    "opacity_y",
    "opacity_rx",
    "opacity_ry",
    "opacity_density",
    "fracture_x",
    "fracture_y",
    "fov_cm",
    "rotation_deg",
)
