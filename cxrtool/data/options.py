"""Options on rows and labels, declared once and taken by every command that reads a data set.

They stand apart from what they do (`select`, `labels`), so that the command line is built without
NumPy and pandas.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from cxrtool.core.config import ROWS, option
from cxrtool.core.errors import UsageError

UNCERTAIN = ("ones", "zeros", "ignore")
BLANK = ("zeros", "ignore")
#: What becomes of several rows of one image, see `cxrtool.data.repeated_rows`.
ROW_RULES = ("any", "majority", "first")
VIEWS = ("frontal", "lateral", "all")
row_option = partial(option, panel=ROWS)
SPLIT_CHOICES = ("train", "val", "test", "all")


@dataclass(frozen=True, kw_only=True)
class SelectionOptions:
    """Which rows of a data set a command uses."""

    view: str = row_option(
        "Views to use; frontal and lateral have an effect where views are known.",
        "frontal",
        choices=VIEWS,
    )
    split: str = row_option("Part of the data set to use.", "train", choices=SPLIT_CHOICES)
    fraction: float = row_option(
        "Use this share of the part's patients. Smaller shares lie inside larger ones, so that"
        " 0.01 is a subset of 0.1.",
        1.0,
        min=0,
        max=1,
    )
    leave_out: str | None = row_option(
        "Hold patients back for another run to judge: the part is cut into k groups, and the"
        " i-th is left out. After k runs, 1/k to k/k, there is one for every patient that has"
        " not seen it.",
        metavar="i/k",
    )


@dataclass(frozen=True, kw_only=True)
class PolicyOptions:
    """The two label options, the same in every command that reads labels."""

    uncertain: str = row_option(
        "What -1 (uncertain) means: ones, zeros, ignore (left out of loss and metric), or a"
        " TOML file with `default = ...` and a line for each label that differs.",
        "ones",
        metavar="POLICY",
        file=True,
    )
    blank: str = row_option(
        "What a blank means in a label that the source covers: zeros (not mentioned = absent)"
        " or ignore.",
        "zeros",
        choices=BLANK,
    )


def column_names(pairs: Sequence[str]) -> dict[str, str]:
    """``--column KEY=NAME`` taken apart: names of columns by what they hold.

    Raises:
        UsageError: Not KEY=NAME.
    """
    parts = [text.partition("=") for text in pairs]
    for text, (key, _, name) in zip(pairs, parts, strict=True):
        if not key or not name:
            raise UsageError(f"--column {text}: write KEY=NAME, such as image=path")
    return {key.strip(): name.strip() for key, _, name in parts}
