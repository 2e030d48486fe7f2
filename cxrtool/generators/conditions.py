"""What a generator is conditioned on, and which conditions stand for the training rows.

In: label names, values and which of them are known. Out: the labels that can be learned, and lists
of label vectors: the frequent ones, for mean latents; one for each label, for pictures.
"""

from dataclasses import dataclass

import numpy as np

from cxrtool.core.errors import UsageError


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
    names: tuple[str, ...], values: np.ndarray, mask: np.ndarray, text: str
) -> Conditioning:
    """Decide what to condition on.

    A label that no training row has, or that every row has, cannot be learned as a condition: a
    generator would accept it and ignore it. It is left out, with the reason.

    Args:
        names: Labels of the data set.
        values: `[N, L]` in {0, 1}.
        mask: `[N, L]` bool.
        text: "all", "none", or names separated by commas.

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


def _selected(names: tuple[str, ...], text: str) -> set[str]:
    if text == "all":
        return set(names)
    if text == "none":
        return set()
    # A label's name may hold a comma; those that fit as a whole are taken first.
    parts = [text] if text in names else [part.strip() for part in text.split(",")]
    for part in parts:
        if part not in names:
            raise UsageError(
                f"--labels {text}: the data set has no label {part!r}",
                hint="its labels are " + ", ".join(names) if names else "it has no labels",
            )
    return set(parts)


def frequent_conditions(values: np.ndarray, mask: np.ndarray, most: int) -> np.ndarray:
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
