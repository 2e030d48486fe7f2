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
from functools import cached_property
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
    """All images edited towards one target at one strength, with the teacher's verdict.

    Attributes:
        request: What the edit was to do.
        names: Labels that the target names, verified or not.
        strength: How much.
        ways: Its direction, see `training.directions`.
        arrays: Over the images, see `editing.measure`.
        starts: What was edited.
        teacher: Readings before and after; None without a teacher.
    """

    request: record.Request
    names: tuple[str, ...]
    strength: float
    ways: dict[str, Tensor]
    arrays: dict[str, np.ndarray]
    starts: Starts
    teacher: record.Readings | None

    @cached_property
    def numbers(self) -> dict[str, np.ndarray]:
        """The numbers of edits.csv."""
        return record.measures(self.arrays, self.starts.originals)

    @cached_property
    def accept(self) -> np.ndarray | None:
        """Whether the teacher confirms each edit: [N] bool; None where nobody can tell."""
        return record.accepted(self.teacher, self.request)

    @cached_property
    def changes(self) -> list[Change]:
        """How the teacher's reading of every label changed; nothing without a teacher."""
        if self.teacher is None:
            return []
        read, request = self.teacher, self.request
        roles = request.targets, request.contradicted
        return changes(read.labels, read.before, read.after, *roles)

    @property
    def title(self) -> str:
        """For people."""
        way = "towards" if self.request.sign == "+" else "away from"
        return f"{way} “{self.request.text}”, strength {self.strength:g}"

    def summary(self) -> dict[str, Any]:
        """For result.json."""
        summary = record.summary(self.request, self.numbers, self.accept)
        summary["strength"] = self.strength
        if self.changes:
            wanted = [c.moved for c in self.changes if c.role == "wanted"]
            worst = ratio(self.changes)
            summary["wanted_change_sd"] = float(np.mean(wanted)) if wanted else None
            summary["largest_unwanted_over_wanted"] = None if math.isnan(worst) else worst
        return summary

    def panels(self) -> Image.Image:
        """Before, after and difference of the first images."""
        arrays, originals = self.arrays, self.starts.originals
        along = (arrays["direction_after"] - arrays["direction_before"])[:PANELS]
        captions = [f"{value:+.2f}" for value in along]
        if self.accept is not None:
            captions = [c + (" ok" if ok else " no") for c, ok in zip(captions, self.accept)]
        return panels(
            arrays["before"][:PANELS],
            arrays["after"][:PANELS],
            captions,
            None if originals is None else originals[:PANELS],
            scale=max(1, PANEL_PX // arrays["before"].shape[1]),
        )


def write(run: Run, starts: Starts, jobs: Sequence[Job], gan: Path) -> None:
    """Write everything but the page.

    Args:
        run: The run to write into.
        starts: What was edited.
        jobs: What came of it.
        gan: Folder of the generator.
    """
    _write_dataset(run, starts, jobs)
    by_target: dict[str, list[Job]] = {}
    for job in jobs:
        by_target.setdefault(job.request.text, []).append(job)
    for k, same in enumerate(by_target.values()):
        end = "" if len(by_target) == 1 else f"-{k:04}"
        run.write_bytes(f"panels{end}.png", _png(same[-1].panels()))
        if len(same) > 1:
            run.write_bytes(f"strengths{end}.png", _png(_strip(same)))
        strongest = max(same, key=lambda job: job.strength)
        save_direction(
            run,
            strongest.ways,
            target=strongest.request.text,
            sign=strongest.request.sign,
            labels=strongest.names,
            gan=gan,
            images=starts.n,
            folder="" if len(by_target) == 1 else f"{DIRECTIONS}/{k:04}",
        )
    if any(job.changes for job in jobs):
        run.write_text("entanglement.csv", write_table(_entanglement_table(jobs)))


def _write_dataset(run: Run, starts: Starts, jobs: Sequence[Job]) -> None:
    verified = any(job.accept is not None for job in jobs)
    unread = {
        label
        for job in jobs
        for label in job.names
        if job.teacher is None or label not in job.teacher.labels
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
    writer = manifest.DatasetWriter(run, starts.info)
    columns = starts.columns.assign(
        generator=run.input("gan").fingerprint,
        clip=run.input("clip").fingerprint,
        parent=starts.parents,
    )
    tables, edits = [], []
    for place, job in enumerate(jobs):
        names = [image_name(place * starts.n + i) for i in range(starts.n)]
        for name, image in zip(names, job.arrays["after"], strict=True):
            writer.add_image(name, image)
        teacher = job.teacher if verified else None
        rows = names, columns.assign(strength=f"{job.strength:g}")
        cells = starts.info.labels, starts.cells
        table = record.manifest_table(*rows, *cells, job.request, teacher, job.accept)
        tables.append(table.assign(**dict.fromkeys(unread, "")))
        table = record.edits_table(
            names, starts.parents, job.request, job.numbers, job.teacher, job.accept
        )
        table.insert(table.columns.get_loc("sign") + 1, "strength", f"{job.strength:g}")
        edits.append(table)
    info = dataclasses.replace(starts.info, covered=covered)
    writer.finish(pd.concat(tables, ignore_index=True), info)
    run.write_text("edits.csv", write_table(pd.concat(edits, ignore_index=True).fillna("")))


def _strip(same: Sequence[Job]) -> Image.Image:
    """One target at every strength: an image a row."""
    ordered = sorted(same, key=lambda job: job.strength)
    before = ordered[0].arrays["before"][:STRIPS]
    steps = [(f"{job.strength:g}", job.arrays["after"][:STRIPS]) for job in ordered]
    return strip([("before", before), *steps], scale=max(1, PANEL_PX // before.shape[1]))


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def _entanglement_table(jobs: Sequence[Job]) -> pd.DataFrame:
    rows = [
        {
            "target": job.request.text,
            "sign": job.request.sign,
            "strength": f"{job.strength:g}",
            "label": c.label,
            "role": c.role,
            "before": f"{c.before:.4f}",
            "after": f"{c.after:.4f}",
            "moved_sd": f"{c.moved:.3f}",
        }
        for job in jobs
        for c in job.changes
    ]
    return pd.DataFrame(rows, dtype=object)


def tell(run: Run, starts: Starts, jobs: Sequence[Job]) -> dict[str, Any]:
    """Print what came out; returns the summary."""
    summaries = [job.summary() for job in jobs]
    for job, summary in zip(jobs, summaries, strict=True):
        console.say(
            f"{job.title}: {starts.n} images, similarity to the direction "
            f"{summary['similarity_before']:.3f} -> {summary['similarity_after']:.3f}, "
            f"{summary['moved_as_asked']:.0%} moved as asked"
        )
        if job.changes:
            shown = [c for k, c in enumerate(job.changes) if c.role or k < 6]
            console.table(
                "teacher",
                ["label", "before", "after", "change, SD", ""],
                [
                    [c.label, f"{c.before:.2f}", f"{c.after:.2f}", f"{c.moved:+.2f}", c.role]
                    for c in shown
                ],
            )
    verdicts = [job.accept for job in jobs if job.accept is not None]
    if verdicts:
        run.count("accepted", int(sum(accept.sum() for accept in verdicts)))
        run.count("rejected", int(sum((~accept).sum() for accept in verdicts)))
    if len(summaries) == 1:
        return summaries[0]
    return {"images": starts.n * len(jobs), "edits": summaries}
