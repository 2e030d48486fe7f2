"""What a generator is conditioned on, and which conditions stand for the training rows.

In: label names, values and which of them are known. Out: the labels that can be learned, and lists
of label vectors: the frequent ones, for mean latents; one for each label, for pictures; how often a
row is shown. For generators whose classes exclude each other also: which rows of a set in which
labels occur together stay, and the one class of each. Study D (BAGAN and OpenGAN on ChestX-ray14)
keeps the images that carry exactly one label.
"""

from dataclasses import dataclass

import numpy as np

from cxrtool.core.config.values import names_of
from cxrtool.core.errors import InputError, UsageError


@dataclass(frozen=True)
class Conditioning:
    """Labels in and out of the condition.

    Attributes:
        labels: Names that the generator takes, in the data set's order.
        columns: Their columns in the data set.
        left_out: Name -> why it is not among them.
    """

    labels: tuple[str, ...]
    columns: tuple[int, ...]
    left_out: dict[str, str]


def choose_labels(
    names: tuple[str, ...], values: np.ndarray, mask: np.ndarray, text: str | tuple[str, ...]
) -> Conditioning:
    """Decide what to condition on.

    A label that no training row has, or that every row has, cannot be learned as a condition: a
    generator would accept it and ignore it. It is left out, with the reason.

    Args:
        names: Labels of the data set.
        values: `[N, L]` in {0, 1}.
        mask: `[N, L]` bool.
        text: "all", "none", names separated by commas, or a tuple of names.

    Raises:
        UsageError: a name that the data set does not have.
    """
    selection = _selected(names, text)
    columns, left_out = [], {}
    for column, name in enumerate(names):
        known = values[mask[:, column], column]
        if name not in selection:
            left_out[name] = "not asked for"
        elif not len(known):
            left_out[name] = "unknown in every training row"
        elif not known.any():
            left_out[name] = "no training row has it"
        elif known.all():
            left_out[name] = "every training row has it"
        else:
            columns.append(column)
    return Conditioning(tuple(names[k] for k in columns), tuple(columns), left_out)


def _selected(names: tuple[str, ...], text: str | tuple[str, ...]) -> set[str]:
    if isinstance(text, tuple):
        return set(text)
    if text == "all":
        return set(names)
    if text == "none":
        return set()
    # A label's name may hold a comma; those that fit as a whole are taken first.
    parts = (text,) if text in names else names_of(text, "--labels")
    for part in parts:
        if part not in names:
            hint = "its labels are " + ", ".join(names) if names else "it has no labels"
            raise UsageError(f"--labels {text}: the data set has no label {part!r}", hint=hint)
    return set(parts)


def frequent_conditions(values: np.ndarray, mask: np.ndarray, most: int = 256) -> np.ndarray:
    """The most frequent label vectors, and each label by itself.

    Args:
        values: `[N, L]` in {0, 1}; unknown values count as 0 here.
        mask: `[N, L]` bool.
        most: How many vectors at most come from the rows.

    Returns:
        float32 `[K, L]`, unique; frequent ones first, ties in lexical order.
    """
    labels = values.shape[1]
    if labels == 0:
        return np.zeros((0, 0), np.float32)
    vectors, counts = np.unique(values * mask, axis=0, return_counts=True)
    order = np.lexsort((np.arange(len(vectors)), -counts))[:most]
    rows = np.vstack([vectors[order], np.zeros((1, labels)), np.eye(labels)])
    _, firsts = np.unique(rows, axis=0, return_index=True)
    return rows[np.sort(firsts)].astype(np.float32)


def picture_rows(
    labels: tuple[str, ...], values: np.ndarray, mask: np.ndarray, most: int = 16
) -> list[tuple[str, np.ndarray]]:
    """Label vectors for the rows of a sample grid, with names.

    For each label the most frequent training vector that has it, and where some rows have no label
    at all, the zero vector first. An unconditional generator has one row of no labels.

    Returns:
        (name, float32 `[L]`) pairs, at most `most`.
    """
    if not labels:
        return [("all", np.zeros(0, np.float32))]
    complete = values * mask
    rows: list[tuple[str, np.ndarray]] = []
    if (complete.sum(axis=1) == 0).any():
        rows.append(("none", np.zeros(len(labels), np.float32)))
    for column, name in enumerate(labels):
        with_it = complete[complete[:, column] == 1]
        vectors, counts = np.unique(with_it, axis=0, return_counts=True)
        rows.append((name, vectors[counts.argmax()].astype(np.float32)))
    return rows[:most]


#: `--sample` -> power q of a row's weight: (rows with its rarest label)^-q.
SAMPLES = {"natural": 0.0, "sqrt": 0.5, "balanced": 1.0}


def row_weights(values: np.ndarray, mask: np.ndarray, sample: str) -> np.ndarray | None:
    """How often rows are shown, so that rare labels come more often than they occur.

    With n_l rows that have label l, the weight of a row is max n_l^-q over the labels that it has,
    that is, its rarest label decides; q is 0, 1/2 or 1. The rows without a label are a group of
    their own. Where an image has one label, `balanced` shows every label equally often.
    (Class-aware sampling; the square root: repeat factors of Gupta et al. 2019, arXiv 1908.03195.)

    Args:
        values: `[N, L]` in {0, 1}.
        mask: `[N, L]` bool.
        sample: Of `SAMPLES`.

    Returns:
        float64 `[N]`, of mean 1; None for all alike.
    """
    power = SAMPLES[sample]
    if not power or not values.shape[1]:
        return None
    has = (values > 0) & mask
    has = np.hstack([has, ~has.any(axis=1, keepdims=True)])
    counts = np.where(has, has.sum(axis=0), len(has) + 1).min(axis=1)
    weights = counts.astype(np.float64) ** -power
    return np.asarray(weights / weights.mean())


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
    everything: np.ndarray,
    names: tuple[str, ...],
    columns: tuple[int, ...],
    rule: str,
    where: str | None,
) -> SingleLabels:
    """Give every row that stays one label.

    Args:
        everything: [N, A] values of all labels of the set, 0 where unknown.
        names: The L conditioning labels.
        columns: Their columns.
        rule: Of `RULES`.
        where: The data set, for messages; None where a class may be without rows.

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
    if len(empty) and where is not None:
        lacking = ", ".join(repr(names[k]) for k in empty)
        what = f"--single-label {rule} leaves no row of {lacking}"
        hint = "choose other --labels or another rule: " + ", ".join(RULES)
        raise InputError(what, file=where, hint=hint)
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
