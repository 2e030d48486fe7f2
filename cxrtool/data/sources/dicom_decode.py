"""Decoding DICOM pixels: which decoder for which transfer syntax, and values as they were stored.

In: a data set of one gray frame. Out: int32 [H, W], sign extended, without unused bits. Decoders of
compressed syntaxes are chosen by name, one for each, so that what else is installed (other pydicom
plugins, some under the GPL) changes nothing. `check_stream` looks at the header of a compressed
image before a decoder written in C gets it: one that declares another size, depth or number of
components than the DICOM header (most of these files are damaged) can make a decoder write past its
buffer and take the whole process down.

DICOM PS3.5 8.1.1 (bits stored and high bit), 8.2 and A.4 (compressed syntaxes). JPEG and JPEG-LS:
ITU-T T.81 table B.1 and B.2.2, T.87 C.2.2; JPEG 2000: ITU-T T.800 A.5.1.
"""

import contextlib
import importlib
import struct
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from cxrtool.core.errors import CxrError, InputError, UsageError

#: Transfer syntax -> the pydicom plugin that decodes it; "" = pydicom itself.
PLUGINS = {
    "1.2.840.10008.1.2": "",  # implicit VR little endian
    "1.2.840.10008.1.2.1": "",  # explicit VR little endian
    "1.2.840.10008.1.2.1.99": "",  # deflated
    "1.2.840.10008.1.2.2": "",  # explicit VR big endian
    "1.2.840.10008.1.2.5": "pydicom",  # RLE lossless
    "1.2.840.10008.1.2.4.50": "gdcm",  # JPEG baseline
    "1.2.840.10008.1.2.4.51": "gdcm",  # JPEG extended (8 bit; only GPL decoders do 12 bit)
    "1.2.840.10008.1.2.4.57": "gdcm",  # JPEG lossless
    "1.2.840.10008.1.2.4.70": "gdcm",  # JPEG lossless, first-order prediction
    "1.2.840.10008.1.2.4.80": "gdcm",  # JPEG-LS lossless
    "1.2.840.10008.1.2.4.81": "gdcm",  # JPEG-LS near-lossless
    "1.2.840.10008.1.2.4.90": "gdcm",  # JPEG 2000 lossless
    "1.2.840.10008.1.2.4.91": "gdcm",  # JPEG 2000
}
_HINT = "pip install 'cxrtool[dicom]'"
_JPEG_START = b"\xff\xd8"
_J2K_START = b"\xff\x4f\xff\x51"
_JP2_BOX = b"\x00\x00\x00\x0cjP  "
#: Start-of-frame markers: all of JPEG (C4, C8 and CC are other things), and JPEG-LS.
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC} | {0xF7}
_START_OF_SCAN, _END = 0xDA, 0xD9


def import_pydicom() -> Any:
    """The pydicom module.

    Raises:
        UsageError: It is not installed.
    """
    try:
        return importlib.import_module("pydicom")
    except ImportError:
        raise UsageError("reading DICOM needs the extra dicom", hint=_HINT) from None


def need_decoder(syntax: str) -> None:
    """Complain about a transfer syntax that cannot be decoded here.

    Raises:
        InputError: Nothing decodes this syntax (video, HTJ2K, proprietary ones).
        UsageError: Its decoder is not installed.
    """
    if syntax not in PLUGINS:
        from pydicom.uid import UID

        raise InputError(f"the transfer syntax {UID(syntax).name} is not read")
    if PLUGINS[syntax] == "gdcm":
        try:
            importlib.import_module("gdcm")
        except ImportError:
            what = "compressed DICOM needs a decoder of the extra dicom"
            raise UsageError(what, hint=_HINT) from None


