"""What `cxr edit` writes.

In: the starts and, for every target and strength, a `Job` with what was measured. Out: the data set
of all edited images, `edits.csv`, `entanglement.csv`, pictures, directions, and the summary.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from cxrtool.core import console
from cxrtool.core.runs import Run
from cxrtool.data import manifest
from cxrtool.data.columns import image_name
from cxrtool.data.images import contact_sheet
from cxrtool.data.tables import write_table
from cxrtool.editing.judging import CONFIRMED, NOT_CONFIRMED, NOT_JUDGED
from cxrtool.editing.record import Job
from cxrtool.editing.starts import Starts
from cxrtool.training.directions import DIRECTIONS, save_direction

PANELS = 8  # edits on a panel
STRIPS = 6  # images on a strength strip
PANEL_PX = 128
FULL = 64.0  # gray levels of difference that give full colour


def difference_colours(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """uint8 [N, H, W] twice -> uint8 [N, H, W, 3]; white is no difference."""
    delta = np.clip((after.astype(np.float32) - before.astype(np.float32)) / FULL, -1.0, 1.0)
    fade = 255.0 * (1.0 - np.abs(delta))
    red = np.where(delta > 0, 255.0, fade)
    blue = np.where(delta < 0, 255.0, fade)
    return np.stack([red, fade, blue], axis=-1).round().astype(np.uint8)


def panels(
    before: np.ndarray,
    after: np.ndarray,
    captions: list[str],
    original: np.ndarray | None = None,
    scale: int = 1,
) -> Image.Image:
    """Before, after and difference, an edit a column.

    Above stands the image before (and what it reconstructs, where that is a real one), below it the
    image after and the difference, red where the edit is brighter and blue where it is darker.

    Args:
        before: uint8 [N, H, W], what the generator makes of the start.
        after: uint8 [N, H, W].
        captions: N short texts, below the differences.
        original: uint8 [N, H, W] real images that `before` reconstructs.
        scale: Whole-number enlargement.
    """
    gray = np.concatenate([x for x in (original, before, after) if x is not None])
    colours = np.repeat(gray[..., None], 3, axis=-1)
    tiles = np.concatenate([colours, difference_colours(before, after)])
    return contact_sheet(tiles, len(before), [""] * len(gray) + captions, scale)


def panels_of(job: Job) -> Image.Image:
    """Before, after and difference of the first images, with their way along the text."""
    arrays, originals = job.arrays, job.starts.originals
    captions = [""] * min(PANELS, job.starts.n)
    if job.steered:
        along = (arrays["direction_after"] - arrays["direction_before"])[:PANELS]
        captions = [f"{value:+.2f}" for value in along]
    if job.accept is not None:
        captions = [c + (" ok" if ok else " no") for c, ok in zip(captions, job.accept)]
    before, after = arrays["before"][:PANELS], arrays["after"][:PANELS]
    # A flow begins at a real image itself.
    first = None if originals is None or not job.steered else originals[:PANELS]
    return panels(before, after, captions, first, scale=max(1, PANEL_PX // before.shape[1]))


def _strengths(same: Sequence[Job]) -> Image.Image:
    """One target at every strength: an image a row, a strength a column."""
    ordered = sorted(same, key=lambda job: job.strength)
    before = ordered[0].arrays["before"][:STRIPS]
    tiles = np.stack([before, *(job.arrays["after"][:STRIPS] for job in ordered)], axis=1)
    titles = ["before", *(f"{job.strength:g}" for job in ordered)]
    captions = [""] * (len(titles) * (len(before) - 1)) + titles
    flat, scale = tiles.reshape(-1, *before.shape[1:]), max(1, PANEL_PX // before.shape[1])
    return contact_sheet(flat, len(titles), captions, scale)


def write(run: Run, jobs: Sequence[Job]) -> None:
    """Write everything but the page; the jobs have the same starts."""
    _write_dataset(run, jobs[0].starts, jobs)
    by_target: dict[str, list[Job]] = {}
    for job in jobs:
        by_target.setdefault(job.request.target.text, []).append(job)
    for k, same in enumerate(by_target.values()):
        end = "" if len(by_target) == 1 else f"-{k:04}"
        pictures = {"panels": panels_of(same[-1])}
        if len(same) > 1:
            pictures["strengths"] = _strengths(same)
        for name, picture in pictures.items():
            with run.atomic(f"{name}{end}.png") as path:
                picture.save(path, "PNG")
        strongest = max(same, key=lambda job: job.strength)
        if not strongest.ways:  # an edit by labels is no direction of a space
            continue
        save_direction(
            run,
            strongest.ways,
            target=strongest.request.target.text,
            sign=strongest.request.target.sign,
            labels=strongest.names,
            gan=run.input("gan").path,
            images=strongest.starts.n,
            folder="" if len(by_target) == 1 else f"{DIRECTIONS}/{k:04}",
        )
    rows = [
        {
            "target": job.request.target.text,
            "sign": job.request.target.sign,
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
    if rows:
        run.write_text(
            "entanglement.csv", write_table(pd.DataFrame(rows, dtype=object), people=True)
        )


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
        clip=run.input("clip").fingerprint if jobs[0].steered else "",
        parent=starts.parents,
    )
    tables, edits = [], []
    for place, job in enumerate(jobs):
        names = [image_name(place * starts.n + i) for i in range(starts.n)]
        for name, image in zip(names, job.arrays["after"], strict=True):
            writer.add_image(name, image)
        table = job.manifest_table(names, columns, verified)
        tables.append(table.assign(**dict.fromkeys(unread, "")))
        edits.append(job.edits_table(names))
    info = dataclasses.replace(starts.info, covered=covered)
    writer.finish(pd.concat(tables, ignore_index=True), info)
    run.write_text(
        "edits.csv", write_table(pd.concat(edits, ignore_index=True).fillna(""), people=True)
    )


def tell(run: Run, jobs: Sequence[Job]) -> dict[str, Any]:
    """Print what came out; returns the summary."""
    summaries = [job.summary() for job in jobs]
    for job in jobs:
        console.say(job.sentence)
        if job.changes:
            rows = [
                [c.label, f"{c.before:.2f}", f"{c.after:.2f}", f"{c.moved:+.2f}", c.role]
                for k, c in enumerate(job.changes)
                if c.role or k < 6
            ]
            console.table("teacher", ["label", "before", "after", "change, SD", ""], rows)
    for status in (CONFIRMED, NOT_CONFIRMED, NOT_JUDGED):
        if count := sum(job.verdict.status == status for job in jobs):
            run.count(status.replace(" ", "_"), count)
    read = [job.accept for job in jobs if job.accept is not None]
    if read:
        run.count("accepted", int(sum(accept.sum() for accept in read)))
        run.count("rejected", int(sum((~accept).sum() for accept in read)))
    if len(summaries) == 1:
        return summaries[0]
    return {"images": sum(job.starts.n for job in jobs), "edits": summaries}
