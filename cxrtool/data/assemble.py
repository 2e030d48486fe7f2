"""From a checked source and its converted images to a manifest, and what to tell the user.

In: a `SourceTable`, the rows that are left, what became of their images. Out: the manifest's table
with images, keys and splits, the side tables, and counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from cxrtool.data.columns import (
    IMAGE,
    ORIGIN,
    PATIENT,
    PATIENT_KEY,
    PIXEL_KEY,
    SOURCE,
    SPLIT,
    SPLITS,
    STUDY,
)
from cxrtool.data.ingest import Ingested, image_name
from cxrtool.data.keys import patient_keys
from cxrtool.data.select import units
from cxrtool.data.sources.base import Rejected, SourceTable


def manifest_table(
    source: SourceTable, rows: np.ndarray, images: Ingested | None, secret: bytes | None
) -> pd.DataFrame:
    """The manifest without splits made by us.

    Args:
        source: Checked, renamed, joined; its ``namespace`` is the final one.
        rows: Positions of the rows to keep, ascending.
        images: Results for these rows; None for labels only.
        secret: Content of ``--id-key``.

    Returns:
        One row an image, index 0..N-1; ``image_ref`` is still there (splits may name it).
    """
    table = source.table.iloc[rows].reset_index(drop=True)
    table = table.drop(columns=[c for c in ("table_file", "table_row") if c in table])
    table[SOURCE] = "real"
    if images is None:
        table[IMAGE], table[PIXEL_KEY] = "", ""
    else:
        table[IMAGE] = [image_name(int(row)) for row in rows]
        table[PIXEL_KEY] = [images.done[int(row)].pixel_key for row in rows]
    for name in (PATIENT, STUDY, SPLIT):
        if name not in table:
            table[name] = ""
    table[PATIENT_KEY] = (
        patient_keys(table[PATIENT], source.namespace, secret) if source.patients else ""
    )
    return table


def finish_table(table: pd.DataFrame, source: SourceTable, split: np.ndarray) -> pd.DataFrame:
    """Write the splits in, and keep or drop the names of the original files."""
    out = table.assign(**{SPLIT: split})
    if "image_ref" not in out:
        return out
    if source.keep_refs:
        return out.rename(columns={"image_ref": ORIGIN})
    return out.drop(columns="image_ref")


def sidecars(source: SourceTable, rows: np.ndarray, *, pixels: bool) -> dict[str, pd.DataFrame]:
    """Side tables of the rows that were kept, keyed by ``image`` where there are images."""
    refs = source.table.get("image_ref")
    out = {}
    for name, side in source.sidecars.items():
        if refs is not None and "image_ref" in side:
            names = {refs.iloc[int(row)]: image_name(int(row)) for row in rows}
            side = side[side["image_ref"].isin(list(names))].reset_index(drop=True)
            if pixels:
                side = side.assign(image_ref=side["image_ref"].map(names))
                side = side.rename(columns={"image_ref": IMAGE})
        out[name] = side
    return out


def rejected_table(rejected: Sequence[Rejected]) -> pd.DataFrame:
    """``rejected.csv``: what was left out by ``--skip-bad``, and why."""
    return pd.DataFrame(
        {
            "image": [r.ref for r in rejected],
            "file": [r.file for r in rejected],
            "row": ["" if r.row is None else str(r.row) for r in rejected],
            "column": [r.column for r in rejected],
            "reason": [r.reason for r in rejected],
        },
        dtype=str,
    )


def label_counts(table: pd.DataFrame, labels: Iterable[str]) -> dict[str, dict[str, int]]:
    """How often each label is 1, -1, 0 and blank."""
    names = {"1": "positive", "-1": "uncertain", "0": "negative", "": "blank"}
    out = {}
    for label in labels:
        counts = table[label].value_counts()
        out[label] = {name: int(counts.get(value, 0)) for value, name in names.items()}
    return out


def split_counts(table: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Images and patients (groups) of every split that has any."""
    groups = units(table)
    out = {}
    for name in (*SPLITS, ""):
        part = (table[SPLIT] == name).to_numpy()
        if part.any():
            out[name or "none"] = {
                "images": int(part.sum()),
                "patients": len(set(groups[part])),
            }
    return out


def duplicates(table: pd.DataFrame) -> tuple[int, int]:
    """(groups of images with identical pixels, images in them beyond the first of each)."""
    keys = table[PIXEL_KEY][table[PIXEL_KEY] != ""]
    counts = keys.value_counts()
    return int((counts > 1).sum()), int((counts - 1).sum())


def without_positives(
    counts: Mapping[str, Mapping[str, int]], labels: Sequence[str], covered: Sequence[bool]
) -> list[str]:
    """Covered labels that are nowhere 1 or -1."""
    return [
        name
        for name, known in zip(labels, covered, strict=True)
        if known and not counts[name]["positive"] and not counts[name]["uncertain"]
    ]


def count_rows(counts: Mapping[str, Mapping[str, int]]) -> list[list[Any]]:
    """Rows of the table that the user is shown."""
    return [[name, *values.values()] for name, values in counts.items()]
