"""What an edit is on record: rows of the manifest, rows of edits.csv, labels.

In: what was asked for, what each image began from, what was measured before and after, and, where
there is a teacher, its readings. Out: tables of strings.

Labels of an edited image are a claim. Without a teacher nobody has checked it: all labels are
blank, and the data set says that it covers none, so that they are masked in every loss and metric
(the labels of the start stand in `start_labels`). With a teacher, every label that it reads is set
to its reading of the edited image, named by the target or not: an edit moves more than what was
asked for. Labels that it does not read stay as they were. Then "No Finding" and the findings are
brought together: it is 0 where a finding is there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from cxrtool.data import derived
from cxrtool.editing.measure import gray_rms

ABSENT = 0.5  # share of the threshold below which a label is read as absent


@dataclass(frozen=True)
class Request:
    """What an edit is to do.

    Attributes:
        method: Way of editing.
        text: The target.
        sign: "+" or "-".
        targets: Labels that the text names and that the teacher can verify.
        contradicted: Labels that cannot be there together with a target.
        excludes: A label that means the absence of others ("No Finding") -> those others.
        single: Whether an image has one label at most; that of the highest probability stays.
    """

    method: str
    text: str
    sign: str
    targets: tuple[str, ...] = ()
    contradicted: tuple[str, ...] = ()
    excludes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    single: bool = False


@dataclass(frozen=True)
class Readings:
    """What a teacher reads in N images.

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

    def reads(self, label: str) -> np.ndarray:
        """Whether a label is there after the edit: [N] bool."""
        return np.asarray(self.after[:, self.labels.index(label)] >= self.threshold)

    def lacks(self, label: str) -> np.ndarray:
        """Whether a label is clearly not there after the edit: [N] bool."""
        return np.asarray(self.after[:, self.labels.index(label)] < ABSENT * self.threshold)


def accepted(teacher: Readings | None, request: Request) -> np.ndarray | None:
    """Whether all target labels read as asked for after the edit: [N] bool; None if nobody can.

    Where nothing was to be found, no finding may be read either.
    """
    if teacher is None or not request.targets:
        return None
    there = np.stack([teacher.reads(label) for label in request.targets], axis=1)
    if request.sign == "-":
        return np.asarray((~there).all(axis=1))
    accept = there.all(axis=1)
    for target in request.targets:
        for other in request.excludes.get(target, ()):
            if other in teacher.labels:
                accept &= ~teacher.reads(other)
    return np.asarray(accept)


def label_cells(
    labels: Sequence[str], start: np.ndarray, request: Request, teacher: Readings | None
) -> np.ndarray:
    """Label cells of the edited images.

    A target is there from the teacher's threshold on, else absent, as it is accepted; any other
    label is absent below `ABSENT` of the threshold alone, and blank between.

    Args:
        labels: L names.
        start: [N, L] cells of the starts ("1", "0", "-1", "").
        request: What the edit was to do.
        teacher: Its readings, or None.

    Returns:
        [N, L] object array of str.
    """
    if teacher is None:
        return np.full(start.shape, "", dtype=object)
    cells = start.astype(object).copy()
    names = list(labels)
    for k, label in enumerate(names):
        if label in teacher.labels:
            there = teacher.reads(label)
            absent = ~there if label in request.targets else teacher.lacks(label)
            cells[:, k] = np.where(there, "1", np.where(absent, "0", ""))
    if request.single:
        _one_each(cells, names, teacher)
    accept = accepted(teacher, request)
    for nothing, findings in request.excludes.items():
        if nothing not in names:
            continue
        columns = [names.index(f) for f in findings if f in names]
        if accept is not None and request.sign == "+" and nothing in request.targets:
            read = [c for c in columns if names[c] in teacher.labels]
            for column in read:  # accepted: the teacher reads none of them
                cells[accept, column] = "0"
        finding = np.isin(cells[:, columns].astype(str), ("1", "-1")).any(axis=1)
        cells[finding, names.index(nothing)] = "0"
    # Templates that do not say what No Finding excludes leave it to this.
    finding = derived.denied(pd.DataFrame(cells, columns=names))
    for nothing in derived.nothing_found(names):
        column = names.index(nothing)
        cells[finding & (cells[:, column] == "1"), column] = "0"
    return cells


