"""Open-i, the Indiana University chest X-ray collection, as it lies on disk.

In: a folder with the reports (``NLMCXR_reports.tgz``, or XML files anywhere below it) and with the
images of ``NLMCXR_png.tgz`` unpacked below it, or a report archive or XML file itself. Out: a
`SourceTable` with one row an image, or one row a report with ``labels_only``; the text of FINDINGS
and IMPRESSION, the whole report, and CheXpert observations from the manual MeSH codes by
``openi.toml``. A study is called by the number of its file. There are no patient ids and no views.

Demner-Fushman et al., "Preparing a collection of radiology examinations for distribution and
retrieval", JAMIA 23(2), 2016.
"""

import tarfile
import xml.etree.ElementTree as ET
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pandas as pd

from cxrtool.core.errors import InputError
from cxrtool.data.archives import Document, Reject, documents
from cxrtool.data.labels import CHEXPERT, NO_FINDING
from cxrtool.data.sources import files
from cxrtool.data.sources.base import SourceOptions, SourceTable
from cxrtool.data.sources.padchest import load_terms
from cxrtool.data.sources.paths import ImageIndex, ImageRoots, Located

_NOT_CODED = frozenset({"No Indexing"})


@dataclass(frozen=True)
class OpeniReport:
    """One report.

    Attributes:
        sections: (header, text) in the order of the file, such as ("FINDINGS", "Clear.").
        mesh: Manual codes, such as ``Opacity/lung/base/left``.
        images: Ids of the images it describes.
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
        tuple(image.get("id", "") for image in root.iter("parentImage")),
    )


def read(source: Path, options: SourceOptions) -> SourceTable:
    """Read Open-i.

    Args:
        source: Folder, archive of reports, or a single XML file.
        options: ``images`` names the folder of the PNG files if they do not lie below the source.

    Raises:
        InputError: No reports, XML that does not parse, two reports of one name.
    """
    sieve = files.Sieve(options)
    reports: dict[str, tuple[str, OpeniReport]] = {}  # study -> place, report
    for name, place, data in _documents(source, sieve.reject):
        name = PurePosixPath(name).name
        study = name.removesuffix(".xml")
        try:
            report = parse_report(data, place)
            if study in reports:
                raise InputError(f"the same report as {reports[study][0]}", file=place)
        except InputError as error:
            sieve.reject(error, name)
        else:
            reports[study] = (place, report)
    if not reports:
        raise files.nothing_found(source, "openi", "NLMCXR_reports.tgz and no report in XML")
    roots = ImageRoots.of(options, source if source.is_dir() else source.parent)
    terms = load_terms("openi")
    records: list[dict[str, str]] = []
    for study in sorted(reports, key=lambda study: (len(study), study)):
        place, report = reports[study]
        row = _row(study, place, report, terms)
        names = [f"{image}.png" for image in report.images]
        refs = [""] if options.labels_only else names
        records += ({"image_ref": ref, **row} for ref in refs)
    table = pd.DataFrame(records, dtype=str)
    images = Located(table, table["image_ref"])
    if not options.labels_only:
        named = table.assign(parentImage=table["image_ref"], table_row="")
        images = ImageIndex.of(roots, (".png",)).find(named, "parentImage", sieve)
        table = table.loc[images.frame.index].assign(image_ref=images.refs)
    every = [report for _, report in reports.values()]
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
        image_column="parentImage",
        rejected=sieve.rejected,
        beside=tuple(Path(place) for place, report in reports.values() if not report.images),
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


def _row(
    study: str, file: str, report: OpeniReport, terms: dict[str, tuple[str, ...]]
) -> dict[str, str]:
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
        "table_file": file,
        **dict.fromkeys(CHEXPERT, ""),
        **mesh_labels(report.mesh, terms),
    }


def _documents(source: Path, reject: Reject) -> Iterator[Document]:
    """The XML files of a folder, else of the archives in it; or of an archive; or one file."""
    if source.is_file():
        if tarfile.is_tarfile(source) or zipfile.is_zipfile(source):
            yield from documents(source, (".xml",), reject)
        else:
            yield source.name, str(source), source.read_bytes()
        return
    empty = True
    for document in documents(source, (".xml",), reject):
        empty = False
        yield document
    for archive in sorted(source.glob("NLMCXR_reports*.t*gz")) if empty else ():
        yield from documents(archive, (".xml",), reject)
