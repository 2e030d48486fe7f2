"""From attenuation to an 8-bit picture: scatter, blur, quantum noise, window, collimator, marker.

In: attenuation [H, W] and an `Acquisition`. Out: uint8 [H, W], bright where much was absorbed (as
radiographs are shown). Counts follow Poisson statistics; scatter is a broad blur of the primary
beam that veils the dense parts; the display takes the logarithm, evens out low frequencies a little
(as digital systems do) and applies a window with a soft toe and shoulder.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, zoom

from cxrtool.phantom.frame import Floats, Frame
from cxrtool.phantom.params import PhantomParams
from cxrtool.phantom.strokes import Strokes


def detect(
    params: PhantomParams,
    frame: Frame,
    attenuation: Floats,
    lung_level: float,
    dense_level: float,
    rng: np.random.Generator,
) -> Floats:
    """Counts photons and develops the picture.

    Args:
        params: The image (its acquisition is used).
        frame: The pixel grid.
        attenuation: float32 [H, W].
        lung_level: Attenuation shown dark gray.
        dense_level: Attenuation shown near white.
        rng: Source of the quantum noise.

    Returns:
        float32 [H, W], 0 (black) to 255, not yet rounded.
    """
    q = params.acquisition
    sigma = q.blur / frame.px
    primary = np.exp(-attenuation)
    if sigma > 0.25:
        primary = gaussian_filter(primary, sigma, truncate=3.0)
    # Air around the body would flood the scatter estimate: it does not scatter.
    reference = np.float32(np.exp(-0.5 * (lung_level + dense_level)))
    scattering = np.minimum(primary, np.float32(np.exp(-0.8 * lung_level)))
    seen = primary + np.float32(q.scatter) * broad(scattering, frame, 4.5)
    per_pixel = np.float32(q.photons * (10 * frame.px) ** 2 / reference)
    counts = seen * per_pixel
    # Poisson for counts in the hundreds and more is a normal with the same variance.
    noise = rng.standard_normal(frame.shape, dtype=np.float32)
    counts = np.maximum(counts + np.sqrt(counts) * noise, 1.0)
    level = np.log(per_pixel) - np.log(counts)
    low = np.float32(lung_level) - np.log1p(np.float32(q.scatter))
    high = _with_scatter(dense_level, lung_level, q.scatter)
    level = (level - low) / (high - low)
    level = level - np.float32(q.equalize) * (
        broad(np.clip(level, -0.3, 1.3), frame, 5.0) - np.float32(0.5)
    )
    return _display(level, params)


def _with_scatter(dense: float, lung: float, scatter: float) -> np.float32:
    """Level of the dense parts when the field scatters like its mean."""
    mean = np.exp(-(0.45 * lung + 0.55 * dense))
    return np.float32(-np.log(np.exp(-dense) + scatter * mean))


def _display(level: Floats, params: PhantomParams) -> Floats:
    q = params.acquisition
    v = (level - 0.5) * np.float32(q.contrast) + np.float32(0.5 + q.brightness)
    # A film curve: straight in the middle, with toe and shoulder.
    gray = 1 / (1 + np.exp(-3.3 * (v - np.float32(0.39))))
    return 255 * np.clip((gray - 0.07) / 0.93, 0, 1) ** np.float32(q.gamma)


def broad(image: Floats, frame: Frame, sigma_cm: float) -> Floats:
    """A wide Gaussian blur, done on a small grid; edges replicate.

    Args:
        image: float32 [H, W].
        frame: Its grid.
        sigma_cm: Width, cm.
    """
    step = max(1, int(0.35 * sigma_cm / frame.px))
    h, w = image.shape
    if step == 1:
        return np.asarray(gaussian_filter(image, sigma_cm / frame.px, mode="nearest", truncate=3.0))
    bh, bw = -(-h // step), -(-w // step)
    padded = np.pad(image, ((0, bh * step - h), (0, bw * step - w)), mode="edge")
    small = padded.reshape(bh, step, bw, step).mean(axis=(1, 3))
    small = gaussian_filter(small, sigma_cm / (frame.px * step), mode="nearest", truncate=3.0)
    rows = (np.arange(h) + 0.5) / step - 0.5
    cols = (np.arange(w) + 0.5) / step - 0.5
    return np.asarray(_linear(rows, bh) @ small @ _linear(cols, bw).T)


def _linear(at: NDArray[np.float64], n: int) -> Floats:
    """Matrix of linear interpolation, [len(at), n]."""
    weight = 1 - np.abs(np.clip(at, 0, n - 1)[:, None] - np.arange(n)[None, :])
    return np.asarray(np.clip(weight, 0, None), np.float32)


def finish(params: PhantomParams, frame: Frame, gray: Floats) -> NDArray[np.uint8]:
    """Collimator and side marker, rounded to 8 bits."""
    q = params.acquisition
    h, w = frame.shape
    gray = gray + 235 * np.clip(marker(params, frame), 0, 1)
    left, top, right, bottom = q.collimation
    rows = (np.arange(h) + 0.5 - h / 2) / frame.unit + 0.5
    cols = (np.arange(w) + 0.5 - w / 2) / frame.unit + 0.5
    keep_r = (rows >= top) & (rows <= 1 - bottom)
    keep_c = (cols >= left) & (cols <= 1 - right)
    gray = np.where(keep_r[:, None] & keep_c[None, :], gray, 3.0)
    return np.clip(np.rint(gray), 0, 255).astype(np.uint8)


def marker(params: PhantomParams, frame: Frame) -> Floats:
    """The lead letter L or R, 0..1."""
    q = params.acquisition
    if not q.marker:
        return np.zeros(frame.shape, np.float32)
    at = 0.91 if q.marker == "L" else 0.07
    if q.view == "LATERAL":
        at = 0.90
    left, top, right, _ = q.collimation
    x0 = (np.clip(at, left + 0.04, 1 - right - 0.06) - 0.5) * q.fov
    y0 = (max(0.05, top + 0.03) - 0.5) * q.fov
    width, height = 0.022 * q.fov, 0.036 * q.fov
    if q.marker == "L":
        paths: list[list[tuple[float, float]]] = [[(0, 0), (0, 1), (1, 1)]]
    else:
        paths = [
            [(0, 1), (0, 0), (0.8, 0.02), (1, 0.25), (0.8, 0.5), (0, 0.5)],
            [(0.45, 0.5), (1, 1)],
        ]
    upright = Frame(type(q)(view=q.view, fov=q.fov), *frame.shape)
    strokes = Strokes(upright)
    for path in paths:
        corners = np.array([(x0 + width * px, y0 + height * py) for px, py in path])
        strokes.line(corners, 0.10, 0.8)
    return strokes.draw()


def resample(image: Floats, shape: tuple[int, int]) -> Floats:
    """Enlarges a smooth field to a larger grid (linear)."""
    factors = (shape[0] / image.shape[0], shape[1] / image.shape[1])
    return np.asarray(zoom(image, factors, order=1, mode="nearest", grid_mode=True))
