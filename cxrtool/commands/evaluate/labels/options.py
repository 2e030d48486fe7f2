"""The options of `cxr evaluate labels`."""

from dataclasses import dataclass
from pathlib import Path

from cxrtool.core.config import (
    MOST_RESAMPLES,
    REQUIRED,
    argument,
    option,
)
from cxrtool.core.errors import UsageError

FORMAT = 3  # 3: every label that PRED has not is named
INTERRUPTIBLE = True  # nothing is kept before the end


@dataclass(frozen=True, kw_only=True)
class Config:
    """Score labels against a reference.

    Precision, recall and F1 come with patient-bootstrap intervals. Cells are 1, 0, -1 (uncertain),
    blank, or ? where a report is not to be scored.

    metrics.csv holds the positive class, classes.csv also the negative and the uncertain one, with
    -1 read as 0 and as 1. Reports of one patient (column patient_id of either table) are resampled
    together.

    Example: cxr evaluate labels extracted --reference expert.csv --key study_id -o scores
    """

    pred: Path = argument(
        "Output of extract-reports, a dataset directory, or a CSV of labels.", role="pred"
    )
    reference: Path = option(
        "CSV of reference labels, or a dataset directory.", REQUIRED, role="reference"
    )
    key: str = option("Column of the reference that names the report.", "study_id")
    pred_key: str = option("The same column of PRED.", "study_id")
    uncertain_as: str = option(
        "What -1 (uncertain) counts as, on either side, in metrics.csv.",
        "0",
        choices=("0", "1"),
        metavar="VALUE",
    )
    blank_as: str = option(
        "What blank cells count as. skip: a report is left out of a label that the reference"
        " leaves blank; zero-pred: as skip, and blank cells of PRED are 0; zero: they are 0 on"
        " either side.",
        "skip",
        choices=("skip", "zero-pred", "zero"),
        metavar="VALUE",
        was="blank",
    )
    labels: str | None = option(
        "Labels to score, separated by commas. Default: all that both have.", metavar="A,B"
    )
    bootstrap: int = option(
        "Patient resamples behind the intervals; 0 gives none.", 1000, min=0, max=MOST_RESAMPLES
    )
    seed: int = option("Seed of the resamples.", 0, min=0)
    include_text: bool = option("Write report text into disagreements.csv and report.html.", False)

    def validate(self) -> None:
        if 0 < self.bootstrap < 100:
            raise UsageError(f"--bootstrap {self.bootstrap} is too few for intervals: 100 or more")
