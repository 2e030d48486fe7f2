"""Decoding: any common form of radiograph to 8-bit gray at its full size.

In: image files, encoded bytes or arrays. Out: a Pillow image of mode L, and what was converted.

16-bit gray maps its bits linearly to 0..255: as many as the caller says that the set has, else 12
where no value of the image needs more, else 16; transparency is laid over black; an EXIF
orientation is applied; of colour JPEGs only the luma is decoded. On request a JPEG is decoded at
1/2, 1/4 or 1/8 of its size, which the format allows without the full inverse transform; each pixel
is then the mean of its block to within rounding, and a third of the time is saved.
"""

import functools
import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from cxrtool.core.errors import InputError
from cxrtool.core.reading import require_file

#: Larger images are refused as decompression bombs (Pillow's own warning limit).
MAX_PIXELS = 89_478_485
_BOMB = f"more than {MAX_PIXELS:,} pixels (decompression bomb)"
#: Bits that detectors have.
DEPTHS = (8, 10, 12, 14, 16)
#: What Pillow may try. No format that runs another program (EPS) or holds documents.
_FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "GIF", "WEBP", "JPEG2000", "PPM")
#: Pillow's modes of more than gray -> what is said of the conversion.
_COLOURS = dict.fromkeys(("RGB", "YCbCr", "LAB", "HSV"), "colour")
_COLOURS |= {"P": "palette", "CMYK": "CMYK"}
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


_REASONS: dict[type[Exception], str] = {
    Image.DecompressionBombError: _BOMB,
    UnidentifiedImageError: "not an image that can be read",
    FileNotFoundError: "no such image file",
    IsADirectoryError: "a directory where an image file should be",
    PermissionError: "no permission to read",
}


@dataclass(frozen=True)
class Decoded:
    """A gray image.

    Attributes:
        image: Pillow image of mode L, dark = air.
        conversion: What had to be done, "" for 8-bit gray (counted and reported by ``prepare``).
        scale: 1, or 2, 4, 8 where a JPEG was decoded at a part of its size.
        largest: The largest value of 16-bit gray; 0 for all else.
        bits: Bits that the gray of a 16-bit file was divided by; 0 for all else.
        alone: The same image where nobody says how many bits its set has; None = `image`.
    """

    image: Image.Image
    conversion: str = ""
    scale: int = 1
    largest: int = 0
    bits: int = 0
    alone: Image.Image | None = None


