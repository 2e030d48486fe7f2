"""The options of `cxr evaluate clip`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cxrtool.core.config import DEVICE, THREADS, Argument, Input, Option
from cxrtool.core.errors import UsageError
from cxrtool.data.options import RowOption, SelectionOptions

NAME = "evaluate-clip"
# 2: bicubic resampling within the range; a recipe tells the activation; patients of intervals are
# units of studies and copies; degrees of freedom by Welch and Satterthwaite
FORMAT = 2


@dataclass(frozen=True, kw_only=True)
class Config(SelectionOptions):
    """Compare CLIPs on real rows that none has seen: zero-shot AUROC, retrieval, negation.

    Runs that differ by their seed alone count as one strategy. The result is a page, report.html,
    and the tables behind it.

    Example: cxr evaluate clip clip-rules clip-random --data data -o clip-report
    """

    runs: Annotated[
        tuple[Path, ...], Argument("Outputs of finetune-clip.", metavar="RUN"), Input("runs")
    ]
    data: Annotated[Path, Option("Dataset directory with the rows to read."), Input("data")]
    text: Annotated[
        str | None,
        Option(
            "Column of the texts that retrieval asks for, the same for all runs; labels: composed"
            " prompts. Default: rules, or the first column with texts.",
            metavar="COLUMN",
        ),
    ] = None
    bootstrap: Annotated[int, Option("Patient resamples behind the intervals.", min=100)] = 1000
    seed: Annotated[int, Option("Seed of the resamples and of composed prompts.", min=0)] = 0
    split: Annotated[
        str, RowOption("Part of the data set to read.", choices=("train", "val", "test", "all"))
    ] = "test"
    view: Annotated[
        str,
        RowOption(
            "Views to read; stored: those that the runs were trained on.",
            choices=("stored", "frontal", "lateral", "all"),
        ),
    ] = "stored"
    device: Annotated[str, DEVICE] = "auto"
    threads: Annotated[int | None, THREADS] = None

    def validate(self) -> None:
        if not self.runs:
            raise UsageError("missing RUNS", hint="give outputs of cxr finetune-clip")
        if len({path.absolute() for path in self.runs}) < len(self.runs):
            raise UsageError("a run is given twice")
