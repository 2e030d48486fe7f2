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
    from cxrtool.editing.output import Job
    from cxrtool.pages.page import Section


def edit_page(run: Run, jobs: Sequence[Job]) -> str:
    """The page as HTML text."""
    import numpy as np

    from cxrtool.pages.page import Page, render

    images = jobs[0].starts.n * len(jobs)
    verdicts = [job.accept for job in jobs if job.accept is not None]
    if verdicts:
        share = float(np.mean([accept.mean() for accept in verdicts]))
        answer = f"{images:,} edited images; the teacher confirms {share:.0%} of those it can read."
    else:
        answer = f"{images:,} edited images; nobody has verified that they show what was asked for."
    sections = [_section(job) for job in jobs]
    method = jobs[0].request.method
    footer = f"cxr {__version__} \u00b7 edit {method} \u00b7 run {run.fingerprint[:12]}"
    return render(Page("Edited radiographs", answer, sections, footer))


def _section(job: Job) -> Section:
    from cxrtool.pages.page import Block, Numbers, Picture, Section, Table, Text
    from cxrtool.stats.wording import number

    summary = job.summary()
    numbers = [
        (f"{summary['moved_as_asked']:.0%}", "moved as asked, to the CLIP"),
        (number(summary["gray_rms"], 1), "gray levels of change"),
        (number(summary["distance"], 3), "identity distance (features before and after)"),
    ]
    if "inversion_gray_rms" in summary:
        error = number(summary["inversion_gray_rms"], 1)
        numbers.append((error, "gray levels of inversion error, before any edit"))
    if job.accept is not None:
        numbers.insert(0, (f"{job.accept.mean():.0%}", "confirmed by the teacher"))
    blocks: list[Block] = [
        Numbers(numbers),
        Picture(
            job.panels(),
            "Images before, after, and their difference",
            "Before, after, difference (red: brighter); below it the change along the text.",
        ),
    ]
    if job.changes:
        rows = [
            [
                c.label,
                number(c.before, 2),
                number(c.after, 2),
                number(c.moved, 2),
                c.role,
            ]
            for c in job.changes
        ]
        columns = ["label", "before", "after", "change, SD", ""]
        caption = "The teacher's mean probability; the change in deviations of the log-odds before."
        blocks.append(Table(columns, rows, caption, text_last=True))
    else:
        blocks.append(Text("No teacher was given (--teacher): the edits are not verified."))
    return Section(job.title[0].upper() + job.title[1:], blocks)
