"""Open-i, the Indiana University chest X-ray collection, as it lies on disk.

In: a folder with the reports (``NLMCXR_reports.tgz``, or XML files anywhere below it) and with the
images of ``NLMCXR_png.tgz`` unpacked below it, or a report archive or XML file itself; or the
tables ``indiana_reports.csv`` and ``indiana_projections.csv`` by which Kaggle has it, beside its
images. Out: a `SourceTable` with one row an image, or one row a report with ``labels_only``; the
text of FINDINGS and IMPRESSION, the whole report, and CheXpert observations from the manual MeSH
codes by ``openi.toml``. A study is called by its number, which is the name of the XML file. There
are no patient ids, and views only in Kaggle's tables.

Demner-Fushman et al., "Preparing a collection of radiology examinations for distribution and
retrieval", JAMIA 23(2), 2016.
"""

import os
import tarfile
import xml.etree.ElementTree as ET
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pandas as pd

from cxrtool.core.errors import InputError
from cxrtool.core.reading import read_bytes
from cxrtool.data.archives import Document, Reject, documents
from cxrtool.data.labels import CHEXPERT, NO_FINDING
from cxrtool.data.sources import files, vocabulary
from cxrtool.data.sources.base import SourceOptions, SourceTable
from cxrtool.data.sources.padchest import load_terms
from cxrtool.data.sources.paths import ImageIndex, ImageRoots, Located
from cxrtool.data.tables import read_table, refuse_row

#: Kaggle's tables, of reports and of images.
KAGGLE = ("indiana_reports.csv", "indiana_projections.csv")
_SECTIONS = ("comparison", "indication", "findings", "impression")
_NOT_CODED = frozenset({"No Indexing"})


@dataclass(frozen=True)
class OpeniReport:
    """One report.

    Attributes:
        sections: (header, text) in the order of the file, such as ("FINDINGS", "Clear.").
        mesh: Manual codes, such as ``Opacity/lung/base/left``.
        images: File names of the images it describes.
    """

    sections: tuple[tuple[str, str], ...]
    mesh: tuple[str, ...]
    images: tuple[str, ...]

    @property
    def text(self) -> str:
        """The sections that are not blank as ``HEADER: text`` lines."""
        return "\n".join(f"{header}: {text}" for header, text in self.sections if text)


def parse_report(data: bytes, place: str) -> OpeniReport:
    """Parse one XML report.

    Args:
        data: The file.
        place: Where it stands, for messages.

    Raises:
        InputError: Not well-formed, or XML of another kind; entities are refused, because they can
            make a small file huge.
    """
    if b"<!ENTITY" in data:
        raise InputError("the XML declares entities, which reports do not need", file=place)
    try:
        root = ET.fromstring(data)
    except (ET.ParseError, LookupError, ValueError) as error:
        raise InputError(f"malformed XML: {error}", file=place) from None
    if root.tag != "eCitation":
        raise InputError(f"not an Open-i report: its root is <{root.tag}>", file=place)
    return OpeniReport(
        tuple(
            (part.get("Label", "REPORT"), "".join(part.itertext()).strip())
            for part in root.iter("AbstractText")
        ),
        tuple((code.text or "").strip() for code in root.iterfind("MeSH/major")),
        tuple(f"{image.get('id', '')}.png" for image in root.iter("parentImage")),
    )


class _Entry(NamedTuple):
    """A report, and the file and row where it stands."""

    report: OpeniReport
    file: str
    row: str = ""


def read(source: Path, options: SourceOptions) -> SourceTable:
    """Read Open-i.

    Args:
        source: Folder, archive of reports, or a single XML file.
        options: ``images`` names the folder of the PNG files if they do not lie below the source.

    Raises:
        InputError: No reports, XML that does not parse, two reports of one name.
    """
    sieve = files.Sieve(options)
    tables = _kaggle_tables(source)
    if tables:
        reports, views = _from_tables(tables, sieve)
    else:
        reports, views = _from_xml(source, sieve), {}
    if not reports:
        what = "NLMCXR_reports.tgz, no report in XML and no indiana_reports.csv"
        raise files.nothing_found(source, "openi", what)
    roots = ImageRoots.of(options, source if source.is_dir() else source.parent)
    terms = load_terms("openi")
    records: list[dict[str, str]] = []
    for study in sorted(reports, key=lambda study: (len(study), study)):
        entry = reports[study]
        row = {**_row(study, entry.report, terms), "table_file": entry.file, "table_row": entry.row}
        names = [""] if options.labels_only else entry.report.images
        records += ({"image_ref": name, **row, "view": views.get(name, "")} for name in names)
    table = pd.DataFrame(records, dtype=str)
    images = Located(table, table["image_ref"])
    if not options.labels_only:
        sieve.file, column = "", "filename" if tables else "parentImage"
        named = table.assign(**{column: table["image_ref"]})
        images = ImageIndex.of(roots, (".png",)).find(named, column, sieve)
        table = table.loc[images.frame.index].assign(image_ref=images.refs)
    every = [entry.report for entry in reports.values()]
    return SourceTable(
        table=table,
        labels=CHEXPERT,
        covered=tuple(label == NO_FINDING or label in terms for label in CHEXPERT),
        namespace="openi",
        patients=False,
        source="Open-i Indiana University chest X-ray collection",
        licence="CC BY-NC-ND 4.0",
        citation="Demner-Fushman et al., JAMIA 23(2) (2016) 304-310",
        opener=None if options.labels_only else roots.opener(),
        image_column="filename" if tables else "parentImage",
        rejected=sieve.rejected,
        beside=tables or (*_archives(source), *_xml_files(reports)),
        left=images.left,
        remarks=images.remarks,
        notes={
            "reports": len(every),
            "reports_without_images": sum(not report.images for report in every),
            "reports_without_codes": sum(set(report.mesh) <= _NOT_CODED for report in every),
        },
    )


