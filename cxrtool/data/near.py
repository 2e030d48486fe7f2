"""Near copies: one picture behind two images that no hash joins.

In: images of two sets. Out: the pairs in which one is the other after a flip, a crop, another
brightness or contrast, a lossy save, a resize or a blur.

All films of the chest are alike, so that a small distance alone says little: at 32 px another
patient's film is often nearer than the same film with 2 % cut off. A pair is therefore looked at
twice. First all pairs, coarsely: local contrast at 20 px, mirrored too and at three zooms. Then the
few best, closely: one image is brought onto the other by an affine map (Lucas & Kanade 1981, by
Gauss-Newton), and what counts is the correlation of the finest details, lung markings and edges of
ribs, which two films of one patient do not share either.

Local contrast is what is left when the blurred image is subtracted and the result divided by its
own blurred deviation: it hardly changes with brightness, contrast or gamma.

Sources: benchmarks/near_copies.py measures which disguises are recognized, how many images of clean
sets are listed, and what it costs.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cxrtool.core.progress import progress

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.int64]
Halves = tuple[Floats, Floats]

#: (side in pixels, least correlation of fine details of one picture), by the smaller of two images:
#: the smaller they are, the more alike are two films. Measured on NIH and the brain slices; the
#: rates that are reported are those of the other sets.
LIKENESS = ((48, 0.95), (32, 0.975), (24, 0.99))
COARSE_PX, FINE_PX = 20, 64
ZOOMS = (1.0, 0.97, 1.03)
CANDIDATES = 3  # pairs of an image that are looked at closely
PLAUSIBLE = 0.8  # least coarse correlation of such a pair
QUERIES, GALLERY, PAIRS = 8192, 1024, 64  # coarse images, or pairs, that are held at once
_PIXELS = 1 << 23  # that are read at once
STEPS = 6  # of the alignment
_BORDER = 3  # pixels of the edge that say nothing, since the map may leave the image
_NOISE = 2.0  # gray levels of local deviation that count as none
_RIDGE = 0.6  # keeps the alignment still where an image has no structure
_LARGEST_STEP = 2.0  # pixels at the edge


@dataclass(frozen=True, order=True)
class Pair:
    """Two images of one picture.

    Attributes:
        row: Position among the images asked about.
        other: Position among the images that they are compared with.
        likeness: Correlation of their fine details, at most 1.
        mirrored: Whether one is the other's mirror image.
    """

    row: int
    other: int
    likeness: float
    mirrored: bool


def near_copies(
    images: Bytes,
    rows: Rows,
    gallery: Bytes,
    gallery_rows: Rows,
    *,
    likeness: float | None = None,
) -> list[Pair]:
    """Look for each image among others; memory does not grow with their number.

    Args:
        images: uint8 [M, H, H], such as a memory map.
        rows: Which of them are asked about [n].
        gallery: uint8 [M', H', H'], of any size.
        gallery_rows: Which of them they are compared with [n'].
        likeness: Least likeness of a pair; None for that of `LIKENESS`. Images of less than 24 px
            are too small to tell one film from another: they have no near copies.

    Returns:
        The most alike pair of each image that has one, in the order of `rows`; positions are those
        of `images` and `gallery`.
    """
    if likeness is None:
        side = min(images.shape[1], gallery.shape[1])
        likeness = next((least for px, least in LIKENESS if side >= px), None)
        if likeness is None:
            return []
    pairs: list[Pair] = []
    blocks = range(0, len(rows), QUERIES)
    total = len(blocks) * len(gallery_rows)
    with progress("looking for near copies", total=total) as bar:
        for start in blocks:
            own = rows[start : start + QUERIES]
            coarse = _coarse(images, own)
            asked = [_halves(_zoomed(coarse, zoom)) for zoom in ZOOMS]
            best = _Best(len(own))
            for at in range(0, len(gallery_rows), GALLERY):
                others = gallery_rows[at : at + GALLERY]
                best.look(asked, _halves(_coarse(gallery, others)), at)
                bar.advance(len(others))
            pairs += _pairs(images, own, asked, gallery, gallery_rows, best, likeness)
    return pairs


class _Best:
    """The most alike images of a growing gallery, by coarse correlation: P pairs, sorted.

    Attributes:
        index: Number of the image that is asked about [P].
        other: Positions in the gallery [P].
        score: [P].
    """

    def __init__(self, n: int) -> None:
        self.index, self.other = np.empty(0, np.int64), np.empty(0, np.int64)
        self.score = np.empty(0, np.float32)
        self._least = np.full(n, PLAUSIBLE, np.float32)  # what a pair must exceed to get in

    def look(self, asked: Sequence[Halves], block: Halves, at: int) -> None:
        """Compare with a block of the gallery that begins at a position."""
        highest = np.full((len(self._least), len(block[0])), -1, np.float32)
        for even, odd in asked:
            # Of the two signs, that of the more alike one: the image or its mirror image.
            score = odd @ block[1].T
            np.abs(score, out=score)
            score += even @ block[0].T
            np.maximum(highest, score, out=highest)
        index, other = np.nonzero(highest > self._least[:, None])
        if not len(index):
            return
        index = np.concatenate([self.index, index])
        score = np.concatenate([self.score, highest[index[len(self.index) :], other]])
        other = np.concatenate([self.other, other + at])
        order = np.lexsort((other, -score, index))
        index = index[order]
        rank = np.arange(len(index)) - np.searchsorted(index, index)
        order = order[rank < CANDIDATES]
        self.index, self.other, self.score = index[rank < CANDIDATES], other[order], score[order]
        full = np.searchsorted(self.index, np.arange(len(self._least)), "right") - 1
        whole = np.bincount(self.index, minlength=len(self._least)) == CANDIDATES
        self._least[whole] = self.score[full[whole]]


def _pairs(
    images: Bytes,
    own: Rows,
    asked: Sequence[Halves],
    gallery: Bytes,
    gallery_rows: Rows,
    best: _Best,
    least: float,
) -> list[Pair]:
    """Of the plausible pairs of a block, the most alike one of each image."""
    alike: dict[int, Pair] = {}
    for start in range(0, len(best.index), PAIRS):
        index = best.index[start : start + PAIRS]
        others = gallery_rows[best.other[start : start + PAIRS]]
        theirs = np.asarray(gallery[others])
        even, odd = _halves(_reduced(theirs, COARSE_PX))
        same = np.stack([(part[0][index] * even).sum(axis=1) for part in asked])
        opposite = np.stack([(part[1][index] * odd).sum(axis=1) for part in asked])
        zoom = (same + np.abs(opposite)).argmax(axis=0)
        mirrored = opposite[zoom, np.arange(len(index))] < 0
        ours = np.asarray(images[own[index]])
        ours[mirrored] = ours[mirrored][:, :, ::-1]
        side = min(FINE_PX, ours.shape[1], theirs.shape[1])
        zooms = np.array(ZOOMS, np.float32)[zoom]
        scores = likenesses(_reduced(ours, side), _reduced(theirs, side), zooms)
        for p in np.flatnonzero(scores >= least):
            pair = Pair(int(own[index[p]]), int(others[p]), float(scores[p]), bool(mirrored[p]))
            earlier = alike.get(pair.row)
            if earlier is None or earlier.likeness < pair.likeness:
                alike[pair.row] = pair
    return sorted(alike.values())


def likenesses(ours: Floats, theirs: Floats, zooms: Floats) -> Floats:
    """Correlation of fine details of pairs, after one image was brought onto the other.

    Args:
        ours: [B, n, n] gray levels.
        theirs: [B, n, n], what is moved onto them.
        zooms: [B], how much larger `ours` shows things at the start.

    Returns:
        [B] in [-1, 1]; 0 for images without structure.
    """
    start = (1 / zooms).astype(np.float32)
    moved = _warped(theirs, _aligned(_relief(ours, 1, 5), _relief(theirs, 1, 5), start))
    inner = slice(_BORDER, -_BORDER)
    fine = [_unit(_relief(x, 0.7, 2)[:, inner, inner]) for x in (ours, moved)]
    return np.asarray((fine[0] * fine[1]).sum(axis=1), np.float32)


def _aligned(fixed: Floats, moving: Floats, zooms: Floats) -> Floats:
    """Affine maps [B, 2, 3] of centered pixel coordinates that bring `moving` onto `fixed`."""
    n = fixed.shape[1]
    half = (n - 1) / 2
    line = ((np.arange(n) - half) / half).astype(np.float32)
    inside = np.zeros((n, n), np.float32)
    inside[_BORDER:-_BORDER, _BORDER:-_BORDER] = 1
    maps = np.zeros((len(fixed), 2, 3), np.float32)
    maps[:, 0, 0] = maps[:, 1, 1] = zooms
    for _ in range(STEPS):
        seen = _warped(moving, maps)
        down, right = np.gradient(seen, axis=(1, 2))
        gain = (fixed * seen * inside).sum((1, 2)) / ((seen * seen * inside).sum((1, 2)) + 1e-6)
        rest = (fixed / gain.clip(0.3, 3)[:, None, None] - seen) * inside
        slopes = np.stack(
            [right * line, right * line[:, None], right, down * line, down * line[:, None], down],
            axis=1,
        )
        slopes = (slopes * inside).reshape(len(fixed), 6, -1)
        square = slopes @ slopes.transpose(0, 2, 1) + _RIDGE * np.eye(6, dtype=np.float32)
        step = np.linalg.solve(square, slopes @ rest.reshape(len(fixed), -1, 1))
        step = step.reshape(-1, 2, 3).clip(-_LARGEST_STEP, _LARGEST_STEP)
        maps += step / np.array([half, half, 1], np.float32)
    return maps


def _warped(images: Floats, maps: Floats) -> Floats:
    """Images under affine maps, bilinear; what lies outside is the nearest edge."""
    count, n = images.shape[:2]
    half = (n - 1) / 2
    line = (np.arange(n) - half).astype(np.float32)
    grid = np.stack(
        [np.tile(line, n), np.repeat(line, n), np.ones(n * n, np.float32)]
    )  # x fastest, as pixels lie
    places = (maps @ grid + np.float32(half)).clip(0, n - 1.001)
    cells = places.astype(np.int32)
    x, y = (places - cells).transpose(1, 0, 2)
    corner = cells[:, 1] * n + cells[:, 0]
    flat = images.reshape(count, -1)
    upper, lower = (
        np.take_along_axis(flat, corner + down, 1) * (1 - x)
        + np.take_along_axis(flat, corner + down + 1, 1) * x
        for down in (0, n)
    )
    return np.asarray(upper * (1 - y) + lower * y, np.float32).reshape(count, n, n)


def _relief(images: Floats, fine: float, wide: float) -> Floats:
    """Local contrast: [N, n, n], deviations from the neighbourhood in units of their usual size.

    Args:
        images: [N, n, n] gray levels.
        fine: Deviation of the blur that noise is removed by, pixels.
        wide: Deviation of the blur that a neighbourhood is, pixels.
    """
    n = images.shape[1]
    smooth = _both_ways(_blur(n, fine), images)
    rest = smooth - _both_ways(_blur(n, wide), smooth)
    power = _both_ways(_blur(n, 1.5 * wide), rest * rest)
    return np.asarray(rest / (np.sqrt(power) + _NOISE), np.float32)


def _halves(images: Floats) -> Halves:
    """Even and odd part under mirroring, of the local contrast of coarse images, of length 1.

    The sum of the products of parts is the correlation of two images, their difference that with
    the mirror image: both for the price of one.
    """
    n = images.shape[1]
    unit = _unit(_relief(images, 0.45, 1.9)).reshape(-1, n, n)
    mirrored = unit[:, :, ::-1]
    columns = (n + 1) // 2
    # A column and its mirror image are alike, so that one of them is enough.
    weights = np.full(columns, 1 / np.sqrt(2), np.float32)
    if n % 2:
        weights[-1] = 0.5
    parts = ((unit + sign * mirrored)[:, :, :columns] * weights for sign in (1, -1))
    even, odd = (part.reshape(len(unit), -1) for part in parts)
    return even, odd


def _unit(images: Floats) -> Floats:
    flat = images.reshape(len(images), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    return np.asarray(flat / (np.linalg.norm(flat, axis=1, keepdims=True) + 1e-6), np.float32)


def _coarse(images: Bytes, rows: Rows) -> Floats:
    """Coarse images [n, m, m] of some rows."""
    step = max(1, _PIXELS // (images.shape[1] * images.shape[2]))
    blocks = (rows[at : at + step] for at in range(0, len(rows), step))
    return np.concatenate([_reduced(images[block], COARSE_PX) for block in blocks])


def _reduced(images: npt.NDArray[np.generic], side: int) -> Floats:
    """Images averaged to a side, where they are larger."""
    pixels = images.astype(np.float32)
    n = pixels.shape[1]
    return pixels if n <= side else _both_ways(_areas(n, side), pixels)


def _zoomed(images: Floats, zoom: float) -> Floats:
    """Images made larger about their center, at the same number of pixels."""
    return images if zoom == 1 else _both_ways(_zoom(images.shape[1], zoom), images)


def _both_ways(matrix: Floats, images: Floats) -> Floats:
    return np.asarray(matrix @ images @ matrix.T, np.float32)


@functools.cache
def _blur(n: int, deviation: float) -> Floats:
    places = np.arange(n)
    weights = np.exp(-((places[:, None] - places) ** 2) / (2 * deviation**2))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)


@functools.cache
def _areas(n: int, side: int) -> Floats:
    edges, cells = np.linspace(0, n, side + 1), np.arange(n)
    upper = np.minimum(edges[1:, None], cells + 1)
    covered = (upper - np.maximum(edges[:-1, None], cells)).clip(0)
    return np.asarray(covered * (side / n), np.float32)


@functools.cache
def _zoom(n: int, zoom: float) -> Floats:
    half = (n - 1) / 2
    places = ((np.arange(n) - half) / zoom + half).clip(0, n - 1)
    return np.asarray((1 - np.abs(places[:, None] - np.arange(n))).clip(0), np.float32)
