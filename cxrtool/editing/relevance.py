"""Which channel of style space moves an image where, as a CLIP sees it (StyleCLIP, section 6).

In: a generator with a style space and an image encoder. Out: `Relevance`, and from it for a text a
`Direction`, the same for every image. `Relevance` holds mean and deviation of
every channel, and for every channel of the convolutions up to 128 px a unit vector of the CLIP's
space (Patashnik et al. 2021, section 6.2 and appendix B): a channel is set to its mean plus and
minus five deviations in each of 100 images, and the row is the unit mean of the unit differences of
the image embeddings.

The original renders one image a call. Here the network is run up to the channel's layer once for
all its channels, and only the layers behind it are run again, in batches over channels, signs and
images.

A direction changes every channel,

    R_c = row_c . text,   0 where |R_c| < beta,   ds_c = std_c R_c / max |R|,

and the edit is s' = s + alpha ds (Patashnik et al. 2021, equations 4 to 6). A larger beta moves
fewer channels and so less beside what the text says.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from cxrtool.core.errors import InputError
from cxrtool.training.protocols import ImageEncoder, Partial, StyleSpace

STEP = 5.0  # deviations to either side
MOST_PX = 128  # finer layers change texture that no text speaks of
STATISTICS = 100_000  # latents behind mean and deviation
_BLOCK = 1000
BETA = 0.15

Styles = dict[str, Tensor]


@dataclass(frozen=True)
class Channels:
    """Mean and standard deviation of every channel of the editable layers, [C] each."""

    mean: Styles
    std: Styles

    @property
    def count(self) -> int:
        """Channels in all."""
        return sum(len(values) for values in self.std.values())


class Sums(dict[str, Tensor]):
    """Running sums by name."""

    def add(self, name: str, values: Tensor) -> None:
        self[name] = self[name] + values if name in self else values


class Moments:
    """Sums of styles and of their squares, in float64."""

    def __init__(self) -> None:
        self._total, self._square = Sums(), Sums()

    def add(self, styles: Styles) -> None:
        """Add the styles of some images: layer -> [n, C]."""
        for name, values in styles.items():
            self._total.add(name, values.double().sum(dim=0))
            self._square.add(name, values.double().square().sum(dim=0))

    def mean(self, n: int) -> Styles:
        """Over the n images that were added, in float64: layer -> [C]."""
        return {name: total / n for name, total in self._total.items()}

    def channels(self, n: int) -> Channels:
        """Mean and standard deviation over the n images that were added."""
        mean = self.mean(n)
        variance = {k: self._square[k] / n - mean[k].square() for k in mean}
        std = {k: (v.clamp_min(0.0) * n / max(1, n - 1)).sqrt() for k, v in variance.items()}
        return Channels(*({k: v.float() for k, v in part.items()} for part in (mean, std)))


@dataclass(frozen=True)
class Relevance:
    """What the channels do.

    Attributes:
        channels: Their statistics.
        rows: Layer -> [C, D]; each row a unit vector, or 0 for a channel that changes nothing.
    """

    channels: Channels
    rows: Styles


def editable(generator: StyleSpace) -> list[str]:
    """Names of the convolutions up to `MOST_PX`, in order. ToRGB layers only color."""
    return [
        name
        for name, (_, resolution, to_image) in generator.style_layers.items()
        if not to_image and resolution <= MOST_PX
    ]


@torch.no_grad()
def channel_statistics(
    generator: StyleSpace, sample: Callable[[int, int], Tensor], n: int = STATISTICS
) -> Channels:
    """Mean and standard deviation over n latents.

    Args:
        generator: The generator.
        sample: (first, count) -> w of the latents first..first+count-1, [count, num_ws, w_dim].
        n: How many.
    """
    names = editable(generator)
    moments = Moments()
    for first in range(0, n, _BLOCK):
        styles = generator.styles(sample(first, min(_BLOCK, n - first)))
        moments.add({name: styles[name] for name in names})
    return moments.channels(n)


@dataclass(frozen=True)
class ChannelProbe:
    """Images in which channels are moved, and what looks at them.

    Attributes:
        generator: The generator.
        encoder: The CLIP's image tower.
        styles: Layer -> [n, C] of the n images.
        channels: Statistics.
    """

    generator: StyleSpace
    encoder: ImageEncoder
    styles: Styles
    channels: Channels

    @torch.no_grad()
    def rows(
        self,
        name: str,
        *,
        batch: int,
        only: Sequence[int] | None = None,
        on_batch: Callable[[], None] = lambda: None,
    ) -> Tensor:
        """Rows of the channels of one layer.

        Args:
            name: The layer.
            batch: Images in one pass, at most (but at least two).
            only: Channels to compute; None for all.
            on_batch: Called after every pass; may raise to stop.

        Returns:
            [channels, D].
        """
        first = list(self.generator.style_layers).index(name)
        indices = torch.arange(len(self.channels.std[name]))
        if only is not None:
            indices = indices[list(only)]
        n = len(self.styles[name])
        many = min(n, max(1, batch // 2))
        total = Sums()
        for start in range(0, n, many):
            part = {k: s[start : start + many] for k, s in self.styles.items()}
            m = len(part[name])
            prefix = self.generator.advance(self.generator.begin(m), part, 0, first)
            behind = {k: part[k] for k in list(self.generator.style_layers)[first:]}
            sums = []
            for group in indices.split(max(1, batch // (2 * m))):
                vectors = self._ends(prefix, behind, name, group)
                difference = functional.normalize(vectors[0] - vectors[1], dim=-1)
                sums.append(difference.sum(dim=1))
                on_batch()
            total.add(name, torch.cat(sums))
        return functional.normalize(total[name], dim=1)

    def _ends(self, prefix: Partial, styles: Styles, name: str, group: Tensor) -> Tensor:
        """Unit embeddings with a channel at either end: [2, channels, images, D]."""
        g, m = len(group), len(prefix.features)
        times = 2 * g
        group = group.to(prefix.features.device)
        many = {k: s.repeat(times, 1) for k, s in styles.items()}
        layer = many[name].view(2, g, m, -1)
        mean, std = self.channels.mean[name][group], self.channels.std[name][group]
        for k, sign in enumerate((1.0, -1.0)):
            value = (mean + sign * STEP * std)[:, None, None].expand(g, m, 1)
            layer[k].scatter_(2, group[:, None, None].expand(g, m, 1), value)
        features = prefix.features.repeat(times, 1, 1, 1)
        image = None if prefix.image is None else prefix.image.repeat(times, 1, 1, 1)
        first = list(self.generator.style_layers).index(name)
        images = self.generator.advance(Partial(features, image), many, first).image
        assert images is not None
        vectors = functional.normalize(self.encoder.embed_images(images.clamp(-1.0, 1.0)), dim=-1)
        return vectors.view(2, g, m, -1)


@dataclass(frozen=True)
class Direction:
    """A change of style space.

    Attributes:
        change: Layer -> [C], in the units of the styles.
        count: Channels that move.
    """

    change: Styles
    count: int


def relevance_of(matrix: Relevance, text: Tensor) -> Styles:
    """R of every channel for a text: layer -> [C].

    Args:
        matrix: The generator's channels in the CLIP's space.
        text: [D] unit direction from the opposite to the target.
    """
    return {name: rows @ text.to(rows.device) for name, rows in matrix.rows.items()}


def direction(channels: Channels, relevance: Styles, beta: float = BETA) -> Direction:
    """The direction of a text.

    Args:
        channels: Statistics.
        relevance: Layer -> [C].
        beta: |R| from which a channel moves.

    Raises:
        InputError: no channel does; names the beta at which some would.
    """
    every = torch.cat(list(relevance.values()))
    most = float(every.abs().max())
    moves = every.abs() >= beta
    if not moves.any() or most == 0.0:
        raise InputError(
            f"no channel of the generator has a relevance of {beta:g} for this text; the highest"
            f" is {most:.3f}",
            hint=f"use --beta {max(0.0, 0.7 * most):.2f}, or another text",
        )
    moving = torch.where(moves, every, 0.0) / most
    sizes = [len(values) for values in relevance.values()]
    change = {
        name: values * channels.std[name]
        for name, values in zip(relevance, torch.split(moving, sizes), strict=True)
    }
    return Direction(change, int(moves.sum()))


def moved(generator: StyleSpace, w: Tensor, towards: Direction, alpha: float) -> Tensor:
    """Images after the edit: w [N, num_ws, w_dim] -> [N, channels, size, size] in [-1, 1]."""
    styles = dict(generator.styles(w))
    for name, change in towards.change.items():
        styles[name] = styles[name] + alpha * change
    return generator.synthesis_from_styles(styles).clamp(-1.0, 1.0)
