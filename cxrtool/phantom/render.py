"""`simulate`: parameters in, radiograph out.

In: `PhantomParams`, a size, a seed. Out: uint8 [H, W]. The same parameters show the same anatomy at
every resolution: below 128 px the picture is drawn finer and averaged, above 1,024 px the smooth
attenuation is enlarged before noise is added.
"""

import numpy as np
from numpy.typing import NDArray

from cxrtool.phantom import detector
from cxrtool.phantom.field import MU_LUNG, MU_SOFT
from cxrtool.phantom.frame import Floats, Frame
from cxrtool.phantom.frontal import frontal_attenuation
from cxrtool.phantom.lateral import lateral_attenuation
from cxrtool.phantom.params import PhantomParams

FINEST = 1024
"""Longest side on which attenuation is computed; larger pictures are enlarged from it."""
COARSEST = 128


def simulate(
    params: PhantomParams,
    size: int | tuple[int, int] = 128,
    rng: np.random.Generator | int | None = None,
) -> NDArray[np.uint8]:
    """Makes one radiograph.

    Args:
        params: What to show.
        size: Side of a square picture, or (rows, columns).
        rng: Generator or seed of the quantum noise; default: the seed in the parameters.

    Returns:
        uint8 [H, W], bright where much was absorbed.
    """
    height, width = (size, size) if isinstance(size, int) else size
    if rng is None:
        rng = params.acquisition.noise_seed
    if not isinstance(rng, np.random.Generator):
        rng = np.random.default_rng(rng)
    factor = max(1, -(-COARSEST // min(height, width)))
    frame = Frame(params.acquisition, height * factor, width * factor)
    total = attenuation(params, frame)
    low, high = _levels(params)
    gray = detector.detect(params, frame, total, low, high, rng)
    if factor > 1:
        gray = gray.reshape(height, factor, width, factor).mean(axis=(1, 3))
        frame = Frame(params.acquisition, height, width)
    return detector.finish(params, frame, gray)


def attenuation(params: PhantomParams, frame: Frame) -> Floats:
    """Line integrals of attenuation on the grid of ``frame``, float32 [H, W]."""
    draw = lateral_attenuation if params.view == "LATERAL" else frontal_attenuation
    h, w = frame.shape
    shrink = max(h, w) / FINEST
    if shrink <= 1:
        return draw(params, frame)
    small = Frame(params.acquisition, max(1, round(h / shrink)), max(1, round(w / shrink)))
    return detector.resample(draw(params, small), (h, w))


def _levels(params: PhantomParams) -> tuple[float, float]:
    """Attenuation of lung and of the mediastinum in this patient when healthy.

    The display window hangs on these and not on the picture, so that a finding changes the picture
    where the finding is.
    """
    a = params.anatomy
    if params.view == "LATERAL":
        depth, lung = 2.0 * a.half_width + 1.5 * a.fat, 1.45 * a.half_width
    else:
        depth, lung = 2.0 * (a.half_depth + 0.35 * a.fat), 1.5 * a.half_depth
    low = MU_SOFT * (depth - lung) + MU_LUNG * lung
    return low - 0.30, MU_SOFT * depth + 0.35
