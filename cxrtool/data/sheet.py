"""Contact sheets: many small radiographs on one picture, for a person to look at.

In: uint8 images [N, H, W]. Out: a `PIL.Image`.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_GAP_PX = 2
_TEXT_PX = 12


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
    text_px = _TEXT_PX + _GAP_PX if captions is not None else 0
    step_x, step_y = width + _GAP_PX, height + text_px + _GAP_PX
    mode, ground = ("L", 24) if images.ndim == 3 else ("RGB", (24, 24, 24))
    sheet = Image.new(mode, (columns * step_x + _GAP_PX, rows * step_y + _GAP_PX), ground)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=_TEXT_PX - 2)
    for index, image in enumerate(images):
        x = _GAP_PX + (index % columns) * step_x
        y = _GAP_PX + (index // columns) * step_y
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
