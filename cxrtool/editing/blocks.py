"""Work in blocks of one fixed size, each of which is done once.

In: a number of images and a function that edits one block. Out: the finished blocks, in order. A
network's last bits depend on the batch size, so every block is as large as every
other one (the last is filled up with its last image again) and an image's edit depends on nothing
but its own start. A finished block is kept in `checkpoints/blocks/`, so that a killed run repeats
at most one.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from cxrtool.core import console

if TYPE_CHECKING:
    from cxrtool.core.runs import Run

Arrays = dict[str, np.ndarray]


def block_positions(n: int, block: int) -> list[np.ndarray]:
    """Positions of each block, [block] int64; the last one repeats position n - 1."""
    starts = range(0, n, block)
    return [np.minimum(np.arange(start, start + block), n - 1) for start in starts]


def finished_blocks(
    n: int,
    block: int,
    work: Callable[[np.ndarray], Arrays],
    run: Run,
    label: str,
    folder: str = "blocks",
) -> Iterator[tuple[np.ndarray, Arrays]]:
    """Do or read back every block.

    Args:
        n: Images in all.
        block: Images a block.
        work: Positions [block] -> arrays whose first axis is [block].
        run: Keeps finished blocks, progress and the stop signal.
        label: Of the progress.
        folder: Below `checkpoints/`, where the blocks are kept.

    Yields:
        (positions [m], arrays [m, ...]) with m = block, and less for the last one.
    """
    with run.progress(label, total=n) as bar:
        for number, positions in enumerate(block_positions(n, block)):
            run.check_stop()
            arrays = stored(run, f"{folder}/{number:06}", lambda: work(positions))  # noqa: B023
            m = len(np.unique(positions))
            bar.advance(m)
            yield positions[:m], {key: value[:m] for key, value in arrays.items()}


def stored(run: Run, name: str, make: Callable[[], Arrays]) -> Arrays:
    """Arrays from `checkpoints/NAME.npz`, made and kept there if they are not."""
    file = f"checkpoints/{name}.npz"
    arrays = _read(run, file)
    if arrays is None:
        arrays = make()
        with run.atomic(file) as path, open(path, "wb") as stream:
            np.savez(stream, **arrays)  # type: ignore[arg-type]
    return arrays


def _read(run: Run, name: str) -> Arrays | None:
    path = run.path(name)
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {key: stored[key] for key in stored.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        console.warn(f"{path} is damaged ({error}); its images are made again")
        return None
