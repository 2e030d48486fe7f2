"""A report of Open-i, the Indiana University chest X-ray collection, from its XML.

Demner-Fushman et al., "Preparing a collection of radiology examinations for distribution and
retrieval", JAMIA 23(2), 2016.
"""

import xml.etree.ElementTree as ET
from dataclasses import dataclass

from cxrtool.core.errors import InputError


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
