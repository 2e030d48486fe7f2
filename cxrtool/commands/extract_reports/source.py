"""What `cxr extract-reports` reads: the source, the rules, and texts from elsewhere."""

import contextlib
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import IO

from cxrtool.commands.extract_reports.options import Config
from cxrtool.core import console, fingerprints
from cxrtool.reports import load_rules, output, report, ruleset, sources
from cxrtool.reports.extraction import Batch, Job, extract
from cxrtool.reports.ontology import load_ontology
from cxrtool.reports.tally import Tally
from cxrtool.reports.texts.external import ExternalTexts

STDIN = "-"


def job_of(config: Config) -> Job:
    """What to do with every report: the rules and labels that the options ask for.

    Raises:
        InputError: A rule file or a set of labels is wrong.
        UsageError: There is no such section or set of labels.
    """
    rules = ruleset.default_rules() if config.rules is None else load_rules(config.rules)
    ontology = load_ontology(config.ontology, rules) if config.ontology else None
    return Job(rules.counting(config.sections.split(",")), config.strategies(), ontology)


@contextlib.contextmanager
def spooled(config: Config) -> Iterator[Path]:
    """The source; stdin as a file that lasts as long as the context."""
    if str(config.reports) != STDIN:
        yield config.reports
        return
    ref = fingerprints.spool("reports")
    try:
        yield ref.path
    finally:
        fingerprints.release(ref)


def reports_of(config: Config, source: Path, rejected: report.Rejected) -> Iterator[report.Report]:
    """The reports of a table, folder or archive."""
    return sources.read_reports(
        source,
        rejected.add,
        id_column=config.id_column,
        text_column=config.text_column,
        stdin=str(config.reports) == STDIN,
    )


def labeled(
    config: Config,
    reports: Iterable[report.Report],
    job: Job,
    tally: Tally,
    out: IO[str],
    stopping: Callable[[], bool] = lambda: False,
    form: str = "csv",
) -> Generator[Batch, None, None]:
    """Labels reports, writes the table to ``out`` and counts; gives the batches as they are done.

    To be closed, so that no worker is left behind. A table that was stopped is not finished.

    Raises:
        InputError: The texts of ``--text-from`` cannot be read, or none of them has a report.
    """
    external = ExternalTexts(config.text_from) if config.text_from else None
    writer = output.ManifestWriter(out, job.columns, job.observations, external, config.seed, form)
    batches = extract(reports, job, workers=config.workers, stopping=stopping)
    with contextlib.closing(batches):
        for batch in batches:
            tally.merge(batch.tally)
            writer.write(batch.rows)
            yield batch
    if not stopping():
        writer.finish()
        if external and (unused := external.unused()):
            console.warn(f"{unused:,} texts of --text-from belong to no report")


def is_dataset(path: Path) -> bool:
    """Whether a path is a dataset directory."""
    return path.is_dir() and (path / "dataset.json").is_file()
