"""Work in blocks of one fixed size, each of which is done once.

In: a number of images and a function that edits one block. Out: the arrays of all images. A
network's last bits depend on the batch size, so every block is as large as every
other one (the last is filled up with its last image again) and an image's edit depends on nothing
but its own start. A finished block is kept in `checkpoints/blocks/`, so that a killed run repeats
at most one.
"""

import zipfile
from collections.abc import Callable

import numpy as np

from cxrtool.core import console
from cxrtool.core.runs import Run

Arrays = dict[str, np.ndarray]


def in_blocks(
    n: int,
    block: int,
    work: Callable[[np.ndarray], Arrays],
    run: Run,
    label: str,
    folder: str = "blocks",
) -> Arrays:
    """Do or read back every block.

    Args:
        n: Images in all.
        block: Images a block.
        work: Positions [block] -> arrays whose first axis is [block]; those of the last block
            repeat position n - 1.
        run: Keeps finished blocks, progress and the stop signal.
        label: Of the progress.
        folder: Below `checkpoints/`, where the blocks are kept.

    Returns:
        Arrays [n, ...].
    """
    parts = []
    with run.progress(label, total=n) as bar:
        for first in range(0, n, block):
            run.check_stop()
            positions = np.minimum(np.arange(first, first + block), n - 1)
            name = f"{folder}/{first // block:06}"
            arrays = stored(run, name, lambda: work(positions))  # noqa: B023
            parts.append({key: value[: n - first] for key, value in arrays.items()})
            bar.advance(min(block, n - first))
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def stored(run: Run, name: str, make: Callable[[], Arrays]) -> Arrays:
    """Arrays from `checkpoints/NAME.npz`, made and kept there if they are not."""
    file = f"checkpoints/{name}.npz"
    path = run.path(file)
    if path.exists():
        try:
            with np.load(path, allow_pickle=False) as content:
                return dict(content)
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            console.warn(f"{path} is damaged ({error}); its images are made again")
    arrays = make()
    with run.atomic(file) as place, open(place, "wb") as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]
    return arrays
