"""What `cxr predict` reads: the images behind its arguments, block by block, in the runs' form.

In: arguments. Out: blocks of pixels as `prepare` would store them, and counts of what a person
should know: images that were enlarged, that show nothing, that the runs have seen.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cxrtool.classifiers.ensemble import Ensemble
from cxrtool.classifiers.prediction import BLOCK
from cxrtool.commands.predict.options import STDIN, Config
from cxrtool.core import console
from cxrtool.core.errors import InputError
from cxrtool.core.runs import Run
from cxrtool.data import cache, decoded
from cxrtool.data.columns import PIXEL_KEY
from cxrtool.data.decoded import Form
from cxrtool.data.keys import Seen
from cxrtool.data.named_images import Finder, Group, NamedImage
from cxrtool.stats.joining import common_view, refuse_other_pixels
from cxrtool.stats.predictions import csv_text

ENLARGED, ONE_GRAY, SEEN, OWN_BITS = "enlarged", "of one gray value", "seen in training", "16 bits"


@dataclass(frozen=True)
class Block:
    """Images that are read at once.

    Attributes:
        images: What they are, n at most `BLOCK`.
        pixels: [n, S, S] uint8.
    """

    images: list[NamedImage]
    pixels: np.ndarray


class ReportingFinder(Finder):
    """A finder that names what it refuses on stderr, and not in the log that lies in the output."""

    def _refuse(self, image: NamedImage, error: InputError, *, placed: bool = False) -> None:
        super()._refuse(image, error, placed=placed)
        with console.logging_to(None):
            console.warn(f"left out: {self.refused[-1].error}")


def finder_of(config: Config, ensemble: Ensemble, apart: Path | None = None) -> Finder:
    """Finds images of the views that the runs know.

    Args:
        config: The options.
        ensemble: The runs.
        apart: The output folder.

    Raises:
        InputError: The runs were trained on different views.
    """
    view = config.view
    if view == "stored":
        names = [str(path) for path in ensemble.paths]
        view = common_view(names, [network.description for network in ensemble.networks])
    return ReportingFinder(
        view=view,
        split=config.split,
        modality=config.modalities(),
        columns=config.named_columns(),
        roots=config.images,
        skip_bad=config.skip_bad,
        apart=apart,
    )


def find(config: Config, ensemble: Ensemble, run: Run) -> tuple[Finder, list[Group]]:
    """The images of a run's arguments; stdin has been read to a file."""
    finder = finder_of(config, ensemble, run.dir)
    refs = run.paths("inputs")
    listing = next((ref for ref, path in zip(refs, config.inputs) if path == STDIN), None)
    return finder, finder.find(config.inputs, listing)


def noting(run: Run, groups: Sequence[Group]) -> contextlib.AbstractContextManager[None]:
    """Files that an argument only names or holds are hashed while they are read."""
    paths = [
        image.source.path
        for group in groups
        if group.listed
        for image in group.images
        if image.source is not None
    ]
    return run.reading("inputs", paths) if paths else contextlib.nullcontext()


@dataclass
class Reader:
    """Reads images block by block.

    Attributes:
        config: The options.
        ensemble: Whose form they get.
        finder: Takes what does not decode.
        stopping: When true, no new image is begun.
        counts: What a person should know, see the names above.
    """

    config: Config
    ensemble: Ensemble
    finder: Finder
    stopping: Callable[[], bool] = lambda: False
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        every = [Seen.load(path) for path in self.ensemble.paths]
        self._seen: frozenset[str] = frozenset().union(*(seen.looks for seen in every))

    def blocks(self, groups: Sequence[Group]) -> Iterator[Block]:
        """All images that can be read, in order.

        Raises:
            InputError: One cannot, and bad images are not skipped; a data set of another form.
        """
        images: list[NamedImage] = []
        pixels: list[np.ndarray] = []
        for group in groups:
            one_by_one = self._prepared(group) if group.data is not None else self._files(group)
            for image, array in one_by_one:
                images.append(image)
                pixels.append(array)
                if len(images) == BLOCK:
                    yield Block(images, np.stack(pixels))
                    images, pixels = [], []
        if images:
            yield Block(images, np.stack(pixels))

    def _prepared(self, group: Group) -> Iterator[tuple[NamedImage, np.ndarray]]:
        data = group.data
        assert data is not None
        name = str(self.ensemble.paths[0])
        refuse_other_pixels(name, self.ensemble.description, data)
        rows = np.array([image.row for image in group.images], np.int64)
        keys = zip(data.column(PIXEL_KEY, rows), cache.prepared_keys(data, rows))
        every = cache.pixels(data)
        for image, both in zip(group.images, keys):
            self.counts[SEEN] += not self._seen.isdisjoint(both)
            self.counts[ONE_GRAY] += both[1] == ""
            yield image, every[image.row]

    def _files(self, group: Group) -> Iterator[tuple[NamedImage, np.ndarray]]:
        own_bits, run_bits = self.config.bits, self.ensemble.bits
        form = Form(
            self.ensemble.native_size,
            self.ensemble.fit,
            own_bits or run_bits,
            dicom_bits=own_bits or 0,
        )
        sources = [image.source for image in group.images if image.source is not None]
        results = decoded.decode_all(
            form, sources, workers=self.config.workers, stopping=self.stopping
        )
        for image, result in zip(group.images, results):
            if isinstance(result, InputError):
                self.finder.refuse(image, result)
                continue
            self.counts[ENLARGED] += result.enlarged
            self.counts[ONE_GRAY] += result.prepared == ""
            self.counts[SEEN] += result.key in self._seen
            doubtful = bool(result.bits) and not (form.bits or (image.source and image.source.bits))
            self.counts[OWN_BITS] += doubtful
            yield image, result.pixels


def rejected_text(finder: Finder, *, include_ids: bool) -> str:
    """``rejected.csv``: what was left out by ``--skip-bad``, and why.

    DICOM goes by its number, without its file.
    """
    cells = []
    for name, error, reason in finder.refused:
        hidden = name.startswith("dicom") and not include_ids
        file = "" if hidden else str(error.file or "")
        cells.append([name, file, str(error.row or ""), error.column or "", reason])
    return csv_text(["image", "file", "row", "column", "reason"], cells)


def sentences(counts: Counter[str], size: int) -> list[str]:
    """What a person should know of the images, a sentence each."""
    phrases = {
        SEEN: (
            "is among those that the classifiers were trained on or calibrated with: what is said"
            " of it is no measure of how good they are",
            "are among those that the classifiers were trained on or calibrated with: what is said"
            " of them is no measure of how good they are",
        ),
        ENLARGED: (
            f"is smaller than {size} px and was enlarged",
            f"are smaller than {size} px and were enlarged",
        ),
        ONE_GRAY: (
            "shows nothing (one gray value all over)",
            "show nothing (one gray value all over)",
        ),
        OWN_BITS: (
            "has 16 bits, and the training images do not tell how many are used: it was read by"
            " its own largest value (--bits)",
            "have 16 bits, and the training images do not tell how many are used: each was read by"
            " its own largest value (--bits)",
        ),
    }
    return [
        f"{counts[what]:,} image{'s' * (counts[what] > 1)} {words[counts[what] > 1]}."
        for what, words in phrases.items()
        if counts[what]
    ]
