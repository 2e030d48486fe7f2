"""A text as one direction of style space, the same for every image (StyleCLIP, section 6).

In: a `Relevance` and the text's unit direction in the CLIP's space. Out: `Direction`: a change of
every channel,

    R_c = row_c . text,   0 where |R_c| < beta,   ds_c = std_c R_c / max |R|,

and the edit s' = s + alpha ds (Patashnik et al. 2021, equations 4 to 6). A larger beta moves fewer
channels and so less beside what the text says. What channels do to other texts can be projected
out of R.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from cxrtool.core.errors import InputError
from cxrtool.editing.relevance import Channels, Relevance, Styles
from cxrtool.training.protocols import StyleSpace

BETA = 0.15
RIDGE = 1e-2  # share of a text's own sum of squares


@dataclass(frozen=True)
class Direction:
    """A change of style space.

    Attributes:
        change: Layer -> [C], in the units of the styles.
        count: Channels that move.
        relevance: Layer -> [C], R before beta.
    """

    change: Styles
    count: int
    relevance: Styles


def relevance_of(matrix: Relevance, text: Tensor) -> Styles:
    """R of every channel for a text: layer -> [C].

    Args:
        matrix: The generator's channels in the CLIP's space.
        text: [D] unit direction from the opposite to the target.
    """
    return {name: rows @ text.to(rows.device) for name, rows in matrix.rows.items()}


def direction(
    channels: Channels,
    relevance: Styles,
    beta: float = BETA,
    others: list[Styles] | None = None,
    share: float = 1.0,
) -> Direction:
    """The direction of a text.

    Args:
        channels: Statistics.
        relevance: Layer -> [C].
        beta: |R| from which a channel moves.
        others: Relevance of each of K other texts: what the kept channels have of these is taken
            out of R, R - share C (C'C + ridge)^-1 C'R with C [kept, K].
        share: Of it that is taken out.

    Raises:
        InputError: no channel does.
    """
    every = torch.cat(list(relevance.values()))
    most = float(every.abs().max())
    moves = every.abs() >= beta
    if not moves.any() or most == 0.0:
        raise InputError(
            f"no channel of the generator has a relevance of {beta:g} for this text; the highest "
            f"is {most:.3f}",
            hint=f"use --beta {max(0.0, 0.7 * most):.2f}, or another text",
        )
    moving = torch.where(moves, every, 0.0)
    if others:
        moving = moving - share * _explained(moving, others)
    moving = moving / moving.abs().max().clamp_min(1e-12)
    sizes = [len(values) for values in relevance.values()]
    change = {
        name: values * channels.std[name]
        for name, values in zip(relevance, torch.split(moving, sizes), strict=True)
    }
    return Direction(change, int(moves.sum()), relevance)


def _explained(moving: Tensor, others: list[Styles]) -> Tensor:
    """The part of [C] that the relevance of other texts explains over its channels not zero."""
    columns = torch.stack([torch.cat(list(other.values())) for other in others], dim=1).double()
    columns = columns * (moving != 0).double()[:, None]
    products = columns.T @ columns
    ridge = RIDGE * products.diagonal().clamp_min(1e-12)
    slopes: Tensor = torch.linalg.solve(products + torch.diag(ridge), columns.T @ moving.double())
    return (columns @ slopes).to(moving.dtype)


def moved(generator: StyleSpace, w: Tensor, towards: Direction, alpha: float) -> Tensor:
    """Images after the edit: w [N, num_ws, w_dim] -> [N, channels, size, size] in [-1, 1]."""
    styles = dict(generator.styles(w))
    for name, change in towards.change.items():
        styles[name] = styles[name] + alpha * change
    return generator.synthesis_from_styles(styles).clamp(-1.0, 1.0)
