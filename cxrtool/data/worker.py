"""What a worker process of ``prepare`` does: open, decode, resize, hash, encode, write.

In: a `Job` (the same for all images) and a chunk of (row, reference, name). Out: for every image a
`Done` or a `Bad`, small enough to send. Imports no pandas, so that workers start quickly.
"""

import functools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from cxrtool.core import files
from cxrtool.core.errors import InputError
from cxrtool.data import images
from cxrtool.data.sources.base import Opener


class Item(NamedTuple):
    """One image to convert."""

    row: int
    ref: str
    name: str


class Done(NamedTuple):
    """A converted image. ``enlarged``: it was smaller than the size that was asked for."""

    row: int
    size_bytes: int
    sha256: str
    pixel_key: str
    prepared_key: str
    conversion: str
    enlarged: bool


class Bad(NamedTuple):
    """An image that cannot be used."""

    row: int
    reason: str
    file: str
    hint: str | None


@dataclass(frozen=True)
class Job:
    """What is the same for all images.

    Attributes:
        opener: Opens an image by its reference.
        out: The dataset directory.
        size: Side in pixels.
        fit: ``crop``, ``pad`` or ``stretch``.
    """

    opener: Opener
    out: str
    size: int
    fit: str


def convert(job: Job, items: Sequence[Item]) -> list[Done | Bad]:
    """Convert some images.

    Raises:
        OSError: The output cannot be written (a full disk).
    """
    results: list[Done | Bad] = []
    for item in items:
        try:
            source = job.opener(item.ref)
            if isinstance(source, Path):
                _stay_inside(source, job.opener)
            converted = images.convert(source, job.size, job.fit)
        except InputError as error:
            file = "" if error.file is None else str(error.file)
            results.append(Bad(item.row, error.reason, file, error.hint))
            continue
        data = images.encode_png(converted.pixels)
        # Until the journal vouches for its hash, no file of an unfinished data set is believed.
        files.write_once(Path(job.out, item.name), data)
        results.append(
            Done(
                item.row,
                len(data),
                files.sha256_bytes(data),
                converted.key,
                converted.prepared,
                converted.conversion,
                converted.enlarged,
            )
        )
    return results


@functools.cache
def _real(root: str) -> str:
    return os.path.realpath(root)


def _stay_inside(path: Path, opener: Opener) -> None:
    """Refuse a file that a link puts outside the folder of the source.

    Raises:
        InputError: It lies outside.
    """
    root = getattr(opener, "root", None)
    if root is None:
        return
    real_root, real = _real(os.fspath(root)), os.path.realpath(path)
    if os.path.commonpath((real_root, real)) != real_root:
        hint = "give the folder that holds the images (--images where the format takes it)"
        raise InputError("the image lies outside the data folder", file=path, hint=hint)
