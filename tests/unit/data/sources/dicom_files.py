"""DICOM files for tests, written and compressed here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


def image_12bit(seed: int = 0) -> np.ndarray:
    """A ramp with noise over 12 bits: uint16 [40, 56]."""
    ramp = np.add.outer(np.arange(40), np.arange(56)) * 40
    noise = np.random.default_rng(seed).integers(0, 30, ramp.shape)
    return np.clip(ramp + noise, 0, 4095).astype(np.uint16)


def dataset(pixels: np.ndarray, **elements: Any) -> Any:
    """A CR image with everything that could identify a person; ``elements`` change or (None) drop.

    Args:
        pixels: [H, W] uint8, uint16 or int16.
        elements: DICOM keywords and their values.
    """
    import pydicom
    from pydicom.dataset import Dataset, FileMetaDataset

    uid = pydicom.uid
    made = Dataset()
    made.SOPClassUID = uid.ComputedRadiographyImageStorage
    made.SOPInstanceUID = uid.generate_uid(entropy_srcs=[pixels.tobytes().hex(), str(elements)])
    made.StudyInstanceUID = "1.2.3.4"
    made.SeriesInstanceUID = "1.2.3.4.5"
    made.PatientID, made.PatientName, made.PatientBirthDate = "007", "Doe^Jane", "19300102"
    made.StudyDate, made.AccessionNumber = "20200102", "ACC1"
    made.PatientSex, made.PatientAge = "F", "067Y"
    made.InstitutionName, made.Manufacturer, made.DeviceSerialNumber = "St. X", "ACME", "SN9"
    made.Modality, made.BodyPartExamined, made.ViewPosition = "CR", "CHEST", "PA"
    made.Rows, made.Columns = pixels.shape
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated = made.BitsStored = pixels.dtype.itemsize * 8
    made.PixelRepresentation = int(pixels.dtype.kind == "i")
    for name, value in elements.items():
        if value is None:
            delattr(made, name)
        else:
            setattr(made, name, value)
    made.HighBit = elements.get("HighBit", made.BitsStored - 1)
    made.PixelData = pixels.tobytes()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    return made


def save(made: Any, path: Path) -> Path:
    """Write a data set as a DICOM file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made.save_as(path, enforce_file_format=True)
    return path


def compress(source: Path, target: Path, syntax: str) -> Path:
    """Compress a file with GDCM.

    Args:
        source: An uncompressed file.
        target: Where the compressed one goes.
        syntax: GDCM's name of the transfer syntax, such as ``JPEGLosslessProcess14_1``.
    """
    import gdcm

    reader = gdcm.ImageReader()
    reader.SetFileName(str(source))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, syntax)))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(target))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    return target
