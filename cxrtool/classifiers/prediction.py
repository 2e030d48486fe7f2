"""Apply a network to many images.

In: pixels [N, H, W] uint8. Out: logits, probabilities or features as numpy arrays. The network
always runs on blocks of one size, the last one padded, because the last bits of a forward pass
depend on the batch size.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from cxrtool.data.cache import resized
from cxrtool.data.images import to_float

BLOCK = 64


@torch.no_grad()
def in_blocks(
    function: Callable[[Tensor], Tensor],
    pixels: np.ndarray,
    device: torch.device | str,
    *,
    rows: np.ndarray | None = None,
    advance: Callable[[int], None] | None = None,
) -> np.ndarray:
    """Apply a function of images block by block.

    Args:
        function: [BLOCK, 1, H, W] float32 in [-1, 1] -> [BLOCK, D].
        pixels: [M, H, W] uint8.
        device: Where the function computes.
        rows: [N] positions in `pixels`; None means all.
        advance: Called with the number of images done after each block.

    Returns:
        [N, D] float32.
    """
    rows = np.arange(len(pixels)) if rows is None else rows
    out: list[np.ndarray] = []
    for start in range(0, len(rows), BLOCK):
        part = rows[start : start + BLOCK]
        padded = np.concatenate([part, np.repeat(part[-1:], BLOCK - len(part))])
        x = to_float(torch.from_numpy(np.ascontiguousarray(pixels[padded]))).to(device)
        x = x.contiguous(memory_format=torch.channels_last)
        out.append(function(x)[: len(part)].float().cpu().numpy())
        if advance is not None:
            advance(len(part))
    return np.concatenate(out) if out else np.zeros((0, 0), dtype=np.float32)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Probabilities of logits: float64, without overflow."""
    logits = np.asarray(logits, dtype=np.float64)
    tail = np.exp(-np.abs(logits))
    return np.asarray(np.where(logits >= 0, 1, tail) / (1 + tail))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities of classes that exclude each other: [N, L] -> [N, L] float64."""
    logits = np.asarray(logits, dtype=np.float64)
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def input_pixels(pixels: np.ndarray, size: int) -> np.ndarray:
    """Pixels as they are stored for a network of this input size.

    Larger images are reduced once, by the kernel of `prepare`; a network that wants more than there
    is enlarges by itself, in training as in evaluation.

    Args:
        pixels: [N, H, H] uint8.
        size: Input height and width of the network, px.
    """
    return resized(pixels, min(size, pixels.shape[1]))