def _one_each(cells: np.ndarray, names: list[str], teacher: Readings) -> None:
    """Where several labels of an image are 1, the most probable one stays, the others become 0."""
    read = [label for label in teacher.labels if label in names]
    after = teacher.after[:, [teacher.labels.index(label) for label in read]]
    best = np.array([names.index(label) for label in read])[after.argmax(axis=1)]
    for row in np.flatnonzero((cells == "1").sum(axis=1) > 1):
        others = [k for k in range(len(names)) if k != best[row] and cells[row, k] == "1"]
        cells[row, others] = "0"


def start_labels(labels: Sequence[str], start: np.ndarray) -> list[str]:
    """The labels that are 1 at the start, joined by "|": N texts."""
    return ["|".join(n for n, c in zip(labels, row, strict=True) if c == "1") for row in start]


def manifest_table(
    names: Sequence[str],
    columns: pd.DataFrame,
    labels: Sequence[str],
    start: np.ndarray,
    request: Request,
    teacher: Readings | None,
    accept: np.ndarray | None,
) -> pd.DataFrame:
    """The manifest of the edited images.

    Args:
        names: Their files.
        columns: What they have from their starts and from the run.
        labels: L names.
        start: [N, L] label cells of the starts.
        request: What the edit was to do.
        teacher: Its readings, or None where no label of the data set is to count.
        accept: Whether each edit is verified; None where nobody can tell.
    """
    cells = label_cells(labels, start, request, teacher)
    table = columns.assign(
        image=list(names),
        source="edited",
        prompt=request.text,
        edit=f"{request.method} {request.sign}",
    )
    table["start_labels"] = start_labels(labels, start)
    for k, label in enumerate(labels):
        table[label] = cells[:, k]
    if accept is not None:
        table["accepted"] = ["1" if yes else "0" for yes in accept]
    elif teacher is not None:
        table["accepted"] = ""
    return table


def measures(arrays: dict[str, np.ndarray], originals: np.ndarray | None) -> dict[str, np.ndarray]:
    """The numbers of edits.csv, [N] each, by column."""
    ends = ("target", "opposite", "direction")
    names = [f"{end}_{when}" for end in ends for when in ("before", "after")]
    numbers = {name: arrays[name] for name in (*names, "way", "gray_rms", "distance")}
    if originals is not None:
        numbers["inversion_gray_rms"] = gray_rms(originals, arrays["before"])
    return numbers


def edits_table(
    names: Sequence[str],
    parents: Sequence[str],
    request: Request,
    numbers: dict[str, np.ndarray],
    teacher: Readings | None,
    accept: np.ndarray | None,
) -> pd.DataFrame:
    """Rows of edits.csv: CLIP similarities before and after, how far the image moved, readings."""
    columns: dict[str, Any] = {
        "image": list(names),
        "parent": list(parents),
        "prompt": request.text,
        "sign": request.sign,
    }
    columns |= {name: [f"{v:.6f}" for v in values] for name, values in numbers.items()}
    if teacher is not None:
        for k, label in enumerate(teacher.labels):
            columns[f"{label} before"] = [f"{v:.6f}" for v in teacher.before[:, k]]
            columns[f"{label} after"] = [f"{v:.6f}" for v in teacher.after[:, k]]
    if accept is not None:
        columns["accepted"] = ["1" if yes else "0" for yes in accept]
    return pd.DataFrame(columns, dtype=object)


def summary(
    request: Request, numbers: dict[str, np.ndarray], accept: np.ndarray | None
) -> dict[str, Any]:
    """What result.json says of the edits."""
    before, after = numbers["direction_before"], numbers["direction_after"]
    moved = after - before if request.sign == "+" else before - after
    record: dict[str, Any] = {
        "images": len(before),
        "target": request.text,
        "sign": request.sign,
        "method": request.method,
        "similarity_before": float(before.mean()),
        "similarity_after": float(after.mean()),
        "moved_as_asked": float((moved > 0).mean()),
        "gray_rms": float(numbers["gray_rms"].mean()),
        "distance": float(numbers["distance"].mean()),
        "targets": list(request.targets),
        "accepted": None if accept is None else int(accept.sum()),
    }
    if "inversion_gray_rms" in numbers:
        record["inversion_gray_rms"] = float(numbers["inversion_gray_rms"].mean())
    return record
