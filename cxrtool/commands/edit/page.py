"""The report page of `cxr edit`.

In: the jobs with the teacher's verdicts. Out: HTML: for every target and strength how many edits
are confirmed, pictures, and the change that was wanted beside those that were not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cxrtool.version import __version__

if TYPE_CHECKING:
    from cxrtool.core.runs import Run
    from cxrtool.editing.output import Judged
    from cxrtool.editing.starts import Starts
    from cxrtool.pages.page import Section


def edit_page(run: Run, judged: Sequence[Judged], starts: Starts) -> str:
    """The page as HTML text."""
    import numpy as np

    from cxrtool.pages.page import Page, render

    best = [one for one in judged if one.accept is not None]
    images = starts.n * len(judged)
    if best:
        share = float(np.mean([one.accept.mean() for one in best if one.accept is not None]))
        answer = f"{images:,} edited images; the teacher confirms {share:.0%} of those it can read."
    else:
        answer = f"{images:,} edited images; nobody has verified that they show what was asked for."
    sections = [_section(one, starts) for one in judged]
    method = judged[0].job.asked.method
    footer = f"cxr {__version__} \u00b7 edit {method} \u00b7 run {run.fingerprint[:12]}"
    return render(Page("Edited radiographs", answer, sections, footer))


def _section(one: Judged, starts: Starts) -> Section:
    from cxrtool.editing.output import panels_of
    from cxrtool.pages.page import Block, Numbers, Picture, Section, Table, Text
    from cxrtool.stats.wording import number

    summary = one.summary()
    numbers = [
        (f"{summary['moved_as_asked']:.0%}", "moved as asked, to the CLIP"),
        (number(summary["gray_rms"], 1), "gray levels of change"),
        (number(summary["distance"], 3), "identity distance (features before and after)"),
    ]
    if "inversion_gray_rms" in summary:
        error = number(summary["inversion_gray_rms"], 1)
        numbers.append((error, "gray levels of inversion error, before any edit"))
    if one.accept is not None:
        numbers.insert(0, (f"{one.accept.mean():.0%}", "confirmed by the teacher"))
    blocks: list[Block] = [
        Numbers(numbers),
        Picture(
            panels_of(one, starts),
            "Images before, after, and their difference",
            "Before, after, difference (red: brighter); below it the change along the text.",
        ),
    ]
    if one.changes:
        rows = [
            [
                c.label,
                number(c.before, 2),
                number(c.after, 2),
                number(c.moved, 2),
                c.role,
            ]
            for c in one.changes
        ]
        columns = ["label", "before", "after", "change, SD", ""]
        caption = "The teacher's mean probability; the change in deviations of the log-odds before."
        blocks.append(Table(columns, rows, caption, text_last=True))
    else:
        blocks.append(Text("No teacher was given (--teacher): the edits are not verified."))
    return Section(one.title[0].upper() + one.title[1:], blocks)
