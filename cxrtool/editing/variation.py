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

Where a text acts is what the regression of the pixels on its score shows, so that no mask is drawn
by hand and no teacher is asked. The stray of an edit (`Locality`) is the squared change of pixels
outside of there, as a multiple of what findings change in a patient's pixels.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from cxrtool.editing.relevance import Channels, Direction, Moments, Styles, Sums, editable, unmoved
from cxrtool.training.protocols import ImageEncoder, StyleSpace

PATIENTS = 512
CONDITIONS_EACH = 8
BETA = 0.1
RIDGE = 1e-3  # share of a score's own sum of squares
MAP_PX = 32
TOUCHED = 0.5  # of the largest slope, from which a pixel counts as where the text acts
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
    patients: int,
    each: int,
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
    moments = Moments()
    mean = Sums()  # of embeddings and pixels
    products = Sums()  # of embeddings with themselves, pixels ("") and every layer
    powers = Sums()  # of pixels ("") and every layer
    at_once = max(1, _BLOCK // each)
    n = patients * each
    for first in range(0, patients, at_once):
        styles = generator.styles(sample(first, min(at_once, patients - first)))
        images = generator.synthesis_from_styles(styles).clamp(-1.0, 1.0)
        e = functional.normalize(encoder.embed_images(images), dim=-1).double()
        x = pooled(images).flatten(1).double()
        mean.add("e", e.sum(dim=0) / n)
        mean.add("x", x.sum(dim=0) / n)
        inner = _within(e, each)
        products.add("e", inner.T @ inner)
        for name, values in (("", x), *((name, styles[name].double()) for name in names)):
            own = _within(values, each)
            products.add(name, inner.T @ own)
            powers.add(name, own.square().sum(dim=0))
        moments.add({name: styles[name] for name in names})
        on_block(len(e))
    if each == 1:  # one image a patient: from the mean of all
        for name, center in {"": mean["x"], **moments.mean(n)}.items():
            products[name] = products[name] - n * torch.outer(mean["e"], center)
            powers[name] = powers[name] - n * center.square()
        products["e"] = products["e"] - n * torch.outer(mean["e"], mean["e"])
    side = round(len(mean["x"]) ** 0.5)
    cross = {name: products[name].float() for name in names}
    squares = {name: powers[name].float() for name in names}
    pixels, embeddings = products[""].float().view(-1, side, side), products["e"].float()
    pixel_squares = powers[""].float().view(side, side)
    return Variation(moments.channels(n), n, embeddings, cross, squares, pixels, pixel_squares)


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


def varied_direction(
    variation: Variation,
    text: Tensor,
    others: Tensor | None = None,
    beta: float = BETA,
    share: float = 1.0,
) -> Direction:
    """The direction of a text.

    Args:
        variation: The generator's, in the CLIP's space.
        text: [D] unit direction from the opposite to the target.
        others: [K, D] directions whose scores are held fixed; None for none.
        beta: |partial correlation| from which a channel moves.
        share: How far others are held: slopes between those that leave them free and those that
            hold them.

    Raises:
        InputError: no channel does.
    """
    rows = text[None] if others is None else torch.cat([text[None], others])
    probes = rows.double().to(variation.embeddings.device)  # [1 + K, D]
    products = probes @ variation.embeddings.double() @ probes.T
    ridge = RIDGE * products.diagonal().clone()
    ridge[0] = 0.0
    inverse = torch.linalg.inv(products + torch.diag(ridge + 1e-12))
    left = 1.0 / inverse[0, 0]  # what of the text's score the other scores do not explain
    spread = (products[0, 0] / variation.n).sqrt()
    slopes: Styles = {}
    correlation: Styles = {}
    for name, cross in variation.cross.items():
        joint = probes @ cross.double()  # [1 + K, C]
        all_slopes = inverse @ joint
        slope = share * all_slopes[0] + (1.0 - share) * joint[0] / products[0, 0]
        rest = (variation.squares[name].double() - (all_slopes * joint).sum(dim=0)).clamp_min(0.0)
        strength = slope * left.sqrt()
        correlation[name] = (strength / (strength.square() + rest + 1e-12).sqrt()).float()
        slopes[name] = (spread * slope).float()
    every = torch.cat(list(correlation.values())).abs()
    count = int((every >= beta).sum())
    if not count or not bool(torch.isfinite(every).all()):
        raise unmoved(
            f"varies with this text (partial correlation {beta:g} or more)", float(every.max())
        )
    change = {
        name: torch.where(correlation[name].abs() >= beta, slopes[name], 0.0) for name in slopes
    }
    return Direction(change, count)


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
    slopes = torch.einsum("d,dhw->hw", text.to(variation.pixels.device), variation.pixels).abs()
    padded = functional.pad(slopes[None, None], [1] * 4, mode="replicate")
    smooth = functional.avg_pool2d(padded, 3, stride=1)[0, 0]
    touched = (smooth / (TOUCHED * smooth.max()).clamp_min(1e-12)).clamp(max=1.0)
    usual = float(variation.pixel_squares.mean()) / variation.n
    return Locality(1.0 - touched, max(usual, 1e-12))
