"""Where a text acts, and how much an edit strays from there.

In: the variation of styles within patients (`variation.py`), the unit direction of a text. Out: a
`Locality`, whose stray an image is the squared change of pixels outside of where the text acts, as
a multiple of what findings change in a patient's pixels. Where it acts is what the regression of
the pixels on the text's score shows, so that no mask is drawn by hand and no teacher is asked.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from cxrtool.editing.variation import Variation, pooled

TOUCHED = 0.5  # of the largest slope, from which a pixel counts as where the text acts


@dataclass(frozen=True)
class Locality:
    """Weights of pixels.

    Attributes:
        outside: [h, w] in [0, 1], 0 where the text acts.
        usual: Mean squared deviation of a pixel within a patient.
    """

    outside: Tensor
    usual: float

    def stray(self, before: Tensor, after: Tensor) -> Tensor:
        """Images [N, 1, H, W] and their edits -> [N], 0 where only what may change does."""
        return (pooled(after - before) * self.outside).square().mean(dim=(1, 2)) / self.usual


def locality(variation: Variation, text: Tensor) -> Locality:
    """Where a text acts.

    Args:
        variation: The generator's, in the CLIP's space.
        text: [D] unit direction.
    """
    usual = float(variation.pixel_squares.mean()) / variation.n
    return Locality(1.0 - touched(variation, text), max(usual, 1e-12))


def touched(variation: Variation, text: Tensor) -> Tensor:
    """Where a text acts: [h, w] in [0, 1], 1 where pixels change most with its score.

    Args:
        variation: The generator's, in the CLIP's space.
        text: [D] unit direction.
    """
    slopes = torch.einsum("d,dhw->hw", text.to(variation.pixels.device), variation.pixels).abs()
    padded = functional.pad(slopes[None, None], [1] * 4, mode="replicate")
    smooth = functional.avg_pool2d(padded, 3, stride=1)[0, 0]
    return (smooth / (TOUCHED * smooth.max()).clamp_min(1e-12)).clamp(max=1.0)