@contextlib.contextmanager
def reading(what: str = "not a readable DICOM image") -> Iterator[None]:
    """One type of error for damaged files, which provoke any inside pydicom or a decoder.

    Nothing is said of values that are not to the letter of the standard.

    Raises:
        InputError: ``what``, and the first line of the error.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            yield
    except (CxrError, MemoryError):  # the latter is not the file's fault
        raise
    except Exception as error:
        line = " ".join(str(error).split())[:200] or type(error).__name__
        reason = f"{what} ({line})"
        if type(error).__name__ == "InvalidDicomError":
            reason = "not a DICOM file"
        raise InputError(reason) from None


def stored_values(dataset: Any) -> np.ndarray:
    """Decoded values: int32 [H, W], sign extended, without what older files keep in unused bits."""
    pixels: Any = importlib.import_module("pydicom.pixels")
    syntax = str(dataset.file_meta.TransferSyntaxUID)
    need_decoder(syntax)
    bits, allocated = int(dataset.BitsStored), int(dataset.BitsAllocated)
    if not 1 <= bits <= min(allocated, 16) or allocated not in (8, 16):
        raise InputError(f"{bits} bits stored in {allocated} bits are not read")
    # Files from before 2009 may keep the value above the lowest bits; pydicom would cut it off.
    shift = max(0, int(getattr(dataset, "HighBit", bits - 1)) - (bits - 1))
    if shift and not dataset.file_meta.TransferSyntaxUID.is_compressed:
        dataset.BitsStored = allocated
    else:
        shift = 0
    try:
        with reading("pixels cannot be decoded"):
            if PLUGINS[syntax] == "gdcm":
                frame = importlib.import_module("pydicom.encaps").get_frame(
                    dataset.PixelData, 0, number_of_frames=1
                )
                check_stream(frame, int(dataset.Rows), int(dataset.Columns), allocated)
            decoder = pixels.get_decoder(dataset.file_meta.TransferSyntaxUID)
            array, _ = decoder.as_array(dataset, raw=True, decoding_plugin=PLUGINS[syntax])
    finally:
        dataset.BitsStored = bits
    if array.ndim != 2:
        raise InputError(f"pixels of shape {array.shape} where one gray frame is expected")
    values = array.astype(np.int32) >> shift
    values &= (1 << bits) - 1
    if int(getattr(dataset, "PixelRepresentation", 0)) == 1:
        values -= (values >> (bits - 1)) << bits
    return np.asarray(values)


class Shape(NamedTuple):
    """What a codestream says about itself."""

    rows: int
    columns: int
    components: int
    bits: int


def check_stream(data: bytes, rows: int, columns: int, allocated: int) -> None:
    """Refuse a JPEG, JPEG-LS or JPEG 2000 stream that contradicts its DICOM header.

    Args:
        data: One compressed frame of a gray image.
        rows: Rows of the header.
        columns: Columns of the header.
        allocated: Bits allocated.

    Raises:
        InputError: It does, or has no readable header.
    """
    shape = _jpeg_shape(data) if data.startswith(_JPEG_START) else _j2k_shape(data)
    if (shape.rows, shape.columns, shape.components) != (rows, columns, 1):
        raise InputError(
            f"the compressed image has {shape.columns} x {shape.rows} px and {shape.components} "
            f"components, the header says {columns} x {rows} and 1"
        )
    if not 1 <= shape.bits <= allocated:
        raise InputError(f"the compressed image has {shape.bits} bits, {allocated} are allocated")


def _jpeg_shape(data: bytes) -> Shape:
    """The start of frame of JPEG or JPEG-LS; all segments up to the scan must be whole."""
    position, shape = 2, None
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            break
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        segment = data[position + 4 : position + 2 + length]
        if length < 2 or len(segment) != length - 2 or marker == _END:
            break
        if marker in _FRAMES:
            if shape is not None or len(segment) < 6:
                break
            bits, rows, columns, components = struct.unpack_from(">BHHB", segment)
            shape = Shape(rows, columns, components, bits)
        if marker == _START_OF_SCAN:
            if shape is None:
                break
            return shape
        position += 2 + length
    raise InputError("the compressed image is damaged: no whole JPEG header")


def _j2k_shape(data: bytes) -> Shape:
    """The SIZ segment of a JPEG 2000 codestream, in a JP2 file or bare."""
    start = 0 if data.startswith(_J2K_START) else data.find(_J2K_START)
    if start < 0 or (start and not data.startswith(_JP2_BOX)) or len(data) < start + 45:
        raise InputError("the compressed image is damaged: no JPEG 2000 header")
    width, height, left, top = struct.unpack_from(">4I", data, start + 8)
    components, bits = struct.unpack_from(">HB", data, start + 40)
    return Shape(height - top, width - left, components, (bits & 0x7F) + 1)
