"""Pixels of a data set, decoded once and kept as a memory map.

In: a dataset directory. Out: uint8 [N, H, W]. The map lies in ``DATA/.cache`` and can be deleted at
any time; where the directory cannot be written, the pixels are held in memory.
"""

from __future__ import annotations

import contextlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from cxrtool.core import console
from cxrtool.core.errors import InputError
from cxrtool.data.columns import IMAGE
from cxrtool.data.images import read_png
from cxrtool.data.manifest import Dataset

_FOLDER = ".cache"
_BLOCK = 512


def pixels(dataset: Dataset, rows: np.ndarray | None = None) -> np.ndarray:
    """Pixels of the given rows.

    Args:
        dataset: A data set with pixels.
        rows: Row positions [N]; None for all, as a read-only memory map where that is possible.

    Returns:
        uint8 [N, size, size].

    Raises:
        InputError: The set was prepared with ``--labels-only``, or an image is missing or damaged
            (with its row).
    """
    size = dataset.info.size
    if size is None:
        raise InputError(
            "the data set holds labels and no pixels",
            file=dataset.path,
            hint="prepare it again without --labels-only",
        )
    every = _mapped(dataset, size)
    return every if rows is None else np.ascontiguousarray(every[rows])


def _mapped(dataset: Dataset, size: int) -> np.ndarray:
    shape = (len(dataset), size, size)
    target = dataset.path / _FOLDER / f"pixels-{dataset.info.digest[:16]}.npy"
    found = _open(target, shape)
    if found is not None:
        return found
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        try:
            store = _reserve(temporary, target, shape)
        except (OSError, ValueError) as error:
            console.detail(f"no pixel cache in {target.parent} ({error}); pixels stay in memory")
            held = np.empty(shape, np.uint8)
            _fill(dataset, held, size)
            return held
        _fill(dataset, store, size)
        store.flush()
        del store
        os.replace(temporary, target)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
    mapped = _open(target, shape)
    if mapped is None:
        raise InputError("the pixel cache vanished while it was written", file=target)
    return mapped


def _reserve(temporary: Path, target: Path, shape: tuple[int, ...]) -> np.memmap:
    """An empty map with its room on the disk taken.

    Writing through a map to a full disk kills the process, so the room is asked for first.

    Raises:
        OSError: The folder cannot be written, or there is no room.
    """
    target.parent.mkdir(exist_ok=True)
    _remove_old(target)
    store = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape)
    if hasattr(os, "posix_fallocate"):
        with open(temporary, "r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, os.fstat(stream.fileno()).st_size)
    return store


def _open(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """The finished map, or None where there is none of this shape."""
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    good = found.shape == shape and found.dtype == np.uint8
    return found if good else None


def _remove_old(target: Path) -> None:
    """Drop maps of a content that the directory no longer has."""
    for old in target.parent.glob("pixels-*.npy"):
        if old != target:
            old.unlink(missing_ok=True)


def _fill(dataset: Dataset, store: np.ndarray, size: int) -> None:
    names = dataset.table[IMAGE].tolist()
    check_links(dataset.path, names)

    def block(start: int) -> int:
        end = min(start + _BLOCK, len(names))
        for row in range(start, end):
            try:
                store[row] = read_png(dataset.path / names[row], size)
            except InputError as error:
                raise InputError(
                    error.reason, file=error.file, row=row + 2, column=IMAGE, hint=error.hint
                ) from None
        return end - start

    workers = min(8, os.cpu_count() or 1)
    # Decoding PNG releases the interpreter lock, so threads are enough and share the map.
    with (
        console.progress("reading pixels", total=len(names)) as bar,
        ThreadPoolExecutor(workers) as pool,
    ):
        try:
            for done in pool.map(block, range(0, len(names), _BLOCK)):
                bar.advance(done)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def check_links(root: Path, names: list[str]) -> None:
    """Refuse images that a symbolic link puts outside the data folder.

    Raises:
        InputError: With the row.
    """
    real_root = os.path.realpath(root)
    good: dict[str, bool] = {}
    for row, name in enumerate(names):
        parent = os.path.dirname(name)
        if parent not in good:
            real = os.path.realpath(os.path.join(root, parent))
            good[parent] = os.path.commonpath((real_root, real)) == real_root
        path = os.path.join(root, name)
        inside = good[parent]
        if inside and os.path.islink(path):
            inside = os.path.commonpath((real_root, os.path.realpath(path))) == real_root
        if not inside:
            raise InputError(
                "a link leads out of the data folder", file=path, row=row + 2, column=IMAGE
            )


def resized(images: np.ndarray, size: int) -> np.ndarray:
    """Pixels at another size, by the kernel of `cxrtool.data.images`.

    Args:
        images: uint8 [N, H, H].
        size: The wanted side; equal to H returns ``images`` itself.

    Returns:
        uint8 [N, size, size] in memory.
    """
    if images.shape[1:] == (size, size):
        return images
    out = np.empty((len(images), size, size), np.uint8)
    for index, image in enumerate(images):
        small = Image.fromarray(np.ascontiguousarray(image)).resize(
            (size, size), Image.Resampling.BICUBIC, reducing_gap=3.0
        )
        out[index] = np.asarray(small)
    return out
