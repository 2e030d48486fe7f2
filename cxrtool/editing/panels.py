"""Before, after and difference, side by side.

In: uint8 images before and after [N, H, W]. Out: one picture, an edit a column: above the image
before (and its reconstruction, where it is a real one), below it the image after and the
difference, red where the edit is brighter and blue where it is darker.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from cxrtool.data.sheet import contact_sheet

_FULL = 64.0  # gray levels of difference that give full colour


def difference_colours(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """uint8 [N, H, W] twice -> uint8 [N, H, W, 3]; white is no difference."""
    delta = np.clip((after.astype(np.float32) - before.astype(np.float32)) / _FULL, -1.0, 1.0)
    fade = 255.0 * (1.0 - np.abs(delta))
    red = np.where(delta > 0, 255.0, fade)
    blue = np.where(delta < 0, 255.0, fade)
    return np.stack([red, fade, blue], axis=-1).round().astype(np.uint8)


def panels(
    before: np.ndarray,
    after: np.ndarray,
    captions: list[str],
    original: np.ndarray | None = None,
    scale: int = 1,
) -> Image.Image:
    """The picture described above.

    Args:
        before: uint8 [N, H, W], what the generator makes of the start.
        after: uint8 [N, H, W].
        captions: N short texts, below the differences.
        original: uint8 [N, H, W] real images that `before` reconstructs.
        scale: Whole-number enlargement.
    """
    rows = [] if original is None else [_gray(original)]
    rows += [_gray(before), _gray(after), difference_colours(before, after)]
    blank = [""] * len(before)
    texts = [blank] * (len(rows) - 1) + [captions]
    return contact_sheet(
        np.concatenate(rows),
        columns=len(before),
        captions=[text for row in texts for text in row],
        scale=scale,
    )


def strip(steps: Sequence[tuple[str, np.ndarray]], scale: int = 1) -> Image.Image:
    """The same images step by step: an image a row, a step a column.

    Args:
        steps: Captions and uint8 [N, H, W], equal N.
        scale: Whole-number enlargement.
    """
    columns, n = len(steps), len(steps[0][1])
    tiles = np.stack([images for _, images in steps], axis=1)
    captions = [text if i == n - 1 else "" for i in range(n) for text, _ in steps]
    return contact_sheet(
        tiles.reshape(n * columns, *tiles.shape[2:]),
        columns=columns,
        captions=captions,
        scale=scale,
    )


def _gray(images: np.ndarray) -> np.ndarray:
    return np.repeat(images[..., None], 3, axis=-1)
