"""The outlines of a frontal chest as functions of one coordinate.

In: `PhantomParams`. Out: `Shape`, a bundle of tables on `frame.TABLE` (cm against cm): walls of the
lung cavity, domes of the diaphragm, edges of heart and mediastinum, body outline. The renderer
looks pixels up in these tables and the ground truth is read from the same tables, so they cannot
disagree. The proportions follow radiographic anatomy (heart one third to the right of the midline,
right dome 1 to 1.5 cm higher, ten posterior ribs above it at full inspiration), written down by
hand.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxrtool.phantom.frame import TABLE
from cxrtool.phantom.params import PhantomParams, Side

Table = NDArray[Any]

APEX_X = 5.0
"""Distance of the top of a lung from the midline, cm."""
ANGLE_DEPTH = 5.2
"""How far the costophrenic angle lies below its dome, cm."""


@dataclass(frozen=True)
class Wall:
    """One lung cavity: half-widths by height, all in cm."""

    outer: Table
    inner: Table
    depth: Table


@dataclass(frozen=True)
class Shape:
    """Tables of a frontal chest; see the module's docstring.

    Attributes:
        midline: x of the spine by y.
        wall: The lung cavity (the same for both sides; x is taken from the midline).
        dome: Height of the diaphragm by x (relative to the midline).
        heart_left, heart_right: Distance of the heart's edges from the midline by y (0: no heart).
        heart_depth: Front-to-back thickness of the heart by y.
        med_left, med_right: Edges of the mediastinum by y.
        body: Half-width of the trunk and neck by y; ``body_depth`` its half-depth.
        top_y, dome_right, dome_left, angle_y: Landmarks, cm.
        rib_drop, rib_pitch, rib_y: Posterior ribs: y = rib_y + pitch * (k + rib_drop(share)).
        shift: Displacement of heart and mediastinum, cm.
    """

    midline: Table
    wall: Wall
    dome: Table
    heart_left: Table
    heart_right: Table
    heart_depth: Table
    med_left: Table
    med_right: Table
    body: Table
    body_depth: Table
    half_width: float
    top_y: float
    dome_right: float
    dome_left: float
    angle_right: float
    angle_left: float
    rib_pitch: float
    rib_y: float
    shift: float
    hilum_y: float

    def outer_at(self, y: float | Table) -> Table:
        """Half-width of the lung cavity at height y."""
        return np.asarray(np.interp(y, TABLE, self.wall.outer))

    def midline_at(self, y: float | Table) -> Table:
        """x of the midline at height y."""
        return np.asarray(np.interp(y, TABLE, self.midline))

    def dome_of(self, side: Side) -> float:
        """Height of the dome of one side."""
        return self.dome_left if side == "left" else self.dome_right

    def angle_of(self, side: Side) -> float:
        """Height of the costophrenic angle of one side."""
        return self.angle_left if side == "left" else self.angle_right

    def place(self, side: Side, u: float | Table, v: float | Table) -> NDArray[np.float64]:
        """The point(s) [N, 2] at share u from mediastinum to wall and v from apex to dome."""
        sign = 1.0 if side == "left" else -1.0
        u, v = np.atleast_1d(np.asarray(u, float)), np.atleast_1d(np.asarray(v, float))
        y = self.top_y + v * (self.dome_of(side) - self.top_y)
        edge = self.med_left if side == "left" else self.med_right
        heart = self.heart_left if side == "left" else self.heart_right
        inner = np.maximum(np.interp(y, TABLE, edge), np.interp(y, TABLE, heart))
        inner = np.minimum(inner, 0.62 * self.outer_at(y))
        x = sign * (inner + u * (self.outer_at(y) - inner)) + self.midline_at(y)
        return np.stack([x, y], axis=1)


def rib_drop(share: Table) -> Table:
    """Drop of a posterior rib in pitches at a share (0 spine, 1 wall) of the way outwards."""
    s = np.clip(share, 0.0, 1.15)
    return -0.25 * np.sin(np.pi * np.minimum(s / 0.55, 1.0)) + 0.45 * s + 1.75 * s**3.6


def frontal_shape(params: PhantomParams) -> Shape:
    """Builds the tables of a frontal view.

    Args:
        params: The image; the view decides magnification and inspiration, not the form.
    """
    a, f, q = params.anatomy, params.findings, params.acquisition
    y = TABLE
    lift = 6.0 * (1.0 - q.inspiration)
    collapse = {
        side: 1.6 * sum(b.density for b in f.bands if b.side == side) for side in ("left", "right")
    }
    dome_right = a.dome_y - lift - min(collapse["right"], 2.0)
    dome_left = a.dome_y + a.dome_gap - lift - min(collapse["left"], 2.0)
    # A large effusion pushes the mediastinum away, a large pneumothorax too.
    push = 0.10 * (max(f.effusion_right - 9, 0) - max(f.effusion_left - 9, 0))
    push += 0.22 * (max(f.pneumothorax_right - 3, 0) - max(f.pneumothorax_left - 3, 0))
    shift = q.twist + float(np.clip(push, -2.0, 2.0))
    wall = cavity(a.half_width, a.apex_y, a.half_depth)
    midline = a.scoliosis * np.exp(-(((y - 1.0) / 9.0) ** 2))
    heart_left, heart_right, heart_depth = _heart(params, dome_left)
    med_left, med_right = _mediastinum(params, dome_left)
    body, body_depth = _body(params)
    x = y
    return Shape(
        midline=midline,
        wall=wall,
        dome=np.where(
            x < 0,
            _dome(x, -0.50 * a.half_width, 0.53 * a.half_width, dome_right),
            _dome(x, 0.52 * a.half_width, 0.53 * a.half_width, dome_left),
        ),
        heart_left=heart_left,
        heart_right=heart_right,
        heart_depth=heart_depth,
        med_left=med_left,
        med_right=med_right,
        body=body,
        body_depth=body_depth,
        half_width=a.half_width,
        top_y=a.apex_y,
        dome_right=dome_right,
        dome_left=dome_left,
        angle_right=dome_right + ANGLE_DEPTH * 0.74,
        angle_left=dome_left + ANGLE_DEPTH * 0.74,
        rib_pitch=a.rib_pitch,
        rib_y=a.rib_y,
        shift=shift,
        hilum_y=-3.2 - 0.35 * lift,
    )


def cavity(half_width: float, apex_y: float, half_depth: float) -> Wall:
    """The lung cavity by height: a rounded apex over a barrel.

    Args:
        half_width: Greatest half-width, cm.
        apex_y: Height of the apex, cm.
        half_depth: Half-depth of the trunk, cm.
    """
    y = TABLE
    rise = 17.0
    t = np.clip((apex_y + rise - y) / rise, 0.0, 1.0)
    quarter = (1.0 - t**2.05) ** (1 / 2.05)
    barrel = 1.0 - 0.0011 * np.clip(y - 5.0, 0.0, 12.0) ** 2
    outer = np.where(y < apex_y, 0.0, APEX_X + (half_width - APEX_X) * quarter) * barrel
    t = np.clip((apex_y + 5.0 - y) / 5.0, 0.0, 1.0)
    inner = APEX_X - (APEX_X + 1.5) * np.sqrt(1.0 - t**2)
    t = np.clip((apex_y + 13.0 - y) / 13.0, 0.0, 1.0)
    depth = 0.80 * half_depth * (1.0 - t**2.2) ** 0.55
    return Wall(outer=outer, inner=inner, depth=depth)


def _dome(x: Table, centre: float, half: float, top: float) -> Table:
    t = np.clip(np.abs(x - centre) / half, 0.0, 1.0)
    # Lateral slope to a sharp angle, a flat middle, a gentle fall towards the heart.
    lateral = np.sign(x - centre) == np.sign(centre)
    fall = np.where(lateral, ANGLE_DEPTH, 2.2)
    return np.asarray(top + fall * (1.0 - np.sqrt(1.0 - 0.98 * t**2.1)) / (1.0 - np.sqrt(0.02)))


def _heart(params: PhantomParams, dome_left: float) -> tuple[Table, Table, Table]:
    """Edges and thickness of the heart by y; widest where the truth says.

    The left border runs straight from the pulmonary trunk to a rounded apex, the right atrium
    bulges to the right; both reach their full share of the width exactly once.
    """
    a, f, q = params.anatomy, params.findings, params.acquisition
    width = f.ctr * 2 * a.half_width * q.heart_magnification
    top, bottom = -4.6, dome_left + 1.6
    t = (TABLE - top) / (bottom - top)
    peak = 0.72
    rise = np.sin(np.pi / 2 * np.clip(t / peak, 0, 1))
    fall = np.sqrt(np.clip(1 - ((t - peak) / 0.55) ** 2, 0, 1))
    left = np.where(t < peak, 0.30 + 0.70 * rise**1.45, fall)
    rise = np.sin(np.pi / 2 * np.clip((t + 0.1) / 0.72, 0, 1))
    fall = np.sqrt(np.clip(1 - ((t - 0.62) / 0.75) ** 2, 0, 1))
    right = np.where(t < 0.62, 0.35 + 0.65 * rise**1.2, fall)
    gate = np.clip((t + 0.12) / 0.18, 0, 1)
    gate = gate * gate * (3 - 2 * gate)
    depth = (7.3 + 0.33 * width) * np.sqrt(np.clip(1 - ((t - 0.58) / 0.82) ** 2, 0, 1)) * gate
    inside = (t > -0.12) & (t < 1.27)
    left = np.where(inside, left * gate, 0.0)
    right = np.where(inside, right * gate, 0.0)
    return (
        width * (1 - a.heart_share) * left / max(left.max(), 1e-9),
        width * a.heart_share * right / max(right.max(), 1e-9),
        depth,
    )


def _mediastinum(params: PhantomParams, dome_left: float) -> tuple[Table, Table]:
    """Edges of the mediastinum: neck vessels, aortic knob, pulmonary trunk, descending aorta."""
    a, f = params.anatomy, params.findings
    y = TABLE
    wide = f.mediastinal_widening
    neck = 1.7 * np.exp(-(((y - a.apex_y + 0.8) / 2.3) ** 2))
    upper = np.exp(-(np.clip(np.abs(y + 7.5) - 2.2, 0, None) ** 2) / 9.0)
    knob = (a.knob - a.mediastinum) * np.exp(-(((y + 7.4) / 1.75) ** 2))
    trunk = 0.75 * np.exp(-(((y + 3.6) / 1.6) ** 2))
    taper = 0.35 / (1 + np.exp(-(y - dome_left + 5)))
    left = a.mediastinum + neck + knob + trunk - taper + wide * upper
    right = a.mediastinum - 0.15 + neck + 0.25 * np.exp(-(((y + 5) / 2.5) ** 2)) - taper
    right = right + 0.85 * wide * upper
    return left, right


def _body(params: PhantomParams) -> tuple[Table, Table]:
    """Half-width and half-depth of trunk and neck by y."""
    a = params.anatomy
    y = TABLE
    trunk = a.half_width + a.fat + 0.8 + 0.010 * np.clip(y, 0, None) ** 2 * (0.3 + 0.2 * a.fat)
    neck = 5.6 + 0.35 * a.fat
    top = a.apex_y - 2.0
    share = 1 / (1 + np.exp(-(y - top - 1.2) / 0.9))
    width = neck + (trunk - neck) * share
    depth = 6.0 + (a.half_depth + 0.35 * a.fat - 6.0) / (1 + np.exp(-(y - a.apex_y - 2.5) / 2.2))
    return width, depth
