"""Pixels of a data set, decoded once and kept as a memory map, and their keys.

In: a dataset directory. Out: uint8 [N, H, W], and for every row the key that its image in
``images/`` would get as an original (`cxrtool.data.images.pixel_key`). Both lie in ``DATA/.cache``
and can be deleted at any time; where the directory cannot be written, they are held in memory.
"""

import contextlib
import functools
import io
import itertools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from cxrtool.core import console, files
from cxrtool.core.errors import InputError
from cxrtool.core.progress import progress
from cxrtool.data.columns import IMAGE, PREPARED_KEY
from cxrtool.data.images import fit_image, prepared_key, read_png
from cxrtool.data.manifest import Dataset

_BLOCK = 512
T = TypeVar("T")


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
        hint = "prepare it again without --labels-only"
        raise InputError("the data set holds labels and no pixels", file=dataset.path, hint=hint)
    every = _mapped(dataset, size)
    return every if rows is None else np.ascontiguousarray(every[rows])


def _mapped(dataset: Dataset, size: int) -> np.ndarray:
    shape = (len(dataset), size, size)
    target = dataset.path / ".cache" / f"pixels-{dataset.info.digest[:16]}.npy"
    with contextlib.suppress(OSError, ValueError, EOFError):
        mapped: np.ndarray = np.load(target, mmap_mode="r", allow_pickle=False)
        if mapped.shape == shape and mapped.dtype == np.uint8:
            return mapped
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        store: np.ndarray
        try:
            store = _reserve(temporary, target, shape)
        except (OSError, ValueError) as error:
            console.detail(f"no pixel cache in {target.parent} ({error}); pixels stay in memory")
            store = np.empty(shape, np.uint8)
        _fill(dataset, store, size)
        if not isinstance(store, np.memmap):
            return store
        store.flush()
        del store
        os.replace(temporary, target)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
    return np.load(target, mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]


def _reserve(temporary: Path, target: Path, shape: tuple[int, ...]) -> np.memmap:
    """An empty map with its room on the disk taken.

    Writing through a map to a full disk kills the process, so the room is asked for first.

    Raises:
        OSError: The folder cannot be written, or there is no room.
    """
    target.parent.mkdir(exist_ok=True)
    for old in target.parent.glob("pixels-*.npy"):
        if old != target:  # of a content that the directory no longer has
            old.unlink(missing_ok=True)
    store = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape)
    if hasattr(os, "posix_fallocate"):
        with open(temporary, "r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, os.fstat(stream.fileno()).st_size)
    return store


def _fill(dataset: Dataset, store: np.ndarray, size: int) -> None:
    names = dataset.table[IMAGE].tolist()
    check_links(dataset.path, names)

    def block(rows: range) -> None:
        for row in rows:
            try:
                store[row] = read_png(dataset.path / names[row], size)
            except InputError as error:
                raise InputError(
                    error.reason, file=error.file, row=row + 2, column=IMAGE, hint=error.hint
                ) from None

    for _ in in_blocks(block, len(names), "reading pixels"):
        pass


def in_blocks(work: Callable[[range], T], count: int, title: str) -> Iterator[T]:
    """What a function makes of blocks of rows, in their order, by threads that share memory.

    Pillow and NumPy release the interpreter lock, so that threads are enough.
    """
    blocks = [range(at, min(at + _BLOCK, count)) for at in range(0, count, _BLOCK)]
    with (
        progress(title, total=count) as bar,
        ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool,
    ):
        try:
            for rows, result in zip(blocks, pool.map(work, blocks)):
                bar.advance(len(rows))
                yield result
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def check_links(root: Path, names: list[str]) -> None:
    """Refuse images that a symbolic link puts outside the data folder.

    Raises:
        InputError: With the row.
    """
    real_root = os.path.realpath(root)

    @functools.cache
    def inside(path: str) -> bool:
        return Path(os.path.realpath(path)).is_relative_to(real_root)

    for row, name in enumerate(names):
        path = os.path.join(root, name)
        if not inside(os.path.dirname(path)) or (os.path.islink(path) and not inside(path)):
            what = "a link leads out of the data folder"
            raise InputError(what, file=path, row=row + 2, column=IMAGE)


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
        out[index] = fit_image(Image.fromarray(np.ascontiguousarray(image)), size, "stretch")
    return out


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


@functools.lru_cache(maxsize=4)
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
