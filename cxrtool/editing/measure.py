"""What an edit did, measured on the images as they are written.

In: images before and after. Out: arrays by name: the images as uint8, cosines with both ends of the
text and with its direction, the difference in gray levels, and a teacher's probabilities.
"""

import numpy as np
import torch
from torch import Tensor

from cxrtool.data.images import to_float, to_uint8
from cxrtool.editing.guide import TextGuide
from cxrtool.training.protocols import Classifier


@torch.no_grad()
def measure(
    before: Tensor, after: Tensor, guide: TextGuide, teacher: Classifier | None
) -> dict[str, np.ndarray]:
    """Measures of N edits.

    Args:
        before: [N, 1, H, W] in [-1, 1].
        after: [N, 1, H, W].
        guide: The text.
        teacher: Reads both, if there is one.
    """
    arrays: dict[str, np.ndarray] = {"before": to_uint8(before), "after": to_uint8(after)}
    for name in ("before", "after"):
        x = to_float(arrays[name]).to(before.device)
        for end, values in zip(("target", "opposite", "direction"), guide.similarity(x)):
            arrays[f"{end}_{name}"] = values.cpu().numpy()
        if teacher is not None:
            arrays[f"teacher_{name}"] = torch.sigmoid(teacher.logits(x)).cpu().numpy()
    arrays["gray_rms"] = gray_rms(arrays["before"], arrays["after"])
    return arrays


def gray_rms(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Root mean square difference of uint8 images [N, H, W], in gray levels: [N]."""
    difference = a.astype(np.float64) - b.astype(np.float64)
    return np.asarray(np.sqrt(np.square(difference).mean(axis=(1, 2))))


def joined(blocks: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Arrays of blocks -> arrays of all images."""
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
