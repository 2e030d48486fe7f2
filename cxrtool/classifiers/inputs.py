"""What a network is asked to read: the size of its input, the labels of its output.

In: a data set and what was typed. Out: numbers and names that fit the data, or a clear refusal. Of
values and masks, the labels that hold both classes, and for each of the others the reason why not,
so that it can be named instead of silently learned from nothing.
"""

from collections.abc import Sequence

import numpy as np

from cxrtool.core.config.values import names_of
from cxrtool.core.errors import InputError, UsageError
from cxrtool.data.labels import LabelPolicy, label_arrays, label_positions
from cxrtool.data.manifest import Dataset
from cxrtool.data.options import SelectionOptions
from cxrtool.data.select import select_rows

#: Positives of a label below which a fraction of the data teaches a seed more than a finding.
LEAST_POSITIVES = 5


def input_size(
    data: Dataset, requested: int | None, weights: int | None = None, least: int = 1
) -> int:
    """Input size of a network: that of its weights, else that of the images, or less.

    Args:
        data: The real set.
        requested: `--size`.
        weights: Size that given weights want; the network enlarges smaller images by itself, in
            training as in evaluation.
        least: The smallest input that the architecture takes.

    Raises:
        InputError: The set has no images.
        UsageError: More is wanted than the images have, or less than the network takes.
    """
    if data.info.size is None:
        raise InputError(
            "the set holds labels and no images",
            file=data.path,
            hint="prepare it again without --labels-only",
        )
    if requested is None and weights is not None:
        return weights
    size = requested or data.info.size
    if size > max(data.info.size, weights or 0):
        raise UsageError(
            f"--size {size} is more than the {data.info.size} px of {data.path}",
            hint=f"prepare the data with --size {size}",
        )
    if size < least:
        raise UsageError(
            f"{size} px are too few for this network, which takes {least} or more",
            hint="use --arch small_cnn, or prepare larger images",
        )
    return size


def wanted_labels(data: Dataset, classes: str | None) -> tuple[str, ...]:
    """The labels of `--classes` in the spelling of the data, or all that the source covers.

    Raises:
        InputError: A label that the data does not have.
        UsageError: No label is named, or one twice.
    """
    if classes is None:
        return tuple(n for n, covered in zip(data.info.labels, data.info.covered) if covered)
    names = names_of(classes, "--classes")
    return tuple(
        data.labels[k] for k in dict.fromkeys(label_positions(data.labels, names, "--classes"))
    )


def refuse_thin_fraction(
    data: Dataset,
    rows: np.ndarray,
    options: SelectionOptions,
    labels: tuple[str, ...],
    policy: LabelPolicy,
) -> None:
    """A fraction must leave positives of every label that the whole can teach.

    Args:
        data: The real set.
        rows: Its chosen training rows.
        options: What they were chosen by.
        labels: Labels to learn.
        policy: What uncertain and blank mean.

    Raises:
        InputError: Fewer than `LEAST_POSITIVES` of a label; names each with its count.
    """
    if options.fraction >= 1:
        return
    columns = label_positions(data.labels, labels)
    whole = select_rows(data, SelectionOptions(view=options.view, split=options.split))
    positives = []
    for part in (rows, whole):
        values, mask = label_arrays(data, part, policy)
        positives.append((values * mask)[:, columns].sum(axis=0))
    thin = [
        f"{name} has {int(n)} of {int(all_)}"
        for name, n, all_ in zip(labels, *positives)
        if n < LEAST_POSITIVES and all_ > 0
    ]
    if thin:
        raise InputError(
            f"--fraction {options.fraction:g} leaves fewer than {LEAST_POSITIVES} positives: "
            + ", ".join(thin),
            file=data.path,
            hint="use a larger --fraction, or leave these labels out with --classes",
        )


def learnable(
    labels: Sequence[str], values: np.ndarray, mask: np.ndarray, *, where: str
) -> tuple[list[int], dict[str, str]]:
    """Split labels into those with both classes and those without.

    Args:
        labels: L names.
        values: [N, L] in {0, 1}.
        mask: [N, L] bool.
        where: What the rows are, for the message.

    Returns:
        ``(positions, left_out)``: positions of the labels with both classes, and name -> reason.

    Raises:
        InputError: No label is left.
    """
    left_out = {}
    for k, name in enumerate(labels):
        cells = values[mask[:, k], k]
        if not len(cells):
            left_out[name] = "no cell says anything"
        elif not (cells == 1).any():
            left_out[name] = "no positive"
        elif not (cells == 0).any():
            left_out[name] = "no negative"
    positions = [k for k, name in enumerate(labels) if name not in left_out]
    if not positions:
        why = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
        raise InputError(
            f"no label has both classes in {where} ({why or 'there are no labels'})",
            hint="check --classes, --uncertain, --blank, and the row selection",
        )
    return positions, left_out
