"""From a DICOM file to what a display should show: decoding, and the grayscale pipeline.

In: a data set of one gray frame. Out: uint16 [H, W] over 0..65535, dark = air.

Decoders of compressed syntaxes are chosen by name, one for each, so that what else is installed
(other pydicom plugins, some under the GPL) changes nothing. `check_stream` looks at the header of a
compressed image before a decoder written in C gets it: one that declares another size, depth or
number of components than the DICOM header (most of these files are damaged) can make a decoder
write past its buffer and take the whole process down. The pipeline has the order of PS3.4 N.2:
stored values, modality LUT or rescale, VOI LUT or window, presentation LUT shape.

DICOM PS3.5 8.1.1 (bits stored and high bit), 8.2 and A.4 (compressed syntaxes); PS3.3 C.11.1
(modality LUT), C.11.2 (VOI LUT), C.7.6.3.1.2 and C.8.11.3.1.2 (polarity), C.7.5.1.1.2 (pixel
padding). JPEG and JPEG-LS: ITU-T T.81 table B.1 and B.2.2, T.87 C.2.2; JPEG 2000: ITU-T T.800
A.5.1.
"""

import contextlib
import importlib
import os
import struct
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cxrtool.core.errors import CxrError, InputError, UsageError
from cxrtool.core.extras import install_hint
from cxrtool.data.decoding import DEPTHS

#: Transfer syntax -> the pydicom plugin that decodes it; "" = pydicom itself.
PLUGINS = {
    "1.2.840.10008.1.2": "",  # implicit VR little endian
    "1.2.840.10008.1.2.1": "",  # explicit VR little endian
    "1.2.840.10008.1.2.1.99": "",  # deflated
    "1.2.840.10008.1.2.2": "",  # explicit VR big endian
    "1.2.840.10008.1.2.5": "pydicom",  # RLE lossless
    "1.2.840.10008.1.2.4.50": "gdcm",  # JPEG baseline
    "1.2.840.10008.1.2.4.51": "gdcm",  # JPEG extended (12 bit: see `_extended_12_bit`)
    "1.2.840.10008.1.2.4.57": "gdcm",  # JPEG lossless
    "1.2.840.10008.1.2.4.70": "gdcm",  # JPEG lossless, first-order prediction
    "1.2.840.10008.1.2.4.80": "gdcm",  # JPEG-LS lossless
    "1.2.840.10008.1.2.4.81": "gdcm",  # JPEG-LS near-lossless
    "1.2.840.10008.1.2.4.90": "gdcm",  # JPEG 2000 lossless
    "1.2.840.10008.1.2.4.91": "gdcm",  # JPEG 2000
}
_IMPLICIT, _EXPLICIT, _BIG_ENDIAN = (
    "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2",
)  # fmt: skip
_JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"
_JPEG_START = b"\xff\xd8"
_J2K_START = b"\xff\x4f\xff\x51"
_JP2_BOX = b"\x00\x00\x00\x0cjP  "
#: Start-of-frame markers: all of JPEG (C4, C8 and CC are other things), and JPEG-LS.
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC} | {0xF7}
_START_OF_SCAN, _END = 0xDA, 0xD9


def _need(module: str, what: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise UsageError(what, hint=install_hint("dicom")) from None


def import_pydicom() -> Any:
    """The pydicom module.

    Raises:
        UsageError: It is not installed.
    """
    return _need("pydicom", "reading DICOM needs the extra dicom")


def need_decoder(syntax: str) -> None:
    """Complain about a transfer syntax that cannot be decoded here.

    Raises:
        InputError: Nothing decodes this syntax (video, HTJ2K, proprietary ones).
        UsageError: Its decoder is not installed.
    """
    if syntax not in PLUGINS:
        name = importlib.import_module("pydicom.uid").UID(syntax).name
        raise InputError(f"the transfer syntax {name} is not read")
    if PLUGINS[syntax] == "gdcm":
        _need("gdcm", "compressed DICOM needs a decoder of the extra dicom")


def syntax_of(dataset: Any) -> str:
    """UID of the transfer syntax; of a file that does not say, by how its elements were read.

    Raises:
        InputError: It does not say, and its pixels are compressed.
    """
    named = str(getattr(dataset.file_meta, "TransferSyntaxUID", "") or "")
    if named:
        return named
    if "PixelData" in dataset and dataset["PixelData"].is_undefined_length:
        raise InputError("the pixels are compressed and the file does not say how")
    implicit, little = dataset.original_encoding
    return _IMPLICIT if implicit else _EXPLICIT if little else _BIG_ENDIAN


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
    syntax = syntax_of(dataset)
    need_decoder(syntax)
    dataset.file_meta.TransferSyntaxUID = importlib.import_module("pydicom.uid").UID(syntax)
    bits, allocated = int(dataset.BitsStored), int(dataset.BitsAllocated)
    if not 1 <= bits <= min(allocated, 16) or allocated not in (8, 16):
        raise InputError(f"{bits} bits stored in {allocated} bits are not read")
    # Files from before 2009 may keep the value above the lowest bits; pydicom would cut it off.
    shift = max(0, int(getattr(dataset, "HighBit", bits - 1)) - (bits - 1))
    frame = b""
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
            if syntax == _JPEG_EXTENDED and bits > 8:
                array = _extended_12_bit(frame, dataset)
            else:
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


def _extended_12_bit(frame: bytes, dataset: Any) -> np.ndarray:
    """JPEG extended of 12 bits: uint16 [H, W].

    GDCM decodes it, but pydicom's plugin does not let it. It tries its decoder for 8 bits first,
    whose complaint goes to file descriptor 2 past Python, so that is held shut meanwhile.

    Raises:
        ValueError: GDCM cannot decode it.
    """
    gdcm: Any = importlib.import_module("gdcm")
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(frame)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    rows, columns, bits = int(dataset.Rows), int(dataset.Columns), int(dataset.BitsStored)
    signed = int(getattr(dataset, "PixelRepresentation", 0))
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((columns, rows, 1))
    image.SetDataElement(element)
    image.SetPixelFormat(gdcm.PixelFormat(1, 16, bits, bits - 1, signed))
    gray = gdcm.PhotometricInterpretation.GetPIType("MONOCHROME2")
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(gray))
    syntax = gdcm.TransferSyntax.GetTSType(_JPEG_EXTENDED)
    image.SetTransferSyntax(gdcm.TransferSyntax(syntax))
    with _stderr_shut():
        data = image.GetBuffer()
    if not data:
        raise ValueError("GDCM cannot decode it")
    values = np.frombuffer(data.encode("utf-8", errors="surrogateescape"), "<u2")
    return values.reshape(rows, columns)


