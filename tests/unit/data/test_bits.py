"""16-bit images: one number of bits for a set, and no image's pixels hang on its brightest one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cxrtool.core.errors import InputError
from cxrtool.core.runs import Run
from cxrtool.data import assemble, images
from cxrtool.data.columns import image_name
from cxrtool.data.decoding import DEPTHS
from cxrtool.data.ingest import Ingested, Job, bits_of, ingest, told_bits
from cxrtool.data.sources.base import FileOpener
from tests.e2e.prepare_sources import drawing, prepare, write_source


def refuse(row: int, error: InputError) -> None:
    raise InputError(error.reason, row=row)


def write(folder: Path, tops: list[int]) -> list[tuple[int, str]]:
    """An image of 16 bits for each largest value; of 8 bits for 0."""
    folder.mkdir()
    for row, top in enumerate(tops):
        pixels = drawing(row)
        if top:
            pixels = np.rint(pixels / pixels.max() * top).astype(np.uint16)
        Image.fromarray(pixels).save(folder / f"{row}.png")
    return [(row, f"{row}.png") for row in range(len(tops))]


def converted(tmp_path: Path, tops: list[int], bits: int = 0, **more: Any) -> Ingested:
    refs = write(tmp_path / "in", tops)
    run = Run.for_test(tmp_path / "out")
    job = Job(FileOpener(tmp_path / "in"), str(run.dir), 16, "crop", bits)
    return ingest(run, job, refs, workers=1, on_bad=refuse, **more)


@pytest.mark.parametrize(
    ("tops", "bits"),
    [
        ([900] * 5, 10),
        ([900, 3000, 200], 12),
        ([16000] * 3, 14),
        ([0, 40000, 0], 16),
        ([200, 255], 8),
        # 16 of 40 are looked at before; the others decide as well.
        ([900] * 38 + [4000, 900], 12),
        ([900, 60000] + [900] * 38, 16),
        ([0] * 38 + [900, 900], 10),
    ],
)
def test_the_largest_value_of_all_decides(tmp_path: Path, tops: list[int], bits: int) -> None:
    result = converted(tmp_path, tops)
    assert result.bits == bits
    for row, top in enumerate(tops):
        done = result.done[row]
        expected = images.convert(tmp_path / f"in/{row}.png", 16, bits=bits if top else None)
        assert (done.bits, done.largest) == ((bits, top) if top else (0, 0))
        pixels = np.asarray(Image.open(tmp_path / "out" / image_name(row)))
        assert (pixels == expected.pixels).all()
        # The key is that of the image alone, so that it is the same in every set.
        assert done.pixel_key == images.convert(tmp_path / f"in/{row}.png", 16).key


def test_bits_of_a_table_and_of_the_option(tmp_path: Path) -> None:
    result = converted(tmp_path, [900, 3000, 60000], table_bits={0: 10, 1: 12})
    assert [result.done[row].bits for row in range(3)] == [10, 12, 16]
    (tmp_path / "again").mkdir()
    result = converted(tmp_path / "again", [900, 3000, 60000], bits=12)
    assert {done.bits for done in result.done.values()} == {12}


def test_a_finished_image_of_other_bits_is_done_again(tmp_path: Path) -> None:
    first = converted(tmp_path, [900] * 6)
    Image.fromarray(np.full((40, 32), 5000, np.uint16)).save(tmp_path / "in/6.png")
    run = Run.for_test(tmp_path / "out")
    job = Job(FileOpener(tmp_path / "in"), str(run.dir), 16, "crop")
    refs = [(row, f"{row}.png") for row in range(7)]
    again = ingest(run, job, refs, workers=1, on_bad=refuse)
    assert (first.bits, again.bits) == (10, 14)
    assert {done.bits for done in again.done.values()} == {14}


def test_what_disagrees_is_counted_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = converted(tmp_path, [3000, 4000, 0, 60000, 500], bits=12)
    note = assemble.tell_bits(result, given=True)["bits"]
    assert note == {
        "from": "--bits", "images": {"12": 4}, "above": 1, "dark": 1, "files_of_8_bits": 1
    }  # fmt: skip
    told = capsys.readouterr().err
    assert "12 bits 4" in told
    for row, what in ((3, "above these bits"), (4, "dark"), (2, "files of 8 bits")):
        assert any(what in line and image_name(row) in line for line in told.splitlines())
    assert assemble.tell_bits(Ingested({}, 0), given=False) == {}


def test_numbers_of_bits() -> None:
    values = [0, 255, 256, 1023, 1024, 4095, 4096, 16383, 16384, 65535]
    assert [bits_of(value) for value in values] == [8, 8, 10, 10, 12, 12, 14, 14, 16, 16]
    assert DEPTHS == (8, 10, 12, 14, 16)
    assert told_bits(["12", " 10 ", "14.0", "", "0", "17", "x"]) == {0: 12, 1: 10, 2: 14}


@pytest.mark.parametrize("how", ["option", "column", "set"])
def test_prepared_pixels_do_not_hang_on_the_brightest_pixel(tmp_path: Path, how: str) -> None:
    """One pixel that the crop leaves out becomes bright: no prepared image changes."""
    more: dict[str, Any] = {"BitsStored": ["12"] * 24} if how == "column" else {}
    source = write_source(tmp_path / "source", **more)
    for row in range(24):
        pixels = drawing(row).astype(np.uint16) * (4 if row != 7 else 14)  # 10 bits, one of 12
        Image.fromarray(pixels).save(source / f"images/{row}.png")
    options: dict[str, Any] = {"label_columns": ("Edema,Fracture",)}
    options |= {"bits": 12} if how == "option" else {}
    before = prepare(source, tmp_path / "before", **options)
    pixels = np.array(Image.open(source / "images/3.png"))
    pixels[0, 0] = 4000
    Image.fromarray(pixels).save(source / "images/3.png")
    after = prepare(source, tmp_path / "after", **options)
    for row in range(24):
        one, other = (data.path / image_name(row) for data in (before, after))
        assert one.read_bytes() == other.read_bytes()
    words = {"option": "--bits", "column": "the table", "set": "the largest value"}
    assert before.info.notes["bits"]["from"] == words[how]
    assert before.info.notes["bits"]["images"] == {"12": 24}
