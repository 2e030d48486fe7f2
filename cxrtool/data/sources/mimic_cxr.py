"""MIMIC-CXR-JPG as it lies on disk, with the reports of MIMIC-CXR where they are there.

In: the folder with ``mimic-cxr-2.0.0-metadata.csv``, ``-chexpert.csv`` or ``-negbio.csv`` and
``-split.csv`` (plain or gzipped) and ``files/p10/p10000032/s50414267/<dicom_id>.jpg``; or the
label table itself, which chooses the labeler. ``mimic-cxr-2.1.0-test-set-labeled.csv``, the labels
of radiologists, chooses the test studies that they read, too. Reports
``files/p10/p10000032/s50414267.txt`` are taken from the same folder, from ``mimic-cxr-reports/`` or
``mimic-cxr-reports.zip`` in it; their sections from ``mimic_cxr_sectioned.csv``. Out: a
`SourceTable` with the 14 observations (1.0, 0.0, -1.0, blank), the official split, the raw report
text. A study is called ``s50414267``, as its folder and its report are. Dates are not kept.

Johnson et al., "MIMIC-CXR-JPG, a large publicly available database of labeled chest radiographs",
arXiv:1901.07042.
"""

import re
import zipfile
from pathlib import Path

import pandas as pd

from cxrtool.core.errors import InputError
from cxrtool.data.labels import CHEXPERT, NO_FINDING
from cxrtool.data.maps import canonical
from cxrtool.data.sources import files, vocabulary
from cxrtool.data.sources.base import SourceOptions, SourceTable
from cxrtool.data.sources.paths import ImageRoots
from cxrtool.data.tables import read_table, refuse_row, require_columns

#: The table of sections that MIMIC-CXR's own script makes of the reports.
SECTIONED = "mimic_cxr_sectioned.csv"
_SECTIONS = ("findings", "impression", "last_paragraph")
#: What the table of radiologists' labels is called.
_EXPERT = "test-set-labeled"


def read(source: Path, options: SourceOptions) -> SourceTable:
    """Read MIMIC-CXR-JPG.

    Args:
        source: The folder of the download, or the label table in it (``-chexpert`` where a folder
            holds both).
        options: ``images`` names the folder that holds ``files/`` if it is not the table's.

    Raises:
        InputError: A table or a column is missing, a label cell is no label value, an id stands in
            two splits, a report is not UTF-8.
    """
    folder = source if source.is_dir() else source.parent
    metadata = _find(folder, "metadata")
    if metadata is None:
        raise files.nothing_found(folder, "mimic-cxr", "mimic-cxr-2.0.0-metadata.csv")
    folder = metadata.parent
    label_path = _find(folder, "chexpert") or _find(folder, "negbio")
    label_path = source if source.is_file() else label_path
    if label_path is None or label_path == metadata:
        what = "mimic-cxr-2.0.0-chexpert.csv or -negbio.csv"
        raise files.nothing_found(folder, "mimic-cxr", what)
    split_path = _find(folder, "split")
    sectioned = next(iter(files.find_tables(folder, [SECTIONED])), folder / SECTIONED)
    sieve = files.Sieve(options, metadata, "dicom_id")

    frame = read_table(metadata, ("dicom_id", "subject_id", "study_id", "ViewPosition"))
    for column in ("subject_id", "study_id"):
        bad = ~frame[column].str.fullmatch(r"\d+").astype(bool)
        frame = sieve.drop(frame, bad, column, "{value} is not a whole number")
    subject, study = "p" + frame["subject_id"], "s" + frame["study_id"]
    folders = "files/" + subject.str[:3] + "/" + subject + "/" + study
    roots = ImageRoots.of(options, folder)
    texts, text_files = _reports(folder, roots, folders)
    # ViewPosition, and where it is blank the meaning of the view code.
    view = vocabulary.views(frame["ViewPosition"])
    if "ViewCodeSequence_CodeMeaning" in frame:
        view = view.where(view != "", vocabulary.views(frame["ViewCodeSequence_CodeMeaning"]))
    expert = _EXPERT in label_path.name
    labels = read_table(label_path, ("study_id",))
    # The table of radiologists calls Lung Opacity by another name.
    labels = labels.rename(columns={name: canonical(name) for name in labels})
    covered = tuple(name in labels for name in CHEXPERT)
    if expert and NO_FINDING not in labels:
        labels[NO_FINDING] = ""  # it labels findings
    require_columns(labels, CHEXPERT, label_path)
    again = labels["study_id"].duplicated()
    refuse_row(labels, again, "the study is there twice", label_path, "study_id")
    studies = len(labels)
    labels = labels.assign(row=labels.index).set_index("study_id").reindex(frame["study_id"])
    # Index = rows of the label table (0 = none), which is the file at fault if a cell is bad.
    table = pd.DataFrame(
        {
            "image_ref": folders + "/" + frame["dicom_id"] + ".jpg",
            "patient_id": frame["subject_id"],
            "study_id": study,
            "view": view,
            "split": "" if split_path is None else _split(split_path, frame["dicom_id"]),
            **_sections(texts, study, sectioned),
            **files.rows(frame, metadata),
            **labels[list(CHEXPERT)].fillna("").set_axis(frame.index),
        }
    ).set_axis(labels["row"].fillna(0).astype(int))
    sieve.file, sieve.ref = label_path, "image_ref"
    table = sieve.labels(table, CHEXPERT)
    without_labels = int((table.index == 0).sum())
    remarks = []
    if expert:
        table = table[table.index != 0]
        remarks.append(
            f"labels by radiologists: {len(table):,} images of the {studies:,} studies that"
            f" they read; {without_labels:,} images of others are left out"
        )
        without_labels = 0
    elif (other := _find(folder, _EXPERT)) is not None:
        remarks.append(f"{other.name} is not used: give it as SOURCE for the radiologists' labels")
    table = table.reset_index(drop=True)
    if not options.labels_only:
        refs, sieve.file = table["image_ref"], ""
        images = roots.settle(lambda _: refs, table.assign(dicom_id=refs), "dicom_id", sieve)
        table = table.loc[images.frame.index].assign(image_ref=images.refs)
    return SourceTable(
        table=table,
        labels=CHEXPERT,
        covered=covered,
        namespace="mimic-cxr",
        patients=True,
        source="MIMIC-CXR-JPG",
        licence="PhysioNet Credentialed Health Data License 1.5.0",
        citation="Johnson et al., arXiv:1901.07042",
        official_split=split_path is not None,
        opener=None if options.labels_only else roots.opener(),
        image_column="dicom_id",
        beside=(
            *(path for path in (metadata, label_path, split_path) if path is not None),
            sectioned,
            *text_files,
        ),
        rejected=sieve.rejected,
        remarks=remarks,
        notes={
            "labeler": "radiologists" if expert else re.split(r"\.csv|-", label_path.name)[-2],
            "images_without_labels": without_labels,
            "images_with_report": int((table["report"] != "").sum()),
        },
    )


