"""Near copies between data sets: rows that are judged by, and rows that were trained on.

In: rows of two sets, or a run whose inputs lie where it found them. Out: pairs of rows, as a line
for the terminal, records for a table and a picture. The leak guard (`cxrtool.data.keys`) refuses
what is identical; what is merely near is for people to look at, so it is listed and ends nothing.
Pairs are remembered in ``DATA/.cache``, so that the runs of a study look once.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from cxrtool.core import files
from cxrtool.core.errors import InputError
from cxrtool.core.reading import read_text
from cxrtool.data import cache, columns
from cxrtool.data.columns import IMAGE, PIXEL_KEY, SPLIT
from cxrtool.data.keys import DEEPEST, Seen, inputs_of, seen_images
from cxrtool.data.manifest import Dataset, load_dataset
from cxrtool.data.near import Pair, near_copies

TABLE = "near_copies.csv"
FORMAT = 1  # of what is remembered: another measure finds other pairs
_SHOWN = 3  # pairs named in a message
_PICTURED, _TILE_PX, _GAP_PX = 8, 96, 4


@dataclass(frozen=True)
class NearRows:
    """Rows of a set that are near copies of rows of another one.

    Attributes:
        data: The set that is asked about.
        other: The set that it was compared with, perhaps the same.
        pairs: Of rows of the two, at most one for each row of `data`.
    """

    data: Dataset
    other: Dataset
    pairs: Sequence[Pair]

    def among(self, rows: np.ndarray) -> "NearRows":
        """The pairs of some rows: bool [N]."""
        return replace(self, pairs=[pair for pair in self.pairs if rows[pair.row]])

    def records(self, *, names: bool) -> list[dict[str, str]]:
        """A record a pair: rows of the two manifests, and the names of the images if wanted."""
        splits = self.data.column(SPLIT)
        images = (self.data.column(IMAGE), self.other.column(IMAGE))
        return [
            {
                "split": str(splits[pair.row]),
                "row": str(pair.row + 2),
                **({"image": str(images[0][pair.row])} if names else {}),
                "set": _kind_of(self.data, self.other),
                "set_row": str(pair.other + 2),
                **({"set_image": str(images[1][pair.other])} if names else {}),
                "likeness": f"{pair.likeness:.3f}",
                "mirrored": str(int(pair.mirrored)),
            }
            for pair in self.pairs
        ]

    def tiles(self, n: int = _PICTURED) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The images of the first pairs, uint8 [H, W] each."""
        for pair in self.pairs[:n]:
            ours, theirs = np.array([pair.row]), np.array([pair.other])
            yield cache.pixels(self.data, ours)[0], cache.pixels(self.other, theirs)[0]


def _kind_of(data: Dataset, other: Dataset) -> str:
    if other.path == data.path:
        return "the same"
    return f"{'synthetic' if other.info.synthetic else 'real'} {other.info.digest[:8]}"


def near_rows(data: Dataset, rows: np.ndarray, other: Dataset, other_rows: np.ndarray) -> NearRows:
    """Look for rows of one set among rows of another.

    Phantoms are not looked at: all are drawn after one anatomy, so that different ones are as alike
    as copies of films are (9 of 84 at 32 px), and the simulator draws nobody twice.

    Args:
        data: A data set with pixels.
        rows: Its rows [n].
        other: The set to compare with, perhaps the same.
        other_rows: Its rows.

    Raises:
        InputError: As `cxrtool.data.cache.pixels`.
    """
    simulated = columns.SIMULATED in (data.info.source, other.info.source)
    if simulated or not (len(rows) and len(other_rows)):
        return NearRows(data, other, ())
    target = _remembered_at(data, rows, other, other_rows)
    if target is not None:
        with contextlib.suppress(OSError, ValueError, TypeError, RecursionError):
            record = json.loads(read_text(target))
            return NearRows(data, other, tuple(Pair(*pair) for pair in record))
    pairs = near_copies(cache.pixels(data), rows, cache.pixels(other), other_rows)
    if target is not None:
        text = json.dumps([astuple(pair) for pair in pairs])
        with contextlib.suppress(OSError):  # a folder that cannot be written is no reason to stop
            files.write_bytes(target, text.encode(), durable=False)
    return NearRows(data, other, tuple(pairs))


