"""Sample grids: the same latents under every condition, at every snapshot.

In: a generator, or real pixels, and the conditions to show. Out: PNG bytes. A row is a condition, a
column a latent vector, so that a column shows what the label changes and a file what time changes.
"""

import io

import numpy as np
import torch

from cxrtool.data.images import contact_sheet, to_uint8
from cxrtool.generators.base import GeneratorTrainer
from cxrtool.training.rng import numpy_rng, torch_generator

COLUMNS = 8
SHOWN_PX = 96  # images smaller than this are enlarged by a whole number
Rows = list[tuple[str, np.ndarray]]


@torch.no_grad()
def fake_grid(trainer: GeneratorTrainer, rows: Rows, seed: int) -> bytes:
    """Grid of a generator's images.

    Args:
        trainer: On any device.
        rows: Names and label vectors, from `conditions.picture_rows`.
        seed: Of the latents.

    Returns:
        PNG.
    """
    device = trainer.device
    rng = torch_generator("picture latents", seed)
    z = torch.randn(COLUMNS, trainer.z_dim, generator=rng).to(device)
    conditions = (torch.from_numpy(vector).to(device).expand(COLUMNS, -1) for _, vector in rows)
    return _png([to_uint8(trainer.sample(z, y)) for y in conditions], rows, trainer.size)


def real_grid(
    pixels: np.ndarray, values: np.ndarray, mask: np.ndarray, rows: Rows, seed: int
) -> bytes:
    """Grid of real images with exactly the labels of each row; blank where there are too few.

    Args:
        pixels: uint8 `[N, H, W]`.
        values: `[N, L]`.
        mask: `[N, L]` bool.
        rows: As for `fake_grid`.
        seed: Of the choice.

    Returns:
        PNG.
    """
    rng = numpy_rng("picture reals", seed)
    images = []
    for _, vector in rows:
        fitting = np.flatnonzero((values * mask == vector).all(axis=1))
        chosen = rng.choice(fitting, min(COLUMNS, len(fitting)), replace=False)
        block = np.zeros((COLUMNS, *pixels.shape[1:]), np.uint8)
        block[: len(chosen)] = pixels[np.sort(chosen)]
        images.append(block)
    return _png(images, rows, pixels.shape[1])


def _png(images: list[np.ndarray], rows: Rows, size: int) -> bytes:
    captions = [name if column == 0 else "" for name, _ in rows for column in range(COLUMNS)]
    sheet = contact_sheet(np.concatenate(images), COLUMNS, captions, scale=-(-SHOWN_PX // size))
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG")
    return buffer.getvalue()
