"""An image as a DICOM instance that says of itself what it is.

Secondary Capture Image Storage (PS3.3 A.8.1): an image that no modality has taken. Whether it is
synthetic stands in Synthetic Data (0008,001C) of the SOP Common module (PS3.3 C.12.1), in
Conversion Type SYN (PS3.3 C.8.6.1), and, for a person, in Derivation Description.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from cxrtool.data import columns as c
from cxrtool.data.manifest import Dataset
from cxrtool.data.sources.dicom_pixels import import_pydicom
from cxrtool.version import __version__

_DERIVATION = {
    "synthetic": "SYNTHETIC: made by a generative model, shows no patient.",
    "edited": "SYNTHETIC: changed by a generative model, does not show the patient as is.",
    "phantom": "SYNTHETIC: made by a simulator, shows no patient.",
    "real": "A radiograph, brought to a square of 8-bit gray values.",
}
#: Attributes that must be there and may be empty.
_EMPTY = (
    "PatientBirthDate", "StudyDate", "StudyTime", "AccessionNumber", "PatientName",
    "ReferringPhysicianName", "PatientOrientation",
)  # fmt: skip


def instance(
    pixels: np.ndarray, cells: Mapping[str, str], data: Dataset, row: int, unit: int
) -> Any:
    """A pydicom data set, the same for the same image of the same data set.

    Args:
        pixels: uint8 [H, W], dark = air.
        cells: What is exported about the image; a patient id only if it may be told.
        data: The data set it belongs to.
        row: Its row there.
        unit: A number of the patient that leads to no one (`data.select.patient_groups`).
    """
    pydicom = import_pydicom()
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

    def uid(*parts: str) -> str:
        return str(generate_uid(entropy_srcs=[data.info.digest, *parts]))

    source = cells.get(c.SOURCE, "real")
    if source == "real" and data.info.notes.get("format") == "phantom":
        source = "phantom"  # real to the tool, but no patient stood before a detector
    dicom = pydicom.Dataset()
    dicom.SOPClassUID = SecondaryCaptureImageStorage
    dicom.StudyInstanceUID = uid("study", str(unit), cells.get(c.STUDY) or f"row {row}")
    dicom.SeriesInstanceUID, dicom.SOPInstanceUID = uid("series", str(row)), uid("image", str(row))
    dicom.SyntheticData = "NO" if source == "real" else "YES"
    dicom.ConversionType = "WSD" if source == "real" else "SYN"
    dicom.ImageType = ["DERIVED", "SECONDARY"]
    facts = [f"{name} {cells[name]}" for name in c.SYNTHETIC if cells.get(name)]
    dicom.DerivationDescription = " ".join((_DERIVATION[source], *facts))[:1024]
    dicom.SecondaryCaptureDeviceManufacturer = "cxr"
    dicom.SecondaryCaptureDeviceSoftwareVersions = __version__
    dicom.PatientID, dicom.StudyID = cells.get(c.PATIENT) or f"cxr-{unit}", "1"
    dicom.PatientIdentityRemoved = "NO" if cells.get(c.PATIENT) else "YES"
    dicom.DeidentificationMethod = f"cxr {__version__}: written anew from pixels and labels"
    dicom.PatientSex = {"M": "M", "F": "F"}.get(cells.get(c.SEX, "")[:1].upper(), "")
    years = cells.get(c.AGE, "").split(".")[0]
    if years.isdecimal() and int(years) < 1000:
        dicom.PatientAge = f"{int(years):03d}Y"
    for name in _EMPTY:
        setattr(dicom, name, "")
    dicom.SeriesNumber = dicom.InstanceNumber = 1
    dicom.Modality, dicom.BodyPartExamined = "DX", "CHEST"
    dicom.ViewPosition = cells.get(c.VIEW, "").upper()[:16]
    present = (name for name in data.labels if cells[name] == "1")
    dicom.ImageComments = f"Labels: {', '.join(present) or 'none'}"[:10240]
    dicom.Rows, dicom.Columns = pixels.shape
    dicom.SamplesPerPixel, dicom.PhotometricInterpretation = 1, "MONOCHROME2"
    dicom.BitsAllocated, dicom.BitsStored, dicom.HighBit, dicom.PixelRepresentation = 8, 8, 7, 0
    dicom.WindowCenter, dicom.WindowWidth = 128, 256
    dicom.PixelData = pixels.tobytes() + b"\0" * (pixels.size % 2)
    dicom.file_meta = pydicom.dataset.FileMetaDataset()
    dicom.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return dicom
