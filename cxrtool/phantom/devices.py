"""Support devices of a frontal view: tubes, lines, ports, pacemakers, wires, electrodes.

In: the list of `Device`. Out: attenuation of metal and radio-opaque plastic, added to the drawing.
Positions follow the anatomy (a tracheal tube ends above the carina, a central line in the superior
vena cava).
"""

import numpy as np

from cxrtool.phantom.field import Field
from cxrtool.phantom.params import Device
from cxrtool.phantom.strokes import circle, curve


def draw(field: Field) -> None:
    """Draws all devices."""
    for device in field.params.findings.devices:
        KINDS[device.kind](field, device)


def _sign(d: Device) -> float:
    return 1.0 if d.side == "left" else -1.0


def _endotracheal(field: Field, d: Device) -> None:
    tip = -6.4 + d.dy
    path = curve([(-0.2 + 0.2 * d.dx, -24), (-0.1, -17), (-0.35, -11), (-0.4, tip)], 40)
    for off, peak in ((-0.42, 0.26), (0.42, 0.26), (0.1, 0.50)):
        field.strokes.line(path + np.array([off, 0.0]), 0.09, peak)


def _central_line(field: Field, d: Device) -> None:
    tip = (-2.1, -1.5 + d.dy)
    if d.side == "right":
        corners = [(-5.5 + d.dx, -24), (-4.6, -17), (-3.2, -12), (-2.3, -8), (-2.2, -4.5), tip]
    else:
        corners = [(6 + d.dx, -24), (4.6, -17), (3.2, -12), (0.5, -9), (-1.6, -6.5), tip]
    field.strokes.line(curve(corners, 50), 0.17, 0.78)


def _picc(field: Field, d: Device) -> None:
    s = _sign(d)
    w, top = field.params.anatomy.half_width, field.params.anatomy.apex_y
    arm = [(s * (w + 7), top + 16), (s * (w + 3), top + 7 + d.dy)]
    vein = [(s * 9.5, top + 3.2), (s * 5.0, top + 2.6), (-1.9 if s < 0 else 1.0, -9.0)]
    field.strokes.line(curve([*arm, *vein, (-2.1, -2.0 + d.dy)], 60), 0.16, 0.75)


def _port(field: Field, d: Device) -> None:
    s = _sign(d)
    cx, cy = s * (8.3 + d.dx), -5.4 + d.dy
    field.strokes.line(circle(cx, cy, 1.35), 0.16, 0.95, closed=True)
    field.strokes.line(circle(cx, cy, 0.6, 20), 0.34, 0.75, closed=True)
    corners = [(cx, cy - 1.3), (s * 6.4, -11.0), (s * 4.2, -12.0), (-1.9, -8.5), (-2.1, -1.8)]
    field.strokes.line(curve(corners, 50), 0.12, 0.36)


def _pacemaker(field: Field, d: Device) -> None:
    s = _sign(d)
    cx, cy = s * (9.6 + d.dx), -8.2 + d.dy
    x, y = field.frame.x - np.float32(cx), field.y - np.float32(cy)
    # A flat can with rounded corners and a less dense header.
    r = (np.abs(x) / 2.45) ** 3 + (np.abs(y + 0.1) / 2.1) ** 3
    can = np.clip((1 - r) / max(0.10, 1.5 * field.frame.px / 2.2) + 0.5, 0, 1)
    field.hard += (np.float32(1.5) * can * (0.8 + 0.2 * (y > -1.1))).astype(np.float32)
    heart, floor = field.shape.left.heart.max(), field.shape.left.dome - 0.9
    via = [(cx - s * 0.8, cy - 2.2), (s * 6.0, -11.6), (s * 2.8, -11.2), (-1.6, -8.0), (-2.2, -3.0)]
    for tip in ([(-3.4, 1.5), (-3.0, -0.2)], [(-2.6, 3.5), (1.5, floor), (0.55 * heart, floor)]):
        field.strokes.line(curve([*via, *tip], 70), 0.10, 0.55)
        field.strokes.line(curve(tip[-2:], 8)[-3:], 0.20, 0.60)


def _nasogastric(field: Field, d: Device) -> None:
    floor = field.shape.left.dome
    gullet = [(0.6 + d.dx * 0.3, -24), (0.5, -14), (0.3, -6), (0.7, 2)]
    stomach = [(1.8, floor), (4.2, floor + 3.0), (6.8 + d.dx, floor + 5.2)]
    path = curve([*gullet, *stomach], 70)
    field.strokes.line(path, 0.15, 0.48)
    field.strokes.line(path[-14:], 0.18, 0.35)


def _chest_tube(field: Field, d: Device) -> None:
    s, w = _sign(d), field.params.anatomy.half_width
    outside = [(s * (w + 8), 9.5), (s * (w + 1.5), 6.0 + d.dy)]
    inside = [(s * (0.80 * w), 2.0), (s * (0.66 * w), -4.0), (s * (0.46 * w + d.dx), -9.8)]
    path = curve([*outside, *inside], 60)
    field.strokes.line(path, 0.40, 0.18)
    field.strokes.line(path, 0.09, 0.50)


def _sternotomy(field: Field, d: Device) -> None:
    for i in range(6):
        y = -8.6 + 2.65 * i + 0.2 * d.dy
        x = 0.25 * d.dx * (-1) ** i
        loop = circle(x, y, 0.62, 20)
        loop[:, 1] = y + (loop[:, 1] - y) * 0.62
        field.strokes.line(loop, 0.15, 2.1, closed=True)
        field.strokes.line(np.array([[x + 0.4, y + 0.2], [x + 0.9, y + 0.55]]), 0.15, 2.1)


def _monitor(field: Field, d: Device) -> None:
    w = field.params.anatomy.half_width
    spots = [(-0.80 * w, -9.5), (0.80 * w, -9.0), (0.86 * w, 6.5 + d.dy), (-0.84 * w, 7.0)]
    # The wires leave the field below, gathered somewhere beside the patient.
    out = 0.55 * w * np.sin(5.0 * d.dx + 3.0 * d.dy)
    for i, (x, y) in enumerate(spots):
        x, y = x + 1.2 * d.dx * (-1) ** i, y + 1.0 * d.dy * (-1) ** (i // 2)
        field.strokes.line(circle(x, y, 0.45, 16), 0.32, 1.05, closed=True)
        sag = 0.25 * w * np.sin(7.0 * d.dy + 1.7 * i)
        upper = [(x, y), (0.9 * x + 0.3 * sag, y + 4.0), (0.6 * x + 0.3 * out + sag, 0.5 * y + 8.5)]
        wire = curve([*upper, (0.2 * x + 0.8 * out, 16.0), (out, 23.0)], 60)
        field.strokes.line(wire, 0.075, 0.60)


KINDS = {
    "endotracheal tube": _endotracheal,
    "central line": _central_line,
    "PICC": _picc,
    "port": _port,
    "pacemaker": _pacemaker,
    "nasogastric tube": _nasogastric,
    "chest tube": _chest_tube,
    "sternotomy wires": _sternotomy,
    "monitor leads": _monitor,
}
