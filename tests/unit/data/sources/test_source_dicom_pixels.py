"""The grayscale pipeline of DICOM, step by step and against pydicom's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pydicom = pytest.importorskip("pydicom")
pytest.importorskip("gdcm")

from pydicom.data import get_testdata_file  # noqa: E402
from pydicom.dataset import Dataset  # noqa: E402

from cxrtool.core.errors import InputError  # noqa: E402
from cxrtool.data.sources.dicom_pixels import (  # noqa: E402
    DicomOpener,
    gray16,
    modality,
    need_decoder,
    stored_values,
    voi,
    window,
)
from cxrtool.data.sources.tree import begins_as_dicom  # noqa: E402

from .dicom_files import compress, dataset, image_12bit, save  # noqa: E402

SHAPES: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
    "12 bit": (image_12bit(), {"BitsStored": 12}),
    "12 bit signed": (
        (image_12bit().astype(np.int16) - 2048).astype(np.int16),
        {"BitsStored": 12},
    ),
    "16 bit": ((image_12bit().astype(np.uint32) * 16).astype(np.uint16), {}),
    "16 bit signed": (((image_12bit().astype(np.int32) - 2048) * 16).astype(np.int16), {}),
    "8 bit": ((image_12bit() >> 4).astype(np.uint8), {}),
}
SYNTAXES = [
    "JPEGLosslessProcess14",
    "JPEGLosslessProcess14_1",
    "JPEGLSLossless",
    "JPEG2000Lossless",
    "RLELossless",
]


@pytest.mark.parametrize("shape", SHAPES)
def test_every_lossless_syntax_gives_the_same_values(tmp_path: Path, shape: str) -> None:
    pixels, elements = SHAPES[shape]
    plain = save(dataset(pixels, **elements), tmp_path / "plain.dcm")
    assert np.array_equal(stored_values(pydicom.dcmread(plain)), pixels)
    for syntax in SYNTAXES:
        packed = pydicom.dcmread(compress(plain, tmp_path / f"{syntax}.dcm", syntax))
        assert packed.file_meta.TransferSyntaxUID.is_compressed
        assert np.array_equal(stored_values(packed), pixels), syntax


@pytest.mark.parametrize(
    "name",
    [
        "MR_small_RLE.dcm",
        "MR_small_bigendian.dcm",
        "MR_small_implicit.dcm",
        "MR_small_jp2klossless.dcm",
        "MR_small_jpeg_ls_lossless.dcm",
    ],
)
def test_files_of_other_writers(name: str) -> None:
    expected = pydicom.dcmread(get_testdata_file("MR_small.dcm", download=False)).pixel_array
    made = pydicom.dcmread(get_testdata_file(name, download=False))
    assert np.array_equal(stored_values(made), expected)


def test_lossy_syntaxes() -> None:
    near = pydicom.dcmread(get_testdata_file("JPEGLSNearLossless_16.dcm", download=False))
    assert stored_values(near).max() == 65535
    # The stream says unsigned, the header signed: the header's word counts (CT numbers).
    odd = pydicom.dcmread(get_testdata_file("J2K_pixelrep_mismatch.dcm", download=False))
    assert stored_values(odd).min() == -2000


def test_jpeg_extended_of_12_bits_and_not_a_word_of_its_decoder(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pixels = image_12bit()
    plain = save(dataset(pixels, BitsStored=12), tmp_path / "plain.dcm")
    packed = pydicom.dcmread(compress(plain, tmp_path / "x.dcm", "JPEGExtendedProcess2_4"))
    capfd.readouterr()
    assert np.abs(stored_values(packed) - pixels).max() <= 2  # lossy
    # Two writers, one image.
    names = ("JPGExtended.dcm", "JPEG-lossy.dcm")
    one, other = (
        stored_values(pydicom.dcmread(get_testdata_file(name, download=False))) for name in names
    )
    assert one[420, 140] == 244
    assert np.abs(one - other).max() <= 4
    assert capfd.readouterr() == ("", "")
    packed.PixelData = packed.PixelData[:200] + b"\0" * 200
    with pytest.raises(InputError) as error:
        stored_values(packed)
    assert "\n" not in str(error.value)


def test_unused_bits_are_cleared_and_a_high_bit_is_honoured() -> None:
    pixels = image_12bit()
    overlay = pixels | np.uint16(0xF000)
    assert np.array_equal(stored_values(dataset(overlay, BitsStored=12)), pixels)
    shifted = (pixels << 4).astype(np.uint16)
    assert np.array_equal(stored_values(dataset(shifted, BitsStored=12, HighBit=15)), pixels)


def test_windows_at_their_corners() -> None:
    # PS3.3 C.11.2.1.2.1, its example: center 2048, width 4096.
    values = np.array([0.0, 2047.5, 4095.0])
    assert window(values, 2048, 4096) == pytest.approx([0.0, 0.5, 1.0])
    assert window(np.array([0.0, 1.0]), 0.5, 1) == pytest.approx([0.0, 1.0])
    values = np.array([0.0, 1024.0, 2048.0, 4096.0, 5000.0])
    assert window(values, 2048, 4096, "LINEAR_EXACT") == pytest.approx([0, 0.25, 0.5, 1, 1])
    sigmoid = window(np.array([2048.0, 2048 + 1024.0, 1e9, -1e9]), 2048, 4096, "SIGMOID")
    assert sigmoid == pytest.approx([0.5, 1 / (1 + np.exp(-1)), 1.0, 0.0])
    with pytest.raises(InputError, match="CUBIC"):
        window(values, 1, 2, "CUBIC")


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_windows_agree_with_pydicom(function: str) -> None:
    made = dataset(
        image_12bit(),
        BitsStored=12,
        WindowCenter=1900,
        WindowWidth=1500,
        VOILUTFunction=function,
    )
    theirs = pydicom.pixels.apply_windowing(image_12bit(), made) / 4095.0
    ours = voi(made, modality(made, stored_values(made)))
    assert np.abs(ours - theirs).max() < 1e-9


def lut(entries: list[int], first: int, bits: int) -> Any:
    item = Dataset()
    item.LUTDescriptor = [len(entries), first, bits]
    item["LUTDescriptor"].VR = "US" if first >= 0 else "SS"
    item.LUTData = entries
    item["LUTData"].VR = "US"
    return item


def test_look_up_tables() -> None:
    pixels = np.array([[0, 9, 10, 11, 12, 400]], np.uint16)
    made = dataset(pixels, VOILUTSequence=[lut([0, 100, 1023], 10, 10)], WindowCenter=5)
    expected = np.array([[0, 0, 0, 100, 1023, 1023]]) / 1023  # outside: the first and last entry
    assert voi(made, modality(made, stored_values(made))) == pytest.approx(expected)
    made = dataset(pixels, ModalityLUTSequence=[lut([5, 700, 60000], 10, 16)])
    assert modality(made, stored_values(made)).tolist() == [[5, 5, 5, 700, 60000, 60000]]
    signed = dataset(
        np.array([[-3, -2, -1, 0]], np.int16), VOILUTSequence=[lut([0, 128, 255], -3, 8)]
    )
    assert voi(signed, modality(signed, stored_values(signed))) == pytest.approx(
        np.array([[0, 128, 255, 255]]) / 255
    )
    made.ModalityLUTSequence[0].LUTDescriptor = [99, 10, 16]
    with pytest.raises(InputError, match="99 are declared"):
        modality(made, stored_values(made))


def test_look_up_table_agrees_with_pydicom() -> None:
    entries = [int(v) for v in np.linspace(0, 4095, 3000) ** 1.0]
    made = dataset(image_12bit(), BitsStored=12, VOILUTSequence=[lut(entries, 500, 12)])
    theirs = pydicom.pixels.apply_voi(image_12bit(), made) / 4095.0
    assert np.abs(voi(made, modality(made, stored_values(made))) - theirs).max() < 1e-12


def test_rescale() -> None:
    made = dataset(
        np.array([[0, 10]], np.uint16),
        RescaleSlope="2.5",
        RescaleIntercept="-100",
        RescaleType="HU",
    )
    assert modality(made, stored_values(made)).tolist() == [[-100.0, -75.0]]
    made.RescaleSlope = "0"
    with pytest.raises(InputError, match="slope"):
        modality(made, stored_values(made))


@pytest.mark.parametrize(
    ("elements", "inverse"),
    [
        ({}, False),
        ({"PhotometricInterpretation": "MONOCHROME1"}, True),
        ({"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"}, True),
        ({"PresentationLUTShape": "INVERSE"}, True),
        ({"PresentationLUTShape": "IDENTITY"}, False),
    ],
)
def test_dark_is_air(elements: dict[str, Any], inverse: bool) -> None:
    pixels = np.array([[0, 32768, 65535]], np.uint16)
    shown = gray16(dataset(pixels, **elements)).tolist()
    assert shown == ([[65535, 32767, 0]] if inverse else [[0, 32768, 65535]])


def test_window_then_inversion_then_padding() -> None:
    pixels = np.array([[0, 1000, 2000, 3000]], np.uint16)
    made = dataset(
        pixels,
        BitsStored=12,
        WindowCenter=["2000.5", "40"],
        WindowWidth=["2001", "80"],
        PhotometricInterpretation="MONOCHROME1",
    )
    assert gray16(made).tolist() == [[65535, 65535, 32768, 0]]
    made.PixelPaddingValue = 0
    assert gray16(made).tolist() == [[0, 65535, 32768, 0]]
    made.PixelPaddingRangeLimit = 1500
    assert gray16(made).tolist() == [[0, 0, 32768, 0]]


def test_without_a_window_the_stored_bits_are_the_range() -> None:
    """What an image holds changes none of its other pixels."""
    values = [0, 1, 1000, 4095]
    made = dataset(np.array([values], np.uint16), BitsStored=12, PixelPaddingValue=1)
    shown = [0, 0, round(1000 / 4095 * 65535), 65535]
    assert gray16(made).tolist() == [shown]
    part = dataset(np.array([values[:3]], np.uint16), BitsStored=12, PixelPaddingValue=1)
    assert gray16(part).tolist() == [shown[:3]]
    assert gray16(part, bits=10).tolist() == [[0, 0, round(1000 / 1023 * 65535)]]
    scaled = dataset(np.array([values], np.uint16), BitsStored=12, RescaleSlope="-2")
    assert gray16(scaled).tolist() == [[65535, 65519, 65535 - shown[2], 0]]
    table = lut([100, 300, 200], 0, 10)
    looked_up = dataset(np.array([[0, 2, 2]], np.uint16), BitsStored=2, ModalityLUTSequence=[table])
    assert gray16(looked_up).tolist() == [[0, 32768, 32768]]
    signed = dataset(np.array([[-2048, 0, 2047]], np.int16), BitsStored=12)
    assert gray16(signed).tolist() == [[0, round(2048 / 4095 * 65535), 65535]]


def test_flat_images_are_flat() -> None:
    assert gray16(dataset(np.full((2, 2), 7, np.uint16))).tolist() == [[7, 7], [7, 7]]


def test_what_is_not_read() -> None:
    with pytest.raises(InputError, match="High-Throughput"):
        need_decoder("1.2.840.10008.1.2.4.201")
    with pytest.raises(InputError, match="MPEG"):
        need_decoder("1.2.840.10008.1.2.4.100")
    made = dataset(image_12bit(), BitsStored=12)
    made.PixelData = made.PixelData[:-100]
    with pytest.raises(InputError, match="cannot be decoded"):
        gray16(made)
    made = dataset(image_12bit())
    made.BitsAllocated = 32
    with pytest.raises(InputError, match="32 bits"):
        gray16(made)


@pytest.mark.parametrize(
    ("declared", "largest", "bits"),
    [(16, 4095, 12), (16, 1023, 10), (12, 4095, 12), (12, 2048, 12), (16, 40000, 16), (10, 255, 8)],
)
def test_a_voi_lut_may_declare_more_bits_than_it_uses(
    declared: int, largest: int, bits: int
) -> None:
    pixels = np.array([[0, 1, 2]], np.uint16)
    made = dataset(pixels, VOILUTSequence=[lut([0, largest // 2, largest], 0, declared)])
    expected = np.array([[0, largest // 2, largest]]) / (2**bits - 1)
    assert voi(made, modality(made, stored_values(made))) == pytest.approx(expected)


def test_a_look_up_table_may_be_shorter_than_it_declares_if_the_image_needs_no_more() -> None:
    pixels = np.array([[0, 1, 2]], np.uint16)
    item = lut([0, 100, 255], 0, 8)
    item.LUTDescriptor = [4096, 0, 8]
    made = dataset(pixels, VOILUTSequence=[item])
    assert voi(made, pixels.astype(float)) == pytest.approx(np.array([[0, 100, 255]]) / 255)
    with pytest.raises(InputError, match="of 3 entries where 4096"):
        voi(made, pixels.astype(float) + 1)


@pytest.mark.parametrize("syntax", ["ImplicitVRLittleEndian", "ExplicitVRLittleEndian"])
@pytest.mark.parametrize("keep_meta", [True, False])
def test_files_without_preamble(tmp_path: Path, syntax: str, keep_meta: bool) -> None:
    pixels = image_12bit()
    made = dataset(pixels, BitsStored=12)
    made.file_meta.TransferSyntaxUID = getattr(pydicom.uid, syntax)
    data = save(made, tmp_path / "whole.dcm").read_bytes()[132:]
    if not keep_meta:
        meta = 12 + int.from_bytes(data[8:12], "little")  # group length counts what follows it
        data = data[meta:]
    bare = tmp_path / "bare"
    bare.write_bytes(data)
    assert begins_as_dicom(bare)
    expected = DicomOpener(tmp_path)("whole.dcm")
    assert np.array_equal(DicomOpener(tmp_path)("bare"), expected)
