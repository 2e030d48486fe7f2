"""What people and programs do to a picture that leaves it the same picture and no hash."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter


def saved(image: Image.Image, quality: int) -> Image.Image:
    """Through a JPEG file."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("L")


def mirrored(image: Image.Image) -> Image.Image:
    """Left and right exchanged."""
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def cut(image: Image.Image, *shares: float) -> Image.Image:
    """Without so much of the left, upper, right and lower side, at least a pixel where any."""
    sides = (image.width, image.height) * 2
    left, top, right, bottom = (
        max(1, round(share * side)) if share else 0 for share, side in zip(shares, sides)
    )
    return image.crop((left, top, image.width - right, image.height - bottom))


def halved(image: Image.Image) -> Image.Image:
    """To half its size and back."""
    half = (image.width // 2, image.height // 2)
    return image.resize(half, Image.Resampling.BICUBIC).resize(image.size)


def _curve(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Image.Image], Image.Image]:
    def changed(image: Image.Image) -> Image.Image:
        gray = change(np.asarray(image, np.float64))
        return Image.fromarray(gray.round().clip(0, 255).astype(np.uint8))

    return changed


PIXEL = 1e-9  # of a side: one pixel
DISGUISES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "flip": mirrored,
    "1 px off each side": lambda x: cut(x, PIXEL, PIXEL, PIXEL, PIXEL),
    "1 px off one side": lambda x: cut(x, PIXEL, 0, 0, 0),
    "2 % off each side": lambda x: cut(x, 0.02, 0.02, 0.02, 0.02),
    "2 % off two sides": lambda x: cut(x, 0, 0.02, 0.02, 0),
    "3 % brighter": _curve(lambda gray: 1.03 * gray),
    "3 % darker": _curve(lambda gray: 0.97 * gray),
    "more contrast": _curve(lambda gray: 1.15 * (gray - 128) + 128),
    "less contrast": _curve(lambda gray: 0.85 * (gray - 128) + 128),
    "gamma 0.8": _curve(lambda gray: 255 * (gray / 255) ** 0.8),
    "gamma 1.25": _curve(lambda gray: 255 * (gray / 255) ** 1.25),
    "JPEG 75": lambda x: saved(x, 75),
    "half the size and back": halved,
    "blur": lambda x: x.filter(ImageFilter.GaussianBlur(1)),
    "turned by 2 degrees": lambda x: x.rotate(2, Image.Resampling.BICUBIC),
    "flip, crop and JPEG": lambda x: saved(cut(mirrored(x), PIXEL, PIXEL, PIXEL, PIXEL), 75),
}
