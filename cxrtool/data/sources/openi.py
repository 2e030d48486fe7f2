"""Open-i, the Indiana University chest X-ray collection, as it lies on disk.

In: a folder with the reports (``NLMCXR_reports.tgz``, or XML files anywhere below it) and with the
images of ``NLMCXR_png.tgz`` unpacked below it, or a report archive or XML file itself. Out: a
`SourceTable` with one row an image, or one row a report with ``labels_only``; the text of FINDINGS
and IMPRESSION, the whole report, and CheXpert observations from the manual MeSH codes by
``openi.toml``. A study is called by the number of its file. There are no patient ids and no views.

Demner-Fushman et al., "Preparing a collection of radiology examinations for distribution and
retrieval", JAMIA 23(2), 2016.
"""

from __future__ import annotations

import tarfile
import xml.etree.ElementTree as ET
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cxrtool.core.errors import InputError
from cxrtool.data.labels import CHEXPERT
from cxrtool.data.sources.base import SourceOptions, SourceTable
from cxrtool.data.sources.files import Sieve, index_images, need_source, nothing_found
from cxrtool.data.sources.openers import FileOpener
from cxrtool.data.sources.padchest import load_terms
from cxrtool.data.sources.tables import read_bytes

_SECTIONS = ("COMPARISON", "INDICATION", "FINDINGS", "IMPRESSION")
_NO_FINDING = "No Finding"
_NORMAL = "normal"
_NOT_CODED = frozenset({"No Indexing"})


@dataclass(frozen=True)
class Report:
    """One report.

    Attributes:
        file: Where it stood, for messages.
        study: Name of its file without folder and ending.
        sections: Section -> text, blank where it is empty.
        mesh: Manual codes, such as ``Opacity/lung/base/left``.
        images: Ids of the images it describes.
    """

    file: str
    study: str
    sections: dict[str, str]
    mesh: tuple[str, ...]
    images: tuple[str, ...]


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
    reports: list[Report] = []
    seen: dict[str, str] = {}
    for name, data in _documents(source):
        try:
            report = parse_report(data, name)
            if report.study in seen:
                raise InputError(f"the same report as {seen[report.study]}", file=name)
        except InputError as error:
            sieve.reject(error.reason, ref=Path(name).name, file=name)
            continue
        seen[report.study] = name
        reports.append(report)
    if not reports:
        raise nothing_found(source, "openi", "NLMCXR_reports.tgz and no report in XML")
    reports.sort(key=lambda report: (len(report.study), report.study))
    root = options.images or (source if source.is_dir() else source.parent)
    places = {} if options.labels_only else index_images(root, (".png",))
    terms = load_terms("openi")
    records = [record for report in reports for record in _records(report, terms, places, options)]
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
        rejected=tuple(sieve.rejected),
        notes={
            "reports": len(reports),
            "reports_without_images": sum(not report.images for report in reports),
            "reports_without_codes": sum(set(report.mesh) <= _NOT_CODED for report in reports),
        },
    )


def parse_report(data: bytes, name: str) -> Report:
    """Parse one XML report.

    Args:
        data: The file.
        name: Its path, for messages and for the study's name.

    Raises:
        InputError: Not well-formed, or XML of another kind; a document type is refused, because
            entities can make a small file huge.
    """
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise InputError("XML with a document type is not read", file=name)
    try:
        root = ET.fromstring(data)
    except (ET.ParseError, LookupError, ValueError) as error:
        raise InputError(f"malformed XML ({error})", file=name) from None
    if root.tag != "eCitation":
        raise InputError(f"not an Open-i report: its root is <{root.tag}>", file=name)
    sections = dict.fromkeys(_SECTIONS, "")
    for element in root.iter("AbstractText"):
        label = (element.get("Label") or "").strip().upper()
        text = " ".join("".join(element.itertext()).split())
        if label and text:
            sections[label] = f"{sections.get(label, '')} {text}".strip()
    return Report(
        file=name,
        study=Path(name).name.removesuffix(".xml"),
        sections=sections,
        mesh=tuple((code.text or "").strip() for code in root.iterfind("MeSH/major")),
        images=tuple(image.get("id", "") for image in root.iter("parentImage")),
    )


def mesh_labels(mesh: tuple[str, ...], terms: dict[str, tuple[str, ...]]) -> dict[str, str]:
    """Observations of a report's codes: "1" or blank.

    Args:
        mesh: Codes, heading first, qualifiers after it, joined by ``/``.
        terms: Label -> entries as ``openi.toml`` describes them.
    """
    codes = [[part.strip() for part in code.split("/")] for code in mesh]
    found = {}
    for label, entries in terms.items():
        hit = any(_matches(code, entry) for code in codes for entry in entries)
        found[label] = "1" if hit else ""
    found[_NO_FINDING] = "1" if tuple(mesh) == (_NORMAL,) else ""
    return found


def _matches(code: list[str], entry: str) -> bool:
    heading, *qualifiers = entry.split("/")
    if code[0] != heading:
        return False
    return all(
        (qualifier[1:] not in code[1:]) if qualifier.startswith("!") else (qualifier in code[1:])
        for qualifier in qualifiers
    )


def _records(
    report: Report,
    terms: dict[str, tuple[str, ...]],
    places: dict[str, str],
    options: SourceOptions,
) -> Iterator[dict[str, str]]:
    """Rows of the table: one an image, or one a report where no pixels are wanted."""
    labels = mesh_labels(report.mesh, terms)
    shared = {
        # Images of one report are of one person, so they share a name; see SourceTable.patients.
        "patient_id": report.study,
        "study_id": report.study,
        "report": "\n".join(f"{key}: {text}" for key, text in report.sections.items() if text),
        "findings": report.sections["FINDINGS"],
        "impression": report.sections["IMPRESSION"],
        "table_file": report.file,
        "table_row": "",
        **{label: labels.get(label, "") for label in CHEXPERT},
    }
    if options.labels_only:
        yield {"image_ref": "", **shared}
        return
    for image in report.images:
        name = f"{image}.png"
        yield {"image_ref": places.get(name, name), **shared}


def _documents(source: Path) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the XML files, in order of name."""
    if source.is_file():
        if tarfile.is_tarfile(source):
            yield from _members(source)
        else:
            yield str(source), read_bytes(source)
        return
    files = sorted(path for path in source.rglob("*.xml") if path.is_file())
    for path in files:
        yield str(path), read_bytes(path)
    if not files:
        for archive in sorted(source.glob("NLMCXR_reports*.t*gz")):
            yield from _members(archive)


def _members(archive: Path) -> Iterator[tuple[str, bytes]]:
    """XML members of a tar archive; nothing is unpacked to disk."""
    try:
        with tarfile.open(archive) as opened:
            for member in opened:
                if not member.isfile() or not member.name.endswith(".xml"):
                    continue
                stream = opened.extractfile(member)
                if stream is not None:
                    yield f"{archive}/{member.name}", stream.read()
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise InputError(f"broken archive ({error})", file=archive) from None
