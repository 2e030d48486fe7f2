"""Reading tables for readers: row numbers that stay true, and the shared vocabulary."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from cxrtool.core.errors import InputError
from cxrtool.data.sources import vocabulary
from cxrtool.data.sources.base import FileOpener, SourceOptions
from cxrtool.data.sources.files import Sieve
from cxrtool.data.sources.paths import ImageIndex, ImageRoots
from cxrtool.data.tables import read_table

from .conftest import write_png, write_text


def test_cells_stay_text_and_rows_keep_their_number(tmp_path: Path) -> None:
    path = write_text(tmp_path / "t.csv", 'id,note,x\n007,NA,\n\n,,\n008,"a, ""b""\nc",1\n')
    frame = read_table(path)
    assert frame.to_dict("list") == {
        "id": ["007", "008"],
        "note": ["NA", 'a, "b"\nc'],
        "x": ["", "1"],
    }
    assert list(frame.index) == [2, 5]  # the blank rows 3 and 4 count


def test_gzip_tab_semicolon_and_unnamed_columns(tmp_path: Path) -> None:
    zipped = tmp_path / "t.csv.gz"
    zipped.write_bytes(gzip.compress(b"\xef\xbb\xbfa,b,\n1,2,\n"))
    assert read_table(zipped).to_dict("list") == {"a": ["1"], "b": ["2"]}
    tabs = write_text(tmp_path / "t.tsv", "a\tb\n1\t2\n")
    semicolons = write_text(tmp_path / "s.csv", "a;b\n1;2,5\n")
    assert read_table(tabs).to_dict("list") == {"a": ["1"], "b": ["2"]}
    assert read_table(semicolons).to_dict("list") == {"a": ["1"], "b": ["2,5"]}


def test_missing_column_is_named(tmp_path: Path) -> None:
    path = write_text(tmp_path / "t.csv", "a,b\n1,2\n")
    with pytest.raises(InputError) as error:
        read_table(path, ("a", "c"))
    assert (error.value.file, error.value.column) == (path, "c")


@pytest.mark.parametrize(
    ("data", "row"), [(b"a,b\n1,2\n3\n", 3), (b"a,b\n1,2\n3,4,5\n", 3), (b"a,b\n1,2\n\xff,3\n", 3)]
)
def test_damage_names_the_row(tmp_path: Path, data: bytes, row: int) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(data)
    with pytest.raises(InputError) as error:
        read_table(path)
    assert error.value.row == row


def test_broken_gzip(tmp_path: Path) -> None:
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n1,2\n" * 99)[:-9])
    with pytest.raises(InputError, match="gzip"):
        read_table(path)


def test_vocabulary() -> None:
    views = ["PA", "AP_horizontal", "L", "postero-anterior", "left lateral", "UNK", "", "AP LLD"]
    assert list(vocabulary.views(pd.Series(views))) == [
        "PA", "AP", "LATERAL", "PA", "LL", "", "", "AP LLD",
    ]  # fmt: skip
    assert list(vocabulary.sexes(pd.Series(["Male", "f", "Unknown", "nan", "O"]))) == [
        "M", "F", "", "", "O",
    ]  # fmt: skip
    ages = ["058Y", "013M", "003D", "011M", "071.0", "68", ""]
    assert list(vocabulary.ages(pd.Series(ages))) == ["58", "1", "0", "0", "071.0", "68", ""]
    assert vocabulary.split_name(" Validation ") == "val"
    assert vocabulary.split_name("") == ""
    assert vocabulary.split_name("holdout") is None


def test_sieve_raises_or_records() -> None:
    frame = pd.DataFrame({"name": ["a", "b", "c"], "x": ["1", "?", "!"]}, index=[2, 3, 7])
    bad = frame["x"] != "1"
    with pytest.raises(InputError) as error:
        Sieve(SourceOptions(), Path("t")).drop(frame, bad, "x", "{value} is odd")
    assert (error.value.row, error.value.column) == (3, "x")
    sieve = Sieve(SourceOptions(skip_bad=True), Path("t"), "name")
    kept = sieve.drop(frame, bad, "x", "{value} is odd")
    assert list(kept["name"]) == ["a"]
    assert [(r.ref, r.error.row, r.error.reason) for r in sieve.rejected] == [
        ("b", 3, "'?' is odd"),
        ("c", 7, "'!' is odd"),
    ]


def test_index_and_opener(tmp_path: Path) -> None:
    write_png(tmp_path / "b" / "x.PNG")
    write_png(tmp_path / "a" / "y.png")
    write_png(tmp_path / ".hidden" / "z.png")
    write_text(tmp_path / "a" / "x.txt", "")
    assert ImageIndex.of(ImageRoots((tmp_path,))).places == {"y.png": "a/y.png", "x.PNG": "b/x.PNG"}
    opener = FileOpener(tmp_path)
    assert opener("a/y.png") == tmp_path / "a/y.png"
    with pytest.raises(InputError, match="no such image"):
        opener("a/none.png")
    with pytest.raises(InputError, match="directory"):
        opener("a")


def test_openers_know_no_pandas() -> None:
    """Every worker process of ``prepare`` imports them."""
    code = (
        "import sys, cxrtool.data.sources.npz, cxrtool.data.sources.dicom_pixels;"
        "sys.exit('pandas' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