@contextlib.contextmanager
def _stderr_shut() -> Iterator[None]:
    """What a C library writes to file descriptor 2 goes nowhere."""
    saved = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


#: What a codestream says about itself: rows, columns, components, bits.
Shape = tuple[int, int, int, int]


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
    high, wide, components, bits = shape
    if (high, wide, components) != (rows, columns, 1):
        what = f"the compressed image has {wide} x {high} px and {components} components"
        raise InputError(f"{what}, the header says {columns} x {rows} and 1")
    if not 1 <= bits <= allocated:
        raise InputError(f"the compressed image has {bits} bits, {allocated} are allocated")


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
            shape = rows, columns, components, bits
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
    return height - top, width - left, components, (bits & 0x7F) + 1


@dataclass(frozen=True)
class DicomOpener:
    """Opens DICOM images below a folder.

    Attributes:
        root: The folder that references are relative to.
        bits: Bits of the values where no window says what to show; 0 = BitsStored of each file.
    """

    root: Path
    bits: int = 0

    def __call__(self, ref: str) -> np.ndarray:
        """The image behind a reference: uint16 [H, W], dark = air.

        Raises:
            InputError: Missing, not DICOM, or pixels that do not decode.
        """
        pydicom = import_pydicom()
        path = self.root / ref
        try:
            with reading():
                # By force: files without a preamble, which the reader of headers has looked at.
                return gray16(pydicom.dcmread(path, force=True), self.bits)
        except InputError as error:
            raise InputError(error.reason, file=path) from None


def gray16(dataset: Any, bits: int = 0) -> np.ndarray:
    """The image as it should be shown.

    Args:
        dataset: A pydicom data set with pixels; one frame, one sample a pixel.
        bits: As of `DicomOpener`.

    Returns:
        uint16 [H, W] over the full range; what is brightest on a display is 65535. Without a window
        or VOI LUT all that the stored bits can hold is spread over it, whatever the image holds.

    Raises:
        InputError: Pixels that do not decode, or attributes that contradict each other.
    """
    stored = stored_values(dataset)
    padding = padding_mask(dataset, stored)
    values = modality(dataset, stored)
    shown = voi(dataset, values, bits)
    # MONOCHROME1 and the presentation LUT shape INVERSE say the same thing, that low values are
    # bright; a file that says one of them alone means it.
    shape = str(getattr(dataset, "PresentationLUTShape", "") or "").upper()
    if str(dataset.PhotometricInterpretation) == "MONOCHROME1" or shape == "INVERSE":
        shown = 1.0 - shown
    if padding is not None:
        shown[padding] = 0.0
    return np.rint(shown * 65535.0).astype(np.uint16)


def padding_mask(dataset: Any, stored: np.ndarray) -> np.ndarray | None:
    """Where the detector saw nothing: bool [H, W], or None where no padding is declared."""
    value = _number(dataset, "PixelPaddingValue")
    if value is None:
        return None
    limit = _number(dataset, "PixelPaddingRangeLimit")
    low, high = sorted((value, value if limit is None else limit))
    mask = (stored >= low) & (stored <= high)
    return mask if mask.any() and not mask.all() else None


def modality(dataset: Any, stored: np.ndarray) -> np.ndarray:
    """Modality LUT or rescale: float64 [H, W]."""
    item = _first(dataset, "ModalityLUTSequence")
    if item is not None:
        table, first, _ = _lut(item)
        return np.asarray(_looked_up(stored - first, table, item), np.float64)
    slope = _number(dataset, "RescaleSlope")
    intercept = _number(dataset, "RescaleIntercept")
    if slope == 0:
        raise InputError("the rescale slope is 0")
    return stored * (1.0 if slope is None else slope) + (intercept or 0.0)


