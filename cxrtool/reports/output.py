"""The table that extract-reports writes, row by row.

In: reports, their labels and their texts. Out: ``manifest.csv``, or the same as JSON or Parquet,
and lines of ``evidence.jsonl``.
"""

import csv
import io
import json
import tempfile
from bisect import bisect_right
from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO

import pandas as pd

from cxrtool.data.columns import EXTERNAL, PATIENT, RANDOM_TEXTS, REPORT, STUDY
from cxrtool.data.tables import MAX_CELL_BYTES, import_pyarrow, typed
from cxrtool.reports.labeler import Labels
from cxrtool.reports.report import Report
from cxrtool.reports.texts import base_of
from cxrtool.reports.texts.external import ExternalTexts
from cxrtool.reports.texts.shuffle import exchanged

_GROUP = 10_000  # rows of a Parquet file that are written at once
_JSON = json.JSONEncoder(ensure_ascii=False).encode  # json.dumps makes an encoder every time


def columns(observations: Sequence[str], texts: Sequence[str]) -> list[str]:
    """The columns of ``manifest.csv``; ``patient_id`` is blank where the source has none.

    Args:
        observations: The labels.
        texts: The text strategies.
    """
    return [STUDY, PATIENT, *observations, REPORT, *texts]


def cell(value: int | None) -> str:
    """A label as a cell."""
    return "" if value is None else str(value)


def value_of(cell: str) -> int | None:
    """The label that a cell says."""
    return int(cell) if cell else None


def row(report: Report, labels: Labels, texts: Mapping[str, str]) -> list[str]:
    """A line of ``manifest.csv``.

    Args:
        report: The report.
        labels: Its labels.
        texts: Its texts by strategy, as ``TextMaker`` makes them.
    """
    values = (cell(value) for value in labels.values.values())
    return [report.study, report.patient, *values, report.text, *texts.values()]


class JsonRows:
    """Writes rows as JSON objects: labels as numbers or null, all else as texts.

    Args:
        out: Where to.
        names: The columns.
        labels: Those of them that are labels.
        array: One array, instead of an object a line.
    """

    def __init__(
        self, out: IO[str], names: Sequence[str], labels: Container[str], *, array: bool
    ) -> None:
        self._out, self._array, self._first = out, array, True
        self._names = [(name, name in labels) for name in names]

    def writerow(self, cells: Sequence[str]) -> None:
        """Writes a row."""
        said = zip(self._names, cells, strict=True)
        record = {name: value_of(cell) if label else cell for (name, label), cell in said}
        before = ("[\n" if self._first else ",\n") if self._array else ""
        self._out.write(before + _JSON(record) + ("" if self._array else "\n"))
        self._first = False

    def close(self) -> None:
        """Ends the table."""
        if self._array:
            self._out.write("[]\n" if self._first else "\n]\n")


def write_copy(manifest: Path, target: Path, labels: Container[str], form: str) -> None:
    """Writes ``manifest.csv`` once more as ``jsonl``, ``json`` or ``parquet``.

    Raises:
        UsageError: pyarrow is not installed.
    """
    if form == "parquet":
        _write_parquet(manifest, target, labels)
        return
    csv.field_size_limit(MAX_CELL_BYTES)
    with (
        open(manifest, encoding="utf-8", newline="") as stream,
        open(target, "w", encoding="utf-8") as out,
    ):
        rows = csv.reader(stream)
        writer = JsonRows(out, next(rows), labels, array=form == "json")
        for cells in rows:
            writer.writerow(cells)
        writer.close()


def _write_parquet(manifest: Path, target: Path, labels: Container[str]) -> None:
    """Labels as integers or null, all else as texts."""
    writer_of = import_pyarrow().parquet.ParquetWriter
    header = pd.read_csv(manifest, dtype=str, nrows=0)
    with writer_of(target, typed(header, labels).schema) as writer:
        for frame in pd.read_csv(manifest, dtype=str, na_filter=False, chunksize=_GROUP):
            writer.write_table(typed(frame, labels))


class ManifestWriter:
    """Writes ``manifest.csv``, and puts the texts in that are not a report's own.

    Args:
        out: Where to.
        names: The columns.
        labels: Those of them that are labels.
        external: Texts made elsewhere.
        seed: Of the texts of other patients.
        form: ``csv``, or ``jsonl`` or ``json`` for a table that is no ``manifest.csv``.
    """

    def __init__(
        self,
        out: IO[str],
        names: Sequence[str],
        labels: Container[str],
        external: ExternalTexts | None,
        seed: int,
        form: str,
    ) -> None:
        self._external, self._seed = external, seed
        self._joined = [i for i, name in enumerate(names) if base_of(name) == EXTERNAL]
        self._draft: IO[bytes] | None = None
        self._json = None
        if form != "csv":
            self._json = JsonRows(out, names, labels, array=form == "json")
        self._writer = self._table = self._json or csv.writer(out, lineterminator="\n")
        if any(name in RANDOM_TEXTS for name in names):
            # Another patient's text may come later: rows wait until all are there.
            self._draft = tempfile.TemporaryFile(prefix="cxr-manifest-")  # noqa: SIM115
            self._rows = io.TextIOWrapper(self._draft, encoding="utf-8", newline="")
            self._writer = csv.writer(self._rows, lineterminator="\n")
        if self._draft or not self._json:
            self._writer.writerow(names)

    def write(self, rows: Iterable[list[str]]) -> None:
        """Writes rows as ``row`` makes them."""
        for cells in rows:
            for i in self._joined:
                assert self._external is not None
                cells[i] = self._external.get(cells[0])
            self._writer.writerow(cells)

    def finish(self) -> None:
        """Writes what waits; to be called after the last row.

        Raises:
            InputError: There is no other patient whose text could be drawn.
        """
        if self._draft is not None:
            with self._draft as draft:
                self._rows.flush()
                for number, cells in enumerate(exchanged(draft, self._seed)):
                    if number or not self._json:
                        self._table.writerow(cells)
        if self._json:
            self._json.close()


def evidence_lines(report: Report, labels: Labels) -> str:
    """The lines of ``evidence.jsonl`` for one study, each with its sentence and that one's number.

    Sentences are those of the sections that count, from 1 on, on one line.
    """
    starts = [start for start, _ in labels.sentences]
    lines = []
    for item in labels.evidence:
        number = bisect_right(starts, item.start)
        start, end = labels.sentences[number - 1]
        sentence = " ".join(report.text[start:end].split())
        told = {**item.to_json(), "sentence": sentence, "sentence_number": number}
        lines.append(_JSON({STUDY: report.study, **told}) + "\n")
    return "".join(lines)
