"""``cxr extract-reports``: free-text reports to labels, evidence and texts for CLIP.

In: a table, folder or archive of reports, stdin, or a dataset directory with reports. Out:
``manifest.csv`` with the 14 observations and the text columns, ``evidence.jsonl`` with the place in
the text and the rule behind every label; for a dataset directory, a dataset directory of the same
images. Method: docs in ``cxrtool.reports``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

from cxrtool import console, fingerprints
from cxrtool.config import Argument, Input, Option
from cxrtool.errors import UsageError

if TYPE_CHECKING:
    from cxrtool.reports.extraction import Job
    from cxrtool.reports.rejected import Rejected
    from cxrtool.reports.sample import Sample
    from cxrtool.reports.sources import Report
    from cxrtool.reports.tally import Tally
    from cxrtool.reports.texts.external import ExternalTexts
    from cxrtool.runs import Run

NAME = "extract-reports"
# 4: into a dataset directory, No Finding is not filled beside a finding; "ruled out" denies, and a
# list without "or" ends where an item of its own begins
FORMAT = 4
STDIN = "-"
# Above this share of texts without any known section or term, they are likely in another language.
SILENT_FRAC = 0.2


@dataclass(frozen=True, kw_only=True)
class Config:
    """Label free-text reports with the 14 CheXpert observations, and say why.

    REPORTS is a CSV, TSV or JSONL table with study_id and report, a folder or an archive of .txt or
    Open-i .xml files (the id is the name without folder and ending), a dataset directory with
    reports, or - for a CSV table (with header) or JSON lines on stdin. With -o - the table goes to
    stdout.

    Example: cxr extract-reports reports.csv -o extracted
    """

    reports: Annotated[
        Path,
        Argument("Table, folder, archive, dataset directory, or -.", metavar="REPORTS|DATA|-"),
        Input("reports"),
    ]
    id_column: Annotated[str, Option("Table: the column with the ids.")] = "study_id"
    text_column: Annotated[
        str, Option("Table or dataset directory: the column with the reports.")
    ] = "report"
    rules: Annotated[
        Path | None,
        Option("Folder of rule files (TOML) that extend or replace those of cxr.", metavar="DIR"),
        Input("rules"),
    ] = None
    sections: Annotated[
        str,
        Option(
            "Sections whose mentions count, separated by commas; report is text under no header.",
            metavar="A,B",
        ),
    ] = "findings,impression,report"
    labels: Annotated[
        str,
        Option(
            "Dataset directory: labels of the report replace those that are there, fill their"
            " blanks, or are not taken (keep: texts only).",
            choices=("replace", "fill", "keep"),
        ),
    ] = "fill"
    skip_bad: Annotated[
        bool, Option("Record bad reports in rejected.csv and go on, instead of stopping.")
    ] = False
    explain: Annotated[
        bool,
        Option(
            "Show the first reports with mentions, cues and labels: on stdout without -o (and write"
            " nothing), on stderr with it.",
            result=False,
        ),
    ] = False
    explain_id: Annotated[
        tuple[str, ...],
        Option(
            "As --explain, of the report with this id; may be repeated.", metavar="ID", result=False
        ),
    ] = ()
    explain_sample: Annotated[
        int, Option("Draw N reports for explain.html, which holds their text; 0 = no page.", min=0)
    ] = 0
    texts: Annotated[
        str,
        Option(
            "Texts for CLIP, a column each, separated by commas: impression, findings, rules, "
            "rules-v2, generated, inverted, random (another patient's rules), random-impression "
            "and so on.",
            metavar="A,B",
        ),
    ] = "impression,findings,rules,rules-v2"
    text_from: Annotated[
        Path | None,
        Option("Table with study_id and text, which becomes the column external.", metavar="FILE"),
        Input("texts"),
    ] = None
    seed: Annotated[int, Option("Seed of the draw and of random texts.", min=0)] = 0
    workers: Annotated[
        int, Option("Processes that label; 0 takes all cores.", min=0, result=False)
    ] = 0

    def validate(self) -> None:
        """Refuses column names that cannot be."""
        if self.id_column == self.text_column:
            raise UsageError("--id-column and --text-column name the same column")
        self.strategies()

    def strategies(self) -> tuple[str, ...]:
        """The text strategies.

        Raises:
            UsageError: One is unknown, or needs ``--text-from``.
        """
        from cxrtool.data.columns import chosen_texts

        return chosen_texts(self.texts, external=self.text_from is not None)

    @property
    def explains(self) -> bool:
        """Whether reports are to be shown."""
        return self.explain or bool(self.explain_id)


def run(config: Config, run: Run) -> dict[str, Any]:
    """Read, label, write; a dataset directory keeps its images."""
    from cxrtool.reports.rejected import Rejected
    from cxrtool.reports.sample import Sample
    from cxrtool.reports.tally import Tally
    from cxrtool.stages import extract_dataset, extract_explain

    job = job_of(config)
    tally = Tally(job.rules.observations)
    sample = Sample(config.explain_sample, config.seed)
    source = run.input("reports").path
    rejected = Rejected(config.skip_bad)
    if is_dataset(source):
        summary = extract_dataset.fill(config, run, job, tally, sample)
    else:
        write_table(config, run, source, job, tally, sample, rejected)
        summary = tally.summary()
    if config.explain_sample:
        run.write_text("explain.html", extract_explain.page(config, run, job, sample))
    if config.skip_bad:
        run.write_text("rejected.csv", rejected.csv(source))
    run.count("rejected", len(rejected.rows))
    run.count("empty", tally.empty)
    say(tally, rejected)
    return {**summary, "rejected": len(rejected.rows)}


def job_of(config: Config) -> Job:
    """What to do with every report: the rules that ``--rules`` and ``--sections`` ask for.

    Raises:
        InputError: A rule file is wrong.
        UsageError: There is no such section.
    """
    from cxrtool.reports import load_rules
    from cxrtool.reports.extraction import Job
    from cxrtool.reports.ruleset import default_rules

    rules = default_rules() if config.rules is None else load_rules(config.rules)
    return Job(rules.counting(config.sections.split(",")), config.strategies())


def external_of(config: Config) -> ExternalTexts | None:
    """The texts of ``--text-from``.

    Raises:
        InputError: They cannot be read.
    """
    from cxrtool.reports.texts.external import ExternalTexts

    return ExternalTexts(config.text_from) if config.text_from else None


def plan(config: Config) -> dict[str, Any]:
    """For ``--dry-run``: what kind of source it is; rules and sections are checked."""
    job_of(config)
    if str(config.reports) == STDIN:
        return {"source": "stdin"}
    return {"source": "dataset directory" if is_dataset(config.reports) else "reports"}


def view(config: Config, folder: Path | None, out: IO[str]) -> bool:
    """Shows reports where that was asked for (``--explain``); see ``extract_explain.show``.

    Args:
        config: The options.
        folder: The finished output folder, or None where there is none.
        out: Where to.

    Returns:
        Whether it was asked for.
    """
    if not config.explains:
        return False
    from cxrtool.stages import extract_explain

    extract_explain.show(config, folder, out)
    return True


def stream(config: Config, out: IO[str]) -> None:
    """Writes the table to ``out`` as it is made (``-o -``); no evidence is kept.

    Raises:
        InputError: As `run`; rows that ``--skip-bad`` leaves out are named on stderr.
    """
    from cxrtool.reports.extraction import extract
    from cxrtool.reports.output import ManifestWriter
    from cxrtool.reports.rejected import Rejected
    from cxrtool.reports.tally import Tally

    job = job_of(config)
    tally = Tally(job.rules.observations)
    rejected = Rejected(config.skip_bad)
    if config.explains or config.explain_sample:
        raise UsageError("-o - gives the table to stdout, and --explain has no place there")
    if is_dataset(config.reports):
        raise UsageError("a dataset directory cannot go to stdout", hint="name a folder with -o")
    with spooled(config) as source:
        external = external_of(config)
        writer = ManifestWriter(out, job.rules.observations, job.texts, external, config.seed)
        batches = extract(reports_of(config, source, rejected), job, workers=config.workers)
        # Closed at once when nobody reads stdout any more, so that no worker is left behind.
        with contextlib.closing(batches):
            for batch in batches:
                tally.merge(batch.tally)
                writer.write(batch.rows)
        writer.finish()
    tell_unused(external)
    for entry in rejected.rows:
        console.warn(": ".join(filter(None, (entry[0], entry[1], entry[2], entry[4]))))
    say(tally, rejected)


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
    from cxrtool.reports.extraction import extract
    from cxrtool.reports.output import ManifestWriter

    with contextlib.ExitStack() as stack:
        table_path = stack.enter_context(run.atomic("manifest.csv"))
        evidence_path = stack.enter_context(run.atomic("evidence.jsonl"))
        table = stack.enter_context(open(table_path, "w", encoding="utf-8", newline=""))
        evidence = stack.enter_context(open(evidence_path, "w", encoding="utf-8", newline=""))
        bar = stack.enter_context(run.progress("labeling", unit="reports"))
        external = external_of(config)
        writer = ManifestWriter(table, job.rules.observations, job.texts, external, config.seed)
        batches = extract(
            reports_of(config, source, rejected),
            job,
            workers=config.workers,
            stopping=lambda: run.stopping,
        )
        for batch in stack.enter_context(contextlib.closing(batches)):
            tally.merge(batch.tally)
            writer.write(batch.rows)
            evidence.write(batch.evidence)
            for report in batch.reports(job):
                sample.add(report)
            bar.advance(len(batch.rows))
        run.check_stop()
        writer.finish()
    tell_unused(external)


def tell_unused(external: ExternalTexts | None) -> None:
    """Says how many texts of ``--text-from`` have no report.

    Raises:
        InputError: None has one.
    """
    unused = external.unused() if external else 0
    if unused:
        console.warn(f"{unused:,} texts of --text-from belong to no report")


def reports_of(config: Config, source: Path, rejected: Rejected) -> Iterator[Report]:
    """The reports of a table, folder or archive."""
    from cxrtool.reports.sources import read_reports

    return read_reports(
        source,
        rejected.add,
        id_column=config.id_column,
        text_column=config.text_column,
        stdin=str(config.reports) == STDIN,
    )


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
    for doubt in tally.doubts(SILENT_FRAC):
        console.warn(doubt)


def is_dataset(path: Path) -> bool:
    """Whether a path is a dataset directory."""
    return path.is_dir() and (path / "dataset.json").is_file()