def voi(dataset: Any, values: np.ndarray, bits: int = 0) -> np.ndarray:
    """VOI LUT, else the first window, else the range of the bits: float64 [H, W] in [0, 1]."""
    item = _first(dataset, "VOILUTSequence")
    if item is not None:
        table, first, bits = _lut(item)
        index = np.rint(values).astype(np.int64) - first
        shown = _looked_up(index, table, item) / float((1 << lut_bits(table, bits)) - 1)
        return np.asarray(np.clip(shown, 0.0, 1.0))
    center, width = _number(dataset, "WindowCenter"), _number(dataset, "WindowWidth")
    function = str(getattr(dataset, "VOILUTFunction", "") or "LINEAR").upper()
    if center is not None and width is not None and width >= (1 if function == "LINEAR" else 1e-9):
        return window(values, center, width, function)
    bits = bits or int(dataset.BitsStored)
    signed = int(getattr(dataset, "PixelRepresentation", 0)) == 1
    stored = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    item = _first(dataset, "ModalityLUTSequence")
    ends = _lut(item)[0] if item is not None else modality(dataset, np.array(stored))
    low, high = float(ends.min()), float(ends.max())
    return np.clip((values - low) / (high - low if high > low else 1.0), 0.0, 1.0)


def lut_bits(table: np.ndarray, bits: int) -> int:
    """Bits of a VOI LUT's entries: as declared, or fewer where no entry comes near them.

    Many files declare 16 bits and hold entries of 12, which would show them at 1/16 of their
    brightness. It depends on the table alone, not on the pixels.
    """
    largest = int(table.max())
    return bits if 2 * largest >= (1 << bits) - 1 else min(d for d in DEPTHS if largest < 1 << d)


def window(values: np.ndarray, center: float, width: float, function: str = "LINEAR") -> np.ndarray:
    """The three window functions of PS3.3 C.11.2.1.2 and C.11.2.1.3.

    Args:
        values: float64 [H, W].
        center: Window center.
        width: Window width; at least 1 for LINEAR, above 0 for the others.
        function: LINEAR, LINEAR_EXACT or SIGMOID.

    Returns:
        float64 [H, W] in [0, 1].

    Raises:
        InputError: Another function.
    """
    if function == "LINEAR":
        if width == 1:
            return (values > center - 0.5).astype(np.float64)
        return np.clip((values - (center - 0.5)) / (width - 1) + 0.5, 0.0, 1.0)
    if function == "LINEAR_EXACT":
        return np.clip((values - center) / width + 0.5, 0.0, 1.0)
    if function == "SIGMOID":
        exponent = np.clip(-4.0 * (values - center) / width, -700.0, 700.0)
        return 1.0 / (1.0 + np.exp(exponent))
    raise InputError(f"the VOI LUT function {function} is unknown")


def _number(dataset: Any, name: str) -> float | None:
    """A number of the data set, the first where there are several; None where it is missing."""
    value: Any = getattr(dataset, name, None)
    if not isinstance(value, (int, float, str)) and hasattr(value, "__len__"):
        value = value[0] if len(value) else None
    if value is None or value == "":
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise InputError(f"{name} is no number: {value!r}") from None
    return number if np.isfinite(number) else None


def _first(dataset: Any, name: str) -> Any:
    """The first item of a sequence, None where it is missing or empty."""
    sequence = getattr(dataset, name, None)
    return sequence[0] if sequence else None


def _looked_up(index: np.ndarray, table: np.ndarray, item: Any) -> np.ndarray:
    """Entries at an index: int64 [H, W]; beyond the ends of the table its first and last.

    Raises:
        InputError: The table has fewer entries than it declares, and the image needs them.
    """
    declared = int(item.LUTDescriptor[0]) or 65536
    if len(table) < declared and int(index.max()) >= len(table):
        what = f"a look-up table of {len(table)} entries where {declared} are declared"
        raise InputError(what)
    return np.asarray(table[np.clip(index, 0, len(table) - 1)])


def _lut(item: Any) -> tuple[np.ndarray, int, int]:
    """Entries of a look-up table (int64 [n]), the first value it maps, the bits of an entry."""
    try:
        count, first, bits = (int(number) for number in item.LUTDescriptor)
        data = item.LUTData
    except (AttributeError, TypeError, ValueError):
        raise InputError("a look-up table without descriptor or data") from None
    count = count or 65536
    if isinstance(data, bytes):
        table = np.frombuffer(data[: len(data) // 2 * 2], "<u2").astype(np.int64)
    else:
        table = np.atleast_1d(np.asarray(data, dtype=np.int64)) & 0xFFFF
    if len(table) * 2 in (count, count + 1):  # 8-bit entries, two to a word
        table = table.astype("<u2").view(np.uint8).astype(np.int64)
    if not len(table) or not 1 <= bits <= 16:
        raise InputError(f"a look-up table of {len(table)} entries of {bits} bits")
    return table[:count], first, bits
