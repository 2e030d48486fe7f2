"""The state of a lateral drawing: the outlines of the chest at every pixel.

In: `PhantomParams` and a `Frame`. Out: `LateralField`.
"""

import numpy as np

from cxrtool.phantom.frame import TABLE, Floats, Frame
from cxrtool.phantom.params import PhantomParams, Spot
from cxrtool.phantom.strokes import Strokes


class LateralField:
    """Outlines of a lateral chest, cm.

    Args:
        params: What to draw.
        frame: The grid.

    Attributes:
        x, y: Of every pixel; x from front to back.
        front, back, spine, inner_front, inner_back: x of the skin, the spine and the lung cavity at
            the height of every pixel.
        dome_right, dome_left: Height of the diaphragm at the x of every pixel.
        top_y, dome_y, low_y: Height of the apex, of the right dome and of the lowest lung.
        strokes: Thin lines.
    """

    def __init__(self, params: PhantomParams, frame: Frame) -> None:
        a = params.anatomy
        self.params, self.frame, self.strokes = params, frame, Strokes(frame)
        self.x, self.y = frame.x, frame.y
        top, d = a.apex_y, a.half_depth / 11.0
        at = np.array([-36, top - 6, top - 2.5, top + 1, top + 4, 0, 6, 14, 36])
        skin = d * np.array([-5.0, -4.6, -4.6, -6.6, -8.2, -11.0, -12.2, -12.8, -14])
        self._front = _smooth(np.interp(TABLE, at, skin)) - 0.25 * a.fat
        skin = d * np.array([3.0, 3.4, 6.4, 9.6, 11.4, 12.0, 11.3, 9.6, 8.0])
        back = _smooth(np.interp(TABLE, at, skin)) + 0.30 * a.fat
        self._inner = (self._front + 1.7 + 0.25 * a.fat, back - 1.9 - 0.30 * a.fat)
        spine = back - 4.6 * d - 0.3 * a.fat
        self.front, self.back, self.inner_front, self.inner_back, self.spine = frame.along_y(
            self._front, back, *self._inner, spine
        )
        self.top_y = top
        self.dome_y = a.dome_y - 6.0 * (1.0 - params.acquisition.inspiration)
        self.low_y = self.dome_y + 6.0

        def dome(peak: float, height: float) -> Floats:
            t = TABLE / d - peak
            behind = 7.2 * np.clip(t / 11.5, 0, 1.1) ** 2.3
            return height + np.where(t > 0, behind, 2.6 * np.clip(-t / 8, 0, 1.2) ** 2)

        self.dome_right, self.dome_left = frame.along_x(
            dome(-1.5, self.dome_y), dome(-0.5, self.dome_y + a.dome_gap)
        )

    def front_at(self, y: float) -> tuple[float, float]:
        """x of the skin and of the lung at the front at one height."""
        return float(np.interp(y, TABLE, self._front)), float(np.interp(y, TABLE, self._inner[0]))

    def place(self, spot: Spot) -> tuple[float, float]:
        """The point of a spot."""
        y = self.top_y + spot.v * (self.dome_y - self.top_y)
        f, b = (float(np.interp(y, TABLE, t)) for t in self._inner)
        return f + spot.z * (b - f), y


def _smooth(table: Floats) -> Floats:
    kernel = np.hanning(301)
    padded = np.pad(table, 150, mode="edge")
    return np.convolve(padded, kernel / kernel.sum(), mode="valid")
