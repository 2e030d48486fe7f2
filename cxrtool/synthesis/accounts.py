"""What is known of every slot: how often it was tried, why images were refused, their scores.

In: the verdicts of filters, a try at a time. Out: ``filters.csv`` (a row a slot), the summary a
class, and a journal by which a run that was interrupted knows which of its images are final. A
rejected try is written down with its slot once that slot has an image, so the account of a slot is
whole or absent.
"""

import contextlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pandas as pd

from cxrtool.core.errors import InputError
from cxrtool.core.reading import open_file
from cxrtool.core.runs import Run
from cxrtool.data.writer import DatasetWriter
from cxrtool.synthesis.arrays import FloatArray, IntArray
from cxrtool.synthesis.slots import PART, in_parts
from cxrtool.synthesis.writer import slot_image

JOURNAL = "checkpoints/slots.jsonl"
TABLE = "filters.csv"


class Accounts:
    """Tries, rejections and scores of the slots of a plan.

    Args:
        n_slots: Slots in the plan (of all shards).
        filters: Names of what may reject an image.
        meters: Names of what is measured on every image.

    Attributes:
        tries: How often each slot was tried [n]; 0 while it has no image.
        rejected: How many tries each filter rejected [n, F]; a try may be rejected by several.
        first: Scores of each slot's first try [n, M]: those of unfiltered images.
        kept: Scores of the image that was kept [n, M].
    """

    def __init__(self, n_slots: int, filters: Sequence[str], meters: Sequence[str]) -> None:
        self.filters, self.meters = tuple(filters), tuple(meters)
        self.tries = np.zeros(n_slots, dtype=np.int64)
        self.rejected = np.zeros((n_slots, len(self.filters)), dtype=np.int32)
        self.first = np.full((n_slots, len(self.meters)), np.nan, dtype=np.float32)
        self.kept = np.full((n_slots, len(self.meters)), np.nan, dtype=np.float32)

    @property
    def silent(self) -> bool:
        """Whether there is nothing to account for but one try a slot."""
        return not self.filters and not self.meters

    def reject(self, slot: int, attempt: int, scores: FloatArray, by: Sequence[str]) -> None:
        """A try that was refused."""
        if attempt == 0:
            self.first[slot] = scores
        for name in by:
            self.rejected[slot, self.filters.index(name)] += 1

    def accept(self, slot: int, attempt: int, scores: FloatArray) -> None:
        """The try that is kept."""
        if attempt == 0:
            self.first[slot] = scores
        self.kept[slot] = scores
        self.tries[slot] = attempt + 1

    # the journal

    def take_over(self, run: Run, writer: DatasetWriter) -> None:
        """Read the journal of an interrupted run: what it says of slots that have their image.

        A last line that was cut short is left out, and the journal is written anew with the lines
        that hold, so that no stale one meets a later image.
        """
        path = run.path(JOURNAL)
        with contextlib.suppress(FileNotFoundError), open_file(path) as lines:
            for line in lines:
                with contextlib.suppress(ValueError, TypeError, IndexError, RecursionError):
                    slot, tries, rejected, first, kept = json.loads(line)
                    if writer.have(slot_image(slot)):
                        self.tries[slot], self.rejected[slot] = tries, rejected
                        self.first[slot], self.kept[slot] = _floats(first), _floats(kept)
        with run.atomic(JOURNAL) as path, open(path, "w", encoding="utf-8") as stream:
            for some in in_parts(np.flatnonzero(self.tries)):
                self.write_journal(stream, some.tolist())

    def write_journal(self, stream: TextIO, slots: Sequence[int]) -> None:
        """Append the accounts of some slots, a line each, and hand them to the system."""
        for slot in slots:
            scores = [[number(v) for v in values[slot]] for values in (self.first, self.kept)]
            cells = [slot, int(self.tries[slot]), self.rejected[slot].tolist(), *scores]
            stream.write(json.dumps(cells, separators=(",", ":")) + "\n")
        stream.flush()

    # the table

    def write_table(
        self, run: Run, slots: IntArray, stream_of: IntArray, labels: Sequence[str]
    ) -> None:
        """Write ``filters.csv``: tries, refusals by filter, first and kept scores.

        Args:
            run: Where.
            slots: Slots that have a row [n].
            stream_of: Which class each slot of the plan serves [all slots].
            labels: Names of the target classes.
        """
        with run.atomic(TABLE) as path, open(path, "w", encoding="utf-8", newline="") as stream:
            for i, some in enumerate(in_parts(slots)):
                classes = [labels[k] for k in stream_of[some].tolist()]
                columns: dict[str, Any] = {"slot": some, "class": classes}
                columns["tries"] = self.tries[some]
                for f, name in enumerate(self.filters):
                    columns[f"{name}_rejected"] = self.rejected[some, f]
                for m, name in enumerate(self.meters):
                    columns[f"{name}_first"] = [number(v) for v in self.first[some, m]]
                    columns[f"{name}_kept"] = [number(v) for v in self.kept[some, m]]
                table = pd.DataFrame(columns)
                stream.write(table.to_csv(index=False, header=i == 0, lineterminator="\n"))

    def read_table(self, path: Path) -> None:
        """Take over the rows of a shard's ``filters.csv``.

        Raises:
            InputError: It is damaged or has other columns.
        """
        try:
            with pd.read_csv(path, dtype=str, keep_default_na=False, chunksize=PART) as parts:
                for part in parts:
                    slots = part["slot"].to_numpy(dtype=np.int64)
                    self.tries[slots] = part["tries"].to_numpy(dtype=np.int64)
                    for f, name in enumerate(self.filters):
                        self.rejected[slots, f] = part[f"{name}_rejected"].to_numpy(dtype=np.int32)
                    for m, name in enumerate(self.meters):
                        self.first[slots, m] = _floats(part[f"{name}_first"])
                        self.kept[slots, m] = _floats(part[f"{name}_kept"])
        except (OSError, ValueError, KeyError, IndexError) as error:
            raise InputError(f"is damaged: {error}", file=path) from None

    def score_cells(self, slots: IntArray, without: str) -> list[str]:
        """The cell ``filter_score`` of some rows: ``name=value`` of every meter but one."""
        pairs = [(m, name) for m, name in enumerate(self.meters) if name != without]
        kept = self.kept[slots]
        return [";".join(f"{name}={number(row[m])}" for m, name in pairs) for row in kept]

    def cells(self, slots: IntArray, meter: str) -> list[str]:
        """One meter's values of some rows as text; blank if it is not measured."""
        if meter not in self.meters:
            return [""] * len(slots)
        m = self.meters.index(meter)
        return [number(v) for v in self.kept[slots, m]]