def _remembered_at(
    data: Dataset, rows: np.ndarray, other: Dataset, other_rows: np.ndarray
) -> Path | None:
    """The file of an earlier answer to the same question; None for sets without a digest."""
    if not (data.info.digest and other.info.digest):
        return None
    asked = hashlib.sha256(f"{FORMAT} {data.info.digest} {other.info.digest}".encode())
    for each in (rows, other_rows):
        asked.update(np.ascontiguousarray(each, np.int64).tobytes() + b"\n")
    return data.path / ".cache" / f"near-{asked.hexdigest()[:16]}.json"


def sentence(near: Iterable[NearRows], of: int, what: str, seen_by: str) -> str:
    """What a reader must know of near copies, in a sentence; "" where there are none.

    Args:
        near: What was found.
        of: How many images were asked about.
        what: What they are, such as "test".
        seen_by: Whose images they are near to, such as "the training images".
    """
    several = [each for each in near if each.pairs]
    n = len({(each.data.path, pair.row) for each in several for pair in each.pairs})
    if not n:
        return ""
    mirrored = sum(pair.mirrored for each in several for pair in each.pairs)
    flips = f", {mirrored:,} of them mirrored" if mirrored else ""
    verb = "is a near copy" if n == 1 else "are near copies"
    return (
        f"{n:,} of {of:,} {what} images {verb} of {seen_by}{flips} (one picture after a flip, a"
        " crop, other contrast or another save): look at them, and leave out or move what is one."
    )


def examples(near: Iterable[NearRows]) -> str:
    """The first pairs by their rows in the manifests, for the terminal."""
    pairs = [(each, pair) for each in near for pair in each.pairs]
    which = [
        f"row {pair.row + 2} of {each.data.path / columns.MANIFEST} is row {pair.other + 2}"
        + (" there" if each.other.path == each.data.path else f" of {each.other.path}")
        for each, pair in pairs[:_SHOWN]
    ]
    return "; ".join(which) + ("; ..." if len(pairs) > _SHOWN else "")


def picture(near: Iterable[NearRows]) -> Image.Image:
    """Pairs side by side: what is judged by above, what was trained on beneath."""
    tiles = [pair for each in near for pair in each.tiles()][:_PICTURED]
    step = _TILE_PX + _GAP_PX
    sheet = Image.new("L", (len(tiles) * step - _GAP_PX, 2 * step - _GAP_PX), 128)
    for column, pair in enumerate(tiles):
        for line, pixels in enumerate(pair):
            tile = Image.fromarray(pixels).resize((_TILE_PX, _TILE_PX), Image.Resampling.BICUBIC)
            sheet.paste(tile, (column * step, line * step))
    return sheet


@dataclass(frozen=True)
class SeenImages:
    """Where the images lie that runs have seen.

    Attributes:
        rows: Sets with the rows that were seen.
        missing: How many images are in none of them.
    """

    rows: Sequence[tuple[Dataset, np.ndarray]]
    missing: int


def seen_in_sets(folders: Iterable[Path], data: Dataset) -> SeenImages:
    """The images that runs have seen, in a data set and in those that the runs were made from.

    Only folders that still lie where `run.json` says can be looked at.

    Args:
        folders: Runs with `seen.json`.
        data: Another set that may hold some of them.
    """
    folders = list(folders)
    seen = Seen()
    for folder in folders:
        seen = seen.merge(Seen.load(folder))
    sets = {data.path.resolve(): data}
    walked = set[Path]()
    for folder in folders:
        for dataset in _sets_of(folder, walked, DEEPEST):
            sets.setdefault(dataset.path.resolve(), dataset)
    rows, keys = [], set[str]()
    for dataset in sets.values():
        with contextlib.suppress(InputError):  # a set without its images is a missing one
            own = np.flatnonzero(seen_images(seen, dataset))
            cache.pixels(dataset, own[:1])
            rows.append((dataset, own))
            for cells in (dataset.column(PIXEL_KEY, own), cache.prepared_keys(dataset, own)):
                keys.update(cells)
    return SeenImages(rows, len(seen.pixels - keys))


def _sets_of(folder: Path, walked: set[Path], deepest: int) -> Iterator[Dataset]:
    """The data sets that a run was made from, and those that its inputs were made from."""
    for _, path in inputs_of(folder):
        if path in walked:
            continue
        walked.add(path)
        if (path / columns.DATASET).is_file():
            with contextlib.suppress(InputError):
                yield load_dataset(path)
        if deepest:
            yield from _sets_of(path, walked, deepest - 1)
