"""The report page of ``evaluate labels``.

In: the table of all classes and the summary; the list of disagreements only where texts may be
shown. Out: HTML without ids and texts otherwise.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pandas as pd

from cxrtool.pages.page import Block, Numbers, Page, Section, Table, Text, render
from cxrtool.stats.label_classes import MACRO, MICRO, READINGS, VIEWS, View
from cxrtool.stats.wording import number, with_interval
from cxrtool.version import __version__

if TYPE_CHECKING:
    from cxrtool.core.runs import Run

#: Disagreements that the page shows; the file has all of them.
SHOWN = 200
_TITLES = {
    "positive": "Positive",
    "negative": "Negative",
    "uncertain": "Uncertain",
}


def page(
    config: Any, run: Run, every: pd.DataFrame, summary: dict[str, Any], wrong: pd.DataFrame | None
) -> str:
    """The page as HTML text.

    Args:
        config: Options of the stage.
        run: For the footer.
        every: `label_classes.table`.
        summary: The stage's summary.
        wrong: Disagreements with their texts, or None where no text may be shown.
    """
    first = View("positive", config.uncertain_as)
    views = [first, *(view for view in VIEWS if view != first)]
    sections = [_overview(config, every, summary)]
    sections += [
        _scores(view, every, folded=view != first)
        for view in views
        # A class that the reference does not use has no score, right or wrong.
        if view == first or _of(every, view)["support"].any()
    ]
    if wrong is not None and len(wrong):
        sections.append(_disagreements(wrong))
    macro = with_interval(*(summary[f"macro_f1{end}"] for end in ("", "_low", "_high")))
    answer = (
        f"Macro F1 {macro} over {summary['n_observations']} observations and "
        f"{summary['matched']:,} reports."
    )
    footer = f"cxr {__version__} \u00b7 evaluate labels \u00b7 run {run.fingerprint[:12]}"
    return render(Page("Labels against a reference", answer, sections, footer))


def _overview(config: Any, every: pd.DataFrame, summary: dict[str, Any]) -> Section:
    rows = []
    for view in VIEWS:
        chosen = _of(every, view).set_index("observation")
        macro, micro = chosen.loc[MACRO], chosen.loc[MICRO]
        rows.append(
            [
                _TITLES[view.of],
                READINGS[view.uncertain_as],
                f"{int(macro['support']):,}",
                number(macro["precision"]),
                number(macro["recall"]),
                _cell(macro, "f1"),
                _cell(micro, "f1") if macro["support"] else number(math.nan),
            ]
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
        Table(
            ("class", "reading", "in reference", "precision", "recall", "macro F1", "micro F1"),
            rows,
            caption="Means over the observations that have the class in the reference.",
            text_columns=2,
        ),
        Text(_how(config, summary), tone="note"),
    ]
    return Section("Scores", blocks)


def _how(config: Any, summary: dict[str, Any]) -> str:
    blank = "left out" if config.blank_as == "skip" else "counted as 0 on either side"
    how = (
        f"Uncertain (-1) counts as {config.uncertain_as} on either side in the first table; blank "
        f"cells of the reference are {blank}. {summary['only_in_reference']:,} reports of the "
        "reference have no prediction."
    )
    if config.bootstrap:
        how += (
            f" Intervals: 95 %, {config.bootstrap:,} resamples of {summary['groups']:,} "
            f"{summary['resampled']}."
        )
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
    title = f"{_TITLES[view.of]}, {reading}" if reading else _TITLES[view.of]
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
