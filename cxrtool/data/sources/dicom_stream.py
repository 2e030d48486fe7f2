"""A look at the header of a compressed image before a decoder written in C gets it.

In: the bytes of one frame. Out: nothing, or an error where the stream declares another size, depth
or number of components than the DICOM header. Such files, most of them damaged, can make a decoder
write past its buffer and take the whole process down.

JPEG and JPEG-LS: ITU-T T.81 table B.1 and B.2.2, T.87 C.2.2; JPEG 2000: ITU-T T.800 A.5.1.
"""

from typing import NamedTuple

from cxrtool.core.errors import InputError

_JPEG_START = b"\xff\xd8"
_J2K_START = b"\xff\x4f\xff\x51"
_JP2_BOX = b"\x00\x00\x00\x0cjP  "
#: Start-of-frame markers: all of JPEG (C4, C8 and CC are other things), and JPEG-LS.
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC} | {0xF7}
_START_OF_SCAN, _END = 0xDA, 0xD9


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
            shape = Shape(
                int.from_bytes(segment[1:3], "big"),
                int.from_bytes(segment[3:5], "big"),
                segment[5],
                segment[0],
            )
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
    siz = data[start + 4 :]
    width, height, left, top = (int.from_bytes(siz[i : i + 4], "big") for i in (4, 8, 12, 16))
    components = int.from_bytes(siz[36:38], "big")
    return Shape(height - top, width - left, components, (siz[38] & 0x7F) + 1)
