"""The table that extract-reports writes, row by row.

In: reports, their labels and their texts. Out: ``manifest.csv`` and lines of ``evidence.jsonl``.
"""

import csv
import io
import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from typing import IO

from cxrtool.data.columns import EXTERNAL, PATIENT, RANDOM_TEXTS, REPORT, STUDY
from cxrtool.reports.labeler import Labels
from cxrtool.reports.report import Report
from cxrtool.reports.texts import base_of
from cxrtool.reports.texts.external import ExternalTexts
from cxrtool.reports.texts.shuffle import exchanged

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


def row(report: Report, labels: Labels, texts: Mapping[str, str]) -> list[str]:
    """A line of ``manifest.csv``.

    Args:
        report: The report.
        labels: Its labels.
        texts: Its texts by strategy, as ``TextMaker`` makes them.
    """
    values = (cell(value) for value in labels.values.values())
    return [report.study, report.patient, *values, report.text, *texts.values()]


class ManifestWriter:
    """Writes ``manifest.csv``, and puts the texts in that are not a report's own.

    Args:
        out: Where to.
        observations: The labels.
        texts: The text strategies.
        external: Texts made elsewhere.
        seed: Of the texts of other patients.
    """

    def __init__(
        self,
        out: IO[str],
        observations: Sequence[str],
        texts: Sequence[str],
        external: ExternalTexts | None,
        seed: int,
    ) -> None:
        names = columns(observations, texts)
        self._out, self._external, self._seed = out, external, seed
        self._joined = [i for i, name in enumerate(names) if base_of(name) == EXTERNAL]
        self._draft: IO[bytes] | None = None
        if any(name in RANDOM_TEXTS for name in names):
            # Another patient's text may come later: rows wait until all are there.
            self._draft = tempfile.TemporaryFile(prefix="cxr-manifest-")  # noqa: SIM115
            out = io.TextIOWrapper(self._draft, encoding="utf-8", newline="")
        self._rows = out
        self._writer = csv.writer(out, lineterminator="\n")
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
        if self._draft is None:
            return
        with self._draft as draft:
            self._rows.flush()
            csv.writer(self._out, lineterminator="\n").writerows(exchanged(draft, self._seed))


def evidence_lines(study: str, labels: Labels) -> str:
    """The lines of ``evidence.jsonl`` for one study."""
    return "".join(_JSON({STUDY: study, **item.to_json()}) + "\n" for item in labels.evidence)
