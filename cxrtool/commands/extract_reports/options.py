"""The options of `cxr extract-reports`."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cxrtool.core.config import (
    MOST_IMAGES,
    argument,
    option,
    running_option,
)
from cxrtool.core.errors import UsageError

#: Forms of the table; the first is that of ``manifest.csv``.
FORMS = ("csv", "jsonl", "json", "parquet")
# 4: into a dataset directory, No Finding is not filled beside a finding; "ruled out" denies, and a
# list without "or" ends where an item of its own begins
# 5: residue of exports, tables, check boxes and more headers are read; other spellings, short words
# and typing errors too; "or" closes a list; a statement that nothing understands forbids No Finding
# 6: evidence has its sentence; forms are read by rows; more words and headers
FORMAT = 9

reading_option = partial(option, panel="How reports are read")
showing_option = partial(option, panel="Showing why")


@dataclass(frozen=True, kw_only=True)
class Config:
    """Label free-text reports with the 14 CheXpert observations.

    REPORTS is a table (CSV, TSV, JSON, JSON lines, Parquet) with study_id and report, a folder or
    an archive of .txt or Open-i .xml files (the id is the name without folder and ending), a
    dataset directory with reports, or - for a CSV table (with header) or JSON on stdin. With -o -
    the table goes to stdout.

    Example: cxr extract-reports reports.csv -o extracted
    """

    reports: Path = argument(
        "Table, folder, archive, dataset directory, or - for stdin.",
        metavar="REPORTS",
        role="reports",
    )
    id_column: str = option("Column of the table with the ids.", "study_id", metavar="NAME")
    text_column: str = option(
        "Column of the table or dataset directory with the reports.", "report", metavar="NAME"
    )
    join_labels: str = option(
        "What labels read from reports do to those of a dataset directory: replace them, fill"
        " their blanks, or keep them as they are (only texts are taken).",
        "fill",
        choices=("replace", "fill", "keep"),
        was="labels",
    )
    texts: str = option(
        "Texts to write for CLIP, a column each, separated by commas: impression, findings,"
        " rules, rules-v2, generated, inverted, random (another patient's rules),"
        " random-impression and so on.",
        "impression,findings,rules,rules-v2",
        metavar="A,B",
    )
    explain: bool = option(
        "Show the first reports with mentions, cues and labels: on stdout without -o (and write"
        " nothing), on stderr with it.",
        False,
        result=False,
    )
    table: str = option(
        "Form of the table: with another one than csv it lies beside manifest.csv, and -o - writes"
        " it (not parquet).",
        "csv",
        choices=FORMS,
        metavar="FORM",
    )
    skip_bad: bool = option(
        "Record bad reports in rejected.csv and go on, instead of stopping.", False
    )
    rules: Path | None = reading_option(
        "Folder of rule files (TOML) that extend or replace those of cxr.",
        metavar="DIR",
        role="rules",
    )
    sections: str = reading_option(
        "Sections whose mentions count, separated by commas; report is text under no header.",
        "findings,impression,report",
        metavar="A,B",
    )
    ontology: str | None = reading_option(
        "Labels, and the columns that hold them: chexpert, nih, padchest, or a TOML file. Default:"
        " the observations of the rules, which are CheXpert's and those of --rules.",
        metavar="NAME",
        file=True,
    )
    text_from: Path | None = reading_option(
        "Table with study_id and text, which becomes the column external.",
        metavar="FILE",
        role="texts",
    )
    explain_id: tuple[str, ...] = showing_option(
        "As --explain, of the report with this id; may be repeated.", (), metavar="ID", result=False
    )
    explain_sample: int = showing_option(
        "Draw N reports for explain.html, which holds their text; 0 for no page.",
        0,
        min=0,
        max=MOST_IMAGES,
    )
    seed: int = option("Seed of the draw and of random texts.", 0, min=0)
    workers: int = running_option(
        "Processes that label; 0 takes all cores.", 0, min=0, max=1024, result=False
    )

    def validate(self) -> None:
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
