"""``cxr extract-reports``: free-text reports to labels, evidence and texts for CLIP.

In: a table, folder or archive of reports, stdin, or a dataset directory with reports. Out:
``manifest.csv`` with the 14 observations and the text columns, ``evidence.jsonl`` with the place in
the text and the rule behind every label; for a dataset directory, a dataset directory of the same
images. Method: docs in ``cxrtool.reports``.
"""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

from cxrtool import console
from cxrtool.config import Argument, Input, Option
from cxrtool.errors import InputError, UsageError

if TYPE_CHECKING:
    from cxrtool.reports.labeler import Labeler
    from cxrtool.reports.output import Tally
    from cxrtool.reports.sources import Report
    from cxrtool.runs import Run

NAME = "extract-reports"
FORMAT = 1
STDIN = "-"
REJECTED = ("study_id", "file", "row", "column", "reason")
# Above this share of texts without any known term, the reports are likely in another language.
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
        Option("Sections whose mentions count; report is text under no header.", metavar="NAMES"),
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

    def validate(self) -> None:
        """Refuses column names that cannot be."""
        if self.id_column == self.text_column:
            raise UsageError("--id-column and --text-column name the same column")


def run(config: Config, run: Run) -> dict[str, Any]:
    """Read, label, write; a dataset directory keeps its images."""
    from cxrtool.reports.output import Tally

    labeler = labeler_of(config)
    tally = Tally(labeler.rules.observations)
    source = run.input("reports").path
    rejected = Rejected(config.skip_bad)
    if _is_dataset(source):
        from cxrtool.stages import extract_dataset

        summary = extract_dataset.fill(config, run, labeler, tally)
    else:
        write_table(config, run, source, labeler, tally, rejected)
        summary = tally.summary()
    if config.skip_bad:
        rejected.save(run)
    run.count("rejected", len(rejected.rows))
    run.count("empty", tally.empty)
    say(tally, rejected)
    return {**summary, "rejected": len(rejected.rows)}


def labeler_of(config: Config) -> Labeler:
    """The labeler that ``--rules`` and ``--sections`` ask for.

    Raises:
        InputError: A rule file is wrong.
        UsageError: There is no such section.
    """
    from cxrtool.reports import Labeler, load_rules
    from cxrtool.reports.ruleset import default_rules

    rules = default_rules() if config.rules is None else load_rules(config.rules)
    return Labeler(rules.counting(config.sections.split(",")))


def plan(config: Config) -> dict[str, Any]:
    """For ``--dry-run``: what kind of source it is; rules and sections are checked."""
    labeler_of(config)
    if str(config.reports) == STDIN:
        return {"source": "stdin"}
    return {"source": "dataset directory" if _is_dataset(config.reports) else "reports"}


def stream(config: Config, out: IO[str]) -> None:
    """Writes the table to ``out`` as it is made (``-o -``); no evidence is kept.

    Raises:
        InputError: As `run`; rows that ``--skip-bad`` leaves out are named on stderr.
    """
    import shutil
    import sys
    import tempfile

    from cxrtool.reports.output import Tally, columns, row

    labeler = labeler_of(config)
    tally = Tally(labeler.rules.observations)
    rejected = Rejected(config.skip_bad)
    with tempfile.NamedTemporaryFile(prefix="cxr-stdin-") as spool:
        source = config.reports
        if str(source) == STDIN:
            shutil.copyfileobj(sys.stdin.buffer, spool)
            spool.flush()
            source = Path(spool.name)
        elif _is_dataset(source):
            raise UsageError(
                "a dataset directory cannot go to stdout", hint="name a folder with -o"
            )
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(columns(labeler.rules.observations))
        for report in reports_of(config, source, rejected):
            labels = labeler.label(report.text)
            tally.add(report.text, labels)
            writer.writerow(row(report, labels))
    for entry in rejected.rows:
        console.warn(": ".join(filter(None, (entry[0], entry[1], entry[2], entry[4]))))
    say(tally, rejected)


def write_table(
    config: Config, run: Run, source: Path, labeler: Labeler, tally: Tally, rejected: Rejected
) -> None:
    """Writes ``manifest.csv`` and ``evidence.jsonl``, both whole or not at all."""
    from cxrtool.reports.output import columns, evidence_lines, row

    with contextlib.ExitStack() as stack:
        table_path = stack.enter_context(run.atomic("manifest.csv"))
        evidence_path = stack.enter_context(run.atomic("evidence.jsonl"))
        table = stack.enter_context(open(table_path, "w", encoding="utf-8", newline=""))
        evidence = stack.enter_context(open(evidence_path, "w", encoding="utf-8", newline=""))
        bar = stack.enter_context(run.progress("labeling", unit="reports"))
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(columns(labeler.rules.observations))
        for report in reports_of(config, source, rejected):
            run.check_stop()
            labels = labeler.label(report.text)
            tally.add(report.text, labels)
            writer.writerow(row(report, labels))
            evidence.write(evidence_lines(report.study, labels))
            bar.advance()


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


class Rejected:
    """What is done with a report that cannot be read.

    Args:
        skip: Note it and go on; otherwise the first one stops the work.
    """

    def __init__(self, skip: bool) -> None:
        self.skip = skip
        self.rows: list[tuple[str, str, str, str, str]] = []

    def add(self, error: InputError, study: str) -> None:
        """Raises the error, or notes it.

        Raises:
            InputError: ``skip`` is False.
        """
        if not self.skip:
            error.hint = error.hint or "--skip-bad records bad reports and goes on"
            raise error
        row = "" if error.row is None else str(error.row)
        where = "" if error.file is None else str(error.file)
        self.rows.append((study, where, row, error.column or "", error.reason))

    def save(self, run: Run) -> None:
        """Writes ``rejected.csv``; files are named without their folders, for equal bytes."""
        import io

        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(REJECTED)
        source = run.input("reports").path
        for study, where, row, column, reason in self.rows:
            shown = where.replace(str(source), source.name if row == "" else "reports", 1)
            writer.writerow((study, shown, row, column, reason))
        run.write_text("rejected.csv", text.getvalue())


def say(tally: Tally, rejected: Rejected) -> None:
    """The counts, and what may be wrong, on stderr."""
    console.table(
        f"Labels of {tally.reports:,} reports", ["", "1", "0", "-1", "blank"], tally.rows()
    )
    if tally.empty:
        console.warn(f"{tally.empty:,} reports are empty; their labels are blank")
    if rejected.rows:
        console.warn(f"{len(rejected.rows):,} reports were left out, see rejected.csv")
    if tally.silent_frac > SILENT_FRAC and tally.silent > 1:
        console.warn(
            f"nothing was found in {100 * tally.silent_frac:.0f} % of the reports with text; "
            "are they English reports of chest radiographs?"
        )


def _is_dataset(path: Path) -> bool:
    return path.is_dir() and (path / "dataset.json").is_file()
