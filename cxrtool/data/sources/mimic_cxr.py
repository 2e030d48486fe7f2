"""MIMIC-CXR-JPG as it lies on disk, with the reports of MIMIC-CXR where they are there.

In: the folder with ``mimic-cxr-2.0.0-metadata.csv``, ``-chexpert.csv`` or ``-negbio.csv`` and
``-split.csv`` (plain or gzipped) and ``files/p10/p10000032/s50414267/<dicom_id>.jpg``; or the
label table itself, which chooses the labeler. Reports ``files/p10/p10000032/s50414267.txt`` are
taken from the same folder, from ``mimic-cxr-reports/`` or ``mimic-cxr-reports.zip`` in it. Out: a
`SourceTable` with the 14 observations (1.0, 0.0, -1.0, blank), the official split, the raw report
text. A study is called ``s50414267``, as its folder and its report are. Dates are not kept.

Johnson et al., "MIMIC-CXR-JPG, a large publicly available database of labeled chest radiographs",
arXiv:1901.07042.
"""

import zipfile
from pathlib import Path

import numpy as np
import pandas as pd

from cxrtool.core.errors import InputError
from cxrtool.data.labels import CHEXPERT
from cxrtool.data.sources import vocabulary
from cxrtool.data.sources.base import SourceOptions, SourceTable
from cxrtool.data.sources.files import (
    Sieve,
    decode,
    find_tables,
    look_up,
    need_source,
    nothing_found,
    read_text,
    rows,
)
from cxrtool.data.sources.openers import FileOpener
from cxrtool.data.tables import read_table

_NAME = "mimic-cxr-2.*-{}.csv"
_LABELERS = ("chexpert", "negbio")


def read(source: Path | None, options: SourceOptions) -> SourceTable:
    """Read MIMIC-CXR-JPG.

    Args:
        source: The folder of the download, or the label table in it (``-chexpert`` where a folder
            holds both).
        options: ``images`` names the folder that holds ``files/`` if it is not the table's.

    Raises:
        InputError: A table or a column is missing, a label cell is no label value, an id stands in
            two splits, a report is not UTF-8.
    """
    source = need_source(source, "mimic-cxr")
    folder = source if source.is_dir() else source.parent
    metadata = _find(folder, "metadata", required=True)
    assert metadata is not None
    folder = metadata.parent
    label_path = source if source.is_file() else None
    for labeler in _LABELERS:
        label_path = label_path or _find(folder, labeler)
    if label_path is None or label_path == metadata:
        raise nothing_found(folder, "mimic-cxr", "mimic-cxr-2.0.0-chexpert.csv or -negbio.csv")
    split_path = _find(folder, "split")
    sieve = Sieve(options, metadata, "dicom_id")

    frame = read_table(metadata, ("dicom_id", "subject_id", "study_id", "ViewPosition"))
    for column in ("subject_id", "study_id"):
        bad = ~frame[column].str.fullmatch(r"\d+").astype(bool)
        frame = sieve.drop(frame, bad, column, "{value} is not a whole number")
    labels, label_rows = _labels(label_path, frame["study_id"])
    subject, study = "p" + frame["subject_id"], "s" + frame["study_id"]
    folders = "files/" + subject.str[:3] + "/" + subject + "/" + study
    root = options.images or folder
    table = pd.DataFrame(
        {
            "image_ref": folders + "/" + frame["dicom_id"] + ".jpg",
            "patient_id": frame["subject_id"],
            "study_id": study,
            "view": _views(frame),
            "split": _split(split_path, frame),
            "report": _reports(folder, root, folders),
            **rows(frame, metadata),
        }
    )
    # Index = rows of the label table (0 = none), which is the file at fault if a cell is bad.
    table = pd.concat([table, labels], axis=1).set_axis(label_rows)
    sieve.file, sieve.ref = label_path, "image_ref"
    table = sieve.labels(table, CHEXPERT)
    return SourceTable(
        table=table,
        labels=CHEXPERT,
        namespace="mimic-cxr",
        patients=True,
        source="MIMIC-CXR-JPG",
        licence="PhysioNet Credentialed Health Data License 1.5.0",
        citation="Johnson et al., arXiv:1901.07042",
        official_split=split_path is not None,
        opener=None if options.labels_only else FileOpener(root),
        image_column="dicom_id",
        beside=(metadata,) if split_path is None else (metadata, split_path),
        rejected=sieve.rejected,
        notes={
            "labeler": label_path.name.split(".csv")[0].rsplit("-", 1)[-1],
            "images_without_labels": int((table.index == 0).sum()),
            "images_with_report": int((table["report"] != "").sum()),
        },
    )


