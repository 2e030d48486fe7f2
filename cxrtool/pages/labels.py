"""The report page of ``evaluate labels``.

In: a `LabelEvaluation`. Out: a `Page`, with ids and texts only where they may be shown.
"""

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd

from cxrtool.pages.page import Block, Numbers, Page, Section, Table, Text
from cxrtool.stats.label_classes import MACRO, MICRO, READINGS, VIEWS, View
from cxrtool.stats.labels import SKIP, ZERO, ZERO_PREDICTED
from cxrtool.stats.wording import intervals_cover, number, with_interval

#: Disagreements that the page shows; the file has all of them.
SHOWN = 200


@dataclass(frozen=True)
class LabelEvaluation:
    """Everything the page is made of.

    Attributes:
        table: `label_classes.table`.
        summary: The stage's summary.
        uncertain_as: What -1 counts as in the first table, "0" or "1".
        blank: What blank cells count as, as in `score`.
        resamples: Of the patients or reports; 0 where there are no intervals.
        disagreements: With their texts; None where no text may be shown.
    """

    table: pd.DataFrame
    summary: dict[str, Any]
    uncertain_as: str
    blank: str
    resamples: int
    disagreements: pd.DataFrame | None


def build(e: LabelEvaluation) -> Page:
    """The whole page."""
    first = View("positive", e.uncertain_as)
    views = [first, *(view for view in VIEWS if view != first)]
    sections = [_overview(e)]
    sections += [
        _scores(view, e.table, folded=view != first)
        for view in views
        # A class that the reference does not use has no score, right or wrong.
        if view == first or _of(e.table, view)["support"].any()
    ]
    if e.disagreements is not None and len(e.disagreements):
        sections.append(_disagreements(e.disagreements))
    macro = with_interval(*(e.summary[f"macro_f1{end}"] for end in ("", "_low", "_high")))
    answer = (
        f"Macro F1 {macro} over {e.summary['n_observations']} observations and "
        f"{e.summary['matched']:,} reports."
    )
    return Page("Labels against a reference", answer, sections)


def _overview(e: LabelEvaluation) -> Section:
    summary, rows = e.summary, []
    for view in VIEWS:
        table = _of(e.table, view).set_index("observation")
        macro, micro = table.loc[MACRO], table.loc[MICRO]
        rows.append(
            {
                "class": view.of.title(),
                "reading": READINGS[view.uncertain_as],
                "in reference": f"{int(macro['support']):,}",
                "precision": number(macro["precision"]),
                "recall": number(macro["recall"]),
                "macro F1": _cell(macro, "f1"),
                "micro F1": _cell(micro, "f1") if macro["support"] else number(math.nan),
            }
        )
    blocks: list[Block] = [
        Numbers(
            [
                (number(summary["macro_f1"]), "macro F1"),
                (number(summary["micro_f1"]), "micro F1"),
                (f"{summary['matched']:,}", "reports"),
                (f"{summary['disagreements']:,}", "disagreements"),
            ]
        ),
        Table.of(
            rows,
            "Means over the observations that have the class in the reference.",
            text_columns=2,
        ),
        Text(_how(e), tone="note"),
    ]
    return Section("Scores", blocks)


def _how(e: LabelEvaluation) -> str:
    summary = e.summary
    blank = {
        SKIP: "left out",
        ZERO: "counted as 0 on either side",
        ZERO_PREDICTED: "left out, and those of the prediction counted as 0",
    }[e.blank]
    how = (
        f"Uncertain (-1) counts as {e.uncertain_as} on either side in the first table; blank "
        f"cells of the reference are {blank}. {summary['only_in_reference']:,} reports of the "
        "reference have no prediction."
    )
    if "not_scored" in summary:
        how += (
            f" {sum(summary['not_scored'].values()):,} labels are not scored, because a cell is ?."
        )
    if e.resamples:
        units = f"{summary['groups']:,} {summary['resampled']}"
        how += " " + intervals_cover(e.resamples, units, seeds=False)
    return how + (
        " Intervals of precision and recall are in classes.csv."
        " A report that does not mention an observation is blank, not negative: where the "
        "reference writes 0 for what was not mentioned, recall of the negative class is low."
    )


def _scores(view: View, every: pd.DataFrame, *, folded: bool) -> Section:
    rows = [
        [
            row["observation"],
            *(f"{row[count]:,}" for count in ("n", "support", "predicted")),
            number(row["precision"]),
            number(row["recall"]),
            _cell(row, "f1"),
        ]
        for row in _of(every, view).to_dict("records")
        if row["observation"] not in (MACRO, MICRO)
    ]
    columns = ("observation", "n", "in reference", "predicted", "precision", "recall", "F1")
    reading = READINGS[view.uncertain_as]
    title = f"{view.of.title()}, {reading}" if reading else view.of.title()
    return Section(title, [Table(columns, rows)], folded=folded)


def _disagreements(wrong: pd.DataFrame) -> Section:
    rows = [
        [row["observation"], row["reference"] or "blank", row["predicted"] or "blank", _read(row)]
        for row in wrong.head(SHOWN).to_dict("records")
    ]
    caption = f"The first {len(rows):,} of {len(wrong):,}; all are in disagreements.csv."
    columns = ("observation", "reference", "predicted", "report, and what the label rests on")
    table = Table(columns, rows, caption=caption, text_columns=len(columns))
    return Section("Disagreements", [table], folded=True)


def _read(row: dict[str, str]) -> str:
    """Text and evidence of a disagreement, for the one column that takes many lines."""
    return f"{row.get('report', row['key'])} \u25b8 {row['evidence'] or 'nothing was found'}"


def _of(every: pd.DataFrame, view: View) -> pd.DataFrame:
    same = (every["class"] == view.of) & (every["uncertain_as"] == view.uncertain_as)
    return every[same]


def _cell(row: Any, metric: str) -> str:
    value = float(row[metric])
    if math.isnan(value):
        return number(value)
    low, high = float(row[f"{metric}_low"]), float(row[f"{metric}_high"])
    return number(value) if math.isnan(low) else with_interval(value, low, high)
