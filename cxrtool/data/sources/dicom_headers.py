"""What is read of a DICOM header, and what is kept of it.

In: a file, with or without the preamble of PS3.10. Out: its elements of `TAGS` alone, and from them
the facts that a data set may hold; identifiers are still in the clear.
"""

from pathlib import Path
from typing import Any

from cxrtool.core.errors import InputError
from cxrtool.data.sources.base import NO_MODALITY
from cxrtool.data.sources.dicom_pixels import import_pydicom, reading
from cxrtool.data.sources.tree import begins_as_dicom

#: Everything that is looked at; all other elements stay unread.
TAGS = [
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "PatientID", "PatientSex", "PatientAge",
    "Modality", "BodyPartExamined", "ViewPosition", "ViewCodeSequence", "Manufacturer",
    "PresentationIntentType", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation",
    "Rows", "Columns", "BitsAllocated", "BitsStored", "WindowCenter", "WindowWidth",
    "VOILUTSequence", "SyntheticData", "BurnedInAnnotation",
]  # fmt: skip
#: Columns that a table of labels may be keyed by, finest first.
KEYS = ("SOPInstanceUID", "StudyInstanceUID", "PatientID")


def header_of(path: Path) -> Any:
    """What is kept of a file's header, as a pydicom data set; its pixels stay unread.

    Raises:
        InputError: Not a DICOM file, or a damaged one.
    """
    with reading():
        if not begins_as_dicom(path):
            raise InputError("not a DICOM file")
        header = import_pydicom().dcmread(
            path, stop_before_pixels=True, specific_tags=TAGS, force=True
        )
        if not any(name in header for name in ("SOPClassUID", "Modality", "Rows")):
            raise InputError("not a DICOM file: no class, no modality, no image")
    return header


def modality_of(header: Any) -> str:
    """The modality of a header, `NO_MODALITY` where there is none."""
    return text_of(header, "Modality").upper() or NO_MODALITY


def burned_in(header: Any) -> bool:
    """Whether a file says that text is burned into its pixels."""
    return text_of(header, "BurnedInAnnotation").upper() == "YES"


def synthetic(header: Any) -> bool:
    """Whether a file says that its image is synthetic."""
    return text_of(header, "SyntheticData").upper() == "YES"


def facts(header: Any) -> dict[str, str]:
    """What is taken from a header, identifiers still in the clear."""
    windowed = header.get("WindowCenter") is not None and header.get("WindowWidth") is not None
    codes = header.get("ViewCodeSequence") or [{}]
    return {
        **{key: text_of(header, key) for key in KEYS},
        "view": text_of(header, "ViewPosition") or text_of(codes[0], "CodeMeaning"),
        "sex": text_of(header, "PatientSex"),
        "age": text_of(header, "PatientAge"),
        "modality": text_of(header, "Modality"),
        "source": "synthetic" if synthetic(header) else "",
        "burned_in": "YES" if burned_in(header) else "",
        "body_part": text_of(header, "BodyPartExamined").upper(),
        "manufacturer": text_of(header, "Manufacturer"),
        "voi": "LUT" if header.get("VOILUTSequence") else "window" if windowed else "none",
    }


def text_of(header: Any, name: str) -> str:
    """An element as text on one line; blank where it is missing."""
    return " ".join(str(header.get(name, "") or "").split())
