"""What a network is asked to read: the size of its input, the labels of its output.

In: a data set and what was typed. Out: numbers and names that fit the data, or a clear refusal.
"""

from __future__ import annotations

from cxrtool.data.labels import label_positions
from cxrtool.data.manifest import Dataset
from cxrtool.errors import InputError, UsageError


def input_size(data: Dataset, wanted: int | None) -> int:
    """Input size of a network: that of the images, or less.

    Raises:
        InputError: The set has no images.
        UsageError: More is wanted than the images have.
    """
    if data.info.size is None:
        raise InputError(
            "the set holds labels and no images",
            file=data.path,
            hint="prepare it again without --labels-only",
        )
    size = wanted or data.info.size
    if size > data.info.size:
        raise UsageError(
            f"--size {size} is more than the {data.info.size} px of {data.path}",
            hint=f"prepare the data with --size {size}",
        )
    return size


def wanted_labels(data: Dataset, classes: str | None) -> tuple[str, ...]:
    """The labels of `--classes` in the spelling of the data, or all that the source covers.

    Raises:
        InputError: A label that the data does not have.
        UsageError: No label is named.
    """
    if classes is None:
        return tuple(n for n, covered in zip(data.info.labels, data.info.covered) if covered)
    names = [name.strip() for name in classes.split(",") if name.strip()]
    if not names:
        raise UsageError("--classes names no label")
    return tuple(data.labels[k] for k in dict.fromkeys(label_positions(data.labels, names)))
