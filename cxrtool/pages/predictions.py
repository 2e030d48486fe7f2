"""The page of ``predict``: what classifiers say of images, the most striking ones first.

In: a `Predictions`. Out: a `Page` that names images by their row in ``predictions.csv``, and by
name only where that was asked for.
"""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from cxrtool.pages.page import (
    Block,
    Bullets,
    Gallery,
    Page,
    Picture,
    Section,
    Table,
    Terms,
    Text,
    cautions,
)

#: Images shown, and their side in pixels.
SHOWN, TILE_PX = 24, 256
#: Rows of the table of all images; more stand in predictions.csv alone.
MOST_ROWS = 500
#: Findings named below an image, and in the first sentence.
NAMED = 3
MARK = "▲"
AFTER = f"\N{NO-BREAK SPACE}{MARK}"


@dataclass(frozen=True)
class Tile:
    """An image that is shown.

    Attributes:
        place: Position among all images.
        pixels: [H, H] uint8.
        excess: [L] how far each label lies above its threshold.
        cam: The label of a class activation map and the picture [H, H, 3] uint8, if there is one.
    """

    place: int
    pixels: np.ndarray
    excess: np.ndarray
    cam: tuple[int, np.ndarray] | None = None


@dataclass
class Album:
    """Keeps the images that lie farthest above a threshold, `SHOWN` at most.

    Attributes:
        hidden: Images that are not shown, since text is burned into them.
    """

    hidden: int = 0
    _heap: list[tuple[float, int, Tile]] = field(default_factory=list)

    def add(
        self,
        first: int,
        pixels: np.ndarray,
        excess: np.ndarray,
        may_show: Sequence[bool],
        cams: Mapping[int, tuple[int, np.ndarray]],
    ) -> None:
        """Look at a block.

        Args:
            first: Position of its first image among all.
            pixels: [n, H, H] uint8.
            excess: [n, L] how far each label lies above its threshold.
            may_show: [n] whether each may be shown.
            cams: Position -> map, as `Tile`.
        """
        for k, (score, may) in enumerate(zip(excess.max(axis=1).tolist(), may_show)):
            self.hidden += not may
            if not may or (len(self._heap) == SHOWN and score <= self._heap[0][0]):
                continue
            place = first + k
            # Of equal ones the first stays.
            entry = (score, -place, Tile(place, np.array(pixels[k]), excess[k], cams.get(place)))
            push = heapq.heappush if len(self._heap) < SHOWN else heapq.heappushpop
            push(self._heap, entry)

    @property
    def tiles(self) -> list[Tile]:
        """What is shown, farthest above first."""
        return [
            tile for _, _, tile in sorted(self._heap, key=lambda entry: entry[:2], reverse=True)
        ]


@dataclass(frozen=True)
class Predictions:
    """Everything the page is made of.

    Attributes:
        labels: L names.
        thresholds: [L].
        probabilities: [N, L].
        prevalence: [L] share of positives in the validation rows, NaN where it is not known.
        single: Classes exclude each other.
        findings: [L] bool, labels that say that something is there.
        album: The images that are shown.
        classifiers: What is known of the classifiers, a line each.
        cautions: What a reader must know, a sentence each.
        left: Reason -> what was left out.
        rejected: Bad images.
        names: [N] names of images; None where nobody asked for them.
    """

    labels: Sequence[str]
    thresholds: np.ndarray
    probabilities: np.ndarray
    prevalence: np.ndarray
    single: bool
    findings: np.ndarray
    album: Album
    classifiers: Sequence[str]
    cautions: Sequence[str]
    left: Mapping[str, int]
    rejected: int
    names: Sequence[str] | None = None

    @property
    def positive(self) -> np.ndarray:
        """[N, L] bool: the threshold is reached."""
        return np.asarray(self.probabilities >= self.thresholds)


def percent(p: float) -> str:
    """A probability as people read it, in one piece."""
    number = "<1" if p < 0.01 else ">99" if p > 0.99 else f"{100 * p:.0f}"
    return f"{number}\N{NO-BREAK SPACE}%"


def share(x: float) -> str:
    """A share of images, in one piece."""
    return f"{100 * x:.1f}\N{NO-BREAK SPACE}%"


def answer(e: Predictions) -> str:
    """The result in a sentence."""
    n = len(e.probabilities)
    images = f"{n:,} image{'s' * (n != 1)}"
    if e.single:
        classes = np.bincount(e.probabilities.argmax(axis=1), minlength=len(e.labels))
        order = np.argsort(-classes, kind="stable")
        counts = ", ".join(f"{e.labels[k]} {classes[k]:,}" for k in order if classes[k])
        return f"Most probable class of {images}: {counts}."
    reached = e.positive & e.findings
    counts, some = reached.sum(axis=0), int(reached.any(axis=1).sum())
    if n == 1:
        names = [name for name, yes in zip(e.labels, reached[0]) if yes]
        return f"The image reaches the threshold of {', '.join(names) or 'no finding'}."
    if not some:
        return f"Of {images}, none reaches the threshold of a finding."
    places = [k for k in np.argsort(-counts, kind="stable") if counts[k]]
    often = ", ".join(f"{e.labels[k]} {counts[k]:,}" for k in places[:NAMED])
    if len(places) > NAMED:
        often += f" and {len(places) - NAMED} more"
    verb = "reaches" if some == 1 else "reach"
    return f"Of {images}, {some:,} {verb} the threshold of at least one finding: {often}."