def _sections(texts: pd.Series, study: pd.Series, sectioned: Path) -> dict[str, pd.Series]:
    """The columns of text: reports as they are, and the sections that were found in them."""
    if not sectioned.is_file():
        return {"report": texts}
    table = read_table(sectioned, ("study", *_SECTIONS))
    again = table["study"].duplicated()
    refuse_row(table, again, "the study is there twice", sectioned, "study")
    table = (
        table.set_index("study")[list(_SECTIONS)].reindex(study).fillna("").set_axis(study.index)
    )
    findings, impression, last = (table[name].str.strip() for name in _SECTIONS)
    parts = ["FINDINGS: " + findings + "\n", "IMPRESSION: " + impression]
    headed = [part.where(text != "", "") for part, text in zip(parts, (findings, impression))]
    whole = (headed[0] + headed[1]).str.strip()
    whole = whole.where(whole != "", last)  # a report without headers is its last paragraph
    report = texts.where(texts != "", whole)
    return {"report": report, "findings": findings, "impression": impression}


def _find(folder: Path, part: str) -> Path | None:
    paths = files.find_tables(folder, [f"mimic-cxr-2.*-{part}.csv"])
    return paths[-1] if paths else None


def _split(path: Path, images: pd.Series) -> pd.Series:
    """The official split by image."""
    table = read_table(path, ("dicom_id", "split"))
    split = table["split"].map(vocabulary.split_name)
    refuse_row(table, split.isna(), "not train, validate or test", path, "split")
    refuse_row(table, table["dicom_id"].duplicated(), "the image is there twice", path, "dicom_id")
    return files.look_up(images, dict(zip(table["dicom_id"], split, strict=True)))


def _reports(folder: Path, roots: ImageRoots, folders: pd.Series) -> tuple[pd.Series, list[Path]]:
    """Report text of each study folder, blank where there is none; the files of the texts."""
    archive = folder / "mimic-cxr-reports.zip"
    studies = folders.unique()
    sources: list[Path] = []
    texts: dict[str, str] = {}
    if archive.is_file():
        sources.append(archive)
        try:
            with zipfile.ZipFile(archive) as opened:
                inside = set(opened.namelist())
                for study in studies:
                    if (name := f"{study}.txt") in inside:
                        texts[study] = files.decode(opened.read(name), f"{archive}/{name}").strip()
        except zipfile.BadZipFile as error:
            raise InputError(f"broken zip file ({error})", file=archive) from None
    else:
        for place in dict.fromkeys((folder, folder / "mimic-cxr-reports", *roots.folders)):
            for study in studies if (place / "files").is_dir() else ():
                path = place / f"{study}.txt"
                if study not in texts and path.is_file():
                    texts[study] = files.read_text(path).strip()
                    sources.append(path)
    return files.look_up(folders, texts), sources
