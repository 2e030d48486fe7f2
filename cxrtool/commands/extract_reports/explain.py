"""The part of ``extract-reports`` that shows why reports have their labels.

In: reports, from the source or from the table of a finished run. Out: colored text on a terminal
(``--explain``) or ``explain.html`` for a random sample (``--explain-sample``).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import IO

from cxrtool.commands.extract_reports import dataset as extract_dataset
from cxrtool.commands.extract_reports.options import Config
from cxrtool.commands.extract_reports.source import is_dataset, job_of, reports_of, spooled
from cxrtool.core import console
from cxrtool.core.errors import InputError
from cxrtool.core.runs import Run
from cxrtool.data.manifest import load_dataset
from cxrtool.reports.explain import Explained, explain
from cxrtool.reports.extraction import Job, labeler_of
from cxrtool.reports.report import Rejected, Report, Sample
from cxrtool.reports.sources import read_reports
from cxrtool.reports.terminal import Terminal, render
from cxrtool.version import __version__

#: How many reports ``--explain`` shows where no id is given.
FIRST = 3


def show(config: Config, folder: Path | None, out: IO[str]) -> None:
    """Shows the reports that were asked for.

    Args:
        config: The options.
        folder: A finished output folder, whose table is read; None: the source itself is read.
        out: Where to: stdout when nothing else is written there, else stderr.

    Raises:
        InputError: As reading the source; no report has an id that was asked for.
    """
    terminal = Terminal(out, verbose=console.level() >= console.VERBOSE)
    job = job_of(config)
    missing, shown = set(config.explain_id), 0
    for report in _reports(config, folder):
        if config.explain_id and report.study not in missing:
            continue
        if not shown:
            terminal.legend()
        terminal.show(_explained(report, job))
        missing.discard(report.study)
        shown += 1
        if shown == (len(set(config.explain_id)) or FIRST):
            break
    if missing:
        what = f"no report has the id {sorted(missing)[0]!r}"
        hint = "ids are compared as text, with their leading zeros"
        raise InputError(what, file=folder or config.reports, hint=hint)


def _reports(config: Config, folder: Path | None) -> Iterator[Report]:
    """The reports of a finished folder, or of the source."""
    dataset = folder or config.reports
    if is_dataset(dataset):
        loaded = load_dataset(dataset)
        texts = extract_dataset.reports_of(loaded, config.text_column)
        yield from extract_dataset.studies(loaded, texts).values()
    elif folder is not None:
        yield from read_reports(folder / "manifest.csv", Rejected(skip=False).add)
    else:
        with spooled(config) as source:
            yield from reports_of(config, source, Rejected(config.skip_bad))


def _explained(report: Report, job: Job) -> Explained:
    return explain(report, job.named(labeler_of(job).label(report.text)), job.shown_rules)


def page(config: Config, run: Run, job: Job, sample: Sample) -> str:
    """``explain.html`` of the sample."""
    chosen = sample.reports()
    how = f"drawn at random (seed {config.seed})" if len(chosen) < sample.seen else "all of them"
    return render(
        [_explained(report, job) for report in chosen],
        title=f"{len(chosen):,} of {sample.seen:,} reports, {how}.",
        footer=f"cxr {__version__} \u00b7 extract-reports \u00b7 run {run.fingerprint[:12]}. "
        "This page holds the text of reports.",
    )
