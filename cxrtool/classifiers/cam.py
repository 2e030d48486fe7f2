"""Class activation maps: where a network looks when it sees a finding.

In: a network, images, a label. Out: a map for each image in [0, 1]. Grad-CAM (Selvaraju et al.,
ICCV 2017) as captum computes it, on the deepest layer that still has a grid of `LEAST_CELLS`,
enlarged to the image. Not rectified: a network whose outputs for a rare label are all below zero
would show nothing. A map says where the output is raised most in this image, not why.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from cxrtool.classifiers.architectures import ClassifierNet
from cxrtool.data.images import to_float

LEAST_CELLS = 4
STRENGTH = 0.5  # share of the color where a map is 1


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
        [N, H, H] float32 in [0, 1], each map from its least to its largest value; 0 if all are one.
    """
    from captum.attr import LayerAttribution, LayerGradCam

    x = to_float(torch.from_numpy(np.ascontiguousarray(pixels))).to(device)
    cam = LayerGradCam(network.logits, deepest_grid(network, x[:1]))
    coarse: Tensor = cam.attribute(x, target=label, relu_attributions=False)
    fine: Tensor = LayerAttribution.interpolate(coarse, tuple(pixels.shape[1:]), "bilinear")
    maps = fine.detach().float().cpu().numpy()[:, 0]
    maps = maps - maps.min(axis=(1, 2), keepdims=True)
    top = maps.max(axis=(1, 2), keepdims=True)
    return np.asarray(np.divide(maps, top, out=np.zeros_like(maps), where=top > 0))


@torch.no_grad()
def deepest_grid(network: ClassifierNet, x: Tensor) -> torch.nn.Module:
    """The deepest part of a network whose maps have at least `LEAST_CELLS` a side; else the first.

    Args:
        network: In evaluation mode.
        x: [1, 1, H, H], to see the sizes of maps on.
    """
    trunk: Any = network.trunk
    parts: list[torch.nn.Module] = list(getattr(trunk, "features", trunk).children())
    fitting: list[torch.nn.Module] = []

    def note(part: torch.nn.Module, inputs: Any, output: Tensor) -> None:
        if output.ndim == 4 and output.shape[-1] >= LEAST_CELLS:
            fitting.append(part)

    hooks = [part.register_forward_hook(note) for part in parts]
    try:
        network.logits(x)
    finally:
        for handle in hooks:
            handle.remove()
    return fitting[-1] if fitting else parts[0]


def overlay(pixels: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """Maps laid over images in color.

    Args:
        pixels: [N, H, W] uint8.
        maps: [N, H, W] in [0, 1].

    Returns:
        [N, H, W, 3] uint8.
    """
    from matplotlib import colormaps

    color = colormaps["inferno"](maps)[..., :3]
    gray = (pixels / 255.0)[..., None]
    weight = STRENGTH * np.sqrt(maps)[..., None]
    return np.asarray((255 * (gray * (1 - weight) + color * weight)).round(), dtype=np.uint8)
