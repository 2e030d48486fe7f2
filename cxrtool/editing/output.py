"""What `cxr edit` writes.

In: the starts and, for every target and strength, a `Job` with what was measured. Out: the data set
of all edited images, `edits.csv`, `entanglement.csv`, pictures, directions, and the summary.
"""

from __future__ import annotations

import dataclasses
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from PIL import Image
from torch import Tensor

from cxrtool.core import console
from cxrtool.data import manifest
from cxrtool.data.columns import image_name
from cxrtool.data.tables import write_table
from cxrtool.editing import record
from cxrtool.editing.entanglement import Change, changes, ratio
from cxrtool.editing.panels import panels, strip
from cxrtool.training.directions import DIRECTIONS, save_direction

if TYPE_CHECKING:
    from cxrtool.core.runs import Run
    from cxrtool.editing.starts import Starts

PANELS = 8  # edits on a panel
STRIPS = 6  # images on a strength strip
PANEL_PX = 128


@dataclass(frozen=True)
class Job:
    """All images edited towards one target at one strength.

    Attributes:
        asked: What was asked for.
        named: Labels that the target names, verified or not.
        strength: How much.
        ways: Its direction, see `training.directions`.
        found: Arrays over the images, see `editing.measure`.
    """

    asked: record.Asked
    named: tuple[str, ...]
    strength: float
    ways: dict[str, Tensor]
    found: dict[str, np.ndarray]


@dataclass(frozen=True)
class Judged:
    """A job with the teacher's verdict."""

    job: Job
    numbers: dict[str, np.ndarray]
    teacher: record.Teacher | None
    accept: np.ndarray | None
    changes: list[Change]

    @property
    def title(self) -> str:
        """For people."""
        way = "towards" if self.job.asked.sign == "+" else "away from"
        return f"{way} \u201c{self.job.asked.text}\u201d, strength {self.job.strength:g}"

    def summary(self) -> dict[str, Any]:
        """For result.json."""
        found = record.summary(self.job.asked, self.numbers, self.accept)
        found["strength"] = self.job.strength
        if self.changes:
            wanted = [c.moved for c in self.changes if c.role == "wanted"]
            found["wanted_change_sd"] = float(np.mean(wanted)) if wanted else None
            worst = ratio(self.changes)
            found["largest_unwanted_over_wanted"] = None if math.isnan(worst) else worst
        return found


def write(
    run: Run,
    starts: Starts,
    jobs: Sequence[Job],
    readers: tuple[str, ...],
    threshold: float,
    gan: Path,
) -> list[Judged]:
    """Write everything but the page.

    Args:
        run: The run to write into.
        starts: What was edited.
        jobs: What came of it.
        readers: Labels of the teacher; () without one.
        threshold: Probability from which it reads a label.
        gan: Folder of the generator.
    """
    judged = [_judge(job, threshold, starts, readers) for job in jobs]
    _write_dataset(run, starts, judged)
    _write_pictures(run, starts, judged)
    _write_directions(gan, run, starts, judged)
    if any(one.changes for one in judged):
        run.write_text("entanglement.csv", write_table(_entanglement_table(judged)))
    return judged


def _judge(job: Job, threshold: float, starts: Starts, labels: tuple[str, ...]) -> Judged:
    teacher = None
    found: list[Change] = []
    if labels:
        before, after = job.found["teacher_before"], job.found["teacher_after"]
        teacher = record.Teacher(labels, before, after, threshold)
        asked = job.asked
        found = changes(labels, before, after, asked.targets, asked.contradicted)
    numbers = record.measures(job.found, starts.originals)
    return Judged(job, numbers, teacher, record.accepted(teacher, job.asked), found)


def _write_dataset(run: Run, starts: Starts, judged: Sequence[Judged]) -> None:
    verified = any(one.accept is not None for one in judged)
    unread = {
        label
        for one in judged
        for label in one.job.named
        if one.teacher is None or label not in one.teacher.labels
    }
    covered = tuple(
        verified and was and label not in unread
        for label, was in zip(starts.info.labels, starts.info.covered, strict=True)
    )
    if verified and (lost := [name for name in starts.info.labels if name in unread]):
        console.warn(
            f"a target names {', '.join(lost)}, which the teacher does not read: left blank, and "
            "not covered by this data set"
        )
    info = dataclasses.replace(starts.info, covered=covered)
    writer = manifest.DatasetWriter(run, starts.info)
    tables, edits = [], []
    for place, one in enumerate(judged):
        job = one.job
        names = [image_name(place * starts.n + i) for i in range(starts.n)]
        for name, image in zip(names, job.found["after"], strict=True):
            writer.add_image(name, image)
        columns = starts.columns.assign(
            generator=run.input("gan").fingerprint,
            clip=run.input("clip").fingerprint,
            parent=starts.parents,
            strength=f"{job.strength:g}",
        )
        tables.append(
            record.manifest_table(
                names,
                columns,
                starts.info.labels,
                starts.cells,
                job.asked,
                one.teacher if verified else None,
                one.accept,
            ).assign(**dict.fromkeys(unread, ""))
        )
        table = record.edits_table(
            names, starts.parents, job.asked, one.numbers, one.teacher, one.accept
        )
        table.insert(table.columns.get_loc("sign") + 1, "strength", f"{job.strength:g}")
        edits.append(table)
    writer.finish(pd.concat(tables, ignore_index=True), info)
    run.write_text("edits.csv", write_table(pd.concat(edits, ignore_index=True).fillna("")))


