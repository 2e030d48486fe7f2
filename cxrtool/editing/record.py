"""What an edit is on record: rows of the manifest, rows of edits.csv, labels.

In: what was asked for, what each image began from, what was measured before and after, and, where
there is a teacher, its readings. Out: tables of strings.

Labels of an edited image are a claim. Without a teacher nobody has checked it: all labels are
blank, and the data set says that it covers none, so that they are masked in every loss and metric
(the labels of the start stand in `start_labels`). With a teacher, the labels that the target text
names are set to its reading of the edited image, and the others stay as they were.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

FOLDER_IMAGES = 1000  # images in a folder


@dataclass(frozen=True)
class Teacher:
    """A classifier's readings of N images.

    Attributes:
        labels: [K] names.
        before: [N, K] probabilities.
        after: [N, K].
        threshold: From which probability on a label is read as there.
    """

    labels: tuple[str, ...]
    before: np.ndarray
    after: np.ndarray
    threshold: float


def image_name(position: int) -> str:
    """File of an edited image."""
    return f"images/{position // FOLDER_IMAGES:04}/{position:07}.png"


def accepted(teacher: Teacher, targets: Sequence[str], sign: int) -> np.ndarray:
    """Whether all target labels read as asked for after the edit: [N] bool."""
    columns = [teacher.labels.index(label) for label in targets]
    there = teacher.after[:, columns] >= teacher.threshold
    return np.asarray((there if sign > 0 else ~there).all(axis=1))


def label_cells(
    labels: Sequence[str],
    start: np.ndarray,
    targets: Sequence[str],
    teacher: Teacher | None,
) -> np.ndarray:
    """Label cells of the edited images.

    Args:
        labels: L names.
        start: [N, L] cells of the starts ("1", "0", "-1", "").
        targets: Labels that the text names and that the teacher reads.
        teacher: Its readings, or None.

    Returns:
        [N, L] object array of str.
    """
    if teacher is None or not targets:
        return np.full(start.shape, "", dtype=object)
    cells = start.astype(object).copy()
    for label in targets:
        reading = teacher.after[:, teacher.labels.index(label)] >= teacher.threshold
        cells[:, list(labels).index(label)] = np.where(reading, "1", "0")
    return cells


def start_labels(labels: Sequence[str], start: np.ndarray) -> list[str]:
    """The labels that are 1 at the start, joined by "|": N texts."""
    return ["|".join(n for n, c in zip(labels, row, strict=True) if c == "1") for row in start]


def manifest_table(
    names: Sequence[str],
    inherited: pd.DataFrame,
    labels: Sequence[str],
    start: np.ndarray,
    targets: Sequence[str],
    teacher: Teacher | None,
    accept: np.ndarray | None,
    columns: dict[str, Any],
) -> pd.DataFrame:
    """The manifest of the edited images.

    Args:
        names: Their files.
        inherited: Columns that they have from their starts.
        labels: L names.
        start: [N, L] label cells of the starts.
        targets: See `label_cells`.
        teacher: See `label_cells`.
        accept: Whether each edit is verified; None where nobody looked.
        columns: Further columns, one value or N.
    """
    cells = label_cells(labels, start, targets, teacher)
    table = inherited.assign(image=list(names), source="edited", **columns)
    table["start_labels"] = start_labels(labels, start)
    for k, label in enumerate(labels):
        table[label] = cells[:, k]
    if accept is not None:
        table["accepted"] = ["1" if yes else "0" for yes in accept]
    return table


def edits_table(
    names: Sequence[str],
    parents: Sequence[str],
    prompt: str,
    sign: str,
    measures: dict[str, np.ndarray],
    teacher: Teacher | None,
    accept: np.ndarray | None,
) -> pd.DataFrame:
    """Rows of edits.csv: CLIP similarities before and after, how far the image moved, readings."""
    columns: dict[str, Any] = {
        "image": list(names),
        "parent": list(parents),
        "prompt": prompt,
        "sign": sign,
    }
    columns |= {name: [f"{v:.6f}" for v in values] for name, values in measures.items()}
    if teacher is not None:
        for k, label in enumerate(teacher.labels):
            columns[f"{label} before"] = [f"{v:.6f}" for v in teacher.before[:, k]]
            columns[f"{label} after"] = [f"{v:.6f}" for v in teacher.after[:, k]]
    if accept is not None:
        columns["accepted"] = ["1" if yes else "0" for yes in accept]
    return pd.DataFrame(columns, dtype=object)
