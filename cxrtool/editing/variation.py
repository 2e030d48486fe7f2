"""How styles vary with what a CLIP sees, within a patient: a text's direction by regression.

In: a conditional generator with a style space, an image encoder. Out: `Variation`, from which the
direction of any text follows by linear algebra. StyleCLIP's relevance says which channels would
move a text's score, one by one, far outside of what the generator makes: such a direction is a
filter, and what it moves besides is not its business (Haufe et al., NeuroImage 87:96-110, 2014). A
regression of the styles on the score says how they do vary where the score varies: a pattern. To
leave out what belongs to the patient and not to the finding, each latent z is given several label
vectors, and all is measured from its own mean (the fixed-effects estimator: z is the patient). The
scores of observations that the text does not name are regressors too, so that the pattern is that
of the text with those held fixed (compare the conditional manipulation of InterFaceGAN, Shen et
al. 2020).

With e the unit embedding and s the styles, both from the mean of their z, t = e . text and
o = (e . other_1, ..., e . other_K):

    s_c ~ b_c t + a_c . o,    ds_c = sd(t) b_c,   0 where |partial correlation of s_c, t| < beta,

so that s' = s + alpha ds moves the score by about alpha of its own standard deviations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from cxrtool.core.errors import InputError
from cxrtool.editing.directions import Direction
from cxrtool.editing.relevance import Channels, Styles, editable
from cxrtool.training.protocols import ImageEncoder, StyleSpace

PATIENTS = 512
CONDITIONS_EACH = 8
BETA = 0.1
RIDGE = 1e-3  # share of a score's own sum of squares
MAP_PX = 32
_BLOCK = 64


@dataclass(frozen=True)
class Variation:
    """Sums of products over images, each from the mean of its patient.

    Attributes:
        channels: Mean and standard deviation of the styles over all images.
        n: Images.
        embeddings: [D, D] sum of e e'.
        cross: Layer -> [D, C] sum of e s'.
        squares: Layer -> [C] sum of s^2.
        pixels: [D, h, w] sum of e x', x the image at 32 px or less.
        pixel_squares: [h, w] sum of x^2.
    """

    channels: Channels
    n: int
    embeddings: Tensor
    cross: Styles
    squares: Styles
    pixels: Tensor
    pixel_squares: Tensor


@torch.no_grad()
def measure_variation(
    generator: StyleSpace,
    encoder: ImageEncoder,
    sample: Callable[[int, int], Tensor],
    *,
    patients: int = PATIENTS,
    each: int = CONDITIONS_EACH,
    on_block: Callable[[int], None] = lambda _: None,
) -> Variation:
    """Render and embed the images of all patients.

    Args:
        generator: The generator.
        encoder: The CLIP's image tower.
        sample: (first, count) -> w of the patients first..first+count-1 under `each` label vectors,
            [count * each, num_ws, w_dim], those of a patient together.
        patients: How many.
        each: Label vectors of a patient; 1 measures between patients instead.
        on_block: Called with the number of images of a finished block; may raise to stop.
    """
    names = editable(generator)
    total: Styles = {}
    square: Styles = {}
    cross: Styles = {}
    squares: Styles = {}
    shown: Tensor | float = 0.0
    shown_squares: Tensor | float = 0.0
    mean_x: Tensor | float = 0.0
    mean_e: Tensor | float = 0.0
    gram: Tensor | float = 0.0
    at_once = max(1, _BLOCK // each)
    n = patients * each
    for first in range(0, patients, at_once):
        styles = generator.styles(sample(first, min(at_once, patients - first)))
        images = generator.synthesis_from_styles(styles).clamp(-1.0, 1.0)
        e = functional.normalize(encoder.embed_images(images), dim=-1).double()
        mean_e = mean_e + e.sum(dim=0) / n
        inner = _within(e, each)
        gram = gram + inner.T @ inner
        x = pooled(images).flatten(1).double()
        mean_x = mean_x + x.sum(dim=0) / n
        x = _within(x, each)
        shown = shown + inner.T @ x
        shown_squares = shown_squares + x.square().sum(dim=0)
        for name in names:
            s = styles[name].double()
            total[name] = total.get(name, 0.0) + s.sum(dim=0)
            square[name] = square.get(name, 0.0) + s.square().sum(dim=0)
            s = _within(s, each)
            cross[name] = cross.get(name, 0.0) + inner.T @ s
            squares[name] = squares.get(name, 0.0) + s.square().sum(dim=0)
        on_block(len(e))
    mean = {name: value / n for name, value in total.items()}
    std = {
        name: ((square[name] / n - mean[name].square()).clamp_min(0.0) * n / max(1, n - 1)).sqrt()
        for name in names
    }
    assert isinstance(gram, Tensor)
    assert isinstance(mean_e, Tensor)
    assert isinstance(mean_x, Tensor)
    assert isinstance(shown, Tensor)
    assert isinstance(shown_squares, Tensor)
    if each == 1:  # one image a patient: from the mean of all
        gram = gram - n * torch.outer(mean_e, mean_e)
        shown = shown - n * torch.outer(mean_e, mean_x)
        shown_squares = shown_squares - n * mean_x.square()
        for name in names:
            cross[name] = cross[name] - n * torch.outer(mean_e, mean[name])
            squares[name] = squares[name] - n * mean[name].square()
    channels = Channels(_floats(mean), _floats(std))
    side = round(len(mean_x) ** 0.5)
    return Variation(
        channels,
        n,
        gram.float(),
        _floats(cross),
        _floats(squares),
        shown.float().view(-1, side, side),
        shown_squares.float().view(side, side),
    )


def pooled(images: Tensor) -> Tensor:
    """[N, 1, H, W] -> [N, h, w] of `MAP_PX` or less: fine enough to say where something happens."""
    size = min(MAP_PX, images.shape[-1])
    return functional.adaptive_avg_pool2d(images, size)[:, 0]


def _within(x: Tensor, each: int) -> Tensor:
    """[patients * each, K] from the mean of each patient; as they are where each has one."""
    if each == 1:
        return x
    grouped = x.view(-1, each, x.shape[1])
    return (grouped - grouped.mean(dim=1, keepdim=True)).reshape(x.shape)


def _floats(values: Styles) -> Styles:
    return {name: value.float() for name, value in values.items()}


def varied_direction(
    found: Variation,
    text: Tensor,
    others: Tensor | None = None,
    beta: float = BETA,
    share: float = 1.0,
) -> Direction:
    """The direction of a text.

    Args:
        found: The generator's variation in the CLIP's space.
        text: [D] unit direction from the opposite to the target.
        others: [K, D] directions whose scores are held fixed; None for none.
        beta: |partial correlation| from which a channel moves.
        share: How far others are held: slopes between those that leave them free and those that
            hold them.

    Raises:
        InputError: no channel does.
    """
    rows = text[None] if others is None else torch.cat([text[None], others])
    probes = rows.double().to(found.embeddings.device)  # [1 + K, D]
    products = probes @ found.embeddings.double() @ probes.T
    ridge = RIDGE * products.diagonal().clone()
    ridge[0] = 0.0
    inverse = torch.linalg.inv(products + torch.diag(ridge + 1e-12))
    left = 1.0 / inverse[0, 0]  # what of the text's score the other scores do not explain
    spread = (products[0, 0] / found.n).sqrt()
    slopes: Styles = {}
    correlation: Styles = {}
    for name, cross in found.cross.items():
        joint = probes @ cross.double()  # [1 + K, C]
        all_slopes = inverse @ joint
        slope = share * all_slopes[0] + (1.0 - share) * joint[0] / products[0, 0]
        rest = (found.squares[name].double() - (all_slopes * joint).sum(dim=0)).clamp_min(0.0)
        strength = slope * left.sqrt()
        correlation[name] = (strength / (strength.square() + rest + 1e-12).sqrt()).float()
        slopes[name] = (spread * slope).float()
    every = torch.cat(list(correlation.values())).abs()
    kept = int((every >= beta).sum())
    if not kept or not bool(torch.isfinite(every).all()):
        most = float(every.max())
        raise InputError(
            f"no channel of the generator varies with this text (partial correlation {beta:g} or "
            f"more); the highest is {most:.3f}",
            hint=f"use --beta {max(0.0, 0.7 * most):.2f}, or another text",
        )
    change = {
        name: torch.where(correlation[name].abs() >= beta, slopes[name], 0.0) for name in slopes
    }
    return Direction(change, kept, correlation)
