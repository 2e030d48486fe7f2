"""Labels many reports, on as many cores as there are, in the order in which they come.

In: a stream of reports. Out: batches of finished rows. Reports go to the workers in chunks and no
more than a few chunks are on their way, so memory does not grow with their number; what comes out
does not depend on the number of workers.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from cxrtool.core.cores import available_cores
from cxrtool.data import pool
from cxrtool.data.columns import PATIENT, REPORT, STUDY
from cxrtool.reports.labeler import Labeler, Labels
from cxrtool.reports.ontology import Ontology
from cxrtool.reports.output import columns, evidence_lines, row
from cxrtool.reports.report import Report
from cxrtool.reports.ruleset import RuleSet
from cxrtool.reports.tally import Tally
from cxrtool.reports.texts import DEFAULT, TextMaker

#: What the fork server imports once for all workers.
PRELOAD = ("cxrtool.reports.extraction", "threadpoolctl")
_CHUNK = 128
#: A chunk ends early at this many characters: a megabyte of text is a lot of work for one report.
_CHUNK_CHARS = 250_000
#: Below this many chunks the start of a pool costs more than it saves.
_FEW_CHUNKS = 32


@dataclass(frozen=True, eq=False)
class Job:
    """What is the same for all reports.

    Attributes:
        rules: The rules to label with.
        texts: The text strategies whose columns are written.
        ontology: What the labels are called; None: as in the rules.
    """

    rules: RuleSet
    texts: tuple[str, ...] = DEFAULT
    ontology: Ontology | None = None

    @property
    def observations(self) -> tuple[str, ...]:
        """The labels."""
        return self.ontology.labels if self.ontology else self.rules.observations

    @property
    def shown_rules(self) -> RuleSet:
        """The rules, with the ontology's name for no finding."""
        if self.ontology is None:
            return self.rules
        return dataclasses.replace(self.rules, no_finding=self.ontology.no_finding)

    @property
    def columns(self) -> list[str]:
        """The columns of the rows."""
        return columns(self.observations, self.texts)

    def tally(self) -> Tally:
        """Counts that begin at zero."""
        return Tally(self.observations, self.rules)

    def named(self, labels: Labels) -> Labels:
        """Labels as the labeler gives them, under the names of the ontology."""
        return self.ontology.apply(labels) if self.ontology else labels


class Batch(NamedTuple):
    """The finished rows of some reports.

    Attributes:
        rows: Cells of ``manifest.csv``, one row a report.
        evidence: Lines of ``evidence.jsonl``.
        tally: Counts.
    """

    rows: list[list[str]]
    evidence: str
    tally: Tally

    def reports(self, job: Job) -> Iterator[Report]:
        """The reports behind the rows."""
        names = job.columns
        study, patient, text = (names.index(name) for name in (STUDY, PATIENT, REPORT))
        return (Report(row[study], row[text], row[patient]) for row in self.rows)


def extract(
    reports: Iterable[Report],
    job: Job,
    *,
    workers: int,
    stopping: Callable[[], bool] = lambda: False,
) -> Generator[Batch, None, None]:
    """Labels reports as they come.

    Args:
        reports: Taken as workers get free.
        job: The rules.
        workers: Processes; 0 = one a core. Few reports are labeled in this process anyway.
        stopping: When true, no new report is begun; those begun are still yielded.

    Raises:
        CxrError: A worker died.
        Exception: What the iteration over ``reports`` raises.
    """
    chunks = _chunks(reports)
    workers = workers or available_cores()
    if workers > 1:
        first = list(itertools.islice(chunks, _FEW_CHUNKS))
        if len(first) < _FEW_CHUNKS:
            workers = 1
        chunks = itertools.chain(first, chunks)
    for _, batch in pool.map_chunks(
        label_chunk, job, chunks, workers=workers, stopping=stopping, preload=PRELOAD, ordered=True
    ):
        yield batch


def _chunks(reports: Iterable[Report]) -> Iterator[list[Report]]:
    chunk: list[Report] = []
    chars = 0
    for report in reports:
        chunk.append(report)
        chars += len(report.text)
        if len(chunk) == _CHUNK or chars >= _CHUNK_CHARS:
            yield chunk
            chunk, chars = [], 0
    if chunk:
        yield chunk


def label_chunk(job: Job, reports: list[Report]) -> Batch:
    """Labels some reports; this is what a worker does."""
    tally, maker = job.tally(), _maker_of(job)
    rows, evidence = [], []
    labels_of = labeler_of(job).label_all(report.text for report in reports)
    for report, labels in zip(reports, labels_of, strict=True):
        named = job.named(labels)
        tally.add(report.text, named, report.study)
        rows.append(row(report, named, maker.make(labels, report.text)))
        evidence.append(evidence_lines(report, named))
    return Batch(rows, "".join(evidence), tally)


@functools.lru_cache(maxsize=1)
def labeler_of(job: Job) -> Labeler:
    """One labeler a process: it learns the words that it meets."""
    return Labeler(job.rules)


@functools.lru_cache(maxsize=1)
def _maker_of(job: Job) -> TextMaker:
    return TextMaker(job.rules, job.texts)
