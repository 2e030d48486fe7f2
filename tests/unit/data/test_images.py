"""Geometry, antialiasing, keys and the intensity convention."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cxrtool.core.errors import InputError
from cxrtool.data.decoding import open_gray
from cxrtool.data.images import (
    contact_sheet,
    convert,
    encode_png,
    fit_image,
    pixel_key,
    read_png,
    to_float,
    to_uint8,
)


def smooth(height: int, width: int, seed: int = 0) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (12, 10), np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def test_crop_keeps_the_center_of_the_longer_side() -> None:
    wide = np.zeros((40, 100), np.uint8)
    wide[:, 30:70] = 200  # exactly the central square
    assert (fit_image(Image.fromarray(wide), 20, "crop") >= 180).all()
    assert (fit_image(Image.fromarray(wide.T.copy()), 20, "crop") >= 180).all()


def test_pad_keeps_everything_and_the_aspect_ratio() -> None:
    wide = np.full((40, 100), 200, np.uint8)
    out = fit_image(Image.fromarray(wide), 50, "pad")
    assert out.shape == (50, 50)
    assert (out[15:35] == 200).all()
    assert (out[:15] == 0).all()
    assert (out[35:] == 0).all()


def test_stretch_keeps_everything_and_not_the_aspect_ratio() -> None:
    wide = np.zeros((40, 100), np.uint8)
    wide[:, 50:] = 200
    out = fit_image(Image.fromarray(wide), 20, "stretch")
    assert (out[:, :8] == 0).all()
    assert (out[:, 12:] == 200).all()


def test_unknown_fit() -> None:
    with pytest.raises(ValueError, match="unknown fit"):
        fit_image(smooth(20, 20), 8, "squeeze")


@pytest.mark.parametrize("shape", [(512, 512), (1000, 700), (333, 517)])
def test_fine_patterns_become_gray_instead_of_moire(shape: tuple[int, ...]) -> None:
    """Without antialiasing a one-pixel checkerboard turns into stripes."""
    board = (np.indices(shape).sum(0) % 2 * 255).astype(np.uint8)
    out = fit_image(Image.fromarray(board), 32, "crop").astype(int)
    assert np.abs(out - 127.5).max() < 6


def test_close_to_direct_resampling() -> None:
    image = smooth(1000, 800)
    direct = image.resize((64, 64), Image.Resampling.BICUBIC, box=(0, 100, 800, 900))
    difference = fit_image(image, 64).astype(int) - np.asarray(direct, int)
    assert np.abs(difference).mean() < 0.3
    assert np.abs(difference).max() <= 2


@pytest.fixture(params=["jpg", "png"])
def original(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A large image on disk, which a JPEG decoder may decode at a part of its size."""
    rng = np.random.default_rng(3)
    pixels = np.asarray(smooth(1700, 1600), np.float32) + rng.normal(0, 6, (1700, 1600))
    path = tmp_path / f"a.{request.param}"
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path)
    return path


def test_key_does_not_depend_on_size_and_fit(original: Path) -> None:
    keys = {
        convert(original, size, fit).key
        for size, fit in [
            (32, "crop"),
            (128, "crop"),
            (128, "pad"),
            (200, "stretch"),
            (600, "crop"),
        ]
    }
    assert len(keys) == 1
    assert len(keys.pop()) == 16


@pytest.mark.parametrize("size", [64, 128, 300])
def test_converted_large_images_are_close_to_direct_resampling(original: Path, size: int) -> None:
    full = open_gray(original).image
    assert full.size == (1600, 1700)
    direct = full.resize((size, size), Image.Resampling.BICUBIC, box=(0, 50, 1600, 1650))
    difference = convert(original, size).pixels.astype(int) - np.asarray(direct, int)
    assert np.abs(difference).mean() < 0.35
    assert np.abs(difference).max() <= 3


