"""``random``: another patient's text in the place of each.

In: the table of a run, whose ``random`` columns still hold each report's own text. Out: the same
rows with those texts exchanged. All reports with a text are put in an order that a seed and their
ids alone decide, closed to a ring; each gets the text of the next one that is of another patient
(without patient ids: of another study). So the texts stay about as frequent as they are, and the
order of the rows does not matter. A report without a text stays without.

The table is read twice from a file; in memory are three numbers a row.
"""

import csv
import hashlib
from array import array
from collections.abc import Iterator
from typing import IO

import numpy as np

from cxrtool.core.errors import InputError
from cxrtool.data.columns import PATIENT, RANDOM_TEXTS, STUDY
from cxrtool.data.tables import MAX_CELL_BYTES

NOBODY = -1


def exchanged(draft: IO[bytes], seed: int) -> Iterator[list[str]]:
    """The rows of a table with the texts of its ``random`` columns exchanged, the header first.

    Args:
        draft: The table, as CSV in UTF-8, open for reading at random.
        seed: Of the order.

    Raises:
        InputError: All texts of a column are of one patient.
    """
    csv.field_size_limit(MAX_CELL_BYTES)
    draft.seek(0)
    rows = _rows(draft)
    _, header = next(rows)
    columns = [i for i, name in enumerate(header) if name in RANDOM_TEXTS]
    study, patient = header.index(STUDY), header.index(PATIENT)
    starts, keys, people = array("Q"), array("Q"), array("Q")
    filled = [array("b") for _ in columns]
    for start, row in rows:
        starts.append(start)
        keys.append(_order(row[study], row[patient], seed))
        people.append(_person(row[study], row[patient]))
        for flags, column in zip(filled, columns):
            flags.append(bool(row[column]))
    drawn = [
        _drawn(
            np.frombuffer(keys, np.uint64),
            np.frombuffer(people, np.uint64),
            np.frombuffer(flags, np.int8) > 0,
        )
        for flags in filled
    ]
    yield header
    for i, start in enumerate(starts):
        row = _row_at(draft, start)
        for column, partner in zip(columns, drawn):
            if partner[i] != NOBODY:
                row[column] = _row_at(draft, starts[partner[i]])[column]
        yield row


def _drawn(keys: np.ndarray, people: np.ndarray, filled: np.ndarray) -> np.ndarray:
    partner = np.full(len(keys), NOBODY, dtype=np.int64)
    ring = np.flatnonzero(filled)
    if not len(ring):
        return partner
    ring = ring[np.argsort(keys[ring], kind="stable")]
    own = people[ring]
    # The last of each run of one person; behind it stands somebody else.
    lasts = np.flatnonzero(own != np.roll(own, -1))
    if not len(lasts):
        raise InputError(
            "the texts are all of one patient: there is no other patient's text to draw",
            hint="leave the random texts out of --texts",
        )
    next_last = lasts[np.searchsorted(lasts, np.arange(len(ring))) % len(lasts)]
    partner[ring] = ring[(next_last + 1) % len(ring)]
    return partner


def _order(study: str, patient: str, seed: int) -> int:
    return _hash(f"{seed}\0{patient}\0{study}")


def _person(study: str, patient: str) -> int:
    return _hash(f"patient\0{patient}" if patient else f"study\0{study}")


def _hash(text: str) -> int:
    data = text.encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


def _rows(stream: IO[bytes]) -> Iterator[tuple[int, list[str]]]:
    """Every row with the offset of its first byte."""
    offset = start = 0

    def lines() -> Iterator[str]:
        nonlocal offset
        for line in stream:
            offset += len(line)
            yield line.decode("utf-8")

    for row in csv.reader(lines()):
        yield start, row
        start = offset


def _row_at(stream: IO[bytes], start: int) -> list[str]:
    stream.seek(start)
    return next(csv.reader(line.decode("utf-8") for line in iter(stream.readline, b"")))
