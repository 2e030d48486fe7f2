"""The text of an Open-i report (Demner-Fushman et al., JAMIA 23(2), 2016).

In: an XML file of the collection. Out: its sections under their headers, as a report is written.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET

from cxrtool.core.errors import InputError


def report_text(data: bytes, place: str) -> str:
    """The ``AbstractText`` elements of an ``eCitation`` as ``LABEL: text`` lines.

    Args:
        data: The XML file.
        place: Where it stands, for messages.

    Raises:
        InputError: It is not well-formed, declares entities, or is no Open-i report.
    """
    if b"<!ENTITY" in data:
        raise InputError("the XML declares entities, which reports do not need", file=place)
    try:
        root = ET.fromstring(data)
    except (ET.ParseError, LookupError, ValueError) as error:
        raise InputError(f"malformed XML: {error}", file=place) from None
    parts = list(root.iter("AbstractText"))
    if not parts:
        raise InputError("no AbstractText: this is no Open-i report", file=place)
    texts = [(part.get("Label", "REPORT"), "".join(part.itertext()).strip()) for part in parts]
    return "\n".join(f"{label}: {text}" for label, text in texts if text)
