"""The options of `cxr evaluate classifiers`."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cxrtool.core.config import (
    GIVEN,
    MOST_RESAMPLES,
    REQUIRED,
    Computing,
    argument,
    option,
)
from cxrtool.core.errors import UsageError
from cxrtool.data.options import SPLIT_CHOICES, VIEWS, SelectionOptions, row_option

# 5: a synthetic set is named only where the regimen does not tell it. 6: patients of intervals are
# units of studies and copies; degrees of freedom by Welch and Satterthwaite; intervals corrected as
# p is. 7: intervals of means over seeds cover the seeds, as those of evaluate clip do. 8: runs of
# which each seed has a synthetic set of its own are one arm; what a verdict is about, and what it
# would find; near copies of what the runs have seen are listed; the mean leaves labels of few
# patients out; degenerate resamples give no interval
# 9: a treatment is no baseline; of several sets the first sentence names each; where generators
# know other patients than the data set, that is the question
FORMAT = 9
INTERRUPTIBLE = True  # nothing is kept before the end
#: No name of an external set: rows of --data are called so.
OWN_ROWS = ("internal", "test", "train", "val", "all")
page_option = partial(option, panel="What the page shows")
gate_option = partial(option, panel="Gates: when to fail (exit 5)")


@dataclass(frozen=True, kw_only=True)
class Config(SelectionOptions, Computing):
    """Score classifiers on real test rows, and compare them.

    The verdict says what their differences are worth. Each run reads the rows with its own network,
    preprocessing and calibration; rows that one of them has seen are refused. The result is a page,
    report.html, and the tables behind it.

    Example: cxr evaluate classifiers cls-none cls-duplicate cls-gan --data data -o report
    """

    runs: tuple[Path, ...] = argument("Outputs of train-cls.", metavar="RUN", role="runs")
    data: tuple[Path, ...] = option(
        "Dataset directory with the rows to score; may be repeated: the folds of a"
        " cross-validation, each for the runs trained on it, their predictions pooled.",
        REQUIRED,
        role="data",
    )
    external: tuple[str, ...] = option(
        "Dataset directory of another hospital, with what to call it: all its rows are scored"
        " beside those of --data, by what is stored with the runs; may be repeated.",
        (),
        metavar="NAME=DATA",
        role="external",
        named=True,
    )
    synth: Path | None = option(
        "Output of synthesize or edit, for class activation maps of its images.", role="synth"
    )
    image_report: tuple[Path, ...] = option(
        "Output of evaluate images, to show fidelity and privacy on the page; may be repeated.",
        (),
        was="images",
        role="images",
    )
    by: str | None = option(
        "Score subgroups too: any of sex, age and view, separated by commas.", metavar="A,B"
    )
    map_labels: str | None = option(
        "From the data's label names to those of the runs: a TOML file or a built-in map"
        " (chexpert, synonyms, or that of a format such as nih).",
        metavar="MAP",
        file=True,
    )
    bootstrap: int = option(
        "Patient resamples behind the intervals.", 1000, min=100, max=MOST_RESAMPLES
    )
    seed: int = option("Seed of the resamples and of the images shown.", 0, min=0)
    set_name: tuple[str, ...] = page_option(
        "What a synthetic set is called on the page: its folder, or the first eight digits of"
        " its digest, and the name; may be repeated. Sets of one name, one for each seed, are those"
        " of one method.",
        (),
        metavar="SYNTH=NAME",
    )
    include_ids: bool = page_option(
        "Name images and patients in predictions.csv.", False, was="include_text"
    )
    strict_regimen: bool = gate_option(
        "Refuse a run whose generator saw patients that its classifier did not.", False
    )
    min_auroc: float | None = gate_option(
        "Fail where the mean AUROC of a run is lower.", min=0, max=1
    )
    max_ece: float | None = gate_option(
        "Fail where the mean calibration error of a run is higher.", min=0, max=1
    )
    require_evidence: bool = gate_option(
        "Fail unless the comparison of gan with duplicate is evidence for gan.", False
    )
    split: str = row_option("Part of the data set to score.", "test", choices=SPLIT_CHOICES)
    view: str = row_option(
        "Views to score; stored: those that the runs were trained on.",
        "stored",
        choices=("stored", *VIEWS),
    )

    external_split: str = row_option(
        "Part of each external set to score.",
        "all",
        choices=SPLIT_CHOICES,
        only={"external": GIVEN},
    )

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
        self._validate_external()

    def _validate_external(self) -> None:
        names = set[str]()
        for text in self.external:
            name, _, folder = text.partition("=")
            name = name.strip()
            if not name or not folder or not name.isprintable():
                example = "such as south=data-south"
                raise UsageError(f"--external {text}: write NAME=DATA, {example}")
            if name.lower() in OWN_ROWS:
                raise UsageError(
                    f"--external {text}: {name} is what rows of --data are called",
                    hint="choose another name, such as that of the hospital",
                )
            if name.lower() in names:
                raise UsageError(f"--external: two data sets are called {name}")
            names.add(name.lower())
        if self.external and len(self.data) > 1:
            raise UsageError(
                "--external does not go with several --data: a recipe of a cross-validation is"
                " several networks, each for the patients that it has not seen",
                hint="give the runs of one fold and its --data, or a --data for all runs",
            )