def _find(folder: Path, part: str, *, required: bool = False) -> Path | None:
    name = _NAME.format(part)
    paths = find_tables(folder, [name, name + ".gz"])
    if not paths and required:
        raise nothing_found(folder, "mimic-cxr", name.replace("*", "0.0"))
    return paths[-1] if paths else None


def _labels(path: Path, studies: pd.Series) -> tuple[pd.DataFrame, np.ndarray]:
    """Labels of each image's study and their row; blank and 0 without a report."""
    frame = read_table(path, ("study_id", *CHEXPERT))
    again = frame["study_id"].duplicated()
    if again.any():
        raise InputError(
            "the study is there twice", file=path, row=int(frame.index[again][0]), column="study_id"
        )
    position = pd.Index(frame["study_id"]).get_indexer(pd.Index(studies))
    values = frame[list(CHEXPERT)].iloc[position].set_axis(studies.index)
    labeled = position >= 0
    rows = np.where(labeled, frame.index.to_numpy()[position], 0)
    return values.where(pd.Series(labeled, studies.index), "", axis=0).astype(str), rows


def _views(frame: pd.DataFrame) -> pd.Series:
    """``ViewPosition``, and where it is blank the meaning of the view code."""
    view = vocabulary.views(frame["ViewPosition"])
    if "ViewCodeSequence_CodeMeaning" in frame:
        view = view.where(view != "", vocabulary.views(frame["ViewCodeSequence_CodeMeaning"]))
    return view


def _split(path: Path | None, frame: pd.DataFrame) -> pd.Series:
    """The official split by image."""
    if path is None:
        return pd.Series("", index=frame.index)
    table = read_table(path, ("dicom_id", "split"))
    named = {value: vocabulary.split_name(value) for value in table["split"].unique()}
    bad = table["split"].map({value: name is None for value, name in named.items()}).astype(bool)
    again = table["dicom_id"].duplicated()
    for mask, reason, column in (
        (bad, "not train, validate or test", "split"),
        (again, "the image is there twice", "dicom_id"),
    ):
        if mask.any():
            raise InputError(reason, file=path, row=int(table.index[mask][0]), column=column)
    split = dict(zip(table["dicom_id"], table["split"].map(named), strict=True))
    return look_up(frame["dicom_id"], split)


def _reports(folder: Path, root: Path, folders: pd.Series) -> pd.Series:
    """Report text of each study folder; blank where there is none."""
    archive = folder / "mimic-cxr-reports.zip"
    studies = folders.unique()
    texts: dict[str, str] = {}
    if archive.is_file():
        try:
            with zipfile.ZipFile(archive) as opened:
                inside = set(opened.namelist())
                for study in studies:
                    name = f"{study}.txt"
                    if name in inside:
                        texts[study] = decode(opened.read(name), f"{archive}/{name}").strip()
        except zipfile.BadZipFile as error:
            raise InputError(f"broken zip file ({error})", file=archive) from None
    else:
        for place in dict.fromkeys((folder, folder / "mimic-cxr-reports", root)):
            for study in studies if (place / "files").is_dir() else ():
                path = place / f"{study}.txt"
                if study not in texts and path.is_file():
                    texts[study] = read_text(path).strip()
    return look_up(folders, texts)
