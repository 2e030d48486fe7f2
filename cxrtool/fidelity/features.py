"""Feature spaces that need no training of ours: random networks; Inception and RAD-DINO by path.

In: images [N, 1, H, W] in [-1, 1]. Out: features [N, D]. Untrained networks separate images by
texture, contrast and coarse layout (Naeem et al., ICML 2020, use a random VGG16 where no trained
network fits the domain). Distances in it are comparable between sets of images on the same seed and
size alone, and are never an FID.
"""

from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cxrtool.core.errors import InputError, sentence_of
from cxrtool.core.extras import install_hint

_WIDTHS = (16, 32, 48, 64)
_LAYOUT = 2  # the last layer is read on a 2 x 2 grid: apex, base, left, right
SIZE = 64


class RandomFeatures(nn.Module):
    """Four random convolutions with averaging between them, read at every depth.

    Args:
        seed: Fixes the weights.

    Attributes:
        name: How reports call the space.
        dim: D.
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        rng = torch.Generator().manual_seed(seed)
        self.filters = nn.ParameterList()
        for n_in, n_out in pairwise((1, *_WIDTHS)):
            weight = torch.randn(n_out, n_in, 3, 3, generator=rng) * (2 / (9 * n_in)) ** 0.5
            self.filters.append(nn.Parameter(weight, requires_grad=False))
        self.name = f"untrained random CNN, seed {seed}"
        self.dim = sum(_WIDTHS[:-1]) + _WIDTHS[-1] * _LAYOUT**2

    def forward(self, x: Tensor) -> Tensor:
        """[N, 1, H, W] in [-1, 1] -> [N, D]."""
        if x.shape[-2:] != (SIZE, SIZE):
            x = F.interpolate(x, (SIZE, SIZE), mode="bilinear", align_corners=False, antialias=True)
        read = []
        for i, weight in enumerate(self.filters):
            x = F.leaky_relu(F.conv2d(x, weight, padding=1), 0.2)
            if i < len(self.filters) - 1:
                read.append(x.mean(dim=(2, 3)))
                x = F.avg_pool2d(x, 2)
        read.append(F.adaptive_avg_pool2d(x, _LAYOUT).flatten(1))
        return torch.cat(read, dim=1)


class RandomVgg16(nn.Module):
    """VGG16's convolutions with seeded random weights, averaged over places.

    Naeem et al. (ICML 2020, section 4.3) find a random VGG16 to serve where ImageNet's features do
    not fit the domain.

    Args:
        seed: Fixes the weights.

    Attributes:
        name: How reports call the space.
        dim: D = 512.
    """

    dim = 512

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        from torchvision.models import vgg16

        self.trunk = vgg16(weights=None).features
        rng = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for module in self.trunk:
                if isinstance(module, nn.Conv2d):
                    fan_in = module.weight[0].numel()
                    draw = torch.randn(module.weight.shape, generator=rng)
                    module.weight.copy_(draw * (2 / fan_in) ** 0.5)
                    assert module.bias is not None
                    module.bias.zero_()
        self.name = f"random VGG16, seed {seed}"  # which reads at most SIZE px

    def forward(self, x: Tensor) -> Tensor:
        """[N, 1, H, W] in [-1, 1] -> [N, D]."""
        size = min(max(x.shape[-1], SIZE // 2), SIZE)  # 32 px leave one place at the end
        if x.shape[-2:] != (size, size):
            x = F.interpolate(x, (size, size), mode="bilinear", align_corners=False, antialias=True)
        features: Tensor = self.trunk(x.expand(-1, 3, -1, -1)).mean(dim=(2, 3))
        return features


class Inception(nn.Module):
    """The Inception network of the FID, from a local file of its weights.

    torch-fidelity's form with its own resizing to 299 px; its file is
    `weights-inception-2015-12-05-6726825d.pth`. The Fréchet distance in this space is the FID.

    Args:
        weights: The file.

    Raises:
        InputError: torch-fidelity is missing, or the file holds other weights.
    """

    dim = 2048
    name = "Inception (FID)"

    def __init__(self, weights: Path) -> None:
        super().__init__()
        try:
            from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
        except ImportError:
            raise InputError("--inception needs torch-fidelity", hint=install_hint("fid")) from None
        try:
            torch.load(weights, map_location="cpu", weights_only=True)
            self.net: Any = FeatureExtractorInceptionV3("inception", ["2048"], str(weights))
        except Exception as error:  # whatever the file holds
            raise InputError(f"no Inception weights: {sentence_of(error)}", file=weights) from None

    def forward(self, x: Tensor) -> Tensor:
        """[N, 1, H, W] in [-1, 1] -> [N, 2048]."""
        gray = ((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        features: Tensor = self.net(gray.expand(-1, 3, -1, -1).contiguous())[0]
        return features.flatten(1)


class RadDino(nn.Module):
    """RAD-DINO, a ViT-B/14 trained on chest radiographs alone, from a local file of its weights.

    Pérez-García et al., "Exploring scalable medical image encoders beyond text supervision", Nature
    Machine Intelligence 2025. The file is `backbone_compatible.safetensors` of the model's page
    (DINOv2's own names of parameters). Gray levels are standardized by mean .5307 and deviation
    .2583 (its preprocessor's), images read at 518 px (bicubic); the class token
    after the last norm is the feature.

    Args:
        weights: The file.

    Raises:
        InputError: The file holds other weights.
    """

    dim = 768
    name = "RAD-DINO, 518 px"
    size = 518
    mean, std = 0.5307, 0.2583  # of gray levels in [0, 1]

    def __init__(self, weights: Path) -> None:
        super().__init__()
        from safetensors.torch import load_file
        from timm.models.vision_transformer import vit_base_patch14_dinov2

        self.net: Any = vit_base_patch14_dinov2(pretrained=False)
        try:
            state = load_file(weights)
            state.pop("mask_token", None)  # of its training alone
            self.net.load_state_dict(state)
        except Exception as error:  # whatever the file holds
            raise InputError(
                f"no RAD-DINO weights: {sentence_of(error)}",
                file=weights,
                hint="give backbone_compatible.safetensors of microsoft/rad-dino",
            ) from None

    def forward(self, x: Tensor) -> Tensor:
        """[N, 1, H, W] in [-1, 1] -> [N, 768]."""
        gray = (x.clamp(-1, 1) + 1) / 2
        gray = F.interpolate(
            gray, (self.size, self.size), mode="bicubic", align_corners=False, antialias=True
        )
        gray = (gray.clamp(0, 1) - self.mean) / self.std
        features: Tensor = self.net.forward_features(gray.expand(-1, 3, -1, -1))[:, 0]
        return features
