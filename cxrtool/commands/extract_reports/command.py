"""``cxr extract-reports``: free-text reports to labels, evidence and texts for CLIP.

In: a table, folder or archive of reports, stdin, or a dataset directory with reports. Out:
``manifest.csv`` with the 14 observations and the text columns, ``evidence.jsonl`` with the place in
the text and the rule behind every label; for a dataset directory, a dataset directory of the same
images. Method: docs in ``cxrtool.reports``.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from cxrtool.commands.extract_reports import dataset as extract_dataset
from cxrtool.commands.extract_reports import source as reading
from cxrtool.commands.extract_reports.options import Config
from cxrtool.core import console
from cxrtool.core.errors import InputError, UsageError
from cxrtool.core.runs import Run
from cxrtool.data.manifest import load_dataset
from cxrtool.reports import output, sources
from cxrtool.reports.explain import Explained, explain
from cxrtool.reports.extraction import Job, labeler_of
from cxrtool.reports.report import Rejected, Report, Sample
from cxrtool.reports.tally import Tally
from cxrtool.reports.terminal import Terminal, render
from cxrtool.version import __version__

# Above this share of texts without any known section or term, they are likely in another language.
SILENT_FRAC = 0.2
#: How many reports ``--explain`` shows where no id is given.
FIRST = 3


def run(config: Config, run: Run) -> dict[str, Any]:
    """Read, label, write; a dataset directory keeps its images."""
    job = reading.job_of(config)
    tally = job.tally()
    sample = Sample(config.explain_sample, config.seed)
    source = run.input("reports").path
    rejected = Rejected(config.skip_bad)
    if reading.is_dataset(source):
        summary = extract_dataset.fill(config, run, job, tally, sample)
    else:
        write_table(config, run, source, job, tally, sample, rejected)
        summary = tally.summary()
    if config.table != "csv":
        write_copy(run, config.table, job)
    if config.explain_sample:
        run.write_text("explain.html", page(config, run, job, sample))
    if config.skip_bad:
        run.write_text("rejected.csv", rejected.csv(source))
    run.count("rejected", len(rejected.rows))
    run.count("empty", tally.empty)
    say(tally, rejected)
    return {**summary, "rejected": len(rejected.rows)}


def plan(config: Config) -> dict[str, Any]:
    """For ``--dry-run``: what kind of source it is; rules and sections are checked."""
    reading.job_of(config)
    if str(config.reports) == reading.STDIN:
        return {"source": "stdin"}
    return {"source": "dataset directory" if reading.is_dataset(config.reports) else "reports"}


def view(config: Config, folder: Path | None, out: IO[str]) -> None:
    """Shows the reports of ``--explain``, in colors on a terminal.

    Args:
        config: The options.
        folder: A finished output folder, whose table is read; None: the source itself is read.
        out: Where to: stdout when nothing else is written there, else stderr.

    Raises:
        InputError: As reading the source; no report has an id that was asked for.
    """
    terminal = Terminal(out, verbose=console.level() >= console.VERBOSE)
    job = reading.job_of(config)
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


def stream(config: Config, out: IO[str]) -> None:
    """Writes the table to ``out`` as it is made (``-o -``); no evidence is kept.

    Raises:
        InputError: As `run`; rows that ``--skip-bad`` leaves out are named on stderr.
    """

    job = reading.job_of(config)
    tally = job.tally()
    rejected = Rejected(config.skip_bad)
    if config.explains or config.explain_sample:
        raise UsageError("-o - gives the table to stdout, and --explain has no place there")
    if reading.is_dataset(config.reports):
        raise UsageError("a dataset directory cannot go to stdout", hint="name a folder with -o")
    if config.table == "parquet":
        raise UsageError("--table parquet is no text for stdout", hint="name a folder with -o")
    with reading.spooled(config) as source:
        reports = reading.reports_of(config, source, rejected)
        batches = reading.labeled(config, reports, job, tally, out, form=config.table)
        with contextlib.closing(batches):
            for _ in batches:
                pass
    for entry in rejected.rows:
        console.warn(": ".join(filter(None, (entry[0], entry[1], entry[2], entry[4]))))
    say(tally, rejected)


def write_table(
    config: Config,
    run: Run,
    source: Path,
    job: Job,
    tally: Tally,
    sample: Sample,
    rejected: Rejected,
) -> None:
    """Writes ``manifest.csv`` and ``evidence.jsonl``, both whole or not at all."""
    with contextlib.ExitStack() as stack:
        table_path = stack.enter_context(run.atomic("manifest.csv"))
        evidence_path = stack.enter_context(run.atomic("evidence.jsonl"))
        table = stack.enter_context(open(table_path, "w", encoding="utf-8", newline=""))
        evidence = stack.enter_context(open(evidence_path, "w", encoding="utf-8", newline=""))
        bar = stack.enter_context(run.progress("labeling", unit="reports"))
        reports = reading.reports_of(config, source, rejected)
        batches = reading.labeled(config, reports, job, tally, table, lambda: run.stopping)
        for batch in stack.enter_context(contextlib.closing(batches)):
            evidence.write(batch.evidence)
            for report in batch.reports(job):
                sample.add(report)
            bar.advance(len(batch.rows))
        run.check_stop()


def write_copy(run: Run, form: str, job: Job) -> None:
    """Writes the table in another form beside ``manifest.csv``."""

    folder = run.path("manifest.csv").parent
    labels = load_dataset(folder).info.labels if reading.is_dataset(folder) else job.observations
    with run.atomic(f"manifest.{form}") as path:
        output.write_copy(folder / "manifest.csv", path, labels, form)


def say(tally: Tally, rejected: Rejected) -> None:
    """The counts, and what may be wrong, on stderr."""
    console.table(
        f"Labels of {tally.reports:,} reports", ["", "1", "0", "-1", "blank"], tally.rows()
    )
    if tally.empty:
        many = tally.empty > 1
        which = f"{tally.empty:,} reports are empty; their" if many else "1 report is empty; its"
        console.warn(f"{which} labels are blank")
    if rejected.rows:
        out = len(rejected.rows)
        which = f"{out:,} reports were" if out > 1 else "1 report was"
        console.warn(f"{which} left out, see rejected.csv")
    for sentence in tally.unread():
        console.warn(sentence)
    for doubt in tally.doubts(SILENT_FRAC):
        console.warn(doubt)


def _reports(config: Config, folder: Path | None) -> Iterator[Report]:
    """The reports of a finished folder, or of the source."""
    dataset = folder or config.reports
    if reading.is_dataset(dataset):
        loaded = load_dataset(dataset)
        texts = extract_dataset.reports_of(loaded, config.text_column)
        yield from extract_dataset.studies(loaded, texts).values()
    elif folder is not None:
        yield from sources.read_reports(folder / "manifest.csv", Rejected(skip=False).add)
    else:
        with reading.spooled(config) as source:
            yield from reading.reports_of(config, source, Rejected(config.skip_bad))


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
