"""Class activation maps: where a network looks when it sees a finding.

In: a network, images, a label. Out: a map for each image in [0, 1]. Grad-CAM (Selvaraju et al.,
ICCV 2017) as captum computes it, on the last layer that still has places, rectified, enlarged to
the image. A map shows what moves the output, not why, and at 64 px it is a few cells wide.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from cxrtool.classifiers.architectures import ClassifierNet
from cxrtool.data.images import to_float


def activation_maps(
    network: ClassifierNet, pixels: np.ndarray, label: int, device: torch.device | str
) -> np.ndarray:
    """Grad-CAM of one output.

    Args:
        network: In evaluation mode, on `device`.
        pixels: [N, H, H] uint8.
        label: Position of the output.
        device: Where to compute.

    Returns:
        [N, H, H] float32 in [0, 1], each map by its own maximum; 0 where nothing speaks for it.
    """
    from captum.attr import LayerAttribution, LayerGradCam

    x = to_float(torch.from_numpy(np.ascontiguousarray(pixels))).to(device)
    cam = LayerGradCam(network.logits, network.last_maps())
    found: Tensor = cam.attribute(x, target=label, relu_attributions=True)
    grown: Tensor = LayerAttribution.interpolate(found, tuple(pixels.shape[1:]), "bilinear")
    maps = grown.detach().float().cpu().numpy()[:, 0]
    top = maps.max(axis=(1, 2), keepdims=True)
    return np.divide(maps, top, out=np.zeros_like(maps), where=top > 0)


def overlay(pixels: np.ndarray, maps: np.ndarray, strength: float = 0.5) -> np.ndarray:
    """Maps laid over images in color.

    Args:
        pixels: [N, H, W] uint8.
        maps: [N, H, W] in [0, 1].
        strength: Share of the color where a map is 1.

    Returns:
        [N, H, W, 3] uint8.
    """
    from matplotlib import colormaps

    color = colormaps["inferno"](maps)[..., :3]
    gray = (pixels / 255.0)[..., None]
    weight = strength * np.sqrt(maps)[..., None]
    return np.asarray((255 * (gray * (1 - weight) + color * weight)).round(), dtype=np.uint8)
