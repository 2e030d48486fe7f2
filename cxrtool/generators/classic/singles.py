"""One label per image: for generators whose classes exclude each other.

In: the label table of a set in which labels occur together, and a rule. Out: which rows stay and
the one class of each. Study D (BAGAN and OpenGAN on ChestX-ray14) keeps the images that carry
exactly one label.
"""

from dataclasses import dataclass

import numpy as np

from cxrtool.core.errors import InputError, UsageError

#: Rule -> what it does.
RULES = {
    "exactly-one": "rows with one label of the whole set, if it is a conditioning label",
    "one-of-chosen": "rows with one of the conditioning labels, whatever else they have",
    "rarest": "rows with any of the conditioning labels; the rarest of them counts",
}


@dataclass(frozen=True)
class SingleLabels:
    """Single labels of the rows that stay.

    Attributes:
        rule: Of `RULES`.
        rows: int64 [M] positions among the rows given.
        values: float32 [M, L], one 1 in every row.
        dropped: How many rows were left out.
    """

    rule: str
    rows: np.ndarray
    values: np.ndarray
    dropped: int


def reduce_labels(
    everything: np.ndarray, names: tuple[str, ...], columns: tuple[int, ...], rule: str, where: str
) -> SingleLabels:
    """Give every row that stays one label.

    Args:
        everything: [N, A] values of all labels of the set, 0 where unknown.
        names: The L conditioning labels.
        columns: Their columns.
        rule: Of `RULES`.
        where: The data set, for messages.

    Raises:
        InputError: no row stays of a class.
    """
    chosen = everything[:, list(columns)] > 0
    count = chosen.sum(axis=1)
    if rule == "exactly-one":
        keep = (count == 1) & ((everything > 0).sum(axis=1) == 1)
    elif rule == "one-of-chosen":
        keep = count == 1
    else:
        keep = count >= 1
    rows = np.flatnonzero(keep)
    frequency = chosen.sum(axis=0)
    # Of labels that are equally rare the first counts.
    rarity = np.where(chosen[rows], frequency, frequency.max(initial=0) + 1)
    values = np.zeros((len(rows), len(columns)), np.float32)
    if len(columns):
        values[np.arange(len(rows)), rarity.argmin(axis=1)] = 1
    empty = np.flatnonzero(values.sum(axis=0) == 0)
    if len(empty):
        lacking = ", ".join(repr(names[k]) for k in empty)
        raise InputError(
            f"--single-label {rule} leaves no row of {lacking}",
            file=where,
            hint="choose other --labels or another rule: " + ", ".join(RULES),
        )
    return SingleLabels(rule, rows, values, len(everything) - len(rows))


def require_single(
    kind: str, values: np.ndarray, mask: np.ndarray, rule: str | None, arch: str
) -> None:
    """Refuse labels that occur together where no rule says what to make of them.

    Args:
        kind: Label kind of the data set.
        values: [N, L] of the conditioning labels.
        mask: [N, L] bool.
        rule: `--single-label`.
        arch: `--arch`.

    Raises:
        UsageError: a rule is missing.
    """
    if kind == "single" or rule is not None:
        return
    other = int(((values * mask).sum(axis=1) != 1).sum())
    raise UsageError(
        f"--arch {arch} needs one label per image, and this set is a multi-label one "
        f"({other:,} of {len(values):,} training rows have none or several)",
        hint="say which rows count with --single-label " + "|".join(RULES),
    )
