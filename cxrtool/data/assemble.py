"""From a checked source and its converted images to a manifest.

In: a `SourceTable`, the rows that are left, what became of their images. Out: the manifest's table
with images, keys and splits, ``dataset.json`` and the side tables.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from cxrtool.data import columns
from cxrtool.data.columns import IMAGE, PATIENT, image_name
from cxrtool.data.images import KERNEL
from cxrtool.data.ingest import Ingested
from cxrtool.data.keys import patient_keys
from cxrtool.data.schema import DatasetInfo
from cxrtool.data.sources.base import Rejected, SourceTable
from cxrtool.data.summary import split_counts


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
    table = table.drop(columns=["table_file", "table_row"])
    table[columns.SOURCE] = "real"
    if images is None:
        table[IMAGE], table[columns.PIXEL_KEY] = "", ""
    else:
        done = [images.done[int(row)] for row in rows]
        table[IMAGE] = [image_name(image.row) for image in done]
        table[columns.PIXEL_KEY] = [image.pixel_key for image in done]
        table[columns.PREPARED_KEY] = [image.prepared_key for image in done]
    keys = patient_keys(table[PATIENT], source.namespace, secret) if source.patients else ""
    table[columns.PATIENT_KEY] = keys
    return table


def finish_table(table: pd.DataFrame, source: SourceTable, split: np.ndarray) -> pd.DataFrame:
    """Write the splits in, and keep or drop the names of the original files."""
    out = table.assign(**{columns.SPLIT: split})
    if source.keep_refs:
        return out.rename(columns={"image_ref": columns.ORIGIN})
    return out.drop(columns="image_ref")


def sidecars(source: SourceTable, rows: np.ndarray, *, pixels: bool) -> dict[str, pd.DataFrame]:
    """Side tables of the rows that were kept, keyed by ``image`` where there are images."""
    refs = source.table["image_ref"]
    names = {refs[row]: image_name(int(row)) for row in rows}
    out = {}
    for name, side in source.sidecars.items():
        side = side[side["image_ref"].isin(list(names))].reset_index(drop=True)
        if pixels:
            side = side.assign(image_ref=side["image_ref"].map(names))
            side = side.rename(columns={"image_ref": IMAGE})
        out[name] = side
    return out


def rejected_table(rejected: Sequence[Rejected]) -> pd.DataFrame:
    """``rejected.csv``: what was left out by ``--skip-bad``, and why."""
    rows = [
        (r.ref, r.file, "" if r.row is None else str(r.row), r.column, r.reason) for r in rejected
    ]
    return pd.DataFrame(rows, columns=["image", "file", "row", "column", "reason"], dtype=str)


def disagreement_table(cells: pd.DataFrame, *, pixels: bool) -> pd.DataFrame:
    """``disagreements.csv``: where source and report differ, by image (by row without pixels)."""
    if not pixels:
        return cells.assign(row=cells["row"].astype(str))
    names = [image_name(int(row)) for row in cells["row"]]
    return cells.assign(row=names).rename(columns={"row": IMAGE})


def dataset_info(
    source: SourceTable,
    table: pd.DataFrame,
    images: Ingested | None,
    *,
    size: int,
    fit: str,
    notes: Mapping[str, Any],
) -> DatasetInfo:
    """What ``dataset.json`` says of a prepared source.

    Args:
        source: As for `manifest_table`.
        table: The finished manifest.
        images: None for labels only.
        size: Side of the images in pixels.
        fit: How they were brought to a square.
        notes: More facts, added to the source's.
    """
    pixels = images is not None
    return DatasetInfo(
        labels=source.labels,
        covered=source.covered,
        kind=source.kind,
        size=size if pixels else None,
        fit=fit if pixels else None,
        kernel=KERNEL if pixels else None,
        namespace=source.namespace,
        patients=source.patients,
        source=source.source,
        licence=source.licence,
        citation=source.citation,
        notes={
            **source.notes,
            **notes,
            "splits": split_counts(table),
            "patient_disjoint": "shown" if source.patients else "not shown: no patient ids",
            "conversions": dict(sorted(images.conversions.items())) if images else {},
        },
    )