def _write_pictures(run: Run, starts: Starts, judged: Sequence[Judged]) -> None:
    targets = list(dict.fromkeys(one.job.asked.text for one in judged))
    for k, text in enumerate(targets):
        same = [one for one in judged if one.job.asked.text == text]
        end = "" if len(targets) == 1 else f"-{k:04}"
        run.write_bytes(f"panels{end}.png", _png(panels_of(same[-1], starts)))
        if len(same) > 1:
            run.write_bytes(f"strengths{end}.png", _png(_strip(same)))


def panels_of(one: Judged, starts: Starts) -> Image.Image:
    """Before, after and difference of the first images."""
    found = one.job.found
    moved = (found["direction_after"] - found["direction_before"])[:PANELS]
    captions = [f"{value:+.2f}" for value in moved]
    if one.accept is not None:
        captions = [c + (" ok" if ok else " no") for c, ok in zip(captions, one.accept)]
    return panels(
        found["before"][:PANELS],
        found["after"][:PANELS],
        captions,
        None if starts.originals is None else starts.originals[:PANELS],
        scale=max(1, PANEL_PX // found["before"].shape[1]),
    )


def _strip(same: Sequence[Judged]) -> Image.Image:
    """One target at every strength: an image a row."""
    ordered = sorted(same, key=lambda one: one.job.strength)
    before = ordered[0].job.found["before"][:STRIPS]
    steps = [(f"{one.job.strength:g}", one.job.found["after"][:STRIPS]) for one in ordered]
    return strip([("before", before), *steps], scale=max(1, PANEL_PX // before.shape[1]))


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def _write_directions(gan: Path, run: Run, starts: Starts, judged: Sequence[Judged]) -> None:
    """The direction of every target at its largest strength."""
    strongest: dict[str, Judged] = {}
    for one in judged:
        text = one.job.asked.text
        if text not in strongest or one.job.strength > strongest[text].job.strength:
            strongest[text] = one
    for k, one in enumerate(strongest.values()):
        save_direction(
            run,
            one.job.ways,
            target=one.job.asked.text,
            sign=one.job.asked.sign,
            labels=one.job.named,
            gan=gan,
            images=starts.n,
            folder="" if len(strongest) == 1 else f"{DIRECTIONS}/{k:04}",
        )


def _entanglement_table(judged: Sequence[Judged]) -> pd.DataFrame:
    rows = [
        {
            "target": one.job.asked.text,
            "sign": one.job.asked.sign,
            "strength": f"{one.job.strength:g}",
            "label": c.label,
            "role": c.role,
            "before": f"{c.before:.4f}",
            "after": f"{c.after:.4f}",
            "moved_sd": f"{c.moved:.3f}",
        }
        for one in judged
        for c in one.changes
    ]
    return pd.DataFrame(rows, dtype=object)


def tell(run: Run, starts: Starts, judged: Sequence[Judged]) -> dict[str, Any]:
    """Print what came out; returns the summary."""
    summaries = [one.summary() for one in judged]
    for one, found in zip(judged, summaries, strict=True):
        console.say(
            f"{one.title}: {starts.n} images, similarity to the direction "
            f"{found['similarity_before']:.3f} -> {found['similarity_after']:.3f}, "
            f"{found['moved_as_asked']:.0%} moved as asked"
        )
        if one.changes:
            shown = [c for k, c in enumerate(one.changes) if c.role or k < 6]
            console.table(
                "teacher",
                ["label", "before", "after", "change, SD", ""],
                [
                    [c.label, f"{c.before:.2f}", f"{c.after:.2f}", f"{c.moved:+.2f}", c.role]
                    for c in shown
                ],
            )
    known = [one.accept for one in judged if one.accept is not None]
    if known:
        run.count("accepted", int(sum(accept.sum() for accept in known)))
        run.count("rejected", int(sum((~accept).sum() for accept in known)))
    if len(summaries) == 1:
        return summaries[0]
    return {"images": starts.n * len(judged), "edits": summaries}
