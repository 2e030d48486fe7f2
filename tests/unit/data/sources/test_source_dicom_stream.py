"""Compressed streams that contradict their DICOM header never reach the decoder."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

pydicom = pytest.importorskip("pydicom")
pytest.importorskip("gdcm")

from pydicom.encaps import encapsulate, get_frame  # noqa: E402

from cxrtool.core.errors import InputError  # noqa: E402
from cxrtool.data.sources.dicom_pixels import (  # noqa: E402
    DicomOpener,
    check_stream,
)

from .dicom_files import compress, dataset, image_12bit, save  # noqa: E402

SYNTAXES = ["JPEGLosslessProcess14_1", "JPEGLSLossless", "JPEG2000Lossless"]


@pytest.fixture(params=SYNTAXES)
def packed(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    plain = save(dataset(image_12bit(), BitsStored=12), tmp_path / "plain.dcm")
    return compress(plain, tmp_path / "packed.dcm", request.param)


def frame(path: Path) -> bytes:
    return bytes(get_frame(pydicom.dcmread(path).PixelData, 0, number_of_frames=1))


def test_whole_streams_pass(packed: Path) -> None:
    check_stream(frame(packed), 40, 56, 16)


def test_another_size_or_depth_is_refused(packed: Path) -> None:
    data = frame(packed)
    for rows, columns, bits in ((41, 56, 16), (40, 28, 16), (40, 56, 8)):
        with pytest.raises(InputError, match="compressed image has"):
            check_stream(data, rows, columns, bits)


def test_a_header_cut_short_is_refused(packed: Path) -> None:
    data = frame(packed)
    for length in range(0, 30, 3):
        with pytest.raises(InputError, match="damaged"):
            check_stream(data[:length], 40, 56, 16)


def test_the_opener_refuses_before_it_decodes(packed: Path) -> None:
    """Such a file made GDCM end the process."""
    made = pydicom.dcmread(packed)
    made.Rows = 20
    made.save_as(packed)
    with pytest.raises(InputError, match="the header says 56 x 20") as error:
        DicomOpener(packed.parent)(packed.name)
    assert error.value.file == packed


def test_any_damage_is_an_input_error(packed: Path) -> None:
    rng = np.random.default_rng(3)
    whole = packed.read_bytes()
    start = whole.index(b"\xe0\x7f\x10\x00")
    opener = DicomOpener(packed.parent)
    errors: list[InputError] = []
    for case in range(40):
        data = bytearray(whole)
        if case % 2:
            for at in rng.integers(300, start, 3):
                data[at] = rng.integers(0, 256)
        else:
            data = data[: rng.integers(start, len(data))]
        packed.write_bytes(data)
        try:
            opener(packed.name)
        except InputError as error:
            errors.append(error)
    assert len(errors) >= 20
    assert {error.file for error in errors} == {packed}
    assert not [error for error in errors if "\n" in str(error)]


def test_segments_before_the_frame_are_stepped_over() -> None:
    def segment(marker: int, body: bytes) -> bytes:
        return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body

    frame_header = struct.pack(">BHHB3s", 12, 40, 56, 1, b"\x01\x11\x00")
    tables = segment(0xE0, b"JFIF\0") + b"\xff" + segment(0xC4, b"\xff\xc3 no frame")
    scan = segment(0xDA, b"\x01\x01\x00\x01\x00\x00")
    good = b"\xff\xd8" + tables + segment(0xC3, frame_header) + scan
    check_stream(good, 40, 56, 16)
    twice = b"\xff\xd8" + segment(0xC3, frame_header) * 2 + scan
    for bad in (b"\xff\xd8" + tables + scan, twice, good[:-3], b"no image", encapsulate([good])):
        with pytest.raises(InputError, match="damaged"):
            check_stream(bad, 40, 56, 16)