def test_jpegs_are_decoded_at_a_part_of_their_size_where_that_is_enough(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    smooth(1700, 1600).save(path)
    for at_least, scale, size in [
        (384, 4, (400, 425)),
        (800, 2, (800, 850)),
        (801, 1, (1600, 1700)),
    ]:
        decoded = open_gray(path, at_least)
        assert (decoded.scale, decoded.image.size) == (scale, size)


def test_key_of_a_copy_and_of_another_image(tmp_path: Path) -> None:
    image = smooth(300, 250)
    image.save(tmp_path / "a.jpg", quality=90)
    original = open_gray(tmp_path / "a.jpg").image
    original.save(tmp_path / "copy.png")
    assert convert(tmp_path / "a.jpg", 64).key == convert(tmp_path / "copy.png", 64).key
    assert pixel_key(original) == convert(tmp_path / "copy.png", 32).key
    assert pixel_key(original) != pixel_key(smooth(300, 250, seed=1))


def test_only_small_originals_are_enlarged(tmp_path: Path) -> None:
    smooth(900, 800).save(tmp_path / "a.jpg")
    assert not convert(tmp_path / "a.jpg", 800).enlarged
    assert convert(tmp_path / "a.jpg", 801).enlarged


def test_one_gray_value_identifies_nobody() -> None:
    assert pixel_key(Image.new("L", (300, 200), 7)) == ""


def test_every_gray_value_survives_the_round_trip() -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    tensor = to_float(pixels)
    assert tuple(tensor.shape) == (1, 1, 16, 16)
    assert str(tensor.dtype) == "torch.float32"
    assert float(tensor.min()) == -1
    assert float(tensor.max()) == 1
    assert (to_uint8(tensor) == pixels).all()
    assert (to_uint8(tensor * 3)[0, 0, :3] == 0).all()


def test_to_float_takes_tensors_and_refuses_other_types() -> None:
    import torch

    pixels = torch.arange(8, dtype=torch.uint8).reshape(2, 1, 2, 2)
    assert tuple(to_float(pixels).shape) == (2, 1, 2, 2)
    with pytest.raises(ValueError, match="uint8"):
        to_float(pixels.float())


def test_png_bytes_are_equal_for_equal_pixels_and_carry_text(tmp_path: Path) -> None:
    pixels = np.asarray(smooth(16, 16))
    assert encode_png(pixels) == encode_png(pixels.copy())
    path = tmp_path / "a.png"
    path.write_bytes(encode_png(pixels, {"seed": "7", "edit": "left é"}))
    with Image.open(path) as image:
        assert image.mode == "L"
        assert image.info == {"seed": "7", "edit": "left é"}
    assert (read_png(path, 16) == pixels).all()
    assert (np.asarray(open_gray(path).image) == pixels).all()
    assert convert(path, 8).pixels.shape == (8, 8)
    with pytest.raises(ValueError, match="uint8"):
        encode_png(pixels.astype(float))


def test_read_png_refuses_another_size_and_colour(tmp_path: Path) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "small.png")
    Image.new("RGB", (16, 16)).save(tmp_path / "colour.png")
    with pytest.raises(InputError, match="8 x 8 px"):
        read_png(tmp_path / "small.png", 16)
    with pytest.raises(InputError, match="colour"):
        read_png(tmp_path / "colour.png", 16)


def test_contact_sheet_places_images_and_captions() -> None:
    stack = np.stack([np.full((10, 10), value, np.uint8) for value in (50, 100, 150)])
    sheet = np.asarray(contact_sheet(stack, columns=2))
    assert sheet.shape == (26, 26)
    assert (sheet[2:12, 2:12] == 50).all()
    assert (sheet[2:12, 14:24] == 100).all()
    assert (sheet[14:24, 2:12] == 150).all()
    taller = contact_sheet(stack, 2, ["a", "b", "a very long caption"], scale=3)
    assert taller.size == (66, 94)
    colour = contact_sheet(np.zeros((1, 4, 4, 3), np.uint8))
    assert colour.mode == "RGB"
    with pytest.raises(ValueError, match="captions"):
        contact_sheet(stack, captions=["one"])
