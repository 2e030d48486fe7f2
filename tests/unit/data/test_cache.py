"""The pixel cache: built once, deletable, kept in memory where it cannot be written."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cxrtool.core.errors import InputError
from cxrtool.data import cache
from cxrtool.data.manifest import Dataset, load_dataset


@pytest.fixture
def data(make_dataset: Callable[..., Path]) -> Dataset:
    return load_dataset(make_dataset({"patient_id": [str(i) for i in range(5)]}))


def maps(data: Dataset) -> list[str]:
    return sorted(p.name for p in (data.path / ".cache").glob("*"))


def test_map_is_written_once_and_can_be_deleted(data: Dataset) -> None:
    first = cache.pixels(data)
    assert isinstance(first, np.memmap)
    assert maps(data) == [f"pixels-{data.info.digest[:16]}.npy"]
    before = np.array(first)
    for path in (data.path / ".cache").iterdir():
        path.unlink()
    assert (cache.pixels(data) == before).all()
    part = cache.pixels(data, np.array([4, 0]))
    assert (part == before[[4, 0]]).all()


def test_a_damaged_map_is_made_again(data: Dataset) -> None:
    before = np.array(cache.pixels(data))
    target = data.path / ".cache" / maps(data)[0]
    target.write_bytes(target.read_bytes()[:100])
    assert (cache.pixels(data) == before).all()


def test_old_maps_are_removed(data: Dataset) -> None:
    (data.path / ".cache").mkdir()
    (data.path / ".cache/pixels-old.npy").write_bytes(b"")
    cache.pixels(data)
    assert maps(data) == [f"pixels-{data.info.digest[:16]}.npy"]


def test_memory_where_the_folder_cannot_be_written(data: Dataset) -> None:
    # A file where the folder would be, which stops root too.
    (data.path / ".cache").write_text("")
    found = cache.pixels(data)
    assert found.shape == (5, 8, 8)
    assert (found[2] == np.random.default_rng(2).integers(0, 256, (8, 8), np.uint8)).all()


def test_memory_where_the_disk_is_full(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Room is reserved before the map is written: a full disk would kill the process later."""

    def full(descriptor: int, offset: int, length: int) -> None:
        assert length > 5 * 64
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    found = cache.pixels(data)
    assert not isinstance(found, np.memmap)
    assert (found[2] == np.random.default_rng(2).integers(0, 256, (8, 8), np.uint8)).all()
    assert maps(data) == []


def test_a_missing_or_damaged_image_is_named_and_leaves_no_map(data: Dataset) -> None:
    path = data.path / "images/003.png"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(InputError, match="damaged") as caught:
        cache.pixels(data)
    assert (caught.value.row, caught.value.column) == (5, "image")
    assert maps(data) == []
    path.unlink()
    with pytest.raises(InputError, match="no such image"):
        cache.pixels(data)


def test_links_out_of_the_folder_are_refused(data: Dataset, tmp_path: Path) -> None:
    path = data.path / "images/001.png"
    outside = tmp_path / "outside.png"
    os.replace(path, outside)
    path.symlink_to(outside)
    with pytest.raises(InputError, match="out of the data folder") as caught:
        cache.pixels(data)
    assert caught.value.row == 3


def test_no_pixels_in_a_set_of_labels(make_dataset: Callable[..., Path]) -> None:
    data = load_dataset(make_dataset({"patient_id": ["a"]}, size=None))
    with pytest.raises(InputError, match="labels and no pixels"):
        cache.pixels(data)


def test_resized() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 16), np.uint8)
    assert cache.resized(images, 16) is images
    small = cache.resized(images, 8)
    assert small.shape == (3, 8, 8)
    assert abs(float(small.mean()) - float(images.mean())) < 2
