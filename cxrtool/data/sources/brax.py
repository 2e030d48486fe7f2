"""BRAX, the Brazilian labeled chest X-ray data set, as it lies on disk.

In: the folder with ``master_spreadsheet_update.csv`` beside ``images/`` (PNG) or
``Anonymized_DICOMs/``; or the table itself. Out: a `SourceTable` with the 14 CheXpert observations
as the table has them (1.0, 0.0, -1.0, blank). Accession numbers are unique within a patient alone,
so a study is called by both. Ages come in steps ("85 or more"): the first number of each stands.
Dates are not kept. There is no official split.

Reis et al., "BRAX, Brazilian labeled chest x-ray dataset", Scientific Data 9:487, 2022.
"""

from pathlib import Path

import pandas as pd

from cxrtool.data.labels import CHEXPERT
from cxrtool.data.sources import by_id, files, vocabulary
from cxrtool.data.sources.base import SourceOptions, SourceTable
from cxrtool.data.sources.paths import ImageRoots
from cxrtool.data.tables import read_table

#: Columns of paths, the form of the images that is tried first at the front.
_PATHS = ("PngPath", "DicomPath")
_COLUMNS = ("PatientID", "PatientSex", "PatientAge", "AccessionNumber", "ViewPosition")


def read(source: Path, options: SourceOptions) -> SourceTable:
    """Read BRAX.

    Args:
        source: The folder of the download, or its table.
        options: ``images`` names the folder that holds ``images/`` or ``Anonymized_DICOMs/`` if
            they do not lie beside the table.

    Raises:
        InputError: No table, a missing column, a label cell that is no label value.
    """
    path = files.the_table(source, "brax", "master_spreadsheet*.csv")
    roots = ImageRoots.of(options, path.parent)
    frame = read_table(path, (*_COLUMNS, *_PATHS, *CHEXPERT))
    sieve = files.Sieve(options, path, "PngPath")
    refs = frame["PngPath"]
    if not options.labels_only:
        images = roots.settle(lambda folder: _there(folder, frame), frame, "PngPath", sieve)
        frame, refs = images.frame, images.refs
    table = pd.DataFrame(
        {
            "image_ref": refs,
            "patient_id": frame["PatientID"],
            "study_id": frame["PatientID"] + "/" + frame["AccessionNumber"],
            "view": vocabulary.views(frame["ViewPosition"]),
            "sex": vocabulary.sexes(frame["PatientSex"]),
            "age": frame["PatientAge"].str.extract(r"(\d+)", expand=False).fillna(""),
            "manufacturer": frame.get("Manufacturer", ""),
            **files.rows(frame, path),
        }
    ).join(frame[list(CHEXPERT)])
    return SourceTable(
        table=table,
        labels=CHEXPERT,
        namespace="brax",
        patients=True,
        source="BRAX",
        licence="PhysioNet Credentialed Health Data License 1.5.0",
        citation="Reis et al., Scientific Data 9 (2022) 487",
        opener=None if options.labels_only else by_id.opener(roots),
        image_column="PngPath",
        rejected=sieve.rejected,
    )


def _there(root: Path, frame: pd.DataFrame) -> pd.Series:
    """The path of each image in the form that is on disk; PNG where it is in both or in none."""
    # Some copies of the table name the archives that the images came in.
    png, dicom = (
        frame[name].str.replace(r"(\.(?:png|dcm)).*$", r"\1", regex=True) for name in _PATHS
    )
    if frame.empty or (root / png.iloc[0].partition("/")[0]).is_dir():
        return png
    return dicom if (root / dicom.iloc[0].partition("/")[0]).is_dir() else png