def build(e: Predictions) -> Page:
    """The whole page."""
    return Page(
        "Predictions: for research, not for diagnosis",
        answer(e),
        [
            Section("", cautions(e.cautions)),
            _images(e),
            _counts(e),
            Section("All images", [_table(e)], folded=True),
            *_left_out(e),
            _methods(e),
        ],
        detail="Not for diagnosis: a threshold is where nine of ten images without a finding lay"
        " below it in validation, so that about one in ten without it reaches it here too, for each"
        f" of {len(e.labels)} label{'s' * (len(e.labels) != 1)}; and whether the probabilities"
        " hold for your patients has not been measured.",
    )


def _row(e: Predictions, place: int) -> str:
    return f"Row {place + 2:,}" + (f" ({e.names[place]})" if e.names is not None else "")


def _labels_of(e: Predictions, tile: Tile) -> str:
    """Labels that lie farthest above their thresholds, then the most probable ones."""
    values, above = e.probabilities[tile.place], e.positive[tile.place]
    excess = np.where(above, tile.excess, 0.0)
    order = sorted(range(len(values)), key=lambda k: (not above[k], -excess[k], -values[k]))
    few, more = order[:NAMED], int(above.sum()) - NAMED
    text = ", ".join(f"{e.labels[k]} {percent(values[k])}{AFTER * bool(above[k])}" for k in few)
    return text + (f", {more} more {MARK}" if more > 0 else "")


def _images(e: Predictions) -> Section:
    tiles, n = e.album.tiles, len(e.probabilities)
    which = f"{len(tiles):,} of {n:,} images: those" if len(tiles) < n else "First the images"
    text = (
        f"{which} that lie farthest above the threshold of a finding. {MARK} marks a label that"
        " reaches its own. Rows are those of predictions.csv (its header is row 1)."
        if n > 1
        else f"{MARK} marks a label that reaches its threshold."
    )
    if any(tile.cam for tile in tiles):
        text += (
            " Below each image: where the output for the named label is raised most in this image,"
            " not why."
        )
    if e.album.hidden:
        says = "images say that text is burned into them and are"
        says = "image says that text is burned into it and is" if e.album.hidden == 1 else says
        text += f" {e.album.hidden:,} {says} not shown."
    pictures = [_picture(e, tile) for tile in tiles]
    return Section("Images", [Text(text), *([Gallery(pictures)] if pictures else [])])


def _picture(e: Predictions, tile: Tile) -> Picture:
    size = (TILE_PX, TILE_PX)
    plain = Image.fromarray(tile.pixels).resize(size, Image.Resampling.BICUBIC)
    caption = f"{_row(e, tile.place)}. {_labels_of(e, tile)}"
    alt = f"Radiograph of row {tile.place + 2}"
    if tile.cam is None:
        return Picture(plain, alt, caption, lossy=True)
    label, colors = tile.cam
    both = Image.new("RGB", (TILE_PX, 2 * TILE_PX + 4), (255, 255, 255))
    both.paste(plain.convert("RGB"), (0, 0))
    both.paste(Image.fromarray(colors).resize(size, Image.Resampling.BICUBIC), (0, TILE_PX + 4))
    name = e.labels[label]
    return Picture(both, f"{alt}, and its map of {name}", f"{caption}. Map: {name}.", lossy=True)


def _counts(e: Predictions) -> Section:
    n = len(e.probabilities)
    rows = []
    for k, name in enumerate(e.labels):
        count = int(e.positive[:, k].sum())
        rows.append(
            (
                name,
                f"{e.thresholds[k]:.3f}",
                f"{count:,}",
                share(count / n),
                percent(float(e.probabilities[:, k].mean())),
                "–" if np.isnan(e.prevalence[k]) else share(e.prevalence[k]),
            )
        )
    columns = (
        "label", "threshold", "images that reach it", "share", "mean probability",
        "share with it in validation",
    )  # fmt: skip
    text = (
        "Where the mean probability is far from the share in validation, these images are of other"
        " patients, or made in another way, than those that the probabilities were calibrated on."
    )
    return Section("Labels", [Table(columns, rows), Text(text)])


def _table(e: Predictions) -> Block:
    rows = [
        (
            _row(e, k).removeprefix("Row "),
            *(
                f"{percent(p)}{AFTER * bool(yes)}"
                for p, yes in zip(e.probabilities[k], e.positive[k])
            ),
        )
        for k in range(min(len(e.probabilities), MOST_ROWS))
    ]
    more = len(e.probabilities) - len(rows)
    caption = f"The first {len(rows):,}; all are in predictions.csv." if more else ""
    return Table(("row", *e.labels), rows, caption)


def _left_out(e: Predictions) -> list[Section]:
    rows = [(reason, f"{n:,}") for reason, n in e.left.items()]
    if e.rejected:
        rows.append(("bad images, see rejected.csv", f"{e.rejected:,}"))
    return [Section("Left out", [Table(("reason", "files"), rows)])] if rows else []


def _methods(e: Predictions) -> Section:
    several = len(e.classifiers) > 1
    lines = [
        "Images were brought to the size, crop and gray values of the training images by the"
        " readers of `cxr prepare`.",
        "Probabilities are calibrated on each classifier's validation rows: the shift from the"
        " prevalence of its training images to the natural one, then one temperature.",
        *(
            [
                "Probabilities of the classifiers are averaged once each is calibrated, and so are"
                " their thresholds: neither mean has been measured on validation rows."
            ]
            if several
            else []
        ),
        "A probability close to its threshold says little either way.",
    ]
    terms = [(f"classifier {k}", text) for k, text in enumerate(e.classifiers, start=1)]
    return Section("Methods and provenance", [Bullets(lines), Terms(terms)], folded=True)