def mesh_labels(mesh: tuple[str, ...], terms: dict[str, tuple[str, ...]]) -> dict[str, str]:
    """Observations of a report's codes: "1" or blank.

    Args:
        mesh: Codes, heading first, qualifiers after it, joined by ``/``.
        terms: Label -> entries as ``openi.toml`` describes them.
    """
    codes = [[part.strip() for part in code.split("/")] for code in mesh]
    cells = {
        label: "1" if any(_matches(code, entry) for code in codes for entry in entries) else ""
        for label, entries in terms.items()
    }
    return cells | {NO_FINDING: "1" if mesh == ("normal",) else ""}


def _matches(code: list[str], entry: str) -> bool:
    heading, *qualifiers = entry.split("/")
    return code[0] == heading and all(
        (qualifier.removeprefix("!") in code[1:]) != qualifier.startswith("!")
        for qualifier in qualifiers
    )


def _row(study: str, report: OpeniReport, terms: dict[str, tuple[str, ...]]) -> dict[str, str]:
    """What the images of a report share."""
    sections = dict.fromkeys(("COMPARISON", "INDICATION", "FINDINGS", "IMPRESSION"), "")
    for header, text in report.sections:
        if text:
            header = header.strip().upper()
            sections[header] = " ".join(f"{sections.get(header, '')} {text}".split())
    return {
        # Images of one report are of one person, so they share a name; see SourceTable.patients.
        "patient_id": study,
        "study_id": study,
        "report": "\n".join(f"{header}: {text}" for header, text in sections.items() if text),
        "findings": sections["FINDINGS"],
        "impression": sections["IMPRESSION"],
        **dict.fromkeys(CHEXPERT, ""),
        **mesh_labels(report.mesh, terms),
    }


def _from_xml(source: Path, sieve: files.Sieve) -> dict[str, _Entry]:
    """Study -> its report, from XML files."""
    reports: dict[str, _Entry] = {}
    for name, place, data in _documents(source, sieve.reject):
        name = PurePosixPath(name).name
        study = name.removesuffix(".xml")
        try:
            report = parse_report(data, place)
            if study in reports:
                raise InputError(f"the same report as {reports[study].file}", file=place)
        except InputError as error:
            sieve.reject(error, name)
        else:
            reports[study] = _Entry(report, place)
    return reports


def _kaggle_tables(source: Path) -> tuple[Path, ...]:
    """Kaggle's tables of reports and of images; empty where there is none of them.

    Raises:
        InputError: One of them is missing.
    """
    places = source if source.is_dir() else source.parent
    if source.is_file() and source.name not in KAGGLE:
        return ()
    tables = tuple(next(iter(files.find_tables(places, [name])), None) for name in KAGGLE)
    present = tuple(path for path in tables if path is not None)
    if len(present) == 1:
        (other,) = set(KAGGLE) - {present[0].name}
        raise InputError(f"{other} is missing beside it", file=present[0])
    return present


def _from_tables(
    tables: tuple[Path, ...], sieve: files.Sieve
) -> tuple[dict[str, _Entry], dict[str, str]]:
    """Study -> its report, and image -> its view, from Kaggle's tables."""
    path, image_path = tables
    frame = read_table(path, ("uid", "MeSH", *_SECTIONS))
    refuse_row(frame, frame["uid"].duplicated(), "the report is there twice", path, "uid")
    images = read_table(image_path, ("uid", "filename", "projection"))
    sieve.file, sieve.ref = image_path, "filename"
    reason = f"{{value}} has no report in {path.name}"
    images = sieve.drop(images, ~images["uid"].isin(frame["uid"]), "uid", reason)
    by_study = images.groupby("uid")["filename"].agg(tuple).to_dict()
    reports = {
        row["uid"]: _Entry(
            OpeniReport(
                tuple((name.upper(), row[name].strip()) for name in _SECTIONS),
                tuple(code.strip() for code in row["MeSH"].split(";") if code.strip()),
                by_study.get(row["uid"], ()),
            ),
            str(path),
            str(number),
        )
        for number, row in zip(frame.index, frame.to_dict("records"), strict=True)
    }
    views = dict(zip(images["filename"], vocabulary.views(images["projection"]), strict=True))
    return reports, views


def _archives(source: Path) -> list[Path]:
    """Those of a folder."""
    return sorted(source.glob("NLMCXR_reports*.t*gz")) if source.is_dir() else []


def _xml_files(reports: Mapping[str, _Entry]) -> list[Path]:
    """Those that lie in no archive, whether they have images or not."""
    return [Path(entry.file) for entry in reports.values() if os.path.isfile(entry.file)]


def _documents(source: Path, reject: Reject) -> Iterator[Document]:
    """The XML files of a folder, else of the archives in it; or of an archive; or one file."""
    if source.is_file():
        if tarfile.is_tarfile(source) or zipfile.is_zipfile(source):
            yield from documents(source, (".xml",), reject)
        else:
            yield source.name, str(source), read_bytes(source)
        return
    empty = True
    for document in documents(source, (".xml",), reject):
        empty = False
        yield document
    for archive in _archives(source) if empty else ():
        yield from documents(archive, (".xml",), reject)
