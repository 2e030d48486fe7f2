"""Relevance of all channels at once, to first order.

In: a generator, an encoder, a text. Out: an estimate of R_c of every channel from gradients: one
vector-Jacobian product an image for the text, and a few with random vectors. With J_ci the
derivative of image i's unit embedding by channel c, a small move of the channel changes it by
v = J_ci std_c, and

    R_c ~ mean_i(text . v / |v|) / |mean_i v / |v||,

where norms come from random r ~ N(0, I): E (r . v)^2 = |v|^2. The exact rows move a channel by ten
deviations, over which a network is not straight: the estimate counts only where its order of the
channels agrees with the exact one (`agreement`).
"""

from collections.abc import Callable

import torch
from scipy.stats import spearmanr
from torch import Tensor
from torch.nn import functional

from cxrtool.editing.relevance import ChannelProbe, Styles
from cxrtool.training.rng import torch_generator

PROBES = 16
LEAST_AGREEMENT = 0.9
LEAST_CHANNELS = 20  # a rank correlation over fewer shows nothing


def first_order(
    probe: ChannelProbe,
    text: Tensor,
    *,
    batch: int,
    seed: int,
    on_batch: Callable[[], None] = lambda: None,
) -> Styles:
    """Estimate of R, layer -> [C].

    Args:
        probe: The images; its networks are frozen.
        text: [D] unit.
        batch: Images in one pass.
        seed: Of the random vectors.
        on_batch: Called after every pass; may raise to stop.
    """
    std, styles = probe.channels.std, probe.styles
    names = list(std)
    rng = torch_generator("first order", seed)
    probes = torch.randn(PROBES, len(text), generator=rng).to(text.device)
    n = len(styles[names[0]])
    along = {name: torch.zeros_like(std[name]) for name in names}
    across = {name: torch.zeros(PROBES, len(along[name]), device=text.device) for name in names}
    for start in range(0, n, batch):
        part = {k: s[start : start + batch].detach() for k, s in styles.items()}
        for name in names:
            part[name] = part[name].clone().requires_grad_()
        images = probe.generator.synthesis_from_styles(part).clamp(-1.0, 1.0)
        vectors = functional.normalize(probe.encoder.embed_images(images), dim=-1)
        inputs = [part[name] for name in names]
        slopes = []
        for vector in (text, *probes):
            projected = (vectors @ vector).sum()
            slopes.append(torch.autograd.grad(projected, inputs, retain_graph=True))
            on_batch()
        for k, name in enumerate(names):
            scaled = torch.stack([slope[k] for slope in slopes]) * std[name]
            norm = scaled[1:].square().mean(dim=0).sqrt().clamp_min(1e-12)
            unit = scaled / norm
            along[name] += unit[0].sum(dim=0)
            across[name] += unit[1:].sum(dim=1)
    lengths = {name: sums.square().mean(dim=0).sqrt() for name, sums in across.items()}
    return {name: along[name] / lengths[name].clamp_min(1e-12) for name in names}


def agreement(estimate: Tensor, exact: Tensor) -> float:
    """Spearman's rank correlation of [C] and [C]; NaN for fewer than three channels."""
    if len(estimate) < 3:
        return float("nan")
    return float(spearmanr(estimate.cpu().numpy(), exact.cpu().numpy()).statistic)