def _floats(cells: Iterable[str]) -> FloatArray:
    return np.array([np.float32(cell or "nan") for cell in cells], dtype=np.float32)


def number(value: np.float32 | float) -> str:
    """A float32 as the shortest text that gives it back; blank for NaN."""
    return "" if np.isnan(value) else str(np.float32(value))


def summary(
    accounts: Accounts, slots: IntArray, stream_of: IntArray, labels: Sequence[str]
) -> dict[str, Any]:
    """What ``result.json`` says a class.

    Args:
        accounts: Of the slots.
        slots: Slots that have an image [n].
        stream_of: Which class each slot of the plan serves [all slots].
        labels: Names of the target classes.

    Returns:
        Class -> ``images``, ``tries``, ``acceptance`` (images over tries), ``rejected`` (filter ->
        tries that it refused) and ``scores`` (meter -> mean of ``first`` tries, mean of the
        ``kept`` images, and their ``shift``: how far filtering has moved what is measured).
    """
    classes: dict[str, Any] = {}
    for k, label in enumerate(labels):
        mine = slots[stream_of[slots] == k]
        if not len(mine):
            continue
        tries = int(accounts.tries[mine].sum())
        scores = {}
        for m, name in enumerate(accounts.meters):
            first = float(accounts.first[mine, m].mean(dtype=np.float64))
            kept = float(accounts.kept[mine, m].mean(dtype=np.float64))
            means = {"first": first, "kept": kept, "shift": kept - first}
            scores[name] = {key: round(mean, 6) for key, mean in means.items()}
        rejected = accounts.rejected[mine].sum(axis=0)
        classes[label] = {
            "images": len(mine),
            "tries": tries,
            "acceptance": round(len(mine) / tries, 6),
            "rejected": {n: int(r) for n, r in zip(accounts.filters, rejected, strict=True)},
            "scores": scores,
        }
    return classes
