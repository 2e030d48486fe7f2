"""The RSNA Pneumonia Detection Challenge 2018 as it lies on disk.

In: the folder with ``stage_2_train_labels.csv`` (a row a box), ``stage_2_detailed_class_info.csv``
and ``stage_2_train_images/*.dcm``; or the table of labels. Out: a `SourceTable` with one row an
image: Lung Opacity (an opacity that three readers took for pneumonia) and Normal, which is unknown
without the table of classes; the boxes as ``boxes.csv``. The images are of ChestX-ray14, in which
patients have several, and ``patientId`` names an image: patients are known where RSNA's
``pneumonia-challenge-dataset-mappings_2018.json`` lies beside, and then called as in ChestX-ray14.
View, sex and age are those of the DICOM headers.

Shih et al., "Augmenting the National Institutes of Health Chest Radiograph Dataset with Expert
Annotations of Possible Pneumonia", Radiology: Artificial Intelligence 1(1), 2019.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from cxrtool.core.errors import InputError
from cxrtool.core.reading import read_bytes
from cxrtool.data.sources import by_id, files
from cxrtool.data.sources.base import SourceOptions, SourceTable
from cxrtool.data.sources.paths import ImageRoots
from cxrtool.data.tables import read_table

_TABLE, _CLASSES = "stage_2_train_labels.csv", "stage_2_detailed_class_info.csv"
_MAPPING = "pneumonia-challenge-dataset-mappings_2018.json"
_OPACITY, _NORMAL = "Lung Opacity", "Normal"
_CLASS_NAMES = (_OPACITY, _NORMAL, "No Lung Opacity / Not Normal")
_BOX = ("x", "y", "width", "height")


def read(source: Path, options: SourceOptions) -> SourceTable:
    """Read the challenge's training images.

    Args:
        source: The folder of the download, or its table of labels.
        options: ``images`` names the folder of the images if they do not lie beside the table.

    Raises:
        InputError: No table, a missing column, a target that is not 1 or 0, a box that is none, an
            unknown class, a class that contradicts the target.
    """
    path = files.the_table(source, "rsna", _TABLE)
    roots = ImageRoots.of(options, path.parent)
    frame = read_table(path, ("patientId", "Target", *_BOX))
    sieve = files.Sieve(options, path, "patientId")
    frame = sieve.drop(frame, ~frame["Target"].isin(["0", "1"]), "Target", "{value} is not 0 or 1")
    corners = frame[list(_BOX)].apply(pd.to_numeric, errors="coerce")
    bad = (frame["Target"] == "1") & corners.isna().any(axis=1)
    frame = sieve.drop(frame, bad, "width", "the box of a positive row is no four numbers")
    one = frame.drop_duplicates("patientId")
    classes = _classes(path.parent / _CLASSES, one, sieve)
    one = one.loc[classes.index]
    images = one["patientId"]
    places = by_id.Places(images) if options.labels_only else by_id.locate(roots, images)
    header = by_id.header_columns(roots, places.refs, options)
    patients = _patients(path.parent / _MAPPING, images)
    strangers = 0 if patients is None else int((patients == "").sum())
    told = (classes != "").any()
    table = pd.DataFrame(
        {
            "image_ref": places.refs,
            "patient_id": "" if patients is None else patients,
            "study_id": images,
            **header,
            **files.rows(one, path),
            _OPACITY: one["Target"],
            _NORMAL: (classes == _NORMAL).astype(int).astype(str) if told else "",
        }
    )
    remarks = [] if told else [f"no {_CLASSES} beside the table: {_NORMAL} is unknown"]
    if patients is None:
        remarks.append(
            f"patients are unknown: patientId names an image of ChestX-ray14; RSNA's {_MAPPING}"
            " beside the table tells them"
        )
    return SourceTable(
        table=table,
        labels=(_OPACITY, _NORMAL),
        covered=(True, bool(told)),
        namespace="rsna" if patients is None else "nih",
        patients=patients is not None and strangers < len(patients),
        source="RSNA Pneumonia Detection Challenge 2018",
        licence="RSNA Pneumonia Detection Challenge terms of use; images: NIH Clinical Center",
        citation="Shih et al., Radiology: Artificial Intelligence 1(1) (2019) e180041",
        opener=None if options.labels_only else by_id.opener(roots),
        image_column="patientId",
        beside=(path.parent / _CLASSES, path.parent / _MAPPING),
        sidecars=by_id.boxes([_boxes(frame, corners, dict(zip(images, places.refs)))]),
        rejected=sieve.rejected,
        remarks=remarks,
        left=places.left,
        cautions=[f"{strangers:,} images are not in {_MAPPING}"] if strangers else (),
    )


def _classes(path: Path, images: pd.DataFrame, sieve: files.Sieve) -> pd.Series:
    """The class of each image; blank without the table. Images at fault are left out."""
    if not path.is_file():
        return pd.Series("", index=images.index)
    frame = read_table(path, ("patientId", "class"))
    by_image = dict(zip(frame["patientId"], frame["class"], strict=True))
    classes = files.look_up(images["patientId"], by_image)
    faults = {
        f"{{value}} has no class in {path.name}, or none of {', '.join(_CLASS_NAMES)}": (
            ~classes.isin(_CLASS_NAMES)
        ),
        f"the Target of {{value}} contradicts its class in {path.name}": (
            (classes == _OPACITY) != (images["Target"] == "1")
        ),
    }
    for reason, bad in faults.items():
        images = sieve.drop(images, bad[images.index], "patientId", reason)
    return classes[images.index]


def _patients(path: Path, images: pd.Series) -> pd.Series | None:
    """Patients as in ChestX-ray14, by RSNA's list of which image is which; None without it."""
    if not path.is_file():
        return None
    try:
        entries = json.loads(read_bytes(path))
        names = {str(entry["subset_img_id"]): str(entry["img_id"]) for entry in entries}
        patients = {image: str(int(name.partition("_")[0])) for image, name in names.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        what = f"not RSNA's list of images with subset_img_id and img_id ({error!r})"
        raise InputError(what, file=path) from None
    return files.look_up(images, patients)


def _boxes(frame: pd.DataFrame, corners: pd.DataFrame, refs: Mapping[str, str]) -> pd.DataFrame:
    """The boxes of positive rows, as `by_id.boxes` takes them."""
    there = (frame["Target"] == "1") & frame["patientId"].isin(list(refs))
    x, y, width, height = (corners.loc[frame.index][name][there] for name in _BOX)
    return pd.DataFrame(
        {
            "image_ref": frame["patientId"][there].map(refs),
            "label": _OPACITY,
            "reader": "",
            "x_min": x,
            "y_min": y,
            "x_max": x + width,
            "y_max": y + height,
        }
    )
