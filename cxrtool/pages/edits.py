"""The page of `edit`: for each target and strength, what was asked for and what came of it.

In: `Job`s. Out: a `Page` that begins with the verdict of who did not steer, with pictures, the
judges' numbers beside those of the control, and the change that was wanted beside those that were
not.
"""

from collections import Counter
from collections.abc import Sequence

from cxrtool.editing.judging import CONFIRMED, NOT_CONFIRMED, NOT_JUDGED
from cxrtool.editing.output import panels_of
from cxrtool.editing.record import Job
from cxrtool.pages.page import Block, Numbers, Page, Picture, Section, Table, Terms, Text, cautions
from cxrtool.stats.wording import counted, number, with_interval

COLUMNS = (
    ("image, parent", "the edited image, and the seed or the real image that it began as"),
    ("prompt, sign, strength", "what was asked for, towards it or away from it, how strongly"),
    ("target_*, opposite_*", "cosine with either end of the text, before and after"),
    ("direction_*", "cosine with the direction of the text, before and after, to the CLIP"),
    ("way", "how far it moved in the space of the method"),
    ("gray_rms", "root mean square change in gray levels"),
    ("distance", "distance of features before and after (identity)"),
    ("inversion_gray_rms", "of a real image: gray levels that its start is off, before any edit"),
    ("LABEL before, LABEL after", "the teacher's probability"),
    ("clip_control", "how far the same start moved as asked to the CLIP, edited by a control"),
    ("LABEL judged", "how far it moved as asked to the judge, in its unit"),
    (
        "LABEL control",
        "the same of its control; blank beyond --control-n; with two judges each is named",
    ),
    ("accepted", "1 where the teacher reads every label as it was asked for"),
)
NO_TEACHER = "Nobody has read these images (--teacher), so their labels are blank."


def build(jobs: Sequence[Job], caution: str = "") -> Page:
    """The whole page; `caution` is what a reader must know before all else."""
    head = [Section("", cautions([caution]))] if caution else []
    columns = Section("Columns of edits.csv", [Terms(COLUMNS)], folded=True)
    sections = [*head, *(_section(job, len(jobs) == 1) for job in jobs), columns]
    return Page("Edited radiographs", _answer(jobs), sections, detail=_detail(jobs))


def _answer(jobs: Sequence[Job]) -> str:
    if len(jobs) == 1:
        return _begun(jobs[0].sentence)
    found = Counter(job.verdict.status for job in jobs)
    rest = "".join(f", {found[s]} {s}" for s in (NOT_CONFIRMED, NOT_JUDGED) if found[s])
    each = counted(jobs[0].starts.n, "image")
    return f"{found[CONFIRMED]} of {len(jobs)} edits confirmed{rest} ({each} each)."


def _detail(jobs: Sequence[Job]) -> str:
    if all(job.control is None for job in jobs):
        return ""
    if not jobs[0].steered:
        return (
            "A flow changed the labels that the target names; no text and no judge steered it. An"
            " edit is confirmed where every label moved as asked to the judge, and the 95 %"
            " interval of its move lies above 0."
        )
    return (
        "Controls are the same words with their letters shuffled, up to eight, which share the"
        " starts in turn. An edit is confirmed where a judge that did not steer it saw every label"
        " move as asked, and further than one more text without meaning would move it (95 %"
        " interval above 0)."
    )


def _begun(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]


def _section(job: Job, alone: bool) -> Section:
    """What came of one edit; `alone` where the page has said its verdict already."""
    summary = job.summary()
    numbers = [(number(summary["gray_rms"], 1), "gray levels of change")]
    if job.steered:
        distance = number(summary["distance"], 3)
        numbers.append((distance, "identity distance (features before and after)"))
    if job.control is not None and job.steered:
        gray = number(summary["control"]["gray_rms"], 1)
        numbers.insert(1, (gray, "gray levels of change by the controls"))
    if "inversion_gray_rms" in summary:
        error = number(summary["inversion_gray_rms"], 1)
        numbers.append((error, "gray levels of inversion error, before any edit"))
    if job.accept is not None:
        numbers.insert(0, (f"{job.accept.mean():.0%}", "read by the teacher as asked"))
    blocks: list[Block] = [
        *([] if alone else [Text(_begun(job.said))]),
        Numbers(numbers),
        Picture(
            panels_of(job),
            "Images before, after, and their difference",
            "Before, after, difference (red: brighter)"
            + ("; below it the change along the text" if job.steered else "")
            + ("." if job.accept is None else "; whether the teacher reads it as asked."),
        ),
        *([_moves(job)] if job.steered or job.verdict.effects else []),
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
        blocks.append(Text(NO_TEACHER))
    return Section(_begun(job.title), blocks)


def _moves(job: Job) -> Table:
    """How far edit and controls moved, to every judge and to the CLIP that steered."""
    rows = [
        {
            "read by": verdict.judge.who,
            "of": f"{effect.label} ({verdict.judge.unit})",
            "edit": number(float(effect.change.mean())),
            "controls": number(float(effect.control.mean())),
            "beyond": with_interval(effect.beyond.value, *effect.interval, signed=True),
            "images further": f"{effect.ahead} of {len(effect.control)}",
        }
        for verdict in job.verdict.each
        if verdict.judge
        for effect in verdict.effects
    ]
    if not job.steered:
        shown = {"read by": "read by", "of": "of", "beyond": "moved as asked"}
        shown["images further"] = "images that did"
        rows = [{name: row[key] for key, name in shown.items()} for row in rows]
        return Table.of(rows, "Mean move as asked, with its 95 % interval.", text_columns=2)
    n = len(job.clip_control)
    ahead = int((job.clip_moved[:n] > job.clip_control).sum())
    rows.append(
        {
            "read by": "the CLIP that steered",
            "of": "the text (cosine)",
            "edit": number(float(job.clip_moved.mean())),
            "controls": number(float(job.clip_control.mean())) if n else "–",
            "beyond": "judges nothing",
            "images further": f"{ahead} of {n}" if n else "–",
        }
    )
    caption = "Mean move as asked; the last columns are of the images that controls edited too."
    return Table.of(rows, caption, text_columns=2)
