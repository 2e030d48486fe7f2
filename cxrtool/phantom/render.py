"""`simulate`: parameters in, radiograph out.

In: `PhantomParams`, a size, a seed. Out: uint8 [H, W], bright where much was absorbed (as
radiographs are shown). The same parameters show the same anatomy at every resolution: below 128 px
the picture is drawn finer and averaged, above 1,024 px the smooth attenuation is enlarged before
noise is added. Counts follow Poisson statistics; scatter is a broad blur of the primary beam that
veils the dense parts; the display takes the logarithm, evens out low frequencies a little (as
digital systems do) and applies a window with a soft toe and shoulder.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, zoom

from cxrtool.phantom.field import MU_LUNG, MU_SOFT
from cxrtool.phantom.frame import Floats, Frame
from cxrtool.phantom.frontal import frontal_attenuation
from cxrtool.phantom.lateral import lateral_attenuation
from cxrtool.phantom.params import Acquisition, PhantomParams
from cxrtool.phantom.strokes import Strokes

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
    noise = np.random.default_rng(params.acquisition.noise_seed if rng is None else rng)
    factor = max(1, -(-COARSEST // min(height, width)))
    frame = Frame(params.acquisition, height * factor, width * factor)
    gray = _develop(params, frame, attenuation(params, frame), noise)
    if factor > 1:
        gray = gray.reshape(height, factor, width, factor).mean(axis=(1, 3))
        frame = Frame(params.acquisition, height, width)
    return _finish(params.acquisition, frame, gray)


def attenuation(params: PhantomParams, frame: Frame) -> Floats:
    """Line integrals of attenuation on the grid of ``frame``, float32 [H, W]."""
    draw = lateral_attenuation if params.view == "LATERAL" else frontal_attenuation
    h, w = frame.shape
    shrink = max(h, w) / FINEST
    if shrink <= 1:
        return draw(params, frame)
    rows, columns = max(1, round(h / shrink)), max(1, round(w / shrink))
    small = draw(params, Frame(params.acquisition, rows, columns))
    factors = (h / rows, w / columns)
    return np.asarray(zoom(small, factors, order=1, mode="nearest", grid_mode=True))


def _levels(params: PhantomParams) -> tuple[float, float]:
    """Attenuation of lung (shown dark) and mediastinum (near white) in this patient when healthy.

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


def _develop(
    params: PhantomParams, frame: Frame, total: Floats, rng: np.random.Generator
) -> Floats:
    """Counts photons behind a total attenuation: float32 [H, W], 0 (black) to 255."""
    q, (lung, dense) = params.acquisition, _levels(params)
    sigma = q.blur / frame.px
    primary = np.exp(-total)
    if sigma > 0.25:
        primary = gaussian_filter(primary, sigma, truncate=3.0)
    # Air around the body would flood the scatter estimate: it does not scatter.
    reference = np.float32(np.exp(-0.5 * (lung + dense)))
    scattering = np.minimum(primary, np.float32(np.exp(-0.8 * lung)))
    seen = primary + np.float32(q.scatter) * _broad(scattering, frame, 4.5)
    per_pixel = np.float32(q.photons * (10 * frame.px) ** 2 / reference)
    counts = seen * per_pixel
    # Poisson for counts in the hundreds and more is a normal with the same variance.
    noise = rng.standard_normal(frame.shape, dtype=np.float32)
    counts = np.maximum(counts + np.sqrt(counts) * noise, 1.0)
    level = np.log(per_pixel) - np.log(counts)
    low = np.float32(lung) - np.log1p(np.float32(q.scatter))
    # The dense parts when the field scatters like its mean.
    mean = np.exp(-(0.45 * lung + 0.55 * dense))
    high = np.float32(-np.log(np.exp(-dense) + q.scatter * mean))
    level = (level - low) / (high - low)
    smooth = _broad(np.clip(level, -0.3, 1.3), frame, 5.0)
    level = level - np.float32(q.equalize) * (smooth - np.float32(0.5))
    v = (level - 0.5) * np.float32(q.contrast) + np.float32(0.5 + q.brightness)
    # A film curve: straight in the middle, with toe and shoulder.
    gray = 1 / (1 + np.exp(-3.3 * (v - np.float32(0.39))))
    return np.asarray(255 * np.clip((gray - 0.07) / 0.93, 0, 1) ** np.float32(q.gamma))


def _broad(image: Floats, frame: Frame, sigma_cm: float) -> Floats:
    """A Gaussian blur of so many cm, done on a small grid if it is wide; edges replicate."""
    step = max(1, int(0.35 * sigma_cm / frame.px))
    h, w = image.shape
    if step == 1:
        return np.asarray(gaussian_filter(image, sigma_cm / frame.px, mode="nearest", truncate=3.0))
    bh, bw = -(-h // step), -(-w // step)
    padded = np.pad(image, ((0, bh * step - h), (0, bw * step - w)), mode="edge")
    small = padded.reshape(bh, step, bw, step).mean(axis=(1, 3))
    small = gaussian_filter(small, sigma_cm / (frame.px * step), mode="nearest", truncate=3.0)
    return np.asarray(_linear(h, step, bh) @ small @ _linear(w, step, bw).T)


def _linear(pixels: int, step: int, n: int) -> Floats:
    """Matrix that interpolates the pixels of an axis from a grid of every step-th, [pixels, n]."""
    at = (np.arange(pixels) + 0.5) / step - 0.5
    weight = 1 - np.abs(np.clip(at, 0, n - 1)[:, None] - np.arange(n)[None, :])
    return np.asarray(np.clip(weight, 0, None), np.float32)


def _finish(q: Acquisition, frame: Frame, gray: Floats) -> NDArray[np.uint8]:
    """Collimator and side marker, rounded to 8 bits."""
    h, w = frame.shape
    if q.marker:
        gray = gray + 235 * np.clip(_marker(q, frame), 0, 1)
    left, top, right, bottom = q.collimation
    rows = (np.arange(h) + 0.5 - h / 2) / frame.unit + 0.5
    cols = (np.arange(w) + 0.5 - w / 2) / frame.unit + 0.5
    keep_r = (rows >= top) & (rows <= 1 - bottom)
    keep_c = (cols >= left) & (cols <= 1 - right)
    gray = np.where(keep_r[:, None] & keep_c[None, :], gray, 3.0)
    return np.clip(np.rint(gray), 0, 255).astype(np.uint8)


def _marker(q: Acquisition, frame: Frame) -> Floats:
    """The lead letter L or R, 0..1."""
    at = 0.90 if q.view == "LATERAL" else 0.91 if q.marker == "L" else 0.07
    left, top, right, _ = q.collimation
    x0 = (np.clip(at, left + 0.04, 1 - right - 0.06) - 0.5) * q.fov
    y0 = (max(0.05, top + 0.03) - 0.5) * q.fov
    paths = [[(0.0, 0.0), (0.0, 1.0), (1.0, 1.0)]]
    if q.marker == "R":
        bowl = [(0, 1), (0, 0), (0.8, 0.02), (1, 0.25), (0.8, 0.5), (0, 0.5)]
        paths = [bowl, [(0.45, 0.5), (1, 1)]]
    strokes = Strokes(Frame(Acquisition(view=q.view, fov=q.fov), *frame.shape))
    for path in paths:
        corners = np.array([x0, y0]) + np.array([0.022 * q.fov, 0.036 * q.fov]) * path
        strokes.line(corners, 0.10, 0.8)
    return strokes.draw()
