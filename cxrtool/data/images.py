"""Pixels in and out: one antialiased kernel, one key, one intensity convention.

In: decoded gray images. Out: uint8 [H, W] at one size, the pixel key of the original, PNG bytes,
and float32 tensors [N, 1, H, W] in [-1, 1]. Nothing else in the package converts intensities,
except adapters of networks that expect another range.

Resizing is Pillow's: whole-pixel box averages down to three times the target (``reducing_gap``,
which its documentation calls almost indistinguishable from direct resampling), then antialiased
bicubic. From 2,500 x 2,000 px to 128 px that stays within 0.15 gray levels of direct resampling on
average (benchmarks/data.py).
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, PngImagePlugin

from cxrtool.data.decoding import Decoded, open_gray
from cxrtool.data.sheet import contact_sheet
from cxrtool.errors import InputError

if TYPE_CHECKING:
    import torch

__all__ = [
    "FITS",
    "KERNEL",
    "Decoded",
    "contact_sheet",
    "decode",
    "encode_png",
    "fit_image",
    "open_gray",
    "pixel_key",
    "read_png",
    "to_float",
    "to_uint8",
]

FITS = ("crop", "pad", "stretch")
#: Recorded in every dataset.json; sets with another kernel do not join.
KERNEL = "pillow-bicubic-antialias-gap3"
_GAP = 3.0
#: zlib level of written PNGs: at 128 px level 1 takes a third of the time of level 6 and 10 % more
#: room. A constant, so that equal pixels give equal files.
PNG_LEVEL = 1
_KEY_PX = 64


def fit_image(image: Image.Image, size: int, fit: str = "crop") -> np.ndarray:
    """Bring a gray image to ``size`` x ``size``.

    Args:
        image: Pillow image of mode L.
        size: Side in pixels.
        fit: ``crop`` (the shorter side becomes ``size``, then the center), ``pad`` (the longer side
            becomes ``size``, black borders) or ``stretch`` (both sides, aspect ratio lost).

    Returns:
        uint8 [size, size].
    """
    width, height = image.size
    if fit == "pad":
        longer = max(width, height)
        inner = (max(1, round(width * size / longer)), max(1, round(height * size / longer)))
        small = _resample(image, inner, (0.0, 0.0, float(width), float(height)))
        out = np.zeros((size, size), np.uint8)
        x, y = (size - inner[0]) // 2, (size - inner[1]) // 2
        out[y : y + inner[1], x : x + inner[0]] = np.asarray(small)
        return out
    if fit == "crop":
        shorter = min(width, height)
        x0, y0 = (width - shorter) / 2, (height - shorter) / 2
        box = (x0, y0, x0 + shorter, y0 + shorter)
    elif fit == "stretch":
        box = (0.0, 0.0, float(width), float(height))
    else:
        raise ValueError(f"unknown fit {fit!r}: one of {FITS}")
    return np.asarray(_resample(image, (size, size), box))


def _resample(
    image: Image.Image, size: tuple[int, int], box: tuple[float, float, float, float]
) -> Image.Image:
    return image.resize(size, Image.Resampling.BICUBIC, box=box, reducing_gap=_GAP)


def pixel_key(image: Image.Image) -> str:
    """Key of an original image that does not depend on how it will be resized.

    SHA-256 of the whole image, squeezed to 64 x 64 px by the kernel above; the first 16 hex digits.
    Blank for an image of one gray value, which identifies nobody.

    Args:
        image: The original, mode L, full size.
    """
    width, height = image.size
    small = _resample(image, (_KEY_PX, _KEY_PX), (0.0, 0.0, float(width), float(height)))
    lowest, highest = small.getextrema()
    if lowest == highest:
        return ""
    return hashlib.sha256(small.tobytes()).hexdigest()[:16]


def decode(
    source: Path | bytes | np.ndarray, size: int | None = None, fit: str = "crop"
) -> np.ndarray:
    """Decode to uint8 gray [H, W], at full size or at ``size``.

    Raises:
        InputError: As `open_gray`.
    """
    image = open_gray(source).image
    return np.asarray(image) if size is None else fit_image(image, size, fit)


def read_png(path: Path, size: int) -> np.ndarray:
    """Read one image of a dataset directory: uint8 [size, size], nothing converted.

    Raises:
        InputError: Missing, damaged, or not 8-bit gray at this size.
    """
    decoded = open_gray(path)
    if decoded.conversion or decoded.image.size != (size, size):
        width, height = decoded.image.size
        what = decoded.conversion or "gray"
        raise InputError(
            f"{width} x {height} px, {what}, where 8-bit gray at {size} x {size} px is expected",
            file=path,
            hint="images of a dataset directory are written by cxr, not by hand: run prepare again",
        )
    return np.asarray(decoded.image)


def encode_png(array: np.ndarray, text: dict[str, str] | None = None) -> bytes:
    """PNG bytes of uint8 gray [H, W]; equal input gives equal bytes.

    Args:
        array: uint8 [H, W].
        text: Text chunks, written in the order of the dictionary.
    """
    if array.dtype != np.uint8 or array.ndim != 2:
        raise ValueError(f"encode_png wants uint8 [H, W], got {array.dtype} {array.shape}")
    info = None
    if text:
        info = PngImagePlugin.PngInfo()
        for key, value in text.items():
            info.add_text(key, value)
    buffer = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(array))
    image.save(buffer, "PNG", compress_level=PNG_LEVEL, pnginfo=info)
    return buffer.getvalue()


def to_float(pixels: Any) -> torch.Tensor:
    """uint8 to the one intensity convention inside.

    Args:
        pixels: uint8 [N, H, W] or [N, 1, H, W], NumPy array or tensor on any device.

    Returns:
        float32 [N, 1, H, W] in [-1, 1], on the device of the input.
    """
    import torch

    tensor = pixels if torch.is_tensor(pixels) else torch.from_numpy(np.array(pixels))
    if tensor.dtype != torch.uint8:
        raise ValueError(f"to_float wants uint8, got {tensor.dtype}")
    if tensor.ndim == 3:
        tensor = tensor.unsqueeze(1)
    return tensor.to(torch.float32) / 127.5 - 1.0


def to_uint8(images: torch.Tensor) -> np.ndarray:
    """The inverse of `to_float`: clamp, round, drop the channel.

    Args:
        images: float [N, 1, H, W] or [N, H, W]; values outside [-1, 1] are clamped.

    Returns:
        uint8 array [N, H, W] in main memory.
    """
    import torch

    if images.ndim == 4:
        if images.shape[1] != 1:
            raise ValueError(f"one channel expected, got {tuple(images.shape)}")
        images = images[:, 0]
    scaled = (images.detach().to(torch.float32) + 1.0) * 127.5
    return scaled.round().clamp(0, 255).to(torch.uint8).cpu().numpy()
