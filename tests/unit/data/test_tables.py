"""Tables are read as text, and damage is named with its row."""

from __future__ import annotations

import gzip

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxrtool.core.errors import InputError
from cxrtool.data.tables import read_table, require_columns, write_table


def test_every_cell_is_text(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('id,text\n007,NA\n1.50,"a, ""b""\nc"\nnan,\n')
    table = read_table(path)
    assert table.values.tolist() == [["007", "NA"], ["1.50", 'a, "b"\nc'], ["nan", ""]]


def test_gzip_tab_and_byte_order_mark(tmp_path):
    path = tmp_path / "t.tsv.gz"
    path.write_bytes(gzip.compress("\ufeffa\tb\nx\t1,2\n".encode()))
    table = read_table(path)
    assert list(table.columns) == ["a", "b"]
    assert table.values.tolist() == [["x", "1,2"]]


@pytest.mark.parametrize(
    ("content", "says", "row"),
    [
        (b"a,b\n1,2\n1,2,3\n", "3 fields where the header has 2", 3),
        (b"a,b\n1,2\n1\n", "1 fields where the header has 2", 3),
        (b"a,b\n1,2\n\xe9,2\n", "not UTF-8", 3),
        (b"a,a\n1,2\n", "twice in the header", None),
        (b"", "empty", None),
        (b"a,b\n1,\x00\n", "NUL", None),
        (b'a,b\n1,"2\n', "not a readable table", None),
    ],
)
def test_damage_is_named(tmp_path, content, says, row):
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=says) as caught:
        read_table(path)
    assert caught.value.file == path
    assert caught.value.row == row


def test_blank_lines_at_the_end_are_no_rows(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,\n\n\n")
    assert len(read_table(path)) == 1


def test_missing_file_directory_and_damaged_gzip(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_table(tmp_path / "t.csv")
    with pytest.raises(InputError, match="directory"):
        read_table(tmp_path)
    (tmp_path / "t.csv.gz").write_bytes(b"no gzip")
    with pytest.raises(InputError, match="gzip"):
        read_table(tmp_path / "t.csv.gz")


def test_require_columns_names_what_is_there():
    with pytest.raises(InputError, match="missing") as caught:
        require_columns(pd.DataFrame({"a": [], "b": []}), ["a", "c"], "t.csv")
    assert caught.value.column == "c"
    assert "a, b" in caught.value.hint


# A lone surrogate is no Unicode text, and no text table holds NUL.
CELL = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=12)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(CELL, CELL), min_size=1, max_size=5))
def test_any_text_survives_writing_and_reading(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("tables") / "t.csv"
    table = pd.DataFrame([("key", *row) for row in rows], columns=["k", "a", "b"], dtype=str)
    path.write_text(write_table(table), encoding="utf-8", newline="")
    assert read_table(path).values.tolist() == table.values.tolist()
