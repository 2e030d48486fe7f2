"""The options of `cxr evaluate labels`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cxrtool.core.config import Argument, Input, Option
from cxrtool.core.errors import UsageError

NAME = "evaluate-labels"
FORMAT = 3  # 3: every label that PRED has not is named


@dataclass(frozen=True, kw_only=True)
class Config:
    """Score labels against a reference: precision, recall and F1 with patient-bootstrap intervals.

    metrics.csv holds the positive class, classes.csv also the negative and the uncertain one, with
    -1 read as 0 and as 1. Reports of one patient (column patient_id of either table) are resampled
    together.

    Example: cxr evaluate labels extracted --reference expert.csv --key study_id -o scores
    """

    pred: Annotated[
        Path,
        Argument("Output of extract-reports, a dataset directory, or a CSV of labels."),
        Input("pred"),
    ]
    reference: Annotated[
        Path, Option("CSV of reference labels, or a dataset directory."), Input("reference")
    ]
    key: Annotated[str, Option("Column of the reference that names the report.")] = "study_id"
    pred_key: Annotated[str, Option("The same column of PRED.")] = "study_id"
    uncertain_as: Annotated[
        str,
        Option(
            "What -1 (uncertain) counts as, on either side, in metrics.csv.",
            choices=("0", "1"),
            metavar="VALUE",
        ),
    ] = "0"
    blank_as: Annotated[
        str,
        Option(
            "What blank cells count as. skip: a report is left out of a label that the reference"
            " leaves blank; zero: they are 0 on either side.",
            choices=("skip", "zero"),
            metavar="VALUE",
            was="blank",
        ),
    ] = "skip"
    labels: Annotated[
        str | None,
        Option("Labels to score, separated by commas. Default: all that both have.", metavar="A,B"),
    ] = None
    bootstrap: Annotated[
        int, Option("Patient resamples behind the intervals; 0 gives none.", min=0)
    ] = 1000
    seed: Annotated[int, Option("Seed of the resamples.", min=0)] = 0
    include_text: Annotated[
        bool, Option("Write report text into disagreements.csv and report.html.")
    ] = False

    def validate(self) -> None:
        if 0 < self.bootstrap < 100:
            raise UsageError(f"--bootstrap {self.bootstrap} is too few for intervals: 100 or more")