def open_gray(
    source: Path | bytes | np.ndarray, at_least: int | None = None, bits: int | None = None
) -> Decoded:
    """Decode one image of any supported form to 8-bit gray.

    Args:
        source: A file, encoded bytes, or gray pixels [H, W] uint8 or uint16.
        at_least: The shorter side that is needed, in pixels: a JPEG may be decoded at a part of its
            size that is not smaller. None for the full size.
        bits: Bits that 16-bit files of this set use; what lies above is white. None for a guess
            from this image alone.

    Raises:
        InputError: Not an image, truncated, a decompression bomb, several frames, or a form without
            a known gray range. Carries ``file`` when ``source`` is a path.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source)
    file = source if isinstance(source, Path) else None
    try:
        if file is None and not source:
            raise InputError("the image is empty (zero bytes)")
        if file is not None:
            require_file(file)
        if file is not None and not file.stat().st_size:
            raise InputError("the file is empty (zero bytes)", file=file)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(file or io.BytesIO(source), formats=_formats()) as image:  # type: ignore[arg-type]
                return _to_gray(image, file, at_least, bits)
    except (Image.DecompressionBombError, OSError, SyntaxError, ValueError, EOFError) as error:
        # Pillow raises all of these for damaged files, depending on where the damage is.
        reasons = (reason for kind, reason in _REASONS.items() if isinstance(error, kind))
        raise InputError(next(reasons, f"damaged image: {error}"), file=file) from None


@functools.cache
def _formats() -> tuple[str, ...]:
    """Those of `_FORMATS` that this Pillow was built with."""
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def largest_value(source: Path | bytes) -> int:
    """The largest value of a 16-bit file; 0 for all else, which is not decoded, and for damage."""
    try:
        with Image.open(source if isinstance(source, Path) else io.BytesIO(source)) as image:
            if not _is_wide(image.mode):
                return 0
        return open_gray(source).largest
    except (InputError, Image.DecompressionBombError, OSError, SyntaxError, ValueError, EOFError):
        return 0


def _is_wide(mode: str) -> bool:
    return mode.startswith("I;16") or mode == "I"


def _to_gray(
    image: Image.Image, file: Path | None, at_least: int | None, bits: int | None
) -> Decoded:
    """Bring an opened Pillow image to mode L."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise InputError(f"{width} x {height} px is {_BOMB}", file=file)
    if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
        raise InputError(f"{image.n_frames} frames where one is expected", file=file)  # type: ignore[attr-defined]
    conversion = "colour" if image.mode == "RGB" and image.format == "JPEG" else ""
    if image.format == "JPEG":
        part = image.size if at_least is None else (at_least, at_least)
        image.draft("L", (min(part[0], width), min(part[1], height)))
    image.load()
    mode = image.mode
    largest, alone = 0, None
    if mode == "L":
        gray: Image.Image = image
    elif _is_wide(mode):
        array = np.asarray(image)
        largest = int(array.max())
        if int(array.min()) < 0 or largest > 65535:
            raise InputError("integer pixels outside 0..65535", file=file)
        array = array.astype(np.uint16, copy=False)
        own = 12 if largest < 1 << 12 else 16
        bits = own if bits is None else bits
        gray, conversion = _divide(array, bits), "16-bit gray"
        # The key of an image does not hang on the others of its set.
        alone = None if bits == own else _divide(array, own)
    elif mode == "1":
        gray, conversion = image.convert("L"), "black and white"
    elif mode in ("LA", "RGBA", "PA", "La", "RGBa") or "transparency" in image.info:
        colour = image.convert("RGBA")
        ground = Image.new("RGBA", colour.size, (0, 0, 0, 255))
        gray = Image.alpha_composite(ground, colour).convert("L")
        conversion = "transparency"
    elif mode in _COLOURS:
        gray, conversion = image.convert("RGB").convert("L"), _COLOURS[mode]
    else:
        raise InputError(f"pixels of mode {mode} have no known gray range", file=file)
    turn = _TURNS.get(_orientation(image))
    if turn is not None:
        gray, alone = gray.transpose(turn), alone and alone.transpose(turn)
        conversion = f"{conversion}, turned by EXIF" if conversion else "turned by EXIF"
    scale = round(width / image.width)
    return Decoded(gray, conversion, scale, largest, (bits or 0) if _is_wide(mode) else 0, alone)


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 where there is none or the tag is damaged."""
    try:
        return int(image.getexif().get(0x0112, 1))
    except (OSError, SyntaxError, ValueError, TypeError, KeyError):
        return 1


def _from_array(array: np.ndarray) -> Decoded:
    if array.ndim != 2 or array.size == 0:
        raise InputError(f"an array of shape {array.shape} where [H, W] is expected")
    if array.size > MAX_PIXELS:
        raise InputError(_BOMB)
    if array.dtype == np.uint8:
        return Decoded(Image.fromarray(np.ascontiguousarray(array)))
    if array.dtype == np.uint16:
        # An opener has already scaled its data to the full range: no guess about 12 bits here.
        return Decoded(_divide(array, 16), "16-bit gray", largest=int(array.max()))
    raise InputError(f"an array of {array.dtype} where uint8 or uint16 is expected")


def _divide(array: np.ndarray, bits: int) -> Image.Image:
    return Image.fromarray(_grays(bits)[array])


@functools.cache
def _grays(bits: int) -> np.ndarray:
    """8-bit gray of every 16-bit value, uint8 [65536]; white where the bits do not reach."""
    top = (1 << bits) - 1
    return np.rint(np.minimum(np.arange(1 << 16), top) * (255.0 / top)).astype(np.uint8)
