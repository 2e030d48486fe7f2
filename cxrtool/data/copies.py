"""Keys of prepared pixels: a picture is known again although the file it came from is not.

In: a dataset directory. Out: for every row the key that its image in ``images/`` would get as an
original (`cxrtool.data.images.pixel_key`). The key of the original is the same at every size, but
an image that was taken out of a dataset directory has lost its original: only these keys find it,
in a synthetic set at the same size, and in a set that was prepared from it at any size. A copy that
was resampled by another program has neither key; nearness is measured by ``evaluate images``.
"""

import contextlib
import io
import itertools
from functools import lru_cache

import numpy as np
import pandas as pd

from cxrtool.core import files
from cxrtool.core.errors import GateError
from cxrtool.data.cache import in_blocks, pixels
from cxrtool.data.columns import PIXEL_KEY, PREPARED_KEY, SPLIT
from cxrtool.data.images import prepared_key
from cxrtool.data.manifest import Dataset

_SHOWN = 5


def prepared_keys(dataset: Dataset, rows: np.ndarray | None = None) -> np.ndarray:
    """Keys as ``prepare`` wrote them, else those of the pixels; blank without pixels.

    Returns:
        Object array [N] of `str`.

    Raises:
        InputError: As `cxrtool.data.cache.pixels`.
    """
    if PREPARED_KEY in dataset.table.columns or dataset.info.size is None:
        return dataset.column(PREPARED_KEY, rows)
    keys = keys_of_pixels(dataset)
    return keys if rows is None else keys[rows]


@lru_cache(maxsize=4)
def keys_of_pixels(dataset: Dataset) -> np.ndarray:
    """Keys of all images of a set, whatever its manifest says: object array [N] of `str`.

    They are remembered in ``.cache`` beside the pixels: 223,414 of 128 px take a core 25 s.

    Raises:
        InputError: As `cxrtool.data.cache.pixels`.
    """
    target = dataset.path / ".cache" / f"keys-{dataset.info.digest[:16]}.npy"
    if dataset.info.digest:
        with contextlib.suppress(OSError, ValueError, EOFError):
            cached = np.load(target, allow_pickle=False)
            if cached.shape == (len(dataset),) and cached.dtype == np.dtype("U16"):
                return np.asarray(cached.astype(object))
    images = pixels(dataset)

    def block(rows: range) -> list[str]:
        return [prepared_key(images[row]) for row in rows]

    keys = list(itertools.chain(*in_blocks(block, len(images), "looking for copies")))
    if dataset.info.digest:
        buffer = io.BytesIO()
        np.save(buffer, np.array(keys, dtype="U16"))
        with contextlib.suppress(OSError):  # a folder that cannot be written is no reason to stop
            for old in target.parent.glob("keys-*.npy"):
                old.unlink(missing_ok=True)
            files.write_bytes(target, buffer.getvalue(), durable=False)
    return np.array(keys, dtype=object)


def refuse_copies(synth: Dataset, data: Dataset, rows: np.ndarray | None = None) -> None:
    """No image that was made is a copy of one that networks are chosen or judged by.

    Its pixels are compared themselves, whatever the manifest says of it.

    Args:
        synth: A synthetic or edited set.
        data: A real set.
        rows: Its rows to compare with; None for all validation and test rows.

    Raises:
        GateError: Some are copies; says how many, and which rows of the two manifests.
    """
    if rows is None:
        rows = np.flatnonzero(np.isin(data.column(SPLIT), ("val", "test")))
    ours = keys_of_pixels(synth)
    theirs = np.concatenate([data.column(PIXEL_KEY, rows), prepared_keys(data, rows)])
    first = pd.Series(np.tile(rows, 2)[theirs != ""], index=theirs[theirs != ""])
    first = first[~first.index.duplicated()]
    place = first.index.get_indexer(pd.Index(ours, dtype=object))
    copies = np.flatnonzero((place >= 0) & (ours != ""))
    if not len(copies):
        return
    originals = first.to_numpy()[place[copies]]
    parts = ", ".join(sorted({part or "unsplit" for part in data.column(SPLIT, originals)}))
    which = ", ".join(
        f"row {copy + 2} there is row {row + 2} here"
        for copy, row in zip(copies[:_SHOWN], originals[:_SHOWN])
    )
    raise GateError(
        f"leak: {len(copies):,} of {len(synth):,} images of {synth.path} are copies of "
        f"{parts} images of {data.path} ({which}{', ...' if len(copies) > _SHOWN else ''})",
        hint="make the set without them: what is trained on it would have seen what judges it",
    )
