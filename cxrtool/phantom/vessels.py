"""The branching of the lung vessels.

In: a seed. Out: points along a random binary tree that leaves the hila, with radii that shrink at
every branch, in a nominal chest (cm from the hilum, outwards and downwards positive). The same seed
gives the same tree, so a patient keeps his vessels from study to study.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

STEP = 0.42
"""Length of a step along a branch, cm."""


@lru_cache(maxsize=64)
def tree(seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int8]]:
    """Grows the vessels of both lungs.

    Args:
        seed: The patient's texture seed.

    Returns:
        Segments [N, 4] (outwards, down, and the same at the end), radii [N] in cm, and the side of
        each segment [N] (0 right, 1 left).
    """
    rng = np.random.default_rng([seed, 0x7E55])
    # Main branches: two to the upper lobe, two across, three to the base; angle 0 is outwards.
    angles = np.deg2rad([-74, -52, -27, 2, 27, 50, 68, 82])
    side = np.repeat(np.array([0, 1], np.int8), len(angles))
    n = len(side)
    heading = np.tile(angles, 2) + rng.normal(0, 0.10, n)
    radius = np.tile([0.24, 0.27, 0.20, 0.20, 0.25, 0.33, 0.38, 0.28], 2) * rng.uniform(
        0.85, 1.15, n
    )
    place = np.stack([rng.normal(0.1, 0.25, n), rng.normal(0, 0.35, n) + 1.1 * np.sin(heading)], 1)
    bend = rng.normal(0, 0.02, n)
    segments, radii, sides = [], [], []
    for _ in range(40):
        heading = heading + bend + rng.normal(0, 0.05, len(heading))
        move = STEP * np.stack([np.cos(heading), np.sin(heading)], 1)
        segments.append(np.hstack([place, place + move]))
        radii.append(radius)
        sides.append(side)
        place = place + move
        radius = radius * 0.958
        split = rng.random(len(radius)) < 0.17
        turn = rng.choice([-1.0, 1.0], len(radius)) * rng.uniform(0.45, 0.85, len(radius))
        child = 0.72 * radius
        heading = np.concatenate([heading - 0.22 * turn * split, (heading + turn)[split]])
        place = np.concatenate([place, place[split]])
        radius = np.concatenate([np.where(split, 0.90 * radius, radius), child[split]])
        bend = np.concatenate([bend, rng.normal(0, 0.03, int(split.sum()))])
        side = np.concatenate([side, side[split]])
        keep = (radius > 0.035) & (np.abs(place[:, 1]) < 16) & (place[:, 0] > -1.0)
        heading, place, radius = heading[keep], place[keep], radius[keep]
        bend, side = bend[keep], side[keep]
    return np.concatenate(segments), np.concatenate(radii), np.concatenate(sides)


Values = NDArray[np.float64]


def pieces(seed: int, px: float) -> tuple[Values, Values, Values, Values, float]:
    """The tree cut into pieces shorter than a pixel.

    Args:
        seed: As for `tree`.
        px: Side of a pixel, cm.

    Returns:
        Of the middle of each piece: distance outwards and downwards from the hilum [M], cm; 1 on
        the left and -1 on the right [M]; the radius [M], cm; and the length of all pieces, cm.
    """
    segments, radii, side = tree(seed)
    n = max(2, int(np.ceil(STEP / (0.6 * px))))
    t = (np.arange(n) + 0.5) / n
    p = segments[:, None, :2] + (segments[:, 2:] - segments[:, :2])[:, None, :] * t[None, :, None]
    sign = np.repeat(np.where(side == 1, 1.0, -1.0), n)
    return p[..., 0].ravel(), p[..., 1].ravel(), sign, np.repeat(radii, n), STEP / n
