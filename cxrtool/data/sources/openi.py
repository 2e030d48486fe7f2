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
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pandas as pd

from cxrtool.core.errors import InputError
from cxrtool.data.archives import Document, Reject, documents
from cxrtool.data.labels import CHEXPERT
from cxrtool.data.openi import OpeniReport, parse_report
from cxrtool.data.sources.base import SourceOptions, SourceTable
from cxrtool.data.sources.files import Sieve, index_images, need_source, nothing_found
from cxrtool.data.sources.openers import FileOpener
from cxrtool.data.sources.padchest import load_terms

_NO_FINDING = "No Finding"
_NORMAL = "normal"
_NOT_CODED = frozenset({"No Indexing"})


def read(source: Path | None, options: SourceOptions) -> SourceTable:
    """Read Open-i.

    Args:
        source: Folder, archive of reports, or a single XML file.
        options: ``images`` names the folder of the PNG files if they do not lie below the source.

    Raises:
        InputError: No reports, XML that does not parse, two reports of one name.
    """
    source = need_source(source, "openi")
    sieve = Sieve(options)
    reports: dict[str, OpeniReport] = {}
    files: dict[str, str] = {}

    def reject(error: InputError, name: str) -> None:
        sieve.reject(error.reason, ref=name, file=str(error.file))

    for name, place, data in _documents(source, reject):
        name = PurePosixPath(name).name
        study = name.removesuffix(".xml")
        try:
            report = parse_report(data, place)
            if study in files:
                raise InputError(f"the same report as {files[study]}", file=place)
        except InputError as error:
            reject(error, name)
            continue
        reports[study], files[study] = report, place
    if not reports:
        raise nothing_found(source, "openi", "NLMCXR_reports.tgz and no report in XML")
    root = options.images or (source if source.is_dir() else source.parent)
    places = {} if options.labels_only else index_images(root, (".png",))
    terms = load_terms("openi")
    records: list[dict[str, str]] = []
    for study in sorted(reports, key=lambda study: (len(study), study)):
        row = _row(study, files[study], reports[study], terms)
        names = [f"{image}.png" for image in reports[study].images]
        refs = [""] if options.labels_only else [places.get(name, name) for name in names]
        records += ({"image_ref": ref, **row} for ref in refs)
    table = pd.DataFrame(records, dtype=str)
    return SourceTable(
        table=table,
        labels=CHEXPERT,
        covered=tuple(label == _NO_FINDING or label in terms for label in CHEXPERT),
        namespace="openi",
        patients=False,
        source="Open-i Indiana University chest X-ray collection",
        licence="CC BY-NC-ND 4.0",
        citation="Demner-Fushman et al., JAMIA 23(2) (2016) 304-310",
        opener=None if options.labels_only else FileOpener(root),
        image_column="parentImage",
        rejected=sieve.rejected,
        notes={
            "reports": len(reports),
            "reports_without_images": sum(not report.images for report in reports.values()),
            "reports_without_codes": sum(set(r.mesh) <= _NOT_CODED for r in reports.values()),
        },
    )


def mesh_labels(mesh: tuple[str, ...], terms: dict[str, tuple[str, ...]]) -> dict[str, str]:
    """Observations of a report's codes: "1" or blank.

    Args:
        mesh: Codes, heading first, qualifiers after it, joined by ``/``.
        terms: Label -> entries as ``openi.toml`` describes them.
    """
    codes = [[part.strip() for part in code.split("/")] for code in mesh]
    cells = {}
    for label, entries in terms.items():
        hit = any(_matches(code, entry) for code in codes for entry in entries)
        cells[label] = "1" if hit else ""
    cells[_NO_FINDING] = "1" if tuple(mesh) == (_NORMAL,) else ""
    return cells


def _matches(code: list[str], entry: str) -> bool:
    heading, *qualifiers = entry.split("/")
    if code[0] != heading:
        return False
    return all(
        (qualifier[1:] not in code[1:]) if qualifier.startswith("!") else (qualifier in code[1:])
        for qualifier in qualifiers
    )


def _row(
    study: str, file: str, report: OpeniReport, terms: dict[str, tuple[str, ...]]
) -> dict[str, str]:
    """What the images of a report share."""
    sections = dict.fromkeys(("COMPARISON", "INDICATION", "FINDINGS", "IMPRESSION"), "")
    for header, text in report.sections:
        header, text = header.strip().upper(), " ".join(text.split())
        if text:
            sections[header] = f"{sections.get(header, '')} {text}".strip()
    labels = mesh_labels(report.mesh, terms)
    return {
        # Images of one report are of one person, so they share a name; see SourceTable.patients.
        "patient_id": study,
        "study_id": study,
        "report": "\n".join(f"{header}: {text}" for header, text in sections.items() if text),
        "findings": sections["FINDINGS"],
        "impression": sections["IMPRESSION"],
        "table_file": file,
        "table_row": "",
        **{label: labels.get(label, "") for label in CHEXPERT},
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
