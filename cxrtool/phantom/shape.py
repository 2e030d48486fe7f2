"""The outlines of a frontal chest as functions of one coordinate.

In: `PhantomParams`. Out: `Shape`, a bundle of tables on `frame.TABLE` (cm against cm): walls of the
lung cavity, domes of the diaphragm, edges of heart and mediastinum, body outline. The renderer
looks pixels up in these tables and the ground truth is read from the same tables, so they cannot
disagree. The proportions follow radiographic anatomy (heart one third to the right of the midline,
right dome 1 to 1.5 cm higher, ten posterior ribs above it at full inspiration), written down by
hand.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxrtool.phantom.frame import TABLE, Floats
from cxrtool.phantom.params import Anatomy, PhantomParams, Side, Spot

APEX_X = 5.0
"""Distance of the top of a lung from the midline, cm."""
ANGLE_DEPTH = 5.2
"""How far the costophrenic angle lies below its dome, cm."""


@dataclass(frozen=True)
class Half:
    """One side of a frontal chest, all in cm.

    Attributes:
        sign: Of x: 1 for the patient's left, -1 for the right.
        dome, angle: Height of the diaphragm's dome and of the costophrenic angle.
        heart: Distance of the heart's edge from the midline by y (0: no heart).
        edge: The same of the mediastinum.
    """

    sign: float
    dome: float
    angle: float
    heart: Floats
    edge: Floats


class Shape:
    """Tables of a frontal view; see the module's docstring.

    Args:
        params: The image; the view decides magnification and inspiration, not the form.

    Attributes:
        anatomy: The patient.
        left, right: What differs by side.
        midline: x of the spine by y.
        outer, inner, depth: The lung cavity (the same for both sides; x is taken from the midline).
        dome: Height of the diaphragm by x (relative to the midline).
        heart_depth: Front-to-back thickness of the heart by y.
        body: Half-width of the trunk and neck by y; ``body_depth`` its half-depth.
        shift: Displacement of heart and mediastinum, cm.
        hilum_y: Height of the hila, cm.
    """

    def __init__(self, params: PhantomParams) -> None:
        a, f, q = params.anatomy, params.findings, params.acquisition
        lift = 6.0 * (1.0 - q.inspiration)

        def dome_y(side: Side, gap: float) -> float:
            collapse = 1.6 * sum(b.density for b in f.bands if b.side == side)
            return a.dome_y + gap - lift - min(collapse, 2.0)

        right, left = dome_y("right", 0.0), dome_y("left", a.dome_gap)
        # A large effusion pushes the mediastinum away, a large pneumothorax too.
        push = 0.10 * (max(f.effusion_right - 9, 0) - max(f.effusion_left - 9, 0))
        push += 0.22 * (max(f.pneumothorax_right - 3, 0) - max(f.pneumothorax_left - 3, 0))
        self.anatomy = a
        self.shift = q.twist + float(np.clip(push, -2.0, 2.0))
        self.hilum_y = -3.2 - 0.35 * lift
        self.midline = a.scoliosis * np.exp(-(((TABLE - 1.0) / 9.0) ** 2))
        self.outer, self.inner, self.depth = cavity(a.half_width, a.apex_y, a.half_depth)
        self.dome = np.where(
            TABLE < 0,
            _dome(-0.50 * a.half_width, 0.53 * a.half_width, right),
            _dome(0.52 * a.half_width, 0.53 * a.half_width, left),
        )
        self.body, self.body_depth = _body(a)
        heart_left, heart_right, self.heart_depth = _heart(params, left)
        edge_left, edge_right = _mediastinum(params, left)
        angle = ANGLE_DEPTH * 0.74
        self.left = Half(1.0, left, left + angle, heart_left, edge_left)
        self.right = Half(-1.0, right, right + angle, heart_right, edge_right)

    def half(self, side: Side) -> Half:
        """The half of one side."""
        return self.left if side == "left" else self.right

    def place(self, spot: Spot) -> NDArray[np.float64]:
        """The point [2] of a spot, cm."""
        half, top = self.half(spot.side), self.anatomy.apex_y
        y = top + spot.v * (half.dome - top)
        outer, edge, heart = (np.interp(y, TABLE, t) for t in (self.outer, half.edge, half.heart))
        inner = min(max(edge, heart), 0.62 * outer)
        x = half.sign * (inner + spot.u * (outer - inner)) + np.interp(y, TABLE, self.midline)
        return np.array([x, y])


def rib_drop(share: Floats) -> Floats:
    """Drop of a posterior rib in pitches at a share (0 spine, 1 wall) of the way outwards."""
    s = np.clip(share, 0.0, 1.15)
    return -0.25 * np.sin(np.pi * np.minimum(s / 0.55, 1.0)) + 0.45 * s + 1.75 * s**3.6


def cavity(half_width: float, apex_y: float, half_depth: float) -> tuple[Floats, Floats, Floats]:
    """The lung cavity: a rounded apex over a barrel.

    Args:
        half_width: Greatest half-width, cm.
        apex_y: Height of the apex, cm.
        half_depth: Half-depth of the trunk, cm.

    Returns:
        Outer and inner half-width and half-depth by height, cm.
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
    return outer, inner, 0.80 * half_depth * (1.0 - t**2.2) ** 0.55


