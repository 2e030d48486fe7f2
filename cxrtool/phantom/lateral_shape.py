"""The outlines of a lateral chest as functions of one coordinate.

In: `PhantomParams`. Out: `LateralShape`, tables on `frame.TABLE` (cm against cm).
"""

from dataclasses import dataclass

import numpy as np

from cxrtool.phantom.frame import TABLE
from cxrtool.phantom.params import PhantomParams
from cxrtool.phantom.shape import Table


@dataclass(frozen=True)
class LateralShape:
    """Outlines of a lateral chest: tables by y (front, back, ...) and by x (domes), cm."""

    front: Table
    back: Table
    spine: Table
    inner_front: Table
    inner_back: Table
    dome_right: Table
    dome_left: Table
    top_y: float
    low_y: float
    dome_y: float

    def place(self, z: float, v: float) -> tuple[float, float]:
        """The point at share z from sternum to back and v from apex to dome."""
        y = self.top_y + v * (self.dome_y - self.top_y)
        f, b = (float(np.interp(y, TABLE, t)) for t in (self.inner_front, self.inner_back))
        return f + z * (b - f), y


def lateral_shape(params: PhantomParams) -> LateralShape:
    """Builds the outlines of a lateral view."""
    a, q = params.anatomy, params.acquisition
    y = TABLE
    top = a.apex_y
    d = a.half_depth / 11.0
    at = np.array([-36, top - 6, top - 2.5, top + 1, top + 4, 0, 6, 14, 36])
    front = np.interp(y, at, d * np.array([-5.0, -4.6, -4.6, -6.6, -8.2, -11.0, -12.2, -12.8, -14]))
    front = _smooth(front) - 0.25 * a.fat
    back = np.interp(y, at, d * np.array([3.0, 3.4, 6.4, 9.6, 11.4, 12.0, 11.3, 9.6, 8.0]))
    back = _smooth(back) + 0.30 * a.fat
    lift = 6.0 * (1.0 - q.inspiration)
    dome = a.dome_y - lift
    spine = back - 4.6 * d - 0.3 * a.fat
    inner_front = front + 1.7 + 0.25 * a.fat
    inner_back = back - 1.9 - 0.30 * a.fat
    x = TABLE / d

    def half_dome(peak: float, height: float) -> Table:
        t = x - peak
        fall = np.where(
            t > 0, 7.2 * np.clip(t / 11.5, 0, 1.1) ** 2.3, 2.6 * np.clip(-t / 8, 0, 1.2) ** 2
        )
        return height + fall

    return LateralShape(
        front=front,
        back=back,
        spine=spine,
        inner_front=inner_front,
        inner_back=inner_back,
        dome_right=half_dome(-1.5, dome),
        dome_left=half_dome(-0.5, dome + a.dome_gap),
        top_y=top,
        low_y=dome + 6.0,
        dome_y=dome,
    )


def _smooth(table: Table) -> Table:
    kernel = np.hanning(301)
    padded = np.pad(table, 150, mode="edge")
    return np.convolve(padded, kernel / kernel.sum(), mode="valid")
