"""Paths of images as strangers write them, folders of images, files of one name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from cxrtool.core.errors import InputError, UsageError
from cxrtool.data.sources.base import SourceOptions
from cxrtool.data.sources.files import Sieve
from cxrtool.data.sources.paths import ImageIndex, ImageRoots, Located, locate, plain_path

from .conftest import write_text


@pytest.mark.parametrize(
    ("cell", "path"),
    [
        ("images/1.png", "images/1.png"),
        (" images/1.png ", "images/1.png"),
        ('"images/1.png"', "images/1.png"),
        ("./images//1.png", "images/1.png"),
        ("images/./1.png", "images/1.png"),
        ("images\\1.png", "images/1.png"),
        ("..\\images\\1.png", "../images/1.png"),
        ("C:\\data\\1.png", "C:/data/1.png"),
        ("\\\\server\\share\\1.png", "/server/share/1.png"),
        ("file:///data/a%20b.png", "/data/a b.png"),
        ("https://host/set/1.png?raw=1", "/host/set/1.png"),
        ("s3://bucket/set/1.png", "/bucket/set/1.png"),
        ("", ""),
        ("a..b.png", "a..b.png"),
    ],
)
def test_plain_paths(cell: str, path: str) -> None:
    assert plain_path(cell) == path


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A table's folder ``set`` with images, a folder of images elsewhere, a link to both."""
    for name in ("set/images/1.png", "set/images/2.png", "else/1.png", "else/deep/3.png"):
        write_text(tmp_path / name, name)
    (tmp_path / "link").symlink_to(tmp_path / "set")
    return tmp_path


def located(house: Path, cells: list[str], images: tuple[str, ...] = (), **more: Any) -> Located:
    frame = pd.DataFrame({"path": cells}, index=range(2, len(cells) + 2), dtype=str)
    options = SourceOptions(images=tuple(house / name for name in images), **more)
    return locate(frame, "path", house / "set", options, Sieve(options, "t.csv", "path"))


@pytest.mark.parametrize(
    ("cell", "images", "file"),
    [
        ("images/1.png", (), "set/images/1.png"),
        ("{house}/set/images/1.png", (), "set/images/1.png"),
        ("{house}/link/images/1.png", (), "set/images/1.png"),
        ("file://{house}/set/images/1.png", (), "set/images/1.png"),
        ("../set/images/1.png", (), "set/images/1.png"),
        ("..\\set\\images\\1.png", (), "set/images/1.png"),
        ("/images/1.png", (), "set/images/1.png"),
        ("images/1", (), "set/images/1.png"),
        ("2.png", (), "set/images/2.png"),
        ("other/folder/2.png", (), "set/images/2.png"),
        ("{house}/else/1.png", ("else",), "else/1.png"),
        ("../else/1.png", ("else",), "else/1.png"),
        ("{house}/set/images/1.png", ("else",), "set/images/1.png"),
        ("/home/bob/else/deep/3.png", ("else",), "else/deep/3.png"),
        ("D:\\bob\\deep\\3.png", ("else",), "else/deep/3.png"),
        ("https://host/x/deep/3.png", ("else",), "else/deep/3.png"),
        ("deep/3.png", ("else", "set/images"), "else/deep/3.png"),
        ("2.png", ("else", "set/images"), "set/images/2.png"),
        ("{house}/else/1.png", ("else", "set/images"), "else/1.png"),
        ("{house}/link/images/1.png", ("else", "set/images"), "set/images/1.png"),
    ],
)
def test_what_lies_below_the_folders_is_read_however_it_is_written(
    house: Path, cell: str, images: tuple[str, ...], file: str
) -> None:
    result = located(house, [cell.format(house=house)], images)
    assert result.roots is not None
    opened = result.roots.opener()(result.refs.iloc[0])
    assert opened.read_text() == file


@pytest.mark.parametrize(
    ("cell", "images", "reason", "hint"),
    [
        ("{house}/else/1.png", (), "lies outside", "--images {house}/else"),
        ("../else/1.png", (), "lies outside", "--images {house}/else"),
        ("/home/bob/1.png", (), "lies outside", "--images FOLDER"),
        ("D:\\bob\\set\\images\\1.png", (), "lies outside", "--images {house}/set"),
        ("https://host/1.png", (), "lies outside", "download"),
        ("1.png", ("else", "set/images"), "several folders", "one of them"),
    ],
)
def test_what_lies_elsewhere_names_row_column_and_option(
    house: Path, cell: str, images: tuple[str, ...], reason: str, hint: str
) -> None:
    good = "2.png" if images else "images/2.png"
    cells = [good, cell.format(house=house)]
    with pytest.raises(InputError, match=reason) as error:
        located(house, cells, images)
    assert (error.value.file, error.value.row, error.value.column) == ("t.csv", 3, "path")
    assert hint.format(house=house) in str(error.value.hint)
    left = located(house, cells, images, skip_bad=True)
    assert list(left.refs.index) == list(left.frame.index) == [2]


def test_what_is_read_otherwise_is_said_and_labels_alone_look_for_no_file(house: Path) -> None:
    assert located(house, ["images/1.png"]).remarks == []
    for cell in ("/images/1.png", "images/1", "2.png"):
        assert len(located(house, [cell]).remarks) == 1
    result = located(house, ["./a.png", "/b.png"], labels_only=True)
    assert list(result.refs) == ["a.png", "/b.png"]


def test_a_missing_file_stays_as_it_is_written(house: Path) -> None:
    result = located(house, ["images/1.png", "images/9.png", "none/1.png"])
    assert list(result.refs) == ["images/1.png", "images/9.png", "none/1.png"]


def test_folders_of_images_lie_apart(house: Path) -> None:
    for images in (("set", "set/images"), ("set", "set"), ("set", "link")):
        with pytest.raises(UsageError, match="lies in"):
            located(house, ["1.png"], images)


@pytest.mark.parametrize(
    ("paths", "cell", "usual", "chosen"),
    [
        (("a/1.png",), "1.png", "", "a/1.png"),
        ((), "1.png", "", "d/1.png"),
        (("a/1.png", "b/1.png"), "1.png", "", None),
        (("a/1.png", "b/1.png"), "b/1.png", "", "b/1.png"),
        (("images/1.png", "a_thumbs/1.png"), "1.png", "images/[^/]+", "images/1.png"),
        (("images/1.png", "images/2/1.png", "t/1.png"), "1.png", "images/.+", None),
        (("1.png", "small/1.png"), "1.png", "[^/]+", "1.png"),
        (("a/b/1.png", "x/b/1.png"), "b/1.png", "", None),
    ],
)
def test_files_of_one_name(
    tmp_path: Path, paths: tuple[str, ...], cell: str, usual: str, chosen: str | None
) -> None:
    for path in paths:
        write_text(tmp_path / path, "")
    index = ImageIndex.of(ImageRoots((tmp_path,)))
    frame = pd.DataFrame({"name": [cell]}, index=[2], dtype=str)
    sieve = Sieve(SourceOptions(), "t.csv", "name")
    if chosen is None:
        with pytest.raises(InputError, match="several images"):
            index.find(frame, "name", sieve, usual=usual)
        skipping = Sieve(SourceOptions(skip_bad=True), "t.csv", "name")
        assert not len(index.find(frame, "name", skipping, usual=usual).frame)
        return
    result = index.find(frame, "name", sieve, default="d/", usual=usual)
    assert list(result.refs) == [chosen]
    assert set(result.left) == (set(paths) - {chosen} if len(paths) > 1 else set())
    assert len(result.remarks) == bool(result.left)
