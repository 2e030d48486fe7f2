"""``cxr extract-reports``: free-text reports to labels, evidence and texts for CLIP.

In: a table, folder or archive of reports, stdin, or a dataset directory with reports. Out:
``manifest.csv`` with the 14 observations and the text columns, ``evidence.jsonl`` with the place in
the text and the rule behind every label; for a dataset directory, a dataset directory of the same
images. Method: docs in ``cxrtool.reports``.
"""

import contextlib
from pathlib import Path
from typing import IO, Any

from cxrtool.commands.extract_reports import dataset as extract_dataset
from cxrtool.commands.extract_reports import explain as extract_explain
from cxrtool.commands.extract_reports.options import FORMAT, NAME, Config
from cxrtool.commands.extract_reports.source import (
    STDIN,
    is_dataset,
    job_of,
    labeled,
    reports_of,
    spooled,
)
from cxrtool.core import console
from cxrtool.core.errors import UsageError
from cxrtool.core.runs import Run
from cxrtool.data.manifest import load_dataset
from cxrtool.reports import output
from cxrtool.reports.extraction import Job
from cxrtool.reports.report import Rejected, Sample
from cxrtool.reports.tally import Tally

__all__ = ["FORMAT", "NAME", "Config", "plan", "run", "stream", "view"]

# Above this share of texts without any known section or term, they are likely in another language.
SILENT_FRAC = 0.2


def run(config: Config, run: Run) -> dict[str, Any]:
    """Read, label, write; a dataset directory keeps its images."""

    job = job_of(config)
    tally = job.tally()
    sample = Sample(config.explain_sample, config.seed)
    source = run.input("reports").path
    rejected = Rejected(config.skip_bad)
    if is_dataset(source):
        summary = extract_dataset.fill(config, run, job, tally, sample)
    else:
        write_table(config, run, source, job, tally, sample, rejected)
        summary = tally.summary()
    if config.table != "csv":
        write_copy(run, config.table, job)
    if config.explain_sample:
        run.write_text("explain.html", extract_explain.page(config, run, job, sample))
    if config.skip_bad:
        run.write_text("rejected.csv", rejected.csv(source))
    run.count("rejected", len(rejected.rows))
    run.count("empty", tally.empty)
    say(tally, rejected)
    return {**summary, "rejected": len(rejected.rows)}


def plan(config: Config) -> dict[str, Any]:
    """For ``--dry-run``: what kind of source it is; rules and sections are checked."""
    job_of(config)
    if str(config.reports) == STDIN:
        return {"source": "stdin"}
    return {"source": "dataset directory" if is_dataset(config.reports) else "reports"}


def view(config: Config, folder: Path | None, out: IO[str]) -> None:
    """Shows the reports of ``--explain``; see ``extract_explain.show``.

    Args:
        config: The options.
        folder: The finished output folder, or None where there is none.
        out: Where to.
    """

    extract_explain.show(config, folder, out)


def stream(config: Config, out: IO[str]) -> None:
    """Writes the table to ``out`` as it is made (``-o -``); no evidence is kept.

    Raises:
        InputError: As `run`; rows that ``--skip-bad`` leaves out are named on stderr.
    """

    job = job_of(config)
    tally = job.tally()
    rejected = Rejected(config.skip_bad)
    if config.explains or config.explain_sample:
        raise UsageError("-o - gives the table to stdout, and --explain has no place there")
    if is_dataset(config.reports):
        raise UsageError("a dataset directory cannot go to stdout", hint="name a folder with -o")
    if config.table == "parquet":
        raise UsageError("--table parquet is no text for stdout", hint="name a folder with -o")
    with spooled(config) as source:
        reports = reports_of(config, source, rejected)
        batches = labeled(config, reports, job, tally, out, form=config.table)
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
        reports = reports_of(config, source, rejected)
        batches = labeled(config, reports, job, tally, table, lambda: run.stopping)
        for batch in stack.enter_context(contextlib.closing(batches)):
            evidence.write(batch.evidence)
            for report in batch.reports(job):
                sample.add(report)
            bar.advance(len(batch.rows))
        run.check_stop()


def write_copy(run: Run, form: str, job: Job) -> None:
    """Writes the table in another form beside ``manifest.csv``."""

    folder = run.path("manifest.csv").parent
    labels = load_dataset(folder).info.labels if is_dataset(folder) else job.observations
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
