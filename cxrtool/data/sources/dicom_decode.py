"""Decoding DICOM pixels: which decoder for which transfer syntax, and values as they were stored.

In: a data set of one gray frame. Out: int32 [H, W], sign extended, without unused bits. Decoders of
compressed syntaxes are chosen by name, one for each, so that what else is installed (other pydicom
plugins, some under the GPL) changes nothing.

DICOM PS3.5 8.1.1 (bits stored and high bit), 8.2 and A.4 (compressed syntaxes).
"""

import contextlib
import importlib
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from cxrtool.core.errors import InputError, UsageError
from cxrtool.data.sources.dicom_stream import check_stream

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


def import_pydicom() -> Any:
    """The pydicom module.

    Raises:
        UsageError: It is not installed.
    """
    try:
        import pydicom
    except ImportError:
        raise UsageError("reading DICOM needs the extra dicom", hint=_HINT) from None
    return pydicom


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
            import gdcm  # noqa: F401
        except ImportError:
            raise UsageError(
                "compressed DICOM needs a decoder of the extra dicom", hint=_HINT
            ) from None


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without pydicom's remarks on every value that is not to the letter of the standard."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def unreadable(error: Exception) -> str:
    """What to say of an error inside pydicom or a decoder, which damaged files provoke in any type.

    Args:
        error: Anything but `MemoryError`, which is not the file's fault.
    """
    if type(error).__name__ == "InvalidDicomError":
        return "not a DICOM file"
    return f"not a readable DICOM image ({_line(error)})"


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
        if PLUGINS[syntax] == "gdcm":
            frame = importlib.import_module("pydicom.encaps").get_frame(
                dataset.PixelData, 0, number_of_frames=1
            )
            check_stream(frame, int(dataset.Rows), int(dataset.Columns), allocated)
        decoder = pixels.get_decoder(dataset.file_meta.TransferSyntaxUID)
        array, _ = decoder.as_array(dataset, raw=True, decoding_plugin=PLUGINS[syntax])
    except (InputError, MemoryError):
        raise
    except Exception as error:
        raise InputError(f"pixels cannot be decoded ({_line(error)})") from None
    finally:
        dataset.BitsStored = bits
    if array.ndim != 2:
        raise InputError(f"pixels of shape {array.shape} where one gray frame is expected")
    values = array.astype(np.int32) >> shift
    values &= (1 << bits) - 1
    if int(getattr(dataset, "PixelRepresentation", 0)) == 1:
        values -= (values >> (bits - 1)) << bits
    return np.asarray(values)


def _line(error: Exception) -> str:
    """What an error says, in one short line."""
    return " ".join(str(error).split())[:200] or type(error).__name__
