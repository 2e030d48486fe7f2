"""The state of a frontal drawing: what each ray has met so far."""

from dataclasses import dataclass

from cxrtool.phantom.frame import Floats, Frame
from cxrtool.phantom.shape import Shape

MU_SOFT = 0.185
MU_LUNG = 0.042
"""Linear attenuation of soft tissue and of aerated lung at a chest spectrum, 1/cm (effective)."""


@dataclass
class Field:
    """Per-pixel state while a frontal view is drawn.

    Attributes:
        frame: The grid.
        shape: The outlines.
        x: Distance from the midline, signed (patient's left positive), cm.
        ax: Its absolute value.
        y: Height, cm.
        outer: Half-width of the cavity at this height.
        air: Thickness of lung along the ray, cm.
        extra: Attenuation beside soft tissue and lung.
        vessel: How much of the vessels shows (0 where there is no lung or none reach).
    """

    frame: Frame
    shape: Shape
    x: Floats
    ax: Floats
    y: Floats
    left: Floats
    outer: Floats
    slope: Floats
    air: Floats
    extra: Floats
    vessel: Floats

    def wall_distance(self) -> Floats:
        """Distance to the lateral chest wall (positive inside), cm."""
        return (self.outer - self.ax) * self.slope
