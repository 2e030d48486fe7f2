"""The SIIM-ACR Pneumothorax Segmentation challenge 2019 as it lies on disk.

In: the folder with ``train-rle.csv`` or ``stage_2_train.csv`` (a row a mask; ``-1`` = no
pneumothorax) and the DICOM files in ``dicom-images-train/<study>/<series>/<image>.dcm``; or the
table. Out: a `SourceTable` with one row an image and the label Pneumothorax, the masks as
``masks.csv``. Patients are unknown: the images are of ChestX-ray14, and nobody says which. View,
sex and age are those of the DICOM headers.

Zawacki et al., "SIIM-ACR Pneumothorax Segmentation", Kaggle, 2019.
"""

from pathlib import Path

import pandas as pd

from cxrtool.data.sources import by_id, files
from cxrtool.data.sources.base import SourceOptions, SourceTable
from cxrtool.data.sources.paths import ImageRoots
from cxrtool.data.tables import read_table

#: Names of the table, the later release last.
TABLES = ("*train-rle*.csv", "stage_2_train.csv")
_LABEL, _NONE = "Pneumothorax", "-1"
_RUNS = r"\d+ \d+(?: \d+ \d+)*"


def read(source: Path, options: SourceOptions) -> SourceTable:
    """Read the challenge's training images.

    Args:
        source: The folder of the download, or its table.
        options: ``images`` names the folder of the images if they do not lie beside the table.

    Raises:
        InputError: No table, a missing column, a mask that is no run lengths, an image with a mask
            and with -1.
    """
    path = _table(source)
    roots = ImageRoots.of(options, path.parent)
    frame = read_table(path, ("ImageId", "EncodedPixels"))
    frame = frame.assign(EncodedPixels=frame["EncodedPixels"].str.strip())
    sieve = files.Sieve(options, path, "ImageId")
    runs = frame["EncodedPixels"]
    bad = ~(runs == _NONE) & ~runs.str.fullmatch(_RUNS).astype(bool)
    reason = "the mask is neither -1 nor pairs of numbers (start and length of runs)"
    frame = sieve.drop(frame, bad, "EncodedPixels", reason)
    masked = frame["EncodedPixels"] != _NONE
    both = frame["ImageId"].isin(frame["ImageId"][masked]) & ~masked
    reason = "the image has -1 here and a mask in another row"
    frame = sieve.drop(frame, both, "EncodedPixels", reason)
    one = frame.drop_duplicates("ImageId")
    images = one["ImageId"]
    places = by_id.Places(images) if options.labels_only else by_id.locate(roots, images)
    refs = dict(zip(images, places.refs, strict=True))
    table = pd.DataFrame(
        {
            "image_ref": places.refs,
            "study_id": places.refs.str.extract(r"([^/]+)/[^/]+/[^/]+$", expand=False).fillna(""),
            **by_id.header_columns(roots, places.refs, options),
            **files.rows(one, path),
            _LABEL: (one["EncodedPixels"] != _NONE).astype(int).astype(str),
        }
    )
    masks = frame[frame["EncodedPixels"] != _NONE]
    masks = pd.DataFrame(
        {"image_ref": masks["ImageId"].map(refs), "label": _LABEL, "runs": masks["EncodedPixels"]}
    )
    return SourceTable(
        table=table,
        labels=(_LABEL,),
        namespace="siim",
        patients=False,
        source="SIIM-ACR Pneumothorax Segmentation 2019",
        licence="SIIM-ACR Pneumothorax Segmentation terms of use; images: NIH Clinical Center",
        citation="Zawacki et al., SIIM-ACR Pneumothorax Segmentation, Kaggle (2019)",
        opener=None if options.labels_only else by_id.opener(roots),
        image_column="ImageId",
        sidecars={"masks.csv": masks.astype(str)} if len(masks) else {},
        rejected=sieve.rejected,
        left=places.left,
    )


def _table(source: Path) -> Path:
    """The table: the source, or the later release in a folder that holds both."""
    if not source.is_dir():
        return source
    for pattern in reversed(TABLES):
        if paths := files.find_tables(source, [pattern]):
            return paths[-1]
    raise files.nothing_found(source, "siim", "train-rle.csv or stage_2_train.csv")
