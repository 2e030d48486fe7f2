"""The grayscale pipeline of DICOM: from stored values to what a display should show.

In: a data set of one gray frame. Out: uint16 [H, W] over 0..65535, dark = air. The order of PS3.4
N.2: stored values, modality LUT or rescale, VOI LUT or window, presentation LUT shape.

DICOM PS3.3 C.11.1 (modality LUT), C.11.2 (VOI LUT), C.7.6.3.1.2 and C.8.11.3.1.2 (polarity),
C.7.5.1.1.2 (pixel padding).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cxrtool.core.errors import InputError
from cxrtool.data.sources.dicom_decode import import_pydicom, reading, stored_values


@dataclass(frozen=True)
class DicomOpener:
    """Opens DICOM images below a folder.

    Attributes:
        root: The folder that references are relative to.
    """

    root: Path

    def __call__(self, ref: str) -> np.ndarray:
        """The image behind a reference: uint16 [H, W], dark = air.

        Raises:
            InputError: Missing, not DICOM, or pixels that do not decode.
        """
        pydicom = import_pydicom()
        path = self.root / ref
        try:
            with reading():
                return gray16(pydicom.dcmread(path))
        except InputError as error:
            raise InputError(error.reason, file=path) from None


def gray16(dataset: Any) -> np.ndarray:
    """The image as it should be shown.

    Args:
        dataset: A pydicom data set with pixels; one frame, one sample a pixel.

    Returns:
        uint16 [H, W] over the full range; what is brightest on a display is 65535. Without a window
        or VOI LUT the range of the values present is spread over it.

    Raises:
        InputError: Pixels that do not decode, or attributes that contradict each other.
    """
    stored = stored_values(dataset)
    padding = padding_mask(dataset, stored)
    values = modality(dataset, stored)
    shown = voi(dataset, values, padding)
    if is_inverse(dataset):
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
        return np.asarray(table[np.clip(stored - first, 0, len(table) - 1)], np.float64)
    slope = _number(dataset, "RescaleSlope")
    intercept = _number(dataset, "RescaleIntercept")
    if slope == 0:
        raise InputError("the rescale slope is 0")
    return stored * (1.0 if slope is None else slope) + (intercept or 0.0)


def voi(dataset: Any, values: np.ndarray, padding: np.ndarray | None = None) -> np.ndarray:
    """VOI LUT, else the first window, else the range present: float64 [H, W] in [0, 1]."""
    item = _first(dataset, "VOILUTSequence")
    if item is not None:
        table, first, bits = _lut(item)
        index = np.rint(values).astype(np.int64) - first
        looked_up = table[np.clip(index, 0, len(table) - 1)] / float((1 << bits) - 1)
        return np.asarray(np.clip(looked_up, 0.0, 1.0))
    center, width = _number(dataset, "WindowCenter"), _number(dataset, "WindowWidth")
    function = str(getattr(dataset, "VOILUTFunction", "") or "LINEAR").upper()
    if center is not None and width is not None and width >= (1 if function == "LINEAR" else 1e-9):
        return window(values, center, width, function)
    inside = values if padding is None else values[~padding]
    low, high = float(inside.min()), float(inside.max())
    return np.clip((values - low) / (high - low if high > low else 1.0), 0.0, 1.0)


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


def is_inverse(dataset: Any) -> bool:
    """Whether low values are bright.

    MONOCHROME1 and the presentation LUT shape INVERSE say the same thing; a file that says one of
    them alone means it.
    """
    shape = str(getattr(dataset, "PresentationLUTShape", "") or "").upper()
    return str(dataset.PhotometricInterpretation) == "MONOCHROME1" or shape == "INVERSE"


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
    if len(table) < count or not 1 <= bits <= 16:
        raise InputError(f"a look-up table of {len(table)} entries where {count} are declared")
    return table[:count], first, bits
