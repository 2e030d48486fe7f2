"""Pixels in and out: one antialiased kernel, one key, one intensity convention.

In: decoded gray images. Out: uint8 [H, W] at one size, the pixel key of the original, PNG bytes,
and float32 tensors [N, 1, H, W] in [-1, 1]. Nothing else in the package converts intensities,
except adapters of networks that expect another range.

Resizing is Pillow's: averages over whole pixels down to three times the target (``reducing_gap``,
which its documentation calls almost indistinguishable from direct resampling), then antialiased
bicubic. From 2,500 x 2,000 px to 128 px the result stays within 0.2 gray levels of direct
resampling on average; a test keeps it so. Decoding is the price of ``prepare``, so an original is
decoded and averaged once, to at least 384 px, and both the key and the image are made from that.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from cxrtool.core.errors import InputError
from cxrtool.data.decoding import open_gray

if TYPE_CHECKING:
    import torch

FITS = ("crop", "pad", "stretch")
#: Recorded in every dataset.json; sets with another kernel do not join.
KERNEL = "pillow-bicubic-antialias-gap3"
_GAP = 3.0
#: zlib level and strategy of written PNGs. Run lengths alone take 0.4 of the time of level 6 and,
#: for radiographs, 10 % less room. Constants, so that equal pixels give equal files.
PNG_LEVEL = 1
_PNG_RLE = 3
_KEY_PX = 64
_SPACE_PX, _CAPTION_PX = 2, 12
#: An original is averaged to this shorter side before its key is taken; three times 128 px.
_BASE_PX = 384


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
        out = np.zeros((size, size), np.uint8)
        x, y = (size - inner[0]) // 2, (size - inner[1]) // 2
        out[y : y + inner[1], x : x + inner[0]] = np.asarray(_resample(image, inner))
        return out
    if fit not in FITS:
        raise ValueError(f"unknown fit {fit!r}: one of {FITS}")
    shorter = min(width, height)
    x0, y0 = (width - shorter) / 2, (height - shorter) / 2
    box = (x0, y0, x0 + shorter, y0 + shorter) if fit == "crop" else None
    return np.asarray(_resample(image, (size, size), box))


def _resample(
    image: Image.Image,
    size: tuple[int, int],
    box: tuple[float, float, float, float] | None = None,
) -> Image.Image:
    return image.resize(size, Image.Resampling.BICUBIC, box=box, reducing_gap=_GAP)


def pixel_key(image: Image.Image) -> str:
    """Key of an original image that does not depend on how it will be resized.

    SHA-256 of the whole image, averaged over blocks and squeezed to 64 x 64 px; the first 16 hex
    digits.
    Blank for an image of one gray value, which identifies nobody. Exact, not perceptual: it finds
    the same file under another name, not the same film scanned twice. A large JPEG and a lossless
    copy of it have different keys, because a JPEG is averaged while it is decoded.

    Args:
        image: The original at full size, mode L.
    """
    small = _averaged(_averaged(image, _BASE_PX), _KEY_PX)
    small = _resample(small, (_KEY_PX, _KEY_PX))
    lowest, highest = small.getextrema()
    return "" if lowest == highest else hashlib.sha256(small.tobytes()).hexdigest()[:16]


def prepared_key(pixels: np.ndarray) -> str:
    """The same key of prepared pixels, uint8 [H, W], as if they were an original."""
    return pixel_key(Image.fromarray(np.ascontiguousarray(pixels)))


def _averaged(image: Image.Image, px: int) -> Image.Image:
    """The image averaged over whole blocks, its shorter side at least ``px`` where it was."""
    factor = min(image.size) // px
    return image.reduce(factor) if factor > 1 else image


class Converted(NamedTuple):
    """An original at the size of a data set.

    Attributes:
        pixels: uint8 [size, size].
        key: See `pixel_key`; the same at every size and fit.
        prepared: The same of `pixels`.
        conversion: What had to be done to get 8-bit gray.
        enlarged: The original was smaller than the size.
        largest: The largest value of 16-bit gray; 0 for all else.
        bits: Bits that 16-bit gray was divided by; 0 for all else.
    """

    pixels: np.ndarray
    key: str
    prepared: str
    conversion: str
    enlarged: bool
    largest: int = 0
    bits: int = 0


def convert(
    source: Path | bytes | np.ndarray, size: int, fit: str = "crop", bits: int | None = None
) -> Converted:
    """Decode an original, take its key, and bring it to ``size``.

    Args:
        source: As for `open_gray`.
        size: Side in pixels.
        fit: As for `fit_image`.
        bits: Bits that 16-bit files of the set use; the key does not depend on it.

    Raises:
        InputError: As `open_gray`.
    """
    decoded = open_gray(source, _BASE_PX, bits)
    base = image = _averaged(decoded.image, _BASE_PX)
    if decoded.alone is not None:
        base = _averaged(decoded.alone, _BASE_PX)
    if _GAP * size > _BASE_PX:  # a larger picture needs more than the key does
        image = open_gray(source, int(_GAP * size)).image if decoded.scale > 1 else decoded.image
    pixels = fit_image(image, size, fit)
    enlarged = min(decoded.image.size) * decoded.scale < size
    keys = pixel_key(base), prepared_key(pixels)
    return Converted(pixels, *keys, decoded.conversion, enlarged, decoded.largest, decoded.bits)


def read_png(path: Path, size: int) -> np.ndarray:
    """Read one image of a dataset directory: uint8 [size, size], nothing converted.

    Raises:
        InputError: Missing, damaged, or not 8-bit gray at this size.
    """
    decoded = open_gray(path)
    if decoded.conversion or decoded.image.size != (size, size):
        width, height = decoded.image.size
        what = decoded.conversion or "gray"
        what = f"{width} x {height} px, {what}, where 8-bit gray at {size} x {size} px is expected"
        hint = "images of a dataset directory are written by cxr, not by hand: run prepare again"
        raise InputError(what, file=path, hint=hint)
    return np.asarray(decoded.image)


def encode_png(array: np.ndarray, text: dict[str, str] | None = None) -> bytes:
    """PNG bytes of uint8 gray [H, W]; equal input gives equal bytes.

    Args:
        array: uint8 [H, W].
        text: Text chunks, written in the order of the dictionary.
    """
    if array.dtype != np.uint8 or array.ndim != 2:
        raise ValueError(f"encode_png wants uint8 [H, W], got {array.dtype} {array.shape}")
    info = PngImagePlugin.PngInfo()
    for key, value in (text or {}).items():
        info.add_text(key, value)
    buffer = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(array))
    image.save(buffer, "PNG", compress_level=PNG_LEVEL, compress_type=_PNG_RLE, pnginfo=info)
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


def quantize(images: torch.Tensor) -> torch.Tensor:
    """The inverse of `to_float` where the images are: clamp, round, drop the channel.

    Args:
        images: float [N, 1, H, W] or [N, H, W]; values outside [-1, 1] are clamped.

    Returns:
        uint8 [N, H, W] on the device of the input.
    """
    import torch

    if images.ndim == 4:
        if images.shape[1] != 1:
            raise ValueError(f"one channel expected, got {tuple(images.shape)}")
        images = images[:, 0]
    scaled = (images.detach().to(torch.float32) + 1.0) * 127.5
    return scaled.round().clamp(0, 255).to(torch.uint8)


def to_uint8(images: torch.Tensor) -> np.ndarray:
    """`quantize`, brought to main memory: uint8 array [N, H, W]."""
    return quantize(images).cpu().numpy()


def contact_sheet(
    images: np.ndarray, columns: int = 8, captions: Sequence[str] | None = None, scale: int = 1
) -> Image.Image:
    """Lay images out in rows on a dark ground.

    Args:
        images: uint8 [N, H, W] (gray) or [N, H, W, 3] (colour).
        columns: Images a row.
        captions: One short text an image, drawn below it; cut where the next one begins, or the row
            ends.
        scale: Whole-number enlargement by repeating pixels, so that nothing is smoothed.

    Raises:
        ValueError: Wrong shape or type, or as many captions as images are not given.
    """
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or not len(images):
        raise ValueError(f"contact_sheet wants uint8 [N, H, W], got {images.dtype} {images.shape}")
    if captions is not None and len(captions) != len(images):
        raise ValueError(f"{len(captions)} captions for {len(images)} images")
    count, height, width = images.shape[:3]
    height, width = height * scale, width * scale
    columns = max(1, min(columns, count))
    rows = -(-count // columns)
    text_px = _CAPTION_PX + _SPACE_PX if captions is not None else 0
    step_x, step_y = width + _SPACE_PX, height + text_px + _SPACE_PX
    mode, ground = ("L", 24) if images.ndim == 3 else ("RGB", (24, 24, 24))
    sheet = Image.new(mode, (columns * step_x + _SPACE_PX, rows * step_y + _SPACE_PX), ground)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=_CAPTION_PX - 2)
    for index, image in enumerate(images):
        x = _SPACE_PX + (index % columns) * step_x
        y = _SPACE_PX + (index // columns) * step_y
        tile = Image.fromarray(image)
        if scale > 1:
            tile = tile.resize((width, height), Image.Resampling.NEAREST)
        sheet.paste(tile, (x, y))
        if captions is not None:
            text, room = captions[index], width
            after = index + 1
            while text and after < count and after % columns and not captions[after]:
                room, after = room + step_x, after + 1
            while text and draw.textlength(text, font=font) > room:
                text = text[:-1]
            ink = 220 if mode == "L" else (220, 220, 220)
            draw.text((x, y + height), text, fill=ink, font=font)
    return sheet
