"""Every form of image a source may hold, and every form of damage."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cxrtool.core.errors import InputError
from cxrtool.data import decoding
from cxrtool.data.decoding import largest_value, open_gray

RAMP = np.tile(np.arange(64, dtype=np.uint8) * 4, (48, 1))


def save(image: Image.Image, path: Path, **options: Any) -> Path:
    image.save(path, **options)
    return path


def gray_of(path: Path) -> tuple[np.ndarray, str]:
    decoded = open_gray(path)
    return np.asarray(decoded.image), decoded.conversion


def test_gray_png_is_taken_as_it_is(tmp_path: Path) -> None:
    pixels, conversion = gray_of(save(Image.fromarray(RAMP), tmp_path / "a.png"))
    assert (pixels == RAMP).all()
    assert conversion == ""


def test_16_bit_gray_maps_the_full_range(tmp_path: Path) -> None:
    wide = RAMP.astype(np.uint16) * 257
    pixels, conversion = gray_of(save(Image.fromarray(wide), tmp_path / "a.png"))
    assert (pixels == RAMP).all()
    assert conversion == "16-bit gray"


def test_12_bit_data_in_16_bits_is_not_black(tmp_path: Path) -> None:
    twelve = (RAMP.astype(np.float64) * 4095 / 255).round().astype(np.uint16)
    pixels, conversion = gray_of(save(Image.fromarray(twelve), tmp_path / "a.png"))
    assert np.abs(pixels.astype(int) - RAMP).max() <= 1
    assert conversion == "16-bit gray"


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_16_bit_gray_of_so_many_bits_does_not_hang_on_its_brightest_pixel(
    tmp_path: Path, bits: int
) -> None:
    top = (1 << bits) - 1
    values = np.linspace(0, top / 2, RAMP.size).astype(np.uint16).reshape(RAMP.shape)
    brighter = values.copy()
    brighter[0, 0] = top
    dark, bright = (
        open_gray(save(Image.fromarray(pixels), tmp_path / f"{i}.png"), bits=bits)
        for i, pixels in enumerate((values, brighter))
    )
    assert (dark.bits, dark.largest, bright.largest) == (bits, int(top / 2), top)
    one, other = np.asarray(dark.image), np.asarray(bright.image)
    assert (one.ravel()[1:] == other.ravel()[1:]).all()
    assert other[0, 0] == 255
    assert np.abs(one - values * (255.0 / top)).max() <= 0.5
    beyond = open_gray(save(Image.fromarray(brighter), tmp_path / "b.png"), bits=8)
    assert np.asarray(beyond.image)[0, 0] == 255  # white, not wrapped around


def test_the_largest_value_of_16_bit_files_alone(tmp_path: Path) -> None:
    wide = save(Image.fromarray(RAMP.astype(np.uint16) * 10), tmp_path / "w.png")
    assert largest_value(wide) == 2520
    assert largest_value(wide.read_bytes()) == 2520
    assert largest_value(save(Image.fromarray(RAMP), tmp_path / "a.png")) == 0
    assert largest_value(tmp_path / "none.png") == 0


@pytest.mark.parametrize(
    ("mode", "ending", "says", "tolerance"),
    [
        ("RGB", "png", "colour", 1),
        ("RGB", "jpg", "colour", 6),
        ("CMYK", "jpg", "CMYK", 6),
    ],
)
def test_colour_forms_become_gray(
    tmp_path: Path, mode: str, ending: str, says: str, tolerance: float
) -> None:
    options = {"quality": 98} if ending == "jpg" else {}
    image = Image.fromarray(RAMP).convert("RGB").convert(mode)
    pixels, conversion = gray_of(save(image, tmp_path / f"a.{ending}", **options))
    assert pixels.shape == RAMP.shape
    assert pixels.dtype == np.uint8
    assert np.abs(pixels.astype(int) - RAMP).max() <= tolerance
    assert conversion == says


def test_palette_index_is_not_taken_for_a_gray_value(tmp_path: Path) -> None:
    indices = (RAMP // 4)[:, ::-1].copy()  # index 63 is the darkest gray
    image = Image.fromarray(indices).convert("P")
    image.putpalette([value for i in range(256) for value in [max(0, 252 - 4 * i)] * 3])
    pixels, conversion = gray_of(save(image, tmp_path / "a.png"))
    assert (pixels == RAMP).all()
    assert conversion == "palette"


def test_black_and_white(tmp_path: Path) -> None:
    pixels, conversion = gray_of(save(Image.fromarray(RAMP > 100), tmp_path / "a.png"))
    assert (pixels == np.where(RAMP > 100, 255, 0)).all()
    assert conversion == "black and white"


def test_transparent_pixels_are_black(tmp_path: Path) -> None:
    rgba = np.dstack([RAMP] * 3 + [np.where(np.arange(64) < 32, 255, 0)[None].repeat(48, 0)])
    pixels, conversion = gray_of(
        save(Image.fromarray(rgba.astype(np.uint8), "RGBA"), tmp_path / "a.png")
    )
    assert np.abs(pixels[:, :32].astype(int) - RAMP[:, :32]).max() <= 1
    assert (pixels[:, 32:] == 0).all()
    assert conversion == "transparency"


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(Image.fromarray(RAMP), tmp_path / "a.jpg", quality=98, exif=exif)
    pixels, conversion = gray_of(path)
    assert pixels.shape == (64, 48)
    assert pixels[0].mean() < 10 < 240 < pixels[-1].mean()
    assert conversion == "turned by EXIF"


def test_colour_and_gray_jpeg_agree_on_luma(tmp_path: Path) -> None:
    """The luma of a colour JPEG is decoded directly; it must be what L conversion gives."""
    path = save(Image.fromarray(RAMP).convert("RGB"), tmp_path / "a.jpg", quality=95)
    pixels, _ = gray_of(path)
    with Image.open(path) as image:
        full = np.asarray(image.convert("L"))
    assert np.abs(pixels.astype(int) - full).max() <= 1


def test_arrays(tmp_path: Path) -> None:
    assert (np.asarray(open_gray(RAMP).image) == RAMP).all()
    wide = open_gray(RAMP.astype(np.uint16) * 257)
    assert (np.asarray(wide.image) == RAMP).all()
    with pytest.raises(InputError, match="float64"):
        open_gray(RAMP.astype(float))
    with pytest.raises(InputError, match="shape"):
        open_gray(np.zeros((2, 3, 4), np.uint8))


def test_bytes_decode_as_files_do() -> None:
    buffer = io.BytesIO()
    Image.fromarray(RAMP).save(buffer, "PNG")
    assert (np.asarray(open_gray(buffer.getvalue()).image) == RAMP).all()
    with pytest.raises(InputError, match="zero bytes"):
        open_gray(b"")


@pytest.mark.parametrize("ending", ["jpg", "png"])
def test_truncated(tmp_path: Path, ending: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    path = save(Image.fromarray(noise), tmp_path / f"a.{ending}")
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(InputError, match="damaged") as caught:
        open_gray(path)
    assert caught.value.file == path


def test_zero_bytes_no_image_directory_missing(tmp_path: Path) -> None:
    empty = tmp_path / "empty.png"
    empty.touch()
    with pytest.raises(InputError, match="zero bytes"):
        open_gray(empty)
    text = tmp_path / "text.png"
    text.write_text("not an image at all")
    with pytest.raises(InputError, match="not an image"):
        open_gray(text)
    with pytest.raises(InputError, match="directory"):
        open_gray(tmp_path)
    with pytest.raises(InputError, match="no such image"):
        open_gray(tmp_path / "nowhere.png")


def png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [9_800, 60_000])
def test_decompression_bomb_is_refused_before_it_is_decoded(tmp_path: Path, side: int) -> None:
    """Both above our limit and above Pillow's own, which raises another error."""
    path = tmp_path / "bomb.png"
    path.write_bytes(png_header(side, side))
    with pytest.raises(InputError, match="decompression bomb"):
        open_gray(path)


def test_largest_allowed_image_is_not_a_bomb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "MAX_PIXELS", RAMP.size)
    assert open_gray(RAMP).image.size == (64, 48)
    monkeypatch.setattr(decoding, "MAX_PIXELS", RAMP.size - 1)
    with pytest.raises(InputError, match="bomb"):
        open_gray(RAMP)


def test_several_frames_are_refused(tmp_path: Path) -> None:
    frames = [Image.fromarray(np.full((8, 8), value, np.uint8)) for value in (10, 90, 200)]
    path = tmp_path / "a.gif"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    with pytest.raises(InputError, match="3 frames"):
        open_gray(path)


def test_formats_that_run_programs_are_not_tried(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n")
    with pytest.raises(InputError, match="not an image"):
        open_gray(path)
