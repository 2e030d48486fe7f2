"""The options of `cxr evaluate clip`."""

from dataclasses import dataclass
from pathlib import Path

from cxrtool.core.config import (
    MOST_RESAMPLES,
    REQUIRED,
    Computing,
    argument,
    option,
)
from cxrtool.core.errors import UsageError
from cxrtool.data.options import SPLIT_CHOICES, VIEWS, SelectionOptions, row_option

# 2: bicubic resampling within the range; a recipe tells the activation; patients of intervals are
# units of studies and copies; degrees of freedom by Welch and Satterthwaite. 3: what a verdict
# would find; degenerate resamples give no interval. 4: texts that differ by a full stop are one
FORMAT = 4
INTERRUPTIBLE = True  # nothing is kept before the end


@dataclass(frozen=True, kw_only=True)
class Config(SelectionOptions, Computing):
    """Compare CLIPs on real rows that none has seen.

    Measured are zero-shot AUROC, retrieval and negation. Runs that differ by their seed alone count
    as one strategy. The result is a page, report.html, and the tables behind it.

    Example: cxr evaluate clip clip-rules clip-random --data data -o clip-report
    """

    runs: tuple[Path, ...] = argument("Outputs of finetune-clip.", metavar="RUN", role="runs")
    data: Path = option("Dataset directory with the rows to read.", REQUIRED, role="data")
    text: str | None = option(
        "Column of the texts that retrieval asks for, the same for all runs; labels: composed"
        " prompts. Default: rules, or the first column with texts.",
        metavar="COLUMN",
    )
    bootstrap: int = option(
        "Patient resamples behind the intervals.", 1000, min=100, max=MOST_RESAMPLES
    )
    seed: int = option("Seed of the resamples and of composed prompts.", 0, min=0)
    split: str = row_option("Part of the data set to read.", "test", choices=SPLIT_CHOICES)
    view: str = row_option(
        "Views to read; stored: those that the runs were trained on.",
        "stored",
        choices=("stored", *VIEWS),
    )

    def validate(self) -> None:
        if not self.runs:
            raise UsageError("missing RUNS", hint="give outputs of cxr finetune-clip")
        if len({path.absolute() for path in self.runs}) < len(self.runs):
            raise UsageError("a run is given twice")
