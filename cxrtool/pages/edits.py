"""The page of `edit`: for each target and strength, what was asked for and what came of it.

In: `Job`s. Out: a `Page` with the share that the teacher confirms, pictures, and the change that
was wanted beside those that were not.
"""

from collections.abc import Sequence

import numpy as np

from cxrtool.editing.output import panels_of
from cxrtool.editing.record import Job
from cxrtool.pages.page import Block, Numbers, Page, Picture, Section, Table, Text, cautions
from cxrtool.stats.wording import number


def build(jobs: Sequence[Job], caution: str = "") -> Page:
    """The whole page; `caution` is what a reader must know before all else."""
    images = f"{jobs[0].starts.n * len(jobs):,} edited images"
    shares = [job.accept.mean() for job in jobs if job.accept is not None]
    answer = f"{images}; nobody has verified that they show what was asked for."
    if shares:
        share = float(np.mean(shares))
        answer = f"{images}; the teacher confirms {share:.0%} of those it can read."
    head = [Section("", cautions([caution]))] if caution else []
    return Page("Edited radiographs", answer, [*head, *(_section(job) for job in jobs)])


def _section(job: Job) -> Section:
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
            panels_of(job),
            "Images before, after, and their difference",
            "Before, after, difference (red: brighter); below it the change along the text.",
        ),
    ]
    if job.changes:
        rows = [
            {
                "label": c.label,
                "before": number(c.before, 2),
                "after": number(c.after, 2),
                "change, SD": number(c.moved, 2),
                "": c.role,
            }
            for c in job.changes
        ]
        caption = "The teacher's mean probability; the change in deviations of the log-odds before."
        blocks.append(Table.of(rows, caption, text_last=True))
    else:
        blocks.append(Text("No teacher was given (--teacher): the edits are not verified."))
    return Section(job.title[0].upper() + job.title[1:], blocks)
