"""The options of `cxr extract-reports`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

from cxrtool.core.config import Argument, Input, Option, RunningOption
from cxrtool.core.errors import UsageError

NAME = "extract-reports"
# 4: into a dataset directory, No Finding is not filled beside a finding; "ruled out" denies, and a
# list without "or" ends where an item of its own begins
# 5: residue of exports, tables, check boxes and more headers are read; other spellings, short words
# and typing errors too; "or" closes a list; a statement that nothing understands forbids No Finding
FORMAT = 5

ReadingOption = partial(Option, panel="How reports are read")
ShowingOption = partial(Option, panel="Showing why")


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
        Argument("Table, folder, archive, dataset directory, or - for stdin.", metavar="REPORTS"),
        Input("reports"),
    ]
    id_column: Annotated[str, Option("Column of the table with the ids.", metavar="NAME")] = (
        "study_id"
    )
    text_column: Annotated[
        str, Option("Column of the table or dataset directory with the reports.", metavar="NAME")
    ] = "report"
    join_labels: Annotated[
        str,
        Option(
            "What labels read from reports do to those of a dataset directory: replace them, fill"
            " their blanks, or keep them as they are (only texts are taken).",
            choices=("replace", "fill", "keep"),
            was="labels",
        ),
    ] = "fill"
    texts: Annotated[
        str,
        Option(
            "Texts to write for CLIP, a column each, separated by commas: impression, findings,"
            " rules, rules-v2, generated, inverted, random (another patient's rules),"
            " random-impression and so on.",
            metavar="A,B",
        ),
    ] = "impression,findings,rules,rules-v2"
    explain: Annotated[
        bool,
        Option(
            "Show the first reports with mentions, cues and labels: on stdout without -o (and write"
            " nothing), on stderr with it.",
            result=False,
        ),
    ] = False
    skip_bad: Annotated[
        bool, Option("Record bad reports in rejected.csv and go on, instead of stopping.")
    ] = False
    rules: Annotated[
        Path | None,
        ReadingOption(
            "Folder of rule files (TOML) that extend or replace those of cxr.", metavar="DIR"
        ),
        Input("rules"),
    ] = None
    sections: Annotated[
        str,
        ReadingOption(
            "Sections whose mentions count, separated by commas; report is text under no header.",
            metavar="A,B",
        ),
    ] = "findings,impression,report"
    text_from: Annotated[
        Path | None,
        ReadingOption(
            "Table with study_id and text, which becomes the column external.", metavar="FILE"
        ),
        Input("texts"),
    ] = None
    explain_id: Annotated[
        tuple[str, ...],
        ShowingOption(
            "As --explain, of the report with this id; may be repeated.", metavar="ID", result=False
        ),
    ] = ()
    explain_sample: Annotated[
        int,
        ShowingOption(
            "Draw N reports for explain.html, which holds their text; 0 for no page.", min=0
        ),
    ] = 0
    seed: Annotated[int, Option("Seed of the draw and of random texts.", min=0)] = 0
    workers: Annotated[
        int, RunningOption("Processes that label; 0 takes all cores.", min=0, result=False)
    ] = 0

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
