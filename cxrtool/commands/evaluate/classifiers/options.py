"""The options of `cxr evaluate classifiers`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

from cxrtool.core.config import DEVICE, THREADS, Argument, Input, Option
from cxrtool.core.errors import UsageError
from cxrtool.data.options import RowOption, SelectionOptions

NAME = "evaluate-classifiers"
# 5: a synthetic set is named only where the regimen does not tell it. 6: patients of intervals are
# units of studies and copies; degrees of freedom by Welch and Satterthwaite; intervals corrected as
# p is. 7: intervals of means over seeds cover the seeds, as those of evaluate clip do
FORMAT = 7
PageOption = partial(Option, panel="What the page shows")
GateOption = partial(Option, panel="Gates: when to fail (exit 5)")


@dataclass(frozen=True, kw_only=True)
class Config(SelectionOptions):
    """Score classifiers on real test rows, and say what their differences are worth.

    Each run reads the rows with its own network, preprocessing and calibration; rows that one of
    them has seen are refused. The result is a page, report.html, and the tables behind it.

    Example: cxr evaluate classifiers cls-none cls-duplicate cls-gan --data data -o report
    """

    runs: Annotated[
        tuple[Path, ...], Argument("Outputs of train-cls.", metavar="RUN"), Input("runs")
    ]
    data: Annotated[
        tuple[Path, ...],
        Option(
            "Dataset directory with the rows to score; may be repeated: the folds of a"
            " cross-validation, each for the runs trained on it, their predictions pooled."
        ),
        Input("data"),
    ]
    synth: Annotated[
        Path | None,
        Option("Output of synthesize or edit, for class activation maps of its images."),
        Input("synth"),
    ] = None
    image_report: Annotated[
        tuple[Path, ...],
        Option(
            "Output of evaluate images, to show fidelity and privacy on the page; may be repeated.",
            was="images",
        ),
        Input("images"),
    ] = ()
    by: Annotated[
        str | None,
        Option(
            "Score subgroups too: any of sex, age and view, separated by commas.", metavar="A,B"
        ),
    ] = None
    map_labels: Annotated[
        str | None,
        Option(
            "From the data's label names to those of the runs: a TOML file or a built-in map"
            " (chexpert, nih, padchest, medmnist, synonyms).",
            metavar="MAP",
            file=True,
        ),
    ] = None
    bootstrap: Annotated[int, Option("Patient resamples behind the intervals.", min=100)] = 1000
    seed: Annotated[int, Option("Seed of the resamples and of the images shown.", min=0)] = 0
    set_name: Annotated[
        tuple[str, ...],
        PageOption(
            "What a synthetic set is called on the page: its folder, or the first eight digits of"
            " its digest, and the name; may be repeated.",
            metavar="SYNTH=NAME",
        ),
    ] = ()
    include_ids: Annotated[
        bool, PageOption("Name images and patients in predictions.csv.", was="include_text")
    ] = False
    strict_regimen: Annotated[
        bool, GateOption("Refuse a run whose generator saw patients that its classifier did not.")
    ] = False
    min_auroc: Annotated[
        float | None, GateOption("Fail where the mean AUROC of a run is lower.", min=0, max=1)
    ] = None
    max_ece: Annotated[
        float | None,
        GateOption("Fail where the mean calibration error of a run is higher.", min=0, max=1),
    ] = None
    require_evidence: Annotated[
        bool, GateOption("Fail unless the comparison of gan with duplicate is evidence for gan.")
    ] = False
    split: Annotated[
        str, RowOption("Part of the data set to score.", choices=("train", "val", "test", "all"))
    ] = "test"
    view: Annotated[
        str,
        RowOption(
            "Views to score; stored: those that the runs were trained on.",
            choices=("stored", "frontal", "lateral", "all"),
        ),
    ] = "stored"
    device: Annotated[str, DEVICE] = "auto"
    threads: Annotated[int | None, THREADS] = None

    def validate(self) -> None:
        if not self.runs:
            raise UsageError(
                "no run is given", hint="cxr evaluate classifiers RUN... --data DATA -o OUT"
            )
        if not self.data:
            raise UsageError("missing --data", hint="Dataset directory with the rows to score.")
        for what, paths in (("run", self.runs), ("data set", self.data)):
            if len({path.resolve() for path in paths}) < len(paths):
                raise UsageError(f"a {what} is given twice")
        from cxrtool.stats.subgroups import parse_by

        parse_by(self.by)
        for text in self.set_name:
            folder, _, name = text.partition("=")
            if not folder or not name.strip():
                raise UsageError(f"--set-name {text}: write SYNTH=NAME, such as synth-a=bagan")
