"""PadChest as it lies on disk.

In: the folder with ``PADCHEST_chest_x_ray_images_labels_160K_*.csv`` (plain or gzipped) and the
16-bit PNG images below it (in folders named like ``ImageDir``, or flat); or the table itself. Out:
a `SourceTable`. ``Labels`` is the text of a Python list; it is parsed as a literal, never executed.
By default its terms become the CheXpert observations and the findings that ChestX-ray14 adds to
them, by ``padchest.toml``; ``label_columns`` names terms of PadChest itself instead. Ages come from
the years of birth and study; dates are not kept.

Bustos et al., "PadChest: A large chest x-ray image dataset with multi-label annotated reports",
Medical Image Analysis 66, 2020.
"""

import ast
import tomllib
from importlib import resources
from pathlib import Path

import numpy as np
import pandas as pd

from cxrtool.core.errors import UsageError
from cxrtool.data.labels import CHEXPERT
from cxrtool.data.sources import vocabulary
from cxrtool.data.sources.base import SourceOptions, SourceTable
from cxrtool.data.sources.files import Sieve, index_images, look_up, need_source, rows, the_table
from cxrtool.data.sources.openers import FileOpener
from cxrtool.data.tables import read_table

_NO_FINDING = "No Finding"
_NORMAL = "normal"
#: Terms that speak of the report, not of the patient: alone they leave every label blank.
_ABOUT_THE_REPORT = frozenset({"unchanged", "exclude", "suboptimal study"})
_MISSING = ("nan", "None")


def load_terms(name: str) -> dict[str, tuple[str, ...]]:
    """A map of this package: label -> the source's terms, from ``name``.toml."""
    text = resources.files(__package__).joinpath(f"{name}.toml").read_text("utf-8")
    return {label: tuple(terms) for label, terms in tomllib.loads(text).items()}


def read(source: Path | None, options: SourceOptions) -> SourceTable:
    """Read PadChest.

    Args:
        source: The folder of the download, or its table.
        options: ``images`` names the folder of the images if it is not the table's;
            ``label_columns`` names PadChest terms to take as labels as they are.

    Raises:
        InputError: No table, a missing column, a cell of ``Labels`` that is no list of terms.
        UsageError: A wanted term occurs nowhere in the table.
    """
    path = the_table(need_source(source, "padchest"), "padchest", "PADCHEST_*.csv")
    root = options.images or path.parent
    frame = read_table(
        path,
        ("ImageID", "StudyDate_DICOM", "StudyID", "PatientID", "PatientBirth", "PatientSex_DICOM",
         "Projection", "Report", "Labels"),
    )  # fmt: skip
    codes, uniques = pd.factorize(frame["Labels"])
    terms = [parse_terms(str(cell)) for cell in uniques]
    broken = np.array([cell is None for cell in terms], dtype=bool)[codes]
    sieve = Sieve(options, path, "ImageID")
    frame = sieve.drop(frame, broken, "Labels", "{value} is no list of terms")
    codes = codes[~broken]
    labels, matrix = _labels([cell or () for cell in terms], options)
    names = frame["ImageID"]
    table = pd.DataFrame(
        {
            "image_ref": names,
            "patient_id": frame["PatientID"],
            "study_id": frame["StudyID"],
            "view": vocabulary.views(frame["Projection"]),
            "split": "",
            "sex": vocabulary.sexes(frame["PatientSex_DICOM"]),
            "age": _ages(frame),
            "report": frame["Report"].where(~frame["Report"].isin(_MISSING), "").str.strip(),
            **rows(frame, path),
        }
    )
    values = pd.DataFrame(matrix[codes], index=table.index, columns=list(labels)).astype(str)
    table = pd.concat([table, values], axis=1)
    if not options.labels_only:
        places = index_images(root, (".png",))
        table["image_ref"] = look_up(names, places, names)
    return SourceTable(
        table=table,
        labels=labels,
        namespace="padchest",
        patients=True,
        source="PadChest",
        licence="PADCHEST Dataset Research Use Agreement (BIMCV)",
        citation="Bustos et al., Medical Image Analysis 66 (2020) 101797",
        opener=None if options.labels_only else FileOpener(root),
        image_column="ImageID",
        rejected=sieve.rejected,
        notes={"images_without_labels": int((values == "").all(axis=1).sum())},
    )


def parse_terms(cell: str) -> tuple[str, ...] | None:
    """Terms of one cell of ``Labels``; empty where it is missing, None where it is no list.

    Some lists hold empty or padded terms; they are cleaned.
    """
    cell = cell.strip()
    if cell == "" or cell in _MISSING:
        return ()
    try:
        terms = ast.literal_eval(cell)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    if not isinstance(terms, list) or not all(isinstance(term, str) for term in terms):
        return None
    return tuple(term.strip() for term in terms if term.strip())


def _labels(
    terms: list[tuple[str, ...]], options: SourceOptions
) -> tuple[tuple[str, ...], np.ndarray]:
    """Label names and a matrix "1" / "0" / "" [lists, L]: one row for each distinct list."""
    labels: tuple[str, ...]
    terms_of: dict[str, tuple[str, ...]]
    if options.label_columns:
        unknown = set(options.label_columns).difference(*terms)
        if unknown:
            raise UsageError(f"{min(unknown)!r} is no term of this PadChest table")
        labels = options.label_columns
        terms_of = {name: (name,) for name in labels}
    else:
        terms_of = load_terms("padchest")
        labels = (*CHEXPERT, *(name for name in terms_of if name not in CHEXPERT))
    columns: dict[str, list[int]] = {}
    for position, label in enumerate(labels):
        for term in terms_of.get(label, ()):
            columns.setdefault(term, []).append(position)
    matrix = np.full((len(terms), len(labels)), "0", dtype=object)
    devices = labels.index("Support Devices") if "Support Devices" in labels else -1
    for row, cell in enumerate(terms):
        if not set(cell) - _ABOUT_THE_REPORT:
            matrix[row] = ""
            continue
        for term in cell:
            matrix[row, columns.get(term, [])] = "1"
        healthy = _NORMAL in cell and not set(np.flatnonzero(matrix[row] == "1")) - {devices}
        if healthy and _NO_FINDING in labels:
            matrix[row, labels.index(_NO_FINDING)] = "1"
    return labels, matrix


def _ages(frame: pd.DataFrame) -> pd.Series:
    """Years between birth and study; blank where one of them is missing."""
    birth = pd.to_numeric(frame["PatientBirth"], errors="coerce")
    study = pd.to_numeric(frame["StudyDate_DICOM"].str[:4], errors="coerce")
    age = study - birth
    plausible = age.between(0, 130)
    return age.where(plausible, 0).astype(int).astype(str).where(plausible, "").astype(str)