def _dome(centre: float, half: float, top: float) -> Floats:
    x = TABLE
    t = np.clip(np.abs(x - centre) / half, 0.0, 1.0)
    # Lateral slope to a sharp angle, a flat middle, a gentle fall towards the heart.
    lateral = np.sign(x - centre) == np.sign(centre)
    fall = np.where(lateral, ANGLE_DEPTH, 2.2)
    return np.asarray(top + fall * (1.0 - np.sqrt(1.0 - 0.98 * t**2.1)) / (1.0 - np.sqrt(0.02)))


def _heart(params: PhantomParams, dome_left: float) -> tuple[Floats, Floats, Floats]:
    """Left and right edge and thickness of the heart by y; widest where the truth says.

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
    left, right = (np.where(inside, edge * gate, 0.0) for edge in (left, right))
    return (
        width * (1 - a.heart_share) * left / max(left.max(), 1e-9),
        width * a.heart_share * right / max(right.max(), 1e-9),
        depth,
    )


def _mediastinum(params: PhantomParams, dome_left: float) -> tuple[Floats, Floats]:
    """Edges of the mediastinum: neck vessels, aortic knob, pulmonary trunk, descending aorta."""
    a, wide = params.anatomy, params.findings.mediastinal_widening
    y = TABLE
    neck = 1.7 * np.exp(-(((y - a.apex_y + 0.8) / 2.3) ** 2))
    upper = np.exp(-(np.clip(np.abs(y + 7.5) - 2.2, 0, None) ** 2) / 9.0)
    knob = (a.knob - a.mediastinum) * np.exp(-(((y + 7.4) / 1.75) ** 2))
    trunk = 0.75 * np.exp(-(((y + 3.6) / 1.6) ** 2))
    taper = 0.35 / (1 + np.exp(-(y - dome_left + 5)))
    left = a.mediastinum + neck + knob + trunk - taper + wide * upper
    right = a.mediastinum - 0.15 + neck + 0.25 * np.exp(-(((y + 5) / 2.5) ** 2)) - taper
    return left, right + 0.85 * wide * upper


def _body(a: Anatomy) -> tuple[Floats, Floats]:
    """Half-width and half-depth of trunk and neck by y."""
    y = TABLE
    trunk = a.half_width + a.fat + 0.8 + 0.010 * np.clip(y, 0, None) ** 2 * (0.3 + 0.2 * a.fat)
    neck = 5.6 + 0.35 * a.fat
    top = a.apex_y - 2.0
    share = 1 / (1 + np.exp(-(y - top - 1.2) / 0.9))
    depth = 6.0 + (a.half_depth + 0.35 * a.fat - 6.0) / (1 + np.exp(-(y - a.apex_y - 2.5) / 2.2))
    return neck + (trunk - neck) * share, depth
