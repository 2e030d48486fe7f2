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
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cxrtool.core.errors import InputError
from cxrtool.data.archives import DAMAGE, MAX_BYTES
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
#: The tables of labels, and whose they are; of a folder the first one is taken.
_LABELERS = {"chexpert": "CheXpert", "negbio": "NegBio", _EXPERT: "radiologists"}


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
    paths = _Tables.of(source)
    roots = ImageRoots.of(options, paths.metadata.parent)
    sieve = files.Sieve(options, paths.metadata, "dicom_id")
    images = _images(paths.metadata, sieve)
    texts, text_files = _reports(paths.metadata.parent, roots, images["folder"])
    labels, covered = _labels(paths.labels)
    # Index = rows of the label table (0 = none), which is the file at fault if a cell is bad.
    of_images = labels.assign(row=labels.index).set_index("study_id").reindex(images["study_id"])
    table = pd.DataFrame(
        {
            "image_ref": images["folder"] + "/" + images["dicom_id"] + ".jpg",
            "patient_id": images["subject_id"],
            "study_id": images["study"],
            "view": _views(images),
            "split": "" if paths.split is None else _split(paths.split, images["dicom_id"]),
            **_sections(texts, images["study"], paths.sectioned),
            **files.rows(images, paths.metadata),
            **of_images[list(CHEXPERT)].fillna("").set_axis(images.index),
        }
    ).set_axis(of_images["row"].fillna(0).astype(int))
    sieve.file, sieve.ref = paths.labels, "image_ref"
    table = sieve.labels(table, CHEXPERT)
    without_labels = int((table.index == 0).sum())
    if paths.by_radiologists:
        table = table[table.index != 0]
    remarks = _remarks(paths, len(labels), len(table), without_labels)
    table = table.reset_index(drop=True)
    if not options.labels_only:
        refs, sieve.file = table["image_ref"], ""
        at = roots.settle(lambda _: refs, table.assign(dicom_id=refs), "dicom_id", sieve)
        table = table.loc[at.frame.index].assign(image_ref=at.refs)
    return SourceTable(
        table=table,
        labels=CHEXPERT,
        covered=covered,
        namespace="mimic-cxr",
        patients=True,
        source="MIMIC-CXR-JPG",
        licence="PhysioNet Credentialed Health Data License 1.5.0",
        citation="Johnson et al., arXiv:1901.07042",
        official_split=paths.split is not None,
        opener=None if options.labels_only else roots.opener(),
        image_column="dicom_id",
        beside=(*paths.all, *text_files),
        rejected=sieve.rejected,
        remarks=remarks,
        notes={
            "labeler": paths.labeler,
            "images_without_labels": 0 if paths.by_radiologists else without_labels,
            "images_with_report": int((table["report"] != "").sum()),
        },
    )


@dataclass(frozen=True)
class _Tables:
    """The tables of the download.

    Attributes:
        metadata: An image a row.
        labels: A study a row.
        split: An image a row; None where it is not there.
        sectioned: A report a row; need not exist.
    """

    metadata: Path
    labels: Path
    split: Path | None
    sectioned: Path

    @classmethod
    def of(cls, source: Path) -> "_Tables":
        """Those of a folder, or beside a table of labels.

        Raises:
            InputError: There is none of images, or none of labels.
        """
        folder = source if source.is_dir() else source.parent
        metadata = _find(folder, "metadata")
        if metadata is None:
            raise files.nothing_found(folder, "mimic-cxr", "mimic-cxr-2.0.0-metadata.csv")
        folder = metadata.parent
        labels = _find(folder, "chexpert") or _find(folder, "negbio")
        labels = source if source.is_file() else labels
        if labels is None or labels == metadata:
            what = "mimic-cxr-2.0.0-chexpert.csv or -negbio.csv"
            raise files.nothing_found(folder, "mimic-cxr", what)
        sectioned = next(iter(files.find_tables(folder, [SECTIONED])), folder / SECTIONED)
        return cls(metadata, labels, _find(folder, "split"), sectioned)

    @property
    def by_radiologists(self) -> bool:
        """Whether the labels are those of the test studies that radiologists read."""
        return _EXPERT in self.labels.name

    @property
    def labeler(self) -> str:
        """Whose labels these are."""
        if self.by_radiologists:
            return "radiologists"
        return re.split(r"\.csv|-", self.labels.name)[-2]

    @property
    def all(self) -> tuple[Path, ...]:
        """All that are read."""
        split = () if self.split is None else (self.split,)
        return (self.metadata, self.labels, *split, self.sectioned)


def _images(metadata: Path, sieve: files.Sieve) -> pd.DataFrame:
    """The table of images, with ``study`` and ``folder`` as their folders are called."""
    frame = read_table(metadata, ("dicom_id", "subject_id", "study_id", "ViewPosition"))
    for column in ("subject_id", "study_id"):
        bad = ~frame[column].str.fullmatch(r"\d+").astype(bool)
        frame = sieve.drop(frame, bad, column, "{value} is not a whole number")
    subject, study = "p" + frame["subject_id"], "s" + frame["study_id"]
    folder = "files/" + subject.str[:3] + "/" + subject + "/" + study
    return frame.assign(study=study, folder=folder)


def _views(images: pd.DataFrame) -> pd.Series:
    """ViewPosition, and where it is blank the meaning of the view code."""
    view = vocabulary.views(images["ViewPosition"])
    if "ViewCodeSequence_CodeMeaning" in images:
        view = view.where(view != "", vocabulary.views(images["ViewCodeSequence_CodeMeaning"]))
    return view


def _labels(path: Path) -> tuple[pd.DataFrame, tuple[bool, ...]]:
    """Labels by study, and which of `CHEXPERT` the table has."""
    labels = read_table(path, ("study_id",))
    # The table of radiologists calls Lung Opacity by another name.
    labels = labels.rename(columns={name: canonical(name) for name in labels})
    covered = tuple(name in labels for name in CHEXPERT)
    if _EXPERT in path.name and NO_FINDING not in labels:
        labels[NO_FINDING] = ""  # it labels findings
    require_columns(labels, CHEXPERT, path)
    again = labels["study_id"].duplicated()
    refuse_row(labels, again, "the study is there twice", path, "study_id")
    return labels, covered


def _remarks(paths: _Tables, studies: int, images: int, without_labels: int) -> list[str]:
    """Whose labels these are, where a person could have meant others."""
    if paths.by_radiologists:
        return [
            f"labels by radiologists: {images:,} images of the {studies:,} studies that"
            f" they read; {without_labels:,} images of others are left out"
        ]
    tables = [(_find(paths.metadata.parent, part), whose) for part, whose in _LABELERS.items()]
    return [
        f"{table.name} is not used (labels are of {paths.labels.name}): give it as SOURCE for the"
        f" labels of {whose}"
        for table, whose in tables
        if table is not None and table.name != paths.labels.name
    ]


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
                        if opened.getinfo(name).file_size > MAX_BYTES:
                            raise InputError("is too long for a report", file=f"{archive}/{name}")
                        texts[study] = files.decode(opened.read(name), f"{archive}/{name}").strip()
        except DAMAGE as error:
            raise InputError(f"broken zip file ({error})", file=archive) from None
    else:
        for place in dict.fromkeys((folder, folder / "mimic-cxr-reports", *roots.folders)):
            for study in studies if (place / "files").is_dir() else ():
                path = place / f"{study}.txt"
                if study not in texts and path.is_file():
                    texts[study] = files.read_text(path).strip()
                    sources.append(path)
    return files.look_up(folders, texts), sources
