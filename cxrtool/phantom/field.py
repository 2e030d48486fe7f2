"""The state of a frontal drawing: what each ray has met so far.

In: `PhantomParams` and a `Frame`. Out: `Field`, with the thickness of air-filled lung after heart,
mediastinum and diaphragm took their part. Bones, devices and findings change it.
"""

import numpy as np

from cxrtool.phantom.frame import Floats, Frame
from cxrtool.phantom.params import PhantomParams
from cxrtool.phantom.shape import Half, Shape
from cxrtool.phantom.strokes import Strokes

MU_SOFT = 0.185
MU_LUNG = 0.042
"""Linear attenuation of soft tissue and of aerated lung at a chest spectrum, 1/cm (effective)."""


class Field:
    """Per-pixel state while a frontal view is drawn.

    Args:
        params: What to draw.
        frame: The grid.

    Attributes:
        shape: The outlines.
        x: Distance from the midline, signed (patient's left positive), cm.
        ax: Its absolute value.
        y: Height, cm.
        outer: Half-width of the cavity at this height.
        share: Share of the way from spine to lateral wall (1 at the wall).
        wall: Distance to the lateral chest wall (positive inside), cm.
        air: Thickness of lung along the ray, cm.
        extra: Attenuation beside soft tissue and lung.
        vessel: How much of the vessels shows (0 where there is no lung or none reach).
        hard: Attenuation of bones and solid devices.
        strokes: Their thin lines.
    """

    def __init__(self, params: PhantomParams, frame: Frame) -> None:
        self.params, self.frame, self.shape = params, frame, Shape(params)
        shape, right, left = self.shape, self.shape.right, self.shape.left
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = 1 / np.sqrt(1 + np.clip(np.gradient(shape.outer, 72 / 6143), 0, 40) ** 2)
        self.outer, inner, depth, slopes, midline = frame.along_y(
            shape.outer, shape.inner, shape.depth, slope, shape.midline
        )
        x, y = self.x, self.y = frame.x - midline, frame.y
        ax = self.ax = np.abs(x)
        self.share = np.clip(ax / np.maximum(self.outer, 3.0), 0, 1.2)
        self.wall = (self.outer - ax) * slopes
        centre = np.float32(5.0)
        above = self.outer > centre + 0.02
        lateral = (ax - centre) / np.where(above, self.outer - centre, 1)
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
            left.heart, right.heart, shape.heart_depth, left.edge, right.edge
        )
        sx = x - np.float32(shape.shift)
        # Above the heart the mediastinum fills the chest; behind it only spine and aorta remain.
        air = _cut(air, sx, ml, mr, 3.0 + 23.0 * np.clip((-1.0 - y) / 4.5, 0, 1))
        self.air = _cut(air, sx, hl, hr, hd)
        self.extra = self._mediastinum(sx, ml) + self._abdomen(below)
        self.vessel = np.clip(self.air / 6.0, 0, 1)
        self.hard = np.zeros_like(x)
        self.strokes = Strokes(frame)

    def side(self, half: Half) -> Floats:
        """1 on the pixels of one side, 0 on the other."""
        return (self.x > 0 if half.sign > 0 else self.x <= 0).astype(np.float32)

    def _mediastinum(self, x: Floats, edge: Floats) -> Floats:
        """Trachea, main bronchi, aortic stripe, hila."""
        frame, y = self.frame, self.y
        carina = -4.3
        bend = 0.25 + 0.02 * np.clip(y + 12, 0, 8)
        r = np.clip((x + bend) / np.float32(0.95), -1, 1)
        trachea = 1.35 * np.sqrt(1 - r * r) * frame.ramp(carina + 0.3 - y, 1.2)
        down = np.clip(y - carina, 0, 4.5)
        fade = frame.ramp(y - carina, 0.8) * np.clip(1 - down / 4.5, 0, 1)
        right = np.clip((x + bend + 0.62 * down + 0.35) / 0.75, -1, 1)
        left = np.clip((x + bend - 0.95 * down - 0.35) / 0.65, -1, 1)
        bronchi = 0.75 * fade * (np.sqrt(1 - right * right) + np.sqrt(1 - left * left))
        extra = -MU_SOFT * 1.15 * (trachea + np.minimum(bronchi, 0.9))
        # The descending aorta and the knob are denser than the rest of the mediastinum.
        aorta = frame.ramp(edge - x, 0.15) * frame.ramp(x - (edge - 2.9), 1.6)
        extra += 0.10 * (aorta * frame.ramp(y + 9.0, 1.5))
        for sign, hx, hy in ((-1.0, 3.6, 0.5), (1.0, 3.7, -0.7)):
            r2 = ((sign * x - hx) / 1.9) ** 2 + ((y - self.shape.hilum_y - hy) / 2.5) ** 2
            extra += 0.20 * self.shape.anatomy.vessels * np.exp(-(r2**1.2))
        return np.asarray(extra)

    def _abdomen(self, below: Floats) -> Floats:
        """Gas bubble of the stomach and faint bowel gas."""
        a = self.shape.anatomy
        extra = np.float32(0.10) * np.clip(below / 5.0, 0, 1)
        if a.gastric > 0:
            cx, cy = 0.50 * a.half_width, self.shape.left.dome + 1.0 + 0.75 * a.gastric
            r2 = ((self.x - cx) / (1.5 * a.gastric)) ** 2
            r2 += ((self.y - cy) / (0.85 * a.gastric)) ** 2
            level = self.frame.ramp(cy + 0.42 * a.gastric - self.y, 0.3)
            gas = np.sqrt(np.clip(1 - r2 * r2, 0, 1)) * level
            extra = extra - MU_SOFT * 2.6 * np.float32(a.gastric**0.5) * gas
        bowel = np.clip(self.frame.noise(a.seed + 11, 2.6) - 0.9, 0, 1.5)
        return extra - 0.25 * bowel * np.clip((below - 3.5) / 3.0, 0, 1)


def _cut(air: Floats, x: Floats, left: Floats, right: Floats, depth: Floats) -> Floats:
    """Takes a rounded body with the given edges out of the lung."""
    half = 0.5 * (left + right) + 1e-3
    r = np.clip((x - 0.5 * (left - right)) / half, -1, 1)
    r *= r
    # Between ellipse and box: steep at the edge, flat in the middle.
    return np.asarray(np.maximum(air - depth * np.sqrt(1 - r * r), 0))
